"""Grey and colour: pixels (height, width, channels) brought from one to the other."""

from collections.abc import Iterator

import numpy as np

from featlearn.rows import Array

STRIPE = 1 << 18  # pixels that are converted at a time


def to_color(array: Array, color: str) -> Array:
    """(h, w) or (h, w, 1 or 3) pixels as (h, w, 1) for "gray" or (h, w, 3) for "rgb", same dtype."""
    if array.ndim == 2:
        array = array[:, :, None]
    if color == "rgb":
        return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
    if array.shape[2] == 1:
        return np.ascontiguousarray(array)
    grey = np.empty((*array.shape[:2], 1), array.dtype)
    for rows in stripes(*array.shape[:2]):
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
    # Pillow's fixed-point weights, which sum to 2^16; 65535 times that and the rounding fit into 32 bits.
    wide = array.astype(np.uint32)
    grey = (wide[:, :, :1] * 19595 + wide[:, :, 1:2] * 38470 + wide[:, :, 2:] * 7471 + (1 << 15)) >> 16
    return grey.astype(array.dtype)


def stripes(height: int, width: int) -> Iterator[slice]:
    """The rows of an image in portions of about STRIPE pixels: what is made of them takes little memory."""
    step = max(1, STRIPE // max(1, width))
    return (slice(start, min(start + step, height)) for start in range(0, height, step))
