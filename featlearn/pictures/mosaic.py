"""Sheets of small pictures: filters, patches, inputs above their reconstructions. Mid-grey is zero."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.rows import Array

GREY = 128  # weight 0
GAP = 60  # the tone of frames: no filter's extreme, no filter's zero
WHITE = 255
THIN = 4  # screen pixels that a frame is wide at most
INCH = 25.4  # mm
COLUMN, DPI = 85, 300  # mm, dots to an inch: what a sheet aims at is the width of a paper's column
BROAD = 0.62  # width of a letter, as a rule, in its height
LINE = 1.3  # height of a line of text, in that of its letters
FEW = 3  # planes of a patch that stand side by side
MAX_SCALE = 64
TIFF_DESCRIPTION, TIFF_SOFTWARE = 270, 305  # numbers of tags
TONES = (0.0, 1.0)  # pixels that are black and white

FORMATS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}
"""Of a picture made of pixels, by suffix."""
MOVIES = {".gif": "GIF", ".png": "PNG"}
"""Of a picture that moves, by suffix."""
PACE, REST = 200, 2000  # milliseconds that a picture is shown, and the last one


@dataclass(frozen=True)
class Sheet:
    """Cells of tiles on white, cell by cell in rows, and what is written and marked there.

    tiles      uint8 (k, p, q, h, w, c): k cells of p rows of q tiles each
    columns    cells in a row; None: nearly square
    scale      screen pixels to a pixel; None: as a column of a paper has room
    captions   words below each cell, in one line or several; (): none
    crossed    (k,): the cells whose first tile is crossed out
    absent     (k, p, q): the tiles that are not there
    apart      whether the first tile of a cell stands apart from those beside it
    white      the value of white where that of black is its negative, for a bar; None: no bar
    note       words below the sheet
    """

    tiles: Array
    columns: int | None = None
    scale: int | None = None
    captions: Sequence[str] = ()
    crossed: Array | None = None
    absent: Array | None = None
    apart: bool = False
    white: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Placed:
    """A sheet's place: screen pixels (height, width), and where each cell begins (k,) and how large it is."""

    sheet: Sheet
    scale: int
    height: int
    width: int
    y: Array
    x: Array
    cell: tuple[int, int]

    def pixels(self) -> Array:
        """uint8 (height, width), or (height, width, 3)."""
        k, p, q, h, w, c = self.sheet.tiles.shape
        frame, s = _frame(self.scale), self.scale
        out = np.full((self.height, self.width, c), WHITE, np.uint8)
        for i in range(k):
            for row in range(p):
                for column in range(q):
                    if self.sheet.absent is not None and self.sheet.absent[i, row, column]:
                        continue
                    apart = frame * 2 * (self.sheet.apart and column > 0)
                    y = int(self.y[i]) + row * (h * s + frame)
                    x = int(self.x[i]) + column * (w * s + frame) + apart
                    out[y : y + h * s + 2 * frame, x : x + w * s + 2 * frame] = GAP
                    tile = self.sheet.tiles[i, row, column].repeat(s, axis=0).repeat(s, axis=1)
                    if self.sheet.crossed is not None and self.sheet.crossed[i] and not (row or column):
                        tile = _cross_out(tile)
                    out[y + frame : y + frame + h * s, x + frame : x + frame + w * s] = tile
        return out[:, :, 0] if c == 1 else out


