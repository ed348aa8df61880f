"""Settings of pictures. They import nothing that takes time: help pages are made of them."""

from collections.abc import Iterator
from dataclasses import dataclass

from featlearn.errors import ConfigError
from featlearn.jobs.settings import Checked
from featlearn.settings import setting

FILTERS = "what=filters|top-patches"
UNITS = "what=filters|top-patches|activations|gabor"
GRIDS = "what=filters|patches"
TILES = "what=filters|patches|top-patches"  # what has tiles


@dataclass(frozen=True)
class Printed(Checked):
    """How a picture is printed, whatever it shows."""

    title: str | None = setting(None, "words above the picture", off="none", metavar="TEXT")
    dpi: int | None = setting(
        None, "dots to an inch of a PNG or TIFF  [default: 300, of a width of 85 mm]", low=30, high=2400
    )


@dataclass(frozen=True)
class Drawing(Checked):
    """What to draw, and how; `what` None is decided by the file."""

    what: str | None = setting(
        None,
        "what to draw  [default: filters of a model, patches of a data set]",
        choices=("filters", "curve", "patches", "top-patches", "activations", "gabor"),
    )
    through: tuple[str, ...] = setting(
        (),
        "the model whose codes FILE has learned from: draw FILE's filters as sums of its filters. "
        "Again for each model further down",
        metavar="MODEL",
        needs="what=filters|gabor",
    )
    layer: int | None = setting(
        None,
        "draw this layer of a stack, 1 the lowest  [default: the top one]",
        low=1,
        needs=UNITS,
    )
    maximize: bool = setting(
        False,
        "draw the rows that make each unit most active, found by ascent, instead of its filter: "
        "what units of upper layers want is no sum of filters",
        needs="what=filters",
        without="through",
    )
    units: str | None = setting(
        None,
        "which units, counted from 0: 0-99, or 3,17,20-29",
        metavar="NUMBERS",
        off="all of them",
        needs=UNITS,
    )
    sort: str | None = setting(
        None,
        "order of the units: as trained, or by falling norm of the filter, mean activation, likeness to an "
        "edge (fit of a Gabor function times orientation index), RMSE of the rows that they are active in  "
        "[default: trained; of top-patches use]",
        choices=("trained", "norm", "use", "edge", "error"),
        needs=FILTERS,
    )
    data: str | None = setting(
        None,
        "the data set whose patches drive the units, and whose codes --sort use and error go by; filters of "
        "units that are dead over it are crossed out",
        metavar="DATASET",
        needs="what=filters|top-patches|activations",
    )
    top: int = setting(9, "patches beside each filter", low=1, high=1000, needs="what=top-patches")
    contrast: str | None = setting(
        None,
        "scale each tile by its own largest value, or all by one, with a bar  "
        "[default: filter; pixels have their own]",
        choices=("filter", "common"),
        needs=GRIDS,
    )
    columns: int | None = setting(
        None, "tiles in a row  [default: nearly square]", low=1, high=10_000, needs=GRIDS
    )
    scale: int | None = setting(
        None, "screen pixels to a pixel  [default: by --dpi]", low=1, high=64, needs=TILES
    )
    count: int | None = setting(
        None,
        "how many filters, the first of their order, or how many patches  "
        "[default: all filters; 100 patches; 16 units of top-patches]",
        low=1,
        high=100_000,
        needs=TILES,
    )
    labels: bool = setting(
        False,
        "write below each tile which unit it is and what it is sorted by, or the class of a patch, and below "
        "the picture what it shows",
        needs=TILES,
    )
    panels: str | None = setting(
        None,
        "measures to draw: loss, rmse, error_rate, free_energy, activity, dead, zero_weights; several as "
        "loss,dead  [default: all that there are]",
        metavar="NAMES",
        needs="what=curve",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for _ in self._ranges():
            pass

    def numbers(self, n: int, of: str) -> list[int]:
        """Return the units that were asked for, of `n`. Raises ConfigError for one beyond."""
        if self.units is None:
            return list(range(n))
        found = list(dict.fromkeys(i for low, high in self._ranges() for i in range(low, min(high, n) + 1)))
        beyond = max(high for _, high in self._ranges())
        if beyond >= n:
            raise ConfigError(f"--units {self.units}: {of} has {n} units, 0 to {n - 1}")
        return found

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """Yield (first, last) of each range of units. Raises ConfigError."""
        for part in self.units.split(",") if self.units is not None else ():
            first, dash, last = part.strip().partition("-")
            if not (_is_number(first) and (_is_number(last) if dash else True)):
                raise ConfigError(f"--units: got {self.units!r}, must be numbers as 0-99 or 3,17,20-29")
            low, high = int(first), int(last if dash else first)
            if high < low:
                raise ConfigError(f"--units: {part} ends before it begins")
            yield low, high


@dataclass(frozen=True)
class Watching(Checked):
    """Which pictures a run makes of itself while it learns."""

    watch: int | None = setting(
        None,
        "draw the filters every N epochs, into the folder OUTPUT.watch",
        off="no pictures",
        low=1,
    )
    movie: str | None = setting(
        None,
        "these pictures as one that moves, .gif or .png",
        metavar="PATH",
        off="none",
        needs="watch",
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10
