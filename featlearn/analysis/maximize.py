"""Rows that make units most active: what units look for where that is no sum of filters.

    x_j = argmax a_j(x)   subject to  |x| <= r   and, where values have bounds,  low <= x <= high

a_j is the total input of unit j of the last layer. Found by ascent from small random rows, each step along
the gradient and back to where x is allowed to be (D. Erhan, Y. Bengio, A. Courville, P. Vincent,
Visualizing higher-layer features of a deep network, Univ. of Montreal TR 1341, 2009).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from featlearn.ops.arrays import product, row_squares
from featlearn.ops.dense import Dense, forward
from featlearn.random import Purpose, Random
from featlearn.rows import Array

STEPS = 200
STRIDE = 0.2
"""The length of the first step, as a share of r; the last ones fall to a hundredth of it."""


def maximizers(
    layers: Sequence[Dense],
    units: int,
    radius: float,
    low: float,
    high: float,
    advance: Callable[[], None] = lambda: None,
) -> Array:
    """Return (units, visible) rows, one for each of the first units of the last layer.

    Values lie in low..high, which may be infinite, and rows at most `radius` from 0.
    """
    top = layers[-1]
    pieces = [part[:, :units] for part in np.split(top.W, top.W.shape[1] // top.units, axis=1)]
    biases = [part[:units] for part in np.split(top.c, len(pieces))]
    activation = top.activation if len(pieces) > 1 else "linear"
    wanted = replace(top, W=np.hstack(pieces), c=np.hstack(biases), activation=activation, kept=0)
    chain = [*layers[:-1], wanted]
    n_visible, dtype = layers[0].n_in, layers[0].W.dtype
    rows: Array = Random(0).normal((wanted.units, n_visible), dtype, Purpose.CHAIN)
    X = _allowed(rows * dtype.type(0.1 * radius / np.sqrt(n_visible)), radius, low, high)
    own = np.eye(wanted.units, dtype=dtype)
    for k in range(STEPS):
        slope = _by_rows(chain, X, own)
        length = np.sqrt(row_squares(slope))[:, None]
        stride = STRIDE * radius * 0.01 ** (k / STEPS)
        X = (X + slope / np.maximum(length, 1e-30) * stride).astype(dtype)
        X = _allowed(X, radius, low, high)
        advance()
    return X


def _by_rows(chain: Sequence[Dense], X: Array, delta: Array) -> Array:
    """Return the derivative by rows X (n, visible), of what has the derivative delta (n, units) by codes."""
    passed = forward(chain, X)
    for layer, at in zip(reversed(chain), reversed(passed), strict=True):
        delta = product(layer.backward(at, delta.copy()), layer.W, trans_b=True)
    return delta


def _allowed(X: Array, radius: float, low: float, high: float) -> Array:
    """Return the rows within the box, then within the ball."""
    X = np.clip(X, X.dtype.type(low), X.dtype.type(high))
    length = np.sqrt(row_squares(X))[:, None]
    return np.asarray(X * np.minimum(1.0, radius / np.maximum(length, 1e-30)), X.dtype)
