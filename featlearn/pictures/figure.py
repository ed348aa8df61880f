"""The door to matplotlib: figures as files of several formats. The same figure has the same bytes.

Figures are as wide as a column of a paper, with text that is read there; they are enlarged as a whole for a
slide.
"""

import io
import math
import os
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.pictures.mosaic import BROAD, COLUMN, DPI, INCH, picture_bytes
from featlearn.pictures.mosaic import FORMATS as RASTERS
from featlearn.rows import Array

FORMATS = {".png": "PNG", ".pdf": "PDF", ".svg": "SVG"} | RASTERS
"""Of a figure, by suffix."""
WIDTH = COLUMN / INCH  # inches
TITLE, SMALL = 8, 6  # points; smaller letters are not read in print
LONGEST = 40  # characters of a name in the legend
BESIDE_NAME = 9  # characters that have the room of the line before a name
STYLE: dict[Any, Any] = {
    "pdf.fonttype": 42,  # TrueType, as journals ask
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "featlearn",  # ids are always the same
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 3,
    "grid.alpha": 0.3,
    "hatch.linewidth": 0.5,
    "grid.linewidth": 0.5,
    "figure.constrained_layout.w_pad": 0.02,
    "figure.constrained_layout.h_pad": 0.02,
}
TEXT = {  # what a format calls the parts of a text, and its date, which is left out
    "PDF": {"Software": "Creator", "Description": "Subject", "Content": "Keywords", "Date": "CreationDate"},
    "SVG": {"Software": "Creator", "Description": "Description", "Content": "Identifier", "Date": "Date"},
}
COLOURS = ("black", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#8a6d00")  # M. Okabe, K. Ito, 2008, darker
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "x", "P")


@dataclass(frozen=True)
class Look:
    """What a picture looks like, whatever it shows: the words above it, and dots to an inch of rasters.

    None: no words; DPI, and more where a sheet is wider than a column.
    """

    title: str | None = None
    dpi: int | None = None


def line_look(i: int) -> dict[str, Any]:
    """Return colour, dashes and marker of the i-th line; any 28 differ in black and white."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": DASHES[i % len(DASHES)],
        "marker": MARKERS[i % len(MARKERS)],
    }


def plain(text: str) -> str:
    """Return a text without control characters, which an SVG must not hold."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def wrapped(text: str, points: float, inches: float) -> str:
    """Return a text in lines that fit into a width, of letters of that size."""
    return textwrap.fill(plain(text), max(10, int(inches * 72 / (BROAD * points))), break_on_hyphens=False)


def letters(text: str, pixels: float) -> float:
    """Return how many pixels a text is wide, as a rule, of letters so many pixels high."""
    return BROAD * pixels * len(text)


def draw_figure(
    paint: Callable[[Any], None],
    width: float,
    height: float,
    look: Look,
    format: str,
    text: Mapping[str, str],
    dpi: float = DPI,
) -> bytes:
    """Return a figure of width x height inches as a file of a `format` out of FORMATS.

    `paint` draws into it. `text`, its Software, Description and Content, goes into the file. `dpi` holds
    where the look says none.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # letters that the font lacks are boxes
    with warnings.catch_warnings(action="ignore", category=UserWarning), _own_style():
        figure = Figure(figsize=(width, height), dpi=look.dpi or dpi)
        canvas: Any = FigureCanvasAgg(figure)
        paint(figure)
        if format in RASTERS.values():
            canvas.draw()
            pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]
            if (pixels == pixels[:, :, :1]).all():
                pixels = pixels[:, :, :1]
            return picture_bytes(pixels, format, text, round(look.dpi or dpi))
        metadata = {name: text.get(key) for key, name in TEXT[format].items()}
        out = io.BytesIO()
        with _no_clock():
            figure.savefig(out, format=format.lower(), metadata=metadata)
        return out.getvalue()


def draw_plot(
    paint: Callable[[Any], None], height: float, look: Look, format: str, text: Mapping[str, str]
) -> bytes:
    """Return a figure with axes, as wide as a column and `height` inches high, below its title."""
    words = wrapped(look.title or "", TITLE, WIDTH)
    height += 1.4 * (words.count("\n") + 1) * TITLE / 72 if words else 0

    def titled(figure: Any) -> None:
        figure.set_layout_engine("constrained")
        if words:
            figure.suptitle(words, fontsize=TITLE).set_parse_math(False)
        paint(figure)

    return draw_figure(titled, WIDTH, height, look, format, text)


def name_in_legend(name: str) -> str:
    """Return a name as the legend can show it: a long one is cut, one with _ in front would be left out."""
    name = plain(name)
    name = name if len(name) <= LONGEST else "..." + name[-LONGEST:]
    return " " + name if name.startswith("_") else name


def _legend_columns(names: Sequence[str]) -> int:
    """Return how many names of lines stand side by side below a figure."""
    longest = max(len(name_in_legend(name)) for name in names)
    return max(1, min(len(names), int(WIDTH * 72 / letters("x" * (longest + BESIDE_NAME), SMALL))))


def legend_height(names: Sequence[str]) -> float:
    """Return how many inches a legend of these lines takes."""
    return math.ceil(len(names) / _legend_columns(names)) * 1.6 * SMALL / 72


def legend_below(figure: Any, lines: Sequence[Any]) -> None:
    """Put the names of lines below a figure, in as many columns as have room there."""
    columns = _legend_columns([line.get_label() for line in lines])
    legend = figure.legend(
        handles=list(lines), loc="outside lower center", ncols=columns, handlelength=3.5, frameon=False
    )
    for label in legend.get_texts():
        label.set_parse_math(False)


def show_image(axes: Any, image: Array, **where: Any) -> None:
    """Show a uint8 image (h, w) or (h, w, 3) as it is, without smoothing, as one image in any format."""
    colours = image if image.ndim == 3 else image[:, :, None].repeat(3, axis=2)  # a colour map rounds
    axes.imshow(colours, interpolation="none", aspect="auto", **where)


@contextmanager
def _own_style() -> Iterator[None]:
    """Within, matplotlib is as we want it, whatever the settings of the person who runs it."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


@contextmanager
def _no_clock() -> Iterator[None]:
    """Without SOURCE_DATE_EPOCH, which matplotlib reads, and stumbles over, also where no date is written."""
    kept = os.environ.pop("SOURCE_DATE_EPOCH", None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ["SOURCE_DATE_EPOCH"] = kept
