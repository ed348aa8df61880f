"""What is known of the data before training."""

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class DataSummary:
    """The facts of the data before training: all that a setting None or auto may depend on.

    `low` and `high` bound the values of the rows: infinite where nothing bounds them. `variance` is the mean
    squared distance of a row from the mean row, `square` the mean squared length of a row, and `whitened`
    whether the values were decorrelated. `classes` are those of labelled rows. What is None is not known.
    """

    n_visible: int
    low: float | None = None
    high: float | None = None
    n_rows: int | None = None
    variance: float | None = None
    square: float | None = None
    whitened: bool = False
    classes: int | None = None

    @property
    def spread(self) -> float | None:
        """The standard deviation of values about their means; None where it is not known, or is 0."""
        return math.sqrt(self.variance / self.n_visible) if self.variance else None

    def divided(self, by: float) -> "DataSummary":
        """The summary of the same rows with all their values divided."""
        powers = {"low": by, "high": by, "variance": by**2, "square": by**2}
        known = {name: getattr(self, name) for name in powers}
        divided = {name: known[name] / power for name, power in powers.items() if known[name] is not None}
        return replace(self, **divided)

    def known_within(self, low: float, high: float) -> bool | None:
        """Whether all values lie in low..high; None where that is not known."""
        if self.low is None or self.high is None:
            return None
        return low <= self.low and self.high <= high

    @property
    def words(self) -> str:
        """The range of the data, for messages."""
        if self.low is None or self.high is None or math.isinf(self.low) or math.isinf(self.high):
            return "normalized and whitened data have no bounds"
        return f"the data lie in {self.low:g}..{self.high:g}"
