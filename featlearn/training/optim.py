"""How parameters follow gradients: by steps of a rate (SGD, Adam), or by line searches (L-BFGS, conjugate
gradient).

All keep what they know in `arrays`, so that a run that was stopped goes on as if it had not been. That is why
L-BFGS and conjugate gradient are made here, by the equations of Nocedal & Wright, Numerical Optimization (2nd
ed., 2006), and not by scipy. Their inner products are the kernels', so that bytes do not depend on BLAS.

Each describes itself: its usual learning rate and the settings of the training that it reads. A new optimiser
is a class and its row in OPTIMIZERS.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from featlearn import _core
from featlearn.models.base import DataSummary, Gradients, Model
from featlearn.rows import Array
from featlearn.training.line_search import strong_wolfe

MEMORY = 10  # pairs of steps and gradient differences that L-BFGS keeps
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, as published
_ONE_ENTRY, _FIRST_ROW = np.array([0, 1]), np.zeros(1, np.int32)  # a sparse product of one row with one


@dataclass(frozen=True)
class Decay:
    """Weight decay: gradients of l1 * |w| and l2 * w^2 / 2, so both are multiplied by the learning rate.

    With `soft`, L1 is the proximal step, which makes weights exactly zero; else the subgradient l1 * sign(w).
    """

    l1: float = 0.0
    l2: float = 0.0
    soft: bool = True

    def cost(self, w: Array) -> float:
        """l1 * |w| + l2 * w^2 / 2, summed over a parameter in float64."""
        flat = w.ravel().astype(np.float64)
        total = self.l1 * dot(np.abs(flat), np.ones_like(flat)) if self.l1 else 0.0
        return total + (self.l2 / 2 * dot(flat, flat) if self.l2 else 0.0)


@dataclass(frozen=True)
class Rates:
    """How to make an update; `decay` applies to the parameters in `decayed` alone."""

    lr: float
    momentum: float = 0.0
    decay: Decay = Decay()
    decayed: tuple[str, ...] = ()

    def decay_of(self, name: str) -> Decay:
        return self.decay if name in self.decayed else Decay()


class Optimizer:
    """Base of all: `step` changes params in place and tells the metrics that came with the gradient."""

    title: ClassVar[str]
    """Its name in words."""
    rate: ClassVar[float | None] = None
    """Its usual learning rate; None: it has no use for one."""
    reads: ClassVar[tuple[str, ...]] = ()
    """The settings of the training that only some optimisers read, this one among them."""
    searches: ClassVar[bool] = False
    """Whether it follows a loss by line searches, and so needs one that stands still."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.converged = False

    def step(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], rates: Rates
    ) -> dict[str, float]:
        """One update; `evaluate` gives metrics and gradients (without decay) at what params then hold."""
        raise NotImplementedError

    def keeps(self, arrays: dict[str, Array], params: dict[str, Array]) -> bool:
        """Whether these are arrays of the names, shapes and dtypes that it keeps for params, or none yet."""
        raise NotImplementedError

    def take(self, arrays: dict[str, Array], params: dict[str, Array]) -> None:
        """Go on with arrays from a file."""
        self.arrays = {name: value.copy() for name, value in arrays.items()}

    def forget(self) -> None:
        """Begin anew: the loss has become another, that of other rows."""
        self.arrays, self.converged = {}, False


class Stepper(Optimizer):
    """Steps of a rate: for each parameter some arrays like it, zeros at first."""

    kinds: ClassVar[tuple[str, ...]]

    def _kept(self, name: str, w: Array) -> list[Array]:
        """The arrays of a parameter, in the order of `kinds`."""
        names = [f"{kind}.{name}" for kind in self.kinds]
        for missing in (key for key in names if key not in self.arrays):
            self.arrays[missing] = np.zeros_like(w)
        return [self.arrays[key] for key in names]

    def keeps(self, arrays: dict[str, Array], params: dict[str, Array]) -> bool:
        wanted = {f"{kind}.{name}": (w.shape, w.dtype) for kind in self.kinds for name, w in params.items()}
        found = {name: (w.shape, w.dtype) for name, w in arrays.items() if name != "count"}
        count = arrays.get("count", np.zeros(1, np.int64))
        return (
            found in ({}, wanted)
            and count.shape == (1,)
            and count.dtype == np.int64
            and 0 <= count[0] < 1 << 53
        )

    def take(self, arrays: dict[str, Array], params: dict[str, Array]) -> None:
        """Also into the memory order of the parameters."""
        super().take(arrays, params)
        for name, w in params.items():
            for kind in self.kinds:
                if f"{kind}.{name}" in arrays:
                    self.arrays[f"{kind}.{name}"] = np.empty_like(w)
                    self.arrays[f"{kind}.{name}"][...] = arrays[f"{kind}.{name}"]


