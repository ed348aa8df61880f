"""An extraction with its files: images in, a data set with fitted preprocessing out."""

import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.cli.report import Words
from featlearn.cli.store import load_model, provenance, shape_words
from featlearn.errors import ConfigError, DataError
from featlearn.files.arrays import split_member
from featlearn.files.atomic import check_output, free_space_check
from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.files.kind import file_kind
from featlearn.files.sources import Source, first_images, open_sources, read_paths
from featlearn.patches.dead_leaves import NAMES, Generated
from featlearn.patches.extract import Extraction, Plan, survey
from featlearn.patches.preprocess import Fitter, Preprocess, PreprocessSpec

COUNT = 10_000
SIZE = (16, 16)
DROP_FLAT = 0.2  # flat patches would rule a whitening

Fitted = tuple[Preprocess, tuple[int, int, int]]
"""A preprocessing and the shape of the patches that it was fitted on."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for; None is what was not said."""

    inputs: list[str]
    output: str
    normalize: str | None
    spec: dict[str, Any]
    size: tuple[int, int] | str | None
    count: int | None
    stride: int | None
    drop_flat: float | None
    color: str
    labels: str | None
    images: int | None
    first: int | None
    like: str | None
    strict: bool
    force: bool
    dry_run: bool
    seed: int

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "Request":
        """From the command's keyword arguments; reads --files-from. Raises ConfigError."""
        spec = {key: settings.pop(key) for key in ("whiten", "epsilon", "clip", "to", "threshold")}
        listed = _read_list(settings.pop("files_from"), settings.pop("null"))
        request = cls(spec=spec, **{**settings, "inputs": [*settings["inputs"], *listed]})
        request.check()
        return request

    def check(self) -> None:
        """Raises ConfigError for a contradiction."""
        if not self.inputs:
            raise ConfigError("no INPUT: give image files, folders, or dead-leaves for generated images")
        if self.count is not None and self.stride is not None:
            raise ConfigError("--count cuts at random places, --stride on a grid: give one of them")
        if self.size == "whole" and (self.count or self.stride or self.drop_flat):
            raise ConfigError("--size whole takes each image once: leave out --count, --stride and --drop-flat")
        if self.drop_flat and self.stride is not None:
            raise ConfigError("--drop-flat chooses among random patches: leave out --stride")
        if self.like is not None and self._refits():
            raise ConfigError("--like takes size and preprocessing from that file: leave out their options")

    def _refits(self) -> bool:
        fresh = PreprocessSpec()
        changed = any(value != getattr(fresh, key) for key, value in self.spec.items())
        return changed or self.normalize is not None or self.size not in (None, "whole")


def extract(request: Request, words: Words) -> dict[str, Any]:
    """Do it. -> what to report. Raises DataError, ConfigError."""
    named = [split_member(name)[0] for name in (*request.inputs, request.like, request.labels) if name]
    files = [name for name in named if os.path.exists(name)]
    if not request.dry_run:
        check_output(request.output, request.force, files)
    like = None if request.like is None else _fitted(request.like)
    sources = _open(request)
    extraction = _extraction(request, sources, like)
    with words.progress(sum(map(len, sources)), "images read") as progress:
        plan = survey(sources, extraction, lambda text: words.say(f"warning: {text}"), request.strict, progress.advance)
    if like is not None and plan.shape != like[1]:
        raise DataError(
            f"{request.like}: has patches of {shape_words(like[1])}, these images give {shape_words(plan.shape)}; "
            "take images of the same kind"
        )
    words.say(f"{plan.n:,} patches {shape_words(plan.shape)}, {plan.n_bytes / 1e6:,.1f} MB")
    report = {"output": request.output, "patches": plan.n, "shape": list(plan.shape), "dtype": str(plan.dtype)}
    report |= {"bytes": plan.n_bytes, "images": len(plan.images), "skipped": plan.skipped}
    if request.dry_run:
        return report
    preprocess = _write(request, extraction, plan, like[0] if like else None, files, words)
    words.say(f"next: featlearn train {request.output} --model rbm")
    return report | _range(preprocess)


