"""Model files measured on a data set file."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featlearn.analysis.advice import of_classifier
from featlearn.analysis.coding import Coding, CodingConfig, Extent, codings
from featlearn.analysis.likelihood import (
    FEWEST,
    LikelihoodConfig,
    is_binary,
    likelihoods,
    machine_of,
    resolve,
)
from featlearn.analysis.measures import Activity, Measure, OwnMetrics, Reconstruction, measure, of_filters
from featlearn.analysis.selectivity import Selectivity
from featlearn.cli import advice
from featlearn.cli.classification import (
    Labelled,
    RawErrors,
    Task,
    classify,
    preprocess_key,
    refuse_other_classes,
    refuse_too_few,
)
from featlearn.cli.comparison import LEVELS, Measured, Plot
from featlearn.cli.options import collect
from featlearn.cli.report import Words
from featlearn.cli.store import Learned, load_model, refuse_other_shape, rows_like, warn_of_unfinished
from featlearn.errors import ConfigError, show
from featlearn.files.dataset import Dataset, read_dataset
from featlearn.patches.rows import Rows
from featlearn.rows import Encoded, blocks
from featlearn.training.classifier import ClassifierConfig


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    models: tuple[str, ...]
    dataset: str
    train: str | None
    plot: str | None
    force: bool
    coding: CodingConfig
    likelihood: LikelihoodConfig
    classifier: ClassifierConfig
    seed: int

    @classmethod
    def of(cls, models: tuple[str, ...], dataset: str, settings: dict[str, Any]) -> "Request":
        """From the command's keyword arguments. Raises ConfigError."""
        coding, likelihood = collect(CodingConfig, settings), collect(LikelihoodConfig, settings)
        classifier = collect(ClassifierConfig, settings)
        return cls(models, dataset, coding=coding, likelihood=likelihood, classifier=classifier, **settings)

    @property
    def datasets(self) -> list[str]:
        return [path for path in (self.dataset, self.train) if path is not None]

    @property
    def levels(self) -> list[int]:
        """All numbers of levels that codes are quantised to, ascending: those asked for, and the picture's."""
        return sorted({*self.coding.bins, *(() if self.plot is None else LEVELS)})


def evaluate_models(request: Request, words: Words) -> list[dict[str, Any]]:
    """The rows of the table; the picture is written when all are there. Raises DataError, ConfigError."""
    inputs = [*request.models, *request.datasets]
    plot = None if request.plot is None else Plot(request.plot, request.force, inputs)
    models, raw = [load_model(path) for path in request.models], RawErrors()
    datasets = [read_dataset(path) for path in request.datasets]
    for learned in models:  # what one of them cannot be asked is refused before another has taken its time
        _refuse_unfit(learned, datasets, request)
    if plot and len({preprocess_key(learned) for learned in models}) > 1:
        words.say(
            "warning: --plot: the models' data are preprocessed in several ways; errors have different units"
        )
    data = Preprocessed(datasets)
    keys = [data.key(learned) for learned in models]
    found = {}
    for i in sorted(range(len(models)), key=lambda i: keys.index(keys[i])):  # equal preprocessing together
        found[i] = _measure(models[i], data, request, words, raw)
    measured = [found[i] for i in range(len(models))]
    if plot:
        plot.write(measured, request.coding.bins, request.classifier.per_class or ())
    return [dict(one.row) for one in measured]


def _refuse_unfit(learned: Learned, datasets: list[Dataset], request: Request) -> None:
    resolve(request.likelihood, learned.model)
    for dataset in datasets:
        refuse_other_shape(dataset.path, dataset, learned)
    if request.train is None:
        return
    unlabelled = [dataset.path for dataset in datasets if dataset.labels is None]
    empty = np.zeros((1, learned.preprocess.n_visible), learned.model.dtype)
    if not unlabelled:
        refuse_other_classes(*datasets)
        refuse_too_few(datasets[1], request.classifier.per_class or ())
    elif request.classifier.per_class:
        raise ConfigError(f"--per-class: {show(unlabelled[0])} has no labels; extract it again with --labels")
    elif "free_energy" not in learned.model.extra_metrics(empty):
        raise ConfigError(
            f"--train: {learned.path} is a {learned.file.model} model without a free energy, and a classifier needs "
            "labels in both data sets; extract them with --labels, or leave --train out"
        )


