"""A picture as a command's output: a file of the format that its suffix names, or standard output; and its
tones."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn import __version__
from featlearn.cli.report import Results, Words
from featlearn.errors import ConfigError, show
from featlearn.files.atomic import check_output, write_bytes
from featlearn.patches.preprocess import Preprocess
from featlearn.pictures.mosaic import mosaic, sheet_of_pixels
from featlearn.rows import Array

STDOUT = "-"


@dataclass(frozen=True)
class PictureFile:
    """Where a picture goes. Made before any work, so that what must not be written is refused first.

    `option` named it; `formats` are those that the picture can have, by suffix. Raises ConfigError for a
    suffix of none of them, DataError for the output.
    """

    option: str
    path: str
    force: bool
    inputs: Sequence[str]
    formats: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.path == STDOUT:
            return
        check_output(self.path, self.force, self.inputs)
        if self.suffix not in self.formats:
            *others, last = self.formats
            found = (
                f"the suffix {show(self.suffix)} is no format of this picture"
                if self.suffix
                else "has no suffix"
            )
            raise ConfigError(
                f"{self.option} {show(self.path)}: {found}; end it in {', '.join(others)} or {last}"
            )

    @property
    def suffix(self) -> str:
        return os.path.splitext(self.path)[1].lower()

    @property
    def format(self) -> str:
        """What the suffix says; a PNG on standard output."""
        return self.formats[".png" if self.path == STDOUT else self.suffix]

    def write(self, picture: bytes) -> None:
        """Write it. Raises DataError."""
        write_bytes(self.path, picture, self.force, self.inputs)


@dataclass(frozen=True)
class PictureOutput:
    """A picture that is all that a command writes.

    Raises ConfigError when picture and JSON both want stdout.
    """

    file: PictureFile
    words: Words
    results: Results

    def __post_init__(self) -> None:
        if self.file.path == STDOUT and self.results.as_json:
            raise ConfigError("-o - and --json both write to stdout: name a file for the picture")

    def write(self, picture: bytes, report: dict[str, Any]) -> None:
        """Write it, then say what it shows; beside a picture on stdout on stderr. Raises DataError."""
        self.file.write(picture)
        if self.file.path != STDOUT:
            return self.results.show({"output": self.file.path} | report)
        for key, value in report.items():
            self.words.say(f"{key}  {value}")


def signed(text: dict[str, str]) -> dict[str, str]:
    """What a picture says of itself, with the program that made it."""
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
    """A sheet of preprocessed rows X (k, n_visible): intensities as they are, other values with mid-grey for
    zero.

    White is 1, or what intensities beyond that reach.
    """
    tiles = (len(X), *shape)
    if not are_pixels(preprocess):
        return mosaic(preprocess.to_pixels(X).reshape(tiles), columns, scale, contrast)
    highest = preprocess.high if np.isfinite(preprocess.high) else X.max(initial=1.0)
    return sheet_of_pixels(X.reshape(tiles), columns, scale, (0.0, max(1.0, float(highest))))
