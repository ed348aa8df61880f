"""What is measured of model files on data set files, and how: the work of evaluate and report."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from featlearn.analysis.advice import of_classifier
from featlearn.analysis.annealing import FEWEST
from featlearn.analysis.coding import Coding, CodingConfig, Extent, codings
from featlearn.analysis.likelihood import is_binary, likelihoods, machines_of, resolve
from featlearn.analysis.likelihood_settings import LikelihoodConfig
from featlearn.analysis.measures import (
    Activity,
    Measure,
    OwnMetrics,
    Reconstruction,
    add_blocks,
    of_filters,
)
from featlearn.analysis.measures import measure as measured_in_one_pass
from featlearn.analysis.selectivity import Selectivity
from featlearn.errors import ConfigError, show
from featlearn.files.dataset import Dataset, read_dataset
from featlearn.jobs import advice
from featlearn.jobs.callbacks import Progress, Say
from featlearn.jobs.classes import errors_of_classes
from featlearn.jobs.classification import (
    Labelled,
    RawErrors,
    Task,
    classify,
    preprocess_key,
    refuse_other_classes,
    refuse_too_few,
)
from featlearn.jobs.comparison import LEVELS, Measured
from featlearn.jobs.few_labels import Nets, errors_of_nets
from featlearn.jobs.finetune_settings import FewLabels
from featlearn.jobs.measure_keys import OTHER, OWN, Asked
from featlearn.jobs.measure_needs import ANNEALED, NETS, OF_MODEL, OF_TRAIN, RANDOM_NETS, refuse_missing
from featlearn.jobs.settings import Seed
from featlearn.jobs.store import (
    LoadedModel,
    load_model,
    refuse_other_patches,
    refuse_others_on_ranks,
    rows_like,
    warn_of_unfinished,
)
from featlearn.models.settings.network import HiddenRegularization
from featlearn.patches.rows import Rows
from featlearn.rows import Array, Encoded
from featlearn.settings import option_name, refuse_idle, refuse_idle_one
from featlearn.training.classifier import ClassifierConfig
from featlearn.training.config import TrainConfig


def paths_of(dataset: str, train: str | None) -> list[str]:
    """Return the paths of the data sets that are read."""
    return [dataset] if train is None else [dataset, train]


@dataclass(frozen=True)
class Opened:
    """Models that were read, and the data sets that they are measured on."""

    models: list[LoadedModel]
    datasets: list[Dataset]

    @property
    def differ(self) -> bool:
        """Whether the models' data are preprocessed in several ways."""
        return len({preprocess_key(learned) for learned in self.models}) > 1


@dataclass
class _Preprocessed:
    """The rows of data sets, kept while models have the same preprocessing."""

    datasets: list[Dataset]
    made: dict[tuple[Any, ...], list[Rows]] = field(default_factory=dict)

    def key(self, learned: LoadedModel) -> tuple[Any, ...]:
        """Return what rows of models with equal preprocessing share."""
        return *preprocess_key(learned), learned.model.dtype

    def rows(self, learned: LoadedModel) -> list[Rows]:
        """Return the rows of each data set as that model was trained on. Raises DataError."""
        key = self.key(learned)
        if key not in self.made:
            self.made = {key: [rows_like(dataset, learned) for dataset in self.datasets]}
        return self.made[key]


