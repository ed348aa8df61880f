"""The knowledge of single units of the classes of labelled rows."""

import math

import numpy as np
import numpy.typing as npt

from featlearn.rows import Array


class Selectivity:
    """Measures of how far the units of a model keep to one class of labelled rows.

    selectivity  mean over units of (m1 - m2) / (m1 + m2): m1 the mean |code| over the rows of the class where
                 it is largest, m2 that over all other rows; 0 of a unit that is always 0. From 0, the same in
                 all classes, to 1, active in one alone (A. Morcos, D. Barrett, N. Rabinowitz, M. Botvinick,
                 On the importance of single directions for generalization, ICLR 2018). NaN of rows of one
                 class.
    purity       share of rows whose label is the commonest among the rows with the same most active unit, by
                 |code|; of equals the first (C. Manning, P. Raghavan, H. Schuetze, Introduction to
                 information retrieval, 2008, section 16.3)

    `labels` (n,) are those of all rows that will be seen.
    """

    def __init__(self, units: int, labels: Array) -> None:
        self.classes = np.unique(labels)
        self.sizes = np.zeros(len(self.classes), np.int64)
        self.sums = np.zeros((len(self.classes), units))
        self.winners = np.zeros((units, len(self.classes)), np.int64)

    def of_block(self, X: Array, H: Array, labels: Array | None) -> tuple[Array, ...]:
        """Return the classes there with their sizes and sums; winners and their classes with their counts."""
        assert labels is not None
        A, of = np.abs(H), np.searchsorted(self.classes, labels)
        there, sizes = np.unique(of, return_counts=True)
        sums = np.stack([A[of == k].sum(axis=0, dtype=np.float64) for k in there])
        won, counts = np.unique(np.stack([A.argmax(axis=1), of]), axis=1, return_counts=True)
        return there, sizes, sums, won, counts

    def add(self, found: tuple[Array, ...]) -> None:
        there, sizes, sums, (unit, of), counts = found
        self.sizes[there] += sizes
        self.sums[there] += sums
        self.winners[unit, of] += counts

    def result(self) -> dict[str, float]:
        purity = float(self.winners.max(axis=1).sum() / self.sizes.sum())
        return {"selectivity": _selectivity(self.sums, self.sizes), "purity": purity}


def _selectivity(sums: Array, sizes: npt.NDArray[np.int64]) -> float:
    """From sums of |code| (classes, units) over classes of so many rows."""
    if len(sizes) < 2:
        return math.nan
    means = sums / sizes[:, None]
    best, units = means.argmax(axis=0), np.arange(sums.shape[1])
    m1 = means[best, units]
    m2 = np.maximum(sums.sum(axis=0) - m1 * sizes[best], 0) / (sizes.sum() - sizes[best])
    return float(np.divide(m1 - m2, m1 + m2, out=np.zeros(len(m1)), where=m1 > 0).mean())
