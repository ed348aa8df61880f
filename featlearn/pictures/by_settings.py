"""A measure of many runs against the settings in which they differ."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from featlearn.pictures.figure import Look, draw_plot, line_look

HIGH = 1.6  # inches of a panel
SPREAD = 20  # values of a setting that lie further apart have a logarithmic axis


class BySetting(NamedTuple):
    """A setting, its value in each run, and the measure of that run."""

    name: str
    values: Sequence[float]
    measured: Sequence[float]


def by_settings(
    panels: Sequence[BySetting], measure: str, look: Look, format: str, text: Mapping[str, str]
) -> bytes:
    """Return a picture of a measure against settings, a panel each: a point a run, a line of the means."""

    def paint(figure: Any) -> None:
        grid = figure.subplots(len(panels), squeeze=False)[:, 0]
        for axes, panel in zip(grid, panels, strict=True):
            values, measured = np.asarray(panel.values), np.asarray(panel.measured)
            places = np.unique(values)
            means = [measured[values == place].mean() for place in places]
            line = line_look(0)
            axes.plot(values, measured, **(line | {"linestyle": "none", "color": "0.5"}))
            axes.plot(places, means, **(line | {"marker": ""}))
            if places[0] > 0 and places[-1] > SPREAD * places[0]:
                axes.set_xscale("log")
            axes.set_xlabel(panel.name.replace("_", " "))
            axes.set_ylabel(measure.replace("_", " "))
            axes.grid()

    return draw_plot(paint, HIGH * len(panels), look, format, text)
