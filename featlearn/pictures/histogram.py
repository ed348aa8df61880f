"""The histogram of code values."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from featlearn.pictures.figure import Look, draw_plot
from featlearn.rows import Array

HIGH = 1.6  # inches


def code_histogram(levels: Array, counts: Array, look: Look, format: str, text: Mapping[str, str]) -> bytes:
    """Return a picture of how often code values fall to each of `levels` (bins,).

    Shares have a logarithmic axis. A level's bar reaches half-way to its neighbours.
    """
    half = (levels[1] - levels[0]) / 2 if len(levels) > 1 and levels[1] > levels[0] else 0.5
    edges = np.append(levels - half, levels[-1] + half)
    shares = counts / counts.sum()
    ground = shares[counts > 0].min() / 2  # where bars of a logarithmic axis begin

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.stairs(np.maximum(shares, ground), edges, fill=True, baseline=ground, color="0.45")
        axes.set_yscale("log")
        axes.set_ylim(bottom=ground)
        axes.set_xlabel("code value")
        axes.set_ylabel("share of all values")
        axes.grid(axis="y")

    return draw_plot(paint, HIGH, look, format, text)
