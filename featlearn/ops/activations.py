"""Activation functions of a layer, there and back.

`maxout` has two linear pieces a unit, all first ones first. Below zero `leaky-relu` units have one slope,
`prelu` units one each, (h,), which is learned (K. He, X. Zhang, S. Ren, J. Sun, Delving deep into rectifiers,
ICCV 2015):

    f(a) = max(a, 0) + s min(a, 0)      df/ds = min(a, 0)
"""

from collections.abc import Iterable

import numpy as np

from featlearn import _core
from featlearn.ops.graph import Graph, Value
from featlearn.ops.reduce import column_mean
from featlearn.rows import Array, Float64

Slope = float | Array
"""One slope, or (h,) one for each unit."""
SLOPE, PRELU_SLOPE = 0.01, 0.25  # the usual ones below zero, of prelu at first
LEAKY = ("leaky-relu", "prelu")
ACTIVATIONS = ("sigmoid", "tanh", "relu", *LEAKY, "maxout", "linear")
REMARKS = (
    "hidden units: sigmoid (saturates, so gradients vanish; not centred on zero), "
    "tanh (a scaled sigmoid, centred on zero), "
    "relu (does not saturate, learns fast; units can die at a high rate), "
    "leaky-relu (a small slope below zero, so none dies), "
    "prelu (leaky, with a slope for each unit that is learned), "
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


def softplus(z: Array) -> Float64:
    """log(1 + exp(z)) of a vector by the kernels' arithmetic, in float64."""
    out = np.empty(len(z), np.float64)
    _core.row_softplus(out, z[:, None], np.zeros(1, z.dtype))
    return out


def pieces(kind: str) -> int:
    """Linear pieces that a unit is made of."""
    return 2 if kind == "maxout" else 1


def needs_inputs(kind: str) -> bool:
    """Whether `backward` needs the total inputs, not the activations alone."""
    return kind in ("maxout", "prelu")


def activate(A: Array, bias: Array, kind: str, slope: Slope = SLOPE) -> Array:
    """f(A + bias) of A (n, pieces * h): (n, h); in place of A but for maxout, which leaves A alone."""
    if kind == "maxout":
        first, second = np.split(A + bias, 2, axis=1)
        return np.asarray(np.maximum(first, second))
    if kind in LEAKY:
        _core.leaky(A, A, bias, _row(slope, A))
        return A
    _core.activate(A, A, bias, kind)
    return A


def portable(g: Graph, A: Value, kind: str, slope: Slope = SLOPE) -> Value:
    """Write f(A) down, of A (n, pieces * h) with its bias."""
    if kind == "maxout":
        return g("Max", *g("Split", A, axis=1, num_outputs=2))
    if kind == "prelu":
        return g("PRelu", A, slope)
    if kind == "leaky-relu":
        return g("LeakyRelu", A, alpha=float(slope))
    return A if kind == "linear" else g(kind.capitalize(), A)


def backward(
    delta: Array,
    H: Array,
    kind: str,
    row: Array | None = None,
    A: Array | None = None,
    slope: Slope = SLOPE,
) -> Array:
    """Return the derivative by A of what has the derivative delta [+ row (h,)] by H (n, h).

    It is made in place of delta where that has the shape.

    A (n, pieces * h), with its bias, is needed where `needs_inputs` says so.
    """
    if kind == "maxout":
        assert A is not None
        first, second = np.split(A, 2, axis=1)
        delta = delta if row is None else delta + row
        return np.hstack([delta * (first >= second), delta * (first < second)])
    if kind in LEAKY:
        row = np.zeros(delta.shape[1], delta.dtype) if row is None else row
        _core.leaky_backward(delta, H if A is None else A, row, _row(slope, delta))
        return delta
    _core.backward(delta, H, kind, row)
    return delta


def second_derivative(H: Array, kind: str) -> Array | None:
    """Return f''(a) of units whose values are H (n, h); None where it is 0, as of straight pieces."""
    if kind == "sigmoid":
        return np.asarray(H * (1 - H) * (1 - 2 * H))
    return -2 * H * (1 - np.square(H)) if kind == "tanh" else None


def uncurved(kinds: Iterable[str], stays: Iterable[int] = ()) -> str:
    """Return why a chain of such layers has no curvature to be multiplied with, and what has; "" if it has.

    The derivatives of f have to follow from its value: of one total input, all entries of which stay.
    """
    odd = next(filter(needs_inputs, kinds), None)
    if odd is not None:
        others = [kind for kind in ACTIVATIONS if not needs_inputs(kind)]
        return f"{odd} units have no such curvature, {', '.join(others[:-1])} and {others[-1]} units have"
    return "the few units that a row keeps change with every update; leave --kept out" if any(stays) else ""


def slope_gradient(delta: Array, A: Array) -> Array:
    """Return the derivatives by slopes (h,), means over rows; delta (n, h) is by H, A (n, h) the inputs."""
    return column_mean(delta * np.minimum(A, 0))


def _row(slope: Slope, A: Array) -> Array:
    """Return the slope (h,) of each unit."""
    return slope if isinstance(slope, np.ndarray) else np.full(A.shape[1], slope, A.dtype)
