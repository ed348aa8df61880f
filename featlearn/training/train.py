"""The training loop, once for all models: minibatch order, momentum, decay, schedules, stopping, history.

A run is a `Training`: all that it needs to go on stands in its fields, so that a checkpoint is those fields
and nothing else (random numbers are counted, there is no generator to save). Between a model's gradient and
the update there is one place where gradients of several workers would be summed.
"""

import copy
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn import _core
from featlearn.errors import ConfigError, DivergedError
from featlearn.models.base import DataSummary, Gradients, Model, Phase, Step
from featlearn.random import Purpose, Random
from featlearn.rows import Array, Index, Rows
from featlearn.settings import check, fill, rounded, setting
from featlearn.threads import one_blas_thread
from featlearn.training import schedules
from featlearn.training.optim import OPTIMIZERS, Decay, Rates, rates_in_words, readers, usual_rates
from featlearn.training.progress import Progress

BLOCK = 1 << 16  # rows that are shuffled together: data larger than memory are read block by block
MEAN_ROWS = 100_000
PROBE = 1000  # at most so many training rows, spread over all, are measured after each epoch
SHOWN = 1_000_000  # rows that a run shows a model by default, the same ones again
FEWEST, MOST = 5, 10_000  # passes over them
ITERATIONS, FEWEST_ITERATIONS = 400, 100  # of line searches on all rows: on few of them, on many
SEARCHED = 8_000_000  # rows times iterations in between
ONE_PASS = (
    "batch_size",
    "data_scale",
    "validation",
)  # the settings that do something where nothing is descended
SMALLEST = 1e-6  # errors below it are rounding: rows that are reproduced at once begin with them
SEARCHING = ", ".join(name for name, cls in OPTIMIZERS.items() if cls.searches)
BY_STEPS = "use --optimizer " + " or ".join(name for name, cls in OPTIMIZERS.items() if not cls.searches)
RATES_IN_WORDS = rates_in_words(Model)
BEST = ("best", "best_state")  # where a checkpoint keeps params and state of the best model so far
LARGEST = 1e3  # a parameter beyond it, and beyond ten times what it began with, has diverged
FAR = 10  # times what the error began with
STUCK = 1.1  # times the error of the mean row; beyond it nothing has been learned
ALIKE = (
    1e-3  # a unit whose codes of all rows lie within this share of the largest code does not tell rows apart
)
EARLY, EARLY_UPDATES = (
    0.1,
    100,
)  # share of a run, and updates, in which divergence costs little: it can begin again


def batch_in_words(model: type[Model]) -> str:
    """The usual number of rows in a minibatch, with a model."""
    return f"{model.batch_size}, or all of fewer rows; {SEARCHING}: all"


def _read_by(name: str) -> str:
    """What a setting needs that only some optimisers read."""
    return "optimizer=" + "|".join(readers(name))


