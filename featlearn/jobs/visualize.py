"""Pictures of files: of a model's filters, units and learning curve, of a data set's patches."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featlearn.errors import ConfigError, DataError, show
from featlearn.files.dataset import read_dataset
from featlearn.files.header import MODEL, file_kind
from featlearn.jobs.callbacks import Say, log
from featlearn.jobs.filter_pictures import draw_filters, draw_top_patches, scale_words
from featlearn.jobs.picture_settings import Drawing, Printed
from featlearn.jobs.pictures import (
    PictureFile,
    Stream,
    are_pixels,
    png_text,
    run_of,
    sheet_of_rows,
    short_names,
    usual_patches,
)
from featlearn.jobs.results import Result, optional
from featlearn.jobs.store import load_model
from featlearn.jobs.unit_pictures import TABLE, draw_activations, draw_gabors
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows
from featlearn.pictures.curve import PANELS, curve, panels
from featlearn.pictures.figure import FORMATS, Look
from featlearn.pictures.sheet import sheet_bytes
from featlearn.settings import refuse_idle

WITHOUT_PIXELS = ("curve", "activations", "gabor")  # in a PDF or SVG
OF_DATA = {"use": "goes by mean activations", "error": "goes by errors of rows"}


@dataclass(frozen=True)
class Drawn(Result):
    """A picture, and what it shows."""

    output: str | None = optional()
    what: str = ""
    filters: int | None = optional()
    patches: int | None = optional()
    units: int | None = optional()
    dead: int | None = optional()
    """Units that never leave rest, or whose filter is flat, of those that are drawn."""
    dense: int | None = optional()
    """Units that are active in most rows."""
    edges: int | None = optional()
    runs: int | None = optional()
    epochs: int | None = optional()
    shape: tuple[int, int, int] | None = optional()
    """(height, width, channels) of a tile."""


def visualize(
    files: Sequence[str],
    output: str | Stream | None = None,
    *,
    drawing: Drawing | None = None,
    printed: Printed | None = None,
    force: bool = False,
    given: Collection[str] = (),
    say: Say = log,
) -> Drawn:
    """Draw what a model has learned, a data set's patches, or learning curves of several models.

    A stream as output gets a PNG. Without output the picture goes to FILE with the suffix .png. `given`
    settings are refused where they do nothing. Raises DataError, ConfigError.
    """
    drawing, printed = drawing or Drawing(), printed or Printed()
    if not files:
        raise ConfigError("no FILE: give a model or a data set")
    refuse_idle(drawing, given, undecided=() if drawing.what else ("what",))
    kinds = [file_kind(file) for file in files]
    what = drawing.what or ("filters" if kinds[0] == MODEL else "patches")
    drawing = replace(drawing, what=what)
    refuse_idle(drawing, given)
    _refuse_other_files(what, files, kinds)
    if drawing.sort in OF_DATA and drawing.data is None and what != "top-patches":
        raise ConfigError(f"--sort {drawing.sort} {OF_DATA[drawing.sort]}: give --data DATASET")
    if what in ("top-patches", "activations") and drawing.data is None:
        raise ConfigError(f"--what {what}: give --data DATASET, whose rows drive the units")
    if output is None and len(files) > 1:
        raise ConfigError("no output for a picture of several files: give -o PATH")
    place = os.path.splitext(files[0])[0] + ".png" if output is None else output
    inputs = [name for name in (*files, drawing.data, *drawing.through) if name]
    target = PictureFile("-o", place, force, inputs, FORMATS | (TABLE if what == "gabor" else {}))
    look = target.look(printed, given, what not in WITHOUT_PIXELS)
    if what == "curve":
        picture, found = _curve(files, drawing, look, target.format)
    else:
        make = {
            "filters": draw_filters,
            "top-patches": draw_top_patches,
            "activations": draw_activations,
            "gabor": draw_gabors,
            "patches": _patches,
        }[what]
        picture, found = make(files[0], drawing, look, target.format, say)
    target.write(picture)
    return Drawn(target.name, what, **found)


def _refuse_other_files(what: str, files: Sequence[str], kinds: Sequence[str]) -> None:
    """Raise ConfigError for more files than can be drawn, DataError for files of another kind."""
    if len(files) > 1 and what != "curve":
        raise ConfigError(
            f"{len(files)} files: --what curve draws several over each other, --what {what} draws one"
        )
    for file, kind in zip(files, kinds, strict=True):
        if what == "patches" and kind == MODEL:
            raise DataError(
                f"{show(file)}: is a model, wanted a data set; a model has --what filters, curve, gabor, and "
                "with --data top-patches and activations"
            )
        if what != "patches" and kind != MODEL:
            raise DataError(f"{show(file)}: is a data set, wanted a model; a data set has --what patches")


def _patches(path: str, drawing: Drawing, look: Look, format: str, say: Say) -> tuple[bytes, dict[str, Any]]:
    data = read_dataset(path)
    preprocess = Preprocess.from_dict(data.preprocess)
    if are_pixels(preprocess) and drawing.contrast is not None:
        raise ConfigError("--contrast: does nothing with pixels, which are drawn as they are; leave it out")
    contrast = drawing.contrast or "filter"
    count = min(drawing.count or usual_patches(data.shape), len(data.patches))
    X = Rows(data.patches, preprocess, memory=0, name=show(path)).block(0, count)
    names = data.label_names
    captions = [
        str(i) if data.labels is None else (names[data.labels[i]] if names else str(data.labels[i]))
        for i in range(count)
    ]
    note = f"{count:,} of {len(data.patches):,} "
    pixels = are_pixels(preprocess)
    note += "patches; black is zero" if pixels else "preprocessed patches; "
    note += "" if pixels else f"{scale_words(contrast)}; mid-grey is zero"
    if drawing.labels:
        note += "" if data.labels is None else "; below each its class"
    sheet = sheet_of_rows(
        X,
        preprocess,
        data.shape,
        contrast,
        bar=drawing.contrast == "common",
        columns=drawing.columns,
        scale=drawing.scale,
        captions=captions if drawing.labels else (),
        note=note if drawing.labels else "",
    )
    text = png_text({"Description": note})
    return sheet_bytes(sheet, look, format, text), {"patches": count, "shape": data.shape}


def _curve(paths: Sequence[str], drawing: Drawing, look: Look, format: str) -> tuple[bytes, dict[str, Any]]:
    """Draw the learning curves of models over each other. Raises DataError, ConfigError."""
    runs, digests = [], []
    for path, name in zip(paths, short_names(paths), strict=True):
        learned = load_model(path)
        if not panels(learned.file.history):
            raise DataError(f"{show(path)}: has no history to draw")
        runs.append(run_of(learned.file, learned.model, name))
        digests.append(learned.file.content_hash)
    there = [name for name in PANELS if any(name in panels(run.history) for run in runs)]
    shown = there if drawing.panels is None else [name.strip() for name in drawing.panels.split(",")]
    for name in shown:
        if name not in there:
            raise ConfigError(f"--panels: got {name!r}; the history holds {', '.join(there)}")
    text = png_text({"Description": f"learning curves of {', '.join(run.name for run in runs)}"})
    text["Content"] = " ".join(digests)
    epochs = max(len(np.asarray(run.history["epoch"])) for run in runs)
    return curve(runs, shown, look, format, text), {"runs": len(runs), "epochs": epochs}
