"""Pictures of what a model's units do: how active they are, and which Gabor functions they are."""

from typing import Any

import numpy as np

from featlearn.analysis.advice import at_rest
from featlearn.analysis.driving import DENSE, Histograms, threshold
from featlearn.analysis.filters import EDGE_ORIENTATION, EDGE_R2, orientation, strongest_channel
from featlearn.analysis.gabor import gabor_fits
from featlearn.analysis.units import Units
from featlearn.errors import DataError, show
from featlearn.files.tensors import table
from featlearn.jobs.callbacks import Say
from featlearn.jobs.filter_pictures import filters_in_pixels
from featlearn.jobs.picture_settings import Drawing
from featlearn.jobs.pictures import png_text
from featlearn.jobs.store import load_model, load_rows, upto_layer
from featlearn.pictures.figure import Look
from featlearn.pictures.units import Activity, activity_picture, polar_picture
from featlearn.rows import Encoded, blocks

TABLE = {".csv": "CSV"}
BINS = 60  # of the histogram of a unit's codes


def draw_activations(
    path: str, drawing: Drawing, look: Look, format: str, say: Say
) -> tuple[bytes, dict[str, Any]]:
    """Return a picture of how active units are over a data set. Raises DataError, ConfigError."""
    learned = upto_layer(load_model(path), drawing.layer)
    rows, _, _ = load_rows(drawing.data or "", like=learned, say=say)
    rest = at_rest(learned.model)
    chosen = np.array(drawing.numbers(learned.units, show(path)), int)
    codes = Encoded(learned.model, rows)
    units = Units(learned.units)
    for H in blocks(codes):
        units.add(H)
    bar = threshold(units, rest)
    low, high = (float(value) for value in (units.lowest[chosen].min(), units.highest[chosen].max()))
    if not (np.isfinite([low, high]).all() and low < high):
        raise DataError(f"{show(path)}: its codes are {low:g} for every unit and row; nothing to draw")
    spread = Histograms(len(chosen), low, high, BINS, rest, bar)
    for H in blocks(codes):
        spread.add(H[:, chosen])
    share = spread.active / spread.n
    dead = units.dead(rest)[chosen]
    activity = Activity(
        spread.n, share, spread.counts, low, high, dead, share > DENSE, f"a code beyond {rest + bar:.3g}"
    )
    text = png_text({"Description": f"activity of the units of a {learned.file.model} model"})
    text["Content"] = learned.file.content_hash
    found = {"units": len(chosen), "dead": dead, "dense": activity.dense & ~dead}
    counts = {name: int(np.sum(value)) for name, value in found.items()} | {"units": len(chosen)}
    return activity_picture(activity, look, format, text), counts


def draw_gabors(
    path: str, drawing: Drawing, look: Look, format: str, say: Say
) -> tuple[bytes, dict[str, Any]]:
    """Return the Gabor functions nearest to filters as a polar plot, or as a table, and what it shows.

    Raises DataError, ConfigError.
    """
    learned = upto_layer(load_model(path), drawing.layer)
    F, shape = filters_in_pixels(learned, [load_model(lower) for lower in drawing.through])
    chosen = np.array(drawing.numbers(len(F), show(path)), int)
    images = strongest_channel(F[chosen].reshape(-1, *shape))
    if min(images.shape[1:]) < 3:
        raise DataError(
            f"{show(path)}: filters of {shape[0]}x{shape[1]} pixels are no images to fit waves to"
        )
    fits, index = gabor_fits(images).table(), orientation(images)
    edge = (fits["r2"] >= EDGE_R2) & (index >= EDGE_ORIENTATION)
    found = {"units": len(chosen), "edges": int(np.count_nonzero(edge))}
    if format in TABLE.values():
        columns = {"unit": chosen, **fits, "orientation_index": index, "edge": edge.astype(int)}
        return table(columns), found
    fitted = fits["r2"] >= EDGE_R2
    text = png_text(
        {
            "Description": f"Gabor functions nearest to the filters of a {learned.file.model} model, of "
            f"{np.count_nonzero(fitted)} of {len(chosen)} units, whose variance they explain to half at least"
        }
    )
    text["Content"] = learned.file.content_hash
    unfitted = len(chosen) - int(np.count_nonzero(fitted))
    picture = polar_picture(
        fits["frequency"][fitted], fits["orientation"][fitted], edge[fitted], unfitted, look, format, text
    )
    return picture, found
