"""Figures with axes, as files of several formats. The same figure has the same bytes."""

import io
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from featlearn.pictures.mosaic import FORMATS as RASTERS
from featlearn.pictures.mosaic import picture_bytes

FORMATS = {".png": "PNG", ".pdf": "PDF", ".svg": "SVG"} | RASTERS
"""Of a figure, by suffix."""
DPI = 120  # pixels to an inch, of rasters
STYLE: dict[Any, Any] = {
    "pdf.fonttype": 42,  # TrueType, as journals ask
    "svg.hashsalt": "featlearn",  # ids are always the same
}
TEXT = {  # what a format calls the parts of a text, and its date, which is left out
    "PDF": {"Software": "Creator", "Description": "Subject", "Content": "Keywords", "Date": "CreationDate"},
    "SVG": {"Software": "Creator", "Description": "Description", "Content": "Identifier", "Date": "Date"},
}


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches, that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def figure_bytes(figure: Any, format: str, text: Mapping[str, str]) -> bytes:
    """The figure as a file of a `format` out of FORMATS, with `text`: Software, Description and Content."""
    import matplotlib

    # letters that the font lacks are boxes
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        if format in RASTERS.values():
            figure.canvas.draw()
            return picture_bytes(np.asarray(figure.canvas.buffer_rgba())[:, :, :3], format, text, DPI)
        metadata = {name: text.get(key) for key, name in TEXT[format].items()}
        out = io.BytesIO()
        with matplotlib.rc_context(STYLE), _no_clock():
            figure.savefig(out, format=format.lower(), metadata=metadata)
        return out.getvalue()


@contextmanager
def _no_clock() -> Iterator[None]:
    """Without SOURCE_DATE_EPOCH, which matplotlib reads, and stumbles over, also where no date is written."""
    kept = os.environ.pop("SOURCE_DATE_EPOCH", None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ["SOURCE_DATE_EPOCH"] = kept
