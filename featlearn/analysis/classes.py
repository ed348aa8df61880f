"""What single units know of the classes of labelled rows."""

import math

import numpy as np
import numpy.typing as npt

from featlearn.models.base import Model
from featlearn.rows import Array, Rows, edges


def class_measures(model: Model, rows: Rows, labels: Array) -> dict[str, float]:
    """How far the units of `model` keep to one class, from `rows` and the label of each, (n,).

    selectivity  mean over units of (m1 - m2) / (m1 + m2): m1 the mean |code| over the rows of the class where it is
                 largest, m2 that over all other rows; 0 of a unit that is always 0. From 0, the same in all
                 classes, to 1, active in one alone (A. Morcos, D. Barrett, N. Rabinowitz, M. Botvinick, On
                 the importance of single directions for generalization, ICLR 2018). NaN of rows of one class.
    purity       share of rows whose label is the commonest among the rows with the same most active unit, by |code|; of
                 equals the first (C. Manning, P. Raghavan, H. Schuetze, Introduction to information
                 retrieval, 2008, section 16.3)
    """
    classes, y = np.unique(labels, return_inverse=True)
    units = model.encode(rows.block(0, 1)).shape[1]
    sums, winners = np.zeros((len(classes), units)), np.zeros((units, len(classes)), np.int64)
    for start, stop in edges(len(rows)):
        A, of = np.abs(model.encode(rows.block(start, stop))), y[start:stop]
        for k in np.unique(of):
            sums[k] += A[of == k].sum(axis=0, dtype=np.float64)
        np.add.at(winners, (A.argmax(axis=1), of), 1)
    return {
        "selectivity": _selectivity(sums, np.bincount(y)),
        "purity": float(winners.max(axis=1).sum() / len(rows)),
    }


def _selectivity(sums: Array, sizes: npt.NDArray[np.int64]) -> float:
    """From sums of |code| (classes, units) over classes of so many rows."""
    if len(sizes) < 2:
        return math.nan
    means = sums / sizes[:, None]
    best, units = means.argmax(axis=0), np.arange(sums.shape[1])
    m1 = means[best, units]
    m2 = np.maximum(sums.sum(axis=0) - m1 * sizes[best], 0) / (sizes.sum() - sizes[best])
    return float(np.divide(m1 - m2, m1 + m2, out=np.zeros(len(m1)), where=m1 > 0).mean())
