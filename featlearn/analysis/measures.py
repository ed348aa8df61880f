"""The measures of a model on a data set: errors, activations, filters; all of rows in one pass over them."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from featlearn import ranks
from featlearn.analysis.advice import of_units
from featlearn.analysis.filters import filter_statistics
from featlearn.analysis.metrics import coherence
from featlearn.analysis.units import Units
from featlearn.models.base import Model
from featlearn.ops.arrays import squared_error
from featlearn.rows import Array, Encoded, edges


class Drawable(Protocol):
    """Preprocessing, as far as filters have to be brought back to pixels."""

    def to_pixels(self, F: Array) -> Array: ...


class Measure(Protocol):
    """What is worked out of rows X (n, visible), their codes H (n, units) and labels (n,), block by block."""

    def of_block(self, X: Array, H: Array, labels: Array | None) -> Any:
        """Return what a block of rows comes to; the measure stays as it is."""
        ...

    def add(self, found: Any) -> None:
        """Add what a block has come to, in the order of the rows."""
        ...

    def result(self) -> dict[str, Any]:
        """Return the measures of all blocks."""
        ...


def measure(codes: Encoded, measures: Sequence[Measure], labels: Array | None = None) -> dict[str, Any]:
    """Show each of the measures all rows, in one pass; return what they found, in their order."""

    def block(start: int, stop: int) -> tuple[Array, Array, Array | None]:
        of_rows = None if labels is None else labels[start:stop]
        return codes.rows.block(start, stop), codes.block(start, stop), of_rows

    add_blocks(measures, len(codes), block)
    return {key: value for one in measures for key, value in one.result().items()}


def add_blocks(
    measures: Sequence[Measure], n: int, block: Callable[[int, int], tuple[Array, Array, Array | None]]
) -> None:
    """Add n rows to the measures, block by block; `block` gives X, H and labels from one row to another.

    Ranks share the blocks out.
    """
    cut = list(edges(n))

    def found(i: int) -> list[Any]:
        of_rows = block(*cut[i])
        return [one.of_block(*of_rows) for one in measures]

    for parts in ranks.shared_out(found, len(cut)):
        for one, part in zip(measures, parts, strict=True):
            one.add(part)


class Reconstruction:
    """How well a model gives rows back.

    rmse                 root mean square of reconstruct(x) - x, in units of the preprocessed data
    explained_variance   1 - squared error / variance about the mean row
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.n, self.squares = 0, 0.0
        self.x1, self.x2 = np.zeros((2, model.n_visible))

    def of_block(self, X: Array, H: Array, labels: Array | None) -> tuple[int, float, Array, Array]:
        squares = squared_error(X, self.model.reconstruct(X, H))
        return len(X), squares, X.sum(axis=0, dtype=np.float64), np.square(X, dtype=np.float64).sum(axis=0)

    def add(self, found: tuple[int, float, Array, Array]) -> None:
        n, squares, x1, x2 = found
        self.n += n
        self.squares += squares
        self.x1 += x1
        self.x2 += x2

    @property
    def variance(self) -> float:
        """Of the rows about their mean, summed over rows and values."""
        return max(float((self.x2 - self.x1 * self.x1 / self.n).sum()), 0.0)

    def result(self) -> dict[str, Any]:
        explained = 1 - self.squares / self.variance if self.variance > 0 else math.nan
        return {
            "rmse": math.sqrt(self.squares / (self.n * len(self.x1))),
            "explained_variance": explained,
        }


class Activity:
    """Measures of the activity of hidden units.

    mean_activation      mean of the code
    lifetime_sparsity    0 constant .. 1 rare: of each unit over the rows, mean over units (W. Vinje,
                         J. Gallant, Science 287, 2000)
    population_sparsity  the same of each row over its units, mean over rows
    l0                   units of a row's code that are not 0, mean over rows
    dead_units, saturated_units, relative_activity    of the units, as analysis/advice.py has them
    """

    def __init__(self, model: Model, units: int) -> None:
        self.model = model
        self.units = Units(units)
        self.population = self.nonzero = 0.0

    def of_block(self, X: Array, H: Array, labels: Array | None) -> tuple[Units, float, float]:
        units = Units(H.shape[1])
        units.add(H)
        sums, squares = H.sum(axis=1, dtype=np.float64), np.square(H, dtype=np.float64).sum(axis=1)
        return units, float(np.count_nonzero(H)), float(_sparsity(sums, squares, H.shape[1]).sum())

    def add(self, found: tuple[Units, float, float]) -> None:
        units, nonzero, population = found
        self.units.merge(units)
        self.nonzero += nonzero
        self.population += population

    def result(self) -> dict[str, Any]:
        units = self.units
        found = {
            "mean_activation": float(units.mean.mean()),
            "lifetime_sparsity": float(_sparsity(units.sum, units.squares, units.n).mean()),
            "population_sparsity": self.population / units.n,
            "l0": self.nonzero / units.n,
        }
        return found | of_units(self.model, units)


class OwnMetrics:
    """What only this kind of model reports of rows, such as free_energy: means over them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.n = 0
        self.sums: dict[str, float] = {}

    def of_block(self, X: Array, H: Array, labels: Array | None) -> tuple[int, dict[str, float]]:
        return len(X), {key: value * len(X) for key, value in self.model.extra_metrics(X).items()}

    def add(self, found: tuple[int, dict[str, float]]) -> None:
        n, sums = found
        self.n += n
        for key, value in sums.items():
            self.sums[key] = self.sums.get(key, 0.0) + value

    def result(self) -> dict[str, Any]:
        return {key: value / self.n for key, value in self.sums.items()}


def of_filters(model: Model, shape: tuple[int, int, int], preprocess: Drawable) -> dict[str, Any]:
    """Measure the filters of a model of patches of `shape` (height, width, channels).

    coherence            largest |cosine| between two filters
    and the keys of filter_statistics.
    """
    F = model.filters()
    return {"coherence": coherence(F)} | filter_statistics(preprocess.to_pixels(F).reshape(-1, *shape))


def _sparsity(sum1: Array, sum2: Array, n: int) -> Array:
    """(1 - mean^2 / mean of squares) / (1 - 1 / n) from sums over n values; 0 where all are zero."""
    if n < 2:
        return np.zeros(len(sum1))
    ratio = np.divide(sum1 * sum1, n * sum2, out=np.ones(len(sum1)), where=sum2 > 0)
    return np.asarray((1 - ratio) / (1 - 1 / n))
