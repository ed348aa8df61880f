"""MATLAB 5 files (what MATLAB and scipy save by default): their numeric arrays.

Our own reader, because scipy.io.loadmat dies of a segmentation fault on damaged files. After "MAT-File Format",
The MathWorks. A file is a header of 128 bytes and a sequence of elements, each a tag (type, number of bytes) and data;
an array is an element that holds elements (flags, dimensions, name, values), or such an element packed by zlib.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.errors import DataError
from featlearn.files.regular import check_regular, reason, show

Array = npt.NDArray[Any]

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_LOGICAL, _COMPLEX = 0x200, 0x800
_MAX_DEFLATE = 1032


def read_mat5(path: str) -> dict[str, Array]:
    """Name -> array in MATLAB's axes, real numbers and logicals; other variables are passed over. Raises DataError."""
    size = check_regular(path).st_size
    try:
        if size < 128:
            raise ValueError("shorter than its header")
        data = np.memmap(path, np.uint8, "r").data.cast("B")
        order = {b"IM": "<", b"MI": ">"}.get(bytes(data[126:128]))
        if order is None or data[124:126] != struct.pack(order + "H", 0x0100):
            raise ValueError("not of version 5")
        found: dict[str, Array] = {}
        for kind, content in _elements(data[128:], order):
            if kind == _COMPRESSED:
                kind, content = next(_elements(_unpack(content, order), order))
            if kind == _MATRIX:
                name, array = _matrix(content, order)
                if array is not None:
                    found[name] = array
    except Exception as error:
        raise DataError(f"{show(path)}: is no whole MATLAB 5 file ({reason(error)})") from error
    return found


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """(type, contents) of each element."""
    at = 0
    while at < len(data):
        kind, n = struct.unpack_from(order + "2I", data, at)
        start = at + 8
        if kind >> 16:  # at most 4 bytes, packed into the tag itself
            kind, n, start = kind & 0xFFFF, kind >> 16, at + 4
            if n > 4:
                raise ValueError(f"small element of {n} bytes")
        if start + n > len(data):
            raise ValueError(f"element of {n:,} bytes, {len(data) - start:,} are there")
        yield kind, data[start : start + n]
        at = start + n
        if kind != _COMPRESSED:
            at += -at % 8


def _unpack(content: memoryview, order: str) -> memoryview:
    """A zlib-packed element; what it claims to hold is checked before it is unpacked."""
    stream = zlib.decompressobj()
    head = stream.decompress(content, 8)
    n = struct.unpack(order + "2I", head)[1]
    if n > len(content) * _MAX_DEFLATE:
        raise ValueError(f"{len(content):,} packed bytes cannot hold {n:,}")
    body = stream.decompress(stream.unconsumed_tail, n) if n else b""
    if len(body) < n:
        raise ValueError(f"{len(body):,} of {n:,} bytes are there")
    return memoryview(head + body)


def _matrix(content: memoryview, order: str) -> tuple[str, Array | None]:
    """The name and the values of an array; None for cells, texts, structures, sparse and complex numbers."""
    parts = _elements(content, order)
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
    return name, values.astype(dtype).reshape(shape, order="F")
