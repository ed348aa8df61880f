"""The learning curve of a run."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

PANELS = {  # column of the history: what its axis says
    "rmse": "RMSE (units of the preprocessed data)",
    "free_energy": "mean free energy (nats)",
}


def curve_png(history: Mapping[str, npt.NDArray[Any]], title: str) -> bytes:
    """A PNG of the reconstruction error over the epochs and, where a model has one, of the free energy below it.

    From history columns epoch, phase, rmse (free_energy) and the same of the held-out rows, validation_*.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [key for key in PANELS if key in history]
    figure = Figure(figsize=(7, 1 + 3.2 * len(panels)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, key in zip(figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0], panels, strict=True):
        _panel(axes, history, key)
    figure.axes[0].set_title(title)
    figure.axes[-1].set_xlabel("epoch")
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _panel(axes: Any, history: Mapping[str, npt.NDArray[Any]], key: str) -> None:
    from matplotlib.ticker import MaxNLocator

    epoch = history["epoch"]
    columns = {"training": key, "validation": f"validation_{key}"}
    shown = {label: history[column] for label, column in columns.items() if column in history}
    for label, values in shown.items():
        axes.plot(epoch, values, label=label, marker="o" if len(epoch) < 30 else None, markersize=3)
    for at in epoch[1:][np.diff(history.get("phase", epoch * 0)) > 0]:
        axes.axvline(at - 0.5, color="grey", linestyle=":", label="refinement begins")
    values = np.concatenate(list(shown.values()))
    if values.min() > 0 and values.max() > 100 * values.min():
        axes.set_yscale("log")
    axes.set_ylabel(PANELS[key])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
