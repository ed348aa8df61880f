"""Data sets: patches as their pixels were, their origin, and the preprocessing fitted to them.

See docs/formats.md.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from featlearn.errors import DataError, show
from featlearn.files import header
from featlearn.files.atomic import Output, free_space_check
from featlearn.files.budget import Budget
from featlearn.files.contents import check_finite, read_json, read_plain, read_shape, seal
from featlearn.files.hdf5 import Reader, Writer
from featlearn.files.json_text import to_json
from featlearn.files.paths import read_start
from featlearn.files.stored import KEPT, Stored, pieces
from featlearn.files.stored import verify as verify_sum
from featlearn.rows import Array
from featlearn.signals import DeferredHandlers

DTYPES = ("uint8", "uint16", "float32")


@dataclass
class Dataset:
    """A data set; `patches` and `origin` stay in the file, and are read by blocks when they are asked for."""

    path: str
    patches: Array | Stored
    """(n, height * width * channels) uint8, uint16 or float32."""
    shape: tuple[int, int, int]
    """(height, width, channels)."""
    labels: Array | None
    """(n,) int64, indices into label_names where there are names."""
    label_names: list[str] | None
    origin: Array | Stored | None
    """(n, 3) int64: index into images, row, column."""
    images: list[str] | None
    preprocess: dict[str, Any]
    provenance: dict[str, Any]
    digest: str
    """SHA-256 of the file's contents, as its user block has it."""


def read_dataset(path: str, verify: bool = True) -> Dataset:
    """Open a data set and hold all of it against its SHA-256.

    What is read of it later is held against sums made meanwhile.

    Without `verify` nothing is held against anything: for those who only look at it. Raises DataError,
    ReadError.
    """
    header.parse(path, read_start(path, header.SIZE), header.DATASET)
    place = show(path)
    with Reader(path) as reader:
        # Read again from the file now open: it may have been replaced since.
        opened, head = reader.descriptor(), bytearray(header.SIZE)
        opened.read_into(memoryview(head), 0)
        _, digest = header.parse(path, bytes(head), header.DATASET)
        header.check_root(
            path, header.DATASET, reader.attribute("", "format"), reader.attribute("", "format_version")
        )
        patches = reader.stored("patches", 2, KEPT)
        shape = read_shape(path, reader)
        n = len(patches)
        stored_labels = reader.stored("labels", 1) if reader.exists("labels") else None
        origin = reader.stored("origin", 2) if reader.exists("origin") else None
        budget = Budget(path)  # what lies in the file may be a hole in it, which takes no room on the disk
        budget.claim(12 * patches.shape[1], "one patch")
        if isinstance(stored_labels, Stored):
            budget.claim(stored_labels.nbytes, "the labels")
        arrays = [array for array in (patches, stored_labels, origin) if isinstance(array, Stored)]
        if verify and not verify_sum(opened, header.SIZE, reader.size, digest, arrays):
            raise DataError(
                f"{place}: does not match its SHA-256: damaged since it was written; make it again"
            )
        labels = None if stored_labels is None else np.asarray(stored_labels)
        images, label_names = reader.strings("images"), reader.strings("label_names")
        data = Dataset(
            path, patches, shape, labels, label_names, origin, images,
            read_plain(path, reader, "preprocess"),
            read_json(path, "provenance", reader.strings("provenance")),
            digest,
        )  # fmt: skip
    if patches.dtype.name not in DTYPES or patches.shape[1] != math.prod(shape) or n == 0:
        raise DataError(
            f"{place}: patches: {patches.dtype} {patches.shape} do not fit the patch shape {shape}"
        )
    if labels is not None:
        _check_index(f"{place}: labels", labels, (n,), None if label_names is None else len(label_names))
    if origin is not None:
        _check_index(f"{place}: origin", origin, (n, 3), None if images is None else len(images))
    return data


