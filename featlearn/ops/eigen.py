"""Eigenvectors of symmetric matrices, by LAPACK on one thread.

So their bytes do not depend on the number of cores.
"""

import numpy as np

from featlearn.rows import Float64
from featlearn.threads import one_blas_thread


def eigen(C: Float64) -> tuple[Float64, Float64]:
    """(values (d,) falling, vectors (d, d) in columns) of a symmetric C (d, d).

    An eigenvector's sign means nothing: the entry of largest magnitude is made positive. LAPACK's sums are
    not ours; other types of CPU, for which OpenBLAS has other kernels, differ in the last digits.
    """
    with one_blas_thread():
        values, V = np.linalg.eigh(C)
    values, V = values[::-1], V[:, ::-1]
    signs = np.where(V[np.abs(V).argmax(axis=0), np.arange(len(V))] < 0, -1.0, 1.0)
    return values, V * signs
