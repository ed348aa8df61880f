"""Pictures of files: filters and learning curves of models, patches of data sets."""

import math
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np

from featlearn.analysis.maximize import maximizers
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.dataset import read_dataset
from featlearn.files.header import MODEL, file_kind
from featlearn.jobs.pictures import (
    PictureFile,
    Stream,
    are_pixels,
    png_text,
    sheet_of_rows,
    usual_patches,
)
from featlearn.jobs.results import Result, optional
from featlearn.jobs.settings import Drawing
from featlearn.jobs.store import LoadedModel, load_model, load_rows, upto_layer
from featlearn.ops.arrays import product
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows
from featlearn.pictures.curve import curve, panels
from featlearn.pictures.figure import FORMATS as FIGURES
from featlearn.pictures.mosaic import FORMATS as SHEETS
from featlearn.pictures.mosaic import mosaic, order_filters, picture_bytes
from featlearn.rows import Array, blocks
from featlearn.settings import refuse_idle

LENGTH = 0.35  # of a row that is to make a unit active, per value, in units of the largest; digits have .33


@dataclass(frozen=True)
class Drawn(Result):
    """A picture, and what it shows."""

    output: str | None = optional()
    what: str = ""
    filters: int | None = optional()
    patches: int | None = optional()
    epochs: int | None = optional()
    shape: tuple[int, int, int] | None = optional()
    """(height, width, channels) of a tile."""


def visualize(
    file: str,
    output: str | Stream | None = None,
    *,
    drawing: Drawing | None = None,
    force: bool = False,
    given: Collection[str] = (),
) -> Drawn:
    """Draw a model's filters or learning curve, or a data set's patches; a stream as output gets a PNG.

    Without output the picture goes to FILE with the suffix .png. `given` settings are refused where they do
    nothing. Raises DataError, ConfigError.
    """
    drawing = drawing or Drawing()
    refuse_idle(drawing, given, undecided=() if drawing.what else ("what",))
    kind = file_kind(file)
    what = drawing.what or ("filters" if kind == MODEL else "patches")
    drawing = replace(drawing, what=what)
    refuse_idle(drawing, given)
    if drawing.sort == "use" and drawing.data is None:
        raise ConfigError("--sort use goes by mean activations: give --data DATASET")
    if what == "patches" and kind == MODEL:
        raise DataError(f"{show(file)}: is a model, wanted a data set; a model has --what filters and curve")
    if what != "patches" and kind != MODEL:
        raise DataError(f"{show(file)}: is a data set, wanted a model; a data set has --what patches")
    place = os.path.splitext(file)[0] + ".png" if output is None else output
    inputs = [name for name in (file, drawing.data, *drawing.through) if name]
    target = PictureFile("-o", place, force, inputs, FIGURES if what == "curve" else SHEETS)
    make = {"filters": _filters, "curve": _curve, "patches": _patches}[what]
    picture, found = make(file, drawing, target.format)
    target.write(picture)
    return Drawn(target.name, what, **found)


def _filters(path: str, drawing: Drawing, format: str) -> tuple[bytes, dict[str, Any]]:
    learned = upto_layer(load_model(path), drawing.layer)
    if drawing.maximize:
        F, shape = _wanted(learned, drawing), learned.shape
    else:
        F, shape = _in_pixels(learned, [load_model(lower) for lower in drawing.through])
    F = F.reshape(-1, *shape)
    use = None if drawing.data is None else _use(learned, len(F), drawing.data)
    F = F[order_filters(F, drawing.sort, use)][: drawing.count]
    kind = "rows that most activate the units" if drawing.maximize else "filters"
    through = f" through {len(drawing.through)} below it" if drawing.through else ""
    contrast = drawing.contrast or "filter"
    text = _text(f"{kind} of a {learned.file.model} model{through}, order: {drawing.sort}", contrast)
    text["Content"] = learned.file.content_hash
    sheet = mosaic(F, drawing.columns, drawing.scale, contrast)
    return picture_bytes(sheet, format, text), {"filters": len(F), "shape": shape}


