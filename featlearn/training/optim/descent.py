"""Optimisers that take steps of a rate: stochastic gradient descent and Adam."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from featlearn import _core
from featlearn.models.base import Gradients
from featlearn.rows import Array
from featlearn.training.optim.base import Layout, Optimizer, UpdateSettings

BETA1 = 0.9  # Adam's, as published, and so the next two
BETA2 = 0.999
EPSILON = 1e-8


class Stepper(Optimizer):
    """Steps of a rate: for each parameter some arrays like it, zeros at first."""

    kinds: ClassVar[tuple[str, ...]]
    """The names of these arrays."""

    def kept(self, name: str, w: Array) -> list[Array]:
        """Return the arrays of a parameter, in the order of `kinds`."""
        names = [f"{kind}.{name}" for kind in self.kinds]
        for missing in (key for key in names if key not in self.arrays):
            self.arrays[missing] = np.zeros_like(w)
        return [self.arrays[key] for key in names]

    @classmethod
    def layout(cls, params: dict[str, Array]) -> Layout:
        return {f"{kind}.{name}": (w.shape, w.dtype) for kind in cls.kinds for name, w in params.items()}

    def load(self, arrays: dict[str, Array], params: dict[str, Array]) -> None:
        """Go on with copies of arrays of the layout, in the memory order of the parameters."""
        super().load(arrays, params)
        for name, w in params.items():
            for key in (f"{kind}.{name}" for kind in self.kinds):
                if key in arrays:
                    self.arrays[key] = np.empty_like(w)
                    self.arrays[key][...] = arrays[key]


class SGD(Stepper):
    """Descent with momentum: velocity = momentum * velocity - lr * gradient; parameter += velocity.

    Without momentum no velocity is kept.
    """

    id = "sgd"
    title = "stochastic gradient descent"
    rate = 0.01
    reads = ("lr", "lr_schedule", "warm_up", "momentum", "initial_momentum", "initial_epochs")
    kinds = ("velocity",)

    def step(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], settings: UpdateSettings
    ) -> dict[str, float]:
        metrics, grads = evaluate()
        for name, w in params.items():
            d = settings.decay_of(name)
            velocity = _rows_first(self.kept(name, w)[0]) if settings.momentum else None
            w, grad = _rows_first(w), _rows_first(grads[name])
            _core.update(w, velocity, grad, settings.lr, settings.momentum, d.l1, d.l2, d.soft)
        return metrics


class Adam(Stepper):
    """D. Kingma, J. Ba, ICLR 2015; decay apart from the gradient (I. Loshchilov, F. Hutter, ICLR 2019)."""

    id = "adam"
    title = "Adam"
    rate = 0.001
    reads = ("lr", "lr_schedule", "warm_up")
    kinds = ("mean", "square")

    @classmethod
    def layout(cls, params: dict[str, Array]) -> Layout:
        return super().layout(params) | {"count": ((1,), np.dtype(np.int64))}

    def step(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], settings: UpdateSettings
    ) -> dict[str, float]:
        metrics, grads = evaluate()
        count = self.arrays.setdefault("count", np.zeros(1, np.int64))
        count += 1
        for name, w in params.items():
            d = settings.decay_of(name)
            w, m, v, grad = (_rows_first(a) for a in (w, *self.kept(name, w), grads[name]))
            _core.adam(w, m, v, grad, settings.lr, BETA1, BETA2, EPSILON, int(count[0]), d.l1, d.l2, d.soft)
        return metrics


def blend(mean: Array, w: Array, share: float) -> None:
    """Make `mean` that share of itself and the rest of w, in place; both of one shape and memory order."""
    _core.colsum(_rows_first(mean).reshape(-1), _rows_first(w).reshape(1, -1), 1 - share, share)


def _rows_first(a: Array) -> Array:
    """Return the same memory as a C-contiguous array, for kernels that go by element."""
    return a.T if a.flags.f_contiguous else a
