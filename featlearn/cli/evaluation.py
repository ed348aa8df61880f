"""Model files measured on a data set file."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.analysis.evaluate import evaluate, mean_metrics
from featlearn.analysis.likelihood import LikelihoodConfig, is_binary, likelihoods, refuse_unfit
from featlearn.cli.options import collect
from featlearn.cli.report import Words
from featlearn.cli.store import Learned, load_model, load_rows, refuse_other_shape
from featlearn.errors import ConfigError
from featlearn.files.dataset import read_dataset
from featlearn.patches.rows import Rows


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    models: tuple[str, ...]
    dataset: str
    train: str | None
    likelihood: LikelihoodConfig
    seed: int

    @classmethod
    def of(cls, models: tuple[str, ...], dataset: str, settings: dict[str, Any]) -> "Request":
        """From the command's keyword arguments. Raises ConfigError."""
        return cls(models, dataset, likelihood=collect(LikelihoodConfig, settings), **settings)


def evaluate_models(request: Request, words: Words) -> list[dict[str, Any]]:
    """The rows of the table. Raises DataError, ConfigError."""
    models = [load_model(path) for path in request.models]
    for learned in models:  # what one of them cannot be asked is refused before another has taken its time
        _refuse_unfit(learned, request)
    return [_row(learned, request, words) for learned in models]


def _refuse_unfit(learned: Learned, request: Request) -> None:
    for path in filter(None, (request.dataset, request.train)):
        refuse_other_shape(path, read_dataset(path), learned)
    refuse_unfit(learned.model, request.likelihood)
    empty = np.zeros((1, learned.preprocess.n_visible), learned.model.dtype)
    if request.train is not None and "free_energy" not in learned.model.extra_metrics(empty):
        kind = learned.file.model
        raise ConfigError(f"--train: {learned.path} is a {kind} model without a free energy; leave it out")


def _row(learned: Learned, request: Request, words: Words) -> dict[str, Any]:
    path = learned.path
    rows, _, preprocess = load_rows(request.dataset, like=learned)
    if not learned.file.progress.get("finished", True):
        words.say(f"warning: {path}: its training is not finished; featlearn train --resume goes on with it")
    likely = _likelihoods(path, learned, rows, request, words)
    measures = evaluate(learned.model, rows, learned.shape, preprocess)
    for warning in measures.pop("warnings"):
        words.say(f"warning: {path}: {warning}")
    if request.train is not None:
        measures["free_energy_gap"] = _gap(learned, measures, request.train)
    return {"model": path, **measures, **likely}


def _gap(learned: Learned, measures: dict[str, Any], train: str) -> float:
    """Mean free energy of the data above that of the training data: it grows as a model overfits (the Guide, 6)."""
    rows, _, _ = load_rows(train, like=learned)
    return float(measures["free_energy"] - mean_metrics(learned.model, rows)["free_energy"])


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
