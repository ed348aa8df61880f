"""Sums and means over the rows of a minibatch: the one place where rows that are shared out would meet again.

Every sum over rows that models learn from is made here, or in `backward` of ops/sparse_code.py. What is
chosen among rows is none: the largest activations of a batch (ops/sparse_code.py), Goh's ranks
(ops/sparsity.py).
"""

import math

import numpy as np

from featlearn import _core
from featlearn.ops.arrays import squared_error, total
from featlearn.rows import Array

BLOCK = 256
"""Rows whose sum is one number in the order of all sums, as in the kernels."""


def outer_sum(X: Array, H: Array, weight: float = 1.0, out: Array | None = None) -> Array:
    """Return `weight` times the sum over rows of x h': (n, d) and (n, k) -> (d, k).

    It is added to `out` where that is given.
    """
    made: Array = np.empty((X.shape[1], H.shape[1]), X.dtype) if out is None else out
    _core.gemm(made, X, H, trans_a=True, alpha=weight, beta=0.0 if out is None else 1.0)
    return made


def outer_mean(X: Array, H: Array, weight: float = 1.0, out: Array | None = None) -> Array:
    """Return `weight` times the mean over rows of x h': (n, d) and (n, k) -> (d, k).

    It is added to `out` where that is given.
    """
    return outer_sum(X, H, weight / len(X), out)


def outer_means(*pairs: tuple[Array, Array, float]) -> Array:
    """Return the sum over pairs (X, H, weight) of `weight` times the mean over rows of x h', (d, k).

    It is one sum over blocks of rows: the first 256 of each pair, then the next, and so on. X and H of a pair
    are (n, d) and (n, k); pairs may differ in n.
    """
    X, H, _ = pairs[0]
    whole: Array | None = None
    for i in range(0, max(len(X) for X, _, _ in pairs), BLOCK):
        block: Array = np.empty((X.shape[1], H.shape[1]), X.dtype)
        beta = 0.0
        for A, B, weight in pairs:
            if i < len(A):
                part = slice(i, i + BLOCK)
                _core.gemm(block, A[part], B[part], trans_a=True, alpha=weight / len(A), beta=beta)
                beta = 1.0
        whole = block if whole is None else np.add(whole, block, out=whole)
    assert whole is not None
    return whole


def column_sum(A: Array, weight: float = 1.0, out: Array | None = None) -> Array:
    """`weight` times the sum over rows, (n, d) -> (d,), added to `out` where it is given."""
    made: Array = np.empty(A.shape[1], A.dtype) if out is None else out
    _core.colsum(made, A, alpha=weight, beta=0.0 if out is None else 1.0)
    return made


def column_mean(A: Array, weight: float = 1.0, out: Array | None = None) -> Array:
    """`weight` times the mean over rows, (n, d) -> (d,), added to `out` where it is given."""
    return column_sum(A, weight / len(A), out)


def group_sums(X: Array, group: Array, count: int) -> Array:
    """Return the sum of the rows X (n, d) of each group, (count, d); `group` (n,) int32 is that of a row."""
    made: Array = np.empty((count, X.shape[1]), X.dtype)
    start, ones = np.arange(len(X) + 1), np.ones(len(X), X.dtype)
    _core.sparse_gradient(made, start, np.ascontiguousarray(group), ones, X)
    return made


def row_total(a: Array) -> float:
    """Return the exact sum of one value a row, (n,); infinite where that is no number."""
    return total(a)


def mean(a: Array) -> float:
    """Mean of one value a row, (n,), summed exactly; infinite where that is no number."""
    return row_total(a) / len(a)


def grand_mean(A: Array) -> float:
    """Mean of all values, (n, d)."""
    return total(column_mean(A)) / int(A.shape[1])


def rmse(X: Array, Y: Array) -> float:
    """Root of the mean squared difference of two arrays (n, d); infinite where that is no number."""
    return math.sqrt(squared_error(X, Y) / X.size)
