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

from featlearn import _core, ranks
from featlearn.ops.arrays import add_bias, product, row_sum
from featlearn.ops.reduce import all_rows, column_sum, outer_sum
from featlearn.rows import Array, Float64

Labels = npt.NDArray[np.int32]


def softmax(Z: Array) -> Array:
    """Return p(k) = exp(z_k) / sum_l exp(z_l) of each row of scores Z (n, classes), in their place."""
    _core.softmax(Z, None, Z, np.zeros(Z.shape[1], Z.dtype), None)
    return Z


def predicted(Z: Array) -> npt.NDArray[np.int64]:
    """Return (n,) the likeliest class of each row of scores Z (n, classes); ties go to the lowest."""
    return np.asarray(np.argmax(Z, axis=1))


def cross_entropy(Z: Array, T: Array) -> tuple[Float64, Array]:
    """Return -sum_k t_k log p_k of each row, (n,), and p (n, classes).

    Z (n, classes) are scores, T the wanted shares of each class, which sum to 1.
    """
    losses, P = np.empty(len(Z), np.float64), np.empty_like(Z)
    likeliest = predicted(T)
    _core.softmax(P, losses, Z, np.zeros(Z.shape[1], Z.dtype), likeliest.astype(np.int32))
    own = Z[np.arange(len(Z)), likeliest]
    return losses + (own - row_sum(T * Z)), P


class Softmax:
    """params: W (features, count classes), b (count classes,), zeros at first: the loss is convex.

    With `count` above 1 they are as many classifiers side by side, each with its own columns: they learn from
    the same rows, in one product for all.
    """

    weights = ("W",)
    """The params that weight decay applies to."""

    def __init__(
        self, features: int, classes: int, dtype: npt.DTypeLike = np.float32, count: int = 1
    ) -> None:
        self.classes, self.count = classes, count
        self.params: dict[str, Array] = {
            "W": np.zeros((features, count * classes), dtype),
            "b": np.zeros(count * classes, dtype),
        }

    def probabilities(self, H: Array) -> Array:
        """Return p(y | h) of each row: (n, features) -> (n, classes)."""
        P = product(H, self.params["W"])
        _core.softmax(P, None, P, self.params["b"], None)
        return P

    def scores(self, H: Array) -> Array:
        """Return w_k'h + b_k: (n, features) -> (n, count classes)."""
        return add_bias(product(H, self.params["W"]), self.params["b"])

    def predict(self, H: Array) -> npt.NDArray[np.int64]:
        """Return (n,) the likeliest class of each row; ties go to the lowest."""
        return predicted(self.scores(H))

    def add_gradient(
        self, grads: dict[str, Array], H: Array, y: Labels, counted: Array | None = None
    ) -> Float64:
        """Add the sums over rows H (n, features) of class y (n,) to grads. -> sums of -log p(y | h), (count,)

        `counted` (n, count) of 0 and 1 leaves rows out of classifiers. Decay is the caller's.
        """
        n = len(H)
        count = self.count
        classes = self.classes
        A = self.scores(H)
        P = A.reshape(n * count, classes)
        losses = np.empty(n * count)
        of = np.repeat(y, count)
        _core.softmax(P, losses, P, np.zeros(classes, P.dtype), of)
        P[np.arange(len(P)), of] -= 1
        if counted is not None:
            P *= counted.reshape(-1, 1)
            losses *= counted.reshape(-1)
        outer_sum(H, A, out=grads["W"])
        column_sum(A, out=grads["b"])
        return np.asarray(all_rows(losses.reshape(n, count)).sum(axis=0))

    def gradient(
        self, blocks: Any, total: int | npt.NDArray[np.integer[Any]]
    ) -> tuple[dict[str, float], dict[str, Array]]:
        """Return loss and gradients over blocks (H, y, counted): the sum of all classifiers' means.

        Ranks share the rows of each block out.

        `total`: the number of counted rows in all, of each classifier (count,) where they differ.
        """
        grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        losses = np.zeros(self.count)
        for H, y, counted in blocks:
            with ranks.sharing(len(H)) as own:
                losses += self.add_gradient(grads, H[own], y[own], None if counted is None else counted[own])
        each = np.repeat(np.broadcast_to(total, self.count), self.classes).astype(grads["b"].dtype)
        for value in grads.values():
            value /= each
        return {"loss": float(np.sum(losses / total))}, grads
