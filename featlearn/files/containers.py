"""Arrays in containers: IDX (MNIST), CIFAR-10 batches, .npy, .npz, .mat, HDF5 and .csv, each as an
ArraySource.

One rule for all of them (`_sources`): an array of two dimensions is n rows of d numbers, one of three or four
is n images. What lies in the file as it is stays there and is read when it is asked for (Stored); what has to
be unpacked is claimed from the file's memory budget first.
"""

import contextlib
import gzip
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from featlearn.errors import DataError, FeatlearnError, reason, show
from featlearn.files.budget import Budget
from featlearn.files.hdf5 import Reader
from featlearn.files.images import loses_color, to_color
from featlearn.files.mat5 import read_mat5
from featlearn.files.paths import check_regular, open_regular
from featlearn.files.stored import Descriptor, Stored, pieces
from featlearn.files.table import read_csv
from featlearn.rows import Array

CIFAR_ROW = 1 + 3 * 32 * 32
CIFAR_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
_ZIP_HEADER = 30


def _as_it_is(entry: Array) -> Array:
    return entry


def _transposed(entry: Array) -> Array:
    return entry.T


def _row(entry: Array) -> Array:
    """(d,) as an image of one line."""
    return entry[None, :]


def _cifar_image(entry: Array) -> Array:
    """A label and planes of red, green and blue as (32, 32, 3)."""
    return entry[1:].reshape(3, 32, 32).transpose(1, 2, 0)


@dataclass
class ArraySource:
    """n images: `entries` (n, ...) of any plain number type, each of which `arrange` makes (h, w) or (h, w, 1
    or 3)."""

    name: str
    entries: Array | Stored
    color: str
    labels: Array | None = None
    label_names: list[str] | None = None
    whole_by_default: bool = False
    arrange: Callable[[Array], Array] = _as_it_is
    dtype: np.dtype[Any] | None = None
    """uint8, uint16 or float32, whichever holds the values; found out where it is not given."""
    lost_color: bool = False

    def __post_init__(self) -> None:
        if self.arrange is _row and self.color == "rgb":
            raise DataError(
                f"{show(self.name)}: rows of numbers have no colour; take images, or leave out --color"
            )
        if self.dtype is None:
            self.dtype = self._stored_as()

    def __len__(self) -> int:
        return len(self.entries)

    def names(self) -> list[str]:
        return [self.name] if len(self) == 1 else [f"{self.name}[{i}]" for i in range(len(self))]

    def read(self, i: int) -> Array:
        """Image i as (h, w, c) uint8, uint16 or float32."""
        image = self.arrange(self.entries[i])
        assert self.dtype is not None
        scale = 255 if image.dtype.kind == "b" else 1
        pixels = image.astype(self.dtype) * self.dtype.type(scale)
        self.lost_color = self.lost_color or loses_color(pixels, self.color)
        return to_color(pixels, self.color)

    def _stored_as(self) -> np.dtype[Any]:
        """The dtype that holds the values. Raises DataError when none does."""
        dtype = self.entries.dtype
        if dtype.kind == "b" or dtype == np.uint8:
            return np.dtype(np.uint8)
        if dtype.newbyteorder("=") == np.uint16:
            return np.dtype(np.uint16)
        if dtype.kind == "f":
            self._check_finite()
            return np.dtype(np.float32)
        if dtype.kind not in "iu":
            raise DataError(f"{show(self.name)}: {dtype} values, wanted integers or floats")
        bounds = [(int(part.min()), int(part.max())) for _, part in pieces(self.entries)]
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        if low < 0 or high > 65535:
            raise DataError(
                f"{show(self.name)}: integers {low}..{high}, wanted 0..255 or 0..65535, or floats"
            )
        return np.dtype(np.uint8 if high <= 255 else np.uint16)

    def _check_finite(self) -> None:
        bad: list[int] = []
        count = 0
        for first, part in pieces(self.entries):
            with np.errstate(over="ignore"):
                finite = np.isfinite(part.astype(np.float32, copy=False))
            if not finite.all():
                found = np.flatnonzero(~finite.reshape(len(part), -1).all(axis=1))
                bad.append(first + int(found[0]))
                count += len(found)
        if bad:
            what = "row" if self.arrange is _row else "image"
            raise DataError(
                f"{show(self.name)}: {what} {bad[0]} holds NaN or infinity ({count} of {len(self)} {what}s do)"
            )


class _Found(NamedTuple):
    """An array with what makes an image of an entry."""

    entries: Array | Stored
    arrange: Callable[[Array], Array]


def split_member(path: str) -> tuple[str, str | None]:
    """(file, name of an array in it) of FILE:NAME where FILE is there and FILE:NAME is not; else (path,
    None)."""
    file, colon, name = path.rpartition(":")
    if colon and name and not os.path.lexists(path) and os.path.isfile(file):
        return file, name
    return path, None


