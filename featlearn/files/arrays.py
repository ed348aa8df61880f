"""Images in containers: IDX (MNIST), CIFAR-10 batches, .npy, .npz, .mat and HDF5, each as an ArraySource."""

import contextlib
import gzip
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.errors import DataError
from featlearn.files.hdf5 import Reader
from featlearn.files.images import loses_color, to_color
from featlearn.files.mat5 import read_mat5
from featlearn.files.regular import check_regular, open_regular, reason, show

Array = npt.NDArray[Any]

CIFAR_ROW = 1 + 3 * 32 * 32
CIFAR_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
_MAX_DEFLATE = 1032
"""deflate makes data at most this many times smaller; what claims more is a bomb."""


@dataclass
class ArraySource:
    """n images in one array: images (n, h, w) or (n, h, w, 1 or 3) of any plain number type."""

    name: str
    images: Array
    color: str
    labels: Array | None = None
    label_names: list[str] | None = None
    whole_by_default: bool = False
    lost_color: bool = False

    def __post_init__(self) -> None:
        shape = self.images.shape
        if len(shape) not in (3, 4) or min(shape) < 1 or (len(shape) == 4 and shape[3] not in (1, 3)):
            wanted = f"wanted n images: (n, h, w) or (n, h, w, 3){colours_last(shape)}"
            raise DataError(f"{show(self.name)}: array {shape}, {wanted}")
        self._dtype = self._stored_as()

    def __len__(self) -> int:
        return len(self.images)

    def names(self) -> list[str]:
        return [self.name] if len(self) == 1 else [f"{self.name}[{i}]" for i in range(len(self))]

    def read(self, i: int) -> Array:
        """Image i as (h, w, c) uint8, uint16 or float32."""
        image = self.images[i]
        scale = 255 if image.dtype.kind == "b" else 1
        pixels = image.astype(self._dtype) * self._dtype.type(scale)
        self.lost_color = self.lost_color or loses_color(pixels, self.color)
        return to_color(pixels, self.color)

    def _stored_as(self) -> np.dtype[Any]:
        """uint8, uint16 or float32, whichever holds the values. Raises DataError when none does."""
        dtype = self.images.dtype
        if dtype.kind == "b" or dtype == np.uint8:
            return np.dtype(np.uint8)
        if dtype.newbyteorder("=") == np.uint16:
            return np.dtype(np.uint16)
        if dtype.kind == "f":
            self._check_finite()
            return np.dtype(np.float32)
        if dtype.kind not in "iu":
            raise DataError(f"{show(self.name)}: {dtype} values, wanted integers or floats")
        low, high = int(self.images.min()), int(self.images.max())
        if low < 0 or high > 65535:
            raise DataError(f"{show(self.name)}: integers {low}..{high}, wanted 0..255 or 0..65535, or floats")
        return np.dtype(np.uint8 if high <= 255 else np.uint16)

    def _check_finite(self) -> None:
        with np.errstate(over="ignore"):
            bad = [i for i, image in enumerate(self.images) if not np.isfinite(image.astype(np.float32)).all()]
        if bad:
            raise DataError(
                f"{show(self.name)}: image {bad[0]} holds NaN or infinity ({len(bad)} of {len(self.images)} images do)"
            )


def open_idx(path: str, color: str) -> ArraySource:
    """An IDX file of images, gzipped or not, as MNIST is distributed."""
    return ArraySource(path, read_idx(path, 3), color, whole_by_default=True)


