"""Writing HDF5: the library sees memory alone, never a disk.

With an I/O error in its hands it loses data in silence or crashes the process. `Writer` keeps what HDF5
writes, and hands it out as pieces for atomic.Output; large data sets are only reserved, and written by the
caller.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from h5py import h5a, h5d, h5ds, h5f, h5fd, h5g, h5o, h5p, h5s, h5t

from featlearn.errors import DataError
from featlearn.files.hdf5.sparse_buffer import SparseBuffer
from featlearn.files.hdf5.types import DTYPES, NAME
from featlearn.files.header import SIZE
from featlearn.files.json_text import MAX
from featlearn.rows import Array


class Writer:
    """Builds an HDF5 file in memory; same calls, same bytes. Use it inside `DeferredHandlers`."""

    def __init__(self) -> None:
        self._buffer = SparseBuffer()
        self._reserved: list[tuple[int, int]] = []
        fcpl, fapl = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
        fcpl.set_userblock(SIZE)
        # Otherwise more than 8 attributes at the root would leave the object header for another structure.
        fcpl.set_attr_phase_change(64, 0)
        fcpl.set_obj_track_times(False)  # the same contents give the same bytes at any time
        fapl.set_fclose_degree(h5f.CLOSE_STRONG)
        # HDF5 1.8's format, which every tool reads; one alignment, so that mapped numbers are aligned.
        fapl.set_libver_bounds(h5f.LIBVER_V18, h5f.LIBVER_V18)
        fapl.set_alignment(1, 64)
        fapl.set_fileobj_driver(h5fd.fileobj_driver, self._buffer)
        try:
            self._file = h5f.create(hex(id(self._buffer)).encode(), h5f.ACC_TRUNC, fcpl, fapl)
        finally:
            fapl.close()  # h5py crashes at exit if one of these still lives then

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def group(self, name: str) -> None:
        """Make a group, "a" or within one that is there "a/b"."""
        gcpl = h5p.create(h5p.GROUP_CREATE)
        gcpl.set_attr_phase_change(64, 0)
        gcpl.set_obj_track_times(False)
        h5g.create(self._file, b"/".join(map(_checked, name.split("/"))), gcpl=gcpl)

    def attribute(self, group: str, name: str, value: str | int | float | Array) -> None:
        """A string, a number or a short vector of integers on the root (""), a group or a data set."""
        at = h5o.open(self._file, b"/" + group.encode())
        if isinstance(value, str):
            data, kind = _fixed([value])
            space = h5s.create(h5s.SCALAR)
            data = data.reshape(())
            if data.dtype.itemsize > MAX:
                raise DataError(f"{group}/{name}: text of {data.dtype.itemsize:,} bytes, at most {MAX:,} fit")
        else:
            data = _plain_number(value)
            kind = h5t.py_create(data.dtype)
            space = h5s.create_simple(data.shape) if data.ndim else h5s.create(h5s.SCALAR)
        h5a.create(at, _checked(name), kind, space).write(data, mtype=kind)

    def array(self, key: str, value: Array) -> None:
        """A data set of integers or floats."""
        little = np.asarray(value, np.asarray(value).dtype.newbyteorder("<"), order="C")
        data_set = self._create(key, little.shape, h5t.py_create(_allowed(little.dtype)))
        if little.size:
            data_set.write(h5s.ALL, h5s.ALL, little)

    def strings(self, key: str, values: list[str]) -> None:
        """A data set of fixed-length UTF-8 strings, as long as the longest."""
        data, kind = _fixed(values)
        data_set = self._create(key, data.shape, kind)
        if data.size:
            data_set.write(h5s.ALL, h5s.ALL, data, mtype=kind)

    def text(self, key: str, value: str) -> None:
        """One such string as a scalar data set."""
        data, kind = _fixed([value])
        self._create(key, (), kind).write(h5s.ALL, h5s.ALL, data.reshape(()), mtype=kind)

    def label(self, key: str, names: Sequence[str]) -> None:
        """Name the axes of a data set, as HDF5's dimension scales do."""
        data_set = h5d.open(self._file, key.encode())
        for axis, name in enumerate(names):
            h5ds.set_label(data_set, axis, name.encode())

    def picture(self, key: str, pixels: Array) -> None:
        """A picture uint8 (height, width) or (height, width, 3), with what tells viewers that it is one.

        HDF5 Image and Palette Specification, version 1.2; `interpretation` is NeXus's.
        """
        self.array(key, pixels)
        colour = pixels.ndim == 3
        self.attribute(key, "CLASS", "IMAGE")
        self.attribute(key, "IMAGE_VERSION", "1.2")
        self.attribute(key, "IMAGE_SUBCLASS", "IMAGE_TRUECOLOR" if colour else "IMAGE_GRAYSCALE")
        if colour:
            self.attribute(key, "INTERLACE_MODE", "INTERLACE_PIXEL")
        self.attribute(key, "interpretation", "rgb-image" if colour else "image")
        self.label(key, ("row", "column", "channel")[: pixels.ndim])

    def open_on(self, key: str) -> None:
        """Tell viewers of NeXus files to open on a data set of the root."""
        self.attribute("", "NX_class", "NXdata")
        self.attribute("", "signal", key)

    def plain(self, group: str, values: Mapping[str, Any]) -> None:
        """A group of plain values: arrays as data sets, the rest as attributes."""
        self.group(group)
        for name in sorted(values):
            if isinstance(values[name], np.ndarray):
                self.array(f"{group}/{name}", values[name])
            else:
                self.attribute(group, name, values[name])

    def reserve(self, key: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> int:
        """Make a contiguous data set, and return its offset in the file.

        The caller writes it himself, little-endian.
        """
        dtype = _allowed(np.dtype(dtype).newbyteorder("<"))
        data_set = self._create(key, shape, h5t.py_create(dtype), h5d.ALLOC_TIME_EARLY)
        offset = int(data_set.get_offset())
        self._reserved.append((offset, offset + math.prod(shape) * dtype.itemsize))
        return offset

    def close(self) -> int:
        """Finish (a second time does nothing); the size of the file."""
        if self._file:
            self._file.close()
        return self._buffer.size

    def pieces(self) -> Iterator[tuple[int, memoryview]]:
        """(offset, bytes) of all that HDF5 wrote; leaves out what is reserved."""
        for index, page in sorted(self._buffer.pages.items()):
            start = index * SparseBuffer.page
            at, end = start, min(start + len(page), self._buffer.size)
            for low, high in [*sorted(self._reserved), (end, end)]:
                if min(low, end) > at:
                    yield at, memoryview(page)[at - start : min(low, end) - start]
                at = max(at, high)

    def _create(self, key: str, shape: tuple[int, ...], kind: Any, alloc: int = h5d.ALLOC_TIME_LATE) -> Any:
        group, _, name = key.rpartition("/")
        at = h5g.open(self._file, b"/" + group.encode())
        dcpl = h5p.create(h5p.DATASET_CREATE)
        dcpl.set_layout(h5d.CONTIGUOUS)
        dcpl.set_alloc_time(alloc)
        dcpl.set_fill_time(h5d.FILL_TIME_NEVER)
        dcpl.set_obj_track_times(False)
        space = h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
        return h5d.create(at, _checked(name), kind, space, dcpl)


def _checked(name: str) -> bytes:
    if not NAME.fullmatch(name):
        raise ValueError(f"not a name for a file of ours: {name!r}")
    return name.encode()


def _allowed(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.newbyteorder("=") not in DTYPES:
        raise TypeError(f"files hold integers and floats of at most 8 bytes, not {dtype}")
    return dtype


def _plain_number(value: int | float | Array) -> Array:
    """Return numbers as int64 (uint64 above its range) or float64, little-endian.

    Booleans become 0 and 1, which every tool shows.
    """
    data = np.asarray(value)
    if (
        not isinstance(value, int | float | np.generic | np.ndarray)
        or data.dtype.kind not in "buif"
        or data.ndim > 1
    ):
        raise TypeError(f"not a plain value for a file: {value!r}")
    if data.dtype.kind == "f":
        return data.astype("<f8")
    return data.astype("<u8" if data.dtype == np.uint64 else "<i8")


def _fixed(values: list[str]) -> tuple[Array, Any]:
    """Texts as an array of NUL-padded bytes, and their HDF5 type."""
    # File names need not be UTF-8; surrogateescape carries their bytes through.
    raw = [value.encode("utf-8", "surrogateescape") for value in values]
    size = max([1, *map(len, raw)])
    kind = h5t.C_S1.copy()
    kind.set_size(size)
    kind.set_strpad(h5t.STR_NULLPAD)
    kind.set_cset(h5t.CSET_UTF8)
    return np.array(raw, f"S{size}").reshape(len(raw)), kind