def refuse_member(path: str, member: str | None) -> None:
    """Raise DataError where an array is named in a file that has no names."""
    if member is not None:
        raise DataError(f"{show(path)}: holds no named arrays, leave out {':' + member!r}")


def open_idx(path: str, color: str) -> ArraySource:
    """An IDX file of images, gzipped or not, as MNIST is distributed."""
    entries = read_idx(path, 3)
    _claim_image(path, entries.shape)
    return ArraySource(path, entries, color, whole_by_default=True)


def read_idx(path: str, ndim: int) -> Array | Stored:
    """An IDX file of unsigned bytes in `ndim` dimensions: 3 images (magic 2051), 1 labels (magic 2049)."""
    size = check_regular(path).st_size
    wanted = f"an IDX file of {'images (magic 2051)' if ndim == 3 else 'labels (magic 2049)'}"
    head_size = 4 + 4 * ndim
    with open_regular(path) as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b"
        stream: Any = gzip.GzipFile(fileobj=file) if packed else file
        try:
            head = stream.read(head_size)
            magic = int.from_bytes(head[:4], "big")
            if len(head) < head_size or magic != 2048 + ndim:
                raise DataError(f"{show(path)}: starts with {head[:4].hex() or 'nothing'}, wanted {wanted}")
            shape = struct.unpack(f">{ndim}I", head[4:])
            n = math.prod(shape)
            if n == 0:
                raise DataError(f"{show(path)}: is empty, shape {shape}")
            if not packed:
                if head_size + n != size:
                    found = f"{size - head_size:,}"
                    raise DataError(f"{show(path)}: declares {n:,} bytes of data, the file has {found}")
                return Stored(Descriptor(path, os.dup(file.fileno())), head_size, shape, np.uint8)
            Budget(path).claim(n)
            return _read_exactly(path, stream, n).reshape(shape)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{show(path)}: is damaged or cut off ({reason(error)})") from error


def _read_exactly(path: str, stream: Any, n: int) -> Array:
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


