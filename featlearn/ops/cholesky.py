"""Linear systems of a symmetric matrix, in the kernels' own order of sums: no LAPACK, whose bytes vary."""

import numpy as np

from featlearn import _core
from featlearn.rows import Float64

BLOCK = 64  # columns that are made at a time


def cholesky(A: Float64, shift: float = 0.0) -> Float64 | None:
    """Return lower L with L L' = A + shift I, of A (n, n); None where that is not positive definite."""
    n = len(A)
    L = np.tril(A)
    L[np.diag_indices(n)] += shift
    for start in range(0, n, BLOCK):
        end = min(start + BLOCK, n)
        panel = np.ascontiguousarray(L[start:, start:end])
        if start:
            left = np.ascontiguousarray(L[start:, :start])
            _core.gemm(panel, left, left[: end - start].copy(), trans_b=True, alpha=-1.0, beta=1.0)
        for k in range(end - start):
            pivot = panel[k, k]
            if not pivot > 0 or not np.isfinite(pivot):
                return None
            panel[k, k] = root = np.sqrt(pivot)
            panel[k + 1 :, k] /= root
            panel[k, k + 1 :] = 0
            # columns on the right lose what this one says of them
            panel[k + 1 :, k + 1 :] -= panel[k + 1 :, k, None] * panel[k + 1 : end - start, k]
        L[start:, start:end] = panel
    return L


def solve(L: Float64, b: Float64) -> Float64:
    """Return x with L L'x = b, for lower L (n, n) and b (n,)."""
    x, columns = b.copy(), np.ascontiguousarray(L.T)
    for k in range(len(x)):
        x[k] /= L[k, k]
        x[k + 1 :] -= x[k] * columns[k, k + 1 :]
    for k in range(len(x) - 1, -1, -1):
        x[k] /= L[k, k]
        x[:k] -= x[k] * L[k, :k]
    return x
