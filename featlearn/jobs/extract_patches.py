"""Cut patches out of images into a data set, with fitted preprocessing."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from featlearn.errors import ConfigError, DataError, show
from featlearn.files.atomic import check_output, free_space_check
from featlearn.files.containers import split_member
from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.files.header import MODEL, file_kind
from featlearn.files.paths import size_words
from featlearn.files.sources import Source, first_images, open_sources, read_paths
from featlearn.jobs.callbacks import Progress, Say, log, no_progress
from featlearn.jobs.hints import to_measure, to_train
from featlearn.jobs.images import say_joined
from featlearn.jobs.results import UNREPORTED, Next, Result, optional
from featlearn.jobs.settings import Images
from featlearn.jobs.store import check_hdf5_name, load_model, provenance, shape_words
from featlearn.patches import dots
from featlearn.patches.dead_leaves import NAMES, Generated
from featlearn.patches.extract import COLORS, Plan
from featlearn.patches.fitter import Fitter
from featlearn.patches.pairs import PAIR_CHANNELS, Pairs
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import COUNT, WHOLE, Extraction, PreprocessSpec, whitening_obstacle
from featlearn.patches.survey import survey
from featlearn.settings import refuse_idle, to_dict, unresolved

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
    visible: str | None = optional()
    """The visible units that suit them; None of a dry run."""
    next: Next | None = field(default=None, repr=False, metadata=UNREPORTED)

    def report(self) -> dict[str, Any]:
        found = super().report()
        if self.visible is None:  # nothing was fitted
            del found["low"], found["high"]
        return found


@dataclass(frozen=True)
class Fitted:
    """What --like takes from a data set or a model."""

    path: str
    preprocess: Preprocess
    shape: tuple[int, int, int]
    label_names: list[str] | None = None


def extract_patches(
    inputs: Sequence[str],
    output: str,
    *,
    extraction: Extraction | None = None,
    preprocess: PreprocessSpec | None = None,
    images: Images | None = None,
    like: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    given: Collection[str] = (),
    invocation: Mapping[str, Any] = JOB,
    progress: Progress = no_progress,
    say: Say = log,
) -> Extracted:
    """Cut patches out of images into a data set, and fit its preprocessing.

    `inputs` are names of files, of folders, or of images to generate; `like` is a data set or a model to take
    size and preprocessing from. A `dry_run` writes nothing. `given` settings are refused where they do
    nothing. Raises DataError, ConfigError.
    """
    extraction = extraction or Extraction()
    spec = preprocess or PreprocessSpec()
    images = images or Images()
    if not inputs:
        raise ConfigError("no INPUT: give image files, folders, or dead-leaves for generated images")
    refits = spec != PreprocessSpec() or not (extraction.size is None or extraction.whole)
    if like is not None and refits:
        raise ConfigError("--like takes size and preprocessing from that file: leave out their options")
    if not unresolved(spec):
        refuse_idle(spec, given)
    named = [split_member(name)[0] for name in (*inputs, like, images.labels) if name]
    files = [name for name in named if os.path.exists(name)]
    check_hdf5_name(output)
    if not dry_run:
        check_output(output, force, files)
    fitted = None if like is None else _fitted(like)
    warn = partial(_warn, say)
    if _generated(inputs, dots.NAMES):
        sources, extraction = _dots(inputs, extraction, images, fitted)
    else:
        sources = _open(inputs, extraction, images, fitted, warn)
    say_joined(inputs, sources, say)
    plan = _survey(sources, extraction, images.strict, fitted, warn, progress)
    if images.color is None and fitted is None and any(source.lost_color for source in sources):
        say("colour images are read as grey; --color rgb keeps their colours")
    say(f"{plan.n:,} patches {shape_words(plan.shape)}, {size_words(plan.n_bytes)}")
    resolved, reason = (fitted.preprocess.spec, None) if fitted else _choose(spec, extraction, plan, given)
    if reason is not None:
        say(reason)
    plan.extraction = plan.extraction.resolve(whitened=resolved.whiten != "none")
    found: dict[str, Any] = {
        "output": output, "patches": plan.n, "shape": plan.shape, "dtype": str(plan.dtype),
        "bytes": plan.n_bytes, "images": len(plan.images), "skipped": plan.skipped,
        "normalize": resolved.normalize, "whiten": resolved.whiten, "preprocess_reason": reason,
    }  # fmt: skip
    if dry_run:
        return Extracted(**found)
    pairs = plan.shape[2] in PAIR_CHANNELS
    fit = fitted.preprocess if fitted else Fitter(resolved, plan.n_pixels, plan.dtype, pairs)
    more = [name for name in (images.labels, like) if name and os.path.isfile(name)]

    def story() -> dict[str, Any]:
        came = provenance(invocation, seed=plan.extraction.seed, inputs=[*inputs, *more])
        return came | {"extraction": to_dict(plan.extraction) | {"preprocess_reason": reason}}

    writer = DatasetWriter(output, plan.n, plan.shape, plan.dtype, plan.labels is not None, force, files)
    done = _write(writer, plan, fit, story, say, progress)
    return Extracted(**found, **_range(done), next=_next(output, done, like, pairs))


def _survey(
    sources: Sequence[Source],
    extraction: Extraction,
    strict: bool,
    like: Fitted | None,
    warn: Say,
    progress: Progress,
) -> Plan:
    """Look at all images. Raises DataError where they do not give patches like those of `like`."""
    known, size = (like.label_names, like.shape[:2]) if like else (None, None)
    with progress(sum(map(len, sources)), "images read") as bar:
        plan = survey(sources, extraction, warn, strict, bar.advance, known, size)
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


def _color(said: str | None, like: Fitted | None) -> str:
    """How to read the images: as said, else as those of --like, else grey.

    Raises ConfigError where the two differ.
    """
    if like is None or like.shape[2] not in COLORS:
        return said or "gray"
    color = COLORS[like.shape[2]]
    if said not in (None, color):
        raise ConfigError(
            f"--color {said}: {show(like.path)} was made of {color} images, patches "
            f"{shape_words(like.shape)}; leave out --color"
        )
    return color


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
    story: Callable[[], dict[str, Any]],
    say: Say,
    progress: Progress,
) -> Preprocess:
    """Cut and write the patches in one pass, which also fits the preprocessing where that is wanted."""
    free_space_check(writer.path, plan.n_bytes)
    with writer, progress(plan.n, "patches") as bar:
        for block in plan.blocks():
            if isinstance(fit, Fitter):
                fit.update(block.patches)
            writer.append(block.patches, block.origin, block.labels)
            bar.advance(len(block.patches))
        preprocess = fit.finish() if isinstance(fit, Fitter) else fit
        for warning in preprocess.warnings:
            say(f"warning: {warning}")
        writer.finish(preprocess.to_dict(), plan.images, plan.label_names, story())
    return preprocess


def _open(
    inputs: Sequence[str], extraction: Extraction, images: Images, like: Fitted | None, warn: Say
) -> list[Source]:
    """Files and folders first, generated images after them; a file of that name is a file."""
    color = _color(images.color, like)
    made = _generated(inputs, NAMES)
    files = [name for name in inputs if name not in made]
    n_images = images.images or min(max((extraction.count or COUNT) // 1000, 8), 64)
    if made and color != "gray":
        said = f"--color {color}" if images.color or like is None else f"--like {like.path}"
        raise ConfigError(f"{said}: wants colour, {made[0]} images are grey")
    if images.images is not None and not made:
        raise ConfigError(
            "--images is for generated images: give dead-leaves, dead-leaves-photo or pink-noise"
        )
    if images.pairs and (made or images.labels):
        found = f"{made[0]} images do not follow each other" if made else "pairs have no labels"
        raise ConfigError(f"--pairs: {found}; leave out {made[0] if made else '--labels'}")
    opened = []
    if files:
        opened = open_sources(files, color, images.labels, images.max_pixels, warn, images.pairs)
    read: list[Source] = [Pairs(source) for source in opened] if images.pairs else [*opened]
    if images.pairs and not any(map(len, read)):
        raise DataError("--pairs: no two images of one folder, array or file of several frames")
    generated = [Generated(name, n_images, 256, extraction.seed) for name in made]
    sources: list[Source] = [*read, *generated]
    return sources if images.first is None else first_images(sources, images.first)


def _generated(inputs: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the inputs that are names of what is generated; a file of that name is a file."""
    return [name for name in inputs if name in names and not os.path.exists(name)]


def _dots(
    inputs: Sequence[str], extraction: Extraction, images: Images, like: Fitted | None
) -> tuple[list[Source], Extraction]:
    """Pairs of generated dots, and the extraction that takes each whole. Raises ConfigError."""
    name, *others = inputs
    if others or images != Images():
        raise ConfigError(
            f"{', '.join(inputs)}: generated pairs are all alike; give one name, and no options of images"
        )
    size = extraction.size or (like.shape[:2] if like else (dots.SIZE, dots.SIZE))
    if isinstance(size, str) or size[0] != size[1] or extraction.stride or extraction.drop_flat:
        raise ConfigError(
            f"{name}: made as square pairs, each of them taken whole; give --size N and --count alone"
        )
    source = dots.GeneratedPairs(name, extraction.count or COUNT, size[0], extraction.seed)
    return [source], Extraction(WHOLE, seed=extraction.seed)


def _fitted(path: str) -> Fitted:
    """What --like takes from that file. Raises DataError."""
    if file_kind(path) == MODEL:
        learned = load_model(path)
        return Fitted(path, learned.preprocess, learned.shape)
    dataset = read_dataset(path)
    return Fitted(path, Preprocess.from_dict(dataset.preprocess), dataset.shape, dataset.label_names)
