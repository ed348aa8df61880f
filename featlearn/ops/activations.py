"""Activation functions of a layer, there and back.

`maxout` has two linear pieces a unit, all first ones first.
"""

import numpy as np

from featlearn import _core
from featlearn.ops.graph import Graph, Value
from featlearn.rows import Array

SLOPE = 0.01  # of leaky-relu below zero, as in csrc
ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky-relu", "maxout", "linear")
REMARKS = (
    "hidden units: sigmoid (saturates, so gradients vanish; not centred on zero), "
    "tanh (a scaled sigmoid, centred on zero), "
    "relu (does not saturate, learns fast; units can die at a high rate), "
    "leaky-relu (slope 0.01 below zero, so none dies), "
    "maxout (the larger of two linear units, which needs twice the weights), linear"
)


def sigmoid(A: Array, bias: Array) -> Array:
    """s(A + bias), in place of A."""
    _core.sigmoid(A, A, bias)
    return A


def exp(z: Array) -> Array:
    """exp(z) of a vector by the kernels' arithmetic, the same on every instruction set."""
    p = sigmoid(-np.abs(z)[None], np.zeros_like(z))[0]
    small = p / (1 - p)
    return np.asarray(np.where(z < 0, small, 1 / small))


def pieces(kind: str) -> int:
    """Linear pieces that a unit is made of."""
    return 2 if kind == "maxout" else 1


def activate(A: Array, bias: Array, kind: str) -> Array:
    """f(A + bias) of A (n, pieces * h): (n, h); in place of A but for maxout, which leaves A alone."""
    if kind == "maxout":
        first, second = np.split(A + bias, 2, axis=1)
        return np.asarray(np.maximum(first, second))
    _core.activate(A, A, bias, _kernel(kind))
    return A


def portable(g: Graph, A: Value, kind: str) -> Value:
    """Write f(A) down, of A (n, pieces * h) with its bias."""
    if kind == "maxout":
        return g("Max", *g("Split", A, axis=1, num_outputs=2))
    if kind == "leaky-relu":
        return g("LeakyRelu", A, alpha=SLOPE)
    return A if kind == "linear" else g(kind.capitalize(), A)


def backward(delta: Array, H: Array, kind: str, row: Array | None = None, A: Array | None = None) -> Array:
    """Return the derivative by A of what has the derivative delta [+ row (h,)] by H (n, h).

    It is made in place of delta where that has the shape.

    A (n, pieces * h), with its bias, is needed for maxout alone.
    """
    if kind != "maxout":
        _core.backward(delta, H, _kernel(kind), row)
        return delta
    assert A is not None
    first, second = np.split(A, 2, axis=1)
    delta = delta if row is None else delta + row
    return np.hstack([delta * (first >= second), delta * (first < second)])


def second_derivative(H: Array, kind: str) -> Array | None:
    """Return f''(a) of units whose values are H (n, h); None where it is 0, as of straight pieces."""
    if kind == "sigmoid":
        return np.asarray(H * (1 - H) * (1 - 2 * H))
    return -2 * H * (1 - np.square(H)) if kind == "tanh" else None


def has_curvature(kind: str) -> bool:
    """Whether f is a function of one total input, so that its derivatives follow from its value."""
    return pieces(kind) == 1


def _kernel(kind: str) -> str:
    return "leaky" if kind == "leaky-relu" else kind
