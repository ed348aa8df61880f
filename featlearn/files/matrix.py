"""Matrices in files of other programs, written row by row in bounded memory: .npy, .npz, .csv."""

import io
import math
import os
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from featlearn.files.atomic import Output, free_space_check
from featlearn.rows import Array

FLOAT, INTEGER = np.dtype("<f4"), np.dtype("<i8")
BUFFER = 1 << 20


class Matrix:
    """A matrix (n, width) of float32 that comes by blocks of rows; `labels` (n,) are their classes."""

    def __init__(
        self,
        shape: tuple[int, int],
        blocks: Iterable[Array],
        labels: Array | None = None,
        label_names: list[str] | None = None,
    ) -> None:
        self.shape, self.blocks, self.labels, self.label_names = shape, blocks, labels, label_names

    @property
    def n_bytes(self) -> int:
        """How large it is as numbers."""
        return math.prod(self.shape) * FLOAT.itemsize


class _Stream(io.RawIOBase):
    """An output that has been entered, as an open file for other libraries to write into."""

    def __init__(self, out: Output) -> None:
        super().__init__()
        self._out, self._at = out, 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("seek")
        self._at = offset
        return offset

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        self._out.write(view, self._at)
        self._at += len(view)
        return len(view)


def write_matrix(
    path: str, suffix: str, matrix: Matrix, force: bool = False, inputs: Iterable[str] = ()
) -> None:
    """Write a matrix in the format of a suffix, one of FORMATS. Raises DataError.

    An error of what makes the blocks leaves nothing behind.
    """
    needs = 0 if suffix == ".csv" else matrix.n_bytes
    write_stream(path, needs, lambda file: FORMATS[suffix](file, matrix), force, inputs)


def write_stream(
    path: str, needs: int, write: Callable[[Any], None], force: bool = False, inputs: Iterable[str] = ()
) -> None:
    """Write a file by what writes to an open one; `needs` bytes of room, 0 where that is not known.

    An error of `write` leaves nothing behind. Raises DataError.
    """
    with Output(path, force, inputs) as out:
        if needs:
            out.needs = needs
            free_space_check(path, needs)
        with io.BufferedWriter(_Stream(out), BUFFER) as file:
            write(file)
        out.commit()


def _npy(file: Any, matrix: Matrix) -> None:
    """The matrix alone."""
    write_rows(file, matrix.shape, matrix.blocks)


def write_rows(file: Any, shape: tuple[int, int], blocks: Iterable[Array]) -> None:
    """Write a matrix that comes by blocks of rows as .npy of float32."""
    _header(file, FLOAT, shape)
    for rows in blocks:
        file.write(np.ascontiguousarray(rows, FLOAT))


def _npz(file: Any, matrix: Matrix) -> None:
    """The matrix as "codes", and "labels" and "label_names" where there are any; members have no time."""
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("codes.npy", "w", force_zip64=True) as member:
            _npy(member, matrix)
        for name, values in (("labels", matrix.labels), ("label_names", matrix.label_names)):
            if values is not None:
                add_array(archive, name, np.asarray(values))


def add_array(archive: zipfile.ZipFile, name: str, values: Array) -> None:
    """Write an array of numbers or texts into an .npz; integers as int64."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        values = values.astype(INTEGER) if values.dtype.kind in "iu" else values
        np.lib.format.write_array(member, values, allow_pickle=False)


def _csv(file: Any, matrix: Matrix) -> None:
    """A line of names, then a line a row; the label is the last column. Numbers are read back exactly."""
    names = [f"h{i}" for i in range(matrix.shape[1])]
    file.write((",".join([*names, "label"] if matrix.labels is not None else names) + "\n").encode())
    at = 0
    for rows in matrix.blocks:
        for row in rows:
            line = ",".join(map(str, row))  # of float32: the fewest digits that tell it from its neighbours
            file.write((line if matrix.labels is None else f"{line},{matrix.labels[at]}").encode() + b"\n")
            at += 1


def _header(file: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": dtype.str, "fortran_order": False, "shape": shape})


FORMATS: dict[str, Callable[[Any, Matrix], None]] = {".npy": _npy, ".npz": _npz, ".csv": _csv}
