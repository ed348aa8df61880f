"""A training run before it starts: its data described, and every setting resolved."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.analysis.advice import FAR_MEAN
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.model import ModelFile
from featlearn.jobs.callbacks import Say
from featlearn.jobs.classes import Classes, classes_of, index_of
from featlearn.jobs.data import Data
from featlearn.jobs.hidden_targets import HiddenTargets, read_hidden_targets
from featlearn.jobs.hints import FULL, as_bytes
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import shape_words
from featlearn.models import model_class
from featlearn.models.base import DataSummary, Model
from featlearn.patches.pairs import PAIR_CHANNELS
from featlearn.rows import Joined, Labelled, Rows
from featlearn.settings import to_dict
from featlearn.training.config import TrainConfig
from featlearn.training.order import moments, split_rows

EDGES = "k-sparse"
"""The model that learns edges of the generated images without options."""
MOST = 0.5  # of the variance in one value: a warning
HOPELESS_MEAN = 1000  # times as long as rows are far from it: no rate is right for the mean row and the rest
RESTARTS = 2  # at most, of a run whose default learning rate diverges
RESTARTS_ON_CODES = 6  # the same: codes of a layer that has learned little hardly differ from each other


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
        """The rows that are learned from, then those held out, with classes where the model wants them."""
        rows = self.data.rows
        if self.data.validation is not None:
            rows = Joined(rows, self.data.validation.rows)
        return rows if self.classes is None else Labelled(rows, self.classes.index, len(self.classes.names))

    @property
    def held_out(self) -> int:
        """The number of rows of a data set that is held out."""
        return 0 if self.data.validation is None else len(self.data.validation.rows)

    @property
    def validation_digest(self) -> str | None:
        """The digest of that data set."""
        return None if self.data.validation is None else self.data.validation.digest

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
        found = start | to_dict(self.config) | to_dict(self.training)
        return found | {"validation_data": self.validation_digest}

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
    data = data.with_validation(training.validation_data, run.dtype, say)
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
        classes = with_held_out(classes, data)
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


def with_held_out(classes: Classes, data: Data) -> Classes:
    """Return classes of rows with those of the data set that is held out after them. Raises DataError."""
    held_out = data.validation
    if held_out is None:
        return classes
    if held_out.labels is None:
        raise DataError(f"{show(held_out.name)}: has no labels; extract it again with --labels")
    index, strange = index_of(held_out.labels, held_out.label_names, classes.names)
    if strange:
        raise DataError(
            f"{show(held_out.name)}: has rows of class {strange}, which {show(data.name)} does not have; "
            "leave those rows out"
        )
    return replace(classes, index=np.concatenate([classes.index, index]))


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
