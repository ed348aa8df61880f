"""Preprocessed rows for training and encoding, from memory where they fit, else made anew at every call."""

from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.patches.preprocess import Preprocess

Array = npt.NDArray[Any]


class Rows:
    """Rows of `patches` (n, n_pixels), raw and possibly mapped from a file, preprocessed to floats of `dtype`.

    When all of them take at most `memory` bytes they are made once. The bytes of a row are the same either way.
    """

    def __init__(
        self, patches: Array, preprocess: Preprocess, dtype: npt.DTypeLike = np.float32, memory: int = 2**31
    ) -> None:
        self.patches, self.preprocess, self.dtype = patches, preprocess, np.dtype(dtype)
        self._made: Array | None = None
        if len(patches) * preprocess.n_visible * self.dtype.itemsize <= memory:
            self._made = preprocess.apply(patches, self.dtype)

    def __len__(self) -> int:
        return len(self.patches)

    @property
    def n_visible(self) -> int:
        return self.preprocess.n_visible

    @property
    def low(self) -> float:
        """The least value that the preprocessing makes, -inf if unknown."""
        return self.preprocess.low

    @property
    def high(self) -> float:
        """The largest value, inf if unknown."""
        return self.preprocess.high

    def take(self, index: npt.NDArray[np.integer]) -> Array:
        """(len(index), n_visible) those rows; the caller's own."""
        if self._made is not None:
            return np.take(self._made, index, axis=0)
        return self.preprocess.apply(self.patches[index], self.dtype)

    def block(self, start: int, stop: int) -> Array:
        """(stop - start, n_visible) rows in a row; the caller's own."""
        if self._made is not None:
            return self._made[start:stop].copy()
        return self.preprocess.apply(self.patches[start:stop], self.dtype)