def place(sheet: Sheet, width: float = COLUMN * DPI / INCH, letter: float = 0.0) -> Placed:
    """Lay a sheet out in so many screen pixels, for captions whose letters are so many pixels high."""
    k, p, q, h, w, _ = sheet.tiles.shape
    lines = [line for caption in sheet.captions for line in caption.split("\n")]
    words = BROAD * letter * (1 + max(map(len, lines), default=0)) if sheet.captions else 0.0
    high = max((caption.count("\n") + 1 for caption in sheet.captions), default=0)
    below = math.ceil((LINE * high + 0.3) * letter) if sheet.captions else 0

    def cell(scale: int) -> tuple[int, int]:
        frame = _frame(scale)
        return p * (h * scale + frame) + frame, q * (w * scale + frame) + frame * (1 + 2 * sheet.apart)

    def pitch(scale: int) -> tuple[int, int]:
        frame, (height, broad) = _frame(scale), cell(scale)
        more = -frame if p * q == 1 and not below else 2 * frame
        across = -frame if p * q == 1 else 2 * frame
        return height + more + below, max(broad + across, math.ceil(words))

    columns = sheet.columns or math.ceil(math.sqrt(k * p * h / (q * w)))
    if sheet.columns is None and sheet.captions:
        columns = min(columns, int(width // pitch(1)[1]))
    columns = max(1, min(columns, k))
    scale = sheet.scale or 1
    if sheet.scale is None:
        while scale < MAX_SCALE and columns * pitch(scale + 1)[1] + _frame(scale + 1) <= width:
            scale += 1
    (down, across), (height, broad) = pitch(scale), cell(scale)
    rows = max(1, math.ceil(k / columns))
    at = np.arange(k)
    return Placed(
        sheet,
        scale,
        (rows - 1) * down + height + below,
        (columns - 1) * across + max(broad, math.ceil(words)),
        at // columns * down,
        at % columns * across + max(0, math.ceil(words) - broad) // 2,
        (height, broad),
    )


def _frame(scale: int) -> int:
    return min(scale, THIN)


def _cross_out(tile: Array) -> Array:
    """Return a tile (h, w, c) with both diagonals, white within black, which are seen on any ground."""
    h, w, _ = tile.shape
    y, x = np.mgrid[:h, :w] + 0.5
    far = np.minimum(np.abs(y / h - x / w), np.abs(y / h + x / w - 1)) * h * w / math.hypot(h, w)
    thick = max(0.7, min(h, w) / 40)
    out = tile.copy()
    out[far < 2.5 * thick] = 0
    out[far < thick] = WHITE
    return out


def order_filters(F: Array, by: Array | None = None) -> Array:
    """(k,) indices of filters F (k, ...): as they are, or by falling `by` (k,), stable."""
    return np.arange(len(F)) if by is None else np.asarray(np.argsort(-by, kind="stable"))


def norms(F: Array) -> Array:
    """(k,) Euclidean lengths of filters F (k, ...)."""
    return np.asarray(np.sqrt(np.square(F.reshape(len(F), -1)).sum(axis=1)))


def grey_tiles(F: Array) -> Array:
    """Return tiles (k, h, w, c) that have a colour as they are, of others each channel as a grey tile."""
    k, h, w, c = F.shape
    return F if c in (1, 3) else F.transpose(0, 3, 1, 2).reshape(k * c, h, w, 1)


def in_cells(tiles: Array, k: int) -> Array:
    """Return the `grey_tiles` (n, h, w, c) of k pictures as cells (k, 1, q, h, w, c): of each a row."""
    n, h, w, c = tiles.shape
    return tiles.reshape(k, 1, n // k if k else 1, h, w, c)


def planes_in_cells(tiles: Array, k: int) -> Array:
    """Return the `grey_tiles` of k patches as cells: few planes by `in_cells`; many are maps, a cell each."""
    return in_cells(tiles, k) if len(tiles) <= FEW * k else tiles[:, None, None]


def weight_bytes(F: Array, contrast: str = "filter") -> tuple[Array, float]:
    """(uint8 tiles, the largest |value|) of tiles F (k, h, w, c) of values of both signs.

    `contrast`: "filter" scales every tile by its own largest |value|, "common" all by the largest of all;
    both are symmetric, so zero is mid-grey.
    """
    if contrast not in ("filter", "common"):
        raise ValueError(f"contrast {contrast!r}: wanted filter or common")
    size = np.abs(F).reshape(len(F), -1).max(axis=1, initial=0.0)
    largest = float(size.max(initial=0.0))
    if contrast == "common":
        size = np.full(len(F), largest)
    tiles = GREY + F / np.where(size > 0, size, 1.0)[:, None, None, None] * (GREY - 1)
    return np.rint(tiles).astype(np.uint8), largest


def pixel_bytes(pixels: Array, tones: tuple[float, float] = TONES) -> Array:
    """Pixels as 0..255; those beyond `tones`, the values of black and white, are cut."""
    black, white = tones
    return np.asarray(np.rint(np.clip((pixels - black) / (white - black), 0, 1) * 255).astype(np.uint8))


def mosaic(F: Array, columns: int | None = None, scale: int | None = None, contrast: str = "filter") -> Array:
    """uint8 sheet (H, W) or (H, W, 3) of tiles F (k, h, w, c), row by row; see `grey_tiles`, `weight_bytes`.

    `scale` is screen pixels to a pixel, by default such that the sheet fits into a column; `columns` makes
    the sheet nearly square by default.
    """
    tiles, _ = weight_bytes(grey_tiles(F), contrast)
    return place(Sheet(in_cells(tiles, len(F)), columns, scale)).pixels()


def pairs(inputs: Array, reconstructions: Array, tones: tuple[float, float] = TONES) -> Sheet:
    """Return a sheet of pixels (k, h, w, c) above those of their reconstructions; see `grey_tiles`.

    `tones` are the values of black and white.
    """
    both = [pixel_bytes(grey_tiles(pixels), tones) for pixels in (inputs, reconstructions)]
    return Sheet(np.concatenate([planes_in_cells(tiles, len(inputs)) for tiles in both], axis=1))


def picture_bytes(picture: Array, format: str, text: Mapping[str, str], dpi: float | None = None) -> bytes:
    """A uint8 picture (H, W), (H, W, 1) or (H, W, 3) as a file of a `format` out of FORMATS.

    `text` goes into it, in a TIFF as Software and ImageDescription. The same picture has the same bytes.
    """
    from PIL import Image, PngImagePlugin

    size = {} if dpi is None else {"dpi": (dpi, dpi)}
    squeezed = picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
    image = Image.fromarray(np.ascontiguousarray(squeezed))
    out = io.BytesIO()
    if format == "TIFF":
        about = "; ".join(f"{key}: {value}" for key, value in text.items() if key != "Software")
        tags = {TIFF_SOFTWARE: text.get("Software", ""), TIFF_DESCRIPTION: about}
        image.save(
            out,
            "TIFF",
            compression="tiff_lzw",
            tiffinfo={tag: words for tag, words in tags.items() if words},
            **size,
        )
        return out.getvalue()
    info = PngImagePlugin.PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    image.save(out, "PNG", pnginfo=info, optimize=True, **size)
    return out.getvalue()


@dataclass(frozen=True)
class _Stills:
    """Pictures in files, as often as they are wanted; one file is open at a time."""

    paths: Sequence[str]

    def __iter__(self) -> Iterator[Any]:
        from PIL import Image

        for path in self.paths:
            with Image.open(path) as image:
                yield image.copy()


def movie_bytes(stills: Sequence[str], format: str) -> bytes:
    """Return PNG files of one size as a picture that moves, of a `format` out of MOVIES, over and over again.

    Raises OSError for files that cannot be read.
    """
    out = io.BytesIO()
    pace = [PACE] * (len(stills) - 1) + [REST]
    first, others = next(iter(_Stills(stills))), _Stills(stills[1:])
    first.info.clear()  # the words of a still are about its epoch alone
    first.save(out, format, save_all=True, append_images=others, duration=pace, loop=0)
    return out.getvalue()
