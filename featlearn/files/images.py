"""Image files as arrays: the only place that opens images (Pillow).

What Pillow does in silence is refused or undone here: 16-bit colour cut to 8 bits, 16-bit grey clipped to two
levels, EXIF rotation ignored, palette numbers taken for grey levels, huge images, formats that run other
programs. So is what it and its libraries write to stderr by themselves.
"""

import contextlib
import ctypes
import functools
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, _imaging

from featlearn.errors import DataError, FeatlearnError, reason, show
from featlearn.files.budget import Budget
from featlearn.files.exif import ORIENTATION, orientation
from featlearn.files.jpeg import count_scans
from featlearn.files.limits import MAX_PIXELS
from featlearn.files.paths import open_regular, unreadable
from featlearn.rows import Array

Rows = Callable[[int, int], Array]
"""Rows start to stop of an image as it is stored: (stop - start, w) or (stop - start, w, 3)."""
Warn = Callable[[str], None]
File = io.BufferedReader | io.BytesIO

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM", "WEBP")
SUFFIXES = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".webp",
    ]
)
MAX_SCANS = 200
"""Scans of a JPEG file; encoders make about ten. Each costs the decoder a pass over the image."""
STRIPE = 1 << 18  # pixels that are converted at a time
IN_MEMORY = 256 << 20  # bytes up to which a TIFF is read before libtiff sees it
DECODED = 4  # bytes of a pixel in Pillow's memory, colour and what fills it up
BYTES_A_PIXEL = 16  # that decoding may take at its worst

logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_image(
    path: str,
    color: str = "gray",
    max_pixels: int = MAX_PIXELS,
    warn: Warn = lambda text: None,
    lose_color: Callable[[], None] = lambda: None,
) -> Array:
    """An image as (height, width, c), c = 1 for `color` "gray" and 3 for "rgb", upright.

    uint8; uint16 for 16 bits a channel; float32 as they are for floating-point TIFF. Colour becomes grey by
    ITU-R 601 (0.299 R + 0.587 G + 0.114 B, gamma not undone); alpha is dropped; of several frames the first
    is taken. An EXIF block too damaged to say how the image is turned is told to `warn`; that it had colours
    which are not kept, to `lose_color`. Raises DataError for an image that cannot be used, those above
    `max_pixels` among them; ReadError and MemoryError for what is no fault of the image.
    """
    with open_regular(path) as file, warnings.catch_warnings(), _pillow_limit(max_pixels):
        warnings.simplefilter("ignore")  # oddities of metadata, which the pixels do not depend on
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return _read(_readable(file), path, color, max_pixels, warn, lose_color)
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


def to_color(array: Array, color: str) -> Array:
    """(h, w) or (h, w, 1 or 3) pixels as (h, w, 1) for "gray" or (h, w, 3) for "rgb", same dtype."""
    if array.ndim == 2:
        array = array[:, :, None]
    if color == "rgb":
        return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
    if array.shape[2] == 1:
        return np.ascontiguousarray(array)
    grey = np.empty((*array.shape[:2], 1), array.dtype)
    for rows in _stripes(*array.shape[:2]):
        grey[rows] = _luminance(array[rows])
    return grey


def loses_color(array: Array, color: str) -> bool:
    """Whether `to_color` takes colours from pixels; those that are grey in three channels have none."""
    if color == "rgb" or array.ndim == 2 or array.shape[2] == 1:
        return False
    return not all(np.array_equal(array[:, :, 0], array[:, :, i]) for i in (1, 2))


def _luminance(array: Array) -> Array:
    """(h, w, 1) of (h, w, 3)."""
    if array.dtype.kind == "f":
        weights = np.array([0.299, 0.587, 0.114], array.dtype)
        r, g, b = (array[:, :, i : i + 1] * weights[i] for i in range(3))
        return np.asarray(r + g + b)
    # Pillow's fixed-point weights, which sum to 2^16; 65535 times that still fits into 32 bits, rounding included.
    wide = array.astype(np.uint32)
    grey = (wide[:, :, :1] * 19595 + wide[:, :, 1:2] * 38470 + wide[:, :, 2:] * 7471 + (1 << 15)) >> 16
    return grey.astype(array.dtype)


def _stripes(height: int, width: int) -> Iterator[slice]:
    """The rows of an image in portions of about STRIPE pixels: what is made of them takes little memory."""
    step = max(1, STRIPE // max(1, width))
    return (slice(start, min(start + step, height)) for start in range(0, height, step))


def _read(
    file: File, path: str, color: str, max_pixels: int, warn: Warn, lose_color: Callable[[], None]
) -> Array:
    """The pixels of an open file."""
    head = file.read(30)
    if not head:
        raise DataError(f"{show(path)}: is empty")
    pixels = _webp_pixels(head)  # for which Pillow makes room when it opens the file
    if pixels > max_pixels:
        raise _too_large(path, pixels, max_pixels)
    with _checking_room(pixels):
        image = _opened(file)
    with image:
        _refuse_bombs(image, file, path, max_pixels)
        deep, channels = _has_deep_colour(image, head), 3 if color == "rgb" else 1
        bytes_a_pixel = (DECODED + channels) * (2 if deep else 1)
        Budget(path).claim(bytes_a_pixel * image.width * image.height, "the decoded image")
        dtype, rows = _deep_colour(image, file, path) if deep else _decoded(image, path)
        turn = _orientation(image, path, warn)
        width, height = image.size
        upright = (width, height) if turn > 4 else (height, width)
        out = np.empty((*upright, channels), dtype)
        stored = _as_stored(out, turn)
        lost = False
        for part in _stripes(height, width):
            decoded = rows(part.start, part.stop)
            lost = lost or loses_color(decoded, color)
            stored[part] = to_color(decoded, color)
    if lost:
        lose_color()
    return out


def _opened(file: File) -> Image.Image:
    """The image that a file begins with; nothing is decoded yet."""
    file.seek(0)
    return Image.open(file, formats=FORMATS)


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


@contextlib.contextmanager
def _checking_room(pixels: int) -> Iterator[None]:
    """Raise MemoryError also where a decoder calls its lack of memory for so many pixels damage."""
    try:
        yield
    except Exception:
        np.empty(BYTES_A_PIXEL * pixels, np.uint8)
        raise


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


def _load(image: Image.Image) -> None:
    """Decode."""
    with _checking_room(image.width * image.height):
        image.load()


def _decoded(image: Image.Image, path: str) -> tuple[npt.DTypeLike, Rows]:
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


def _has_deep_colour(image: Image.Image, head: bytes) -> bool:
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


def _deep_colour(image: Image.Image, file: File, path: str) -> tuple[npt.DTypeLike, Rows]:
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
            f"{show(path)}: has more than 8 bits a channel in a way that is not read here ({raw}); convert it to an "
            "RGB image of 8 or 16 bits, as magick IN -colorspace sRGB -alpha off OUT.png does"
        )
    if order is None:
        _set_raw_mode(image, "RGBA")
        _load(image)
        return np.uint16, lambda start, stop: _joined(*np.moveaxis(_part(image, start, stop)[:, :, :2], 2, 0))
    big = order[2] == "B" or (order[2] == "N" and sys.byteorder == "big")
    _set_raw_mode(image, order[1] + ("B" if big else "L"))
    _load(image)
    other = _opened(file)
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
            f"{show(path)}: its EXIF data are damaged and do not say how it is turned; it is taken as it is stored"
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
    """The file, or what it holds, where libtiff would read it by itself and take a failing disk for damage."""
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
