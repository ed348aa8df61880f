"""What drives each unit: the rows of its largest codes, how often it is active, and how well these rows are
given back."""

import numpy as np

from featlearn.analysis.units import DEAD, Units
from featlearn.rows import Array, Float64

HALF = 0.5  # above which a probability counts as active
DENSE = 0.5  # of the rows: units that are active in more of them tell little


class TopRows:
    """The `most` rows of the largest codes of each unit, block by block; of equal ones the first.

    values  (units, most) these codes, falling; -inf where there are fewer rows
    rows    (units, most) the numbers of these rows; -1 where there are fewer
    """

    def __init__(self, units: int, most: int) -> None:
        self.n = 0
        self.values = np.full((units, most), -np.inf)
        self.rows = np.full((units, most), -1)

    def add(self, H: Array) -> None:
        """Take in the codes H (n, units) of a block."""
        better = np.flatnonzero(H.max(axis=0) > self.values[:, -1])
        left = H[:, better].T.astype(np.float64)  # (units, n)
        at = np.arange(len(better))
        values, rows = [self.values[better]], [self.rows[better]]
        for _ in range(min(self.values.shape[1], len(H))):
            best = left.argmax(axis=1)
            values.append(left[at, best][:, None])
            rows.append(self.n + best[:, None])
            left[at, best] = -np.inf
        both, numbers = np.hstack(values), np.hstack(rows)
        order = np.argsort(-both, axis=1, kind="stable")[:, : self.values.shape[1]]
        self.values[better] = np.take_along_axis(both, order, axis=1)
        self.rows[better] = np.take_along_axis(numbers, order, axis=1)
        self.n += len(H)


class DrivenErrors:
    """The error of the rows that drive each unit: (units,) root mean square, weighted by |code - rest|."""

    def __init__(self, units: int, rest: float) -> None:
        self.rest = rest
        self.weights, self.squares = np.zeros(units), np.zeros(units)

    def add(self, X: Array, Y: Array, H: Array) -> None:
        """Take in rows X (n, visible), what they are given back as, and their codes H (n, units)."""
        size = np.abs(H - self.rest, dtype=np.float64)
        errors = np.square(X.astype(np.float64) - Y).mean(axis=1)
        self.weights += size.sum(axis=0)
        self.squares += (size * errors[:, None]).sum(axis=0)

    @property
    def rmse(self) -> Float64:
        """0 of a unit that is always at rest."""
        ratio = np.divide(self.squares, self.weights, out=np.zeros_like(self.squares), where=self.weights > 0)
        return np.asarray(np.sqrt(ratio))


class Histograms:
    """How the codes of each unit are spread over `bins` equal steps between two values, block by block.

    counts  (units, bins) rows; what lies beyond the ends counts in the last steps
    active  (units,) rows whose code is farther from rest than the threshold
    """

    def __init__(self, units: int, low: float, high: float, bins: int, rest: float, threshold: float) -> None:
        self.low, self.high, self.rest, self.threshold = low, high, rest, threshold
        self.n = 0
        self.counts = np.zeros((units, bins), np.int64)
        self.active = np.zeros(units, np.int64)

    def add(self, H: Array) -> None:
        """Take in the codes H (n, units) of a block."""
        units, bins = self.counts.shape
        self.n += len(H)
        self.active += (np.abs(H - self.rest) > self.threshold).sum(axis=0)
        step = (self.high - self.low) / bins
        at = np.clip(np.floor((H - self.low) / step), 0, bins - 1).astype(np.int64)
        at += np.arange(units) * bins
        self.counts += np.bincount(at.ravel(), minlength=units * bins).reshape(units, bins)


def threshold(units: Units, rest: float) -> float:
    """Return how far from rest a code is that counts as active.

    Of probabilities, which are within 0..1 and never at rest, it is half; of other codes it is 0.01, or 0.01
    of the largest distance where that is below 1, as of dead units.
    """
    if units.lowest.min() > rest >= 0 and units.highest.max() <= 1:
        return HALF
    reach = float(np.maximum(units.highest - rest, rest - units.lowest).max(initial=0.0))
    return DEAD * min(1.0, reach or 1.0)
