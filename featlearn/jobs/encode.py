"""Codes of a data set, or of whole images, under a model file: written as a data set or as a matrix.

Memory stays bounded for any number of them.
"""

import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featlearn import ranks
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.atomic import check_output
from featlearn.files.containers import split_member
from featlearn.files.dataset import Dataset, DatasetWriter, read_dataset
from featlearn.files.matrix import FORMATS, Matrix, write_matrix
from featlearn.jobs.callbacks import Bar, Progress, Say, log, no_progress
from featlearn.jobs.cutting import is_of_featlearn
from featlearn.jobs.formats import suffix
from featlearn.jobs.hints import to_train
from featlearn.jobs.images import WholeImages, images_in_data_set, images_in_files
from featlearn.jobs.results import UNREPORTED, Next, Result, optional
from featlearn.jobs.settings import ImageFiles, OneLayer, Sliding
from featlearn.jobs.store import (
    LoadedModel,
    check_hdf5_name,
    load_model,
    provenance,
    refuse_other_patches,
    refuse_other_reading,
    refuse_others_on_ranks,
    shape_words,
    upto_layer,
    warn_of_unfinished,
)
from featlearn.patches.fitter import Fitter
from featlearn.patches.rows import Rows
from featlearn.patches.settings import PreprocessSpec
from featlearn.patches.sliding import Slide, codes_of_images
from featlearn.rows import Array, edges
from featlearn.settings import option_name, refuse_idle, to_dict

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
    shape: tuple[int, int, int] | None = optional()
    """Of an image's codes: rows and columns of the grid, values at each."""
    skipped: int | None = optional()
    """Images that could not be used."""
    next: Next | None = field(default=None, repr=False, metadata=UNREPORTED)


@dataclass(frozen=True)
class _Codes:
    """Codes on their way into a file: `blocks` of (m, values) float32, and what they are of."""

    count: int
    shape: tuple[int, int, int]
    blocks: Iterator[Array]
    what: str
    images: list[str]
    origin: Callable[[int, int], Array]
    labels: Array | None
    label_names: list[str] | None


