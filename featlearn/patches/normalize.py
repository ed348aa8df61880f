"""Pixels as numbers from 0 to 1, and what is done to each patch by itself."""

from typing import NamedTuple

import numpy as np

from featlearn import _core
from featlearn.rows import Array, Float64

CONTRAST = 10 / 255**2  # keeps flat patches from being blown up to noise
PER_PATCH = ("center", "contrast")


class PatchStats(NamedTuple):
    """What normalisation took from each patch: its own mean and scale, both (n,) float64."""

    mean: Float64
    scale: Float64


def unit_pixels(rows: Array, threshold: float | None = None) -> Float64:
    """Return pixels as float64; binary with a threshold.

    Those of 8 and 16 bits are divided by 255 and 65535, floats stay as they are.
    """
    full = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(rows.dtype, 1.0)
    if threshold is None:
        return np.divide(rows, full, dtype=np.float64)
    return (rows > threshold * full).astype(np.float64)


def normalize_patches(X: Float64, how: str | None) -> PatchStats:
    """Takes each row's mean and, for contrast, its scale from X (n, d) in place; returns them."""
    mean, scale = np.zeros(len(X)), np.ones(len(X))
    if how in PER_PATCH:
        _core.normalize(X, mean, scale, CONTRAST if how == "contrast" else -1.0)
    return PatchStats(mean, scale)
