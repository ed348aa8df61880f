"""Learning curves of one run, or of several over each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.pictures.figure import (
    SMALL,
    WIDTH,
    Look,
    draw_plot,
    legend_below,
    legend_height,
    line_look,
    name_in_legend,
)

History = Mapping[str, npt.NDArray[Any]]
MARKS = 8  # markers on a line of many epochs
HIGH, NAMED = 1.15, 2.1  # inches of a panel, and of one with names of phases


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
    """A run's name, its history and the names of its phases, by number.

    `breaks` are the rows of the history where layers of a stack but the first begin. Lines end before them:
    the data of a layer are the codes of the one below, so their errors are no course of one measure.
    """

    name: str
    history: History
    phases: Sequence[str] = ()
    breaks: Sequence[int] = ()


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
    named = len(runs) == 1 and len(runs[0].phases) > 1
    height = 0.5 + (NAMED if named else HIGH) * len(drawn) + legend_height(names)
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
            column = np.insert(column, run.breaks, np.nan)
            epoch = np.insert(np.asarray(run.history["epoch"], np.float64), run.breaks, np.nan)
            name = ("training rows", "validation rows")[j] if single else run.name
            (line,) = axes.plot(
                epoch, column, label=name_in_legend(name), markevery=_marked(column, i), **line_look(i + j)
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


def _marked(column: Any, i: int) -> list[int]:
    """Return which points of the i-th line have a marker: some of many, and each that no line reaches."""
    every = max(1, len(column) // MARKS)
    there = np.concatenate([[False], np.isfinite(column), [False]])
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    return sorted({*range(i % every, len(column), every), *np.flatnonzero(alone).tolist()})


def _mark_phases(axes: Any, run: Run) -> None:
    """Draw a line where a phase begins, and write the name of each, from there on.

    Where a phase is too short for its name, the next one stands below it.
    """
    epoch = run.history["epoch"]
    phase = run.history.get("phase", epoch * 0)
    starts = 1 + np.flatnonzero(np.diff(phase) > 0)
    for i in starts:
        axes.axvline(epoch[i] - 0.5, color="grey", linestyle=":")
    if not len(starts):
        return
    low, high = axes.get_xlim()
    points = 0.75 * WIDTH * 72 / (high - low)  # an epoch is so long, or longer
    taken: list[tuple[float, float]] = []  # from where to where down, by the names that reach as far as x
    ends: list[float] = []
    for i in (0, *starts):
        if not 0 <= int(phase[i]) < len(run.phases):
            continue
        x, name = epoch[i] - 0.5, run.phases[int(phase[i])]
        tall = 0.55 * SMALL * len(name) + SMALL
        beside = [place for place, end in zip(taken, ends, strict=True) if end > x]
        downs = [0.0, *(bottom for _, bottom in beside if bottom + tall < 0.9 * NAMED * 72)]
        free = (d for d in sorted(downs) if all(d >= bottom or d + tall <= top for top, bottom in beside))
        down = next(free, downs[-1])
        taken.append((down, down + tall))
        ends.append(x + 1.6 * SMALL / points)
        axes.annotate(
            name,
            (x, 1),
            (2, -3 - down),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            rotation=90,
            ha="left",
            va="top",
            fontsize=SMALL,
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
            zorder=1.5,  # under a curve that passes there
        )