def _range(preprocess: Preprocess) -> dict[str, Any]:
    """Between which values the preprocessed data lie, and the visible units that suit them."""
    low, high = (float(value) if np.isfinite(value) else None for value in (preprocess.low, preprocess.high))
    within = low is not None and high is not None and low >= 0 and high <= 1
    return {"low": low, "high": high, "visible": "bernoulli" if within else "gaussian"}


def _write(
    request: Request, extraction: Extraction, plan: Plan, like: Preprocess | None, files: list[str], words: Words
) -> Preprocess:
    """Cut, write and fit in one pass over the patches."""
    free_space_check(request.output, plan.n_bytes)
    fitter = None if like else Fitter(_spec(request, extraction), plan.n_pixels, plan.dtype)
    labelled = plan.labels is not None
    writer = DatasetWriter(request.output, plan.n, plan.shape, plan.dtype, labelled, request.force, files)
    with writer, words.progress(plan.n, "patches") as progress:
        for block in plan.blocks():
            if fitter is not None:
                fitter.update(block.patches)
            writer.append(block.patches, block.origin, block.labels)
            progress.advance(len(block.patches))
        preprocess = like or fitter.finish()  # type: ignore[union-attr]
        for warning in preprocess.warnings:
            words.say(f"warning: {warning}")
        more = [name for name in (request.labels, request.like) if name and os.path.isfile(name)]
        story = provenance(seed=request.seed, inputs=[*request.inputs, *more])
        writer.finish(preprocess.to_dict(), plan.images, plan.label_names, story)
    return preprocess


def _spec(request: Request, extraction: Extraction) -> PreprocessSpec:
    """The preprocessing asked for. Raises ConfigError."""
    unsaid = "none" if extraction.size is None else "standardize"
    if request.spec["whiten"] != "none":
        unsaid = "center"
    return PreprocessSpec(normalize=request.normalize or unsaid, **request.spec)


def _extraction(request: Request, sources: list[Source], like: Fitted | None) -> Extraction:
    """Which patches to cut, with the defaults filled in."""
    cut = request.size or request.count or request.stride
    if request.size == "whole" or (not cut and all(source.whole_by_default for source in sources)):
        return Extraction(None, seed=request.seed)
    size = like[1][:2] if like else request.size or SIZE
    assert not isinstance(size, str)
    count = None if request.stride else request.count or COUNT
    unsaid = DROP_FLAT if request.spec["whiten"] != "none" and count else 0.0
    drop_flat = unsaid if request.drop_flat is None else request.drop_flat
    return Extraction(size, count, request.stride, drop_flat, request.seed)


def _open(request: Request) -> list[Source]:
    """Files and folders first, generated images after them; a file of that name is a file."""
    made = [name for name in request.inputs if name in NAMES and not os.path.exists(name)]
    files = [name for name in request.inputs if name not in made]
    n_images = request.images or min(max((request.count or COUNT) // 1000, 8), 64)
    if made and request.color != "gray":
        raise ConfigError(f"--color {request.color}: {made[0]} images are grey")
    if request.images is not None and not made:
        raise ConfigError("--images is for generated images: give dead-leaves, dead-leaves-photo or pink-noise")
    opened = open_sources(files, request.color, request.labels) if files else []
    sources: list[Source] = [*opened, *(Generated(name, n_images, 256, request.seed) for name in made)]
    return sources if request.first is None else first_images(sources, request.first)


def _fitted(path: str) -> Fitted:
    """Preprocessing and patch shape of a data set or a model. Raises DataError."""
    if file_kind(path) == "featlearn-model":
        learned = load_model(path)
        return learned.preprocess, learned.shape
    dataset = read_dataset(path)
    return Preprocess.from_dict(dataset.preprocess), dataset.shape


def _read_list(name: str | None, null: bool) -> list[str]:
    """The names in --files-from. Raises DataError."""
    if name is None:
        if null:
            raise ConfigError("-0 says how the list of --files-from is separated: give --files-from")
        return []
    if name == "-":
        return read_paths(sys.stdin.buffer, null)
    with open(name, "rb") as stream:
        return read_paths(stream, null)
