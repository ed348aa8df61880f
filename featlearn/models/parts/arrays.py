"""Array operations that models share. All sums go through the kernels, so that bytes do not depend on threads."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn import _core

Array = npt.NDArray[Any]


def product(A: Array, B: Array, trans_b: bool = False) -> Array:
    """A B, or A B' with `trans_b`."""
    out: Array = np.empty((len(A), B.shape[0] if trans_b else B.shape[1]), A.dtype)
    _core.gemm(out, A, B, trans_b=trans_b)
    return out


def column_mean(A: Array) -> Array:
    """Mean over rows, (n, d) -> (d,)."""
    out: Array = np.empty(A.shape[1], A.dtype)
    _core.colsum(out, A, alpha=1 / len(A))
    return out


def column_mean_difference(A: Array, B: Array) -> Array:
    """Column means of A minus those of B, which may have another number of rows."""
    out: Array = np.empty(A.shape[1], A.dtype)
    _core.colsum(out, B, alpha=-1 / len(B))
    _core.colsum(out, A, alpha=1 / len(A), beta=1)
    return out


def row_sum(A: Array) -> Array:
    """Sum over columns, (n, d) -> (n,)."""
    return product(A, np.ones((A.shape[1], 1), A.dtype))[:, 0]


def sigmoid(A: Array, bias: Array) -> Array:
    """s(A + bias), in place of A."""
    _core.sigmoid(A, A, bias)
    return A


def total(a: Array) -> float:
    """The exact sum of a vector; infinite where that is no number."""
    try:
        return math.fsum(a) if np.isfinite(a).all() else math.inf
    except OverflowError:
        return math.inf


def rmse(X: Array, Y: Array) -> float:
    """Root of the mean squared difference; infinite where that is no number."""
    squares = np.empty(len(X), np.float64)
    _core.row_sqdist(squares, X, Y)
    return math.sqrt(total(squares) / X.size)


def mean(a: Array) -> float:
    """Mean of a vector, summed exactly; infinite where that is no number."""
    return total(a) / len(a)
