"""Arrays that lie in a file, read by blocks when they are asked for and never mapped into memory.

A mapped file that is cut or fails while it is used ends the process by SIGBUS, without a word; and mapping
needs address space for all of it. Here a failure is a ReadError that names the file, and memory is bounded
whatever the size.

`verify` holds a whole file against its SHA-256 in one pass and has each array keep a CRC-32 of each of its
blocks. Every later read is held against those, so that the bytes which are used are the bytes which were
verified.
"""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.errors import DataError, ReadError, reason, show
from featlearn.rows import Array

BLOCK = 1 << 17
"""Bytes of a block, at least one entry: what is read, and held against its sum, at a time."""
KEPT = 256 << 20
"""Bytes of blocks that one array keeps: a stretch of training rows is shuffled, and read, at a time."""
_PIECE = 1 << 22
_REMEDY = "use a copy that stays as it is"


class Descriptor:
    """An open file that is closed when the last array in it is gone."""

    def __init__(self, path: str, fd: int) -> None:
        """Take over `fd`."""
        self.path, self.fd = path, fd

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.fd)  # bound early: at the interpreter's end modules go first

    def read_into(self, out: memoryview, offset: int) -> None:
        """Fill `out` with the bytes from `offset` on. Raises ReadError."""
        done = 0
        while done < len(out):
            try:
                n = os.preadv(self.fd, [out[done:]], offset + done)
            except OSError as error:
                raise ReadError(f"{show(self.path)}: cannot be read: {reason(error)}") from error
            if n == 0:
                raise ReadError(f"{show(self.path)}: has become shorter while it was read; {_REMEDY}")
            done += n


class Stored:
    """An array in a file, of shape (n, ...) and native `dtype`, indexed by its first axis alone.

    It lies in C order at `offset`.

    By a slice, a number or an array of numbers it gives an array of the caller's own. Raises ReadError.
    """

    def __init__(
        self, file: Descriptor, offset: int, shape: tuple[int, ...], dtype: npt.DTypeLike, kept: int = 0
    ) -> None:
        """`kept`: bytes of blocks that stay in memory once they were read."""
        self.file = file
        self.offset = offset
        self.shape = shape
        self._stored = np.dtype(dtype)
        self.dtype = self._stored.newbyteorder("=")
        self.entry = self._stored.itemsize
        for size in shape[1:]:
            self.entry *= size
        self.step = max(1, BLOCK // max(1, self.entry))
        self._sums: list[int] | None = None
        self._kept: dict[int, Array] = {}
        self._room = max(1, kept // max(1, self.step * self.entry))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return len(self) * self.entry

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        array = self[:]
        return array if dtype is None else array.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> Array:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                raise IndexError("a stored array is sliced without a step")
            return self._native(self._run(start, max(start, stop)))
        if isinstance(key, np.ndarray):
            return self._native(self._pick(key))
        at = int(key) + (len(self) if key < 0 else 0)
        if not 0 <= at < len(self):
            raise IndexError(f"entry {key} of {len(self)}")
        entry: Array = self._native(self._run(at, at + 1))[0]
        return entry

    def block_spans(self) -> Iterator[tuple[int, int]]:
        """(offset, bytes) of each block in the file."""
        for start in range(0, len(self), self.step):
            stop = min(start + self.step, len(self))
            yield self.offset + start * self.entry, (stop - start) * self.entry

    def know(self, sums: list[int]) -> None:
        """Hold every later read against the sums of the blocks."""
        self._sums = sums

    def _native(self, raw: Array) -> Array:
        return raw if raw.dtype.isnative else raw.astype(self.dtype)

    def _run(self, start: int, stop: int) -> Array:
        """The entries start..stop, in the file's byte order."""
        out = np.empty((stop - start, *self.shape[1:]), self._stored)
        if not out.size:
            return out
        flat = out.reshape(-1).view(np.uint8).data
        if self._sums is None:
            self.file.read_into(flat, self.offset + start * self.entry)
            return out
        for number in range(start // self.step, (stop - 1) // self.step + 1):
            low, high = number * self.step, min((number + 1) * self.step, len(self))
            a, b = max(low, start), min(high, stop)
            part = flat[(a - start) * self.entry : (b - start) * self.entry]
            if (a, b) == (low, high) and number not in self._kept:
                self._read(number, part)
            else:
                part[:] = self._block(number).data[(a - low) * self.entry : (b - low) * self.entry]
        return out

    def _pick(self, index: Array) -> Array:
        """Those entries, in the file's byte order."""
        rows = np.empty((len(index), self.entry), np.uint8)
        for i, at in enumerate(index.tolist()):
            number, row = divmod(at, self.step)
            block = self._block(number)
            rows[i] = block[row * self.entry : (row + 1) * self.entry]
        return rows.view(self._stored).reshape(len(index), *self.shape[1:])

    def _block(self, number: int) -> Array:
        """The bytes of a block, which is kept as the latest."""
        block = self._kept.pop(number, None)
        if block is None:
            n = min(self.step, len(self) - number * self.step)
            block = np.empty(n * self.entry, np.uint8)
            self._read(number, block.data)
            while len(self._kept) >= self._room:
                del self._kept[next(iter(self._kept))]
        self._kept[number] = block
        return block

    def _read(self, number: int, out: memoryview) -> None:
        self.file.read_into(out, self.offset + number * self.step * self.entry)
        if self._sums is not None and zlib.crc32(out) != self._sums[number]:
            raise ReadError(f"{show(self.file.path)}: has changed while it was read; {_REMEDY}")


def pieces(array: Array | Stored, n_bytes: int = _PIECE) -> Iterator[tuple[int, Array]]:
    """(number of the first, entries) of an array by stretches of about `n_bytes`, at least one entry each."""
    if len(array):
        step = max(1, n_bytes * len(array) // max(1, array.nbytes))
        for start in range(0, len(array), step):
            yield start, array[start : start + step]


def verify(file: Descriptor, start: int, size: int, digest: str, arrays: Iterable[Stored]) -> bool:
    """Whether the bytes from `start` to `size` of a file have that SHA-256.

    If so, the arrays know their blocks' sums.
    """
    sha = hashlib.sha256()
    buffer = memoryview(bytearray(_PIECE))
    at = start

    def skip_to(end: int) -> None:
        nonlocal at
        while at < end:
            part = buffer[: min(len(buffer), end - at)]
            file.read_into(part, at)
            sha.update(part)
            at += len(part)

    found: list[tuple[Stored, list[int]]] = []
    for array in sorted(arrays, key=lambda array: array.offset):
        if array.offset < at:
            raise DataError(f"{show(file.path)}: two of its arrays lie in the same place")
        skip_to(array.offset)
        sums: list[int] = []
        for offset, n in array.block_spans():
            if len(buffer) < n:
                buffer = memoryview(bytearray(n))
            part = buffer[:n]
            file.read_into(part, offset)
            sha.update(part)
            sums.append(zlib.crc32(part))
            at = offset + n
        found.append((array, sums))
    skip_to(size)
    if sha.hexdigest() != digest:
        return False
    for array, sums in found:
        array.know(sums)
    return True


def read_exactly(path: str, stream: Any, n: int) -> Array:
    """(n,) bytes, and nothing may be left behind them. Raises DataError."""
    out = np.empty(n, np.uint8)
    done = 0
    while done < n:
        got = stream.readinto(out.data[done : done + (1 << 20)])
        if not got:
            raise DataError(f"{show(path)}: declares {n:,} bytes of data, {done:,} are there")
        done += got
    if stream.read(1):
        raise DataError(f"{show(path)}: declares {n:,} bytes of data, more are there")
    return out
