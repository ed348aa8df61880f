"""Files of many images, each as ArraySources: IDX (MNIST), CIFAR, .npy, .npz, .mat, HDF5 and .csv.

What lies in a file as it is stays there and is read when it is asked for (Stored); what has to be unpacked is
claimed from the file's memory budget first.
"""

import os
from typing import NamedTuple

import numpy as np

from featlearn.errors import DataError, show
from featlearn.files.array_source import (
    ArraySource,
    arrange,
    arrange_by_matlab,
    array_sources,
    as_row,
    choose_arrays,
    claim_image,
)
from featlearn.files.hdf5 import Reader
from featlearn.files.idx import read_idx
from featlearn.files.mat5 import read_mat5
from featlearn.files.npy import read_npy, read_npz
from featlearn.files.paths import check_regular, open_regular
from featlearn.files.stored import Descriptor, Stored, pieces
from featlearn.files.table import read_csv
from featlearn.rows import Array

CIFAR_PIXELS = 3 * 32 * 32
CIFAR_TEXT = 1 << 16  # bytes of a text of names
CIFAR_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class Cifar(NamedTuple):
    """A kind of binary batches: its labels in a row, classes, and the text with their names."""

    name: str
    labels: int
    classes: int
    names_in: str


CIFAR = (Cifar("CIFAR-10", 1, 10, "batches.meta.txt"), Cifar("CIFAR-100", 2, 100, "fine_label_names.txt"))


def split_member(path: str) -> tuple[str, str | None]:
    """Return (file, name of an array in it) of FILE:NAME, or (path, None).

    In the first case FILE is there, and FILE:NAME is not.
    """
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
    claim_image(path, entries.shape)
    return ArraySource(path, entries, color, whole_by_default=True)


def open_cifar(path: str, color: str) -> ArraySource:
    """A binary batch of CIFAR: rows of labels, then 32 x 32 pixels in planes of red, green and blue.

    CIFAR-10 has one label, CIFAR-100 two, of which the second is the finer one. Their names stand in a text
    beside the batch, where that is there.
    """
    size = check_regular(path).st_size
    kind = next((kind for kind in CIFAR if size and size % (kind.labels + CIFAR_PIXELS) == 0), None)
    if kind is None:
        raise DataError(
            f"{show(path)}: {size:,} bytes, wanted a CIFAR-10 batch (a multiple of {1 + CIFAR_PIXELS}) or "
            f"one of CIFAR-100 (of {2 + CIFAR_PIXELS})"
        )
    row = kind.labels + CIFAR_PIXELS
    with open_regular(path) as file:
        rows = Stored(Descriptor(path, os.dup(file.fileno())), 0, (size // row, row), np.uint8)
    labels = np.concatenate([part[:, kind.labels - 1].astype(np.int64) for _, part in pieces(rows)])
    names = _names_beside(path, kind)
    most = len(names) if names else kind.classes
    if labels.max() >= most:
        raise DataError(f"{show(path)}: label {labels.max()}, wanted 0..{most - 1}: no {kind.name} batch")
    return ArraySource(path, rows, color, labels, names, True, _cifar_image)


def _cifar_image(entry: Array) -> Array:
    """Labels and planes of red, green and blue as (32, 32, 3)."""
    return entry[-CIFAR_PIXELS:].reshape(3, 32, 32).transpose(1, 2, 0)


def _names_beside(path: str, kind: Cifar) -> list[str] | None:
    """Return the names of labels in the text beside a batch, a line each, else the usual ones.

    Raises DataError for a text that is none.
    """
    beside = os.path.join(os.path.dirname(path), kind.names_in)
    if not os.path.isfile(beside):
        return list(CIFAR_NAMES) if kind.classes == len(CIFAR_NAMES) else None
    with open_regular(beside) as file:
        raw = file.read(CIFAR_TEXT)
    try:
        names = [line.strip() for line in raw.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        names = []
    if not 1 <= len(names) <= 256 or len(set(names)) < len(names) or b"\0" in raw:
        raise DataError(f"{show(beside)}: wanted the names of the labels of {show(path)}, a line each")
    return names


def open_npy(path: str, color: str) -> ArraySource:
    """A .npy file: n rows (n, d), or n images (n, h, w) or (n, h, w, 3)."""
    return array_sources(path, {"": read_npy(path)}, color)[0]


def open_npz(path: str, color: str, member: str | None = None) -> list[ArraySource]:
    """The arrays of a .npz file."""
    return array_sources(path, read_npz(path, member), color)


def open_mat(path: str, color: str, member: str | None = None) -> list[ArraySource]:
    """The numeric arrays of a .mat file.

    Images are (h, w, n) or (h, w, 3, n), the last axis counts them; rows are (n, d).
    """
    with open_regular(path) as file:
        head = file.read(10)
    if head == b"MATLAB 7.3":
        return _open_members(path, color, member, by_matlab=True)
    found = read_mat5(path)
    chosen = choose_arrays(path, {name: array.shape for name, array in found.items()}, member)
    arrays = {name: found[name].T for name in chosen}
    return array_sources(path, arrays, color, arrange_by_matlab)


def open_hdf5(path: str, color: str, member: str | None = None) -> list[ArraySource]:
    """The data sets of numbers in the root of any HDF5 file."""
    return _open_members(path, color, member, by_matlab=False)


def _open_members(path: str, color: str, member: str | None, by_matlab: bool) -> list[ArraySource]:
    with Reader(path) as reader:
        shapes = {name: shape for name in reader.names("") if (shape := reader.shape(name)) is not None}
        if by_matlab:  # which counts the axes the other way round
            shapes = {name: shape[::-1] for name, shape in shapes.items()}
        arrays = {name: reader.stored(name) for name in choose_arrays(path, shapes, member)}
    return array_sources(path, arrays, color, arrange_by_matlab if by_matlab else arrange)


def open_csv(path: str, color: str) -> ArraySource:
    """A .csv or .csv.gz file of numbers: a row of numbers a line."""
    rows, dtype = read_csv(path)
    return ArraySource(path, rows, color, whole_by_default=True, arrange=as_row, dtype=dtype)