def encode(
    model: str,
    inputs: Sequence[str],
    output: str,
    *,
    sliding: Sliding | None = None,
    images: ImageFiles | None = None,
    upto: OneLayer | None = None,
    force: bool = False,
    given: Collection[str] = (),
    invocation: Mapping[str, Any] = JOB,
    progress: Progress = no_progress,
    say: Say = log,
) -> Encoded:
    """Write the codes that a model gives to the rows of a data set, or to images that it slides over.

    `inputs` are a data set, or names of image files and folders. The model slides over images, and over rows
    of a data set that are larger than its patches. The suffix of `output` says how codes are written: .npy is
    the matrix (n, units) of float32; .npz has it as "codes", with "labels" and "label_names" where there are
    any; .csv has a line of names and a line a row, the label last; anything else is a data set. Of a stack
    the codes are those of the layer `upto`, or of the top one. `given` settings are refused where they
    do nothing. Raises DataError, ConfigError.
    """
    sliding, images, layer = sliding or Sliding(), images or ImageFiles(), (upto or OneLayer()).layer
    if not inputs:
        raise ConfigError("no INPUT: give a data set, image files or folders")
    files = [split_member(name)[0] for name in inputs]
    named = [model, *(name for name in (*files, images.labels) if name and os.path.exists(name))]
    kind = suffix(output)
    if kind not in FORMATS:
        check_hdf5_name(output, list(FORMATS))
    elif "normalize" in given:
        raise ConfigError(f"--normalize: says how a data set is read; {kind} is none, leave it out")
    check_output(output, force, named)
    learned = upto_layer(load_model(model), layer)
    warn_of_unfinished(learned, say)
    refuse_others_on_ranks(learned)
    slide = Slide(learned.shape, sliding.stride, sliding.grid, sliding.pooling)
    whole: WholeImages | None = None
    if any(map(is_of_featlearn, files)):
        data = _data_set(inputs, given)
        refuse_others_on_ranks(data)
        if _is_larger(data, learned):
            those = f"{show(model)} was trained on patches of"
            refuse_other_reading(data, learned.preprocess, those, model, say)
            whole = images_in_data_set(data, slide)
        else:
            refuse_idle(sliding, given, {"input": "patches"})
            refuse_other_patches(data, learned, say)
            codes = _codes_of_rows(data, learned)
    else:
        whole = images_in_files(inputs, learned, slide, images, say, progress)
    if whole is not None:
        say(_words(whole, slide))
        codes = _codes_of_images(whole, learned, slide, inputs[0])
    if ranks.rank:
        for _ in codes.blocks:  # which the first rank takes
            pass
        return Encoded(output, codes.count, math.prod(codes.shape), 0, math.nan, math.nan)
    fitter = Fitter(PreprocessSpec(sliding.normalize).resolve(), math.prod(codes.shape), np.float32)
    bounds = [math.inf, -math.inf]
    with progress(codes.count, codes.what) as bar:
        blocks = _watched(codes.blocks, bounds, bar, f"{show(model)}: gives", show(inputs[0]))
        if kind in FORMATS:
            matrix = Matrix((codes.count, math.prod(codes.shape)), blocks, codes.labels, codes.label_names)
            write_matrix(output, kind, matrix, force, named)
            hint = None
        else:
            labelled = codes.labels is not None
            with DatasetWriter(
                output, codes.count, codes.shape, np.float32, labelled, force, named, "unit"
            ) as writer:
                _append(writer, blocks, codes, fitter)
                preprocess = fitter.finish()
                for warning in preprocess.warnings:
                    say(f"warning: {warning}")
                story = provenance(invocation, inputs=named)
                if layer is not None:
                    story |= {"layer": layer}
                if whole is not None:
                    story |= {"sliding": to_dict(sliding) | {"pool": sliding.grid or "none"}}
                writer.finish(preprocess.to_dict(), codes.images, codes.label_names, story)
            hint = Next([to_train(output, preprocess)])
    return Encoded(
        output=output,
        codes=codes.count,
        units=math.prod(codes.shape),
        bytes=os.path.getsize(output),
        low=bounds[0],
        high=bounds[1],
        shape=None if whole is None else codes.shape,
        skipped=None if whole is None else whole.skipped,
        next=hint,
    )


def _data_set(inputs: Sequence[str], given: Collection[str]) -> Dataset:
    """Open the data set that is the one input. Raises ConfigError, DataError."""
    if len(inputs) > 1:
        raise ConfigError("several INPUTs are images, and one of them is a featlearn file; give it alone")
    for name in to_dict(ImageFiles()):
        if name in given:
            raise ConfigError(f"{option_name(name)}: does nothing with a data set as INPUT; leave it out")
    return read_dataset(inputs[0])


def _is_larger(data: Dataset, learned: LoadedModel) -> bool:
    """Whether rows of a data set are images for a model to slide over; rows of numbers are none."""
    ours, theirs = data.shape, learned.shape
    return (
        theirs[0] > 1
        and ours[2] == theirs[2]
        and ours != theirs
        and ours[0] >= theirs[0]
        and ours[1] >= theirs[1]
    )


def _words(whole: WholeImages, slide: Slide) -> str:
    """Say at which places there will be codes, and what becomes of them."""
    found = f"{whole.count:,} images"
    if whole.size is not None:
        found += f" of {shape_words(whole.size)}: {shape_words(slide.places(*whole.size))} places in each"
    if slide.pool is None:
        return f"{found}, the codes of all"
    return f"{found}, the {slide.pooling} of the codes over each of {shape_words(slide.pool)} cells"


