"""Grey and colour: pixels (height, width, channels) brought from one to the other."""

import functools
from collections.abc import Iterator

import numpy as np

from featlearn.rows import Array

STRIPE = 1 << 18  # pixels that are converted at a time
GAMMA = (19595, 38470, 7471)  # of R, G, B in 2^16ths: Pillow's, of ITU-R 601
LINEAR = (13933, 46871, 4732)  # those of light, ITU-R 709: .2126, .7152, .0722


def to_color(array: Array, color: str | None) -> Array:
    """(h, w) or (h, w, 1 or 3) pixels as (h, w, 1) for "gray" or (h, w, 3) for "rgb", same dtype.

    None leaves them as they are, whatever the number of channels.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if color is None:
        return np.ascontiguousarray(array)
    if color == "rgb":
        return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
    if array.shape[2] == 1:
        return np.ascontiguousarray(array)
    grey = np.empty((*array.shape[:2], 1), array.dtype)
    for rows in stripes(*array.shape[:2]):
        grey[rows] = _luminance(array[rows])
    return grey


def to_light(array: Array, color: str) -> Array:
    """Return levels of sRGB (h, w, 3) uint8 or uint16 as light, uint16 of 0..65535 for black to white.

    "rgb" is (h, w, 3), "gray" the luminance (h, w, 1). The curve is that of IEC 61966-2-1.
    """
    table = _light_of_levels(np.iinfo(array.dtype).max)
    out = np.empty((*array.shape[:2], 3 if color == "rgb" else 1), np.uint16)
    for rows in stripes(*array.shape[:2]):
        light = table[array[rows]]
        out[rows] = light if color == "rgb" else _weighted(light, LINEAR)
    return out


def to_levels(light: Array) -> Array:
    """Return light of 0 for black to 1 for white as levels of sRGB in 0..1; what lies beyond is cut."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


@functools.cache
def _light_of_levels(highest: int) -> Array:
    """(highest + 1,) uint16."""
    level = np.arange(highest + 1) / highest
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    table: Array = np.rint(65535 * light).astype(np.uint16)
    return table


def loses_color(array: Array, color: str | None) -> bool:
    """Whether `to_color` takes colours from pixels; those that are grey in three channels have none."""
    if color != "gray" or array.ndim == 2 or array.shape[2] == 1:
        return False
    return not all(np.array_equal(array[:, :, 0], array[:, :, i]) for i in (1, 2))


def _luminance(array: Array) -> Array:
    """(h, w, 1) of (h, w, 3)."""
    if array.dtype.kind == "f":
        weights = np.array([0.299, 0.587, 0.114], array.dtype)
        r, g, b = (array[:, :, i : i + 1] * weights[i] for i in range(3))
        return np.asarray(r + g + b)
    return _weighted(array, GAMMA)


def _weighted(array: Array, weights: tuple[int, int, int]) -> Array:
    """(h, w, 1) of integers (h, w, 3) by weights in 2^16ths, rounded."""
    # The weights sum to 2^16; 65535 times that and the rounding fit into 32 bits.
    wide, (red, green, blue) = array.astype(np.uint32), weights
    grey = (wide[:, :, :1] * red + wide[:, :, 1:2] * green + wide[:, :, 2:] * blue + (1 << 15)) >> 16
    return grey.astype(array.dtype)


def stripes(height: int, width: int) -> Iterator[slice]:
    """The rows of an image in portions of about STRIPE pixels: what is made of them takes little memory."""
    step = max(1, STRIPE // max(1, width))
    return (slice(start, min(start + step, height)) for start in range(0, height, step))
