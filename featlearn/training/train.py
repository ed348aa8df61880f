"""The training loop, once for all models: minibatch order, momentum, decay, schedules, stopping, history.

A run is a `Training`: all that it needs to go on stands in its fields, so that a checkpoint is those fields and nothing
else (random numbers are counted, there is no generator to save). Between a model's gradient and the update there is one
place where gradients of several workers would be summed.
"""

import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from featlearn import _core
from featlearn.errors import ConfigError, DivergedError
from featlearn.models.base import Array, Model, Phase, Step
from featlearn.random import Purpose, Random
from featlearn.settings import check, setting
from featlearn.training import schedules
from featlearn.training.optim import SGD, Decay

Index = npt.NDArray[np.int64]
BLOCK = 1 << 16  # rows that are shuffled together: data larger than memory are read block by block
MEAN_ROWS = 100_000
PROBE = 1000  # training rows whose reconstruction error is followed
DECAY_WEIGHTS = {"none": 0.0, "l1": 0.01, "l2": 0.1}  # the blog's settings


class Rows(Protocol):
    """Training data: preprocessed rows on demand."""

    def __len__(self) -> int: ...
    def take(self, index: Index) -> Array: ...


@dataclass(frozen=True)
class TrainConfig:
    """How to train, whatever the model."""

    epochs: int = setting(20, "passes over the data", low=1)
    batch_size: int = setting(100, "rows in a minibatch", low=1)
    lr: float = setting(0.01, "learning rate", above=0)
    lr_schedule: str = setting(
        "constant",
        "learning rate over the run: constant, linear (to 0) or exponential (to a hundredth)",
        choices=("constant", "linear", "exponential"),
    )
    momentum: float = setting(0.9, "momentum", low=0, below=1)
    initial_momentum: float = setting(0.5, "momentum of the first --initial-epochs", low=0, below=1)
    initial_epochs: int = setting(0, "epochs with the initial momentum", low=0)
    decay: str = setting("none", "weight decay; not applied to biases", choices=("none", "l1", "l2"))
    decay_weight: float | None = setting(
        None,
        "strength of the decay, multiplied by the learning rate  [default: 0.01 for l1, 0.1 for l2]",
        low=0,
    )
    l1_method: str = setting(
        "soft",
        "L1 by soft threshold (weights become exactly zero) or by subgradient",
        choices=("soft", "subgradient"),
    )
    validation: float = setting(0.0, "share of the rows held out for validation", low=0, below=1)
    patience: int | None = setting(
        None,
        "stop when the validation error has not fallen for so many epochs; the best model is kept",
        low=1,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.patience is not None and not self.validation:
            raise ConfigError("--patience needs held-out rows: give --validation, e.g. 0.1")
        if self.decay == "none" and self.decay_weight:
            raise ConfigError(f"--decay-weight {self.decay_weight:g} without a decay: add --decay l1 or l2")

    def weight_decay(self) -> Decay:
        weight = DECAY_WEIGHTS[self.decay] if self.decay_weight is None else self.decay_weight
        return Decay(
            l1=weight if self.decay == "l1" else 0.0,
            l2=weight if self.decay == "l2" else 0.0,
            soft=self.l1_method == "soft",
        )


@dataclass
class Progress:
    """Where a run stands, in plain numbers (JSON-able)."""

    phase: int = 0
    epoch: int = 0  # within the phase
    batch: int = 0  # within the epoch
    step: int = 0  # over all phases
    epochs_done: int = 0  # over all phases: rows of the history
    finished: bool = False
    diverged: bool = False
    best_error: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)  # of this epoch's metrics
    first_errors: list[float] = field(default_factory=list)  # what divergence is measured against


