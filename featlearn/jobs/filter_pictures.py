"""Pictures of a model's filters, alone and beside the patches that drive them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.analysis.advice import at_rest
from featlearn.analysis.driving import DrivenErrors, TopRows
from featlearn.analysis.filters import per_filter
from featlearn.analysis.maximize import maximizers
from featlearn.analysis.units import Units
from featlearn.errors import ConfigError, DataError, show
from featlearn.jobs.callbacks import Say
from featlearn.jobs.picture_settings import Drawing
from featlearn.jobs.pictures import png_text, tiles_of_rows
from featlearn.jobs.store import LoadedModel, load_model, load_rows, upto_layer
from featlearn.ops.arrays import product
from featlearn.patches.rows import Rows
from featlearn.pictures.figure import Look
from featlearn.pictures.mosaic import Sheet, grey_tiles, in_cells, norms, order_filters, weight_bytes
from featlearn.pictures.sheet import sheet_bytes
from featlearn.rows import Array, blocks

LENGTH = 0.35  # of a row that is to make a unit active, per value, in units of the largest; digits have .33
FEW = 16  # units whose patches are drawn unless it is said how many
BESIDE = 4  # patches that leave room for other units beside them
FLAT = 1e-6  # a filter below this share of the longest one is none


@dataclass
class Filters:
    """Filters F (k, h, w, c) of units `numbers` (k,), in the order in which they are drawn.

    `by` (k,) is what they are sorted by, None as trained; `dead` (k,) marks those of no use.
    """

    F: Array
    numbers: Array
    by: Array | None
    dead: Array
    total: int

    def captions(self, between: str) -> list[str]:
        """Return each unit's number, and what it is sorted by."""
        if self.by is None:
            return [str(i) for i in self.numbers]
        return [f"{i}{between}{value:.2g}" for i, value in zip(self.numbers, self.by, strict=True)]


@dataclass
class Driven:
    """What a data set does to the units of a model."""

    rows: Rows
    units: Units
    errors: DrivenErrors | None
    top: TopRows | None


def drive(learned: LoadedModel, data: str, say: Say, errors: bool = False, top: int = 0) -> Driven:
    """Show a model all rows of a data set, once. Raises DataError."""
    rows, _, _ = load_rows(data, like=learned, say=say)
    rest, n = at_rest(learned.model), learned.units
    found = Driven(
        rows, Units(n), DrivenErrors(n, rest) if errors else None, TopRows(n, top) if top else None
    )
    for X in blocks(rows):
        H = learned.model.encode(X)
        found.units.add(H)
        if found.errors is not None:
            found.errors.add(X, learned.model.reconstruct(X), H)
        if found.top is not None:
            found.top.add(H)
    return found


def draw_filters(
    path: str, drawing: Drawing, look: Look, format: str, say: Say
) -> tuple[bytes, dict[str, Any]]:
    """Return a picture of filters, and what it shows. Raises DataError, ConfigError."""
    learned = upto_layer(load_model(path), drawing.layer)
    if drawing.maximize:
        F, shape = _wanted(learned, drawing), learned.shape
    else:
        F, shape = filters_in_pixels(learned, [load_model(lower) for lower in drawing.through])
    F = F.reshape(-1, *shape)
    sort = drawing.sort or "trained"
    driven = None
    if drawing.data is not None:
        _refuse_other_codes(learned, len(F), f"--sort {sort}" if sort in ("use", "error") else "--data")
        driven = drive(learned, drawing.data, say, errors=_errors_wanted(learned, sort))
    filters = _chosen(F, learned, drawing, sort, driven, drawing.count)
    kind = "rows that most activate the units" if drawing.maximize else "filters"
    through = f" through {len(drawing.through)} below it" if drawing.through else ""
    contrast = drawing.contrast or "filter"
    note = f"{len(filters.F)} of {filters.total} {kind} of a {learned.file.model} model{through}"
    note += "" if sort == "trained" else f", by {SORTED[sort]}"
    note += f"; {scale_words(contrast)}; mid-grey is zero" + _of_dead(filters.dead, drawing.data)
    tiles, white = weight_bytes(grey_tiles(filters.F), contrast)
    sheet = Sheet(
        in_cells(tiles, len(filters.F)),
        drawing.columns,
        drawing.scale,
        captions=filters.captions("\n") if drawing.labels else (),
        crossed=filters.dead,
        white=white if contrast == "common" and white > 0 else None,
        note=note if drawing.labels else "",
    )
    text = png_text({"Description": note, "Content": learned.file.content_hash})
    found = {"filters": len(filters.F), "shape": shape, "dead": int(np.count_nonzero(filters.dead))}
    return sheet_bytes(sheet, look, format, text), found


