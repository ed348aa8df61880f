"""Reconstructions of a data set's patches, or of a photograph through its overlapping patches."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featlearn.analysis.photo import levels, reconstruct_photo
from featlearn.errors import DataError, show
from featlearn.files.header import file_kind
from featlearn.files.images import read_image
from featlearn.jobs.callbacks import Say, log
from featlearn.jobs.picture_settings import Printed
from featlearn.jobs.pictures import PictureFile, Stream, as_seen, png_text
from featlearn.jobs.results import Result, optional
from featlearn.jobs.settings import Reconstruction
from featlearn.jobs.store import LoadedModel, load_model, load_rows, shape_words, treatment_of
from featlearn.ops.arrays import squared_error
from featlearn.patches.normalize import unit_pixels
from featlearn.patches.rows import make_rows
from featlearn.pictures.figure import FORMATS
from featlearn.pictures.mosaic import FORMATS as RASTERS
from featlearn.pictures.mosaic import Sheet, pairs, picture_bytes, pixel_bytes
from featlearn.pictures.sheet import sheet_bytes
from featlearn.rows import Array, blocks
from featlearn.settings import refuse_idle


@dataclass(frozen=True)
class Reconstructed(Result):
    """A picture of reconstructions, and how far they are from the inputs."""

    output: str | None = optional()
    rmse: float | None = optional()
    """Of a data set: over all its rows, in units of preprocessed values."""
    patches: int | None = optional()
    psnr: float | None = optional()
    """Of a photograph, in dB."""
    shape: tuple[int, ...] | None = optional()
    levels: tuple[float, float] | None = optional()
    """Black and white of the photograph where they are not 0 and 1."""


def reconstruct(
    model: str,
    input: str,
    output: str | Stream,
    *,
    reconstruction: Reconstruction | None = None,
    printed: Printed | None = None,
    force: bool = False,
    given: Collection[str] = (),
    say: Say = log,
) -> Reconstructed:
    """Draw what a model makes of a data set or a photograph; a stream as output gets a PNG.

    `given` settings are refused where they do nothing. Raises DataError, ConfigError.
    """
    settings = reconstruction or Reconstruction()
    of_rows = _is_dataset(input)
    refuse_idle(settings, given, {"input": "data_set" if of_rows else "photograph"})
    file = PictureFile("-o", output, force, [model, input], RASTERS if settings.alone else FORMATS)
    look = file.look(printed or Printed(), given, has_words=not settings.alone)
    learned = load_model(model)
    picture, found = (
        _dataset(input, settings, learned, say) if of_rows else _photo(input, settings, learned, say)
    )
    text = png_text({"Description": f"reconstructions by a {learned.file.model} model"})
    text["Content"] = learned.file.content_hash
    if isinstance(picture, Sheet):
        file.write(sheet_bytes(picture, look, file.format, text))
    else:
        file.write(picture_bytes(picture, file.format, text, look.dpi))
    return Reconstructed(file.name, **found)


def _is_dataset(path: str) -> bool:
    """Whether to take the input for a data set; then its reader says what is wrong with it."""
    if path.endswith((".h5", ".hdf5")):
        return True
    try:
        return bool(file_kind(path))
    except DataError:
        return False


def _dataset(
    path: str, settings: Reconstruction, learned: LoadedModel, say: Say
) -> tuple[Sheet, dict[str, Any]]:
    """Its first patches above what the model makes of them; the error over all rows, as in training."""
    rows, data, preprocess = load_rows(path, like=learned, say=say)
    squares = sum(squared_error(X, learned.model.reconstruct(X)) for X in blocks(rows))
    raw = data.patches[: settings.count]
    X, stats = make_rows(raw, preprocess, learned.model.dtype, show(path), np.arange(len(raw)))
    shape = (-1, *learned.shape)
    Y = learned.model.reconstruct(X)
    before, after = (preprocess.invert(one, stats).reshape(shape) for one in (X, Y))
    rmse = math.sqrt(squares / (len(rows) * rows.n_visible))
    tones = levels(unit_pixels(raw, preprocess.spec.threshold))
    (before, seen), (after, _) = (as_seen(one, preprocess, tones) for one in (before, after))
    picture = pairs(before, after, seen)
    if settings.labels:
        each = np.sqrt(np.square(X.astype(np.float64) - Y).mean(axis=1))
        each = each.repeat(len(picture.tiles) // len(X))  # of maps, which are drawn one by one
        note = f"above: inputs; below: what a {learned.file.model} model makes of them, and the RMSE; "
        note += f"of all {len(rows):,} rows it is {rmse:.3g}"
        picture = replace(picture, captions=[f"{error:.2g}" for error in each], note=note)
    return picture, {"rmse": rmse, "patches": len(rows)}


def _photo(
    path: str, settings: Reconstruction, learned: LoadedModel, say: Say
) -> tuple[Sheet | Array, dict[str, Any]]:
    """The whole image, and beside it what its overlapping patches are made of.

    `levels`: black and white where they are not 0 and 1.
    """
    image = _read(path, settings, learned, say)
    if image.shape[0] < learned.shape[0] or image.shape[1] < learned.shape[1]:
        raise DataError(
            f"{show(path)}: has {image.shape[0]}x{image.shape[1]} pixels, patches of the model have "
            f"{shape_words(learned.shape[:2])}; take a larger image"
        )
    if learned.preprocess.spec.threshold is not None:  # what the model sees and makes is black and white
        image = (unit_pixels(image, learned.preprocess.spec.threshold) * 255).astype(np.uint8)
    again, psnr = reconstruct_photo(learned.model, learned.preprocess, image, learned.shape, settings.stride)
    report = {"psnr": psnr, "shape": image.shape}
    if levels(image) != (0, 1):
        report["levels"] = levels(image)
    seen = pixel_bytes(*as_seen(again, learned.preprocess, (0.0, 1.0)))
    if settings.alone:
        return seen, report
    pixels = learned.preprocess.unit_pixels(image)
    before = pixel_bytes(*as_seen(pixels, learned.preprocess, levels(image)))
    tiles = np.stack([before, seen])[:, None, None]
    words = ("photograph", f"reconstruction, PSNR {psnr:.1f} dB") if settings.labels else ()
    return Sheet(tiles, columns=2, captions=words), report


def _read(path: str, settings: Reconstruction, learned: LoadedModel, say: Say) -> Array:
    """Return an image in the colours of a model, or in its own where the model has seen grey ones.

    A model that sees black and white alone is given these. Raises DataError.
    """
    coloured = False

    def note_colour() -> None:
        nonlocal coloured
        coloured = True

    def warn(text: str) -> None:
        say(f"warning: {text}")

    how = treatment_of(learned.preprocess, learned.shape)
    image = read_image(path, how.read_as or "gray", settings.max_pixels, warn, note_colour)
    if coloured and learned.preprocess.spec.threshold is None:
        how = replace(how, color="rgb")
        image = read_image(path, "rgb", settings.max_pixels)
    return how.of(image, lambda: path)
