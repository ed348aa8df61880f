"""The measures of a model on a data set: errors, activations, filters."""

import math
from typing import Any, Protocol

import numpy as np

from featlearn.analysis.advice import of_units
from featlearn.analysis.filters import filter_statistics
from featlearn.analysis.metrics import coherence
from featlearn.analysis.units import Units
from featlearn.models.base import Model
from featlearn.ops.arrays import squared_error
from featlearn.rows import Array, Rows, blocks


class Drawable(Protocol):
    """Preprocessing, as far as filters have to be brought back to pixels."""

    def to_pixels(self, F: Array) -> Array: ...


def evaluate(model: Model, rows: Rows, shape: tuple[int, int, int], preprocess: Drawable) -> dict[str, Any]:
    """Measure `model` on `rows`; its filters are patches of `shape` (height, width, channels).

    rmse                 root mean square of reconstruct(x) - x, in units of the preprocessed data
    explained_variance   1 - squared error / variance about the mean row
    mean_activation      mean of the code
    lifetime_sparsity    0 constant .. 1 rare: of each unit over the rows, mean over units (Vinje & Gallant 2000)
    population_sparsity  the same of each row over its units, mean over rows
    l0                   units of a row's code that are not 0, mean over rows
    dead_units, saturated_units, relative_activity    of the units, as analysis/advice.py has them
    coherence            largest |cosine| between two filters
    free_energy          and what else only this kind of model reports, mean over rows
    and the keys of filter_statistics.
    """
    n, h = len(rows), model.encode(rows.block(0, 1)).shape[1]
    units = Units(h)
    squares = population = nonzero = 0.0
    x1, x2 = np.zeros(model.n_visible), np.zeros(model.n_visible)
    for X in blocks(rows):
        H = model.encode(X)
        squares += squared_error(X, model.reconstruct(X))
        nonzero += float(np.count_nonzero(H))
        x1, x2 = x1 + X.sum(axis=0, dtype=np.float64), x2 + np.square(X, dtype=np.float64).sum(axis=0)
        s1, s2 = H.sum(axis=1, dtype=np.float64), np.square(H, dtype=np.float64).sum(axis=1)
        population += float(_sparsity(s1, s2, h).sum())
        units.add(H)
    variance = float((x2 - x1 * x1 / n).sum())
    measures: dict[str, Any] = {
        "rmse": math.sqrt(squares / (n * model.n_visible)),
        "explained_variance": 1 - squares / variance if variance > 0 else math.nan,
        "mean_activation": float(units.sum.mean()) / n,
        "lifetime_sparsity": float(_sparsity(units.sum, units.squares, n).mean()),
        "population_sparsity": population / n,
        "l0": nonzero / n,
    }
    measures |= of_units(model, units)
    measures |= mean_metrics(model, rows) | {"coherence": coherence(model.filters())}
    measures |= filter_statistics(preprocess.to_pixels(model.filters()).reshape(-1, *shape))
    return measures


def mean_metrics(model: Model, rows: Rows) -> dict[str, float]:
    """What `model` itself reports of rows, as means over all of them."""
    sums: dict[str, float] = {}
    for X in blocks(rows):
        for key, value in model.extra_metrics(X).items():
            sums[key] = sums.get(key, 0.0) + value * len(X)
    return {key: value / len(rows) for key, value in sums.items()}


def _sparsity(sum1: Array, sum2: Array, n: int) -> Array:
    """(1 - mean^2 / mean of squares) / (1 - 1 / n) from sums over n values; 0 where all are zero."""
    if n < 2:
        return np.zeros(len(sum1))
    ratio = np.divide(sum1 * sum1, n * sum2, out=np.ones(len(sum1)), where=sum2 > 0)
    return np.asarray((1 - ratio) / (1 - 1 / n))
