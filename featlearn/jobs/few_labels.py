"""Nets that learn a few labelled rows: models that are fine-tuned, and the same nets from random weights."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn import ranks
from featlearn.errors import ConfigError, DivergedError, show
from featlearn.files.dataset import Dataset
from featlearn.jobs.callbacks import Bar, Progress, Say, never
from featlearn.jobs.classification import Labelled, Task, means_and_spreads, preprocess_key
from featlearn.jobs.data import Data
from featlearn.jobs.finetune import plan_finetuning, with_unlabelled
from featlearn.jobs.finetune_settings import FewLabels, Finetuning
from featlearn.jobs.plan import Plan
from featlearn.jobs.run_log import RunLog
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import LoadedModel
from featlearn.jobs.training_run import Watch, fresh, train_with_restarts
from featlearn.models.base import IsClassifier, Model
from featlearn.models.settings.network import HiddenRegularization
from featlearn.ops.activations import ACTIVATIONS
from featlearn.ops.softmax import predicted
from featlearn.patches.rows import Rows as PatchRows
from featlearn.rows import Float64, Index, Rows, Selected, edges
from featlearn.settings import SEEDS
from featlearn.training.classifier import ClassifierConfig
from featlearn.training.config import TrainConfig
from featlearn.training.few_labels import drawn_rows, over_draws

Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class Nets:
    """How nets of few labels begin and learn; `known` are errors of those that begin at random weights."""

    settings: FewLabels
    regularization: HiddenRegularization | None
    training: TrainConfig | None
    known: dict[tuple[Any, ...], Float64] = field(default_factory=dict)

    @property
    def beginnings(self) -> dict[str, Finetuning]:
        """How nets begin, by what their errors are called. Raises ConfigError."""
        found = {"finetuned": Finetuning()}
        for kind in self.settings.kinds:
            if kind not in ACTIVATIONS:
                raise ConfigError(f"--random: got {kind!r}, must be of {', '.join(ACTIVATIONS)}")
            found[f"random_{kind.replace('-', '_')}"] = Finetuning(random=True, activation=kind)
        return found

    def refuse_unfit(self, learned: LoadedModel, train: Dataset, config: ClassifierConfig, seed: int) -> None:
        """Raise ConfigError for nets that cannot be made; those of the fewest rows are."""
        rows = PatchRows(train.patches, learned.preprocess, learned.model.dtype, 0, show(train.path))
        labels = np.unique(np.asarray(train.labels), return_inverse=True)[1].astype(np.int32)
        index = drawn_rows(labels, min(config.per_class or ()), seed, 0)
        for how in self.beginnings.values():
            fresh(_Beginning(self, learned, how, rows, labels, seed, lambda text: None).plan(index, 0))


def errors_of_nets(
    learned: LoadedModel, task: Task, nets: Nets, progress: Progress, say: Say
) -> dict[str, float]:
    """Return means and standard deviations over the draws of the nets' errors, as keys of the table.

    The net of draw i, from 0 on, learns by the seed + i, as featlearn finetune does from a data set of these
    rows. Raises DivergedError.
    """
    rows, labels, config = task.train.codes.rows, task.train.labels, task.config
    begun = {
        what: _Beginning(nets, learned, how, rows, labels, task.seed, _once(say))
        for what, how in nets.beginnings.items()
    }
    first = [drawn_rows(labels, number, task.seed, 0) for number in config.per_class or ()]
    plans = {what: [one.plan(index, 0) for index in first] for what, one in begun.items()}
    keys = {what: one.key(plans[what][0]) for what, one in begun.items()}
    wanted = [what for what, key in keys.items() if key not in nets.known]
    updates = sum(fresh(plan).total_updates for what in wanted for plan in plans[what])
    with progress(math.ceil(config.draws * updates / ranks.size), "updates") as bar:  # of this rank
        for what in wanted:
            nets.known[keys[what]] = over_draws(
                labels, config, task.seed, begun[what].error_on(task.test, bar)
            )
    found = {what: means_and_spreads(what, nets.known[key], config) for what, key in keys.items()}
    return {name: value for one in found.values() for name, value in one.items()}


@dataclass(frozen=True)
class _Beginning:
    """Nets that begin in one way, and the labelled rows of which each learns some."""

    nets: Nets
    learned: LoadedModel
    how: Finetuning
    rows: Rows
    labels: Labels
    seed: int
    say: Say

    def plan(self, index: Index, draw: int) -> Plan:
        """Resolve every setting of a net that learns those rows. Raises ConfigError."""
        drawn = Data(
            self.learned.path, "", self.learned.shape, self.learned.preprocess,
            lambda preprocess: Selected(self.rows, index), self.labels[index],
        )  # fmt: skip
        if self.nets.settings.pseudo_labels:
            drawn = with_unlabelled(
                drawn, replace(drawn, make_rows=lambda preprocess: self.rows, labels=None)
            )
        run = RunSettings(seed=(self.seed + draw) % SEEDS, dtype=self.learned.model.dtype.name)
        return plan_finetuning(
            self.learned, drawn, finetuning=self.how, regularization=self.nets.regularization,
            training=self.nets.training, run=run, retry=True, given=(), say=self.say,
        )  # fmt: skip

    def key(self, plan: Plan) -> tuple[Any, ...]:
        """Return what nets of equal errors share: random weights know nothing of a model but its shape."""
        if not self.how.random:
            return (self.learned.path,)
        return *preprocess_key(self.learned), self.learned.model.dtype, plan.config

    def error_on(self, test: Labelled, bar: Bar) -> Callable[[Index, int], float]:
        """Return what makes the net of a draw and returns its error, the share of `test` in the wrong class.

        It raises DivergedError.
        """
        log = RunLog(None, False, False, (), self.say)
        watch = Watch(self.say, lambda total, unit: nullcontext(bar), never, never, math.inf, log)

        def error(index: Index, draw: int) -> float:
            plan = self.plan(index, draw)
            try:
                _, run = train_with_restarts(plan, fresh(plan), {}, None, watch)
            except DivergedError as found:
                place = f"{show(self.learned.path)}: draw {draw + 1} of {len(index)} rows"
                raise DivergedError(f"{place}: {found}") from found
            return _share_wrong(run.model, test.codes.rows, test.labels)

        return error


def _share_wrong(model: Model, rows: Rows, labels: Labels) -> float:
    """Return the share of rows that a net puts into the wrong class."""
    assert isinstance(model, IsClassifier)
    wrong = [
        np.count_nonzero(predicted(model.probabilities(rows.block(start, stop))) != labels[start:stop])
        for start, stop in edges(len(rows))
    ]
    return sum(wrong) / len(rows)


def _once(say: Say) -> Say:
    """Return what says each sentence once."""
    said: set[str] = set()

    def tell(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return tell
