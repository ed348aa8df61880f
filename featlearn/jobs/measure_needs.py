"""What measures of evaluate need: the options without which there are none."""

import re

from featlearn.analysis.coding import CodingConfig
from featlearn.analysis.likelihood_settings import LikelihoodConfig
from featlearn.errors import ConfigError
from featlearn.jobs.finetune_settings import FewLabels
from featlearn.jobs.measure_keys import KEYS, OWN, Asked, Key, is_form, named
from featlearn.training.classifier import ClassifierConfig

ANNEALED = tuple(key.name for key in KEYS if key.group == "likelihood" and key.name not in OWN)
"""What a likelihood is asked for."""
OF_MODEL = ("error_rate", "loss", "commonest_error")
"""What models that know classes say of them."""
OF_TRAIN = ("free_energy_gap", *(k.name for k in KEYS if k.group == "classifier" and k.name not in OF_MODEL))
"""What follows from the data set that was learned from."""
RANDOM_NETS = tuple(key.name for key in KEYS if key.name.startswith("random_UNITS"))
"""Errors of nets from random weights."""
NETS = (*RANDOM_NETS, *(key.name for key in KEYS if key.name.startswith("finetuned")))
"""Errors of nets that learn few labels."""


def refuse_missing(
    asked: Asked,
    train: str | None,
    coding: CodingConfig,
    likelihood: LikelihoodConfig,
    classifier: ClassifierConfig,
    few: FewLabels,
) -> None:
    """Raise ConfigError for a name of which these options have nothing measured, whatever the models are."""
    per_class = classifier.per_class or ()

    def lacks(key: Key, number: int | None) -> str:
        if key.name in OF_TRAIN and train is None:
            return "without --train"
        if key.name in OF_TRAIN and key.name.endswith("_N"):
            if not per_class or number not in (None, *per_class):
                return f"without --per-class {number or ''}".rstrip()
        elif key.name in OF_TRAIN and key.group == "classifier" and per_class:
            return "with --per-class"
        if key.name in NETS and not (few.random if key.name in RANDOM_NETS else few.finetune):
            return "without --random" if key.name in RANDOM_NETS else "without --finetune"
        if key.name in ANNEALED and key.name != "pseudo_likelihood" and likelihood.likelihood is None:
            return "without --likelihood"
        if key.group == "coding" and number not in (None, *coding.bins):
            return f"without --bins {number}"
        return ""

    for name in asked.names:
        number = int(name.rpartition("_")[2]) if is_form(name) and re.search("_[0-9]+$", name) else None
        missing = [lacks(key, number) for key in named(name)]
        if all(missing):
            raise ConfigError(f"--only {name}: is not measured {missing[0]}")
