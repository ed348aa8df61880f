"""Pictures that jobs make: where they go, in a format that the suffix of a name says; and their tones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from featlearn import __version__
from featlearn.files.atomic import check_output, write_bytes
from featlearn.jobs.formats import refuse_other_suffix, suffix
from featlearn.patches.preprocess import Preprocess
from featlearn.pictures.mosaic import mosaic, sheet_of_pixels
from featlearn.rows import Array


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
    formats: Mapping[str, str]

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


def sheet_of_rows(
    X: Array,
    preprocess: Preprocess,
    shape: tuple[int, int, int],
    columns: int | None = None,
    scale: int | None = None,
    contrast: str = "common",
) -> Array:
    """Return a sheet of preprocessed rows X (k, n_visible).

    Intensities are drawn as they are, other values with mid-grey for zero.

    White is 1, or what intensities beyond that reach.
    """
    tiles = (len(X), *shape)
    if not are_pixels(preprocess):
        return mosaic(preprocess.to_pixels(X).reshape(tiles), columns, scale, contrast)
    highest = preprocess.high if np.isfinite(preprocess.high) else X.max(initial=1.0)
    return sheet_of_pixels(X.reshape(tiles), columns, scale, (0.0, max(1.0, float(highest))))
