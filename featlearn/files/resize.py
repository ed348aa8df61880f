"""Images shrunk by averaging areas: a pixel is the mean of the part of the image that it covers.

That is the box filter over exact fractions of pixels, which leaves no aliases of whole pixels' worth.
"""

import numpy as np

from featlearn.files.color import STRIPE
from featlearn.rows import Array


def shrink(image: Array, height: int, width: int) -> Array:
    """Return an image (h, w, c) as (height, width, c) of its dtype, neither side larger than before.

    Sums of integers are exact, and their means are rounded to the nearest, halves up. Those of floats are
    made in float64. Memory stays bounded beside the image.
    """
    h, w, channels = image.shape
    real = image.dtype.kind == "f"
    out = np.empty((height, width, channels), image.dtype)
    step = max(1, STRIPE * height // (h * w))
    for start in range(0, height, step):
        stop = min(start + step, height)
        top, bottom = start * h // height, -(-stop * h // height)
        part = image[top:bottom].astype(np.float64 if real else np.int64)
        part = _covered(part, np.arange(start, stop + 1) * h - top * height, height)
        part = _covered(part.swapaxes(0, 1), np.arange(width + 1) * w, width).swapaxes(0, 1)
        area = h * w
        out[start:stop] = part / area if real else (part + area // 2) // area
    return out


def _covered(X: Array, edges: Array, parts: int) -> Array:
    """Return, along the first axis, `parts` times the sums of X between edges given in `parts` of a pixel.

    Edges are at least one pixel apart.
    """
    first, beyond = np.divmod(edges, parts)
    part = beyond.reshape(-1, *(1,) * (X.ndim - 1))
    last = np.minimum(first[1:], len(X) - 1)  # where an edge lies at the end, nothing is beyond it
    sums: Array = np.add.reduceat(X[: first[-1]], first[:-1], axis=0)
    sums *= parts
    sums -= part[:-1] * X[first[:-1]]
    sums += part[1:] * X[last]
    return sums