class Training:
    """A run of `model` over `rows`. Raises ConfigError when the data cannot make a minibatch."""

    def __init__(self, model: Model, rows: Rows, config: TrainConfig, seed: int = 0) -> None:
        self.model, self.rows, self.config, self.seed = model, rows, config, seed
        self.rng = Random(seed)
        self.phases: list[Phase] = model.phases()
        self.progress = Progress()
        self.optimizer = SGD()
        self.history: dict[str, list[float]] = {}
        self.good = self._snapshot()
        self.best: dict[str, Array] | None = None
        self.train_rows, self.validation_rows = split_rows(len(rows), config, seed)
        if len(self.train_rows) < config.batch_size:
            raise ConfigError(
                f"--batch-size {config.batch_size}: only {len(self.train_rows)} training rows; take a smaller batch"
            )
        if config.validation and not len(self.validation_rows):
            raise ConfigError(f"--validation {config.validation:g} of {len(rows)} rows holds out none; take more")

    @property
    def batches(self) -> int:
        """Minibatches an epoch; the last may be smaller."""
        return math.ceil(len(self.train_rows) / self.config.batch_size)

    @property
    def phase(self) -> Phase:
        return self.phases[self.progress.phase]

    def updates(self, phase: Phase) -> int:
        """Minibatch updates in all of `phase`."""
        return self.config.epochs * self.batches if phase.updates is None else phase.updates

    @property
    def total_updates(self) -> int:
        return sum(self.updates(phase) for phase in self.phases)

    def run(
        self,
        on_batch: Callable[["Training"], bool] = lambda training: False,
        on_epoch: Callable[["Training"], None] = lambda training: None,
    ) -> bool:
        """Train to the end, or until `on_batch` answers True; True when finished. Raises DivergedError, ConfigError.

        Can be called again (also on a Training restored from a checkpoint) and goes on where it stood.
        """
        # numpy's BLAS would start a second pool of threads that starves ours
        with threadpool_limits(limits=1, user_api="blas"), np.errstate(over="ignore", invalid="ignore"):
            while not self.progress.finished:
                for batch in self._epoch_batches():
                    started = time.perf_counter()
                    self._update(batch)
                    self.progress.seconds += time.perf_counter() - started
                    if self._epoch_ends():
                        self._end_epoch()
                        on_epoch(self)
                        if on_batch(self):
                            return self.progress.finished
                        break
                    if on_batch(self):
                        return False
        return True

    def _epoch_batches(self) -> Iterator[Index]:
        order = self.train_rows[epoch_order(len(self.train_rows), self.rng, self.progress.epochs_done)]
        size = self.config.batch_size
        for i in range(self.progress.batch, self.batches):
            yield order[i * size : (i + 1) * size]

    def _update(self, batch: Index) -> None:
        at, phase, config = self.progress, self.phase, self.config
        done = at.epoch * self.batches + at.batch
        step = Step(at.step, self.seed, progress=done / self.updates(phase))
        metrics, grads = phase.gradient(self.rows.take(batch), step)
        # here gradients of several workers would be summed, in fixed panels
        self._check_divergence(metrics["error"])
        lr = config.lr if phase.lr is None else phase.lr
        self.optimizer.update(
            self.model.params,
            grads,
            schedules.learning_rate(config.lr_schedule, lr, step.progress),
            schedules.momentum(config.initial_momentum, config.momentum, config.initial_epochs, at.epochs_done),
            config.weight_decay() if phase.decay else Decay(),
            self.model.decayed,
        )
        self.model.project()
        for key, value in metrics.items():
            at.sums[key] = at.sums.get(key, 0.0) + value
        at.batch += 1
        at.step += 1

    def _epoch_ends(self) -> bool:
        at = self.progress
        return at.batch == self.batches or at.epoch * self.batches + at.batch == self.updates(self.phase)

    def _end_epoch(self) -> None:
        at = self.progress
        self._check_weights()
        row: dict[str, float] = {"epoch": at.epochs_done + 1, "phase": at.phase, "step": at.step}
        row |= {key: total / at.batch for key, total in at.sums.items()}
        row |= self.measure(self.train_rows[:PROBE])
        if len(self.validation_rows):
            row |= {f"validation_{key}": value for key, value in self.measure(self.validation_rows).items()}
        row["weight_norm"] = math.sqrt(np.square(self.model.params["W"], dtype=np.float64).sum())
        row["seconds"] = at.seconds
        for key, value in row.items():
            self.history.setdefault(key, []).append(value)
        self.good = self._snapshot()
        at.epochs_done += 1
        at.epoch += 1
        at.batch = 0
        at.sums = {}
        over = at.epoch * self.batches >= self.updates(self.phase) or self._stops_early(row)
        if over:
            at.phase, at.epoch, at.first_errors = at.phase + 1, 0, []
            self.optimizer = SGD()
            at.finished = at.phase == len(self.phases)

    def _stops_early(self, row: dict[str, float]) -> bool:
        """Follow the best validation error of this phase; at its end, early or not, its model is put back."""
        at = self.progress
        if self.config.patience is None:
            return False
        if at.best_error is None or at.epoch == 1 or row["validation_rmse"] < at.best_error:
            at.best_error, at.best_epoch = row["validation_rmse"], at.epoch
            self.best = {key: value.copy() for key, value in self.model.params.items()}
        stop = at.epoch - at.best_epoch >= self.config.patience
        if self.best is not None and (stop or at.epoch * self.batches >= self.updates(self.phase)):
            for key, value in self.best.items():
                self.model.params[key][...] = value
        return stop

    def measure(self, index: Index) -> dict[str, float]:
        """Over those rows: "rmse", of reconstruct(x) - x in units of the preprocessed data, and the model's own."""
        total, n, sums = 0.0, 0, dict[str, float]()
        for start in range(0, len(index), PROBE):
            X = self.rows.take(index[start : start + PROBE])
            squares = np.empty(len(X), np.float64)
            _core.row_sqdist(squares, X, self.model.reconstruct(X))
            total, n = total + math.fsum(squares), n + X.size
            for key, value in self.model.extra_metrics(X).items():
                sums[key] = sums.get(key, 0.0) + value * len(X)
        return {"rmse": math.sqrt(total / n)} | {key: value / len(index) for key, value in sums.items()}

    def _check_divergence(self, error: float) -> None:
        """A non-finite error, or ten times the median of the phase's first: then the weights are already lost."""
        at = self.progress
        if len(at.first_errors) < 20:
            at.first_errors.append(error)
        start = statistics.median(at.first_errors)
        if not math.isfinite(error) or error > 10 * start:
            self._diverge(f"error {error:.3g} (began at {at.first_errors[0]:.3g})")

    def _check_weights(self) -> None:
        for name, w in self.model.params.items():
            largest = float(np.abs(w).max(initial=0.0))
            if not largest <= 1e3:
                self._diverge(f"largest value of {name} is {largest:.3g}")

    def _diverge(self, what: str) -> None:
        lr = self.config.lr if self.phase.lr is None else self.phase.lr
        option = "--lr" if self.phase.lr is None else f"--{self.phase.name}-lr"
        self.model.params, self.model.state = self.good
        self.progress.diverged = True
        raise DivergedError(
            f"diverged at epoch {self.progress.epochs_done + 1}, update {self.progress.step + 1}: {what}; "
            f"lower {option}, e.g. {option} {lr / 10:g}"
        )

    def _snapshot(self) -> tuple[dict[str, Array], dict[str, Array]]:
        return copy.deepcopy(self.model.params), copy.deepcopy(self.model.state)

    def checkpoint(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """(arrays, plain values) that, with the model's params and state and the history, let a run go on."""
        arrays = {f"velocity.{key}": value for key, value in self.optimizer.velocity.items()}
        if self.best is not None:
            arrays |= {f"best.{key}": value for key, value in self.best.items()}
        return arrays, asdict(self.progress)

    def restore(self, arrays: dict[str, Array], progress: dict[str, Any], history: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from a checkpoint; the model's params and state must have been loaded by the caller.

        Raises ConfigError for the checkpoint of a diverged run, which would only diverge again.
        """
        if progress.get("diverged"):
            raise ConfigError("--resume: that run diverged; start again with --force and a lower --lr")
        parts: dict[str, dict[str, Array]] = {"velocity": {}, "best": {}}
        for key, value in arrays.items():
            part, name = key.split(".", 1)
            parts[part][name] = value
        self.optimizer = SGD({name: _like(self.model.params[name], v) for name, v in parts["velocity"].items()})
        self.best = parts["best"] or None
        self.progress = Progress(**progress)
        self.history = {key: [float(v) for v in column] for key, column in history.items()}
        self.good = self._snapshot()


def _like(param: Array, value: Array) -> Array:
    """`value` in the memory order of `param`."""
    out = np.empty_like(param)
    out[...] = value
    return out


def split_rows(n: int, config: TrainConfig, seed: int) -> tuple[Index, Index]:
    """(training rows, validation rows) of n, both in order."""
    held_out = round(config.validation * n)
    split = Random(seed).permutation(n, Purpose.SPLIT) if held_out else np.arange(n)
    return np.sort(split[held_out:]), np.sort(split[:held_out])


def mean_row(rows: Rows, index: Index) -> npt.NDArray[np.float64]:
    """(visible,) mean of those rows, or of MEAN_ROWS spread over them: a model only begins with it."""
    index = index[:: math.ceil(len(index) / MEAN_ROWS)]
    total: Any = 0.0
    for start in range(0, len(index), PROBE):
        total = total + rows.take(index[start : start + PROBE]).sum(axis=0, dtype=np.float64)
    return np.asarray(total / len(index))


def epoch_order(n: int, rng: Random, epoch: int) -> Index:
    """(n,) the rows in the order of an epoch: blocks in random order, and a random order within each.

    Up to BLOCK rows that is a full shuffle; above, reading stays sequential enough for data larger than memory.
    """
    keys = rng.bits(n, Purpose.ORDER, 2 * epoch)
    blocks = rng.permutation(math.ceil(n / BLOCK), Purpose.ORDER, 2 * epoch + 1)
    return np.concatenate([b * BLOCK + np.argsort(keys[b * BLOCK : (b + 1) * BLOCK], kind="stable") for b in blocks])
