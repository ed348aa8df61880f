"""Rows of data: what is trained on, measured and encoded, by blocks or by number."""

import contextlib
import math
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from featlearn.errors import DataError, reason

Array = npt.NDArray[Any]
Index = npt.NDArray[np.integer[Any]]
Float64 = npt.NDArray[np.float64]

BLOCK = 4096
"""Rows that are worked on together."""
KEPT = 2**31
"""Bytes of rows that are kept once they are made; more are made anew at every call."""


class Rows(Protocol):
    """Rows (n, width) of one dtype, in memory or made when they are asked for."""

    def __len__(self) -> int: ...

    def block(self, start: int, stop: int) -> Array:
        """Return (stop - start, width) rows in a row."""
        ...

    def take(self, index: Index) -> Array:
        """Return (len(index), width) those rows."""
        ...


class Encoder(Protocol):
    """What makes codes of rows: a model."""

    def encode(self, X: Array, /) -> Array: ...


def edges(n: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of blocks of `n` rows, in order; the last may be smaller."""
    return ((start, min(start + BLOCK, n)) for start in range(0, n, BLOCK))


def blocks(rows: Rows) -> Iterator[Array]:
    """Yield all rows by blocks."""
    return (rows.block(start, stop) for start, stop in edges(len(rows)))


class Encoded:
    """Codes of rows, themselves rows of `width` values.

    A block of them is made when one of its rows is first asked for, and kept: in memory where all take at
    most `memory` bytes, else in a temporary file. Raises DataError where there is no room for that.
    """

    def __init__(self, model: Encoder, rows: Rows, memory: int = KEPT) -> None:
        self.model, self.rows = model, rows
        first = model.encode(rows.block(0, 1))
        self.width = first.shape[1]
        shape = len(rows), self.width
        fits = len(rows) * first.nbytes <= memory
        self._made: Array | _OnDisk = np.empty(shape, first.dtype) if fits else _OnDisk(shape, first.dtype)
        self._missing = dict(edges(len(rows)))

    def __len__(self) -> int:
        return len(self.rows)

    def block(self, start: int, stop: int) -> Array:
        self._make(range(start - start % BLOCK, stop, BLOCK))
        return self._made[start:stop]

    def take(self, index: Index) -> Array:
        if self._missing:
            self._make(np.unique(index - index % BLOCK).tolist())
        return self._made[index]

    def extent(self) -> tuple[float, float]:
        """Return the least and the largest value of all."""
        low, high = math.inf, -math.inf
        for H in blocks(self):
            low, high = min(low, float(H.min())), max(high, float(H.max()))
        return low, high

    def _make(self, starts: Iterable[int]) -> None:
        """Make those of the blocks that are not made."""
        for start in self._missing.keys() & starts:
            stop = self._missing[start]
            self._made[start:stop] = self.model.encode(self.rows.block(start, stop))
            del self._missing[start]


class _OnDisk:
    """Rows of a `shape` (n, width) in a temporary file without a name, which ends with this object.

    It is written and read, not mapped: on a full disk to write to a mapped file ends the process.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        with self._in_words():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the finalizer
        weakref.finalize(self, self._file.close)

    def __setitem__(self, key: slice, rows: Array) -> None:
        with self._in_words():
            self._file.seek(self._place(key.start))
            self._file.write(np.ascontiguousarray(rows).data)
            self._file.flush()

    def __getitem__(self, key: slice | Index) -> Array:
        if isinstance(key, slice):
            return self._read(key.start, key.stop)
        out: Array = np.empty((len(key), self.shape[1]), self.dtype)
        for place in np.argsort(key, kind="stable"):
            out[place] = self._read(key[place], key[place] + 1)
        return out

    def _read(self, start: int, stop: int) -> Array:
        out: Array = np.empty((int(stop - start), self.shape[1]), self.dtype)
        with self._in_words():
            self._file.seek(self._place(start))
            if self._file.readinto(out.reshape(-1).view(np.uint8).data) != out.nbytes:
                raise OSError("it is shorter than what was written")
        return out

    def _place(self, row: int) -> int:
        """Return the byte at which a row begins."""
        return int(row) * self.shape[1] * self.dtype.itemsize

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Within, an OSError is about this file: raises DataError for it."""
        try:
            yield
        except OSError as error:
            size = self._place(self.shape[0]) / 1e9
            raise DataError(
                f"a temporary file for the codes of {self.shape[0]:,} rows, {size:.3g} GB: {reason(error)}; "
                "set TMPDIR to a folder with more room"
            ) from error


class Selected:
    """Some of the rows, in the order of `index` (n,)."""

    def __init__(self, rows: Rows, index: Index) -> None:
        self.rows, self.index = rows, index

    def __len__(self) -> int:
        return len(self.index)

    def block(self, start: int, stop: int) -> Array:
        return self.rows.take(self.index[start:stop])

    def take(self, index: Index) -> Array:
        return self.rows.take(self.index[index])


class Joined:
    """Rows of one data set, then those of another one of the same width and dtype."""

    def __init__(self, first: Rows, second: Rows) -> None:
        self.first, self.second = first, second
        self._none = first.take(np.arange(0))

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def block(self, start: int, stop: int) -> Array:
        return self.take(np.arange(start, stop))

    def take(self, index: Index) -> Array:
        n = len(self.first)
        if not len(index) or index.max() < n:
            return self.first.take(index)
        below = index < n
        out = np.empty((len(index), self._none.shape[1]), self._none.dtype)
        out[below] = self.first.take(index[below])
        out[~below] = self.second.take(index[~below] - n)
        return np.asarray(out)


class Divided:
    """Rows of which all values are divided by a number."""

    def __init__(self, rows: Rows, by: float) -> None:
        self.rows, self.by = rows, by

    def __len__(self) -> int:
        return len(self.rows)

    def block(self, start: int, stop: int) -> Array:
        return self._made(self.rows.block(start, stop))

    def take(self, index: Index) -> Array:
        return self._made(self.rows.take(index))

    def _made(self, X: Array) -> Array:
        return np.asarray(X / X.dtype.type(self.by))


class Labelled:
    """Rows [x | t] of rows x (n, width) and their classes: t (classes,) is 1 at the class, else 0.

    `labels` (n,) count from 0; -1: the class is not known, and t is 0 throughout.
    """

    def __init__(self, rows: Rows, labels: Index, classes: int) -> None:
        self.rows, self.labels = rows, labels
        dtype = rows.block(0, 1).dtype
        self._targets = np.eye(classes + 1, classes, dtype=dtype)  # the last one is that of -1

    def __len__(self) -> int:
        return len(self.rows)

    def block(self, start: int, stop: int) -> Array:
        return np.hstack([self.rows.block(start, stop), self._targets[self.labels[start:stop]]])

    def take(self, index: Index) -> Array:
        return np.hstack([self.rows.take(index), self._targets[self.labels[index]]])


def of_known_class(rows: Rows, index: Index) -> Index:
    """Return those of the rows whose class is known; all of them where it is not asked for."""
    return index[rows.labels[index] >= 0] if isinstance(rows, Labelled) else index


def mixed(labelled: int, unlabelled: int, share: float) -> Index:
    """Return an order (m,) of so many labelled rows and then unlabelled ones, evenly mixed.

    The labelled ones come again and again, so that they are about that share of all; each unlabelled row
    comes once, and so does a labelled one that is of many.
    """
    times = max(1, round(share / (1 - share) * unlabelled / labelled))
    again = np.tile(np.arange(labelled), times)
    places = np.concatenate([(np.arange(n) + 0.5) / n for n in (len(again), unlabelled)])
    found = np.concatenate([again, labelled + np.arange(unlabelled)])
    return found[np.argsort(places, kind="stable")]
