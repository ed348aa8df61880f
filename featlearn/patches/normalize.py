"""Pixels as numbers from 0 to 1, and what is done to each patch by itself."""

from typing import NamedTuple

import numpy as np

from featlearn import _core
from featlearn.rows import Array, Float64

CONTRAST = 10 / 255**2  # keeps flat patches from being blown up to noise
NOTHING = 1e-12  # a standard deviation that small beside the values is rounding
PER_PATCH = ("center", "contrast", "standardize-patch")
_FLOORS = {"center": -1.0, "contrast": CONTRAST, "standardize-patch": 0.0}


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
    """Take each row's mean and, unless it is only centred, its scale from X (n, d) in place; return them.

    A row that is standardised, but does not vary, becomes zeros; its scale is 1.
    """
    mean, scale = np.zeros(len(X)), np.ones(len(X))
    if how in _FLOORS:
        _core.normalize(X, mean, scale, _FLOORS[how])
    if how == "standardize-patch":
        flat = ~(scale > NOTHING * abs(mean))
        X[flat], scale[flat] = 0, 1
    return PatchStats(mean, scale)
