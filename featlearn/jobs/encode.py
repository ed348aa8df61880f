"""Codes of a data set file under a model file, written as a data set of their own, in bounded memory."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featlearn.errors import DataError, show
from featlearn.files.atomic import check_output
from featlearn.files.dataset import Dataset, DatasetWriter, read_dataset
from featlearn.jobs.callbacks import Progress, Say, log, no_progress
from featlearn.jobs.hints import to_train
from featlearn.jobs.results import UNREPORTED, Next, Result
from featlearn.jobs.store import (
    LoadedModel,
    check_hdf5_name,
    load_model,
    provenance,
    refuse_other_shape,
    warn_of_unfinished,
)
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows
from featlearn.patches.settings import PreprocessSpec
from featlearn.rows import Array, edges

JOB = {"job": "encode"}


@dataclass(frozen=True)
class Encoded(Result):
    """A data set of codes."""

    output: str
    codes: int
    units: int
    """How many values a code has."""
    bytes: int
    low: float
    high: float
    next: Next | None = field(default=None, repr=False, metadata=UNREPORTED)


def encode(
    model: str,
    dataset: str,
    output: str,
    *,
    force: bool = False,
    invocation: Mapping[str, Any] = JOB,
    progress: Progress = no_progress,
    say: Say = log,
) -> Encoded:
    """Write the codes that a model gives to the rows of a data set. Raises DataError."""
    inputs = [model, dataset]
    check_hdf5_name(output)
    check_output(output, force, inputs)
    learned, data = load_model(model), read_dataset(dataset)
    refuse_other_shape(dataset, data, learned)
    warn_of_unfinished(learned, say)
    n, units = len(data.patches), learned.units
    codes = Preprocess(PreprocessSpec("none"), units, low=math.inf, high=-math.inf)
    writer = DatasetWriter(output, n, (1, units, 1), np.float32, data.labels is not None, force, inputs)
    with writer, progress(n, "rows") as bar:
        for start, H in _blocks(learned, data):
            stop = start + len(H)
            writer.append(
                H, _origin(data, start, stop), None if data.labels is None else data.labels[start:stop]
            )
            codes.low, codes.high = min(codes.low, float(H.min())), max(codes.high, float(H.max()))
            bar.advance(len(H))
        if codes.low == codes.high:
            raise DataError(
                f"{show(model)}: gives {codes.low:g} for every unit and row of {show(dataset)}, so "
                "there is nothing to learn from its codes; train it again"
            )
        images = data.images if _is_located(data) and data.images else [data.path]
        writer.finish(codes.to_dict(), images, data.label_names, provenance(invocation, inputs=inputs))
    size = os.path.getsize(output)
    return Encoded(output, n, units, size, codes.low, codes.high, Next([to_train(output, codes)]))


def _blocks(learned: LoadedModel, data: Dataset) -> Iterator[tuple[int, Array]]:
    """Codes by blocks of rows: the number of the first, and codes (m, units) float32. Raises DataError."""
    # each is needed once
    rows = Rows(data.patches, learned.preprocess, learned.model.dtype, 0, show(data.path))
    for start, stop in edges(len(rows)):
        with np.errstate(over="ignore", invalid="ignore"):
            H = learned.model.encode(rows.block(start, stop)).astype(np.float32, copy=False)
        bad = np.flatnonzero(~np.isfinite(H).all(axis=1))
        if len(bad):
            raise DataError(
                f"{show(learned.path)}: its code of row {start + bad[0]} of {show(data.path)} "
                "holds NaN or infinity; "
                "train the model again with a lower --lr, or check the data set with featlearn info --verify"
            )
        yield start, H


def _is_located(data: Dataset) -> bool:
    """Whether a data set says where its patches were cut; other programs need not write that."""
    return data.origin is not None and data.images is not None


def _origin(data: Dataset, start: int, stop: int) -> Array:
    """Return image, row and column of each patch, (stop - start, 3).

    A row that is no patch counts as an image of the data set.
    """
    if _is_located(data) and data.origin is not None:
        return data.origin[start:stop]
    return np.asarray(np.arange(start, stop)[:, None] * np.array([0, 1, 0]))
