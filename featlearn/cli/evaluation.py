"""Model files measured on a data set file."""

import math
from dataclasses import dataclass
from typing import Any

from featlearn.analysis.evaluate import evaluate, mean_metrics
from featlearn.analysis.likelihood import LikelihoodConfig, is_binary, likelihoods
from featlearn.cli.classification import Labelled, RawErrors, classify
from featlearn.cli.options import collect
from featlearn.cli.report import Words
from featlearn.cli.store import Learned, load_model, load_rows
from featlearn.errors import ConfigError
from featlearn.patches.rows import Rows
from featlearn.training.classifier import ClassifierConfig


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    models: tuple[str, ...]
    dataset: str
    train: str | None
    likelihood: LikelihoodConfig
    classifier: ClassifierConfig
    seed: int

    @classmethod
    def of(cls, models: tuple[str, ...], dataset: str, settings: dict[str, Any]) -> "Request":
        """From the command's keyword arguments. Raises ConfigError."""
        likelihood, classifier = collect(LikelihoodConfig, settings), collect(ClassifierConfig, settings)
        return cls(models, dataset, likelihood=likelihood, classifier=classifier, **settings)


def evaluate_models(request: Request, words: Words) -> list[dict[str, Any]]:
    """The rows of the table. Raises DataError, ConfigError."""
    raw = RawErrors()
    return [_row(path, request, words, raw) for path in request.models]


def _row(path: str, request: Request, words: Words, raw: RawErrors) -> dict[str, Any]:
    learned = load_model(path)
    rows, dataset, preprocess = load_rows(request.dataset, like=learned)
    if not learned.file.progress.get("finished", True):
        words.say(f"warning: {path}: its training is not finished; featlearn train --resume goes on with it")
    likely = _likelihoods(path, learned, rows, request, words)  # first: what cannot be computed is refused at once
    measures = evaluate(learned.model, rows, learned.shape, preprocess)
    for warning in measures.pop("warnings"):
        words.say(f"warning: {path}: {warning}")
    if request.train is not None:
        measures |= _beside_training(path, learned, measures, Labelled(rows, dataset), request, words, raw)
    return {"model": path, **measures, **likely}


def _beside_training(
    path: str,
    learned: Learned,
    measures: dict[str, Any],
    test: Labelled,
    request: Request,
    words: Words,
    raw: RawErrors,
) -> dict[str, Any]:
    """What the training data are needed for: the free-energy gap and, where both are labelled, classifiers.

    The gap is the mean free energy of the data above that of the training data: it grows as a model overfits (the
    Guide, section 6).
    """
    assert request.train is not None
    train_rows, train_dataset, _ = load_rows(request.train, like=learned)
    train, found = Labelled(train_rows, train_dataset), dict[str, Any]()
    if "free_energy" in measures:
        found["free_energy_gap"] = measures["free_energy"] - mean_metrics(learned.model, train_rows)["free_energy"]
    if train.dataset.labels is not None and test.dataset.labels is not None:
        found |= classify(learned, train, test, request.classifier, words, raw)
    if not found:
        raise ConfigError(
            f"--train: {path} is a {learned.file.model} model without a free energy, and a classifier needs labels in "
            "both data sets; extract them with --labels, or leave --train out"
        )
    return found


def _likelihoods(path: str, learned: Learned, rows: Rows, request: Request, words: Words) -> dict[str, Any]:
    machine = learned.model.machine()
    if machine is not None and machine.variance is None and not is_binary(rows):
        words.say(f"{path}: likelihoods are of binary pixels drawn from the grey ones; --threshold makes them binary")
    config = request.likelihood
    if not config.steps:
        return likelihoods(learned.model, rows, config, request.seed)
    with words.progress(config.steps, "annealing steps") as progress:
        found = likelihoods(learned.model, rows, config, request.seed, progress.advance)
    if not (math.isfinite(found["log_z_low"]) and math.isfinite(found["reverse_log_z_high"])):
        words.say(f"warning: {path}: a few chains carry all the weight of log_z; take more --ais-betas or --ais-chains")
    return found
