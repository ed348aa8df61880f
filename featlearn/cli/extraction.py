"""An extraction with its files: images in, a data set with fitted preprocessing out."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from featlearn.cli.hints import say_next, to_measure, to_train
from featlearn.cli.options import collect, refuse_idle_settings
from featlearn.cli.report import Words
from featlearn.cli.store import check_hdf5_name, load_model, provenance, shape_words
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.atomic import check_output, free_space_check
from featlearn.files.containers import split_member
from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.files.header import file_kind
from featlearn.files.paths import size_words
from featlearn.files.sources import Source, first_images, open_sources, read_paths
from featlearn.patches.dead_leaves import NAMES, Generated
from featlearn.patches.extract import COUNT, Extraction, Plan, survey
from featlearn.patches.preprocess import Fitter, Preprocess, PreprocessSpec, whitening_obstacle
from featlearn.settings import to_dict, unresolved

COLORS = {1: "gray", 3: "rgb"}  # by the channels of a patch


@dataclass(frozen=True)
class Fitted:
    """What --like takes from a data set or a model."""

    path: str
    preprocess: Preprocess
    shape: tuple[int, int, int]
    label_names: list[str] | None = None


@dataclass(frozen=True)
class Request:
    """What the command line asks for; None is what was not said."""

    inputs: list[str]
    output: str
    extraction: Extraction
    spec: PreprocessSpec
    color: str | None
    max_pixels: int
    labels: str | None
    images: int | None
    first: int | None
    like: str | None
    strict: bool
    force: bool
    dry_run: bool

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "Request":
        """From the command's keyword arguments; reads --files-from. Raises ConfigError."""
        extraction, spec = collect(Extraction, settings), collect(PreprocessSpec, settings, decided=False)
        listed = _read_list(settings.pop("files_from"), settings.pop("null"))
        inputs = [*settings.pop("inputs"), *listed]
        request = cls(inputs=inputs, extraction=extraction, spec=spec, **settings)
        request.check()
        return request

    def check(self) -> None:
        """Raises ConfigError for a contradiction."""
        if not self.inputs:
            raise ConfigError("no INPUT: give image files, folders, or dead-leaves for generated images")
        refits = self.spec != PreprocessSpec() or not (self.extraction.size is None or self.extraction.whole)
        if self.like is not None and refits:
            raise ConfigError("--like takes size and preprocessing from that file: leave out their options")
        if not unresolved(self.spec):
            refuse_idle_settings(self.spec)


def extract(request: Request, words: Words) -> dict[str, Any]:
    """Do it. -> what to report. Raises DataError, ConfigError."""
    named = [split_member(name)[0] for name in (*request.inputs, request.like, request.labels) if name]
    files = [name for name in named if os.path.exists(name)]
    check_hdf5_name(request.output)
    if not request.dry_run:
        check_output(request.output, request.force, files)
    like = None if request.like is None else _fitted(request.like)
    warn = partial(_warn, words)
    sources = _open(request, _color(request, like), warn)
    _say_joined(request, sources, words)
    known, size = (like.label_names, like.shape[:2]) if like else (None, None)
    with words.progress(sum(map(len, sources)), "images read") as progress:
        plan = survey(sources, request.extraction, warn, request.strict, progress.advance, known, size)
    if like is not None and plan.shape != like.shape:
        larger = all(ours >= theirs for ours, theirs in zip(plan.shape, like.shape, strict=True))
        uncut = plan.extraction.whole and not request.extraction.whole and larger
        raise DataError(
            f"{show(like.path)}: has patches of {shape_words(like.shape)}, these images give "
            f"{shape_words(plan.shape)}; "
            + (
                "give --count or --stride to cut patches out of them"
                if uncut
                else "take images of the same kind"
            )
        )
    if request.color is None and like is None and any(source.lost_color for source in sources):
        words.say("colour images are read as grey; --color rgb keeps their colours")
    words.say(f"{plan.n:,} patches {shape_words(plan.shape)}, {size_words(plan.n_bytes)}")
    spec, reason = (like.preprocess.spec, None) if like else _choose(request, plan)
    if reason is not None:
        words.say(reason)
    plan.extraction = plan.extraction.resolve(whitened=spec.whiten != "none")
    report = {
        "output": request.output,
        "patches": plan.n,
        "shape": list(plan.shape),
        "dtype": str(plan.dtype),
    }
    report |= {"bytes": plan.n_bytes, "images": len(plan.images), "skipped": plan.skipped}
    report |= {"normalize": spec.normalize, "whiten": spec.whiten, "preprocess_reason": reason}
    if request.dry_run:
        return report
    fit = like.preprocess if like else Fitter(spec, plan.n_pixels, plan.dtype)
    preprocess = _write(request, plan, fit, reason, files, words)
    _say_next(request, preprocess, words)
    return report | _range(preprocess)


def _choose(request: Request, plan: Plan) -> tuple[PreprocessSpec, str | None]:
    """Decide the preprocessing. -> with what was chosen and why, in words, where nothing was said of it.

    Raises ConfigError for an option that does nothing beside what was decided.
    """
    obstacle = whitening_obstacle(plan.n, plan.n_pixels)
    spec = request.spec.resolve(plan.extraction.whole, not obstacle)
    refuse_idle_settings(spec)
    return spec, _reason(request, plan, spec, obstacle) if request.spec.is_left_open else None