def _wanted(learned: LoadedModel, drawing: Drawing) -> Array:
    """Return the pixels (units, pixels) that make each unit most active. Raises ConfigError."""
    preprocess, units = learned.preprocess, learned.units
    if drawing.sort == "trained" and drawing.count is not None:
        units = min(units, drawing.count)
    largest = max(abs(preprocess.low), abs(preprocess.high))
    radius = math.sqrt(preprocess.n_visible) * (LENGTH * largest if math.isfinite(largest) else 1.0)
    try:
        layers = learned.model.encoder_layers()
    except ConfigError as error:
        raise ConfigError(
            f"--maximize: {show(learned.path)}: the encoder of a {learned.file.model} model is no chain of "
            "layers with a derivative; draw its filters"
        ) from error
    return preprocess.to_pixels(maximizers(layers, units, radius, preprocess.low, preprocess.high))


def _use(learned: LoadedModel, filters: int, data: str) -> Array:
    """Return the use of each filter over a data set, (filters,).

    Raises ConfigError for a model whose codes are not of its filters one by one.
    """
    if learned.units != filters:
        raise ConfigError(
            f"--sort use: {show(learned.path)} is a {learned.file.model} model, "
            f"whose {filters} filters have no codes of their own ({learned.units} values); take --sort norm"
        )
    return mean_activation(learned, data)


def _in_pixels(learned: LoadedModel, below: list[LoadedModel]) -> tuple[Array, tuple[int, int, int]]:
    """Return filters (k, pixels) and the shape of a patch.

    Filters of codes are sums of the filters that those are of, and so on down.

    H. Lee, C. Ekanadham, A. Ng, Sparse deep belief net model for visual area V2, NIPS 2007. Raises DataError.
    """
    F = learned.preprocess.to_pixels(learned.model.filters())
    for lower in below:
        G = lower.model.filters()
        if F.shape[1] != lower.units:
            raise DataError(
                f"{show(learned.path)}: has learned from rows of {F.shape[1]} values, "
                f"codes of {show(lower.path)} have "
                f"{lower.units}; give --through the model whose codes it has learned from, "
                "the nearest one first"
            )
        if lower.units != len(G):
            raise DataError(
                f"{show(lower.path)}: its codes have {lower.units} values and it has {len(G)} filters, "
                "so filters upon them are no sums of its own; draw without --through"
            )
        F = product(F.astype(np.float64), G.astype(np.float64))
        F, learned = lower.preprocess.to_pixels(F), lower
    return F, learned.shape


def _patches(path: str, drawing: Drawing, format: str) -> tuple[bytes, dict[str, Any]]:
    data = read_dataset(path)
    preprocess = Preprocess.from_dict(data.preprocess)
    if are_pixels(preprocess) and drawing.contrast is not None:
        raise ConfigError("--contrast: does nothing with pixels, which are drawn as they are; leave it out")
    contrast = drawing.contrast or "filter"
    count = min(drawing.count or usual_patches(data.shape), len(data.patches))
    X = Rows(data.patches, preprocess, memory=0, name=show(path)).block(0, count)
    sheet = sheet_of_rows(X, preprocess, data.shape, drawing.columns, drawing.scale, contrast)
    pixels = png_text({"Description": "patches; black is zero"})
    text = pixels if are_pixels(preprocess) else _text("preprocessed patches", contrast)
    return picture_bytes(sheet, format, text), {"patches": count, "shape": data.shape}


def _curve(path: str, drawing: Drawing, format: str) -> tuple[bytes, dict[str, Any]]:
    learned = load_model(path)
    history = learned.file.history
    if not panels(history):
        raise DataError(f"{show(path)}: has no history to draw")
    text = png_text({"Description": f"learning curve of a {learned.file.model} model"})
    text["Content"] = learned.file.content_hash
    phases = [phase.name for phase in learned.model.phases()]
    lengths = [len(layer.history.get("epoch", ())) for layer in learned.file.layers[:-1]]
    layers = [start for start in accumulate(lengths) if start < len(history["epoch"])]
    picture = curve(history, learned.file.model, format, text, phases, layers)
    return picture, {"epochs": len(history["epoch"])}


def _text(description: str, contrast: str) -> dict[str, str]:
    """Return what is said of the picture; one scaled filter by filter does not show which are strong."""
    words = "each tile scaled by itself" if contrast == "filter" else "one scale for all tiles"
    return png_text({"Description": f"{description}; {words}; mid-grey is zero"})


def mean_activation(learned: LoadedModel, data: str) -> Array:
    """(hidden,) mean code over a data set. Raises DataError."""
    rows, _, _ = load_rows(data, like=learned)
    total = sum(learned.model.encode(X).sum(axis=0, dtype=np.float64) for X in blocks(rows))
    return np.asarray(total) / len(rows)
