"""What `featlearn evaluate` measured, drawn as one picture."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featlearn.analysis.coding import Coding
from featlearn.jobs.picture_settings import Printed
from featlearn.jobs.pictures import PictureFile, Stream, png_text, short_names
from featlearn.pictures.comparison import Curve, Errors, Labels, comparison
from featlearn.pictures.figure import Look

LEVELS = (2, 3, 4, 5, 8, 16, 32, 64, 128, 256)  # of the curves


@dataclass(frozen=True)
class Measured:
    """A model's row of the table, and its codings for the picture, the numbers of levels ascending."""

    row: Mapping[str, Any]
    codings: Sequence[Coding]


class Plot:
    """Where the picture goes. Made before any work. Raises DataError for the output, ConfigError."""

    def __init__(
        self,
        output: str | Stream,
        force: bool,
        inputs: Sequence[str],
        printed: Printed,
        given: Collection[str],
    ) -> None:
        self._file = PictureFile("--plot", output, force, inputs)
        self._look = self._file.look(printed, given, has_pixels=False)

    def write(self, measured: Sequence[Measured], marked: Sequence[int], per_class: Sequence[int]) -> None:
        """Draw and write it; errors per class where they were measured. Raises DataError."""
        text = png_text(
            {"Description": "features compared: RMSE against bits of quantised codes, errors against labels"}
        )
        self._file.write(drawn(measured, marked, per_class, self._look, self._file.format, text))


def drawn(
    measured: Sequence[Measured],
    marked: Sequence[int],
    per_class: Sequence[int],
    look: Look,
    format: str,
    text: Mapping[str, str],
) -> bytes:
    """Return the picture of models compared; errors per class where they were measured."""
    names = short_names([str(one.row["model"]) for one in measured])
    pairs = list(zip(names, measured, strict=True))
    curves = [Curve(name, [coding[:3] for coding in one.codings], marked) for name, one in pairs]
    return comparison(curves, _labels(pairs, per_class) if per_class else None, look, format, text)


def _errors(name: str, what: str, row: Mapping[str, Any], per_class: Sequence[int]) -> Errors:
    return Errors(name, [(n, row[f"{what}_error_{n}"], row[f"{what}_spread_{n}"]) for n in sorted(per_class)])


def _labels(pairs: Sequence[tuple[str, Measured]], per_class: Sequence[int]) -> Labels:
    """What the panel of errors shows: of each model, and of what has nothing to do with a model."""
    linear = [_errors(name, "classifier", one.row, per_class) for name, one in pairs]
    first = pairs[0][1].row
    nets = []
    if f"finetuned_error_{per_class[0]}" in first:
        nets = [_errors(f"{name}, fine-tuned", "finetuned", one.row, per_class) for name, one in pairs]
    others = _unlike("raw", "raw inputs", pairs, per_class)
    for what in dict.fromkeys(key.partition("_error_")[0] for key in first if key.startswith("random_")):
        if "_spread_" not in what:
            others += _unlike(what, what.replace("_", " "), pairs, per_class)
    return Labels(linear, nets, others)


def _unlike(
    what: str, words: str, pairs: Sequence[tuple[str, Measured]], per_class: Sequence[int]
) -> list[Errors]:
    """One line of that name; where models differ in it one for each of the values."""
    lines = {tuple(_errors("", what, one.row, per_class).points): name for name, one in pairs[::-1]}
    if len(lines) == 1:
        return [Errors(words, next(iter(lines)))]
    return [Errors(f"{words} of {name}", points) for points, name in list(lines.items())[::-1]]
