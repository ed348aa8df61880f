"""Arrays and words in files of other programs: .npz of numpy, .safetensors, columns as .csv."""

import csv
import io
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
    """Return a .safetensors that holds arrays, and words as its metadata."""
    from safetensors.numpy import save

    made = save({name: np.ascontiguousarray(value) for name, value in arrays.items()}, dict(words))
    return bytes(made)


def table(columns: Mapping[str, Any]) -> bytes:
    """Return columns of one length as CSV under their names; numbers as they are read back exactly."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True))
    return out.getvalue().encode()