@dataclass(frozen=True)
class Measuring:
    """What is measured of each model, and how. Raises ConfigError for the seed."""

    coding: CodingConfig
    likelihood: LikelihoodConfig
    classifier: ClassifierConfig
    nets: Nets
    seed: int
    drawn: bool
    """Whether there will be a picture."""
    progress: Progress
    say: Say
    asked: Asked
    raw: RawErrors = field(default_factory=RawErrors)

    def __post_init__(self) -> None:
        Seed(self.seed)

    @classmethod
    def of(
        cls,
        coding: CodingConfig | None,
        likelihood: LikelihoodConfig | None,
        classifier: ClassifierConfig | None,
        nets: Nets,
        seed: int,
        drawn: bool,
        progress: Progress,
        say: Say,
        asked: Asked | None = None,
    ) -> "Measuring":
        """Return what is said, and the defaults of what is not."""
        return cls(
            coding or CodingConfig(), likelihood or LikelihoodConfig(), classifier or ClassifierConfig(),
            nets, seed, drawn, progress, say, asked or Asked(),
        )  # fmt: skip

    def open(self, models: Sequence[str], dataset: str, train: str | None) -> Opened:
        """Read models and data sets, and refuse what cannot be measured before any work is done.

        Raises DataError, ConfigError.
        """
        if not models:
            raise ConfigError("no MODEL: give one model file or more")
        loaded = [load_model(path) for path in models]
        opened = Opened(loaded, [read_dataset(path) for path in paths_of(dataset, train)])
        refuse_others_on_ranks(*loaded, *opened.datasets)
        for learned in loaded:
            self._refuse_unfit(learned, opened.datasets)
        return opened

    def all(self, opened: Opened) -> list[Measured]:
        """Measure the models on the first data set, and against the second one if there is one.

        Those with equal preprocessing come one after another. Raises DataError, DivergedError.
        """
        data = _Preprocessed(opened.datasets)
        keys = [data.key(learned) for learned in opened.models]
        order = sorted(range(len(keys)), key=lambda i: keys.index(keys[i]))
        found = {i: self._measure(opened.models[i], data) for i in order}
        return [found[i] for i in range(len(keys))]

    @property
    def levels(self) -> list[int]:
        """The numbers of levels that codes are quantised to, ascending: those asked for, the picture's."""
        return sorted({*self.coding.bins, *(LEVELS if self.drawn else ())})

    def refuse_idle(self, given: Collection[str], train: str | None) -> None:
        """Raise ConfigError for given settings that do nothing."""
        settings = self.nets.settings
        for config in (self.coding, self.likelihood, self.classifier, settings):
            refuse_idle(config, given)
        values = {
            "train": train is not None,
            "per_class": self.classifier.per_class,
            "finetune": settings.finetune,
        }
        needed: dict[type[Any], str] = {ClassifierConfig: "train", FewLabels: "per_class"}
        needed |= dict.fromkeys((HiddenRegularization, TrainConfig), "finetune")
        for kind, needs in needed.items():
            for one in fields(kind):
                if one.name in given:
                    refuse_idle_one(one.name, needs, None, values)
        refuse_missing(self.asked, train, self.coding, self.likelihood, self.classifier, settings)
        if train is not None:
            self.asked.refuse_idle("--train", *OF_TRAIN)
        served: dict[type[Any], tuple[str, ...]] = {LikelihoodConfig: ANNEALED}
        if not self.drawn:
            served |= {CodingConfig: ("coding",), ClassifierConfig: ("classifier",)}
            served |= dict.fromkeys((FewLabels, HiddenRegularization, TrainConfig), NETS)
            if settings.random is not None:
                self.asked.refuse_idle("--random", *RANDOM_NETS)
        for kind, names in served.items():
            for one in fields(kind):
                if one.name in given:
                    self.asked.refuse_idle(option_name(one.name), *names)

    def _refuse_unfit(self, learned: LoadedModel, datasets: list[Dataset]) -> None:
        """Raise ConfigError or DataError where a model cannot be measured so."""
        resolve(self.likelihood, learned.model)
        for dataset in datasets:
            refuse_other_patches(dataset, learned, self.say)
        if len(datasets) == 1:
            return
        unlabelled = [dataset.path for dataset in datasets if dataset.labels is None]
        empty = np.zeros((1, learned.preprocess.n_visible), learned.model.dtype)
        if not unlabelled:
            refuse_other_classes(*datasets)
            refuse_too_few(datasets[1], self.classifier.per_class or ())
            if self.nets.settings.finetune:
                self.nets.refuse_unfit(learned, datasets[1], self.classifier, self.seed)
        elif self.classifier.per_class:
            raise ConfigError(
                f"--per-class: {show(unlabelled[0])} has no labels; extract it again with --labels"
            )
        elif learned.model.labelled or "free_energy" not in learned.model.extra_metrics(empty):
            raise ConfigError(
                f"--train: {learned.path} is a {learned.file.model} model without a free energy, "
                "and a classifier "
                "needs labels in both data sets; extract them with --labels, or leave --train out"
            )

    def _measure(self, learned: LoadedModel, data: _Preprocessed) -> Measured:
        """Measure one model."""
        path, model = learned.path, learned.model
        dataset, *others = data.datasets
        rows, *train_rows = data.rows(learned)
        warn_of_unfinished(learned, self.say)
        wants = self.asked.wants
        likely = self._likelihoods(path, learned, rows) if wants(*ANNEALED) else {}
        codes = Encoded(model, rows)
        extent, reconstruction = Extent(), Reconstruction(model)
        quantised = model.decodes and (self.drawn or wants("coding"))
        of_rows: list[Measure] = []
        if quantised or ((model.decodes or model.of_pairs) and wants("reconstruction")):
            of_rows.append(reconstruction)
        if wants("code"):
            of_rows.append(Activity(model, codes.width))
        if quantised:
            of_rows.append(extent)
        if not model.labelled and wants(*OWN, OTHER):
            of_rows.append(OwnMetrics(model))
        if dataset.labels is not None and wants("classes"):
            of_rows.append(Selectivity(codes.width, dataset.labels))
        measures = measured_in_one_pass(codes, of_rows, dataset.labels) if of_rows else {}
        of_classes = {key: measures.pop(key) for key in ("selectivity", "purity") if key in measures}
        if wants("filters"):
            measures |= of_filters(model, learned.shape, learned.preprocess)
        coded = []
        if quantised:
            coded = codings(model, codes, extent, reconstruction.variance, self.levels)
        if model.labelled and dataset.labels is not None and wants(*OF_MODEL):
            measures |= errors_of_classes(learned, rows, dataset, self.say)
        measures |= _coding_keys(coded, self.coding) | of_classes
        if train_rows:
            labels = others[0].labels
            if "free_energy" in measures and wants("free_energy_gap"):
                measures["free_energy_gap"] = _gap(learned, measures, train_rows[0])
            tells = wants(*OF_TRAIN[1:]) or (self.drawn and self.classifier.per_class)
            if dataset.labels is not None and labels is not None and tells:
                train, test = Labelled(Encoded(model, train_rows[0]), labels), Labelled(codes, dataset.labels)
                task = Task.of(train, test, self.classifier, self.seed)
                measures |= classify(learned, task, self.progress, self.raw)
                if self.nets.settings.finetune and (self.drawn or wants(*NETS)):
                    measures |= errors_of_nets(learned, task, self.nets, self.progress, self.say)
        told = _advice(learned, measures, len(dataset.patches))
        advice.say_all(self.say, told, f"{path}: ")
        return Measured({"model": path, **measures, **likely, "advice": told}, coded)

    def _likelihoods(self, path: str, learned: LoadedModel, rows: Rows) -> dict[str, Any]:
        machines = machines_of(learned.model)
        asked = len(machines) == 1 or self.likelihood.likelihood is not None
        if machines and asked and machines[0].variance is None and not is_binary(rows):
            self.say(
                f"{path}: likelihoods are of binary pixels drawn from the grey ones; "
                "--threshold makes them binary"
            )
        config = resolve(self.likelihood, learned.model)
        if not config.steps:
            return likelihoods(learned.model, rows, config, self.seed)
        with self.progress(config.steps, "annealing steps") as bar:
            found = likelihoods(learned.model, rows, config, self.seed, bar.advance)
        _warn_of_unreliable(path, found, config.ais_chains, self.say)
        return found


