"""Panels: the parts of a minibatch's rows whose sums are added up, in order; ranks have whole ones."""

from typing import NamedTuple

BLOCK = 256
"""Rows whose sum is one number in the order of all sums, as in the kernels."""
PANELS = 64
"""Parts at most that the rows of a minibatch are cut into, so many sums a rank holds at a time."""


class Share(NamedTuple):
    """The rows start..stop of the `rows` of a minibatch that are a rank's own, in panels of `panel` rows."""

    start: int
    stop: int
    rows: int
    panel: int

    @property
    def own(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def panels(self) -> range:
        """The numbers of the rank's own panels."""
        return range(-(-self.start // self.panel), -(-self.stop // self.panel))


def panel(n: int) -> int:
    """Return the rows of a panel of n rows: whole blocks, so many that there are at most PANELS."""
    return BLOCK * max(1, -(-n // (BLOCK * PANELS)))


def share_of(n: int, rank: int, size: int, rows: int = 0) -> Share:
    """Return the rows of a rank among n: whole panels, as evenly as may be; the first rank has the first.

    A panel has `rows`, if they are given, of what is not added up.
    """
    rows = rows or panel(n)
    panels = -(-n // rows)
    first, last = -(-panels * rank // size), -(-panels * (rank + 1) // size)
    return Share(min(n, rows * first), min(n, rows * last), n, rows)
