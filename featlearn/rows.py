"""Rows of data: what is trained on, measured and encoded, by blocks or by number."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

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
    """Codes of rows, themselves rows; kept when they take at most `memory` bytes, else made when asked."""

    def __init__(self, model: Encoder, rows: Rows, memory: int = KEPT) -> None:
        self.model, self.rows = model, rows
        self._made: Array | None = None
        first = model.encode(rows.block(0, 1))
        self.width = first.shape[1]
        if len(rows) * first.nbytes <= memory:
            made = np.empty((len(rows), self.width), first.dtype)
            for start, stop in edges(len(rows)):
                made[start:stop] = model.encode(rows.block(start, stop))
            self._made = made

    def __len__(self) -> int:
        return len(self.rows)

    def block(self, start: int, stop: int) -> Array:
        return (
            self.model.encode(self.rows.block(start, stop)) if self._made is None else self._made[start:stop]
        )

    def take(self, index: Index) -> Array:
        return (
            self.model.encode(self.rows.take(index))
            if self._made is None
            else np.take(self._made, index, axis=0)
        )


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
