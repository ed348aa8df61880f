"""Stochastic gradient descent with momentum and weight decay."""

from dataclasses import dataclass, field

import numpy as np

from featlearn import _core
from featlearn.models.base import Array


@dataclass(frozen=True)
class Decay:
    """Weight decay: gradients of l1 * |w| and l2 * w^2 / 2, so both are multiplied by the learning rate.

    With `soft`, L1 is the proximal step, which makes weights exactly zero; else the subgradient l1 * sign(w).
    """

    l1: float = 0.0
    l2: float = 0.0
    soft: bool = True


@dataclass
class SGD:
    """velocity = momentum * velocity - lr * gradient; parameter += velocity."""

    velocity: dict[str, Array] = field(default_factory=dict)

    def update(
        self,
        params: dict[str, Array],
        grads: dict[str, Array],
        lr: float,
        momentum: float,
        decay: Decay,
        decayed: tuple[str, ...],
    ) -> None:
        """One step on all params, in place; `decay` applies to the names in `decayed` alone."""
        for name, w in params.items():
            if name not in self.velocity:
                self.velocity[name] = np.zeros_like(w)
            d = decay if name in decayed else Decay()
            arrays = (w, self.velocity[name], grads[name])
            if not w.flags.c_contiguous:  # the transpose is; all three have one memory order
                arrays = (w.T, self.velocity[name].T, grads[name].T)
            _core.update(*arrays, lr, momentum, d.l1, d.l2, d.soft)
