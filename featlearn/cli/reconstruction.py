"""Reconstructions of a data set's patches, or of a photograph through its overlapping patches."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.analysis.metrics import squared_error
from featlearn.analysis.photo import reconstruct_photo
from featlearn.cli.picture import PictureOutput, signed
from featlearn.cli.report import Results, Words
from featlearn.cli.store import Learned, load_model, load_rows, shape_words
from featlearn.errors import DataError
from featlearn.files.images import read_image
from featlearn.files.kind import file_kind
from featlearn.files.regular import show
from featlearn.patches.preprocess import unit_pixels
from featlearn.patches.rows import make_rows
from featlearn.pictures.mosaic import pairs, png_bytes

Array = npt.NDArray[Any]
BLOCK = 4096  # rows that are reconstructed together


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    model: str
    input: str
    output: str
    force: bool
    count: int
    stride: int


def reconstruct(request: Request, words: Words, results: Results) -> None:
    """Reconstruct, write the picture and report. Raises DataError, ConfigError."""
    output = PictureOutput(request.output, request.force, [request.model, request.input], words, results)
    learned = load_model(request.model)
    picture, report = _dataset(request, learned) if _is_dataset(request.input) else _photo(request, learned)
    output.write(png_bytes(picture, signed({"Content": learned.file.content_hash})), report)


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
    blocks = (rows.block(start, min(start + BLOCK, len(rows))) for start in range(0, len(rows), BLOCK))
    squares = sum(squared_error(X, learned.reconstruct(X)) for X in blocks)
    first = data.patches[: request.count]
    X, stats = make_rows(first, preprocess, learned.model.dtype, show(request.input), np.arange(len(first)))
    shape = (-1, *learned.shape)
    before = preprocess.invert(X, stats).reshape(shape)
    after = preprocess.invert(learned.reconstruct(X), stats).reshape(shape)
    return pairs(before, after), {"rmse": math.sqrt(squares / (len(rows) * rows.n_visible)), "patches": len(rows)}


def _photo(request: Request, learned: Learned) -> tuple[Array, dict[str, Any]]:
    """The whole image from its overlapping patches."""
    image = read_image(request.input, "gray" if learned.shape[2] == 1 else "rgb")
    if image.shape[0] < learned.shape[0] or image.shape[1] < learned.shape[1]:
        raise DataError(
            f"{show(request.input)}: has {image.shape[0]}x{image.shape[1]} pixels, patches of the model have "
            f"{shape_words(learned.shape[:2])}; take a larger image"
        )
    if learned.preprocess.spec.threshold is not None:  # what the model sees and makes is black and white
        white = np.iinfo(image.dtype).max
        image = (unit_pixels(image, learned.preprocess.spec.threshold) * white).astype(image.dtype)
    again, psnr = reconstruct_photo(learned.model, learned.preprocess, image, learned.shape, request.stride)
    return np.rint(np.clip(again, 0, 1) * 255).astype(np.uint8), {"psnr": psnr, "shape": list(image.shape)}
