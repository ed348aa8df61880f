"""Reading HDF5: the strict door.

A hostile or damaged file cannot make us read another file, load code, or allocate more than its own size
accounts for: hard links only, no external or virtual storage, no filter but deflate and shuffle, no
variable-length data, integers and floats of at most 8 bytes, sizes held against the file before anything is
allocated.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5p, h5s, h5t, h5z

from featlearn.errors import DataError, FeatlearnError, reason, show
from featlearn.files.budget import Budget
from featlearn.files.hdf5.types import DTYPES, NAME
from featlearn.files.json_text import MAX
from featlearn.files.paths import check_regular
from featlearn.files.stored import Descriptor, Stored
from featlearn.rows import Array
from featlearn.signals import DeferredHandlers

_MAX_NAMES = 1024
_MAX_CHUNK = 64 << 20
_MAX_DEFLATE = 1032
"""deflate makes data at most this many times smaller."""


class Reader:
    """A file opened through the strict door; a context manager.

    Every failure is a DataError that names file and key.

    `image`, the whole file as bytes, is read instead of `path` if given.
    """

    def __init__(self, path: str, image: bytes | bytearray | None = None) -> None:
        self.path = path
        self.size = check_regular(path).st_size if image is None else len(image)
        with self._guard(""), DeferredHandlers():
            fapl = h5p.create(h5p.FILE_ACCESS)
            try:
                fapl.set_fclose_degree(h5f.CLOSE_STRONG)
                if image is None:
                    fapl.set_fapl_sec2()
                    # Files are replaced as a whole, so a reader needs no lock; many network disks have none.
                    fapl.set_file_locking(False, True)
                else:
                    fapl.set_fapl_core(1 << 16, False)
                    fapl.set_file_image(image)
                # HDF5 takes no image under the name of an existing file; below a file none can exist.
                name = os.fsencode(path) if image is None else os.fsencode(path) + b"/image"
                self._file = h5f.open(name, h5f.ACC_RDONLY, fapl)
            finally:
                fapl.close()
            if image is None:
                self.size = os.fstat(self.fd).st_size
        self._left = self.size
        self._budget = Budget(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # nothing was written that a close could fail to keep
        with DeferredHandlers(), contextlib.suppress(RuntimeError):
            self._file.close()

    @property
    def fd(self) -> int:
        """The open file's descriptor (none for an image)."""
        return int(self._file.get_vfd_handle())

    def descriptor(self) -> Descriptor:
        """The open file, to be read beside HDF5 and after it."""
        return Descriptor(self.path, os.dup(self.fd))

    def names(self, group: str) -> list[str]:
        """The names of the links in a group that can be ours, sorted. A missing group has none."""
        with self._guard(group):
            at = self._open(group, h5g.GroupID)
            if at is None:
                return []
            n = at.get_num_objs()
            if n > _MAX_NAMES:
                raise self._refuse(group, f"{n} members, at most {_MAX_NAMES} are allowed")
            names = [at.get_objname_by_idx(i).decode("utf-8", "replace") for i in range(n)]
            return sorted(name for name in names if NAME.fullmatch(name))

    def is_group(self, key: str) -> bool:
        """Whether a group is there. Another thing in its place is refused."""
        with self._guard(key):
            return self._open(key, h5g.GroupID) is not None

    def attribute(self, group: str, name: str) -> str | int | float | Array | None:
        """Return an attribute of a group, "" the root: a string, number or vector; None if it is missing."""
        with self._guard(f"{group}/@{name}"):
            at = self._open(group, h5g.GroupID)
            if at is None or not h5a.exists(at, name.encode()):
                return None
            return self._attribute(f"{group}/@{name}", h5a.open(at, name.encode()))

    def plain(self, group: str) -> dict[str, Any]:
        """A group as written by Writer.plain."""
        values: dict[str, Any] = {name: self.array(f"{group}/{name}") for name in self.names(group)}
        with self._guard(group):
            at = self._open(group, h5g.GroupID)
            n = h5a.get_num_attrs(at) if at is not None else 0
            if n > _MAX_NAMES:
                raise self._refuse(group, f"{n} attributes, at most {_MAX_NAMES} are allowed")
            for i in range(n):
                attribute = h5a.open(at, index=i)
                name = self._name(group, attribute.name)
                values[name] = self._attribute(f"{group}/@{name}", attribute)
        return values

    def shape(self, key: str) -> tuple[int, ...] | None:
        """Return the shape of a data set of integers or floats; None for a group, a text or another thing."""
        left = self._left
        try:
            with self._guard(key):
                return self._checked(key, None)[1]
        except DataError:
            return None
        finally:
            self._left = left  # nothing was taken

    def array(self, key: str, ndim: int | None = None) -> Array:
        """A data set of integers or floats, read into memory, native byte order."""
        with self._guard(key):
            data_set, shape, dtype = self._checked(key, ndim)
            return self._load(data_set, shape, dtype)

    def stored(self, key: str, ndim: int | None = None, kept: int = 0) -> Array | Stored:
        """A data set that stays in the file where its layout allows it, else a read-only array in memory."""
        with self._guard(key):
            data_set, shape, dtype = self._checked(key, ndim)
            if data_set.get_create_plist().get_layout() == h5d.CONTIGUOUS and shape and math.prod(shape):
                # _checked has seen that the bytes lie inside the file.
                return Stored(self.descriptor(), int(data_set.get_offset()), shape, dtype, kept)
            out = self._load(data_set, shape, dtype)
            out.flags.writeable = False
            return out

    def strings(self, key: str) -> list[str] | None:
        """A data set of fixed-length strings (a scalar is a list of one); None if it is missing."""
        with self._guard(key):
            if self._open(key, h5d.DatasetID) is None:
                return None
            data_set, shape, dtype = self._checked(key, None, text=True)
            if len(shape) > 1:
                raise self._refuse(key, f"{len(shape)} dimensions, wanted 1")
            return [_text(value) for value in self._load(data_set, shape, dtype).reshape(-1).tolist()]

    def exists(self, key: str) -> bool:
        """Whether there is a data set at `key`."""
        with self._guard(key):
            return self._open(key, h5d.DatasetID) is not None

    def _load(self, data_set: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        self._budget.claim(math.prod(shape) * dtype.itemsize)
        out = np.empty(shape, dtype.newbyteorder("="))
        if out.size:
            data_set.read(h5s.ALL, h5s.ALL, out, mtype=data_set.get_type() if dtype.kind == "S" else None)
        return out

    def _open(self, key: str, kind: Any) -> Any:
        """The object at `key`, every step a hard link; None if there is nothing."""
        at: Any = h5g.open(self._file, b"/")
        for part in key.encode().split(b"/") if key else ():
            if not isinstance(at, h5g.GroupID):
                raise self._refuse(key, "part of the way is no group")
            if not at.links.exists(part):
                return None
            if at.links.get_info(part).type != h5l.TYPE_HARD:
                raise self._refuse(key, "is a soft or external link, which are never followed")
            at = h5o.open(at, part)
        if not isinstance(at, kind):
            raise self._refuse(key, f"is no {'group' if kind is h5g.GroupID else 'data set'}")
        return at

    def _checked(
        self, key: str, ndim: int | None, text: bool = False
    ) -> tuple[Any, tuple[int, ...], np.dtype[Any]]:
        """Return a data set, its shape and type, all checked; bytes of the file account for its size."""
        data_set = self._open(key, h5d.DatasetID)
        if data_set is None:
            raise self._refuse(key, "is missing")
        dcpl = data_set.get_create_plist()
        layout = dcpl.get_layout()
        if layout not in (h5d.CONTIGUOUS, h5d.CHUNKED, h5d.COMPACT):
            raise self._refuse(key, "has virtual storage, which may lie in other files")
        if dcpl.get_external_count():
            raise self._refuse(key, "has external storage in another file")
        filters = [dcpl.get_filter(i)[0] for i in range(dcpl.get_nfilters())]
        if any(code not in (h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE) for code in filters):
            raise self._refuse(key, f"has filters {filters}; only deflate (1) and shuffle (2) are read")
        shape = self._shape(key, data_set.get_space())
        if ndim is not None and len(shape) != ndim:
            raise self._refuse(key, f"has {len(shape)} dimensions, wanted {ndim}")
        dtype = self._dtype(key, data_set.get_type(), text)
        n_bytes, stored = math.prod(shape) * dtype.itemsize, int(data_set.get_storage_size())
        ratio = _MAX_DEFLATE ** filters.count(h5z.FILTER_DEFLATE)
        if len(filters) > 2 or ratio > _MAX_DEFLATE:
            raise self._refuse(key, f"has filters {filters}, at most deflate and shuffle once each")
        if layout == h5d.CHUNKED:
            self._check_chunks(key, shape, dcpl.get_chunk(), dtype.itemsize)
        if n_bytes > stored * ratio or (layout != h5d.CHUNKED and n_bytes != stored):
            raise self._refuse(key, f"declares {n_bytes:,} bytes, {stored:,} are stored")
        if layout == h5d.CONTIGUOUS and n_bytes and data_set.get_offset() + n_bytes > self.size:
            raise self._refuse(key, "lies partly behind the end of the file")
        self._left -= stored
        if self._left < 0:
            raise self._refuse(key, "more bytes are stored than the file has")
        return data_set, shape, dtype

    def _check_chunks(self, key: str, shape: tuple[int, ...], chunk: tuple[int, ...], itemsize: int) -> None:
        if math.prod(chunk) * itemsize > _MAX_CHUNK:
            raise self._refuse(key, f"has chunks above {_MAX_CHUNK >> 20} MiB")
        # Each is an entry of 8 bytes or more in the file; millions of tiny ones keep HDF5 busy for hours.
        n = math.prod(-(-size // step) for size, step in zip(shape, chunk, strict=True))
        if n * 8 > self.size:
            raise self._refuse(key, f"has {n:,} chunks, more than the file has room for")

    def _attribute(self, key: str, attribute: Any) -> str | int | float | Array:
        shape, kind = self._shape(key, attribute.get_space()), attribute.get_type()
        dtype = self._dtype(key, kind, kind.get_class() == h5t.STRING)
        if math.prod(shape) * dtype.itemsize > MAX or len(shape) > 1:
            raise self._refuse(key, "is no scalar or short vector")
        if dtype.kind == "S":
            if shape:
                raise self._refuse(key, "is no scalar")
            out = np.empty((), dtype)
            attribute.read(out, mtype=kind)
            return _text(out.item())
        out = np.empty(shape, dtype.newbyteorder("="))
        if out.size:
            attribute.read(out)
        return out if shape else out.item()

    def _shape(self, key: str, space: Any) -> tuple[int, ...]:
        if space.get_simple_extent_type() not in (h5s.SCALAR, h5s.SIMPLE):
            raise self._refuse(key, "has no extent")
        if space.get_simple_extent_ndims() > 4:
            raise self._refuse(key, f"has {space.get_simple_extent_ndims()} dimensions, at most 4 are read")
        return tuple(int(n) for n in space.get_simple_extent_dims())

    def _dtype(self, key: str, kind: Any, text: bool) -> np.dtype[Any]:
        """Return the numpy type of plain numbers, or of fixed-length strings where `text`; refuse another."""
        size = kind.get_size()
        if text and kind.get_class() == h5t.STRING and not kind.is_variable_str() and 0 < size <= MAX:
            return np.dtype(f"S{size}")
        if not text and kind.get_class() in (h5t.INTEGER, h5t.FLOAT) and size <= 8:
            dtype: np.dtype[Any] = np.dtype(kind.dtype)
            if dtype.newbyteorder("=") in DTYPES and kind.equal(h5t.py_create(dtype)):
                return dtype
        wanted = "fixed-length strings" if text else "integers or floats of at most 8 bytes"
        raise self._refuse(key, f"is of another type than wanted ({wanted})")

    def _name(self, group: str, name: bytes | str) -> str:
        text = name if isinstance(name, str) else name.decode()
        if not NAME.fullmatch(text):
            raise self._refuse(group, f"name {text[:80]!r} inside is not allowed")
        return text

    def _refuse(self, key: str, words: str) -> DataError:
        return DataError(f"{show(self.path)}: {key or 'HDF5'}: {words}")

    @contextlib.contextmanager
    def _guard(self, key: str) -> Iterator[None]:
        try:
            yield
        except FeatlearnError:
            raise
        except MemoryError as error:
            raise self._refuse(key, "does not fit into memory") from error
        except Exception as error:  # h5py raises five kinds and more, depending on where the damage is
            raise self._refuse(key, f"is damaged or cut off ({reason(error)})") from error


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
