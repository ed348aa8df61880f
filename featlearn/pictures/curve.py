"""Learning curves of one run, or of several over each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.pictures.figure import (
    SMALL,
    Look,
    draw_plot,
    legend_below,
    legend_height,
    line_look,
    name_in_legend,
)

History = Mapping[str, npt.NDArray[Any]]
MARKS = 8  # markers on a line of many epochs


@dataclass(frozen=True)
class Panel:
    """A measure: what its axis says, the columns of a history that hold it, and of held-out rows."""

    words: str
    columns: tuple[str, ...]
    validation: str = ""


PANELS = {
    "rmse": Panel("RMSE (units of the\npreprocessed data)", ("probe_rmse",), "validation_rmse"),
    "error_rate": Panel("share of rows in\nthe wrong class", ("probe_error_rate",), "validation_error_rate"),
    "loss": Panel("loss", ("probe_loss", "loss"), "validation_loss"),
    "free_energy": Panel("mean free energy\n(nats)", ("probe_free_energy",), "validation_free_energy"),
    "activity": Panel("mean activation", ("mean_activation",)),
    "dead": Panel("share of\ndead units", ("dead_share",)),
    "zero_weights": Panel("share of weights\nthat are zero", ("zero_weights",)),
}
"""By name, from above."""


@dataclass(frozen=True)
class Run:
    """A run's name, its history and the names of its phases, by number."""

    name: str
    history: History
    phases: Sequence[str] = ()


def panels(history: History) -> list[str]:
    """Return the measures whose course a history holds; none where it is not one that can be drawn."""
    return [name for name, panel in PANELS.items() if _column(history, panel.columns) is not None]


def curve(
    runs: Sequence[Run], shown: Sequence[str], look: Look, format: str, text: Mapping[str, str]
) -> bytes:
    """Return a picture of measures over the epochs, a panel for each of those `shown` out of PANELS.

    Held-out rows of a single run are in the panel of the rows that it learns from, those of several in one
    of their own.
    """
    drawn = []
    for name in shown:
        panel = PANELS[name]
        if len(runs) == 1:
            drawn.append((panel.words, [*panel.columns], panel.validation))
            continue
        drawn.append((panel.words, [*panel.columns], ""))
        if any(_column(run.history, (panel.validation,)) is not None for run in runs):
            drawn.append((f"validation rows:\n{panel.words}", [panel.validation], ""))

    def paint(figure: Any) -> None:
        lines: dict[str, Any] = {}
        grid = figure.subplots(len(drawn), sharex=True, squeeze=False)[:, 0]
        for axes, (words, columns, validation) in zip(grid, drawn, strict=True):
            _panel(axes, runs, words, columns, validation, lines)
        grid[-1].set_xlabel("epoch")
        figure.align_ylabels()
        if len(lines) > 1:
            legend_below(figure, list(lines.values()))

    names = [run.name for run in runs] if len(runs) > 1 else ["training rows", "validation rows"]
    height = 0.5 + 1.15 * len(drawn) + legend_height(names)
    return draw_plot(paint, height, look, format, text)


def _column(history: History, names: Sequence[str]) -> Any:
    """Return the first of these columns that holds a number; None where there is none."""
    if not len(history.get("epoch", ())):
        return None
    for name in names:
        if name in history and np.isfinite(history[name]).any():
            return np.asarray(history[name], np.float64)
    return None


def _panel(
    axes: Any,
    runs: Sequence[Run],
    words: str,
    columns: Sequence[str],
    validation: str,
    lines: dict[str, Any],
) -> None:
    from matplotlib.ticker import MaxNLocator

    values = []
    for i, run in enumerate(runs):
        single = len(runs) == 1
        for j, names in enumerate((columns, [validation])):
            column = _column(run.history, names)
            if column is None:
                continue
            epoch = run.history["epoch"]
            name = ("training rows", "validation rows")[j] if single else run.name
            every = max(1, len(epoch) // MARKS)
            axes_look = line_look(i + j)
            (line,) = axes.plot(
                epoch, column, label=name_in_legend(name), markevery=(i % every, every), **axes_look
            )
            lines.setdefault(name if single else str(i), line)
            values.append(column[np.isfinite(column)])
        if single:
            _mark_phases(axes, run)
    seen = np.concatenate(values)
    if seen.min(initial=np.inf) > 0 and seen.max() > 100 * seen.min():
        axes.set_yscale("log")
    if not seen.any():  # a share that is none at any time
        axes.set_ylim(-0.05, 1)
    axes.set_ylabel(words)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid()


def _mark_phases(axes: Any, run: Run) -> None:
    """Draw a line where a phase begins, with its name."""
    epoch = run.history["epoch"]
    phase = run.history.get("phase", epoch * 0)
    for i in 1 + np.flatnonzero(np.diff(phase) > 0):
        axes.axvline(epoch[i] - 0.5, color="grey", linestyle=":")
        number = int(phase[i])
        if 0 <= number < len(run.phases):
            axes.annotate(
                run.phases[number],
                (epoch[i] - 0.5, 1),
                (-2, -3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                rotation=90,
                ha="right",
                va="top",
                fontsize=SMALL,
                bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
                zorder=1.5,  # under a curve that passes there
            )
