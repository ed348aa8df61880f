"""Pictures of files: filters and learning curves of models, patches of data sets."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.cli.picture import PictureOutput, signed
from featlearn.cli.report import Results, Words
from featlearn.cli.store import Learned, load_model, load_rows
from featlearn.errors import ConfigError, DataError
from featlearn.files.dataset import read_dataset
from featlearn.files.kind import file_kind
from featlearn.files.regular import show
from featlearn.models.parts.arrays import product
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows
from featlearn.pictures.curve import PANELS, curve_png
from featlearn.pictures.mosaic import mosaic, order_filters, png_bytes

Array = npt.NDArray[Any]
BLOCK = 4096  # rows that are encoded together


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
    contrast: str
    columns: int | None
    scale: int | None
    count: int


def draw(request: Request, words: Words, results: Results) -> None:
    """Draw, write and report. Raises DataError, ConfigError."""
    kind = file_kind(request.file)
    what = request.what or ("filters" if kind == "featlearn-model" else "patches")
    if request.sort == "use" and request.data is None:
        raise ConfigError("--sort use goes by mean activations: give --data DATASET")
    if request.through and what != "filters":
        raise ConfigError(f"--through: draws filters of a model, not {what}; leave it out")
    if what == "patches" and kind == "featlearn-model":
        raise DataError(f"{show(request.file)}: is a model, wanted a data set; a model has --what filters and curve")
    if what != "patches" and kind != "featlearn-model":
        raise DataError(f"{show(request.file)}: is a data set, wanted a model; a data set has --what patches")
    path = request.output or os.path.splitext(request.file)[0] + ".png"
    inputs = [name for name in (request.file, request.data, *request.through) if name]
    output = PictureOutput(path, request.force, inputs, words, results)
    png, report = {"filters": _filters, "curve": _curve, "patches": _patches}[what](request)
    output.write(png, {"what": what} | report)


def _filters(request: Request) -> tuple[bytes, dict[str, Any]]:
    learned = load_model(request.file)
    F, shape = _in_pixels(learned, [load_model(path) for path in request.through])
    F = F.reshape(-1, *shape)
    use = None if request.data is None else mean_activation(learned, request.data)
    F = F[order_filters(F, request.sort, use)]
    through = f" through {len(request.through)} below it" if request.through else ""
    text = _text(request, f"filters of a {learned.file.model} model{through}, order: {request.sort}")
    text["Content"] = learned.file.content_hash
    return _sheet(F, request, text), {"filters": len(F), "shape": list(shape)}


def _in_pixels(learned: Learned, below: list[Learned]) -> tuple[Array, tuple[int, int, int]]:
    """(k, pixels) filters and the shape of a patch; of codes, as sums of the filters that those are of, and so on down.

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


def _patches(request: Request) -> tuple[bytes, dict[str, Any]]:
    data = read_dataset(request.file)
    count = min(request.count, len(data.patches))
    preprocess = Preprocess.from_dict(data.preprocess)
    X = Rows(data.patches, preprocess, memory=0, name=show(request.file)).block(0, count)
    F = preprocess.to_pixels(X).reshape(-1, *data.shape)
    return _sheet(F, request, _text(request, "preprocessed patches")), {"patches": count, "shape": list(data.shape)}


def _curve(request: Request) -> tuple[bytes, dict[str, Any]]:
    learned = load_model(request.file)
    epochs = len(learned.file.history.get("epoch", ()))
    if not epochs or not PANELS.keys() & learned.file.history.keys():
        raise DataError(f"{show(request.file)}: has no history to draw")
    return curve_png(learned.file.history, f"{learned.file.model}"), {"epochs": epochs}


def _sheet(F: Array, request: Request, text: dict[str, str]) -> bytes:
    return png_bytes(mosaic(F, request.columns, request.scale, request.contrast), text)


def _text(request: Request, description: str) -> dict[str, str]:
    """What the picture says of itself; a sheet scaled filter by filter does not show which ones are strong."""
    contrast = "each tile scaled by itself" if request.contrast == "filter" else "one scale for all tiles"
    return signed({"Description": f"{description}; {contrast}; mid-grey is zero"})


def mean_activation(learned: Learned, data: str) -> Array:
    """(hidden,) mean code over a data set. Raises DataError."""
    rows, _, _ = load_rows(data, like=learned)
    total = sum(
        learned.model.encode(rows.block(start, min(start + BLOCK, len(rows)))).sum(axis=0, dtype=np.float64)
        for start in range(0, len(rows), BLOCK)
    )
    return np.asarray(total) / len(rows)
