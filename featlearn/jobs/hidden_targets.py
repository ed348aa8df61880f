"""Wanted activities of hidden units, from a file: a row for each row of the data, or one for all."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featlearn.errors import DataError, show
from featlearn.files.dataset import read_dataset
from featlearn.files.header import DATASET, file_kind
from featlearn.files.sources import open_sources
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows
from featlearn.rows import Array


@dataclass(frozen=True)
class HiddenTargets:
    """Targets (rows, hidden) of the hidden units, by the number of a row in the data, and their SHA-256."""

    values: Array
    digest: str


def read_hidden_targets(path: str, rows: int, hidden: int, binary: bool, dtype: str) -> HiddenTargets:
    """Read targets of so many rows and hidden units: a matrix of any file of numbers, or codes in a data set.

    One row is that of all. `binary` units have targets in 0..1, others from 0 on. Raises DataError.
    """
    found = _matrix(path, np.dtype(dtype))
    if found.shape not in ((rows, hidden), (1, hidden)):
        raise DataError(
            f"--hidden-targets: {show(path)}: {found.shape[0]:,} rows of {found.shape[1]:,} values, wanted "
            f"{rows:,} rows, as the data have, or 1, of {hidden:,} values, as there are hidden units"
        )
    high = 1 if binary else np.inf
    wrong = np.flatnonzero(~((found >= 0) & (found <= high)).all(axis=1))
    if len(wrong):
        range_words = "0..1" if binary else "0 or more"
        raise DataError(
            f"--hidden-targets: {show(path)}: row {wrong[0]} has values beyond {range_words}, "
            f"or that are no numbers ({len(wrong):,} such rows); make them activities of hidden units"
        )
    sha = hashlib.sha256(f"{found.shape}\n".encode() + found.astype("<f8").tobytes())
    return HiddenTargets(np.broadcast_to(found, (rows, hidden)), sha.hexdigest())


def _matrix(path: str, dtype: npt.DTypeLike) -> Array:
    """Return the rows of a data set as they are read, or of another file of numbers. Raises DataError."""
    try:
        is_dataset = file_kind(path) == DATASET
    except DataError:
        is_dataset = False
    if is_dataset:
        data = read_dataset(path)
        rows = Rows(data.patches, Preprocess.from_dict(data.preprocess), dtype, memory=0, name=show(path))
        return rows.block(0, len(rows))
    (source, *others) = open_sources([path])
    if others or not len(source) or source.read(0).shape[0] != 1:
        raise DataError(f"--hidden-targets: {show(path)}: wanted one matrix of numbers (rows, hidden units)")
    return np.concatenate([source.read(i)[:, :, 0] for i in range(len(source))]).astype(dtype)
