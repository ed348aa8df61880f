"""Codes of a data set file under a model file, written as a data set of their own, in bounded memory."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.cli.hints import say_next, to_train
from featlearn.cli.report import Words
from featlearn.cli.store import (
    Learned,
    check_hdf5_name,
    load_model,
    provenance,
    refuse_other_shape,
    warn_of_unfinished,
)
from featlearn.errors import DataError, show
from featlearn.files.atomic import check_output
from featlearn.files.dataset import Dataset, DatasetWriter, read_dataset
from featlearn.patches.preprocess import Preprocess, PreprocessSpec
from featlearn.patches.rows import Rows
from featlearn.rows import Array, edges


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    model: str
    dataset: str
    output: str
    force: bool

    @property
    def inputs(self) -> list[str]:
        return [self.model, self.dataset]


def encode(request: Request, words: Words) -> dict[str, Any]:
    """Write the codes. -> what to report. Raises DataError."""
    check_hdf5_name(request.output)
    check_output(request.output, request.force, request.inputs)
    learned, data = load_model(request.model), read_dataset(request.dataset)
    refuse_other_shape(request.dataset, data, learned)
    warn_of_unfinished(learned, words)
    n, units = len(data.patches), learned.units
    codes = Preprocess(PreprocessSpec("none"), units, low=math.inf, high=-math.inf)
    writer = DatasetWriter(
        request.output, n, (1, units, 1), np.float32, data.labels is not None, request.force, request.inputs
    )
    with writer, words.progress(n, "rows") as progress:
        for start, H in _blocks(learned, data):
            stop = start + len(H)
            writer.append(
                H, _origin(data, start, stop), None if data.labels is None else data.labels[start:stop]
            )
            codes.low, codes.high = min(codes.low, float(H.min())), max(codes.high, float(H.max()))
            progress.advance(len(H))
        _refuse_constant(request, codes)
        images = data.images if _is_located(data) and data.images else [data.path]
        writer.finish(codes.to_dict(), images, data.label_names, provenance(inputs=request.inputs))
    say_next(words, to_train(request.output, codes))
    report = {"output": request.output, "codes": n, "units": units, "bytes": os.path.getsize(request.output)}
    return report | {"low": codes.low, "high": codes.high}


def _blocks(learned: Learned, data: Dataset) -> Iterator[tuple[int, Array]]:
    """Codes by blocks of rows: the number of the first, and codes (m, units) float32. Raises DataError."""
    rows = Rows(
        data.patches, learned.preprocess, learned.model.dtype, 0, show(data.path)
    )  # each is needed once
    for start, stop in edges(len(rows)):
        with np.errstate(over="ignore", invalid="ignore"):
            H = learned.model.encode(rows.block(start, stop)).astype(np.float32, copy=False)
        bad = np.flatnonzero(~np.isfinite(H).all(axis=1))
        if len(bad):
            raise DataError(
                f"{show(learned.path)}: its code of row {start + bad[0]} of {show(data.path)} holds NaN or infinity; "
                "train the model again with a lower --lr, or check the data set with featlearn info --verify"
            )
        yield start, H


def _is_located(data: Dataset) -> bool:
    """Whether a data set says where its patches were cut; other programs need not write that."""
    return data.origin is not None and data.images is not None


def _origin(data: Dataset, start: int, stop: int) -> Array:
    """(stop - start, 3) image, row and column of each patch; else it is a row of the data set as of an image."""
    if _is_located(data) and data.origin is not None:
        return data.origin[start:stop]
    return np.asarray(np.arange(start, stop)[:, None] * np.array([0, 1, 0]))


def _refuse_constant(request: Request, codes: Preprocess) -> None:
    if codes.low == codes.high:
        raise DataError(
            f"{show(request.model)}: gives {codes.low:g} for every unit and row of {show(request.dataset)}, so "
            "there is nothing to learn from its codes; train it again"
        )
