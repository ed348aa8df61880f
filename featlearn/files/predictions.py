"""Predicted classes and their probabilities in files of other programs: .csv and .npz, in bounded memory."""

import csv
import io
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.files.matrix import FLOAT, add_array, write_rows, write_stream
from featlearn.rows import Array


@dataclass(frozen=True)
class Predictions:
    """Probabilities (n, classes) that come by blocks of rows.

    `predicted` (n,) are the indices of the classes, known of a block once it has come; `labels` (n,) those
    that the rows really have, where that is known.
    """

    classes: list[str]
    blocks: Iterable[Array]
    predicted: Array
    labels: Array | None

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.predicted), len(self.classes)


def write_predictions(
    path: str, suffix: str, found: Predictions, force: bool = False, inputs: Iterable[str] = ()
) -> None:
    """Write predictions in the format of a suffix, one of FORMATS. Raises DataError."""
    needs = 0 if suffix == ".csv" else found.shape[0] * (found.shape[1] * FLOAT.itemsize + 16)
    write_stream(path, needs, lambda file: FORMATS[suffix](file, found), force, inputs)


def _npz(file: Any, found: Predictions) -> None:
    """The probabilities, then "predicted", "classes" and, where they are known, "labels"."""
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("probabilities.npy", "w", force_zip64=True) as member:
            write_rows(member, found.shape, found.blocks)
        add_array(archive, "predicted", found.predicted)
        add_array(archive, "classes", np.array(found.classes))
        if found.labels is not None:
            add_array(archive, "labels", found.labels)


def _csv(file: Any, found: Predictions) -> None:
    """A line of names, then a line a row: the class, the label where it is known, the probabilities."""
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    labelled = [] if found.labels is None else ["label"]
    writer.writerow(["predicted", *labelled, *(f"p({name})" for name in found.classes)])
    at = 0
    for rows in found.blocks:
        for row in rows.astype(FLOAT):
            label = [] if found.labels is None else [found.classes[found.labels[at]]]
            writer.writerow([found.classes[found.predicted[at]], *label, *map(str, row)])
            at += 1
    text.detach()


FORMATS: dict[str, Callable[[Any, Predictions], None]] = {".csv": _csv, ".npz": _npz}
