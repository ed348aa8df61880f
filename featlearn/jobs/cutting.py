"""Patches cut out of images, planned before they are made, and what preprocessing they get."""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from featlearn import ranks
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.budget import max_memory, process_memory
from featlearn.files.containers import split_member
from featlearn.files.header import HDF5_MAGIC, SIZE, is_ours
from featlearn.files.paths import read_start, size_words
from featlearn.files.sources import Notes
from featlearn.files.treatment import Treatment
from featlearn.jobs.arrays import digest
from featlearn.jobs.callbacks import Progress, Say, warnings_to
from featlearn.jobs.formats import suffix
from featlearn.jobs.hints import as_argument
from featlearn.jobs.images import say_joined
from featlearn.jobs.inputs import (
    GENERATED,
    Inputs,
    Like,
    fitted,
    kept_preprocessing,
    made_of_dots,
    open_dots,
    open_inputs,
)
from featlearn.jobs.settings import Images
from featlearn.jobs.store import shape_words
from featlearn.patches.extract import Int64, Plan
from featlearn.patches.fitter import Fitter
from featlearn.patches.pairs import PAIR_CHANNELS
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import COUNT, WHOLE, Extraction, PreprocessSpec, whitening_obstacle
from featlearn.patches.survey import survey
from featlearn.rows import Array
from featlearn.settings import option_name, refuse_idle, to_dict, unresolved

KEPT = "rows of a data set: its preprocessing is kept; --normalize, --whiten or --like gives them another"


@dataclass(frozen=True)
class Cutting:
    """What is said of how images become patches."""

    extraction: Extraction = field(default_factory=Extraction)
    preprocess: PreprocessSpec = field(default_factory=PreprocessSpec)
    images: Images = field(default_factory=Images)

    @classmethod
    def names(cls) -> set[str]:
        """Return the names of all these settings; the seed is that of whoever cuts."""
        kinds = (Extraction, PreprocessSpec, Images)
        return {one.name for kind in kinds for one in fields(kind) if one.metadata} - {"seed"}

    def seeded(self, seed: int) -> "Cutting":
        """Return the same with another seed."""
        return replace(self, extraction=replace(self.extraction, seed=seed))

    @property
    def said(self) -> dict[str, Any]:
        """The settings that are not as they are when nothing is said, by name; without the seed."""
        now, then = (
            to_dict(one.extraction) | to_dict(one.preprocess) | to_dict(one.images)
            for one in (self, Cutting())
        )
        return {name: value for name, value in now.items() if value != then[name] and name != "seed"}

    def refuse_with(self, dataset: str | None, given: Collection[str]) -> None:
        """Raise ConfigError where anything is said and there is nothing to cut."""
        found = "none are given" if dataset is None else f"{show(dataset)} is a file of patches"
        said = (set(given) & self.names()) | self.said.keys()
        if said:
            raise ConfigError(
                f"{option_name(min(said))}: says how images are read and cut, and {found}; leave it out"
            )


@dataclass(frozen=True)
class PlannedPatches:
    """Patches before they are made: a plan of those to take, and one of the rest where that is wanted.

    `spec` is the resolved preprocessing, `reason` says why it was chosen where nothing was said, and `like`
    is one that is fitted already. `made` is what is said of generated pairs, which are taken whole.
    """

    plans: list[Plan]
    spec: PreprocessSpec
    reason: str | None
    like: Preprocess | None
    treatment: Treatment
    made: Extraction | None = None

    @property
    def fit(self) -> Fitter | Preprocess:
        """What fits the preprocessing, or the one that is taken."""
        plan = self.plans[0]
        pairs = plan.shape[2] in PAIR_CHANNELS
        return self.like or Fitter(self.spec, plan.n_pixels, plan.dtype, pairs)

    def finish(self, fit: Fitter | Preprocess, say: Say) -> Preprocess:
        """Return the preprocessing once it is fitted, with how images were read. Raises DataError."""
        found = fit.finish() if isinstance(fit, Fitter) else fit
        found = replace(found, linear=self.treatment.linear, resize=self.treatment.resize)
        for warning in found.warnings:
            say(f"warning: {warning}")
        return found

    @property
    def settings(self) -> dict[str, Any]:
        """The resolved settings, by name, but those of how images are read; None: not to be said.

        With them the same is cut again: what comes from `like` is refused beside it.
        """
        extraction, of_pixels = self.made or self.plans[0].extraction, to_dict(self.spec)
        own = {name: value for name, value in to_dict(extraction).items() if name != "seed"}
        if self.like is None:
            return own | of_pixels
        return own | dict.fromkeys(of_pixels) | ({} if extraction.whole else {"size": None})

    @property
    def story(self) -> dict[str, Any]:
        """How the patches were cut, for a provenance."""
        return {"extraction": to_dict(self.plans[0].extraction) | {"preprocess_reason": self.reason}}


