"""Pictures of files: filters and learning curves of models, patches of data sets."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.cli.options import refuse_idle_options
from featlearn.cli.picture import PictureFile, PictureOutput, are_pixels, sheet_of_rows, signed
from featlearn.cli.report import Results, Words
from featlearn.cli.store import Learned, load_model, load_rows
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.dataset import read_dataset
from featlearn.files.header import file_kind
from featlearn.ops.arrays import product
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows
from featlearn.pictures.curve import curve, panels
from featlearn.pictures.figure import FORMATS as FIGURES
from featlearn.pictures.mosaic import FORMATS as SHEETS
from featlearn.pictures.mosaic import mosaic, order_filters, picture_bytes
from featlearn.rows import Array, blocks

PATCHES = 100  # that are drawn unless it is said how many


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    file: str
    output: str | None
    force: bool
    what: str | None
    through: tuple[str, ...]
    sort: str
    data: str | None
    contrast: str | None
    columns: int | None
    scale: int | None
    count: int | None


def draw(request: Request, words: Words, results: Results) -> None:
    """Draw, write and report. Raises DataError, ConfigError."""
    kind = file_kind(request.file)
    what = request.what or ("filters" if kind == "featlearn-model" else "patches")
    refuse_idle_options(what=what)
    if request.sort == "use" and request.data is None:
        raise ConfigError("--sort use goes by mean activations: give --data DATASET")
    if what == "patches" and kind == "featlearn-model":
        raise DataError(
            f"{show(request.file)}: is a model, wanted a data set; a model has --what filters and curve"
        )
    if what != "patches" and kind != "featlearn-model":
        raise DataError(f"{show(request.file)}: is a data set, wanted a model; a data set has --what patches")
    path = request.output or os.path.splitext(request.file)[0] + ".png"
    inputs = [name for name in (request.file, request.data, *request.through) if name]
    file = PictureFile("-o", path, request.force, inputs, FIGURES if what == "curve" else SHEETS)
    output = PictureOutput(file, words, results)
    picture, report = {"filters": _filters, "curve": _curve, "patches": _patches}[what](request, file.format)
    output.write(picture, {"what": what} | report)


def _filters(request: Request, format: str) -> tuple[bytes, dict[str, Any]]:
    learned = load_model(request.file)
    F, shape = _in_pixels(learned, [load_model(path) for path in request.through])
    F = F.reshape(-1, *shape)
    use = None if request.data is None else _use(learned, len(F), request.data)
    F = F[order_filters(F, request.sort, use)][: request.count]
    through = f" through {len(request.through)} below it" if request.through else ""
    contrast = request.contrast or "filter"
    text = _text(f"filters of a {learned.file.model} model{through}, order: {request.sort}", contrast)
    text["Content"] = learned.file.content_hash
    sheet = mosaic(F, request.columns, request.scale, contrast)
    return picture_bytes(sheet, format, text), {"filters": len(F), "shape": list(shape)}


def _use(learned: Learned, filters: int, data: str) -> Array:
    """(filters,) how much each is used over a data set. Raises ConfigError for a model whose codes are not of
    its filters one by one."""
    if learned.units != filters:
        raise ConfigError(
            f"--sort use: {show(learned.path)} is a {learned.file.model} model, whose {filters} filters have no codes "
            f"of their own ({learned.units} values); take --sort norm"
        )
    return mean_activation(learned, data)


def _in_pixels(learned: Learned, below: list[Learned]) -> tuple[Array, tuple[int, int, int]]:
    """(k, pixels) filters and the shape of a patch; of codes, as sums of the filters that those are of, and
    so on down.

    H. Lee, C. Ekanadham, A. Ng, Sparse deep belief net model for visual area V2, NIPS 2007. Raises DataError.
    """
    F = learned.preprocess.to_pixels(learned.model.filters())
    for lower in below:
        G = lower.model.filters()
        if F.shape[1] != lower.units:
            raise DataError(
                f"{show(learned.path)}: has learned from rows of {F.shape[1]} values, codes of {show(lower.path)} have "
                f"{lower.units}; give --through the model whose codes it has learned from, the nearest one first"
            )
        if lower.units != len(G):
            raise DataError(
                f"{show(lower.path)}: its codes have {lower.units} values and it has {len(G)} filters, so filters upon "
                "them are no sums of its own; draw without --through"
            )
        F = product(F.astype(np.float64), G.astype(np.float64))
        F, learned = lower.preprocess.to_pixels(F), lower
    return F, learned.shape


def _patches(request: Request, format: str) -> tuple[bytes, dict[str, Any]]:
    data = read_dataset(request.file)
    preprocess = Preprocess.from_dict(data.preprocess)
    if are_pixels(preprocess) and request.contrast is not None:
        raise ConfigError("--contrast: does nothing with pixels, which are drawn as they are; leave it out")
    contrast = request.contrast or "filter"
    count = min(request.count or PATCHES, len(data.patches))
    X = Rows(data.patches, preprocess, memory=0, name=show(request.file)).block(0, count)
    sheet = sheet_of_rows(X, preprocess, data.shape, request.columns, request.scale, contrast)
    pixels = signed({"Description": "patches; black is zero"})
    text = pixels if are_pixels(preprocess) else _text("preprocessed patches", contrast)
    return picture_bytes(sheet, format, text), {"patches": count, "shape": list(data.shape)}


def _curve(request: Request, format: str) -> tuple[bytes, dict[str, Any]]:
    learned = load_model(request.file)
    history = learned.file.history
    if not panels(history):
        raise DataError(f"{show(request.file)}: has no history to draw")
    text = signed({"Description": f"learning curve of a {learned.file.model} model"})
    text["Content"] = learned.file.content_hash
    phases = [phase.name for phase in learned.model.phases()]
    return curve(history, learned.file.model, format, text, phases), {"epochs": len(history["epoch"])}


def _text(description: str, contrast: str) -> dict[str, str]:
    """What the picture says of itself; a sheet scaled filter by filter does not show which ones are strong."""
    words = "each tile scaled by itself" if contrast == "filter" else "one scale for all tiles"
    return signed({"Description": f"{description}; {words}; mid-grey is zero"})


def mean_activation(learned: Learned, data: str) -> Array:
    """(hidden,) mean code over a data set. Raises DataError."""
    rows, _, _ = load_rows(data, like=learned)
    total = sum(learned.model.encode(X).sum(axis=0, dtype=np.float64) for X in blocks(rows))
    return np.asarray(total) / len(rows)
