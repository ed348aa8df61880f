"""MATLAB 5 files (what MATLAB and scipy save by default): their numeric arrays.

Our own reader, because scipy.io.loadmat dies of a segmentation fault on damaged files. After "MAT-File
Format", The MathWorks. A file is a header of 128 bytes and a sequence of elements, each a tag (type, number
of bytes) and data; an array is an element that holds elements (flags, dimensions, name, values), or such an
element packed by zlib.
"""

import math
import os
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from featlearn.errors import DataError, FeatlearnError, reason, show
from featlearn.files.budget import Budget
from featlearn.files.paths import open_regular
from featlearn.rows import Array

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_LOGICAL, _COMPLEX = 0x200, 0x800
_HEAD = 4096  # bytes in which flags and dimensions of an array stand

Read = Callable[[int, int], memoryview]
"""(start, number of bytes) -> those bytes."""


def read_mat5(path: str) -> dict[str, Array]:
    """Name -> array in MATLAB's axes, real numbers and logicals; other variables are passed over.

    Raises DataError.
    """
    budget = Budget(path)
    found: dict[str, Array] = {}
    with open_regular(path) as file:

        def read(start: int, n: int) -> memoryview:
            file.seek(start)
            return memoryview(file.read(n))

        try:
            size = os.fstat(file.fileno()).st_size
            head = bytes(read(0, 128))
            if len(head) < 128:
                raise ValueError("shorter than its header")
            order = {b"IM": "<", b"MI": ">"}.get(head[126:])
            if order is None or head[124:126] != struct.pack(order + "H", 0x0100):
                raise ValueError("not of version 5")
            for kind, start, n in _elements(read, 128, size, order):
                if kind not in (_MATRIX, _COMPRESSED):
                    continue
                budget.claim(n)
                content = read(start, n)
                if kind == _COMPRESSED:
                    kind, content = _unpack(content, order, budget)
                elif kind == _MATRIX:
                    budget.claim(_declared(content, n, order))
                if kind == _MATRIX:
                    name, array = _matrix(content, order)
                    if array is not None:
                        found[name] = array
        except (FeatlearnError, MemoryError):
            raise
        except Exception as error:
            raise DataError(f"{show(path)}: is no whole MATLAB 5 file ({reason(error)})") from error
    return found


def _elements(read: Read, at: int, size: int, order: str) -> Iterator[tuple[int, int, int]]:
    """(type, start of its contents, bytes of them) of each element between `at` and `size`."""
    while at < size:
        kind, n = struct.unpack(order + "2I", read(at, 8))
        start = at + 8
        if kind >> 16:  # at most 4 bytes, packed into the tag itself
            n = kind >> 16
            kind &= 0xFFFF
            start = at + 4
            if n > 4:
                raise ValueError(f"small element of {n} bytes")
        if start + n > size:
            raise ValueError(f"element of {n:,} bytes, {size - start:,} are there")
        yield kind, start, n
        at = start + n
        if kind != _COMPRESSED:
            at += -at % 8


def _unpack(content: memoryview, order: str, budget: Budget) -> tuple[int, memoryview]:
    """Return type and contents of a zlib-packed element.

    What it says it holds is claimed from the budget before it is unpacked.
    """
    stream = zlib.decompressobj()
    kind, n = struct.unpack(order + "2I", stream.decompress(content, 8))
    if kind >> 16:  # a small element is no array
        return kind, memoryview(b"")
    budget.claim(n)
    first = stream.decompress(stream.unconsumed_tail, min(n, _HEAD)) if n else b""
    if kind == _MATRIX:
        budget.claim(_declared(memoryview(first), n, order))
    rest = stream.decompress(stream.unconsumed_tail, n - len(first)) if n > len(first) else b""
    if len(first) + len(rest) < n:
        raise ValueError(f"{len(first) + len(rest):,} of {n:,} bytes are there")
    return kind, memoryview(first + rest if rest else first)


def _declared(first: memoryview, size: int, order: str) -> int:
    """The bytes of an array of `size` packed ones, as flags and dimensions at its beginning declare them."""
    parts = _elements(_reader(first), 0, size, order)
    _, start, _ = next(parts)
    dtype = _CLASSES.get(struct.unpack_from(order + "I", first, start)[0] & 0xFF)
    _, start, n = next(parts)
    shape = np.frombuffer(first[start : start + n], order + "i4").tolist()
    return math.prod(shape) * np.dtype(dtype).itemsize if dtype and min(shape) > 0 else 0


def _reader(data: memoryview) -> Read:
    return lambda start, n: data[start : start + n]


def _matrix(content: memoryview, order: str) -> tuple[str, Array | None]:
    """The name and the values of an array; None for cells, texts, structures, sparse and complex numbers."""
    read = _reader(content)
    parts = ((kind, read(start, n)) for kind, start, n in _elements(read, 0, len(content), order))
    flags = struct.unpack_from(order + "I", next(parts)[1])[0]
    if flags & 0xFF not in _CLASSES or flags & _COMPLEX:
        return "", None
    shape = tuple(np.frombuffer(next(parts)[1], order + "i4").tolist())
    name = bytes(next(parts)[1]).decode("latin-1")
    kind, data = next(parts, (2, memoryview(b"")))
    values = np.frombuffer(data, order + _TYPES[kind])
    if min(shape) < 0 or math.prod(shape) != values.size:
        raise ValueError(f"{values.size:,} values for the shape {shape}")
    # An array of doubles that hold small integers is saved as bytes, and is one of doubles all the same.
    dtype = np.dtype(bool if flags & _LOGICAL else _CLASSES[flags & 0xFF])
    return name, values.astype(dtype, copy=False).reshape(shape, order="F")