SORTED = {
    "norm": "norm",
    "use": "mean activation",
    "edge": "likeness to an edge",
    "error": "RMSE of the rows that they are active in",
}


def draw_top_patches(
    path: str, drawing: Drawing, look: Look, format: str, say: Say
) -> tuple[bytes, dict[str, Any]]:
    """Return a picture of filters beside the patches that drive them most. Raises DataError, ConfigError."""
    learned = upto_layer(load_model(path), drawing.layer)
    F = filters_in_pixels(learned, [])[0].reshape(-1, *learned.shape)
    _refuse_other_codes(learned, len(F), "--what top-patches")
    sort = drawing.sort or "use"
    driven = drive(learned, drawing.data or "", say, _errors_wanted(learned, sort), drawing.top)
    filters = _chosen(F, learned, drawing, sort, driven, drawing.count or FEW)
    assert driven.top is not None
    rows, values = driven.top.rows[filters.numbers], driven.top.values[filters.numbers]
    absent = values <= at_rest(learned.model)
    X = driven.rows.take(np.where(absent, 0, rows).ravel())
    patches, _ = tiles_of_rows(X, learned.preprocess, learned.shape, "filter")
    weights, _ = weight_bytes(grey_tiles(filters.F))
    k = len(filters.F)
    own = in_cells(weights, k)  # (k, 1, channels or 1, h, w, c)
    beside = patches.reshape(k, drawing.top, -1, *patches.shape[1:])
    tiles = np.concatenate([own, beside], axis=1).swapaxes(1, 2)
    gone = np.concatenate([np.zeros((k, 1), bool), absent], axis=1)[:, None].repeat(tiles.shape[1], axis=1)
    note = f"left: filters of {k} of {filters.total} units of a {learned.file.model} model"
    note += "" if sort == "trained" else f", by {SORTED[sort]}"
    note += f"; right: the {drawing.top} of {len(driven.rows):,} patches with the largest codes, falling"
    note += _of_dead(filters.dead, drawing.data)
    sheet = Sheet(
        tiles,
        1 if drawing.top > BESIDE else None,
        drawing.scale,
        captions=filters.captions(": ") if drawing.labels else (),
        crossed=filters.dead,
        absent=gone,
        apart=True,
        note=note if drawing.labels else "",
    )
    text = png_text({"Description": note, "Content": learned.file.content_hash})
    found = {"filters": k, "patches": int((~absent).sum()), "shape": learned.shape}
    found["dead"] = int(np.count_nonzero(filters.dead))
    return sheet_bytes(sheet, look, format, text), found


def scale_words(contrast: str) -> str:
    """Say whether tiles can be compared; those scaled one by one do not show which are strong."""
    return "each tile scaled by itself" if contrast == "filter" else "one scale for all tiles"


def _of_dead(dead: Array, data: str | None) -> str:
    count = np.count_nonzero(dead)
    return f"; {count} crossed out: dead{f' over {show(data)}' if data else ''}" if count else ""


