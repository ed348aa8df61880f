"""Errors between arrays, summed in float64."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn import _core

Array = npt.NDArray[Any]


def squared_error(X: Array, Y: Array) -> float:
    """Sum of (x - y)^2 over two float arrays (n, d) of one dtype."""
    squares = np.empty(len(X), np.float64)
    _core.row_sqdist(squares, X, Y)
    return math.fsum(squares)


def rmse(X: Array, Y: Array) -> float:
    """Root of the mean squared difference, in the units of X."""
    return math.sqrt(squared_error(X, Y) / X.size) if X.size else 0.0


def explained_variance(X: Array, Y: Array) -> float:
    """1 - |X - Y|^2 / |X - column means|^2, both summed over rows and columns."""
    total = float(np.square(X - X.mean(axis=0, dtype=np.float64)).sum())
    return 1 - squared_error(X, Y) / total if total > 0 else math.nan


def coherence(F: Array) -> float:
    """Largest |cosine| between two different rows of F (k, d), zero rows left out; NaN of fewer than two.

    The mutual coherence of a dictionary (D. Donoho, X. Huo, IEEE Transactions on Information Theory 47, 2001).
    """
    norms = np.sqrt(np.square(F, dtype=np.float64).sum(axis=1))
    U = np.ascontiguousarray(F[norms > 0] / norms[norms > 0, None], np.float32)
    if len(U) < 2:
        return math.nan
    largest = 0.0
    for start in range(0, len(U), 1024):
        rows = U[start : start + 1024]
        cosines = np.empty((len(rows), len(U)), np.float32)
        _core.gemm(cosines, rows, U, trans_b=True)
        cosines[np.arange(len(rows)), start + np.arange(len(rows))] = 0
        largest = max(largest, float(np.abs(cosines).max()))
    return min(largest, 1.0)


def psnr(X: Array, Y: Array) -> float:
    """Peak signal-to-noise ratio in decibels of pixels in 0..1; infinite when equal."""
    mse = float(np.mean(np.square(np.asarray(X, np.float64) - Y)))
    return -10 * math.log10(mse) if mse else math.inf
