"""Codes of a data set file under a model file, written as a data set or as a matrix, in bounded memory."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featlearn.errors import DataError, show
from featlearn.files.atomic import check_output
from featlearn.files.dataset import Dataset, DatasetWriter, read_dataset
from featlearn.files.matrix import FORMATS, Matrix, write_matrix
from featlearn.jobs.callbacks import Bar, Progress, Say, log, no_progress
from featlearn.jobs.formats import suffix
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
    """Codes in a file."""

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
    """Write the codes that a model gives to the rows of a data set; the suffix of `output` says how.

    .npy is the matrix (n, units) of float32; .npz has it as "codes", with "labels" and "label_names" where
    there are any; .csv has a line of names and a line a row, the label last; anything else is a data set.
    Raises DataError, ConfigError.
    """
    inputs = [model, dataset]
    kind = suffix(output)
    if kind not in FORMATS:
        check_hdf5_name(output, list(FORMATS))
    check_output(output, force, inputs)
    learned, data = load_model(model), read_dataset(dataset)
    refuse_other_shape(dataset, data, learned)
    warn_of_unfinished(learned, say)
    n, units = len(data.patches), learned.units
    codes = Preprocess(PreprocessSpec("none"), units, low=math.inf, high=-math.inf)
    with progress(n, "rows") as bar:
        blocks = _watched(_blocks(learned, data), codes, bar, f"{show(model)}: gives", show(dataset))
        if kind in FORMATS:
            matrix = Matrix((n, units), blocks, data.labels, data.label_names)
            write_matrix(output, kind, matrix, force, inputs)
        else:
            labelled = data.labels is not None
            with DatasetWriter(output, n, (1, units, 1), np.float32, labelled, force, inputs) as writer:
                _append(writer, blocks, data)
                images = data.images if _is_located(data) and data.images else [data.path]
                story = provenance(invocation, inputs=inputs)
                writer.finish(codes.to_dict(), images, data.label_names, story)
    hint = None if kind in FORMATS else Next([to_train(output, codes)])
    return Encoded(output, n, units, os.path.getsize(output), codes.low, codes.high, hint)


def _append(writer: DatasetWriter, blocks: Iterator[Array], data: Dataset) -> None:
    """Append codes with the origins and labels of the rows that they are of."""
    start = 0
    for H in blocks:
        stop = start + len(H)
        labels = None if data.labels is None else data.labels[start:stop]
        writer.append(H, _origin(data, start, stop), labels)
        start = stop


def _watched(
    blocks: Iterator[Array], codes: Preprocess, bar: Bar, gives: str, dataset: str
) -> Iterator[Array]:
    """Yield codes, keep their bounds in `codes`, and report them.

    Raises DataError where all are one value.
    """
    for H in blocks:
        codes.low, codes.high = min(codes.low, float(H.min())), max(codes.high, float(H.max()))
        yield H
        bar.advance(len(H))
    if codes.low == codes.high:
        raise DataError(
            f"{gives} {codes.low:g} for every unit and row of {dataset}, so there is nothing to learn from "
            "its codes; train it again"
        )


def _blocks(learned: LoadedModel, data: Dataset) -> Iterator[Array]:
    """Codes (m, units) float32 by blocks of rows. Raises DataError."""
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
        yield H


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
