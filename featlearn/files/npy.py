"""numpy's .npy and .npz files; what is not packed stays where it lies."""

import contextlib
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from featlearn.errors import DataError, FeatlearnError, reason, show
from featlearn.files.array_source import choose_arrays
from featlearn.files.budget import Budget
from featlearn.files.paths import open_regular
from featlearn.files.stored import Descriptor, Stored, pieces, read_exactly
from featlearn.rows import Array

_ZIP_HEADER = 30


def read_npy(path: str) -> Array | Stored:
    """Return the array of a .npy file. Raises DataError, ReadError."""
    with _naming(path, ".npy"), open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        shape, fortran, dtype = _npy_header(file)
        n = math.prod(shape) * dtype.itemsize
        # Texts of no length take no bytes, however many they are.
        if dtype.hasobject or not dtype.itemsize or n > size - file.tell():
            raise ValueError(f"{dtype} {shape} does not fit its size")
        array: Array | Stored = np.empty(shape, dtype)
        if n:
            array = _in_place(path, file.fileno(), file.tell(), shape, dtype, fortran, Budget(path))
    return array


def read_npz(path: str, member: str | None) -> dict[str, Array | Stored]:
    """Return by name the arrays of a .npz file that `choose_arrays` takes. Raises DataError, ReadError."""
    with _naming(path, ".npz"), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }
        shapes = {name: _npz_member(path, archive, info)[0] for name, info in members.items()}
        chosen = choose_arrays(path, shapes, member)
        budget = Budget(path)
        budget.claim(sum(members[name].file_size for name in chosen if members[name].compress_type))
        return {name: _npz_array(path, file.fileno(), archive, members[name], budget) for name in chosen}


def _npz_member(
    path: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo
) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """(shape, whether Fortran's order, dtype, bytes of the header) of a member. Raises DataError."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise DataError(f"{show(path)}: {info.filename!r} is packed otherwise than numpy does")
    with archive.open(info) as stream:
        shape, fortran, dtype = _npy_header(stream)
        at = stream.tell()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != info.file_size - at:
        raise DataError(f"{show(path)}: {info.filename!r}: {dtype} {shape} does not fit its size")
    return shape, fortran, dtype, at


def _npz_array(
    path: str, fd: int, archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget
) -> Array | Stored:
    """A member's values: where they lie if they are not packed, else unpacked.

    Either way its CRC is checked.
    """
    shape, fortran, dtype, at = _npz_member(path, archive, info)
    n = math.prod(shape) * dtype.itemsize
    if info.compress_type == zipfile.ZIP_DEFLATED:
        with archive.open(info) as stream:
            stream.read(at)
            values = read_exactly(path, stream, n).view(dtype)
        return values.reshape(shape, order="F" if fortran else "C")
    lengths = os.pread(fd, _ZIP_HEADER, info.header_offset)[26:]
    start = info.header_offset + _ZIP_HEADER + sum(struct.unpack("<2H", lengths))
    whole = Stored(Descriptor(path, os.dup(fd)), start, (info.file_size,), np.uint8)
    crc = 0
    for _, part in pieces(whole):
        crc = zlib.crc32(part.data, crc)
    if crc != info.CRC:
        raise DataError(f"{show(path)}: {info.filename!r} is damaged: its CRC-32 does not match")
    return _in_place(path, fd, start + at, shape, dtype, fortran, budget)


def _in_place(
    path: str,
    fd: int,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    fortran: bool,
    budget: Budget,
) -> Array | Stored:
    """An array that lies in a file as it is; in Fortran's order it has to be taken into memory."""
    if not fortran:
        return Stored(Descriptor(path, os.dup(fd)), offset, shape, dtype)
    budget.claim(math.prod(shape) * dtype.itemsize, "an array in Fortran's order")
    return np.asarray(Stored(Descriptor(path, os.dup(fd)), offset, shape[::-1], dtype)).T


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if any(size < 0 for size in shape):
        raise ValueError(f"shape {shape}")
    return shape, fortran, dtype


@contextlib.contextmanager
def _naming(path: str, kind: str) -> Iterator[None]:
    """Within: whatever the file's contents cause is said of it."""
    try:
        yield
    except (FeatlearnError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{show(path)}: is no whole {kind} file of numbers ({reason(error)})") from error
