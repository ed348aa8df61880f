"""Image files as arrays: the only place that opens images (Pillow).

What Pillow does in silence is refused or undone here: 16-bit colour cut to 8 bits, 16-bit grey clipped to two levels,
EXIF rotation ignored, palette numbers taken for grey levels, huge images, formats that run other programs.
"""

import contextlib
import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from featlearn.errors import DataError
from featlearn.files.regular import open_regular, reason, show

Array = npt.NDArray[Any]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM", "WEBP")
SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".webp"]
)
MAX_PIXELS = 89_478_485
"""Pixels of the largest image that is read (a quarter gigabyte of RGB; Pillow's own limit)."""


def read_image(path: str, color: str = "gray") -> Array:
    """An image as (height, width, c), c = 1 for `color` "gray" and 3 for "rgb", upright.

    uint8; uint16 for 16-bit grey; float32 as they are for floating-point TIFF. Colour becomes grey by ITU-R 601
    (0.299 R + 0.587 G + 0.114 B, gamma not undone); alpha is dropped; of several frames the first is taken.
    Raises DataError for whatever cannot be read, 16-bit colour and images above MAX_PIXELS among it.
    """
    with open_regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oddities of metadata, which the pixels do not depend on
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            array = _pixels(file, path)
        except DataError:
            raise
        except UnidentifiedImageError as error:
            raise DataError(f"{show(path)}: is no image of a known kind ({', '.join(FORMATS)})") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise DataError(f"{show(path)}: has more than {MAX_PIXELS:,} pixels; scale it down") from error
        except Exception as error:  # damaged files raise whatever the decoder stumbles over
            raise DataError(f"{show(path)}: is damaged or cut off ({reason(error)})") from error
    return to_color(array, color)


def to_color(array: Array, color: str) -> Array:
    """(h, w) or (h, w, 1 or 3) pixels as (h, w, 1) for "gray" or (h, w, 3) for "rgb", same dtype."""
    if array.ndim == 2:
        array = array[:, :, None]
    if color == "rgb":
        return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
    if array.shape[2] == 1:
        return np.ascontiguousarray(array)
    if array.dtype.kind == "f":
        weights = np.array([0.299, 0.587, 0.114], array.dtype)
        r, g, b = (array[:, :, i : i + 1] * weights[i] for i in range(3))
        return np.asarray(r + g + b)
    # Pillow's fixed-point weights, which sum to 2^16; 65535 times that still fits into 32 bits, rounding included.
    wide = array.astype(np.uint32)
    grey = (wide[:, :, :1] * 19595 + wide[:, :, 1:2] * 38470 + wide[:, :, 2:] * 7471 + (1 << 15)) >> 16
    return grey.astype(array.dtype)


def _pixels(file: io.BufferedReader, path: str) -> Array:
    """(h, w) or (h, w, 3), upright, of the file's own depth."""
    head = file.read(26)
    if not head:
        raise DataError(f"{show(path)}: is empty")
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(f"{show(path)}: has more than {MAX_PIXELS:,} pixels; scale it down")
        if _cut_to_8_bits(image, head):
            raise DataError(f"{show(path)}: 16-bit colour or alpha; convert it to 8-bit colour or 16-bit grey")
        image.load()
        upright: Image.Image = image
        with contextlib.suppress(Exception):  # an EXIF block too damaged to say how the image is turned
            upright = ImageOps.exif_transpose(image)
        if upright.mode in ("1", "L", "LA", "La"):
            return np.asarray(upright.convert("LA").convert("L") if upright.mode == "La" else upright.convert("L"))
        if upright.mode == "F":
            array = np.asarray(upright, np.float32)
            if not np.isfinite(array).all():
                raise DataError(f"{show(path)}: holds NaN or infinity")
            return array
        if upright.mode.startswith("I"):
            values = np.asarray(upright)
            if values.min() < 0 or values.max() > 65535:
                raise DataError(f"{show(path)}: grey levels {values.min()}..{values.max()}, wanted 0..65535")
            return values.astype(np.uint16)
        return np.asarray(upright.convert("RGB"))


def _cut_to_8_bits(image: Image.Image, head: bytes) -> bool:
    """Whether the file has more than 8 bits a channel but Pillow gives 8."""
    if image.mode == "F" or image.mode.startswith("I"):
        return False
    if image.format == "PNG":
        return head[24] > 8
    if image.format == "TIFF":
        return bool(max(image.tag_v2.get(258, (8,))) > 8)  # type: ignore[attr-defined]
    if image.format == "PPM":
        args = image.tile[0][3]  # type: ignore[attr-defined]
        return isinstance(args, tuple) and isinstance(args[1], int) and args[1] > 255
    return False
