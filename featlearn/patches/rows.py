"""Preprocessed rows for training and encoding, from memory where they fit, else made anew at every call."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from featlearn.errors import DataError
from featlearn.patches.normalize import PatchStats
from featlearn.patches.preprocess import Preprocess
from featlearn.rows import Array

BLOCK = 1 << 22  # bytes of rows that are made together


class Raw(Protocol):
    """Raw patches (n, n_pixels): an array, or what gives arrays when indexed by a slice or by numbers."""

    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Array: ...


def make_rows(
    patches: Array,
    preprocess: Preprocess,
    dtype: npt.DTypeLike,
    name: str,
    index: npt.NDArray[np.integer[Any]],
    out: Array | None = None,
) -> tuple[Array, PatchStats]:
    """Preprocess `patches` (n, n_pixels), in all places where a model sees any.

    `index` are their numbers in `name`.

    They are made in `out` where it is given. Raises DataError where a patch, or what is made of it, is not
    finite.
    """
    with np.errstate(all="ignore"):
        X, stats = preprocess.apply_with_stats(patches, dtype, out)
    _refuse_odd(patches, X, name, index)
    return X, stats


def rows_of_units(
    patches: Array,
    preprocess: Preprocess,
    dtype: npt.DTypeLike,
    name: str,
    index: npt.NDArray[np.integer[Any]],
) -> Array:
    """Return the same rows, to the byte, of pixels that Preprocess.unit_pixels has made.

    `patches` are overwritten. Raises DataError.
    """
    X: Array = np.empty((len(patches), preprocess.n_visible), dtype)
    with np.errstate(all="ignore"):
        preprocess.apply_to_units(patches, X)
    _refuse_odd(X[:0], X, name, index)
    return X


def _refuse_odd(patches: Array, X: Array, name: str, index: npt.NDArray[np.integer[Any]]) -> None:
    """Raise DataError where a patch, or the row X (n, n_visible) that is made of it, is not finite."""
    for values, words in ((patches, "holds NaN or infinity"), (X, "is not finite once it is preprocessed")):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
            more = f" ({len(bad)} such rows of {len(values)} read together)" if len(bad) > 1 else ""
            raise DataError(
                f"{name}: row {index[bad[0]]} {words}{more}; extract the patches again, or leave it out"
            )


class Rows:
    """Rows of `patches` (n, n_pixels), raw and possibly left in a file, preprocessed to floats of `dtype`.

    When all of them take at most `memory` bytes they are made once. The bytes of a row are the same either
    way. `name` stands for them in errors. Raises DataError for rows that are not finite, when they are made.
    """

    def __init__(
        self,
        patches: Raw,
        preprocess: Preprocess,
        dtype: npt.DTypeLike = np.float32,
        memory: int = 2**31,
        name: str = "data",
    ) -> None:
        self.patches = patches
        self.preprocess = preprocess
        self.dtype = np.dtype(dtype)
        self.name = name
        self._made: Array | None = None
        row = preprocess.n_visible * self.dtype.itemsize
        if len(patches) * row <= memory:
            made = np.empty((len(patches), preprocess.n_visible), self.dtype)
            step = max(1, BLOCK // row)
            for start in range(0, len(patches), step):
                stop = min(start + step, len(patches))
                self._make(patches[start:stop], np.arange(start, stop), made[start:stop])
            self._made = made

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
        return self._make(self.patches[index], index)

    def block(self, start: int, stop: int) -> Array:
        """(stop - start, n_visible) rows in a row; the caller's own."""
        if self._made is not None:
            return self._made[start:stop].copy()
        return self._make(self.patches[start:stop], np.arange(start, stop))

    def _make(self, patches: Array, index: npt.NDArray[np.integer[Any]], out: Array | None = None) -> Array:
        return make_rows(patches, self.preprocess, self.dtype, self.name, index, out)[0]
