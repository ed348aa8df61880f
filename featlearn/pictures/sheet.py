"""Sheets of tiles as files: pixels as they are, with words and a bar around them where there are any."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from featlearn.pictures.figure import SMALL, TITLE, Look, draw_figure, plain, show_image, wrapped
from featlearn.pictures.mosaic import COLUMN, DPI, FORMATS, INCH, LINE, Placed, Sheet, picture_bytes, place

BAR = 0.5  # width of a bar, in that of a sheet


def sheet_bytes(sheet: Sheet, look: Look, format: str, text: Mapping[str, str]) -> bytes:
    """Return a sheet as a file of a `format` out of figure.FORMATS, with `text` in it.

    A sheet that has to be wider than a column has more dots to an inch, unless the look says how many.
    """
    dots = float(look.dpi or DPI)
    placed = place(sheet, COLUMN * dots / INCH, SMALL * dots / 72)
    if look.dpi is None and placed.width * INCH / COLUMN > dots:
        dots = placed.width * INCH / COLUMN
        placed = place(sheet, placed.width, SMALL * dots / 72)
    dpi = look.dpi or max(dots, placed.width * INCH / COLUMN)
    image = placed.pixels()
    bare = look.title is None and not (sheet.captions or sheet.note) and sheet.white is None
    if bare and format in FORMATS.values():
        return picture_bytes(image, format, text, dpi)
    if bare:
        return _drawn(placed, Look(), dots, dpi, format, text)
    return _drawn(placed, look, dots, dpi, format, text)


def _drawn(
    placed: Placed, look: Look, dots: float, dpi: float, format: str, text: Mapping[str, str]
) -> bytes:
    """Return a sheet with what stands around it, pixel by pixel where it shall stand."""
    sheet = placed.sheet
    words = look.title or sheet.note or sheet.white is not None
    width = max(placed.width, round(COLUMN * dpi / INCH) if words else 0)
    above = wrapped(look.title or "", TITLE, width / dpi)
    below = wrapped(sheet.note, SMALL, width / dpi)
    top = _height(above, TITLE, dpi)
    bar = round(3.4 * SMALL * dpi / 72) if sheet.white is not None else 0
    height = top + placed.height + bar + _height(below, SMALL, dpi)
    left = (width - placed.width) // 2

    def write(figure: Any, x: float, y: float, words: str, points: float, **how: Any) -> None:
        figure.text(
            x / width,
            1 - y / height,
            plain_lines(words),
            fontsize=points,
            linespacing=LINE / 1.2,
            parse_math=False,
            **how,
        )

    def axes(figure: Any, x: float, y: float, w: float, h: float) -> Any:
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    def paint(figure: Any) -> None:
        if above:
            write(figure, width / 2, 0.25 * TITLE * dpi / 72, above, TITLE, ha="center", va="top")
        tiles = axes(figure, left, top, placed.width, placed.height)
        tiles.set_axis_off()
        show_image(tiles, placed.pixels())
        for i, caption in enumerate(sheet.captions):
            x = left + placed.x[i] + placed.cell[1] / 2
            y = top + placed.y[i] + placed.cell[0] + 0.15 * SMALL * dots / 72
            write(figure, x, y, caption, SMALL * dots / dpi, ha="center", va="top")
        y = top + placed.height
        if sheet.white is not None:
            _bar(
                axes(figure, width * (1 - BAR) / 2, y + 0.8 * SMALL * dpi / 72, width * BAR, bar / 5),
                sheet.white,
            )
        if below:
            write(
                figure,
                width / 2,
                y + bar + 0.4 * SMALL * dpi / 72,
                below,
                SMALL,
                ha="center",
                va="top",
            )

    return draw_figure(paint, width / dpi, height / dpi, Look(dpi=None), format, text, dpi)


def _height(words: str, points: float, dpi: float) -> int:
    """Screen pixels that lines of words take, with the room around them."""
    return round((LINE * words.count("\n") + LINE + 0.6) * points * dpi / 72) if words else 0


def plain_lines(words: str) -> str:
    """Return lines without other control characters."""
    return "\n".join(map(plain, words.split("\n")))


def _bar(axes: Any, white: float) -> None:
    """Draw the tones from black, -white, to white, with their values."""
    tones = np.linspace(1, 255, 255)[None].round().astype(np.uint8)
    show_image(axes, tones, extent=(-white, white, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([-white, 0, white], [f"{-white:.3g}", "0", f"{white:.3g}"])
    axes.tick_params(length=2, pad=1)
