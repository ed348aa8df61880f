"""Reconstructions of a data set's patches, or of a photograph through its overlapping patches."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.analysis.photo import levels, reconstruct_photo
from featlearn.cli.options import refuse_idle_options
from featlearn.cli.picture import PictureFile, PictureOutput, signed
from featlearn.cli.report import Results, Words
from featlearn.cli.store import Learned, load_model, load_rows, shape_words
from featlearn.errors import DataError, show
from featlearn.files.header import file_kind
from featlearn.files.images import read_image
from featlearn.ops.arrays import squared_error
from featlearn.patches.preprocess import unit_pixels
from featlearn.patches.rows import make_rows
from featlearn.pictures.mosaic import FORMATS, pairs, picture_bytes, pixel_bytes
from featlearn.rows import Array, blocks


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    model: str
    input: str
    output: str
    force: bool
    count: int
    stride: int
    max_pixels: int


def reconstruct(request: Request, words: Words, results: Results) -> None:
    """Reconstruct, write the picture and report. Raises DataError, ConfigError."""
    of_rows = _is_dataset(request.input)
    refuse_idle_options(input="data_set" if of_rows else "photograph")
    file = PictureFile("-o", request.output, request.force, [request.model, request.input], FORMATS)
    output = PictureOutput(file, words, results)
    learned = load_model(request.model)
    picture, report = _dataset(request, learned) if of_rows else _photo(request, learned, words)
    text = signed({"Description": f"reconstructions by a {learned.file.model} model"})
    text["Content"] = learned.file.content_hash
    output.write(picture_bytes(picture, file.format, text), report)


def _is_dataset(path: str) -> bool:
    """Whether to take the input for a data set; then its reader says what is wrong with it."""
    if path.endswith((".h5", ".hdf5")):
        return True
    try:
        return bool(file_kind(path))
    except DataError:
        return False


def _dataset(request: Request, learned: Learned) -> tuple[Array, dict[str, Any]]:
    """Its first patches above what the model makes of them; the error over all rows, as in training."""
    rows, data, preprocess = load_rows(request.input, like=learned)
    squares = sum(squared_error(X, learned.reconstruct(X)) for X in blocks(rows))
    raw = data.patches[: request.count]
    X, stats = make_rows(raw, preprocess, learned.model.dtype, show(request.input), np.arange(len(raw)))
    shape = (-1, *learned.shape)
    before = preprocess.invert(X, stats).reshape(shape)
    after = preprocess.invert(learned.reconstruct(X), stats).reshape(shape)
    picture = pairs(before, after, tones=levels(unit_pixels(raw, preprocess.spec.threshold)))
    return picture, {"rmse": math.sqrt(squares / (len(rows) * rows.n_visible)), "patches": len(rows)}


def _photo(request: Request, learned: Learned, words: Words) -> tuple[Array, dict[str, Any]]:
    """The whole image from its overlapping patches; `levels`: black and white where they are not 0 and 1."""
    color = "gray" if learned.shape[2] == 1 else "rgb"
    image = read_image(request.input, color, request.max_pixels, lambda text: words.say(f"warning: {text}"))
    if image.shape[0] < learned.shape[0] or image.shape[1] < learned.shape[1]:
        raise DataError(
            f"{show(request.input)}: has {image.shape[0]}x{image.shape[1]} pixels, patches of the model have "
            f"{shape_words(learned.shape[:2])}; take a larger image"
        )
    if learned.preprocess.spec.threshold is not None:  # what the model sees and makes is black and white
        image = (unit_pixels(image, learned.preprocess.spec.threshold) * 255).astype(np.uint8)
    again, psnr = reconstruct_photo(learned.model, learned.preprocess, image, learned.shape, request.stride)
    report = {"psnr": psnr, "shape": list(image.shape)}
    if levels(image) != (0, 1):
        report["levels"] = list(levels(image))
    return pixel_bytes(again), report