@dataclass
class Preprocessed:
    """The rows of data sets, kept while models have the same preprocessing."""

    datasets: list[Dataset]
    made: dict[tuple[Any, ...], list[Rows]] = field(default_factory=dict)

    def key(self, learned: Learned) -> tuple[Any, ...]:
        """What rows of models with equal preprocessing share."""
        return *preprocess_key(learned), learned.model.dtype

    def rows(self, learned: Learned) -> list[Rows]:
        """The rows of each data set as that model was trained on. Raises DataError."""
        key = self.key(learned)
        if key not in self.made:
            self.made = {key: [rows_like(dataset, learned) for dataset in self.datasets]}
        return self.made[key]


def _measure(
    learned: Learned, data: Preprocessed, request: Request, words: Words, raw: RawErrors
) -> Measured:
    path, model = learned.path, learned.model
    dataset, *others = data.datasets
    rows, *train_rows = data.rows(learned)
    warn_of_unfinished(learned, words)
    likely = _likelihoods(path, learned, rows, request, words)
    codes = Encoded(model, rows)
    extent, reconstruction = Extent(), Reconstruction(model)
    of_rows: list[Measure] = [reconstruction, Activity(model, codes.width), OwnMetrics(model), extent]
    if dataset.labels is not None:
        of_rows.append(Selectivity(codes.width, dataset.labels))
    measures = measure(codes, of_rows, dataset.labels)
    of_classes = {key: measures.pop(key) for key in ("selectivity", "purity") if key in measures}
    measures |= of_filters(model, learned.shape, learned.preprocess)
    coded = codings(model, codes, extent, reconstruction.variance, request.levels)
    measures |= _coding_keys(coded, request.coding) | of_classes
    if train_rows:
        labels = others[0].labels
        if "free_energy" in measures:
            measures["free_energy_gap"] = _gap(learned, measures, train_rows[0])
        if dataset.labels is not None and labels is not None:
            train, test = Labelled(Encoded(model, train_rows[0]), labels), Labelled(codes, dataset.labels)
            measures |= classify(learned, Task.of(train, test, request.classifier, request.seed), words, raw)
    told = _advice(learned, measures, len(dataset.patches))
    advice.say(words, told, f"{path}: ")
    return Measured({"model": path, **measures, **likely, "advice": told}, coded)


def _advice(learned: Learned, measures: dict[str, Any], n: int) -> list[dict[str, str]]:
    """What there is to say of a model measured on n rows."""
    judged = advice.known_of_run(learned.file.progress) | measures | of_classifier(measures, n)
    if not advice.textured(learned.preprocess, learned.shape):
        judged.pop("orientation_gain", None)
    whitened = learned.preprocess.spec.whiten != "none"
    return advice.advise(learned.model, learned.file.training, judged, whitened)


def _coding_keys(coded: list[Coding], config: CodingConfig) -> dict[str, float]:
    """Those that the table shows, in the order in which they were asked for."""
    of = {coding.bins: coding for coding in coded}
    found: dict[str, float] = {}
    for q in config.bins:
        found |= {f"bits_{q}": of[q].bits_per_pixel, f"rmse_{q}": of[q].rmse, f"rmse_std_{q}": of[q].rmse_std}
    return found


def _gap(learned: Learned, measures: dict[str, Any], train: Rows) -> float:
    """Mean free energy of the data above that of the training data: it grows as a model overfits (the Guide,
    6)."""
    own = OwnMetrics(learned.model)
    for X in blocks(train):
        own.see(X, X, None)
    return float(measures["free_energy"] - own.result()["free_energy"])


def _likelihoods(path: str, learned: Learned, rows: Rows, request: Request, words: Words) -> dict[str, Any]:
    machine = machine_of(learned.model)
    if machine is not None and machine.variance is None and not is_binary(rows):
        words.say(
            f"{path}: likelihoods are of binary pixels drawn from the grey ones; --threshold makes them binary"
        )
    config = resolve(request.likelihood, learned.model)
    if not config.steps:
        return likelihoods(learned.model, rows, config, request.seed)
    with words.progress(config.steps, "annealing steps") as progress:
        found = likelihoods(learned.model, rows, config, request.seed, progress.advance)
    _warn_of_unreliable(path, found, config.ais_chains, words)
    return found


def _warn_of_unreliable(path: str, found: dict[str, Any], chains: int, words: Words) -> None:
    """Say why keys begin with "unreliable_"."""
    if "unreliable_log_z" not in found:
        return
    fewest = min(found["effective_chains"], found["reverse_effective_chains"])
    there, back = (f"{found[f'unreliable_{way}log_z']:.5g}" for way in ("", "reverse_"))
    why = f"{fewest:.3g} of {chains} chains carry all the weight of one of them; take more --ais-betas or --ais-chains"
    if fewest >= FEWEST:
        why = "believe neither"
    words.say(f"warning: {path}: log_z is {there} on the way there and {back} on the way back; {why}")