def plan_patches(
    inputs: Sequence[str],
    cutting: Cutting,
    like: str | None,
    output: str,
    rest: str | None,
    given: Collection[str],
    progress: Progress,
    say: Say,
    like_option: str = "--like",
    shared: bool = False,
) -> PlannedPatches:
    """Look at all images and decide what is cut out of them, and what is done to the pixels.

    `like` is a data set or a model whose size, preprocessing and reading of images are taken; `like_option`
    named it. `output` names the patches in messages. With `shared` ranks share out the images. Raises
    DataError, ConfigError.
    """
    extraction, spec, images = cutting.extraction, cutting.preprocess, cutting.images
    refits = spec != PreprocessSpec() or not (extraction.size is None or extraction.whole)
    if like is not None and refits:
        raise ConfigError(
            f"{like_option} takes size and preprocessing from that file: leave out their options"
        )
    if not unresolved(spec):
        refuse_idle(spec, given)
    warn = warnings_to(say)
    notes = Notes(warn)
    known = None if like is None else fitted(like)
    made = None
    if made_of_dots(inputs):
        opened, made = open_dots(inputs, extraction, images, known)
        extraction = replace(made, size=WHOLE, count=None)
    else:
        opened = open_inputs(inputs, extraction, images, known, notes)
    say_joined(inputs, opened.sources, say)
    like_them = known or kept_preprocessing(opened, extraction, spec, images)
    look = partial(survey, opened.sources, warn=warn, strict=images.strict, notes=notes, shared=shared)
    plans = _plans(look, opened, extraction, like_them, output, rest, progress)
    lost_color = any(ranks.of_all(opened.lost_color))
    if images.color is None and known is None and lost_color:
        say("colour images are read as grey; --color rgb keeps their colours")
    for one in plans:
        say(f"{one.n:,} patches {shape_words(one.shape)}, {size_words(one.n_bytes)}")
    if like_them is None:
        resolved, reason = _choose(spec, extraction, plans[0], given)
    else:
        resolved, reason = like_them.preprocess.spec, None if known else KEPT
    if reason is not None:
        say(reason)
    for one in plans:
        one.extraction = one.extraction.resolve(whitened=resolved.whiten != "none")
    fit = None if like_them is None else like_them.preprocess
    return PlannedPatches(plans, resolved, reason, fit, opened.treatment, made)


def _plans(
    look: Callable[..., Plan],
    opened: Inputs,
    extraction: Extraction,
    like: Like | None,
    output: str,
    rest: str | None,
    progress: Progress,
) -> list[Plan]:
    """Plan the patches of the images to take, and of the rest, which become like them. Raises DataError.

    `look` is `survey` of the images.
    """
    first = _survey(look, opened.order, extraction, like, progress)
    if rest is None:
        return [first]
    if not len(opened.rest):
        raise DataError(
            f"--rest: --first {len(opened.order):,} takes all images; take fewer, or leave it out"
        )
    likeness = Like(output, first.shape, first.label_names)
    return [first, _survey(look, opened.rest, first.extraction, likeness, progress)]


def _survey(
    look: Callable[..., Plan], order: Int64, extraction: Extraction, like: Like | None, progress: Progress
) -> Plan:
    """Look at the images of these numbers. Raises DataError where patches are not as those of `like`."""
    known, size = (like.label_names, like.shape[:2]) if like else (None, None)
    with progress(len(order), "images read") as bar:
        plan = look(extraction, tick=bar.advance, known=known, like=size, order=order)
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


def holds_images(path: str) -> bool:
    """Whether an input is of images to cut: a folder, a file that is none of ours, or images to generate.

    Of a file that is named like one of ours its reader is to say what is wrong. Raises DataError.
    """
    file, _ = split_member(path)
    if not os.path.exists(file):
        return path in GENERATED
    return not is_of_featlearn(file)


def is_of_featlearn(path: str) -> bool:
    """Whether an input is a file of ours, or is named like one: its reader says what is wrong with it."""
    if os.path.isdir(path):
        return False
    return is_ours(path) or (
        suffix(path) in (".h5", ".hdf5") and not read_start(path, SIZE).startswith(HDF5_MAGIC)
    )


@dataclass(frozen=True)
class CutPatches:
    """Patches in memory, as those of a data set would be."""

    planned: PlannedPatches
    patches: Array
    """(n, n_pixels) uint8, uint16 or float32."""
    labels: Array | None
    preprocess: Preprocess

    @property
    def plan(self) -> Plan:
        return self.planned.plans[0]

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all that a model learns from: pixels, classes, and what is done to the pixels."""
        own: list[Any] = [
            digest(self.patches, self.plan.shape),
            to_dict(self.planned.spec),
            self.plan.label_names,
        ]
        own += [self.preprocess.linear, self.preprocess.resize]
        sha = hashlib.sha256(json.dumps(own).encode())
        if self.labels is not None:
            sha.update(self.labels.astype("<i8").tobytes())
        return sha.hexdigest()


def cut_patches(
    path: str, cutting: Cutting, like: str | None, given: Collection[str], progress: Progress, say: Say
) -> CutPatches:
    """Cut patches out of the images of a path, and fit their preprocessing, in memory.

    `like` is a model that goes on. Raises DataError, also where they would take more memory than is allowed,
    ConfigError.
    """
    planned = plan_patches([path], cutting, like, path, None, given, progress, say, "--init-from")
    plan = planned.plans[0]
    allowed = max_memory() or process_memory() // 2
    if plan.n_bytes > allowed:
        raise DataError(
            f"{show(path)}: its patches would take {size_words(plan.n_bytes)} of memory, "
            f"{size_words(allowed)} are allowed; write them with featlearn extract-patches "
            f"{as_argument(path)} -o patches.h5, and learn from that; or give --max-memory"
        )
    patches, fit = np.empty((plan.n, plan.n_pixels), plan.dtype), planned.fit
    labels = None if plan.labels is None else np.empty(plan.n, np.int64)
    start = 0
    with progress(plan.n, "patches") as bar:
        for block in plan.blocks():
            stop = start + len(block.patches)
            patches[start:stop] = block.patches
            if labels is not None and block.labels is not None:
                labels[start:stop] = block.labels
            if isinstance(fit, Fitter):
                fit.update(block.patches)
            bar.advance(stop - start)
            start = stop
    return CutPatches(planned, patches, labels, planned.finish(fit, say))
