"""A phase of a run with all that it works on: its settings, the rows, the params that it learns."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from featlearn import _core, ranks
from featlearn.errors import ConfigError
from featlearn.models.base import Gradients, IsClassifier, Model, Phase
from featlearn.ops.softmax import predicted
from featlearn.rows import Array, Index, Rows
from featlearn.training import schedules, stopping
from featlearn.training.config import TrainConfig
from featlearn.training.optim import OPTIMIZERS, Decay, Optimizer, UpdateSettings
from featlearn.training.order import PROBE
from featlearn.training.progress import Progress

NOT_CURVED = "use --optimizer " + " or ".join(name for name, cls in OPTIMIZERS.items() if not cls.curved)
OF_ANY_SIZE = "use --optimizer " + " or ".join(
    name for name, cls in OPTIMIZERS.items() if cls.searches and cls.most is None
)
LEAST = 1e-30  # probability of a class that a loss can tell from none


class Leg:
    """A phase of the training of a model with the resolved settings of its run, and all rows of the data.

    Raises ConfigError where phase and settings contradict each other.
    """

    def __init__(
        self,
        phase: Phase,
        config: TrainConfig,
        model: Model,
        rows: Rows,
        train_rows: Index,
        probe_rows: Index,
    ) -> None:
        self.phase, self.config = phase, config.in_phase(phase)
        self.model = model
        self.rows = rows
        self.train_rows = train_rows
        self.probe_rows = probe_rows
        size = self.config.batch_size
        self.batch_size = size if isinstance(size, int) else len(train_rows)
        self.batches = math.ceil(len(train_rows) / self.batch_size)  # an epoch; the last may be smaller
        epochs = (self.config.epochs or 0) if phase.descends else phase.passes
        said = phase.updates or (self.config.updates if phase.descends else None)
        self.updates = said or self.batches * epochs
        self.decay: Decay = self.config.weight_decay
        self._refuse_optimizer()
        self.release()

    @property
    def can_be_longer(self) -> bool:
        """Whether more epochs could follow: it is a descent of whole epochs, whose end changes nothing."""
        whole = self.phase.updates is None and self.config.updates is None
        return self.phase.descends and whole and self.phase.finish is None

    @property
    def averages(self) -> float | None:
        """The memory of the average of the params, None where there is none."""
        follows = self.phase.descends and not self.config.by_searches
        return self.config.average if follows else None

    def _refuse_optimizer(self) -> None:
        """Raise ConfigError for an optimizer that wants a curvature, or fewer parameters."""
        chosen, n = self.optimizer, sum(w.size for w in self.params.values())
        if chosen.curved and self.phase.curvature is None:
            why = self.phase.uncurved and f": {self.phase.uncurved}"
            raise ConfigError(
                f"--optimizer {chosen.id}: this model gives no products with the curvature of its loss{why}; "
                + NOT_CURVED
            )
        if chosen.most is not None and n > chosen.most:
            raise ConfigError(
                f"--optimizer {chosen.id}: {n:,} parameters, at most {chosen.most:,} have a matrix of second "
                f"derivatives that is made in time; {OF_ANY_SIZE}"
            )

    def release(self) -> None:
        """Forget what was made of the rows."""
        self._batch: Array | None = None
        self._deviation: float | None = None

    def take(self, batch: Index) -> Array:
        """Return the rows of a minibatch; all of them are made once."""
        if self.batches > 1:
            return self.rows.take(batch)
        if self._batch is None:
            self._batch = self.rows.take(batch)
        return self._batch

    @property
    def params(self) -> dict[str, Array]:
        """The params that it learns."""
        learns, params = self.phase.learns, self.model.params
        return params if learns is None else {name: params[name] for name in learns}

    @property
    def lr(self) -> float:
        """The learning rate before any schedule; 0 where nothing goes along a gradient by a rate."""
        return 0.0 if self.config.lr is None else self.config.lr

    @property
    def optimizer(self) -> type[Optimizer]:
        return OPTIMIZERS[self.config.optimizer]

    @property
    def only_falls(self) -> bool:
        """Whether no update raises the loss of all rows, since each is a line search on them."""
        return self.config.by_searches and self.config.all_rows

    def settings(self, at: Progress, planned: int, length: int, X: Array) -> UpdateSettings:
        """Return the settings of an update on rows X, before which `planned` of `length` were made."""
        config, curvature = self.config, self.phase.curvature
        warm, scheduled = schedules.warm_up(config.warm_up, planned, length)
        return UpdateSettings(
            schedules.learning_rate(config.lr_schedule, warm * self.lr * at.rate, scheduled),
            schedules.momentum(config.initial_momentum, config.momentum, config.initial_epochs, at.epoch),
            self.decay,
            self.model.weights,
            None if curvature is None else partial(curvature, X),
        )

    def steps(
        self, optimizer: Optimizer, evaluate: Callable[[], Gradients], settings: UpdateSettings
    ) -> Iterator[dict[str, float]]:
        """Yield the metrics of one step; of several line searches where the rows are some of all."""
        if not self.phase.descends:
            yield evaluate()[0]
        elif not optimizer.searches or self.batches == 1:
            yield optimizer.step(self.params, evaluate, settings)
        else:
            optimizer.forget()
            for _ in range(self.config.searches):
                if not optimizer.converged:
                    yield optimizer.step(self.params, evaluate, settings)

    def decay_cost(self) -> float:
        """Return what weight decay adds to the loss."""
        params, weights = self.params, self.model.weights
        return sum(self.decay.cost(w) for name, w in params.items() if name in weights)

    def weight_norm(self) -> float:
        """Return the norm of the weights that it learns, or where it descends nothing of all."""
        found = self.params if self.phase.descends else self.model.params
        squares = (
            np.square(w, dtype=np.float64).sum() for name, w in found.items() if name in self.model.weights
        )
        return math.sqrt(sum(squares))

    def telling_units(self) -> int:
        """Return the number of units whose codes differ from one row to another."""
        X = self.rows.take(self.probe_rows)
        return stopping.telling_units(self.model.encode(self.model.visible(X)))

    @property
    def deviation(self) -> float:
        """The error of what knows nothing, by the rows that are followed.

        That is the RMSE of the mean row as a reconstruction of all; of classes, the loss of their shares.
        """
        if self._deviation is None:
            X = self.rows.take(self.probe_rows)
            if self.model.labelled:
                shares = self.model.targets(X).mean(axis=0, dtype=np.float64)
                self._deviation = -math.fsum(share * math.log(share) for share in shares if share)
            else:
                self._deviation = math.sqrt(math.fsum(X.var(axis=0, dtype=np.float64)) / X.shape[1])
        return self._deviation

    @property
    def key(self) -> str:
        """The measure of the rows that says how good the part is."""
        return "error_rate" if self.model.labelled else "rmse"

    def diverged(self, at: Progress, row: Mapping[str, float]) -> str:
        """Say whether an epoch with these measures ends far beyond what knows nothing; "" if not."""
        if self.model.labelled:
            return stopping.diverged_loss(row["probe_loss"], self.deviation)
        return stopping.diverged_error(at, row["probe_rmse"], self.deviation, self.telling_units)


def measure(model: Model, rows: Rows, index: Index, own: bool = True) -> dict[str, float]:
    """Return measures of a model over those rows, and the model's `own`.

    "rmse", of reconstruct(x) - x. Of labelled rows instead "error_rate", the share that is put into the wrong
    class, and "loss", the mean of -log p(class | x).
    """
    blocks = [index[start : start + PROBE] for start in range(0, len(index), PROBE)]
    of_block = _classes_of if model.labelled else _squares_of
    sums = dict[str, float]()
    for found in ranks.shared_out(lambda i: of_block(model, rows.take(blocks[i]), own), len(blocks)):
        for key, value in found.items():
            sums[key] = sums.get(key, 0.0) + value
    values = sums.pop("values", 0.0)
    found = {key: value / len(index) for key, value in sums.items()}
    return found if model.labelled else found | {"rmse": math.sqrt(sums["rmse"] / values)}


def _squares_of(model: Model, X: Array, own: bool) -> dict[str, float]:
    """Return the squared error of rows X as "rmse", of so many "values", and sums of the `own` measures."""
    squares = np.empty(len(X), np.float64)
    _core.row_sqdist(squares, X, model.reconstruct(X))
    return {"rmse": math.fsum(squares), "values": float(X.size)} | _own_of(model, X, own)


def _classes_of(model: Model, X: Array, own: bool) -> dict[str, float]:
    """Return the sums over labelled rows X of "error_rate" and "loss", and of the model's `own` measures."""
    assert isinstance(model, IsClassifier)
    P, labels = model.probabilities(model.visible(X)), predicted(model.targets(X))
    own_class = P[np.arange(len(P)), labels].astype(np.float64)
    return {
        "error_rate": float(np.count_nonzero(predicted(P) != labels)),
        "loss": -math.fsum(math.log(p) for p in np.maximum(own_class, LEAST).tolist()),
    } | _own_of(model, X, own)


def _own_of(model: Model, X: Array, own: bool) -> dict[str, float]:
    """Return the model's own measures of rows X, times their number, if they are wanted."""
    return {key: value * len(X) for key, value in (model.extra_metrics(X) if own else {}).items()}
