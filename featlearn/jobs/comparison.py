"""What `featlearn evaluate` measured, drawn as one picture."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featlearn.analysis.coding import Coding
from featlearn.errors import show
from featlearn.jobs.pictures import PictureFile, Stream, png_text
from featlearn.pictures.comparison import Curve, Errors, comparison
from featlearn.pictures.figure import FORMATS

LEVELS = (2, 3, 4, 5, 8, 16, 32, 64, 128, 256)  # of the curves


@dataclass(frozen=True)
class Measured:
    """A model's row of the table, and its codings for the picture, the numbers of levels ascending."""

    row: Mapping[str, Any]
    codings: Sequence[Coding]


class Plot:
    """Where the picture goes. Made before any work. Raises DataError for the output, ConfigError."""

    def __init__(self, output: str | Stream, force: bool, inputs: Sequence[str]) -> None:
        self._file = PictureFile("--plot", output, force, inputs, FORMATS)

    def write(self, measured: Sequence[Measured], marked: Sequence[int], per_class: Sequence[int]) -> None:
        """Draw and write it; errors per class where they were measured. Raises DataError."""
        # may hold anything
        names = [show(name) for name in _names([str(one.row["model"]) for one in measured])]
        pairs = list(zip(names, measured, strict=True))
        curves = [
            Curve(name, [coding[:3] for coding in one.codings], marked) for name, one in pairs if one.codings
        ]
        errors = [_errors(name, "classifier", one.row, per_class) for name, one in pairs] if per_class else []
        raw = _raw(pairs, per_class) if per_class else []
        text = png_text(
            {"Description": "features compared: RMSE against bits of quantised codes, errors against labels"}
        )
        self._file.write(comparison(curves, errors, raw, self._file.format, text))


def _names(paths: Sequence[str]) -> list[str]:
    """File names without suffix, or the paths where two of these are the same."""
    short = [os.path.splitext(os.path.basename(path))[0] for path in paths]
    return short if len(set(short)) == len(set(paths)) else list(paths)


def _errors(name: str, what: str, row: Mapping[str, Any], per_class: Sequence[int]) -> Errors:
    return Errors(name, [(n, row[f"{what}_error_{n}"], row[f"{what}_spread_{n}"]) for n in sorted(per_class)])


def _raw(pairs: Sequence[tuple[str, Measured]], per_class: Sequence[int]) -> list[Errors]:
    """One line; one for each preprocessing where the models were trained with several."""
    lines = {tuple(_errors("", "raw", one.row, per_class).points): name for name, one in pairs[::-1]}
    if len(lines) == 1:
        return [Errors("raw inputs", next(iter(lines)))]
    return [Errors(f"raw inputs of {name}", points) for points, name in list(lines.items())[::-1]]