def read_idx(path: str, ndim: int) -> Array:
    """An IDX file of unsigned bytes in `ndim` dimensions: 3 images (magic 2051), 1 labels (magic 2049)."""
    size = check_regular(path).st_size
    wanted = f"an IDX file of {'images (magic 2051)' if ndim == 3 else 'labels (magic 2049)'}"
    with open_regular(path) as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b"
        stream = gzip.GzipFile(fileobj=file) if packed else file
        try:
            head = stream.read(4 + 4 * ndim)
            magic = int.from_bytes(head[:4], "big")
            if len(head) < 4 + 4 * ndim or magic != 2048 + ndim:
                raise DataError(f"{show(path)}: starts with {head[:4].hex() or 'nothing'}, wanted {wanted}")
            shape = struct.unpack(f">{ndim}I", head[4:])
            n = math.prod(shape)
            # Held against the file before n bytes are allocated.
            if n > size * (_MAX_DEFLATE if packed else 1):
                raise DataError(f"{show(path)}: declares {n:,} bytes of data, the file has {size:,}")
            data = stream.read(n + 1)
        except (OSError, EOFError, MemoryError, zlib.error) as error:
            raise DataError(f"{show(path)}: is damaged or cut off ({reason(error)})") from error
    if len(data) != n:
        found = "more" if len(data) > n else f"{len(data):,}"
        raise DataError(f"{show(path)}: declares {n:,} bytes of data, {found} are there")
    if n == 0:
        raise DataError(f"{show(path)}: is empty, shape {shape}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def open_cifar(path: str, color: str) -> ArraySource:
    """A CIFAR-10 binary batch: rows of a label and 32 x 32 pixels in planes of red, green and blue."""
    size = check_regular(path).st_size
    if size == 0 or size % CIFAR_ROW:
        raise DataError(f"{show(path)}: {size:,} bytes, wanted a CIFAR-10 batch (a multiple of {CIFAR_ROW})")
    rows = np.memmap(path, np.uint8, "r").view(np.ndarray).reshape(-1, CIFAR_ROW)
    labels = rows[:, 0].astype(np.int64)
    if labels.max() >= len(CIFAR_NAMES):
        raise DataError(f"{show(path)}: label {labels.max()}, wanted 0..9: no CIFAR-10 batch")
    images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return ArraySource(path, images, color, labels, list(CIFAR_NAMES), whole_by_default=True)


def open_npy(path: str, color: str) -> ArraySource:
    """A .npy file, mapped: (h, w), (n, h, w) or (n, h, w, 3)."""
    check_regular(path)
    try:
        # Pickled objects cannot be mapped, and mapping fails when the file is shorter than its header says.
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:
        raise DataError(f"{show(path)}: is no whole .npy file of numbers ({reason(error)})") from error
    return ArraySource(path, _stack(path, array.view(np.ndarray)), color)


def open_npz(path: str, color: str) -> list[ArraySource]:
    """Every array of 2 to 4 dimensions in a .npz file; the others (labels, say) are passed over."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            size = check_regular(path).st_size
            found = list(_npz_arrays(path, archive, size))
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{show(path)}: is no whole .npz file of numbers ({reason(error)})") from error
    if not found:
        raise DataError(f"{show(path)}: has no array of 2, 3 or 4 dimensions")
    return [ArraySource(f"{path}:{name}", _stack(path, array), color) for name, array in found]


def _npz_arrays(path: str, archive: zipfile.ZipFile, size: int) -> Iterator[tuple[str, Array]]:
    left = size * _MAX_DEFLATE
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        if not info.filename.endswith(".npy"):
            continue
        left -= info.file_size
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or left < 0:
            raise DataError(f"{show(path)}: {info.filename!r} is packed otherwise than numpy does")
        with archive.open(info) as member:
            shape, fortran, dtype = _npy_header(member)
            n = math.prod(shape) * dtype.itemsize
            if not 2 <= len(shape) <= 4 or n == 0:
                continue
            if dtype.hasobject or n != info.file_size - member.tell():
                raise DataError(f"{show(path)}: {info.filename!r}: {dtype} {shape} does not fit its size")
            array = np.frombuffer(member.read(n), dtype)
            yield info.filename.removesuffix(".npy"), array.reshape(shape, order="F" if fortran else "C")


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def open_mat(path: str, color: str) -> list[ArraySource]:
    """The numeric arrays of a .mat file: (h, w, n) or (h, w, 3, n), the last axis numbers the images; else (h, w)."""
    with open_regular(path) as file:
        head = file.read(10)
    arrays = _mat_v73(path) if head == b"MATLAB 7.3" else read_mat5(path)
    arrays = {name: array for name, array in arrays.items() if 2 <= array.ndim <= 4 and sorted(array.shape)[-2] > 1}
    # Matrices are images only where there are no stacks of images: they go along with those as labels or sizes.
    stacks = {name: array for name, array in arrays.items() if array.ndim > 2} or arrays
    if not stacks:
        raise DataError(f"{show(path)}: has no numeric array of 2, 3 or 4 dimensions")
    many = len(stacks) > 1
    return [
        ArraySource(f"{path}:{name}" if many else path, _mat_stack(path, name, array), color)
        for name, array in sorted(stacks.items())
    ]


def open_hdf5(path: str, color: str) -> list[ArraySource]:
    """The data sets of numbers in the root of any HDF5 file: (n, h, w), (n, h, w, 3), or n examples (n, d).

    What featlearn learns from need not be images: rows of (n, d) are taken whole, as patches of 1 x d.
    """
    found: dict[str, Array] = {}
    with Reader(path) as reader:
        for name in reader.names(""):
            with contextlib.suppress(DataError):  # groups, texts
                array = reader.map(name)
                if 2 <= array.ndim <= 4 and array.size:
                    found[name] = array[:, None, :] if array.ndim == 2 else array
    if not found:
        raise DataError(
            f"{show(path)}: is an HDF5 file without a data set of numbers of 2, 3 or 4 dimensions in its root"
        )
    many = len(found) > 1
    return [
        ArraySource(f"{path}:{name}" if many else path, array, color, whole_by_default=array.shape[1] == 1)
        for name, array in sorted(found.items())
    ]


def _mat_v73(path: str) -> dict[str, Array]:
    found: dict[str, Array] = {}
    with Reader(path) as reader:
        for name in reader.names(""):
            with contextlib.suppress(DataError):  # cells, texts, structures
                found[name] = reader.map(name).T  # MATLAB numbers the axes the other way round
    return found


def _mat_stack(path: str, name: str, array: Array) -> Array:
    """MATLAB's (h, w, n) or (h, w, c, n) as (n, h, w[, c])."""
    if array.ndim == 4:
        return array.transpose(3, 0, 1, 2) if array.shape[2] in (1, 3) else array
    if array.ndim == 3:
        _refuse_ambiguous(f"{show(path)}: {name}", array.shape, "(h, w, 3, 1)")
        return array.transpose(2, 0, 1)
    return array[None]


def _stack(path: str, array: Array) -> Array:
    """(h, w), (n, h, w) or (n, h, w, c) as (n, h, w[, c])."""
    if array.ndim == 3:
        _refuse_ambiguous(show(path), array.shape, "(1, h, w, 3)")
    return array[None] if array.ndim == 2 else array


def _refuse_ambiguous(place: str, shape: tuple[int, ...], remedy: str) -> None:
    if shape[2] == 3:
        raise DataError(f"{place}: {shape} may be one colour image or a stack of grey ones; save colour as {remedy}")


def colours_last(shape: tuple[int, ...]) -> str:
    """Return the remedy for images (n, 1 or 3, h, w), whose colours stand first; else nothing."""
    if len(shape) == 4 and shape[1] in (1, 3):
        return "; put the colours last: X.transpose(0, 2, 3, 1)"
    return ""
