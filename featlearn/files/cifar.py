"""Batches of CIFAR-10 and CIFAR-100 in both forms in which they are published: binary, and pickled by Python.

A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
"""

import os
from typing import Any, NamedTuple

import numpy as np

from featlearn.errors import DataError, show
from featlearn.files.array_source import ArraySource
from featlearn.files.paths import check_regular, open_regular
from featlearn.files.pickles import read_pickle
from featlearn.files.stored import Descriptor, Stored, pieces
from featlearn.rows import Array

CIFAR_PIXELS = 3 * 32 * 32
CIFAR_TEXT = 1 << 16  # bytes of a text of names
CIFAR_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
"""How a pickle begins, by its protocol."""


class Cifar(NamedTuple):
    """A kind of batches: labels in a binary row, classes, the text with their names, and so of pickles."""

    name: str
    labels: int
    classes: int
    names_in: str
    pickled_labels: str
    pickle_of_names: str
    pickled_names: str


CIFAR = (
    Cifar("CIFAR-10", 1, 10, "batches.meta.txt", "labels", "batches.meta", "label_names"),
    Cifar("CIFAR-100", 2, 100, "fine_label_names.txt", "fine_labels", "meta", "fine_label_names"),
)


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
    return _batch(path, color, kind, rows, labels)


def open_pickled_cifar(path: str, color: str) -> ArraySource:
    """A batch as Python pickled it: "data" (n, 3072) uint8 and "labels", of CIFAR-100 "fine_labels".

    Names of labels stand in the pickle beside it, batches.meta or meta, or in the text of the binary form.
    """
    held = _texts(path)
    kind = next((kind for kind in CIFAR if kind.pickled_labels in held and "data" in held), None)
    if kind is None:
        names = next((kind for kind in CIFAR if kind.pickled_names in held), None)
        found = "holds the names of labels" if names else "is a pickle of something else"
        raise DataError(f"{show(path)}: {found}, wanted a batch of CIFAR, e.g. data_batch_1 or train")
    rows, labels = held["data"], held[kind.pickled_labels]
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.shape[1:] != (CIFAR_PIXELS,):
        raise DataError(f"{show(path)}: 'data' is no array (n, {CIFAR_PIXELS}) of uint8, as CIFAR's is")
    if not len(rows):
        raise DataError(f"{show(path)}: is empty")
    values = labels.tolist() if isinstance(labels, np.ndarray) else labels
    good = isinstance(values, list) and all(type(one) is int and 0 <= one < 1 << 31 for one in values)
    if not good or len(values) != len(rows):
        raise DataError(f"{show(path)}: {kind.pickled_labels!r} are no {len(rows):,} whole numbers from 0 on")
    return _batch(path, color, kind, rows, np.array(values, np.int64))


def _batch(path: str, color: str, kind: Cifar, rows: Array | Stored, labels: Array) -> ArraySource:
    """Return a batch as images. Raises DataError for labels beyond the classes."""
    names = _names_beside(path, kind)
    most = len(names) if names else kind.classes
    if labels.max() >= most:
        raise DataError(f"{show(path)}: label {labels.max()}, wanted 0..{most - 1}: no {kind.name} batch")
    return ArraySource(path, rows, color, labels, names, True, _cifar_image)


def _cifar_image(entry: Array) -> Array:
    """Labels and planes of red, green and blue as (32, 32, 3)."""
    return entry[-CIFAR_PIXELS:].reshape(3, 32, 32).transpose(1, 2, 0)


def _names_beside(path: str, kind: Cifar) -> list[str] | None:
    """Return the names of labels in the pickle or the text beside a batch, else the usual ones.

    In the text they stand in a line each. Raises DataError for what holds no such names.
    """
    folder = os.path.dirname(path)
    beside = os.path.join(folder, kind.pickle_of_names)
    names: list[Any] = []
    if os.path.isfile(beside):
        held = _texts(beside).get(kind.pickled_names)
        names = [_text(name) for name in held] if isinstance(held, list) else []
    else:
        beside = os.path.join(folder, kind.names_in)
        if not os.path.isfile(beside):
            return list(CIFAR_NAMES) if kind.classes == len(CIFAR_NAMES) else None
        names = _lines(beside)
    odd = not all(isinstance(name, str) and name and "\0" not in name for name in names)
    if odd or not 1 <= len(names) <= 256 or len(set(names)) < len(names):
        raise DataError(f"{show(beside)}: wanted the names of the labels of {show(path)}, all different")
    return names


def _lines(path: str) -> list[str]:
    """Return the lines of a text; none of what is no text."""
    with open_regular(path) as file:
        raw = file.read(CIFAR_TEXT)
    try:
        return [line.strip() for line in raw.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        return []


def _texts(path: str) -> dict[str, Any]:
    """Return the dictionary in a pickle by texts; Python 2 wrote them as bytes. Raises DataError."""
    held = read_pickle(path)
    if not isinstance(held, dict):
        raise DataError(f"{show(path)}: is a pickle of something else, wanted one of CIFAR's")
    return {str(_text(key)): value for key, value in held.items()}


def _text(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value