def _errors_wanted(learned: LoadedModel, sort: str) -> bool:
    """Whether the rows' errors are asked for. Raises ConfigError for a model that gives no rows back."""
    if sort == "error" and not learned.model.decodes:
        raise ConfigError(
            f"--sort error: {show(learned.path)} is a {learned.file.model} model, which gives no rows back"
        )
    return sort == "error"


def _chosen(
    F: Array, learned: LoadedModel, drawing: Drawing, sort: str, driven: Driven | None, count: int | None
) -> Filters:
    """Return the first filters of those that were asked for, in their order. Raises ConfigError."""
    numbers = np.array(drawing.numbers(len(F), show(learned.path)), int)
    lengths = norms(F)
    dead = lengths <= FLAT * lengths.max(initial=0.0)
    if driven is not None:
        dead = dead | driven.units.dead(at_rest(learned.model))
    by = _measured(F, sort, driven)
    order = order_filters(F[numbers], None if by is None else by[numbers])[:count]
    chosen = numbers[order]
    return Filters(F[chosen], chosen, None if by is None else by[chosen], dead[chosen], len(F))


def _measured(F: Array, sort: str, driven: Driven | None) -> Array | None:
    """Return what each filter is sorted by, (k,); None: nothing."""
    if sort == "norm":
        return norms(F)
    if sort == "edge":
        each = per_filter(F)
        return np.asarray(each["gabor_r2"] * each["orientation"])
    if driven is None or sort == "trained":
        return None
    return driven.units.mean if driven.errors is None else driven.errors.rmse


def _wanted(learned: LoadedModel, drawing: Drawing) -> Array:
    """Return the pixels (units, pixels) that make each unit most active. Raises ConfigError."""
    preprocess, units = learned.preprocess, learned.units
    plain = drawing.sort in (None, "trained") and drawing.units is None and drawing.data is None
    if plain and drawing.count is not None:
        units = min(units, drawing.count)
    largest = max(abs(preprocess.low), abs(preprocess.high))
    radius = math.sqrt(preprocess.n_visible) * (LENGTH * largest if math.isfinite(largest) else 1.0)
    try:
        layers = learned.model.encoder_layers()
    except ConfigError as error:
        raise ConfigError(
            f"--maximize: {show(learned.path)}: the encoder of a {learned.file.model} model is no chain of "
            "layers with a derivative; draw its filters"
        ) from error
    return preprocess.to_pixels(maximizers(layers, units, radius, preprocess.low, preprocess.high))


def _refuse_other_codes(learned: LoadedModel, filters: int, asked: str) -> None:
    """Raise ConfigError for a model whose codes are not of its filters one by one."""
    if learned.units != filters:
        raise ConfigError(
            f"{asked}: {show(learned.path)} is a {learned.file.model} model, "
            f"whose {filters} filters have no codes of their own ({learned.units} values); take --sort norm"
        )


def filters_in_pixels(
    learned: LoadedModel, below: Sequence[LoadedModel]
) -> tuple[Array, tuple[int, int, int]]:
    """Return filters (k, pixels) and the shape of a patch.

    Filters of codes are sums of the filters that those are of, and so on down.

    H. Lee, C. Ekanadham, A. Ng, Sparse deep belief net model for visual area V2, NIPS 2007. Raises DataError.
    """
    F = learned.preprocess.to_pixels(learned.model.filters())
    for lower in below:
        G = lower.model.filters()
        if F.shape[1] != lower.units:
            raise DataError(
                f"{show(learned.path)}: has learned from rows of {F.shape[1]} values, "
                f"codes of {show(lower.path)} have "
                f"{lower.units}; give --through the model whose codes it has learned from, "
                "the nearest one first"
            )
        if lower.units != len(G):
            raise DataError(
                f"{show(lower.path)}: its codes have {lower.units} values and it has {len(G)} filters, "
                "so filters upon them are no sums of its own; draw without --through"
            )
        F = product(F.astype(np.float64), G.astype(np.float64))
        F, learned = lower.preprocess.to_pixels(F), lower
    return F, learned.shape
