"""Sheets of small pictures: filters, patches, inputs above their reconstructions. Mid-grey is zero."""

import io
import math
from collections.abc import Mapping

import numpy as np

from featlearn.rows import Array

GREY = 128  # weight 0
GAP = 60  # the tone between tiles: no filter's extreme, no filter's zero
WIDTH = 900  # screen pixels that a sheet aims at
TIFF_DESCRIPTION, TIFF_SOFTWARE = 270, 305  # numbers of tags
TONES = (0.0, 1.0)  # pixels that are black and white

FORMATS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}
"""Of a picture made of pixels, by suffix."""


def order_filters(F: Array, by: str = "trained", use: Array | None = None) -> Array:
    """(k,) indices of filters F (k, ...): as trained, by falling norm, or by falling `use` (k,), stable."""
    if by == "norm":
        return np.argsort(-np.sqrt(np.square(F.reshape(len(F), -1)).sum(axis=1)), kind="stable")
    if by == "use":
        if use is None:
            raise ValueError("order by use needs the mean activations")
        return np.argsort(-use, kind="stable")
    return np.arange(len(F))


def grey_tiles(F: Array) -> Array:
    """Return tiles (k, h, w, c) that have a colour as they are, of others each channel as a grey tile."""
    k, h, w, c = F.shape
    return F if c in (1, 3) else F.transpose(0, 3, 1, 2).reshape(k * c, h, w, 1)


def mosaic(F: Array, columns: int | None = None, scale: int | None = None, contrast: str = "filter") -> Array:
    """uint8 sheet (H, W) or (H, W, 3) of tiles F (k, h, w, c), row by row; see `grey_tiles`.

    `contrast`: "filter" scales every tile by its own largest |value|, "common" all by the largest of the
    sheet; both are symmetric, so zero is mid-grey. `scale` is screen pixels to a pixel, by default such that
    the sheet is about WIDTH wide; `columns` makes the sheet nearly square by default.
    """
    if contrast not in ("filter", "common"):
        raise ValueError(f"contrast {contrast!r}: wanted filter or common")
    columns = columns or _columns(F)
    F = grey_tiles(F)
    k = len(F)
    size = np.abs(F).reshape(k, -1).max(axis=1, initial=0.0)
    if contrast == "common":
        size = np.full(k, size.max(initial=0.0))
    tiles = GREY + F / np.where(size > 0, size, 1.0)[:, None, None, None] * (GREY - 1)
    return _sheet(np.rint(tiles).astype(np.uint8), min(columns, max(k, 1)), scale)


def sheet_of_pixels(
    P: Array, columns: int | None = None, scale: int | None = None, tones: tuple[float, float] = TONES
) -> Array:
    """Return a uint8 sheet of tiles of pixels P (k, h, w, c) as they are; see `grey_tiles`.

    `tones` are the values of black and white.
    """
    columns = columns or _columns(P)
    P = grey_tiles(P)
    return _sheet(pixel_bytes(P, tones), min(columns, max(len(P), 1)), scale)


def _columns(F: Array) -> int:
    """Return how many columns make a sheet nearly square, with the grey tiles of a patch in one line."""
    k, h, w, c = F.shape
    each = 1 if c in (1, 3) else c
    square = math.ceil(math.sqrt(k * each * h / w))
    return each * math.ceil(square / each) if square > each else square


def pairs(
    inputs: Array,
    reconstructions: Array,
    columns: int | None = None,
    scale: int | None = None,
    tones: tuple[float, float] = TONES,
) -> Array:
    """uint8 sheet of pixels (k, h, w, c): each row of inputs stands above the row of their reconstructions.

    `tones` are the values of black and white.
    """
    inputs, reconstructions = grey_tiles(inputs), grey_tiles(reconstructions)
    k, h, w, c = inputs.shape
    columns = min(columns or math.ceil(math.sqrt(2 * k * h / w)), max(k, 1))
    rows = math.ceil(k / columns)
    stacked = np.full((rows, 2, columns, h, w, c), GAP, np.uint8)
    for part, pixels in enumerate((inputs, reconstructions)):
        padded = np.full((rows * columns, h, w, c), GAP, np.uint8)
        padded[:k] = pixel_bytes(pixels, tones)
        stacked[:, part] = padded.reshape(rows, columns, h, w, c)
    return _sheet(stacked.reshape(-1, h, w, c), columns, scale)


def pixel_bytes(pixels: Array, tones: tuple[float, float] = TONES) -> Array:
    """Pixels as 0..255; those beyond `tones`, the values of black and white, are cut."""
    black, white = tones
    return np.asarray(np.rint(np.clip((pixels - black) / (white - black), 0, 1) * 255).astype(np.uint8))


def _sheet(tiles: Array, columns: int, scale: int | None) -> Array:
    """Tiles uint8 (k, h, w, c) on a ground of GAP, one pixel apart, enlarged."""
    k, h, w, c = tiles.shape
    rows = max(1, math.ceil(k / columns))
    sheet = np.full((rows * (h + 1) + 1, columns * (w + 1) + 1, c), GAP, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = 1 + i // columns * (h + 1), 1 + i % columns * (w + 1)
        sheet[y : y + h, x : x + w] = tile
    scale = scale or max(1, round(WIDTH / sheet.shape[1]))
    sheet = sheet.repeat(scale, axis=0).repeat(scale, axis=1)
    return sheet[:, :, 0] if c == 1 else sheet


def picture_bytes(picture: Array, format: str, text: Mapping[str, str], dpi: int | None = None) -> bytes:
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
