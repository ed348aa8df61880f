"""Products and sums of arrays. All go through the kernels: bytes depend neither on threads nor on the CPU."""

import math

import numpy as np

from featlearn import _core
from featlearn.rows import Array, Float64


def product(A: Array, B: Array, trans_a: bool = False, trans_b: bool = False, scale: float = 1.0) -> Array:
    """`scale` A B, or of A' with `trans_a` and of B' with `trans_b`."""
    out: Array = np.empty((A.shape[trans_a], B.shape[not trans_b]), A.dtype)
    _core.gemm(out, A, B, trans_a=trans_a, trans_b=trans_b, alpha=scale)
    return out


def add_bias(A: Array, bias: Array) -> Array:
    """Add bias (d,) to each row, in place of A."""
    _core.add_bias(A, A, bias)
    return A


def mirror(A: Array) -> None:
    """Copy what is above the diagonal of a square A below it."""
    for i in range(len(A)):
        A[i + 1 :, i] = A[i, i + 1 :]


def sum_columns(A: Array) -> Array:
    """Sum of each column of parameters, (n, d) -> (d,)."""
    out: Array = np.empty(A.shape[1], A.dtype)
    _core.colsum(out, A)
    return out


def row_sum(A: Array, scale: float = 1.0) -> Array:
    """`scale` times the sum over columns, (n, d) -> (n,): in one order, however many rows there are."""
    return product(A, np.ones((A.shape[1], 1), A.dtype), scale=scale)[:, 0]


def row_distances(A: Array, B: Array) -> Float64:
    """Squared distance of each row of A from that of B, both (n, d) -> (n,)."""
    squares = np.empty(len(A), np.float64)
    _core.row_sqdist(squares, A, B)
    return squares


def row_squares(A: Array) -> Float64:
    """Squared length of each row, (n, d) -> (n,)."""
    return row_distances(A, np.zeros_like(A))


def total(a: Array) -> float:
    """The exact sum of a vector; infinite where that is no number."""
    try:
        return math.fsum(a.tolist()) if np.isfinite(a).all() else math.inf
    except OverflowError:
        return math.inf


def squared_error(X: Array, Y: Array) -> float:
    """Sum of (x - y)^2 over two float arrays (n, d) of one dtype; infinite where that is no number."""
    return total(row_distances(X, Y))