class SGD(Stepper):
    """velocity = momentum * velocity - lr * gradient; parameter += velocity; none is kept without momentum."""

    title = "stochastic gradient descent with momentum"
    rate = 0.01
    reads = ("lr", "lr_schedule", "momentum", "initial_momentum", "initial_epochs")
    kinds = ("velocity",)

    def step(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], rates: Rates
    ) -> dict[str, float]:
        metrics, grads = evaluate()
        for name, w in params.items():
            d = rates.decay_of(name)
            velocity = _rows_first(self._kept(name, w)[0]) if rates.momentum else None
            w, grad = _rows_first(w), _rows_first(grads[name])
            _core.update(w, velocity, grad, rates.lr, rates.momentum, d.l1, d.l2, d.soft)
        return metrics


class Adam(Stepper):
    """D. Kingma, J. Ba, ICLR 2015; decay apart from the gradient (I. Loshchilov, F. Hutter, ICLR 2019)."""

    title = "Adam"
    rate = 0.001
    reads = ("lr", "lr_schedule")
    kinds = ("mean", "square")

    def step(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], rates: Rates
    ) -> dict[str, float]:
        metrics, grads = evaluate()
        count = self.arrays.setdefault("count", np.zeros(1, np.int64))
        count += 1
        for name, w in params.items():
            d = rates.decay_of(name)
            w, m, v, grad = (_rows_first(a) for a in (w, *self._kept(name, w), grads[name]))
            _core.adam(w, m, v, grad, rates.lr, BETA1, BETA2, EPSILON, int(count[0]), d.l1, d.l2, d.soft)
        return metrics


class LineSearch(Optimizer):
    """A direction downhill, and the step along it that meets the strong Wolfe conditions. Raises nothing of
    its own.

    Parameters keep their precision, vectors here are float64. When no step lowers the loss any more, it has
    `converged`: as a rule to the precision of the parameters.
    """

    searches = True
    reads = ("searches",)
    curvature: ClassVar[float]
    """The share of the slope that may be left at the end of a search."""

    def step(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], rates: Rates
    ) -> dict[str, float]:
        loss, x = _Loss(params, evaluate, rates), _flat(params)
        kept = self.arrays.get("gradient")
        start = loss.at(x) if kept is None else _Point(x, float(self.arrays["loss"][0]), kept, {})
        direction = self.direction(start.gradient)
        if not self._learned:  # the gradient alone knows no length
            direction *= min(1.0, 1 / max(math.sqrt(dot(direction, direction)), 1e-30))
        slope = dot(start.gradient, direction)

        def along(length: float) -> tuple[float, float]:
            point = loss.at(x + length * direction)
            return point.loss, dot(point.gradient, direction)

        found = strong_wolfe(along, start.loss, slope, self.first_length(start.loss, slope), self.curvature)
        end = loss.seen[-1] if found else min(loss.seen, key=lambda point: point.loss, default=start)
        if found and end.loss < start.loss:
            self.learn(start, end, direction)
        else:  # begin again with steepest descent; where that found nothing either, it is over
            self.converged = not (end.loss < start.loss or self._learned)
            self.arrays = {}
        if not end.loss < start.loss:
            end = loss.at(x)
        _set(params, end.x)
        self.arrays |= {
            "gradient": end.gradient,
            "loss": np.array([end.loss]),
            "before": np.array([start.loss]),
        }
        return end.metrics

    def keeps(self, arrays: dict[str, Array], params: dict[str, Array]) -> bool:
        size = sum(w.size for w in params.values())
        names = {name.partition(".")[0] for name in arrays}
        numbers = [{name[2:] for name in arrays if name.startswith(kind)} for kind in ("s.", "y.")]
        return (
            names <= {"gradient", "loss", "before", "s", "y", "direction", "old"}
            and numbers[0] == numbers[1]
            and all(re.fullmatch("0|[1-9][0-9]{0,17}", number) for number in numbers[0])
            and ({"gradient", "loss", "before"} <= arrays.keys() or not arrays)
            and ("direction" in arrays) == ("old" in arrays)
            and all(
                w.dtype == np.float64 and w.shape == ((1,) if name in ("loss", "before") else (size,))
                for name, w in arrays.items()
            )
            and all(dot(arrays[f"s.{number}"], arrays[f"y.{number}"]) > 0 for number in numbers[0])
        )

    @property
    def _learned(self) -> bool:
        """Whether there is anything to make a direction of but the gradient."""
        return bool(self.arrays.keys() - {"gradient", "loss", "before"})

    def direction(self, gradient: Array) -> Array:
        raise NotImplementedError

    def learn(self, start: "_Point", end: "_Point", direction: Array) -> None:
        raise NotImplementedError

    def first_length(self, loss: float, slope: float) -> float:
        """The length of the first step that is tried, from where loss and slope are these."""
        return 1.0


