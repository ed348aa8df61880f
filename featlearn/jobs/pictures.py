"""Pictures that jobs make: where they go, in a format that the suffix of a name says; and their tones."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol

import numpy as np

from featlearn import __version__
from featlearn.errors import ConfigError, show
from featlearn.files.atomic import check_output, write_bytes
from featlearn.files.color import to_levels
from featlearn.files.model import ModelFile
from featlearn.jobs.formats import refuse_other_suffix, suffix
from featlearn.jobs.picture_settings import Printed
from featlearn.models.base import Model
from featlearn.patches.extract import COLORS
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows
from featlearn.pictures.curve import Run
from featlearn.pictures.figure import FORMATS, Look
from featlearn.pictures.mosaic import FORMATS as RASTERS
from featlearn.pictures.mosaic import (
    Sheet,
    grey_tiles,
    mosaic,
    pixel_bytes,
    place,
    planes_in_cells,
    weight_bytes,
)
from featlearn.rows import Array

PATCHES = 100  # that are drawn unless it is said how many
SHEET = 2 << 20  # bytes that the sheet inside a file may have


class Stream(Protocol):
    """What takes bytes: a file that is open for writing, io.BytesIO."""

    def write(self, data: bytes, /) -> Any: ...


@dataclass(frozen=True)
class PictureFile:
    """Where a picture goes. Made before any work, so that what must not be written is refused first.

    `output` is a name or a stream; `option` named it; `formats` are those that the picture can have, by
    suffix. Raises ConfigError for a suffix of none of them, DataError for the output.
    """

    option: str
    output: str | Stream
    force: bool
    inputs: Sequence[str]
    formats: Mapping[str, str] = field(default_factory=lambda: FORMATS)

    def __post_init__(self) -> None:
        if not isinstance(self.output, str):
            return
        check_output(self.output, self.force, self.inputs)
        refuse_other_suffix(self.option, self.output, self.formats, "this picture")

    @property
    def name(self) -> str | None:
        """The file's name; None for a stream."""
        return self.output if isinstance(self.output, str) else None

    @property
    def format(self) -> str:
        """What the suffix says; a PNG on a stream."""
        return self.formats[suffix(self.output) if isinstance(self.output, str) else ".png"]

    def look(
        self, printed: Printed, given: Collection[str], has_pixels: bool = True, has_words: bool = True
    ) -> Look:
        """Return what the picture shall look like.

        `has_pixels`: whether it has them in any format; `has_words`: whether there is room for a title.
        Raises ConfigError for given settings that do nothing in this format.
        """
        drawn, raster = self.format in FORMATS.values(), self.format in RASTERS.values()
        does = {"title": drawn and has_words, "dpi": raster or (drawn and has_pixels)}
        for name, something in does.items():
            if name in given and not something:
                raise ConfigError(f"--{name}: does nothing in such a {self.format}; leave it out")
        return Look(printed.title, printed.dpi)

    def write(self, picture: bytes) -> None:
        """Write it. Raises DataError."""
        if isinstance(self.output, str):
            write_bytes(self.output, picture, self.force, self.inputs)
        else:
            self.output.write(picture)


def png_text(text: dict[str, str]) -> dict[str, str]:
    """Return what a picture says of itself, with the program that made it."""
    return {"Software": f"featlearn {__version__}"} | text


def are_pixels(preprocess: Preprocess) -> bool:
    """Whether preprocessed rows are intensities, which begin at black, and not values of both signs."""
    return preprocess.low >= 0 and preprocess.spec.whiten != "pca"


def as_seen(
    pixels: Array, preprocess: Preprocess, tones: tuple[float, float]
) -> tuple[Array, tuple[float, float]]:
    """Return pixels, and their values of black and white, for a screen: light becomes levels of sRGB."""
    if not preprocess.linear:
        return pixels, tones
    black, white = tones
    return to_levels((pixels - black) / (white - black)), (0.0, 1.0)


