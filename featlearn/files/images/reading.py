"""An image file as an array, upright, in grey or colour.

What Pillow does in silence is refused or undone here, too: EXIF rotation ignored, huge images, formats that
run other programs. So is what it and its libraries write to stderr by themselves.
"""

import contextlib
import ctypes
import functools
import io
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError, _imaging

from featlearn.errors import DataError, FeatlearnError, reason, show
from featlearn.files.budget import Budget
from featlearn.files.color import loses_color, stripes, to_color
from featlearn.files.exif import ORIENTATION, orientation
from featlearn.files.images.decoding import (
    FORMATS,
    File,
    checking_room,
    decoded,
    deep_colour,
    has_deep_colour,
    opened,
)
from featlearn.files.jpeg import count_scans
from featlearn.files.limits import MAX_PIXELS
from featlearn.files.paths import open_regular, unreadable
from featlearn.rows import Array

Warn = Callable[[str], None]

SUFFIXES = frozenset(
    (
        *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".webp"),
    )
)
MAX_SCANS = 200
"""Scans of a JPEG file; encoders make about ten. Each costs the decoder a pass over the image."""
IN_MEMORY = 256 << 20  # bytes up to which a TIFF is read before libtiff sees it
SEVERAL = ("GIF", "TIFF", "WEBP", "PNG")  # formats of several frames
DECODED = 4  # bytes of a pixel in Pillow's memory, colour and what fills it up

logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_image(
    path: str,
    color: str = "gray",
    max_pixels: int = MAX_PIXELS,
    warn: Warn = lambda text: None,
    lose_color: Callable[[], None] = lambda: None,
    frame: int = 0,
) -> Array:
    """An image as (height, width, c), c = 1 for `color` "gray" and 3 for "rgb", upright.

    uint8; uint16 for 16 bits a channel; float32 as they are for floating-point TIFF. Colour becomes grey by
    ITU-R 601 (0.299 R + 0.587 G + 0.114 B, gamma not undone); alpha is dropped; of several frames number
    `frame` is taken. An EXIF block too damaged to say how the image is turned is told to `warn`; that it had
    colours which are not kept, to `lose_color`. Raises DataError for an image that cannot be used, those
    above `max_pixels` among them; ReadError and MemoryError for what is no fault of the image.
    """
    with open_regular(path) as file, warnings.catch_warnings(), _pillow_limit(max_pixels):
        warnings.simplefilter("ignore")  # oddities of metadata, which the pixels do not depend on
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return _read(_readable(file), path, color, max_pixels, warn, lose_color, frame)
        except (FeatlearnError, ImportError):
            raise
        except MemoryError as error:
            raise MemoryError(f"{show(path)} cannot be decoded") from error
        except UnidentifiedImageError as error:
            raise DataError(f"{show(path)}: is no image of a known kind ({', '.join(FORMATS)})") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            pixels = re.search(r"\d+", str(error))
            raise _too_large(path, int(pixels[0]) if pixels else 0, max_pixels) from error
        except Exception as error:  # damaged files raise whatever the decoder stumbles over
            if isinstance(error, OSError) and error.errno is not None:
                raise unreadable(path, error) from error
            _read_through(file, path)
            raise DataError(f"{show(path)}: is damaged or cut off ({reason(error)})") from error


def _read(
    file: File,
    path: str,
    color: str,
    max_pixels: int,
    warn: Warn,
    lose_color: Callable[[], None],
    frame: int,
) -> Array:
    """The pixels of an open file."""
    head = file.read(30)
    if not head:
        raise DataError(f"{show(path)}: is empty")
    pixels = _webp_pixels(head)  # for which Pillow makes room when it opens the file
    if pixels > max_pixels:
        raise _too_large(path, pixels, max_pixels)
    with checking_room(pixels):
        image = opened(file)
    with image:
        _refuse_bombs(image, file, path, max_pixels)
        deep = has_deep_colour(image, head)
        if frame:
            if deep:
                raise DataError(f"{show(path)}: frames of more than 8 bits a colour; save each as a file")
            image.seek(frame)
            _refuse_bombs(image, file, path, max_pixels)
        channels = 3 if color == "rgb" else 1
        bytes_a_pixel = (DECODED + channels) * (2 if deep else 1)
        Budget(path).claim(bytes_a_pixel * image.width * image.height, "the decoded image")
        dtype, rows = deep_colour(image, file, path) if deep else decoded(image, path)
        turn = _orientation(image, path, warn)
        width, height = image.size
        upright = (width, height) if turn > 4 else (height, width)
        out = np.empty((*upright, channels), dtype)
        stored = _as_stored(out, turn)
        lost = False
        for part in stripes(height, width):
            piece = rows(part.start, part.stop)
            lost = lost or loses_color(piece, color)
            stored[part] = to_color(piece, color)
    if lost:
        lose_color()
    return out


