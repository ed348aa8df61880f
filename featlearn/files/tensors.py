"""Arrays and words in files of other programs: .npz of numpy, .safetensors, columns as .csv."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from featlearn.rows import Array


def npz(arrays: Mapping[str, Array], words: Mapping[str, str]) -> bytes:
    """Return an .npz that holds arrays and, as arrays of one text, words; no pickled objects."""
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **dict(arrays), **{key: np.array(text) for key, text in words.items()})
    return out.getvalue()


def safetensors(arrays: Mapping[str, Array], words: Mapping[str, str]) -> bytes:
    """Return a .safetensors that holds arrays of floats, and words as its metadata.

    Written here, since the library of that name puts the words into another order at every call. A file is
    the length of the header (8 bytes, little-endian), the header in JSON, filled up with spaces to a multiple
    of 8 bytes, and the arrays one after the other, the widest numbers first
    (github.com/huggingface/safetensors).
    """
    header: dict[str, Any] = {"__metadata__": dict(words)}
    parts, at = [], 0
    for name, value in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
        data = np.asarray(value, value.dtype.newbyteorder("<")).tobytes()
        kind = {4: "F32", 8: "F64"}[value.itemsize]
        header[name] = {"dtype": kind, "shape": value.shape, "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def table(columns: Mapping[str, Any]) -> bytes:
    """Return columns of one length as CSV under their names; numbers as they are read back exactly."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True))
    return out.getvalue().encode()
