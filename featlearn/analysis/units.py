"""How hidden units are used over the rows of a data set, from their codes, a block of rows at a time."""

import numpy as np

from featlearn.rows import Array

DEAD, SATURATED = 0.01, 0.99
ALIKE = 1e-3  # codes of all rows within this share of the largest code are as good as the same


class Units:
    """Sums and extremes of the codes of `n` rows, each (units,) float64."""

    def __init__(self, units: int) -> None:
        self.n = 0
        self.sum, self.squares = np.zeros(units), np.zeros(units)
        self.highest, self.lowest = np.full(units, -np.inf), np.full(units, np.inf)

    def add(self, H: Array) -> None:
        """Take in the codes H (n, units) of a block."""
        self.n += len(H)
        self.sum += H.sum(axis=0, dtype=np.float64)
        self.squares += np.square(H, dtype=np.float64).sum(axis=0)
        self.highest = np.maximum(self.highest, H.max(axis=0))
        self.lowest = np.minimum(self.lowest, H.min(axis=0))

    def merge(self, other: "Units") -> None:
        """Take in the rows that another one has."""
        self.n += other.n
        self.sum += other.sum
        self.squares += other.squares
        self.highest = np.maximum(self.highest, other.highest)
        self.lowest = np.minimum(self.lowest, other.lowest)

    @property
    def mean(self) -> Array:
        """(units,) mean code."""
        return self.sum / self.n

    def alike(self) -> Array:
        """Which units (units,) do not tell rows apart: their codes differ by 0.001 of the largest at most."""
        largest = max(float(np.abs(end).max(initial=0.0)) for end in (self.highest, self.lowest))
        return np.asarray(self.highest - self.lowest <= ALIKE * largest)

    def dead(self, rest: float = 0.0) -> Array:
        """Which units (units,) never leave `rest`.

        That is by 0.01, or by 0.01 of the largest such distance where that is below 1.
        """
        reach = np.maximum(self.highest - rest, rest - self.lowest)
        return np.asarray(reach < DEAD * min(1.0, float(reach.max(initial=0.0)) or 1.0))

    def saturated(self, rest: float = 0.0) -> Array:
        """Which units (units,) stay beyond 0.99, on one side, within 0.01, and are not dead.

        Linear units do not saturate.
        """
        far = (self.lowest > SATURATED) | (self.highest < -SATURATED)
        return np.asarray(far & (self.highest - self.lowest < DEAD) & ~self.dead(rest))