def count_frames(path: str) -> int:
    """Return how many frames or pages a GIF, TIFF, WebP or PNG file has; 1 of what cannot be read."""
    with open_regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with opened(_readable(file)) as image:
                return int(getattr(image, "n_frames", 1)) if image.format in SEVERAL else 1
        except Exception:  # read_image says what is wrong with it
            return 1


def _refuse_bombs(image: Image.Image, file: File, path: str, max_pixels: int) -> None:
    """Raise DataError for what would take very much memory or time, before anything is decoded."""
    sizes = [image.width * image.height]
    if image.format == "TIFF":  # libtiff makes room for a whole tile, whatever the image needs of it
        sizes.append(int(image.tag_v2.get(322, 0)) * int(image.tag_v2.get(323, 0)))  # type: ignore[attr-defined]
    if max(sizes) > max_pixels:
        raise _too_large(path, max(sizes), max_pixels)
    if image.format in ("JPEG", "MPO"):
        place = file.tell()
        file.seek(0)
        if count_scans(file, MAX_SCANS + 1) > MAX_SCANS:
            raise DataError(
                f"{show(path)}: has more than {MAX_SCANS} scans, which only attacks have; save it anew"
            )
        file.seek(place)


def _too_large(path: str, pixels: int, max_pixels: int) -> DataError:
    remedy = "raise --max-pixels or scale the image down"
    return DataError(f"{show(path)}: has {pixels:,} pixels, more than {max_pixels:,}; {remedy}")


def _webp_pixels(head: bytes) -> int:
    """Height times width from the first 30 bytes of a WebP file; 0 for another."""
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return 0
    if head[12:16] == b"VP8X":
        return (int.from_bytes(head[24:27], "little") + 1) * (int.from_bytes(head[27:30], "little") + 1)
    if head[12:16] == b"VP8L":
        size = int.from_bytes(head[21:25], "little")
        return ((size & 0x3FFF) + 1) * ((size >> 14 & 0x3FFF) + 1)
    return (int.from_bytes(head[26:28], "little") & 0x3FFF) * (int.from_bytes(head[28:30], "little") & 0x3FFF)


def _orientation(image: Image.Image, path: str, warn: Warn) -> int:
    """1 to 8 of a decoded image; 1 where nothing says how it is turned."""
    try:
        block = image.info.get("exif")
        value = orientation(block) if block else None
        if value is None:  # Pillow knows older places of an EXIF block, and XMP
            value = image.getexif().get(ORIENTATION, 1)
            if not (isinstance(value, int) and 0 <= value <= 8):
                raise ValueError("no orientation")
        return max(value, 1)
    except MemoryError:
        raise
    except Exception:  # a damaged block raises whatever its reader stumbles over
        warn(
            f"{show(path)}: its EXIF data are damaged and do not say how it is turned; "
            "it is taken as it is stored"
        )
        return 1


def _as_stored(upright: Array, turn: int) -> Array:
    """The view of an upright image (h, w, c) whose rows are those of the file."""
    views: dict[int, Callable[[], Array]] = {
        1: lambda: upright,
        2: lambda: upright[:, ::-1],
        3: lambda: upright[::-1, ::-1],
        4: lambda: upright[::-1],
        5: lambda: upright.swapaxes(0, 1),
        6: lambda: np.rot90(upright),
        7: lambda: upright[::-1, ::-1].swapaxes(0, 1),
        8: lambda: np.rot90(upright, -1),
    }
    return views[turn]()


def _readable(file: io.BufferedReader) -> File:
    """Return the file, or its bytes where libtiff, reading, would take a failing disk for damage."""
    if file.peek(4)[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return file
    _silence_libtiff()
    return io.BytesIO(file.read()) if os.fstat(file.fileno()).st_size <= IN_MEMORY else file


def _read_through(file: io.BufferedReader, path: str) -> None:
    """Raise ReadError where a file cannot be read to its end: then it need not be damaged."""
    try:
        file.seek(0)
        while file.read(1 << 20):
            pass
    except OSError as error:
        raise unreadable(path, error) from error


@functools.cache
def _silence_libtiff() -> None:
    """Keep libtiff from writing to stderr; its failures come back as errors all the same.

    The library is found through Pillow's, whoever brought it. Where it was linked into Pillow without a name,
    it stays as it is.
    """
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            handler = getattr(library, name)
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)


@contextlib.contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    """Pillow's own limit set to ours: some of its readers hold frames and tiles against it."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