def _reason(request: Request, plan: Plan, spec: PreprocessSpec, obstacle: str) -> str:
    """Say what was chosen and why; where the images are small and nothing was said, how to cut them or not."""
    otherwise = request.extraction.is_left_open and plan.images_are_small and plan.shape[0] > 1
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


def _warn(words: Words, text: str) -> None:
    words.say(f"warning: {text}")


def _color(request: Request, like: Fitted | None) -> str:
    """How to read the images: as said, else as those of --like, else grey.

    Raises ConfigError where the two differ.
    """
    if like is None or like.shape[2] not in COLORS:
        return request.color or "gray"
    color = COLORS[like.shape[2]]
    if request.color not in (None, color):
        raise ConfigError(
            f"--color {request.color}: {show(like.path)} was made of {color} images, patches "
            f"{shape_words(like.shape)}; leave out --color"
        )
    return color


def _say_next(request: Request, preprocess: Preprocess, words: Words) -> None:
    """Say what to do with the data set: one that is like another is no new one to learn from, but one to
    measure."""
    if request.like is None:
        say_next(words, to_train(request.output, preprocess))
    elif file_kind(request.like) == "featlearn-model":
        say_next(words, *to_measure(request.like, request.output))
    else:
        say_next(words, *to_measure("MODEL", request.output)[:1])
        words.say(f"where MODEL is one that has learned from {show(request.like)}")


def _range(preprocess: Preprocess) -> dict[str, Any]:
    """Between which values the preprocessed data lie, and the visible units that suit them."""
    low, high = (float(value) if np.isfinite(value) else None for value in (preprocess.low, preprocess.high))
    within = low is not None and high is not None and low >= 0 and high <= 1
    return {"low": low, "high": high, "visible": "bernoulli" if within else "gaussian"}


def _write(
    request: Request, plan: Plan, fit: Fitter | Preprocess, reason: str | None, files: list[str], words: Words
) -> Preprocess:
    """Cut and write in one pass over the patches, which fits the preprocessing too where it is to be fitted."""
    free_space_check(request.output, plan.n_bytes)
    labelled = plan.labels is not None
    writer = DatasetWriter(request.output, plan.n, plan.shape, plan.dtype, labelled, request.force, files)
    with writer, words.progress(plan.n, "patches") as progress:
        for block in plan.blocks():
            if isinstance(fit, Fitter):
                fit.update(block.patches)
            writer.append(block.patches, block.origin, block.labels)
            progress.advance(len(block.patches))
        preprocess = fit.finish() if isinstance(fit, Fitter) else fit
        for warning in preprocess.warnings:
            words.say(f"warning: {warning}")
        more = [name for name in (request.labels, request.like) if name and os.path.isfile(name)]
        story = provenance(seed=plan.extraction.seed, inputs=[*request.inputs, *more])
        story["extraction"] = to_dict(plan.extraction) | {"preprocess_reason": reason}
        writer.finish(preprocess.to_dict(), plan.images, plan.label_names, story)
    return preprocess


def _open(request: Request, color: str, warn: Callable[[str], None]) -> list[Source]:
    """Files and folders first, generated images after them; a file of that name is a file."""
    made = [name for name in request.inputs if name in NAMES and not os.path.exists(name)]
    files = [name for name in request.inputs if name not in made]
    n_images = request.images or min(max((request.extraction.count or COUNT) // 1000, 8), 64)
    if made and color != "gray":
        said = f"--color {color}" if request.color else f"--like {request.like}"
        raise ConfigError(f"{said}: wants colour, {made[0]} images are grey")
    if request.images is not None and not made:
        raise ConfigError(
            "--images is for generated images: give dead-leaves, dead-leaves-photo or pink-noise"
        )
    opened = open_sources(files, color, request.labels, request.max_pixels, warn) if files else []
    sources: list[Source] = [
        *opened,
        *(Generated(name, n_images, 256, request.extraction.seed) for name in made),
    ]
    return sources if request.first is None else first_images(sources, request.first)


def _say_joined(request: Request, sources: Sequence[Source], words: Words) -> None:
    """Name the arrays of a file that are read together: a test set may lie beside the training set."""
    for path in request.inputs:
        joined = [source.name for source in sources if source.name.startswith(f"{path}:")]
        if len(joined) > 1:
            names = ", ".join(map(show, joined[:5])) + (", ..." if len(joined) > 5 else "")
            words.say(f"{len(joined)} arrays are read as one set: {names}; give one to read it alone")


def _fitted(path: str) -> Fitted:
    """What --like takes from that file. Raises DataError."""
    if file_kind(path) == "featlearn-model":
        learned = load_model(path)
        return Fitted(path, learned.preprocess, learned.shape)
    dataset = read_dataset(path)
    return Fitted(path, Preprocess.from_dict(dataset.preprocess), dataset.shape, dataset.label_names)


def _read_list(name: str | None, null: bool) -> list[str]:
    """The names in --files-from. Raises DataError."""
    if name is None:
        return []
    if name == "-":
        if sys.stdin is None:
            raise DataError("--files-from -: standard input is closed; name a file")
        return read_paths(sys.stdin.buffer, null)
    with open(name, "rb") as stream:
        return read_paths(stream, null)
