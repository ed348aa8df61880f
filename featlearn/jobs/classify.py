"""Classes of the rows of a data set, told by a model that has learned classes."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn import ranks
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.atomic import check_output
from featlearn.files.dataset import Dataset, DatasetWriter, read_dataset
from featlearn.files.predictions import FORMATS, Predictions, write_predictions
from featlearn.jobs.callbacks import Bar, Progress, Say, log, no_progress
from featlearn.jobs.classes import known_classes
from featlearn.jobs.formats import suffix
from featlearn.jobs.results import UNREPORTED, Result, optional
from featlearn.jobs.store import (
    LoadedModel,
    check_hdf5_name,
    load_model,
    provenance,
    refuse_other_patches,
    refuse_others_on_ranks,
    warn_of_unfinished,
)
from featlearn.models.base import IsClassifier
from featlearn.ops.softmax import predicted
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows
from featlearn.patches.settings import PreprocessSpec
from featlearn.rows import Array, edges

JOB = {"job": "classify"}


@dataclass(frozen=True)
class Classified(Result):
    """Predictions in a file, and how good they are where the data set has labels."""

    output: str
    rows: int
    classes: list[str]
    bytes: int
    error_rate: float | None = optional()
    """The share of rows put into the wrong class."""
    confusion: Mapping[str, list[int]] | None = optional()
    """By the class of rows, how many of them were put into each of the classes, in their order."""
    predicted: npt.NDArray[np.int64] | None = field(default=None, repr=False, metadata=UNREPORTED)
    """(n,) the class of each row, as the model numbers them."""


def classify(
    model: str,
    dataset: str,
    output: str,
    *,
    force: bool = False,
    invocation: Mapping[str, Any] = JOB,
    progress: Progress = no_progress,
    say: Say = log,
) -> Classified:
    """Write the class of each row and the probabilities of all; the suffix of `output` says how.

    .csv has a line of names and a line a row, .npz arrays; .h5 or another is a data set of the probabilities
    with the predicted classes as its labels. Raises DataError, ConfigError.
    """
    inputs = [model, dataset]
    kind = suffix(output)
    if kind not in FORMATS:
        check_hdf5_name(output, list(FORMATS))
    check_output(output, force, inputs)
    learned, data = load_model(model), read_dataset(dataset)
    refuse_others_on_ranks(learned, data)
    if not isinstance(learned.model, IsClassifier) or learned.file.classes is None:
        raise ConfigError(
            f"{show(model)}: is a {learned.file.model} model, which knows no classes; featlearn finetune "
            "makes a net of it that does"
        )
    refuse_other_patches(data, learned, say)
    warn_of_unfinished(learned, say)
    names = learned.file.classes
    wanted = None if data.labels is None else known_classes(data, learned)
    found = np.empty(len(data.patches), np.int64)
    with progress(len(found), "rows") as bar:
        blocks = _blocks(learned, data, found, bar)
        if ranks.rank:
            for _ in blocks:  # which the first rank takes
                pass
            return Classified(output, len(found), names, 0)
        if kind in FORMATS:
            write_predictions(output, kind, Predictions(names, blocks, found, wanted), force, inputs)
        else:
            with DatasetWriter(
                output, len(found), (1, len(names), 1), np.float32, True, force, inputs, "class"
            ) as writer:
                _append(writer, blocks, found)
                share = Preprocess(PreprocessSpec("none"), len(names), low=0.0, high=1.0)
                writer.finish(share.to_dict(), [data.path], names, provenance(invocation, inputs=inputs))
    judged = {} if wanted is None else _judged(found, wanted, names)
    return Classified(output, len(found), names, os.path.getsize(output), **judged, predicted=found)


def _blocks(learned: LoadedModel, data: Dataset, found: npt.NDArray[np.int64], bar: Bar) -> Iterator[Array]:
    """Yield probabilities (m, classes) by blocks of rows, their classes in `found`. Raises DataError."""
    rows = Rows(data.patches, learned.preprocess, learned.model.dtype, 0, show(data.path))
    assert isinstance(learned.model, IsClassifier)
    model, cut = learned.model, list(edges(len(rows)))

    def made(i: int) -> Array:
        return model.probabilities(rows.block(*cut[i]))

    def empty(i: int) -> Array:
        return np.empty((cut[i][1] - cut[i][0], len(learned.file.classes or ())), model.dtype)

    for (start, stop), P in zip(cut, ranks.to_first(made, empty, len(cut)), strict=False):
        if not np.isfinite(P).all():
            raise DataError(f"{show(learned.path)}: gives probabilities that are no numbers; train it again")
        found[start:stop] = predicted(P)
        yield P.astype(np.float32, copy=False)
        bar.advance(len(P))


def _append(writer: DatasetWriter, blocks: Iterator[Array], found: npt.NDArray[np.int64]) -> None:
    start = 0
    for P in blocks:
        stop = start + len(P)
        origin = np.arange(start, stop)[:, None] * np.array([0, 1, 0])
        writer.append(P, origin, found[start:stop])
        start = stop


def _judged(found: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], names: list[str]) -> dict[str, Any]:
    """Return the error, and how many rows of each class were put into which."""
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (wanted, found), 1)
    table = {name: row.tolist() for name, row in zip(names, counts, strict=True)}
    return {"error_rate": float(np.mean(found != wanted)), "confusion": table}
