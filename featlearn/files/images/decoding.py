"""Pixels of an image file that Pillow has opened: in 8 bits a channel, in 16, and as floats.

What Pillow does in silence is refused or undone here: 16-bit colour cut to 8 bits, 16-bit grey clipped to two
levels, palette numbers taken for grey levels.
"""

import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from featlearn.errors import DataError, show
from featlearn.rows import Array

Rows = Callable[[int, int], Array]
"""Rows start to stop of an image as it is stored: (stop - start, w) or (stop - start, w, 3)."""
File = io.BufferedReader | io.BytesIO

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM", "WEBP")
BYTES_A_PIXEL = 16  # that decoding may take at its worst


def opened(file: File) -> Image.Image:
    """The image that a file begins with; nothing is decoded yet."""
    file.seek(0)
    return Image.open(file, formats=FORMATS)


@contextlib.contextmanager
def checking_room(pixels: int) -> Iterator[None]:
    """Raise MemoryError also where a decoder calls its lack of memory for so many pixels damage."""
    try:
        yield
    except Exception:
        np.empty(BYTES_A_PIXEL * pixels, np.uint8)
        raise


def _load(image: Image.Image) -> None:
    """Decode."""
    with checking_room(image.width * image.height):
        image.load()


def decoded(image: Image.Image, path: str) -> tuple[npt.DTypeLike, Rows]:
    """(dtype, rows) of all but deep colour."""
    _load(image)
    mode = image.mode
    if mode == "I":
        low, high = image.getextrema()
        if low < 0 or high > 65535:  # type: ignore[operator]
            raise DataError(f"{show(path)}: grey levels {low}..{high}, wanted 0..65535")

    def rows(start: int, stop: int) -> Array:
        part = image.crop((0, start, image.width, stop))
        if mode == "F":
            array = np.asarray(part, np.float32)
            if not np.isfinite(array).all():
                raise DataError(f"{show(path)}: holds NaN or infinity")
            return array
        if mode.startswith("I"):
            return np.asarray(part).astype(np.uint16)
        if mode == "La":
            part = part.convert("LA")
        return np.asarray(part.convert("L" if mode in ("1", "L", "LA", "La") else "RGB"))

    return (np.float32 if mode == "F" else np.uint16 if mode.startswith("I") else np.uint8), rows


def has_deep_colour(image: Image.Image, head: bytes) -> bool:
    """Whether the file has more than 8 bits a channel but Pillow gives 8."""
    if image.mode == "F" or image.mode.startswith("I"):
        return False
    if image.format == "PNG":
        return head[24] > 8
    if image.format == "TIFF":
        return bool(max(image.tag_v2.get(258, (8,))) > 8)  # type: ignore[attr-defined]
    if image.format == "PPM":
        return _ppm_white(image) > 255
    return False


def _ppm_white(image: Image.Image) -> int:
    """The level of white in a PPM file, where it is not 255; else 0."""
    args = image.tile[0][3]  # type: ignore[attr-defined]
    return args[1] if isinstance(args, tuple) and isinstance(args[1], int) else 0


def deep_colour(image: Image.Image, file: File, path: str) -> tuple[npt.DTypeLike, Rows]:
    """(dtype, rows) of 16 bits a channel, of which Pillow keeps one byte.

    Told that the bytes of a value stand in the other order, it keeps the other one: so the file is decoded
    twice. Grey with alpha is four bytes a pixel, which Pillow can keep all.
    """
    codec, _, _, args = image.tile[0]  # type: ignore[attr-defined]
    raw = args if isinstance(args, str) else args[0]
    white = 65535
    if image.format == "PPM" and codec == "ppm" and raw == "RGB":
        white, raw = _ppm_white(image), "RGB;16B"
    grey = image.format == "PNG" and raw == "LA;16B"
    planes = image.format == "TIFF" and image.tag_v2.get(284, 1) != 1  # type: ignore[attr-defined]
    order = None if planes else re.fullmatch(r"(RGB[AX]?;16)([LBN])", raw)
    if not grey and order is None:
        raise DataError(
            f"{show(path)}: has more than 8 bits a channel in a way that is not read here ({raw}); "
            "convert it to an "
            "RGB image of 8 or 16 bits, as magick IN -colorspace sRGB -alpha off OUT.png does"
        )
    if order is None:
        _set_raw_mode(image, "RGBA")
        _load(image)
        return np.uint16, lambda start, stop: _joined(*np.moveaxis(_part(image, start, stop)[:, :, :2], 2, 0))
    big = order[2] == "B" or (order[2] == "N" and sys.byteorder == "big")
    _set_raw_mode(image, order[1] + ("B" if big else "L"))
    _load(image)
    other = opened(file)
    _set_raw_mode(other, order[1] + ("L" if big else "B"))
    _load(other)

    def rows(start: int, stop: int) -> Array:
        values = _joined(*(_part(one, start, stop)[:, :, :3] for one in (image, other)))
        if white == 65535:
            return values
        return ((np.minimum(values, white).astype(np.uint32) * 65535 + white // 2) // white).astype(np.uint16)

    return np.uint16, rows


def _set_raw_mode(image: Image.Image, raw: str) -> None:
    """Say how the pixels stand in the file."""
    tiles = image.tile  # type: ignore[attr-defined]
    for i, tile in enumerate(tiles):
        codec, box, offset, args = tile
        if codec == "ppm":  # in Python, and to 8 bits
            codec, args = "raw", (raw, 0, 1)
        args = raw if isinstance(args, str) else (raw, *args[1:])
        new = (codec, box, offset, args)
        tiles[i] = type(tile)._make(new) if hasattr(tile, "_make") else new


def _part(image: Image.Image, start: int, stop: int) -> Array:
    """(stop - start, w[, channels]) uint8 of a decoded image."""
    return np.asarray(image.crop((0, start, image.width, stop)))


def _joined(high: Array, low: Array) -> Array:
    """16-bit values of their two bytes."""
    return (high.astype(np.uint16) << 8) | low
