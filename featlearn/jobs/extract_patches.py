"""Cut patches out of images into a data set, with fitted preprocessing."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featlearn import ranks
from featlearn.errors import ConfigError, show
from featlearn.files.atomic import check_output, free_space_check
from featlearn.files.containers import split_member
from featlearn.files.dataset import DatasetWriter
from featlearn.files.header import MODEL, file_kind
from featlearn.files.sources import read_paths
from featlearn.jobs.callbacks import Progress, Say, log, no_progress
from featlearn.jobs.cutting import Cutting, PlannedPatches, plan_patches
from featlearn.jobs.hints import to_measure, to_train
from featlearn.jobs.pictures import PATCHES, patches_inside
from featlearn.jobs.results import UNREPORTED, Next, Result, optional
from featlearn.jobs.settings import Images
from featlearn.jobs.store import check_hdf5_name, provenance
from featlearn.patches.extract import Plan
from featlearn.patches.fitter import Fitter
from featlearn.patches.pairs import PAIR_CHANNELS
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import Extraction, PreprocessSpec
from featlearn.rows import Array

__all__ = ["Extracted", "extract_patches", "read_paths"]

JOB = {"job": "extract_patches"}


@dataclass(frozen=True)
class Extracted(Result):
    """A data set that was made, or would be by a dry run."""

    output: str
    patches: int
    shape: tuple[int, int, int]
    """(height, width, channels)."""
    dtype: str
    bytes: int
    images: int
    skipped: int
    """Images that could not be used."""
    normalize: str | None
    whiten: str | None
    preprocess_reason: str | None
    """Why the preprocessing was chosen, where nothing was said of it."""
    low: float | None = None
    high: float | None = None
    """Between which values the preprocessed data lie, where that is known."""
    rest: str | None = optional()
    """The data set of the images that --first left."""
    rest_patches: int | None = optional()
    visible: str | None = optional()
    """The visible units that suit them; None of a dry run."""
    next: Next | None = field(default=None, repr=False, metadata=UNREPORTED)

    def report(self) -> dict[str, Any]:
        found = super().report()
        if self.visible is None:  # nothing was fitted
            del found["low"], found["high"]
        return found


def extract_patches(
    inputs: Sequence[str],
    output: str,
    *,
    extraction: Extraction | None = None,
    preprocess: PreprocessSpec | None = None,
    images: Images | None = None,
    like: str | None = None,
    rest: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    given: Collection[str] = (),
    invocation: Mapping[str, Any] = JOB,
    progress: Progress = no_progress,
    say: Say = log,
) -> Extracted:
    """Cut patches out of images into a data set, and fit its preprocessing.

    `inputs` are names of files, of folders, or of images to generate; `like` is a data set or a model to take
    size and preprocessing from. Images that are not among the first ones asked for become a data set, too:
    the `rest`, with the same preprocessing. A `dry_run` writes nothing. `given` settings are refused where
    they do nothing. Raises DataError, ConfigError.
    """
    spec, images = preprocess or PreprocessSpec(), images or Images()
    if not inputs:
        raise ConfigError("no INPUT: give image files, folders, or dead-leaves for generated images")
    if rest is not None and images.first is None:
        raise ConfigError("--rest: gets the images that --first leaves; add that or leave it out")
    named = [split_member(name)[0] for name in (*inputs, like, images.labels) if name]
    files = [name for name in named if os.path.exists(name)]
    outputs = [output] if rest is None else [output, rest]
    for path in outputs:
        check_hdf5_name(path)
        if not dry_run:
            check_output(path, force, files)
    if len(set(map(os.path.realpath, outputs))) < len(outputs):
        raise ConfigError(f"--rest {show(output)}: is the output itself; name another file")
    cutting = Cutting(extraction or Extraction(), spec, images)
    planned = plan_patches(inputs, cutting, like, output, rest, given, progress, say, shared=True)
    plans, plan, resolved, reason = planned.plans, planned.plans[0], planned.spec, planned.reason
    found: dict[str, Any] = {
        "output": output, "patches": plan.n, "shape": plan.shape, "dtype": str(plan.dtype),
        "bytes": plan.n_bytes, "images": len(plan.images), "skipped": sum(one.skipped for one in plans),
        "normalize": resolved.normalize, "whiten": resolved.whiten, "preprocess_reason": reason,
    }  # fmt: skip
    if rest is not None:
        found |= {"rest": rest, "rest_patches": plans[1].n}
    if dry_run:
        return Extracted(**found)
    if ranks.rank:
        for one in plans:
            for _ in one.blocks():  # which the first rank takes
                pass
        return Extracted(**found)
    pairs = plan.shape[2] in PAIR_CHANNELS
    fit = planned.fit
    more = [name for name in (images.labels, like) if name and os.path.isfile(name)]

    def story() -> dict[str, Any]:
        return provenance(invocation, seed=plan.extraction.seed, inputs=[*inputs, *more]) | planned.story

    for path, one in zip(outputs, plans, strict=True):
        writer = DatasetWriter(path, one.n, one.shape, one.dtype, one.labels is not None, force, files)
        fit = _write(writer, one, fit, planned, story, say, progress)
    assert isinstance(fit, Preprocess)
    return Extracted(**found, **_range(fit), next=_next(output, fit, like, pairs))


def _next(output: str, preprocess: Preprocess, like: str | None, pairs: bool) -> Next:
    """Say what to do next: measure on a data set that is like another, learn from any other."""
    if like is None:
        return Next([to_train(output, preprocess, pairs)])
    if file_kind(like) == MODEL:
        return Next(to_measure(like, output))
    note = f"where MODEL is one that has learned from {show(like)}"
    return Next(to_measure("MODEL", output)[:1], note)


def _range(preprocess: Preprocess) -> dict[str, Any]:
    """Between which values the preprocessed data lie, and the visible units that suit them."""
    low, high = (float(value) if np.isfinite(value) else None for value in (preprocess.low, preprocess.high))
    within = low is not None and high is not None and low >= 0 and high <= 1
    return {"low": low, "high": high, "visible": "bernoulli" if within else "gaussian"}


def _write(
    writer: DatasetWriter,
    plan: Plan,
    fit: Fitter | Preprocess,
    planned: PlannedPatches,
    story: Callable[[], dict[str, Any]],
    say: Say,
    progress: Progress,
) -> Preprocess:
    """Cut and write the patches in one pass, which also fits the preprocessing where that is wanted."""
    free_space_check(writer.path, plan.n_bytes)
    first: list[Array] = []  # PATCHES rows or more, for the sheet
    with writer, progress(plan.n, "patches") as bar:
        for block in plan.blocks():
            if isinstance(fit, Fitter):
                fit.update(block.patches)
            writer.append(block.patches, block.origin, block.labels)
            if sum(map(len, first)) < PATCHES:
                first.append(block.patches[:PATCHES].copy())
            bar.advance(len(block.patches))
        preprocess = planned.finish(fit, say)
        sheet = patches_inside(np.concatenate(first), preprocess, plan.shape, show(writer.path))
        writer.finish(preprocess.to_dict(), plan.images, plan.label_names, story(), sheet)
    return preprocess
