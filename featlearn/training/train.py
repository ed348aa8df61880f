"""The training loop, once for all models: minibatches, updates, epochs, phases, history.

A run is a `Training`: all that it needs to go on stands in its fields, so that a checkpoint is those fields
and nothing else (random numbers are counted, there is no generator to save).
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np

from featlearn import ranks
from featlearn.errors import DivergedError
from featlearn.models.base import DataSummary, Gradients, Model, Step
from featlearn.random import Purpose, Random
from featlearn.rows import Array, Index, Rows, of_known_class
from featlearn.settings import option_name
from featlearn.threads import one_blas_thread
from featlearn.training import average, checkpoint, stopping
from featlearn.training.checkpoint import Best, Saved, digest
from featlearn.training.config import BY_STEPS, TrainConfig
from featlearn.training.legs import Leg, measure
from featlearn.training.order import PROBE, epoch_order, split_rows, spread
from featlearn.training.progress import Progress

EARLY = 0.1  # share of a run in which divergence costs little: it can begin again
EARLY_UPDATES = 100  # as in so many updates


class Training:
    """A run of `model` over `rows`; raises ConfigError when the data cannot make a minibatch.

    What the config leaves open is resolved by the number of the rows alone: a caller who knows more resolves
    before. Random draws of its steps are of a `stream`: models that learn by the same seed never share bits.
    The last `held_out` rows are never learned from: they are the validation rows, in place of a share.
    """

    def __init__(
        self, model: Model, rows: Rows, config: TrainConfig, seed: int = 0, stream: int = 0, held_out: int = 0
    ) -> None:
        self.train_rows, self.validation_rows = split_rows(len(rows), config, seed, held_out)
        summary = DataSummary(model.n_visible, n_rows=len(self.train_rows))
        config = config.resolve(type(model), model.config, summary)
        self.model, self.rows, self.config = model, rows, config
        self.seed, self.stream = seed, stream
        self.rng = Random(seed)
        self.known_rows = of_known_class(rows, self.train_rows)
        self.probe_rows = spread(self.known_rows, PROBE)
        self.legs = [
            Leg(phase, config, model, rows, self.train_rows, self.probe_rows) for phase in model.phases()
        ]
        for leg in self.legs:
            split_rows(len(rows), leg.config, seed, held_out)  # refuses minibatches that are too large
        self.progress = Progress()
        self.optimizer = self.legs[0].optimizer()
        self.history: dict[str, list[float]] = {}
        self.limits = {name: 10 * stopping.largest(w) for name, w in model.params.items()}
        self.good = self._snapshot()
        self.best: Best | None = None
        self.average: dict[str, Array] = {}
        self.keep_ending = False
        self.ending: Saved | None = None  # the run at its end, as one that has not ended

    @property
    def leg(self) -> Leg:
        """The phase that the run is in."""
        return self.legs[self.progress.phase]

    @property
    def total_updates(self) -> int:
        """Minibatch updates of all phases."""
        return sum(leg.updates for leg in self.legs)

    def run(
        self,
        on_batch: Callable[["Training"], bool] = lambda training: False,
        on_epoch: Callable[["Training"], None] = lambda training: None,
    ) -> bool:
        """Train to the end, or until `on_batch` answers True; True when finished.

        Raises DivergedError, ConfigError.

        Can be called again (also on a Training restored from a checkpoint) and goes on where it stood.
        """
        # numpy's BLAS would start a second pool of threads that starves ours
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            while not self.progress.finished:
                if not (self.progress.epoch or self.progress.batch):
                    self.progress.telling = self.leg.telling_units()
                for batch in self._epoch_batches():
                    with ranks.sharing(len(batch)) as own:
                        self._update(batch[own], own.start)
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
        order, leg = self.train_rows, self.leg
        if leg.batches > 1 and leg.phase.descends:
            order = order[epoch_order(len(order), self.rng, self.progress.epochs_done)]
        for i in range(self.progress.batch, leg.batches):
            yield order[i * leg.batch_size : (i + 1) * leg.batch_size]

    def _update(self, batch: Index, first: int) -> None:
        """Learn from rows of a minibatch; `first` of it are before these."""
        at, leg = self.progress, self.leg
        phase, config = leg.phase, leg.config
        X = leg.take(batch)
        done = at.epoch * leg.batches + at.batch
        length = at.scheduled or leg.updates
        planned = min(done, length - 1)  # after its planned end the schedules of a run stay where they were
        begun = at.step - done
        step = Step(at.step, self.seed, Purpose.STEP, planned / length, self.stream, begun, first, batch)
        settings = leg.settings(at, planned, length, X)
        at.batch += 1
        at.step += 1

        def evaluate() -> Gradients:
            metrics, grads = phase.gradient(X, step)
            if "loss" in metrics and config.by_searches:
                metrics["loss"] += leg.decay_cost()
            return metrics, grads

        for metrics in leg.steps(self.optimizer, evaluate, settings):
            if phase.descends:
                self._stop_if(stopping.diverged_metrics(at, metrics))
                self.model.project()
        if leg.averages is not None:
            average.follow(self.average, leg.params, leg.averages, done)
        if self._epoch_ends() and "loss" in metrics and not config.by_searches:
            # once an epoch: of small minibatches it would be a good part of the time
            metrics["loss"] += at.batch * leg.decay_cost()
        at.sums = {key: at.sums.get(key, 0.0) + value for key, value in metrics.items()}

    def _epoch_ends(self) -> bool:
        """Whether the epoch is over."""
        at, leg = self.progress, self.leg
        return at.batch == leg.batches or at.epoch * leg.batches + at.batch == leg.updates

    def _end_epoch(self) -> None:
        at, leg = self.progress, self.leg
        self._exchange()
        over = (at.epoch + 1) * leg.batches >= leg.updates
        enough = leg.phase.after_pass() if leg.phase.after_pass is not None else ""
        if over:
            self._finish_phase()
        row: dict[str, float] = {"epoch": at.epochs_done + 1, "phase": at.phase, "step": at.step}
        row |= {key: total / at.batch for key, total in at.sums.items()}
        if leg.phase.descends:
            self._check_params()
        for name, index in (("probe", self.probe_rows), ("validation", self.validation_rows)):
            if len(index):
                measured = measure(self.model, self.rows, index)
                row |= {f"{name}_{key}": value for key, value in measured.items()}
        if leg.phase.descends and not leg.only_falls:
            self._stop_if(leg.diverged(at, row))
        row["weight_norm"] = leg.weight_norm()
        self.refuse_other_ranks(f"come to other parameters at update {at.step:,}")
        self._record(row)
        self.good = self._snapshot()
        at.epochs_done += 1
        at.epoch += 1
        at.batch = 0
        at.sums = {}
        since_best = 0 if leg.config.patience is None else self._follow_best(row)
        if over and self.keep_ending:
            self._keep_ending(row, since_best)
        if not over:
            at.stopped = enough or self._reason_to_stop(row, since_best)
        if over or at.stopped:
            if self.best is not None:
                self._go_back(self.best)
            if not over:
                self._finish_phase()
            self._leave_phase()
        else:
            self._exchange()

    def _keep_ending(self, row: dict[str, float], since_best: int) -> None:
        """Keep the run as it would go on if it had more epochs, unless it would stop here all the same."""
        if not self._reason_to_stop(row, since_best):
            self._exchange()
            saved = copy.deepcopy(self.checkpoint())
            self._exchange()
            scheduled = self.progress.scheduled or self.leg.updates
            self.ending = saved._replace(progress=saved.progress | {"scheduled": scheduled})

    def _exchange(self) -> None:
        """Put the average in the place of params, and these in its place, if there is one."""
        average.exchange(self.average, self.model.params)

    def _record(self, row: dict[str, float]) -> None:
        """Add a row to the history; what another phase alone measures is no number there."""
        epochs = self.progress.epochs_done
        for key in (*self.history, *(key for key in row if key not in self.history)):
            self.history.setdefault(key, epochs * [math.nan]).append(row.get(key, math.nan))

    def _finish_phase(self) -> None:
        if self.leg.phase.finish is not None:
            self.leg.phase.finish()

    def _leave_phase(self) -> None:
        """Go on to the next phase, or to the end."""
        at = self.progress
        at.finished = at.phase == len(self.legs) - 1
        if at.finished:
            at.measured = self._final_measures()
        self.leg.release()
        at.phase += 1
        at.epoch = 0
        at.first_errors = []
        at.last_loss = None
        at.rate = 1.0
        self.best = None
        self.average = {}
        if not at.finished:
            self.optimizer = self.leg.optimizer()

    def _reason_to_stop(self, row: dict[str, float], since_best: int) -> str:
        at, leg = self.progress, self.leg
        loss = row["loss"] if "loss" in row else row["error"]
        comparable = (at.epoch - 2) * leg.batches / (at.scheduled or leg.updates) >= leg.phase.comparable_from
        words = stopping.reason_to_stop(at, leg.config, loss, since_best, comparable)
        if not words and leg.batches == 1 and self.optimizer.converged:
            return f"no step lowers the loss any more in {self.model.dtype}"
        return words

    def _follow_best(self, row: dict[str, float]) -> int:
        """Keep the model of the least validation error of this phase; return the epochs since then."""
        at = self.progress
        error = row[f"validation_{self.leg.key}"]
        if at.best_error is None or at.epoch == 1 or self._is_better(error, row):
            at.best_error, at.best_epoch = error, at.epoch
            self.best = self._snapshot()
        return at.epoch - at.best_epoch

    def _is_better(self, error: float, row: dict[str, float]) -> bool:
        """Whether an epoch's validation error is below the best one's.

        Shares of rows put into the wrong class are often equal; then the loss decides.
        """
        at = self.progress
        if error != at.best_error or not self.model.labelled:
            return at.best_error is None or error < at.best_error
        losses = self.history["validation_loss"]
        return losses[-1] < losses[at.best_epoch - at.epoch - 1]

    def _go_back(self, then: Best) -> None:
        """Take params and state of another time; both, for a threshold in the state belongs to its params.

        Params in place: others may hold the same arrays.
        """
        for name, value in then.params.items():
            self.model.params[name][...] = value
        self.model.state = copy.deepcopy(then.state)

    def _final_measures(self) -> dict[str, float]:
        """Return the error of the finished model over all rows it was trained on, and over those held out.

        Rows whose class is not known are left out. It is "rmse", or "error_rate" and "loss". It need not be
        the model of the last epoch.
        """
        found = self.measure(self.known_rows, own=False)
        if len(self.validation_rows):
            held_out = self.measure(self.validation_rows, own=False)
            found |= {f"validation_{key}": value for key, value in held_out.items()}
        for key, value in found.items():
            if not math.isfinite(value):
                self._stop_if(f"{key} is {value:g}")
        return found

    def measure(self, index: Index, own: bool = True) -> dict[str, float]:
        """Return the measures of the whole model over those rows of the data, and the model's `own`."""
        return measure(self.model, self.rows, index, own)

    def _check_params(self) -> None:
        # saturating outputs may take line searches on all rows far, but none diverges
        least = float(np.finfo(self.model.dtype).max) if self.leg.only_falls else stopping.LARGEST
        limits = {name: max(least, limit) for name, limit in self.limits.items()}
        self._stop_if(stopping.diverged_params(self.model.params, limits))

    @property
    def early(self) -> bool:
        """Whether the run, at its own learning rate, is in its first epoch, first tenth or first updates."""
        at, least = self.progress, max(EARLY * self.total_updates, EARLY_UPDATES)
        own = "lr" not in self.leg.phase.training and not at.scheduled
        return own and (at.epochs_done == 0 or at.step <= least)

    def refuse_other_ranks(self, words: str) -> None:
        """Raise ReplicaError, with words for what one has, where ranks do not hold the same model."""
        ranks.refuse_difference(lambda: digest({**self.model.params, **self.model.state}), words)

    def _stop_if(self, words: str) -> None:
        """Go back to the last good model and raise DivergedError, if there are words for why."""
        if not words:
            return
        at, leg = self.progress, self.leg
        self._go_back(self.good)
        at.diverged = True
        option = option_name(leg.phase.options.get("lr", "lr"))
        remedy = BY_STEPS if leg.config.by_searches else f"lower {option}, e.g. {option} {leg.lr / 10:g}"
        raise DivergedError(f"diverged at epoch {at.epochs_done + 1}, update {at.step}: {words}; {remedy}")

    def _snapshot(self) -> Best:
        return Best(copy.deepcopy(self.model.params), copy.deepcopy(self.model.state))

    def checkpoint(self) -> Saved:
        """Return all that lets a run go on. Raises DivergedError.

        Bounded outputs can hide for the rest of an epoch that parameters are no numbers.
        """
        if not (self.progress.diverged or all(np.isfinite(w).all() for w in self.model.params.values())):
            self._stop_if("a parameter is not finite")
        history = {key: np.array(column) for key, column in self.history.items()}
        arrays = checkpoint.pack(self.optimizer.arrays, self.best, self.average)
        return Saved(self.model.params, self.model.state, arrays, asdict(self.progress), history)

    def misfit(self, saved: Saved) -> str:
        """Say what of a checkpoint cannot be of this run, which has not begun; "" if it can go on there."""
        return checkpoint.misfit(saved, self.model.params, self.model.state, self.legs)

    def restore(self, saved: Saved) -> None:
        """Go on from a checkpoint that fits, with copies of its arrays."""
        for name, value in saved.params.items():
            # in place: their memory order decides the bytes of some sums
            self.model.params[name][...] = value
        self.model.state = {name: np.array(value, order="C") for name, value in saved.state.items()}
        self.progress = Progress(**copy.deepcopy(saved.progress))
        # integers stay integers
        self.history = {key: column.tolist() for key, column in saved.history.items()}
        kept, self.best, mean = checkpoint.unpack(saved.optimizer)
        self.average = {name: self.model.params[name].copy(order="K") for name in mean}
        for name, value in self.average.items():
            value[...] = mean[name]
        if not self.progress.finished:
            self.optimizer = self.leg.optimizer()
            self.optimizer.load(kept, self.leg.params)
        self.good = self._snapshot()
