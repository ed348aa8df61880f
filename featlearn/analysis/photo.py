"""A whole photograph through a model of patches: overlapping patches, reconstructed and averaged."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from featlearn.analysis.metrics import psnr
from featlearn.models.base import Model
from featlearn.rows import Array

PATCHES = 8192  # that are reconstructed together


class Invertible(Protocol):
    """Preprocessing that can be undone."""

    def apply_with_stats(self, rows: Array, dtype: npt.DTypeLike) -> tuple[Array, Any]: ...
    def invert(self, X: Array, stats: Any) -> Array: ...


def reconstruct_photo(
    model: Model, preprocess: Invertible, image: Array, shape: tuple[int, int, int], stride: int = 1
) -> tuple[Array, float]:
    """(reconstruction (h, w, c), its PSNR in dB) of a raw image (h, w, c) uint8, uint16 or float.

    Patches of `shape` are taken every `stride` pixels and along the far edges, so every pixel is covered.
    Each patch's own mean and scale, where the preprocessing takes them away, are given back. Channels of a
    colour image are reconstructed one by one where patches have one. The reconstruction lies in 0..1, from
    black to white as `levels` says.
    """
    channels = np.split(image, image.shape[2] // shape[2], axis=2)
    mean = np.concatenate([_averaged(model, preprocess, one, shape, stride) for one in channels], axis=2)
    black, white = levels(image)
    full = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    before, again = ((pixels - black) / (white - black) for pixels in (image / full, mean))
    again = np.clip(again, 0, 1)
    return again, psnr(before, again)


def _averaged(
    model: Model, preprocess: Invertible, image: Array, shape: tuple[int, int, int], stride: int
) -> Array:
    """(h, w, c) mean, at each pixel of an image (h, w, c), of the reconstructions of patches that hold it."""
    ys, xs = (_places(image.shape[axis], shape[axis], stride) for axis in (0, 1))
    windows = np.lib.stride_tricks.sliding_window_view(image, shape)[:, :, 0]
    total, count = np.zeros(image.shape), np.zeros((*image.shape[:2], 1))
    band = max(1, PATCHES // len(xs))
    for start in range(0, len(ys), band):
        rows = ys[start : start + band]
        patches = windows[rows[:, None], xs[None, :]].reshape(len(rows) * len(xs), -1)
        X, stats = preprocess.apply_with_stats(patches, model.dtype)
        Y = preprocess.invert(model.reconstruct(X), stats).reshape(len(rows), len(xs), *shape)
        for i in range(shape[0]):
            for j in range(shape[1]):
                at = (rows[:, None] + i, xs[None, :] + j)
                total[at] += Y[:, :, i, j]
                count[at] += 1
    return np.asarray(total / count)


def levels(image: Array) -> tuple[float, float]:
    """Return (black, white) of a raw image.

    They are 0 and 1 where integers are fractions of the largest; of floats at least that.
    """
    if image.dtype.kind == "u":
        return 0.0, 1.0
    return min(0.0, float(image.min())), max(1.0, float(image.max()))


def _places(size: int, patch: int, stride: int) -> Array:
    """Where patches begin along one axis: every `stride`, and last at the far edge."""
    places = np.arange(0, size - patch + 1, stride)
    return places if places[-1] == size - patch else np.append(places, size - patch)
