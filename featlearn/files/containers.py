"""Files of many images, each as ArraySources: IDX (MNIST), .npy, .npz, .mat, HDF5 and .csv.

What lies in a file as it is stays there and is read when it is asked for (Stored); what has to be unpacked is
claimed from the file's memory budget first.
"""

import os

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
from featlearn.files.paths import open_regular
from featlearn.files.table import read_csv


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