class DatasetWriter:
    """Writes a data set of n patches, block by block, in bounded memory; a context manager.

    with DatasetWriter(...) as writer:
        writer.append(patches, origin, labels)    until n rows are there
        writer.finish(...)                        without it nothing stays behind

    shape: (height, width, channels); dtype uint8, uint16 or float32; labelled: whether append gets labels;
    values: what the columns of a row are.
    Raises DataError: see atomic.Output, and when the disk has too little room.
    """

    def __init__(
        self,
        path: str,
        n: int,
        shape: tuple[int, int, int],
        dtype: npt.DTypeLike,
        labelled: bool,
        force: bool = False,
        inputs: Iterable[str] = (),
        values: str = "pixel",
    ) -> None:
        self.path = path
        self.values = values
        self.n = n
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.labelled = labelled
        self._output = Output(path, force, inputs)
        self._writer: Writer | None = None
        self._rows = 0

    @property
    def n_bytes(self) -> int:
        """About how large the file will be."""
        d = math.prod(self.shape)
        return self.n * (d * self.dtype.itemsize + 24 + 8 * self.labelled) + (1 << 16)

    def __enter__(self) -> Self:
        if self.n < 1:
            raise DataError(f"{show(self.path)}: no patches to write")
        if self.dtype.name not in DTYPES or min(self.shape) < 1:
            raise TypeError(f"patches of {self.dtype} {self.shape} cannot be stored")
        self._output.needs = self.n_bytes
        self._output.__enter__()
        try:
            free_space_check(self.path, self.n_bytes)
            with DeferredHandlers():
                self._lay_out()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def append(self, patches: Array, origin: Array, labels: Array | None = None) -> None:
        """The next rows: patches (m, d) of the declared type, origin (m, 3), labels (m,).

        Raises DataError.
        """
        m, at = len(patches), self._rows
        if patches.dtype != self.dtype or patches.shape != (m, math.prod(self.shape)) or at + m > self.n:
            raise ValueError(
                f"{patches.dtype} {patches.shape} after {at} of {self.n} rows do not fit {self.shape}"
            )
        counted = 0 if labels is None else len(labels)
        if (
            origin.shape != (m, 3)
            or (labels is not None) != self.labelled
            or (self.labelled and counted != m)
        ):
            raise ValueError(f"origin or labels do not fit {m} patches")
        if self.dtype.kind == "f":
            check_finite_rows(show(self.path), patches, at)
        self._write("patches", patches, at)
        self._write("origin", origin, at)
        if labels is not None:
            self._write("labels", labels, at)
        self._rows += m

    def finish(
        self,
        preprocess: Mapping[str, Any],
        images: list[str],
        label_names: list[str] | None,
        provenance: Mapping[str, Any],
        sheet: Array | None = None,
    ) -> str:
        """Write the rest, make the file final; its digest.

        `sheet` is a picture uint8 (height, width) or (height, width, 3) of some patches, for viewers alone.
        Raises DataError.
        """
        if self._rows != self.n or self._writer is None:
            raise ValueError(f"{self._rows} of {self.n} rows were appended")
        story = to_json(f"{show(self.path)}: provenance", provenance)
        check_finite(show(self.path), "preprocess", preprocess)
        out, writer = self._output, self._writer

        with DeferredHandlers():
            writer.plain("preprocess", preprocess)
            writer.strings("images", images)
            if label_names is not None:
                writer.strings("label_names", label_names)
            writer.text("provenance", story)
            if sheet is not None:
                writer.picture("sheet", sheet)
            writer.open_on("patches" if sheet is None else "sheet")
            size = writer.close()
        digest = seal(out, header.DATASET, size, writer)
        out.commit()
        return digest

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with DeferredHandlers():
                if self._writer is not None:
                    self._writer.close()
        finally:
            self._output.__exit__(kind, error, trace)

    def _lay_out(self) -> None:
        w, n = Writer(), self.n
        self._writer = w  # from now on __exit__ closes it
        w.attribute("", "format", header.DATASET)
        w.attribute("", "format_version", header.VERSION)
        w.attribute("", "shape", np.array(self.shape))
        self._types = {
            "patches": self.dtype.newbyteorder("<"),
            "origin": np.dtype("<i8"),
            "labels": np.dtype("<i8"),
        }
        self._offsets = {
            "patches": w.reserve("patches", (n, math.prod(self.shape)), self.dtype),
            "origin": w.reserve("origin", (n, 3), np.int64),
        }
        if self.labelled:
            self._offsets["labels"] = w.reserve("labels", (n,), np.int64)
            w.label("labels", ("patch",))
        w.label("patches", ("patch", self.values))
        w.label("origin", ("patch", "image, row, column"))

    def _write(self, key: str, rows: Array, at: int) -> None:
        data = np.ascontiguousarray(rows, self._types[key])
        if data.size:
            self._output.write(data.data.cast("B"), self._offsets[key] + at * (data.nbytes // len(data)))


def check_finite_rows(place: str, rows: Array, first: int = 0) -> None:
    """Raise DataError naming the first row that holds NaN or infinity, and how many do."""
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise DataError(
            f"{place}: patch {first + bad[0]} holds NaN or infinity ({len(bad)} such patches here)"
        )


def check_finite_patches(data: Dataset) -> None:
    """Raise DataError if a patch of a data set holds NaN or infinity."""
    if data.patches.dtype.kind == "f":
        for first, rows in pieces(data.patches):
            check_finite_rows(show(data.path), rows, first)


def _check_index(place: str, array: Array | Stored, shape: tuple[int, ...], n: int | None) -> None:
    """Refuse labels, or origins by their first column, that are no indices into `n` names."""
    if array.dtype != np.int64 or array.shape != shape:
        raise DataError(f"{place}: {array.dtype} {array.shape}, wanted int64 {shape}")
    for _, part in pieces(array):
        index = part if part.ndim == 1 else part[:, 0]
        if index.min() < 0 or (n is not None and index.max() >= n):
            raise DataError(f"{place}: index {index.min()}..{index.max()} out of range, {n} names are there")