@dataclass(frozen=True)
class TrainConfig:
    """How to train, whatever the model."""

    epochs: int | None = setting(
        None,
        f"passes over the data  [default: as many as show a million rows, from {FEWEST} to {MOST:,}; {SEARCHING} on "
        f"all rows: {ITERATIONS}, on more than {SEARCHED // ITERATIONS:,} rows fewer, down to {FEWEST_ITERATIONS}]",
        low=1,
    )
    batch_size: int | None = setting(
        None, f"rows in a minibatch  [default: {batch_in_words(Model)}]", low=1, off="all rows"
    )
    optimizer: str = setting(
        next(iter(OPTIMIZERS)),
        "how parameters follow gradients: " + ", ".join(cls.title for cls in OPTIMIZERS.values()),
        choices=tuple(OPTIMIZERS),
    )
    searches: int = setting(
        3,
        f"{SEARCHING}: line searches on a minibatch; on all rows it is one an epoch",
        low=1,
        needs=f"{_read_by('searches')} batch_size",
    )
    lr: float | None = setting(
        None,
        f"learning rate of {', '.join(readers('lr'))}  [default: {RATES_IN_WORDS}; or the model's]",
        above=0,
        needs=_read_by("lr"),
        off="no learning rate",
    )
    lr_schedule: str = setting(
        "linear",
        "learning rate over the run: constant, linear or exponential (both to a hundredth), or adaptive, which rises "
        "while the loss falls from epoch to epoch and drops when it rises",
        choices=("constant", "linear", "exponential", "adaptive"),
        needs=_read_by("lr_schedule"),
    )
    momentum: float = setting(
        0.9, f"momentum of {', '.join(readers('momentum'))}", low=0, below=1, needs=_read_by("momentum")
    )
    initial_momentum: float = setting(
        0.5,
        "momentum of the first --initial-epochs",
        low=0,
        below=1,
        needs=f"initial_epochs {_read_by('initial_momentum')}",
    )
    initial_epochs: int = setting(
        0, "epochs with the initial momentum", low=0, needs=_read_by("initial_epochs")
    )
    decay: str = setting("none", "weight decay; not applied to biases", choices=("none", "l1", "l2"))
    decay_weight: float | None = setting(
        None,
        "strength of the decay, multiplied by the learning rate  [default: 0.01 for l1, 0.1 for l2, or the model's]",
        low=0,
        off="no decay",
    )
    l1_method: str = setting(
        "soft",
        "L1 by soft threshold (weights become exactly zero) or by subgradient",
        choices=("soft", "subgradient"),
        needs="decay=l1",
    )
    data_scale: float | None = setting(
        None,
        "divide all values by this first  [default: 1, or what brings their standard deviation to where the model "
        "learns well]",
        low=1e-50,  # beyond all float32, but with a square
        high=1e50,
    )
    validation: float = setting(0.0, "share of the rows held out for validation", low=0, below=1)
    patience: int | None = setting(
        None,
        "stop when the validation error has not fallen for so many epochs; the best model is kept",
        low=1,
        off="never",
    )
    tolerance: float | None = setting(
        None,
        "stop when an epoch lowers the loss by less than this share of it, e.g. 1e-6",
        low=0,
        off="never",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.patience is not None and not self.validation:
            raise ConfigError("--patience needs held-out rows: give --validation, e.g. 0.1")
        if self.decay == "none" and self.decay_weight:
            raise ConfigError(f"--decay-weight {self.decay_weight:g} without a decay: add --decay l1 or l2")
        if self.by_searches and self.decay == "l1":
            raise ConfigError(f"--decay l1: has no gradient at 0 for {self.optimizer} to follow; {BY_STEPS}")

    @property
    def by_searches(self) -> bool:
        """Whether the optimizer follows a loss by line searches."""
        return OPTIMIZERS[self.optimizer].searches

    def scale(self, model: type[Model], config: Any, data: DataSummary) -> float:
        """What all values are divided by: as said, else what brings such data to where the model learns well."""
        wanted, spread = model.wanted_spread(config, data), data.spread
        if (
            self.data_scale is not None
            or wanted is None
            or spread is None
            or wanted[0] <= spread <= wanted[1]
        ):
            return self.data_scale or 1.0
        return rounded(spread / math.sqrt(wanted[0] * wanted[1]))

    def resolve(self, model: type[Model], config: Any, data: DataSummary) -> "TrainConfig":
        """Fill in what is not said, for a model, its resolved config and such data; all that is said stays."""
        n = data.n_rows or Model.batch_size
        by_default = fill(self, {"batch_size": None if self.by_searches else min(model.batch_size, n)})
        batch = by_default.batch_size
        epochs = min(MOST, max(FEWEST, math.ceil(SHOWN / n)))
        if batch is None:
            epochs = max(FEWEST_ITERATIONS, min(ITERATIONS, math.ceil(SEARCHED / n)))
        usual: dict[str, Any] = {
            "epochs": 1 if model.one_pass else epochs,
            "lr": None if model.one_pass else usual_rates(model, config, data).get(self.optimizer),
            "decay_weight": model.decay_weights.get(self.decay),
            "data_scale": 1.0,
        }
        return fill(by_default, usual)

    @property
    def weight_decay(self) -> Decay:
        """The decay of a resolved config."""
        weight = self.decay_weight or 0.0
        return Decay(
            l1=weight if self.decay == "l1" else 0.0,
            l2=weight if self.decay == "l2" else 0.0,
            soft=self.l1_method == "soft",
        )


class Training:
    """A run of `model` over `rows`; raises ConfigError when the data cannot make a minibatch.

    What the config leaves open is resolved by the number of the rows alone: a caller who knows more resolves
    before.
    """

    def __init__(self, model: Model, rows: Rows, config: TrainConfig, seed: int = 0) -> None:
        train_rows, _ = split_rows(len(rows), config, seed)
        config = config.resolve(
            type(model), model.config, DataSummary(model.n_visible, n_rows=len(train_rows))
        )
        self.model, self.rows, self.config, self.seed = model, rows, config, seed
        self.rng = Random(seed)
        self.phases: list[Phase] = model.phases()
        self.progress = Progress()
        self.optimizer = OPTIMIZERS[config.optimizer]()
        self.history: dict[str, list[float]] = {}
        self.good = self._snapshot()
        self.best: tuple[dict[str, Array], dict[str, Array]] | None = None
        # On all rows line searches only ever lower the loss: saturating outputs may take them far, none diverges.
        least = LARGEST if config.batch_size else float(np.finfo(model.dtype).max)
        self.limits = {name: max(least, 10 * _largest(w)) for name, w in model.params.items()}
        self.train_rows, self.validation_rows = split_rows(len(rows), config, seed)
        self.probe_rows = spread(self.train_rows, PROBE)
        self.batch_size = config.batch_size or len(self.train_rows)
        self.batches = math.ceil(len(self.train_rows) / self.batch_size)  # an epoch; the last may be smaller
        if model.one_pass and config.epochs != 1:
            raise ConfigError(
                f"--epochs {config.epochs}: a {model.id} model is learned in one pass; leave it out"
            )
        moving = model.moving_loss()
        if config.by_searches and moving:
            raise ConfigError(
                f"--optimizer {config.optimizer}: searches along a loss that must stand still, but {moving}; "
                + BY_STEPS
            )
        self._all: Array | None = None  # all rows, where they are one batch

    @property
    def phase(self) -> Phase:
        return self.phases[self.progress.phase]

    def updates(self, phase: Phase) -> int:
        """Minibatch updates in all of `phase`."""
        return (self.config.epochs or 0) * self.batches if phase.updates is None else phase.updates

    @property
    def total_updates(self) -> int:
        return sum(self.updates(phase) for phase in self.phases)

    def run(
        self,
        on_batch: Callable[["Training"], bool] = lambda training: False,
        on_epoch: Callable[["Training"], None] = lambda training: None,
    ) -> bool:
        """Train to the end, or until `on_batch` answers True; True when finished. Raises DivergedError,
        ConfigError.

        Can be called again (also on a Training restored from a checkpoint) and goes on where it stood.
        """
        # numpy's BLAS would start a second pool of threads that starves ours
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            if not self.progress.step:
                self.progress.telling = self._telling_units()
            while not self.progress.finished:
                for batch in self._epoch_batches():
                    self._update(batch)
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
        order, size = self.train_rows, self.batch_size
        if self.batches > 1:
            order = order[epoch_order(len(order), self.rng, self.progress.epochs_done)]
        for i in range(self.progress.batch, self.batches):
            yield order[i * size : (i + 1) * size]

    def _update(self, batch: Index) -> None:
        at, phase, config = self.progress, self.phase, self.config
        X = self._take(batch)
        done = (at.epoch * self.batches + at.batch) / self.updates(phase)
        step = Step(at.step, self.seed, progress=done)
        rates = Rates(
            schedules.learning_rate(config.lr_schedule, self.lr * at.rate, done),
            schedules.momentum(
                config.initial_momentum, config.momentum, config.initial_epochs, at.epochs_done
            ),
            config.weight_decay if phase.decay else Decay(),
            self.model.decayed,
        )

        at.batch += 1
        at.step += 1

        def evaluate() -> Gradients:
            metrics, grads = phase.gradient(X, step)
            # here gradients of several workers would be summed, in fixed panels
            if "loss" in metrics and config.by_searches:
                metrics["loss"] += self._decay_cost(rates)
            return metrics, grads

        for metrics in self._steps(evaluate, rates):
            self._check_divergence(metrics)
            self.model.project()
        if self._epoch_ends() and "loss" in metrics and not config.by_searches:
            # once an epoch: of small minibatches it would be a good part of the time
            metrics["loss"] += at.batch * self._decay_cost(rates)
        at.sums = {key: at.sums.get(key, 0.0) + value for key, value in metrics.items()}

    def _take(self, batch: Index) -> Array:
        """The rows of a minibatch; all of them are made once."""
        if self.batches > 1:
            return self.rows.take(batch)
        if self._all is None:
            self._all = self.rows.take(batch)
        return self._all

    def _steps(self, evaluate: Callable[[], Gradients], rates: Rates) -> Iterator[dict[str, float]]:
        """The metrics of one step; of several line searches where the rows are some of all."""
        optimizer = self.optimizer
        if not optimizer.searches or self.batches == 1:
            yield optimizer.step(self.model.params, evaluate, rates)
            return
        optimizer.forget()
        for _ in range(self.config.searches):
            if not optimizer.converged:
                yield optimizer.step(self.model.params, evaluate, rates)

    @property
    def lr(self) -> float:
        """The learning rate of this phase, before any schedule."""
        given = self.config.lr if self.phase.lr is None else self.phase.lr
        return 0.0 if given is None else given  # None: nothing goes along a gradient by a rate

    def _decay_cost(self, rates: Rates) -> float:
        return sum(rates.decay_of(name).cost(w) for name, w in self.model.params.items())

    def _epoch_ends(self) -> bool:
        """Whether the epoch is over."""
        at = self.progress
        return at.batch == self.batches or at.epoch * self.batches + at.batch == self.updates(self.phase)

    def _end_epoch(self) -> None:
        at = self.progress
        over = (at.epoch + 1) * self.batches >= self.updates(self.phase)
        if over:
            self._finish_phase()
        self._check_weights()
        row: dict[str, float] = {"epoch": at.epochs_done + 1, "phase": at.phase, "step": at.step}
        row |= {key: total / at.batch for key, total in at.sums.items()}
        for name, index in (("probe", self.probe_rows), ("validation", self.validation_rows)):
            if len(index):
                row |= {f"{name}_{key}": value for key, value in self.measure(index).items()}
        self._check_error(row["probe_rmse"])
        row["weight_norm"] = math.sqrt(np.square(self.model.params["W"], dtype=np.float64).sum())
        if self.history and self.history.keys() != row.keys():
            raise ConfigError(
                "--resume: the checkpoint's history has other columns; start again with --force"
            )
        for key, value in row.items():
            self.history.setdefault(key, []).append(value)
        self.good = self._snapshot()
        at.epochs_done += 1
        at.epoch += 1
        at.batch = 0
        at.sums = {}
        if not over:
            at.stopped = self._reason_to_stop(row)
        elif self.config.patience is not None:
            self._follow_best(row)
        if over or at.stopped:
            self._take_best()
            if not over:
                self._finish_phase()
            if at.phase == len(self.phases) - 1:
                at.measured = self._final_measures()
            at.phase, at.epoch, at.first_errors, at.last_loss, at.rate = at.phase + 1, 0, [], None, 1.0
            self.optimizer = OPTIMIZERS[self.config.optimizer]()
            at.finished = at.phase == len(self.phases)

    def _finish_phase(self) -> None:
        if self.phase.finish is not None:
            self.phase.finish()

    def _reason_to_stop(self, row: dict[str, float]) -> str:
        """Why this phase should end here, "" if it should not."""
        at, config = self.progress, self.config
        loss, last = row.get("loss", row["error"]), at.last_loss
        at.last_loss = loss
        if not self.model.at_rest((at.epoch - 2) * self.batches / self.updates(self.phase)):
            last = None  # this loss and the one before are of two functions
        if config.lr_schedule == "adaptive" and last is not None:
            at.rate *= schedules.adaptation(last, loss)
        if config.patience is not None and self._follow_best(row) >= config.patience:
            return f"the validation error has not fallen for {config.patience} epochs"
        if config.tolerance is not None and last is not None and last - loss < config.tolerance * abs(last):
            return f"an epoch lowered the loss by less than {config.tolerance:g} of it"
        if self.batches == 1 and self.optimizer.converged:
            return f"no step lowers the loss any more in {self.model.dtype}"
        return ""

    def _follow_best(self, row: dict[str, float]) -> int:
        """Keep the model of the least validation error of this phase; epochs since then."""
        at = self.progress
        if at.best_error is None or at.epoch == 1 or row["validation_rmse"] < at.best_error:
            at.best_error, at.best_epoch = row["validation_rmse"], at.epoch
            self.best = self._snapshot()
        return at.epoch - at.best_epoch

    def _take_best(self) -> None:
        """Go back to the best model, its state included: a threshold belongs to the parameters it was met
        with."""
        if self.best is not None:
            params, self.model.state = copy.deepcopy(self.best)
            for key, value in params.items():
                self.model.params[key][...] = value

    def _final_measures(self) -> dict[str, float]:
        """Of the finished model, which need not be that of the last epoch: "rmse" over all rows it was
        trained on."""
        found = {"rmse": self.measure(self.train_rows, own=False)["rmse"]}
        if len(self.validation_rows):
            found["validation_rmse"] = self.measure(self.validation_rows, own=False)["rmse"]
        for key, value in found.items():
            if not math.isfinite(value):
                self._diverge(f"{key} is {value:g}")
        return found

    def measure(self, index: Index, own: bool = True) -> dict[str, float]:
        """Over those rows: "rmse", of reconstruct(x) - x in units of the preprocessed data, and the model's
        `own`."""
        total, n, sums = 0.0, 0, dict[str, float]()
        for start in range(0, len(index), PROBE):
            X = self.rows.take(index[start : start + PROBE])
            squares = np.empty(len(X), np.float64)
            _core.row_sqdist(squares, X, self.model.reconstruct(X))
            total, n = total + math.fsum(squares), n + X.size
            for key, value in (self.model.extra_metrics(X) if own else {}).items():
                sums[key] = sums.get(key, 0.0) + value * len(X)
        return {"rmse": math.sqrt(total / n)} | {key: value / len(index) for key, value in sums.items()}

    def _check_divergence(self, metrics: dict[str, float]) -> None:
        """A metric that is no number, or ten times the median of the phase's first errors: the weights are
        lost."""
        at, error = self.progress, metrics["error"]
        if self.model.one_pass:
            return  # where nothing is descended, rows unlike the first ones are no sign of anything
        for key, value in metrics.items():
            if not math.isfinite(value):
                self._diverge(f"{key} is {value:g}")
        if len(at.first_errors) < 20:
            at.first_errors.append(error)
        start = max(statistics.median(at.first_errors), SMALLEST)
        if error > FAR * start:
            self._diverge(f"error {error:.3g} (began at {at.first_errors[0]:.3g})")

    def _check_weights(self) -> None:
        if self.model.one_pass:
            return
        for name, w in self.model.params.items():
            if not _largest(w) <= self.limits[name]:
                self._diverge(f"largest value of {name} is {_largest(w):.3g}")

    def _check_error(self, error: float) -> None:
        """An error at the end of an epoch that is far above that of the mean row, or above it with most units
        stuck.

        The first updates can lose the weights, and with them what later errors are compared with. And bounded
        outputs and codes keep the error small while all is saturated.
        """
        at = self.progress
        if self.model.one_pass or self.config.batch_size is None or not error > STUCK * self.deviation:
            return
        if error > FAR * max(at.first_errors[0], self.deviation, SMALLEST):
            self._diverge(f"error {error:.3g} (began at {at.first_errors[0]:.3g})")
        left = self._telling_units()
        if left < at.telling / 2:
            words = f"{at.telling - left} of {at.telling} units answer all rows alike"
            self._diverge(f"{words}, error {error:.3g} (of the mean row: {self.deviation:.3g})")

    def _telling_units(self) -> int:
        """The number of units whose codes differ from one row to another."""
        H = self.model.encode(self.rows.take(self.probe_rows))
        return int(np.count_nonzero(np.ptp(H, axis=0) > ALIKE * _largest(H)))

    @cached_property
    def deviation(self) -> float:
        """The RMSE of the mean row as a reconstruction of all, by the rows that are followed."""
        X = self.rows.take(self.probe_rows)
        return math.sqrt(math.fsum(X.var(axis=0, dtype=np.float64)) / X.shape[1])

    @property
    def early(self) -> bool:
        """Whether the run, by its own learning rate, is in its first epoch, its first tenth or its first
        updates."""
        at, least = self.progress, max(EARLY * self.total_updates, EARLY_UPDATES)
        return self.phase.lr is None and (at.epochs_done == 0 or at.step <= least)

    def _diverge(self, what: str) -> None:
        option = "--lr" if self.phase.lr is None else f"--{self.phase.name}-lr"
        self.model.params, self.model.state = self.good
        self.progress.diverged = True
        remedy = BY_STEPS if self.config.by_searches else f"lower {option}, e.g. {option} {self.lr / 10:g}"
        raise DivergedError(
            f"diverged at epoch {self.progress.epochs_done + 1}, update {self.progress.step}: {what}; "
            + remedy
        )

    def _snapshot(self) -> tuple[dict[str, Array], dict[str, Array]]:
        return copy.deepcopy(self.model.params), copy.deepcopy(self.model.state)

    def checkpoint(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """(arrays, plain values) that, with the model's params and state and the history, let a run go on.

        Raises DivergedError: bounded outputs can hide for the rest of an epoch that parameters are no
        numbers.
        """
        if not (self.progress.diverged or all(np.isfinite(w).all() for w in self.model.params.values())):
            self._diverge("a parameter is not finite")
        arrays = {f"optimizer.{key}": value for key, value in self.optimizer.arrays.items()}
        if self.best is not None:
            for part, values in zip(BEST, self.best, strict=True):
                arrays |= {f"{part}.{key}": value for key, value in values.items()}
        return arrays, asdict(self.progress)

    def keeps(self, arrays: dict[str, Array]) -> bool:
        """Whether a checkpoint's arrays are of the names, shapes and dtypes that this run puts there."""
        kept, params = split_arrays(arrays), self.model.params
        best = [shapes_of(kept[part]) for part in BEST]
        return (
            sum(map(len, kept.values())) == len(arrays)
            and best in ([{}, {}], [shapes_of(params), shapes_of(self.model.state)])
            and self.optimizer.keeps(kept["optimizer"], params)
        )

    def could_be_at(self, values: Any, history: dict[str, npt.NDArray[Any]]) -> bool:
        """Whether a checkpoint's plain values and history are of a place in this run where it can go on."""
        if not Progress.fits(values):
            return False
        at = Progress(**values)
        if at.diverged:
            return False
        rows = {len(column) for column in history.values()} or {0}
        if not (
            0 <= at.epoch <= at.epochs_done
            and rows == {at.epochs_done}
            and 0 <= at.step <= self.total_updates
        ):
            return False
        if at.epochs_done and not {"epoch", "phase", "step"} <= history.keys():
            return False
        if at.finished:
            return (at.phase, at.batch) == (len(self.phases), 0)
        within = 0 <= at.phase < len(self.phases) and 0 <= at.batch < self.batches and at.rate > 0
        return within and at.epoch * self.batches + at.batch < self.updates(self.phases[at.phase])

    def restore(
        self, arrays: dict[str, Array], progress: dict[str, Any], history: dict[str, npt.NDArray[Any]]
    ) -> None:
        """Go on from a checkpoint; the model's params and state must have been loaded by the caller."""
        kept = split_arrays(arrays)
        self.optimizer = OPTIMIZERS[self.config.optimizer]()
        self.optimizer.take(kept["optimizer"], self.model.params)
        self.best = (kept["best"], kept["best_state"]) if kept["best"] else None
        self.progress = Progress(**progress)
        self.history = {key: column.tolist() for key, column in history.items()}  # integers stay integers
        self.good = self._snapshot()


def split_arrays(arrays: dict[str, Array]) -> dict[str, dict[str, Array]]:
    """The arrays of a checkpoint by what they belong to; those of unknown names are left out."""
    out: dict[str, dict[str, Array]] = {part: {} for part in ("optimizer", *BEST)}
    for key, value in arrays.items():
        part, _, name = key.partition(".")
        if part in out:
            out[part][name] = value
    return out


def shapes_of(arrays: dict[str, Array]) -> dict[str, Any]:
    """Shape and dtype of each array."""
    return {name: (w.shape, w.dtype) for name, w in arrays.items()}


def _largest(w: Array) -> float:
    return float(np.abs(w).max(initial=0.0))


def split_rows(n: int, config: TrainConfig, seed: int) -> tuple[Index, Index]:
    """(training rows, validation rows) of n, both in order. Raises ConfigError where either is too few."""
    held_out = round(config.validation * n)
    if n - held_out < (config.batch_size or 1):
        share = f" beside --validation {config.validation:g}" if held_out else ""
        raise ConfigError(
            f"--batch-size {config.batch_size or 1}: only {n - held_out} training rows{share}; take "
            + ("a smaller batch" if n > held_out else "a smaller --validation")
        )
    if config.validation and not held_out:
        raise ConfigError(f"--validation {config.validation:g} of {n} rows holds out none; take more")
    split = Random(seed).permutation(n, Purpose.SPLIT) if held_out else np.arange(n)
    return np.sort(split[held_out:]), np.sort(split[:held_out])


def spread(index: Index, most: int) -> Index:
    """At most so many of the rows, at equal distances."""
    return index[:: max(1, math.ceil(len(index) / most))]


def moments(rows: Rows, index: Index) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(visible,) means and variances of those rows, or of MEAN_ROWS spread over them.

    A model begins with the mean. The sums are about the first row, where means far from 0 lose no digits.
    """
    index = spread(index, MEAN_ROWS)
    first = rows.take(index[:1])[0].astype(np.float64)
    total, squares = np.zeros_like(first), np.zeros_like(first)
    for start in range(0, len(index), PROBE):
        X = rows.take(index[start : start + PROBE]) - first
        total, squares = total + X.sum(axis=0), squares + np.square(X, out=X).sum(axis=0)
    mean = total / len(index)
    return first + mean, np.maximum(squares / len(index) - np.square(mean), 0)


def epoch_order(n: int, rng: Random, epoch: int) -> Index:
    """(n,) the rows in the order of an epoch: blocks in random order, and a random order within each.

    Up to BLOCK rows that is a full shuffle; above, reading stays sequential enough for data larger than
    memory.
    """
    keys = rng.bits(n, Purpose.ORDER, 2 * epoch)
    blocks = rng.permutation(math.ceil(n / BLOCK), Purpose.ORDER, 2 * epoch + 1)
    return np.concatenate(
        [b * BLOCK + np.argsort(keys[b * BLOCK : (b + 1) * BLOCK], kind="stable") for b in blocks]
    )