def open_cifar(path: str, color: str) -> ArraySource:
    """A CIFAR-10 binary batch: rows of a label and 32 x 32 pixels in planes of red, green and blue."""
    size = check_regular(path).st_size
    if size == 0 or size % CIFAR_ROW:
        raise DataError(f"{show(path)}: {size:,} bytes, wanted a CIFAR-10 batch (a multiple of {CIFAR_ROW})")
    with open_regular(path) as file:
        rows = Stored(Descriptor(path, os.dup(file.fileno())), 0, (size // CIFAR_ROW, CIFAR_ROW), np.uint8)
    labels = np.concatenate([part[:, 0].astype(np.int64) for _, part in pieces(rows)])
    if labels.max() >= len(CIFAR_NAMES):
        raise DataError(f"{show(path)}: label {labels.max()}, wanted 0..9: no CIFAR-10 batch")
    return ArraySource(path, rows, color, labels, list(CIFAR_NAMES), True, _cifar_image)


def open_npy(path: str, color: str) -> ArraySource:
    """A .npy file: n rows (n, d), or n images (n, h, w) or (n, h, w, 3)."""
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
    return _sources(path, {"": array}, color)[0]


def open_npz(path: str, color: str, member: str | None = None) -> list[ArraySource]:
    """The arrays of a .npz file."""
    with _naming(path, ".npz"), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }
        shapes = {name: _npz_member(path, archive, info)[0] for name, info in members.items()}
        chosen = _choose(path, shapes, member)
        budget = Budget(path)
        budget.claim(sum(members[name].file_size for name in chosen if members[name].compress_type))
        arrays = {name: _npz_array(path, file.fileno(), archive, members[name], budget) for name in chosen}
    return _sources(path, arrays, color)


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
            values = _read_exactly(path, stream, n).view(dtype)
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


def open_mat(path: str, color: str, member: str | None = None) -> list[ArraySource]:
    """The numeric arrays of a .mat file: images (h, w, n) or (h, w, 3, n), the last axis counts them; rows
    (n, d)."""
    with open_regular(path) as file:
        head = file.read(10)
    if head == b"MATLAB 7.3":
        return _open_members(path, color, member, by_matlab=True)
    found = read_mat5(path)
    chosen = _choose(path, {name: array.shape for name, array in found.items()}, member)
    arrays = {name: found[name].T for name in chosen}
    return _sources(path, arrays, color, _found_by_matlab)


def open_hdf5(path: str, color: str, member: str | None = None) -> list[ArraySource]:
    """The data sets of numbers in the root of any HDF5 file."""
    return _open_members(path, color, member, by_matlab=False)


def _open_members(path: str, color: str, member: str | None, by_matlab: bool) -> list[ArraySource]:
    with Reader(path) as reader:
        shapes = {name: shape for name in reader.names("") if (shape := reader.shape(name)) is not None}
        if by_matlab:  # which counts the axes the other way round
            shapes = {name: shape[::-1] for name, shape in shapes.items()}
        arrays = {name: reader.stored(name) for name in _choose(path, shapes, member)}
    return _sources(path, arrays, color, _found_by_matlab if by_matlab else _found)


def _found(path: str, place: str, array: Array | Stored) -> _Found:
    """The one rule: (n, d) is n rows of d numbers; (n, h, w) and (n, h, w, 1 or 3) are n images.

    Raises DataError.
    """
    shape = array.shape
    if array.ndim == 3:
        _refuse_ambiguous(place, shape, "(1, h, w, 3)")
    if array.ndim not in (2, 3, 4) or min(shape) < 1 or (array.ndim == 4 and shape[3] not in (1, 3)):
        raise DataError(
            f"{show(place)}: array {shape}, wanted n rows (n, d) or n images (n, h, w) or (n, h, w, 3)"
            + colours_last(shape)
        )
    return _Found(array, _row if array.ndim == 2 else _as_it_is)


def _found_by_matlab(path: str, place: str, array: Array | Stored) -> _Found:
    """The same of an array whose axes are MATLAB's reversed: images are (h, w, n) and (h, w, 1 or 3, n)
    there."""
    shape = array.shape[::-1]
    if array.ndim == 3:
        _refuse_ambiguous(place, shape, "(h, w, 3, 1)")
    if array.ndim == 3 or (array.ndim == 4 and shape[2] in (1, 3)):
        return _Found(array, _transposed)
    Budget(path).claim(array.nbytes)
    return _found(path, place, np.asarray(array).T)


def _choose(path: str, shapes: Mapping[str, tuple[int, ...]], member: str | None) -> list[str]:
    """The names of the arrays to take: the one that is named; else all of images; else all of rows.

    Matrices beside images are their labels or sizes, and so are vectors (n, 1) or (1, n) beside matrices.
    Raises DataError.
    """
    if member is not None:
        if member not in shapes:
            known = ", ".join(sorted(shapes)[:10]) or "none"
            raise DataError(f"{show(path)}: has no array {member!r} of numbers; there are {known}")
        return [member]
    able = {name: shape for name, shape in shapes.items() if 2 <= len(shape) <= 4 and min(shape) > 0}
    matrices = {name: shape for name, shape in able.items() if len(shape) == 2 and min(shape) > 1}
    stacks = {name: shape for name, shape in able.items() if len(shape) > 2 and sorted(shape)[-2] > 1}
    chosen = sorted(stacks or matrices or able)
    if not chosen:
        raise DataError(f"{show(path)}: has no array of numbers of 2, 3 or 4 dimensions")
    widths = {able[name][1] for name in chosen if len(able[name]) == 2}
    if len(widths) > 1:
        words = ", ".join(f"{name} {able[name][0]}x{able[name][1]}" for name in chosen[:5])
        raise DataError(
            f"{show(path)}: has rows of several lengths ({words}); name the array to read, "
            f"as in {show(path)}:{chosen[0]}"
        )
    return chosen


def _sources(
    path: str,
    arrays: Mapping[str, Array | Stored],
    color: str,
    find: Callable[[str, str, Array | Stored], _Found] = _found,
) -> list[ArraySource]:
    """The arrays as sources, FILE:NAME, or FILE where the name is empty. Raises DataError."""
    sources = []
    for name, array in sorted(arrays.items()):
        place = f"{path}:{name}" if name else path
        entries, arrange = find(path, place, array)
        _claim_image(path, entries.shape)
        sources.append(ArraySource(place, entries, color, whole_by_default=arrange is _row, arrange=arrange))
    return sources


def _claim_image(path: str, shape: tuple[int, ...]) -> None:
    """One image is in memory at a time, as floats at most, and grey may become colour. Raises DataError."""
    Budget(path).claim(math.prod(shape[1:]) * 12, "one image")


def open_csv(path: str, color: str) -> ArraySource:
    """A .csv or .csv.gz file of numbers: a row of numbers a line."""
    rows, dtype = read_csv(path)
    return ArraySource(path, rows, color, whole_by_default=True, arrange=_row, dtype=dtype)


def _refuse_ambiguous(place: str, shape: tuple[int, ...], remedy: str) -> None:
    if shape[2] == 3:
        raise DataError(
            f"{show(place)}: {shape} may be one colour image or a stack of grey ones; save colour as {remedy}"
        )


def colours_last(shape: tuple[int, ...]) -> str:
    """Return the remedy for images (n, 1 or 3, h, w), whose colours stand first; else nothing."""
    if len(shape) == 4 and shape[1] in (1, 3):
        return "; put the colours last: X.transpose(0, 2, 3, 1)"
    return ""


@contextlib.contextmanager
def _naming(path: str, kind: str) -> Iterator[None]:
    """Within: whatever the file's contents cause is said of it."""
    try:
        yield
    except (FeatlearnError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{show(path)}: is no whole {kind} file of numbers ({reason(error)})") from error