def _advice(learned: LoadedModel, measures: dict[str, Any], n: int) -> list[dict[str, str]]:
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
    for q in config.bins if coded else ():
        found |= {f"bits_{q}": of[q].bits_per_pixel, f"rmse_{q}": of[q].rmse, f"rmse_std_{q}": of[q].rmse_std}
    return found


def _gap(learned: LoadedModel, measures: dict[str, Any], train: Rows) -> float:
    """Return the mean free energy of the data above that of the training data.

    It grows as a model overfits (the Guide, section 6).
    """
    own = OwnMetrics(learned.model)

    def block(start: int, stop: int) -> tuple[Array, Array, None]:
        X = train.block(start, stop)
        return X, X, None

    add_blocks([own], len(train), block)
    return float(measures["free_energy"] - own.result()["free_energy"])


def _warn_of_unreliable(path: str, found: dict[str, Any], chains: int, say: Say) -> None:
    """Say why keys begin with "unreliable_"."""
    if "unreliable_log_z" not in found:
        return
    fewest = min(found["effective_chains"], found["reverse_effective_chains"])
    there, back = (f"{found[f'unreliable_{way}log_z']:.5g}" for way in ("", "reverse_"))
    why = (
        f"{fewest:.3g} of {chains} chains carry all the weight of one of them; "
        "take more --ais-betas or --ais-chains"
    )
    if fewest >= FEWEST:
        why = "believe neither"
    say(f"warning: {path}: log_z is {there} on the way there and {back} on the way back; {why}")