class LBFGS(LineSearch):
    """Limited-memory BFGS: minus the inverse Hessian of the last steps times the gradient (algorithm 7.4)."""

    title = "L-BFGS"
    curvature = 0.9

    def direction(self, gradient: Array) -> Array:
        q = -gradient
        pairs = [(self.arrays[f"s.{i}"], self.arrays[f"y.{i}"]) for i in self._numbers]
        rho = [1 / dot(s, y) for s, y in pairs]
        alpha = [0.0] * len(pairs)
        for i in reversed(range(len(pairs))):
            s, y = pairs[i]
            alpha[i] = rho[i] * dot(s, q)
            q -= alpha[i] * y
        if pairs:
            y = pairs[-1][1]
            q /= rho[-1] * dot(y, y)
        for i, (s, y) in enumerate(pairs):
            q += (alpha[i] - rho[i] * dot(y, q)) * s
        return q

    def learn(self, start: "_Point", end: "_Point", direction: Array) -> None:
        s, y = end.x - start.x, end.gradient - start.gradient
        if not dot(s, y) > 1e-10 * dot(y, y):  # rounding: it would not keep the Hessian positive
            return
        numbers = self._numbers
        for i in numbers[: max(0, len(numbers) + 1 - MEMORY)]:
            del self.arrays[f"s.{i}"], self.arrays[f"y.{i}"]
        i = numbers[-1] + 1 if numbers else 0
        self.arrays |= {f"s.{i}": s, f"y.{i}": y}

    @property
    def _numbers(self) -> list[int]:
        """Of the pairs, oldest first."""
        return sorted(int(name[2:]) for name in self.arrays if name.startswith("s."))


class CG(LineSearch):
    """Nonlinear conjugate gradient by Polak and Ribiere, restarted where it would turn back (equation 5.45)."""

    title = "conjugate gradient"
    curvature = 0.1

    def direction(self, gradient: Array) -> Array:
        d = self.arrays.get("direction")
        if d is None:
            return -gradient
        old = self.arrays["old"]
        beta = max(0.0, dot(gradient, gradient - old) / max(dot(old, old), 1e-300))
        new = beta * d - gradient
        return new if dot(new, gradient) < 0 else -gradient

    def learn(self, start: "_Point", end: "_Point", direction: Array) -> None:
        self.arrays |= {"direction": direction, "old": start.gradient}

    def first_length(self, loss: float, slope: float) -> float:
        """Where the loss would fall as much as by the last step, were it a parabola; at most 1 (equation
        3.60)."""
        if "direction" not in self.arrays or not slope < 0:
            return 1.0
        length = 2.02 * (loss - float(self.arrays["before"][0])) / slope
        return min(1.0, length) if length > 0 else 1.0


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "lbfgs": LBFGS, "cg": CG}


def readers(setting: str) -> list[str]:
    """The names of the optimisers that read a setting of the training."""
    return [name for name, cls in OPTIMIZERS.items() if setting in cls.reads]


def usual_rates(model: type[Model], config: Any, data: DataSummary) -> dict[str, float]:
    """The learning rates of the optimisers that have one, with a model, its resolved config and such data."""
    return _own_rates() | model.usual_rates(config, data)


def rates_in_words(model: type[Model]) -> str:
    """The same for any data: "sgd 0.5; adam 0.001"."""
    rates = {name: f"{name} {rate:g}" for name, rate in (_own_rates() | model.rates).items()}
    rates["sgd"] = f"{rates['sgd']} {model.rate_unit}".rstrip()
    return "; ".join(rates.values())


def _own_rates() -> dict[str, float]:
    return {name: cls.rate for name, cls in OPTIMIZERS.items() if cls.rate is not None}


@dataclass(frozen=True)
class _Point:
    """A place where the loss was evaluated; x in float64 as it is in the parameters' precision."""

    x: Array
    loss: float
    gradient: Array
    metrics: dict[str, float]


class _Loss:
    """Loss and gradient of all parameters as one vector, and the points where it was `seen`."""

    def __init__(self, params: dict[str, Array], evaluate: Callable[[], Gradients], rates: Rates) -> None:
        self.params, self.evaluate, self.rates = params, evaluate, rates
        self.seen: list[_Point] = []

    def at(self, x: Array) -> _Point:
        _set(self.params, x)
        metrics, grads = self.evaluate()
        parts = [grads[name] + self.rates.decay_of(name).l2 * w for name, w in self.params.items()]
        value = metrics["loss"] if math.isfinite(metrics["loss"]) else math.inf
        gradient = np.concatenate([part.ravel() for part in parts], dtype=np.float64)
        self.seen.append(_Point(_flat(self.params), value, gradient, metrics))
        return self.seen[-1]


def dot(a: Array, b: Array) -> float:
    """The inner product of two vectors (n,) float64, in the kernels' own order of sums."""
    out = np.empty(1)
    _core.sparse_dot(out, _ONE_ENTRY, _FIRST_ROW, a[None], b[None])
    return float(out[0])


def _rows_first(a: Array) -> Array:
    """The same memory as a C-contiguous array: kernels that go by element do not mind a transposed one."""
    return a.T if a.flags.f_contiguous else a


def _flat(params: dict[str, Array]) -> Array:
    return np.concatenate([w.ravel() for w in params.values()], dtype=np.float64)


def _set(params: dict[str, Array], x: Array) -> None:
    start = 0
    for w in params.values():
        w[...] = x[start : start + w.size].reshape(w.shape)
        start += w.size
