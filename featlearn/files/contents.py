"""What data sets and models have in common inside."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from featlearn.errors import DataError, show
from featlearn.files import header
from featlearn.files.atomic import Output
from featlearn.files.hdf5 import Reader, Writer
from featlearn.files.json_text import from_json


def seal(out: Output, kind: str, size: int, writer: Writer) -> str:
    """Write what HDF5 made, and the user block with the SHA-256 of all behind it; the digest."""
    for offset, piece in writer.pieces():
        out.write(piece, offset)
    out.truncate(size)

    def written() -> Iterator[bytes]:
        at = header.SIZE
        while part := out.read(1 << 22, at):
            yield part
            at += len(part)

    digest = header.digest(written())
    out.write(header.make(kind, digest), 0)
    return digest


def read_shape(path: str, reader: Reader, group: str = "") -> tuple[int, int, int]:
    """The attribute shape of a group, "" the root: (height, width, channels)."""
    value = reader.attribute(group, "shape")
    if (
        not isinstance(value, np.ndarray)
        or value.shape != (3,)
        or value.dtype.kind not in "iu"
        or value.min() < 1
    ):
        raise DataError(f"{show(path)}: shape: {value!r:.60}, wanted height, width and channels")
    height, width, channels = (int(v) for v in value)
    return height, width, channels


def read_plain(path: str, reader: Reader, group: str) -> dict[str, Any]:
    """A group of plain values, all finite."""
    values = reader.plain(group)
    check_finite(show(path), group, values)
    return values


def read_json(path: str, key: str, value: Any) -> dict[str, Any]:
    """A dictionary from a text attribute, or from a data set of one text."""
    text = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(text, str):
        raise DataError(f"{show(path)}: {key}: is missing or no text")
    return from_json(f"{show(path)}: {key}", text)


def check_finite(place: str, group: str, values: Mapping[str, Any]) -> None:
    """Raise DataError if a number in `values` is NaN or infinite."""
    for name, value in values.items():
        if isinstance(value, np.ndarray | float | np.floating):
            bad = int(np.size(value) - np.isfinite(value).sum())
            if bad:
                raise DataError(
                    f"{place}: {group}/{name}: {bad} of {np.size(value)} values are not finite numbers"
                )
