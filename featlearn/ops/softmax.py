"""Softmax regression: the linear classifier of codes, for as many classes as there are.

    p(y = k | h) = exp(w_k'h + b_k) / sum_l exp(w_l'h + b_l)
    J = -1/n sum over cases of log p(y | h) + lambda/2 |W|^2
    dW = <h (p - t)'>,  db = <p - t>         t: 1 for the class of the case, else 0

A. Ng et al., UFLDL tutorial, Stanford 2011 (softmax regression). It stands on top of a model of features and
is none itself, so the registry leaves it out. lambda is the weight decay of the training, not applied to b.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn import _core
from featlearn.ops.arrays import product
from featlearn.ops.reduce import column_sum, outer_sum
from featlearn.rows import Array

Labels = npt.NDArray[np.int32]


class Softmax:
    """params: W (features, classes), b (classes,), zeros at first: the loss is convex."""

    weights = ("W",)
    """The params that weight decay applies to."""

    def __init__(self, features: int, classes: int, dtype: npt.DTypeLike = np.float32) -> None:
        self.params: dict[str, Array] = {
            "W": np.zeros((features, classes), dtype),
            "b": np.zeros(classes, dtype),
        }

    def probabilities(self, H: Array) -> Array:
        """p(y | h) of each row: (n, features) -> (n, classes)."""
        P = product(H, self.params["W"])
        _core.softmax(P, None, P, self.params["b"], None)
        return P

    def scores(self, H: Array) -> Array:
        """w_k'h + b_k: (n, features) -> (n, classes)."""
        return np.asarray(product(H, self.params["W"]) + self.params["b"])

    def predict(self, H: Array) -> npt.NDArray[np.int64]:
        """(n,) the likeliest class of each row; ties go to the lowest."""
        return np.asarray(np.argmax(self.scores(H), axis=1))

    def add_gradient(
        self, grads: dict[str, Array], H: Array, y: Labels, counted: Array | None = None
    ) -> float:
        """Adds the sums over rows H (n, features) of class y (n,) to grads; returns that of -log p(y | h).

        `counted` (n,) of 0 and 1 leaves rows out. Decay is the caller's.
        """
        P, losses = product(H, self.params["W"]), np.empty(len(H), np.float64)
        _core.softmax(P, losses, P, self.params["b"], y)
        P[np.arange(len(P)), y] -= 1
        if counted is not None:
            P *= counted[:, None]
            losses *= counted
        outer_sum(H, P, out=grads["W"])
        column_sum(P, out=grads["b"])
        return float(losses.sum())

    def gradient(self, blocks: Any, total: float) -> tuple[dict[str, float], dict[str, Array]]:
        """Mean loss and its gradients over blocks (H, y, counted) of `total` counted rows in all."""
        grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        loss = sum(self.add_gradient(grads, H, y, counted) for H, y, counted in blocks)
        for value in grads.values():
            value /= total
        return {"loss": loss / total}, grads
