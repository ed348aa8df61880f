"""The learning curve of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.pictures.figure import figure_bytes, new_figure

PANELS = {  # measure: what its axis says
    "rmse": "RMSE (units of the preprocessed data)",
    "error_rate": "share of rows in the wrong class",
    "loss": "mean of -log p(class) (nats)",
    "free_energy": "mean free energy (nats)",
}
WIDE, HIGH = 7, 3.2  # inches of a panel
LETTER, LINE = 5.5, 14  # points that the name of a phase takes for a letter, and across


def curve(
    history: Mapping[str, npt.NDArray[Any]],
    title: str,
    format: str,
    text: Mapping[str, str],
    phases: Sequence[str] = (),
    layers: Sequence[int] = (),
) -> bytes:
    """Return a picture of the reconstruction error over the epochs, and of the free energy if there is one.

    From history columns epoch, phase, probe_rmse (probe_free_energy) and the same of the held-out rows,
    validation_*. `phases` are the names of the run's phases, by number. `layers` are the rows
    at which layers of a stack but the first begin; lines are broken there.
    """
    keys = panels(history)
    figure = new_figure(WIDE, 1 + HIGH * len(keys))
    for axes, key in zip(figure.subplots(len(keys), sharex=True, squeeze=False)[:, 0], keys, strict=True):
        _panel(axes, history, key, phases, layers)
    figure.axes[0].set_title(title)
    figure.axes[-1].set_xlabel("epoch")
    return figure_bytes(figure, format, text)


def panels(history: Mapping[str, npt.NDArray[Any]]) -> list[str]:
    """Return the measures whose course a history holds; none where it is not one that can be drawn."""
    if not len(history.get("epoch", ())):
        return []
    return [key for key in PANELS if f"probe_{key}" in history]


def _names(axes: Any, names: Mapping[float, str]) -> None:
    """Write the name of each phase, by the epoch that it begins at, from there on.

    Where a phase is too short for its name, the next one stands below it.
    """
    low, high = axes.get_xlim()
    points = 0.8 * WIDE * 72 / (high - low)  # an epoch is so long, or longer
    taken: list[tuple[float, float]] = []  # from where to where down, by the names that reach as far as x
    ends: list[float] = []
    for x, name in names.items():
        tall = LETTER * len(name) + LINE / 2
        beside = [place for place, end in zip(taken, ends, strict=True) if end > x]
        downs = [0.0, *(bottom for _, bottom in beside if bottom + tall < 0.9 * HIGH * 72)]
        free = (d for d in sorted(downs) if all(d >= bottom or d + tall <= top for top, bottom in beside))
        down = next(free, downs[-1])
        taken.append((down, down + tall))
        ends.append(x + LINE / points)
        axes.annotate(
            name,
            (x, 1),
            (2, -6 - down),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            rotation=90,
            fontsize=9,
            ha="left",
            va="top",
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
            zorder=1.5,  # under a curve that passes there
        )


def _panel(
    axes: Any,
    history: Mapping[str, npt.NDArray[Any]],
    key: str,
    phases: Sequence[str],
    layers: Sequence[int],
) -> None:
    from matplotlib.ticker import MaxNLocator

    epoch = history["epoch"]
    columns = {"training rows, a sample": f"probe_{key}", "validation rows": f"validation_{key}"}
    shown = {label: history[column] for label, column in columns.items() if column in history}
    for label, values in shown.items():
        # the data of a layer are the codes of the one below: their errors are no course of one measure
        axes.plot(
            np.insert(epoch.astype(float), layers, np.nan),
            np.insert(values.astype(float), layers, np.nan),
            label=label,
            marker="o" if len(epoch) < 30 else None,
            markersize=3,
        )
    phase = history.get("phase", epoch * 0)
    starts = 1 + np.flatnonzero(np.diff(phase) > 0)
    for i in starts:
        axes.axvline(epoch[i] - 0.5, color="grey", linestyle=":")
    if len(starts):
        numbers = {epoch[i] - 0.5: int(phase[i]) for i in (0, *starts)}
        _names(axes, {x: phases[k] for x, k in numbers.items() if 0 <= k < len(phases)})
    values = np.concatenate(list(shown.values()))
    values = values[np.isfinite(values)]  # a phase need not have measured it
    if values.min(initial=np.inf) > 0 and values.max() > 100 * values.min():
        axes.set_yscale("log")
    axes.set_ylabel(PANELS[key])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
