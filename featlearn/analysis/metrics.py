"""How alike filters are, and pictures."""

import math

import numpy as np

from featlearn.ops.arrays import product
from featlearn.rows import Array


def coherence(F: Array) -> float:
    """Largest |cosine| between two different rows of F (k, d), zero rows left out; NaN of fewer than two.

    The mutual coherence of a dictionary (D. Donoho, X. Huo, IEEE Transactions on Information Theory 47,
    2001).
    """
    norms = np.sqrt(np.square(F, dtype=np.float64).sum(axis=1))
    U = np.ascontiguousarray(F[norms > 0] / norms[norms > 0, None], np.float32)
    if len(U) < 2:
        return math.nan
    largest = 0.0
    for start in range(0, len(U), 1024):
        rows = U[start : start + 1024]
        cosines = product(rows, U, trans_b=True)
        cosines[np.arange(len(rows)), start + np.arange(len(rows))] = 0
        largest = max(largest, float(np.abs(cosines).max()))
    return min(largest, 1.0)


def psnr(X: Array, Y: Array) -> float:
    """Peak signal-to-noise ratio in decibels of pixels in 0..1; infinite when equal."""
    mse = float(np.mean(np.square(np.asarray(X, np.float64) - Y)))
    return -10 * math.log10(mse) if mse else math.inf