def tiles_of_rows(
    X: Array, preprocess: Preprocess, shape: tuple[int, int, int], contrast: str = "common"
) -> tuple[Array, float | None]:
    """Return preprocessed rows X (k, n_visible) as uint8 tiles, and the value of white if zero is mid-grey.

    Intensities are drawn as they are, other values with mid-grey for zero. White of intensities is 1, or what
    they reach beyond that.
    """
    tiles = (len(X), *shape)
    if not are_pixels(preprocess):
        return weight_bytes(grey_tiles(preprocess.to_pixels(X).reshape(tiles)), contrast)
    highest = preprocess.high if np.isfinite(preprocess.high) else X.max(initial=1.0)
    seen, tones = as_seen(X.reshape(tiles), preprocess, (0.0, max(1.0, float(highest))))
    return pixel_bytes(grey_tiles(seen), tones), None


def sheet_of_rows(
    X: Array,
    preprocess: Preprocess,
    shape: tuple[int, int, int],
    contrast: str = "common",
    bar: bool = False,
    captions: Sequence[str] = (),
    **how: Any,
) -> Sheet:
    """Return a sheet of preprocessed rows X (k, n_visible), one cell each, and a `bar` of tones.

    `how` is as of Sheet. Maps are drawn one by one: each has the caption of its row.
    """
    tiles, white = tiles_of_rows(X, preprocess, shape, contrast)
    cells = planes_in_cells(tiles, len(X))
    captions = [caption for caption in captions for _ in range(len(cells) // len(X))]
    return Sheet(cells, white=white if bar else None, captions=captions, **how)


def run_of(file: ModelFile, model: Model, name: str) -> Run:
    """Return the run that a model comes from, as the learning curve of that name shows it."""
    lengths = [len(layer.history.get("epoch", ())) for layer in file.layers[:-1]]
    breaks = [start for start in accumulate(lengths) if start < len(file.history.get("epoch", ()))]
    return Run(name, file.history, [phase.name for phase in model.phases()], breaks)


def short_names(paths: Sequence[str]) -> list[str]:
    """Return file names without suffix, or the paths where two of these are the same; they can be shown."""
    short = [os.path.splitext(os.path.basename(path))[0] for path in paths]
    return [show(name) for name in (short if len(set(short)) == len(set(paths)) else paths)]


def usual_patches(shape: tuple[int, int, int]) -> int:
    """Return how many patches are drawn unless it is said: of maps, which are drawn one by one, fewer."""
    tiles = 1 if shape[2] in COLORS else shape[2]
    return max(1, PATCHES // tiles)


def _fitting(shape: tuple[int, int, int]) -> int:
    """Return how many tiles (height, width, channels) fit into the sheet of a file."""
    height, width, channels = shape
    return SHEET // ((height + 1) * (width + 1) * channels)


def filters_inside(model: Model, file: ModelFile) -> Array | None:
    """Return the sheet of a model's filters that its file holds: the first ones, a pixel to a pixel.

    None where none fits, or none is to be seen.
    """
    count = _fitting(file.shape)
    preprocess = Preprocess.from_dict((file.layers or [file])[0].preprocess)
    F = preprocess.to_pixels(model.filters()[:count])
    if not F.size or not np.isfinite(F).all():
        return None
    return mosaic(F.reshape(-1, *file.shape), scale=1)


def patches_inside(
    patches: Array, preprocess: Preprocess, shape: tuple[int, int, int], name: str
) -> Array | None:
    """Return the sheet of the first of some patches (n, d) that their data set holds; None if none fits."""
    count = min(len(patches), usual_patches(shape), _fitting(shape))
    if not count:
        return None
    X = Rows(patches[:count], preprocess, memory=0, name=name).block(0, count)
    return place(sheet_of_rows(X, preprocess, shape, "filter", scale=1)).pixels()
