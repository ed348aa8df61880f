"""Cut patches out of images into a data set, with fitted preprocessing."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from featlearn.errors import ConfigError, DataError, show
from featlearn.files.atomic import check_output, free_space_check
from featlearn.files.containers import split_member
from featlearn.files.dataset import DatasetWriter
from featlearn.files.header import MODEL, file_kind
from featlearn.files.paths import size_words
from featlearn.files.sources import Source, read_paths
from featlearn.files.treatment import Treatment
from featlearn.jobs.callbacks import Progress, Say, log, no_progress
from featlearn.jobs.hints import to_measure, to_train
from featlearn.jobs.images import say_joined
from featlearn.jobs.inputs import (
    Inputs,
    Like,
    fitted,
    kept_preprocessing,
    made_of_dots,
    open_dots,
    open_inputs,
)
from featlearn.jobs.pictures import PATCHES, patches_inside
from featlearn.jobs.results import UNREPORTED, Next, Result, optional
from featlearn.jobs.settings import Images
from featlearn.jobs.store import check_hdf5_name, provenance, shape_words
from featlearn.patches.extract import Int64, Plan
from featlearn.patches.fitter import Fitter
from featlearn.patches.pairs import PAIR_CHANNELS
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import COUNT, Extraction, PreprocessSpec, whitening_obstacle
from featlearn.patches.survey import survey
from featlearn.rows import Array
from featlearn.settings import refuse_idle, to_dict, unresolved

__all__ = ["Extracted", "extract_patches", "read_paths"]

JOB = {"job": "extract_patches"}
KEPT = "rows of a data set: its preprocessing is kept; --normalize, --whiten or --like gives them another"


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
    extraction = extraction or Extraction()
    spec = preprocess or PreprocessSpec()
    images = images or Images()
    if not inputs:
        raise ConfigError("no INPUT: give image files, folders, or dead-leaves for generated images")
    refits = spec != PreprocessSpec() or not (extraction.size is None or extraction.whole)
    if like is not None and refits:
        raise ConfigError("--like takes size and preprocessing from that file: leave out their options")
    if rest is not None and images.first is None:
        raise ConfigError("--rest: gets the images that --first leaves; add that or leave it out")
    if not unresolved(spec):
        refuse_idle(spec, given)
    named = [split_member(name)[0] for name in (*inputs, like, images.labels) if name]
    files = [name for name in named if os.path.exists(name)]
    outputs = [output] if rest is None else [output, rest]
    for path in outputs:
        check_hdf5_name(path)
        if not dry_run:
            check_output(path, force, files)
    if len(set(map(os.path.realpath, outputs))) < len(outputs):
        raise ConfigError(f"--rest {show(output)}: is the output itself; name another file")
    warn = partial(_warn, say)
    known = None if like is None else fitted(like)
    if made_of_dots(inputs):
        opened, extraction = open_dots(inputs, extraction, images, known)
    else:
        opened = open_inputs(inputs, extraction, images, known, warn)
    say_joined(inputs, opened.sources, say)
    like_them = known or kept_preprocessing(opened, extraction, spec, images)
    plans = _plans(opened, extraction, images.strict, like_them, output, rest, warn, progress)
    plan = plans[0]
    if images.color is None and known is None and opened.lost_color:
        say("colour images are read as grey; --color rgb keeps their colours")
    for one in plans:
        say(f"{one.n:,} patches {shape_words(one.shape)}, {size_words(one.n_bytes)}")
    if like_them is None:
        resolved, reason = _choose(spec, extraction, plan, given)
    else:
        resolved, reason = like_them.preprocess.spec, None if known else KEPT
    if reason is not None:
        say(reason)
    for one in plans:
        one.extraction = one.extraction.resolve(whitened=resolved.whiten != "none")
    found: dict[str, Any] = {
        "output": output, "patches": plan.n, "shape": plan.shape, "dtype": str(plan.dtype),
        "bytes": plan.n_bytes, "images": len(plan.images), "skipped": sum(one.skipped for one in plans),
        "normalize": resolved.normalize, "whiten": resolved.whiten, "preprocess_reason": reason,
    }  # fmt: skip
    if rest is not None:
        found |= {"rest": rest, "rest_patches": plans[1].n}
    if dry_run:
        return Extracted(**found)
    pairs = plan.shape[2] in PAIR_CHANNELS
    fit = like_them.preprocess if like_them else Fitter(resolved, plan.n_pixels, plan.dtype, pairs)
    more = [name for name in (images.labels, like) if name and os.path.isfile(name)]

    def story() -> dict[str, Any]:
        came = provenance(invocation, seed=plan.extraction.seed, inputs=[*inputs, *more])
        return came | {"extraction": to_dict(plan.extraction) | {"preprocess_reason": reason}}

    how = opened.treatment
    for path, one in zip(outputs, plans, strict=True):
        writer = DatasetWriter(path, one.n, one.shape, one.dtype, one.labels is not None, force, files)
        fit = _write(writer, one, fit, how, story, say, progress)
    assert isinstance(fit, Preprocess)
    return Extracted(**found, **_range(fit), next=_next(output, fit, like, pairs))


def _plans(
    opened: Inputs,
    extraction: Extraction,
    strict: bool,
    like: Like | None,
    output: str,
    rest: str | None,
    warn: Say,
    progress: Progress,
) -> list[Plan]:
    """Plan the patches of the images to take, and of the rest, which become like them. Raises DataError."""
    first = _survey(opened.sources, opened.order, extraction, strict, like, warn, progress)
    if rest is None:
        return [first]
    if not len(opened.rest):
        raise DataError(
            f"--rest: --first {len(opened.order):,} takes all images; take fewer, or leave it out"
        )
    likeness = Like(output, first.shape, first.label_names)
    return [
        first,
        _survey(opened.sources, opened.rest, first.extraction, strict, likeness, warn, progress),
    ]


def _survey(
    sources: Sequence[Source],
    order: Int64,
    extraction: Extraction,
    strict: bool,
    like: Like | None,
    warn: Say,
    progress: Progress,
) -> Plan:
    """Look at the images of these numbers. Raises DataError where patches are not as those of `like`."""
    known, size = (like.label_names, like.shape[:2]) if like else (None, None)
    with progress(len(order), "images read") as bar:
        plan = survey(sources, extraction, warn, strict, bar.advance, known, size, order)
    if like is not None and plan.shape != like.shape:
        larger = all(ours >= theirs for ours, theirs in zip(plan.shape, like.shape, strict=True))
        uncut = plan.extraction.whole and not extraction.whole and larger
        remedy = "give --count or --stride to cut patches out of them"
        raise DataError(
            f"{show(like.path)}: has patches of {shape_words(like.shape)}, these images give "
            f"{shape_words(plan.shape)}; {remedy if uncut else 'take images of the same kind'}"
        )
    return plan


def _choose(
    said: PreprocessSpec, extraction: Extraction, plan: Plan, given: Collection[str]
) -> tuple[PreprocessSpec, str | None]:
    """Decide the preprocessing. -> with what was chosen and why, in words, where nothing was said of it.

    Raises ConfigError for a setting that does nothing beside what was decided.
    """
    obstacle = whitening_obstacle(plan.n, plan.n_pixels)
    spec = said.resolve(plan.extraction.whole, not obstacle)
    refuse_idle(spec, given)
    return spec, _reason(extraction, plan, spec, obstacle) if said.is_left_open else None


def _reason(extraction: Extraction, plan: Plan, spec: PreprocessSpec, obstacle: str) -> str:
    """Say what was chosen and why; of small images also how to have them cut, or taken whole."""
    otherwise = extraction.is_left_open and plan.images_are_small and plan.shape[0] > 1
    if plan.extraction.whole:
        what = "rows" if plan.shape[0] == 1 else "small images of one size" if otherwise else "images"
        kept = "values stay as they are" if plan.dtype.kind == "f" else "pixels stay as they are, in 0..1"
        cut = f", --count {COUNT} cuts patches out of them" if otherwise else ""
        return f"{what} taken whole: their {kept}; --whiten zca whitens them{cut}"
    if spec.to is not None:
        done = "centred, for --to, and not whitened; --whiten zca whitens them"
    elif obstacle:
        done = f"centred, but not whitened: {obstacle}"
    else:
        done = (
            "centred and ZCA-whitened, so that models find edges; "
            "--normalize center, standardize or none leaves the whitening out"
        )
    return f"patches cut out of images: {done}{'; --size whole takes each image whole' if otherwise else ''}"


def _warn(say: Say, text: str) -> None:
    say(f"warning: {text}")


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
    treatment: Treatment,
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
        preprocess = fit.finish() if isinstance(fit, Fitter) else fit
        preprocess = replace(preprocess, linear=treatment.linear, resize=treatment.resize)
        for warning in preprocess.warnings:
            say(f"warning: {warning}")
        sheet = patches_inside(np.concatenate(first), preprocess, plan.shape, show(writer.path))
        writer.finish(preprocess.to_dict(), plan.images, plan.label_names, story(), sheet)
    return preprocess
