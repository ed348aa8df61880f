"""A training run before it starts: its data described, and every setting resolved."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.analysis.advice import FAR_MEAN
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.dataset import Dataset, read_dataset
from featlearn.files.model import ModelFile
from featlearn.jobs.callbacks import Say
from featlearn.jobs.classes import Classes, classes_of
from featlearn.jobs.hidden_targets import HiddenTargets, read_hidden_targets
from featlearn.jobs.hints import FULL, as_bytes
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import LoadedModel, refuse_other_shape, shape_words
from featlearn.models import model_class
from featlearn.models.base import DataSummary, Model
from featlearn.patches import dots
from featlearn.patches.dead_leaves import Generated
from featlearn.patches.fitter import Fitter
from featlearn.patches.pairs import PAIR_CHANNELS
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows as PatchRows
from featlearn.patches.settings import WHOLE, Extraction, PreprocessSpec
from featlearn.patches.survey import survey
from featlearn.rows import Labelled, Rows
from featlearn.settings import to_dict
from featlearn.training.config import TrainConfig
from featlearn.training.order import moments, split_rows

EDGES = "k-sparse"
"""The model that learns edges of the generated images without options."""
DEMO_PATCHES = 10_000
MOST = 0.5  # of the variance in one value: a warning
HOPELESS_MEAN = 1000  # times as long as rows are far from it: no rate is right for the mean row and the rest
RESTARTS = 2  # at most, of a run whose default learning rate diverges
RESTARTS_ON_CODES = 6  # the same: codes of a layer that has learned little hardly differ from each other


@dataclass(frozen=True)
class Data:
    """What is learned from; its rows are made when they are first asked for.

    Codes are those of the layer below.
    """

    name: str
    digest: str
    shape: tuple[int, int, int]
    preprocess: Preprocess
    make_rows: Callable[[Preprocess], Rows]
    labels: npt.NDArray[Any] | None = None
    """(n,) the class of each row, as in a data set; of those of `known` class alone."""
    label_names: Sequence[str] | None = None
    known: npt.NDArray[np.bool_] | None = None
    """(n,) whether the class of a row is known; None: of all that are labelled."""
    are_codes: bool = False

    @cached_property
    def rows(self) -> Rows:
        return self.make_rows(self.preprocess)

    def divided(self, by: float) -> "Data":
        """The same with all values divided by a number."""
        return self if by == 1 else replace(self, preprocess=self.preprocess.divided(by))


@dataclass(frozen=True)
class Start:
    """Where a run begins, if not at weights of its own: a model's content hash, and params in its place.

    Params that are not there begin as in any run.
    """

    digest: str
    params: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A run before it starts: data and their mean row (visible,), and every setting resolved.

    `restarts` have halved its learning rate so often; one that was said is not halved. Layers of a stack draw
    from a `stream` of random numbers each.
    """

    model: str
    run: RunSettings
    data: Data
    mean: npt.NDArray[np.float64]
    config: Any
    training: TrainConfig
    can_restart: bool
    classes: Classes | None = None
    restarts: int = 0
    stream: int = 0
    start: Start | None = None
    refit: Mapping[str, Any] | None = None
    hidden_targets: HiddenTargets | None = None

    @property
    def rows(self) -> Rows:
        """The rows that are learned from, with their classes where the model wants them."""
        if self.classes is None:
            return self.data.rows
        return Labelled(self.data.rows, self.classes.index, len(self.classes.names))

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides what comes out, as plain values."""
        start = {
            "model": self.model,
            "dtype": self.run.dtype,
            "seed": self.run.seed,
            "data set": self.data.digest,
            "starting model": None if self.start is None else self.start.digest,
            "refit": self.refit,
            "content of --hidden-targets": self.hidden_targets and self.hidden_targets.digest,
        }
        return start | to_dict(self.config) | to_dict(self.training)

    def restarted(self) -> "Plan | None":
        """Return this run at half its learning rate; None where that was given, or halved often enough."""
        lr = self.training.lr
        most = RESTARTS_ON_CODES if self.data.are_codes else RESTARTS
        if lr is None or not self.can_restart or self.restarts == most:
            return None
        return replace(self, training=replace(self.training, lr=lr / 2), restarts=self.restarts + 1)

    def as_in(self, file: ModelFile) -> "Plan":
        """Return this run after as many restarts as that of a file, if it may come to them."""
        plan: Plan | None = self
        while plan is not None and plan.restarts != file.progress.get("restarts"):
            plan = plan.restarted()
        return plan or self


def make_plan(
    data: Data,
    model: str,
    settings: Any,
    training: TrainConfig,
    run: RunSettings,
    retry: bool,
    say: Say,
    stream: int = 0,
) -> Plan:
    """Resolve the `settings` of a model, and those of the training. Raises DataError, ConfigError."""
    cls, can_restart = model_class(model), retry and training.lr is None
    _refuse_single(data, cls)
    train_rows, _ = split_rows(len(data.rows), training, run.seed)
    mean, variances = moments(data.rows, train_rows)
    classes = None
    if cls.labelled:
        classes = classes_of(data.name, data.labels, data.label_names, model)
        if data.known is not None:
            index = np.full(len(data.known), -1)
            index[data.known] = classes.index
            classes = replace(classes, index=index)
    pixels, variance = data.preprocess, math.fsum(variances)
    square = variance + math.fsum(np.square(mean))
    whitened = pixels.spec.whiten != "none"
    summary = DataSummary(
        pixels.n_visible, pixels.low, pixels.high, len(train_rows), variance, square, whitened,
        None if classes is None else len(classes.names),
    )  # fmt: skip
    scale = training.scale(cls, settings, summary)
    if scale != 1 and training.data_scale is None:
        found = f"the data's standard deviation is {summary.spread:.2g}: values are divided by {scale:g}"
        other = "--data-scale 1 leaves them as they are"
        if as_bytes(pixels) and not data.are_codes:
            other = f"if they are pixels, 0..{FULL}, take --data-scale {FULL}, which makes them 0..1"
        say(f"{found}, which suits --model {cls.id}; {other}")
    # probabilities are never so far away
    hopeless = math.inf if summary.known_within(0, 1) else HOPELESS_MEAN
    summary = summary.divided(scale)
    config = cls.resolve(settings, summary)
    if cls.descends() and not data.are_codes:  # the rest is exact, or cannot be helped
        _warn_of_unequal(variances, say)
    if not (cls.takes_mean_off(config) or data.are_codes):
        _warn_of_mean(square, variance, hopeless, data.name, say)
    doubts = cls.doubts(config, summary)
    if doubts:
        say(f"warning: {doubts}")
    training = replace(training, data_scale=scale).resolve(cls, config, summary)
    plan = Plan(model, run, data.divided(scale), mean / scale, config, training, can_restart)
    wanted, path = None, getattr(config, "hidden_targets", None)
    if path is not None:
        binary = config.units == "binary"
        wanted = read_hidden_targets(path, len(data.rows), config.hidden, binary, run.dtype)
    return replace(plan, classes=classes, stream=stream, hidden_targets=wanted)


def _refuse_single(data: Data, cls: type[Model]) -> None:
    """Raise DataError where a model of pairs is to learn of rows that are none."""
    if cls.of_pairs and (data.are_codes or data.shape[2] not in PAIR_CHANNELS):
        found = "codes" if data.are_codes else f"patches {shape_words(data.shape)}"
        raise DataError(
            f"{show(data.name)}: {found}, but --model {cls.id} learns of pairs of pictures, "
            "two planes a patch; extract with --pairs, or from shifted-dots"
        )


def _warn_of_unequal(variances: npt.NDArray[np.float64], say: Say) -> None:
    """Say where one value has most of all variance."""
    total, largest = math.fsum(variances), int(np.argmax(variances))
    if len(variances) > 3 and variances[largest] > MOST * total:
        say(
            f"warning: value {largest + 1} of {len(variances)} has {variances[largest] / total:.0%} of all "
            "variance, so little will be learned of the others; "
            "extract with --normalize standardize to give all the same"
        )


def _warn_of_mean(square: float, variance: float, hopeless: float, name: str, say: Say) -> None:
    """Say where rows differ by little from what they have in common.

    Raises DataError beyond `hopeless` times that.
    """
    if not square > FAR_MEAN**2 * variance > 0:
        return
    found = f"the mean row is {math.sqrt(square / variance - 1):.2g} times as long as rows are far from it"
    remedy = "extract with --normalize standardize to take it off"
    if square > hopeless**2 * variance:
        raise DataError(
            f"{show(name)}: {found}, too far to learn the rest; {remedy}, or use --model k-sparse"
        )
    say(f"warning: {found}; {remedy}")


def data_like(path: str, learned: LoadedModel, run: RunSettings) -> tuple[Dataset, Data]:
    """Read and describe a data set, its rows preprocessed as those of a model. Raises DataError."""
    dataset = read_dataset(path)
    refuse_other_shape(path, dataset, learned)
    make = partial(PatchRows, dataset.patches, dtype=np.dtype(run.dtype), name=show(path))
    return dataset, Data(
        path, dataset.digest, dataset.shape, learned.preprocess, make,
        labels=dataset.labels, label_names=dataset.label_names,
    )  # fmt: skip


def refuse_scale(training: Any) -> None:
    """Raise ConfigError for another divisor than that of the model that a run begins at."""
    if training.data_scale not in (None, 1):
        raise ConfigError("--data-scale: rows are divided as the model has learned from them; leave it out")


def say_what_to_expect(model: str, config: Any, training: Any, say: Say) -> None:
    """Say what the filters of generated images will look like, where a newcomer waits for edges in vain."""
    cls = model_class(model)
    shows = cls.defaults.shows.get(training.decay) if config == cls.Config(hidden=config.hidden) else None
    if shows is not None:
        say(f"expect {shows}; edges of the same images: featlearn train --model {EDGES}")


def describe_data(path: str | None, model: str, run: RunSettings, say: Say) -> Data:
    """Describe a data set; without one, dead-leaves patches made for the model. Raises DataError."""
    if path is not None:
        dataset = read_dataset(path)
        preprocess = Preprocess.from_dict(dataset.preprocess)
        make_rows = partial(PatchRows, dataset.patches, dtype=np.dtype(run.dtype), name=show(path))
        return Data(
            path, dataset.digest, dataset.shape, preprocess, make_rows, dataset.labels, dataset.label_names
        )
    if model_class(model).labelled:
        raise DataError(f"--model {model}: learns classes of labelled rows; give a data set with labels")
    demo = dict(model_class(model).defaults.patches)
    size, kind = demo.pop("size"), demo.pop("images", "dead-leaves")
    if kind in dots.NAMES:
        say(f"no data set given: learning from {DEMO_PATCHES:,} pairs of {kind}")
        plan = survey([dots.GeneratedPairs(kind, DEMO_PATCHES, size, run.seed)], Extraction(WHOLE))
    else:
        say(f"no data set given: learning from {DEMO_PATCHES:,} patches of {kind} images")
        plan = survey([Generated(kind, 16, seed=run.seed)], Extraction((size, size), count=DEMO_PATCHES))
    patches = np.concatenate([block.patches for block in plan.blocks()])
    fitter = Fitter(PreprocessSpec(**demo).resolve(), patches.shape[1], patches.dtype)
    fitter.update(patches)
    preprocess = fitter.finish()
    name = f"{kind}, seed {run.seed}"
    return Data(name, name, plan.shape, preprocess, partial(PatchRows, patches, dtype=np.dtype(run.dtype)))
