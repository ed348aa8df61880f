"""The base of all optimisers, and the settings of an update.

An optimiser keeps all that it knows in `arrays`, so a run that was stopped goes on as if it had not been.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from featlearn import _core
from featlearn.models.base import Curvature, Gradients
from featlearn.rows import Array

OPTIMIZERS: dict[str, type["Optimizer"]] = {}
"""Every optimiser by its id, in the order of definition."""
Layout = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
"""Shape and dtype of arrays by their names."""
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
class UpdateSettings:
    """The settings of an update; `decay` applies to the parameters in `decayed` alone."""

    lr: float
    momentum: float = 0.0
    decay: Decay = Decay()
    decayed: tuple[str, ...] = ()
    curvature: Callable[[], Curvature] | None = None
    """What makes the curvature of the loss at what params hold, without decay."""

    def decay_of(self, name: str) -> Decay:
        return self.decay if name in self.decayed else Decay()


class Optimizer:
    """Base of all: `step` changes params in place and tells the metrics that came with the gradient.

    A subclass with an `id` can be chosen by it, without another line elsewhere.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    """Its name in words."""
    rate: ClassVar[float | None] = None
    """Its usual learning rate; None: it has no use for one."""
    reads: ClassVar[tuple[str, ...]] = ()
    """The settings of the training that only some optimisers read, this one among them."""
    searches: ClassVar[bool] = False
    """Whether it follows a loss by line searches, and so needs one that stands still."""

    curved: ClassVar[bool] = False
    """Whether it wants the curvature of the loss."""
    worth: ClassVar[int] = 1
    """How many line searches one of its steps on all rows is worth."""
    most: ClassVar[int | None] = None
    """How many parameters it can have; None: any number."""

    def __init_subclass__(cls) -> None:
        if "id" in cls.__dict__:
            OPTIMIZERS[cls.id] = cls

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.converged = False

    def step(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], settings: UpdateSettings
    ) -> dict[str, float]:
        """Make one update; `evaluate` gives metrics and gradients, without decay, at what params hold."""
        raise NotImplementedError

    @classmethod
    def layout(cls, params: dict[str, Array]) -> Layout:
        """Return all arrays that it may keep for params; it goes on with any part of them."""
        raise NotImplementedError

    def load(self, arrays: dict[str, Array], params: dict[str, Array]) -> None:
        """Go on with copies of arrays of the layout."""
        self.arrays = {name: value.copy() for name, value in arrays.items()}

    def forget(self) -> None:
        """Begin anew: the loss has become another, that of other rows."""
        self.arrays, self.converged = {}, False


def dot(a: Array, b: Array) -> float:
    """The inner product of two vectors (n,) float64, in the kernels' own order of sums."""
    out = np.empty(1)
    _core.sparse_dot(out, _ONE_ENTRY, _FIRST_ROW, a[None], b[None])
    return float(out[0])
