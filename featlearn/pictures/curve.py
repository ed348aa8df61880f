"""The learning curve of a run."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

SERIES = (("rmse", "training"), ("validation_rmse", "validation"))


def curve_png(history: Mapping[str, npt.NDArray[Any]], title: str) -> bytes:
    """A PNG of the reconstruction error over the epochs, from history columns epoch, phase, rmse (validation_rmse)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    epoch = history["epoch"]
    shown = [(history[key], label) for key, label in SERIES if key in history]
    for values, label in shown:
        axes.plot(epoch, values, label=label, marker="o" if len(epoch) < 30 else None, markersize=3)
    for at in epoch[1:][np.diff(history["phase"]) > 0]:
        axes.axvline(at - 0.5, color="grey", linestyle=":", label="refinement begins")
    values = np.concatenate([values for values, _ in shown])
    if values.min() > 0 and values.max() > 100 * values.min():
        axes.set_yscale("log")
    axes.set(title=title, xlabel="epoch", ylabel="RMSE (units of the preprocessed data)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