def _append(writer: DatasetWriter, blocks: Iterator[Array], codes: _Codes, fitter: Fitter) -> None:
    """Append codes with the origins and labels of what they are of, and fit how they are read."""
    start = 0
    for H in blocks:
        stop = start + len(H)
        fitter.update(H)
        writer.append(
            H, codes.origin(start, stop), None if codes.labels is None else codes.labels[start:stop]
        )
        start = stop


def _watched(
    blocks: Iterator[Array], bounds: list[float], bar: Bar, gives: str, place: str
) -> Iterator[Array]:
    """Yield codes, keep their `bounds`, and report them.

    Raises DataError where all are one value.
    """
    for H in blocks:
        bounds[:] = min(bounds[0], float(H.min())), max(bounds[1], float(H.max()))
        yield H
        bar.advance(len(H))
    if bounds[0] == bounds[1]:
        raise DataError(
            f"{gives} {bounds[0]:g} for every unit and row of {place}, so there is nothing to learn from "
            "its codes; train it again"
        )


def _codes_of_rows(data: Dataset, learned: LoadedModel) -> _Codes:
    """Return the codes of a data set row by row."""
    rows = Rows(data.patches, learned.preprocess, learned.model.dtype, 0, show(data.path))  # needed once

    cut = list(edges(len(rows)))

    def made(i: int) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return learned.model.encode(rows.block(*cut[i])).astype(np.float32, copy=False)

    def empty(i: int) -> Array:
        return np.empty((cut[i][1] - cut[i][0], learned.units), np.float32)

    def origin(start: int, stop: int) -> Array:
        if data.origin is None or data.images is None:
            return _numbered(start, stop, 1)
        return data.origin[start:stop]

    # Other programs need not write where patches were cut; then a row counts as an image of the data set.
    images = data.images if data.origin is not None and data.images else [data.path]
    shape = (1, learned.units, 1)
    blocks = _checked(ranks.to_first(made, empty, len(cut)), learned, f"row {{}} of {show(data.path)}")
    return _Codes(len(rows), shape, blocks, "rows", images, origin, data.labels, data.label_names)


def _codes_of_images(whole: WholeImages, learned: LoadedModel, slide: Slide, place: str) -> _Codes:
    """Return the codes of images that a model slides over, by rows."""

    model, grid = learned.model, slide.grid(*(whole.size or slide.least))
    units = math.prod(grid) * learned.units

    def made(i: int) -> Array:
        start, stop = whole.parts[i]
        stacks = whole.stacks(start, stop)
        found = codes_of_images(stacks, slide, model, learned.preprocess, model.dtype, show(place), start)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.concatenate([H.reshape(len(H), -1).astype(np.float32, copy=False) for H in found])

    def empty(i: int) -> Array:
        return np.empty((whole.parts[i][1] - whole.parts[i][0], units), np.float32)

    blocks = _checked(ranks.to_first(made, empty, len(whole.parts)), learned, f"image {{}} of {show(place)}")
    return _Codes(
        whole.count, (*grid, learned.units), blocks, "images", whole.names,
        lambda start, stop: _numbered(start, stop, 0), whole.labels, whole.label_names,
    )  # fmt: skip


def _checked(blocks: Iterator[Array], learned: LoadedModel, place: str) -> Iterator[Array]:
    """Yield codes. Raises DataError for those that are not finite; `place` has a {} for a row's number."""
    start = 0
    for H in blocks:
        bad = np.flatnonzero(~np.isfinite(H).all(axis=1))
        if len(bad):
            raise DataError(
                f"{show(learned.path)}: its code of {place.format(start + bad[0])} holds NaN or infinity; "
                "train the model again with a lower --lr, or check the data set with featlearn info --verify"
            )
        yield H
        start += len(H)


def _numbered(start: int, stop: int, column: int) -> Array:
    """Return origins (stop - start, 3) that count in one column: 0 images, 1 rows of one image."""
    origin = np.zeros((stop - start, 3), np.int64)
    origin[:, column] = np.arange(start, stop)
    return origin
