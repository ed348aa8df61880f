"""Model files measured on a data set file."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.analysis.evaluate import evaluate, mean_metrics
from featlearn.analysis.likelihood import LikelihoodConfig, is_binary, likelihoods, refuse_unfit
from featlearn.cli.classification import Labelled, RawErrors, classify, refuse_other_classes
from featlearn.cli.options import collect
from featlearn.cli.report import Words
from featlearn.cli.store import Learned, load_model, load_rows, refuse_other_shape
from featlearn.errors import ConfigError
from featlearn.files.dataset import read_dataset
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
    models, raw = [load_model(path) for path in request.models], RawErrors()
    for learned in models:  # what one of them cannot be asked is refused before another has taken its time
        _refuse_unfit(learned, request)
    return [_row(learned, request, words, raw) for learned in models]


def _refuse_unfit(learned: Learned, request: Request) -> None:
    refuse_unfit(learned.model, request.likelihood)
    datasets = [read_dataset(path) for path in (request.dataset, request.train) if path]
    for dataset in datasets:
        refuse_other_shape(dataset.path, dataset, learned)
    if request.train is None:
        return
    labelled = all(dataset.labels is not None for dataset in datasets)
    empty = np.zeros((1, learned.preprocess.n_visible), learned.model.dtype)
    if labelled:
        refuse_other_classes(*datasets)
    elif "free_energy" not in learned.model.extra_metrics(empty):
        raise ConfigError(
            f"--train: {learned.path} is a {learned.file.model} model without a free energy, and a classifier needs "
            "labels in both data sets; extract them with --labels, or leave --train out"
        )


def _row(learned: Learned, request: Request, words: Words, raw: RawErrors) -> dict[str, Any]:
    path = learned.path
    rows, dataset, preprocess = load_rows(request.dataset, like=learned)
    if not learned.file.progress.get("finished", True):
        words.say(f"warning: {path}: its training is not finished; featlearn train --resume goes on with it")
    likely = _likelihoods(path, learned, rows, request, words)
    measures = evaluate(learned.model, rows, learned.shape, preprocess)
    for warning in measures.pop("warnings"):
        words.say(f"warning: {path}: {warning}")
    if request.train is not None:
        train_rows, train_dataset, _ = load_rows(request.train, like=learned)
        if "free_energy" in measures:
            measures["free_energy_gap"] = _gap(learned, measures, train_rows)
        if dataset.labels is not None and train_dataset.labels is not None:
            train, test = Labelled(train_rows, train_dataset.labels), Labelled(rows, dataset.labels)
            measures |= classify(learned, train, test, request.classifier, words, raw)
    return {"model": path, **measures, **likely}


def _gap(learned: Learned, measures: dict[str, Any], train: Rows) -> float:
    """Mean free energy of the data above that of the training data: it grows as a model overfits (the Guide, 6)."""
    return float(measures["free_energy"] - mean_metrics(learned.model, train)["free_energy"])


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
