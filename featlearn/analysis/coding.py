"""The cost of codes and what they keep: error against entropy of quantised codes.

    Q levels, low and high being the least and the largest code value of all:
        one sign    q_i = low + i (high - low) / (Q - 1)    i = 0 .. Q - 1
        both signs  q_i = i max(-low, high) / floor(Q / 2)  i = -floor(Q / 2) .. floor(Q / 2); of even Q
                                                            without the last one on the side that reaches
                                                            less far
    H_q: every code value at its nearest level (half-way: the even i)
    bits = (M / N) H,   H = -sum_i c_i / (P M) log2(c_i / (P M))      c_i code values of level i, P rows
    rmse = sqrt(1 / (P N) sum (x - decode(H_q))^2)                    M hidden, N visible values

M. Ranzato, Y. Boureau, Y. LeCun, Sparse feature learning for deep belief networks, NIPS 2007, section 4. One
range and one histogram serve all units, so a unit that hardly varies is cheap. H is the cost of a code value
that is coded by itself; what units know of each other would make it less.

The paper does not say where its levels lie. Codes of both signs need one at zero: otherwise all the values
near zero are moved, and coarse levels then cost more and err more than no code at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from featlearn.analysis.measures import measure
from featlearn.models.base import Model
from featlearn.ops.arrays import squared_error
from featlearn.rows import Array, Encoded
from featlearn.settings import check, setting


@dataclass(frozen=True)
class CodingConfig:
    """How finely codes are quantised."""

    bins: tuple[int, ...] = setting(
        (5, 256),
        "numbers of levels (2 to 65536) that code values are rounded to, for bits_N, rmse_N and rmse_std_N",
        low=2,
        high=65536,
    )

    def __post_init__(self) -> None:
        check(self)


class Coding(NamedTuple):
    """What a code of `bins` levels comes to."""

    bins: int
    bits_per_pixel: float
    """Entropy of a row's code, as independent values, per visible value of the row."""
    rmse: float
    """Of the reconstruction from the quantised code, in units of the preprocessed data."""
    rmse_std: float
    """rmse / sqrt(variance about the mean row, summed / (rows x visible values)): 1 is what the mean row
    gives."""
    levels: Array
    """(bins,) the values that code values are rounded to, ascending; none where codes are not finite."""
    counts: Array
    """(bins,) how many code values are of each level."""


class Extent:
    """The least and the largest value of codes, and the deviation of the data that they are of; a measure."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf

    def of_block(self, X: Array, H: Array, labels: Array | None) -> tuple[float, float]:
        return float(H.min()), float(H.max())

    def add(self, found: tuple[float, float]) -> None:
        self.low, self.high = min(self.low, found[0]), max(self.high, found[1])

    def result(self) -> dict[str, float]:
        return {}


def codings(
    model: Model, codes: Encoded, extent: Extent, variance: float, bins: Sequence[int]
) -> list[Coding]:
    """Quantise codes to each number of levels between the ends of their `extent`, in one pass.

    `variance` is that of the rows about their mean, summed over rows and values.
    """
    if not math.isfinite(extent.high - extent.low):
        return [Coding(q, math.nan, math.nan, math.nan, np.zeros(0), np.zeros(0, np.int64)) for q in bins]
    quantised = [_Quantised(model, q, _levels(extent.low, extent.high, q)) for q in bins]
    measure(codes, quantised)
    return [one.coding(len(codes), codes.width, variance) for one in quantised]


class _Quantised:
    """How often each level occurs, and how far reconstructions from the levels lie from the rows."""

    def __init__(self, model: Model, bins: int, levels: "_Levels") -> None:
        self.model = model
        self.bins = bins
        self.levels = levels
        self.counts, self.squares = np.zeros(bins, np.int64), 0.0

    def of_block(self, X: Array, H: Array, labels: Array | None) -> tuple[Array, float]:
        index, values = _quantise(H, self.levels)
        return np.bincount(index.ravel(), minlength=self.bins), squared_error(X, self.model.decode(values))

    def add(self, found: tuple[Array, float]) -> None:
        self.counts += found[0]
        self.squares += found[1]

    def result(self) -> dict[str, float]:
        return {}

    def coding(self, n: int, units: int, variance: float) -> Coding:
        visible = self.model.n_visible
        relative = math.sqrt(self.squares / variance) if variance > 0 else math.nan
        bits = _entropy(self.counts) * units / visible
        centres = self.levels.origin + self.levels.step * np.arange(self.levels.first, self.levels.last + 1)
        rmse = math.sqrt(self.squares / (n * visible))
        return Coding(self.bins, bits, rmse, relative, centres, self.counts)


class _Levels(NamedTuple):
    """The levels origin + i step, i = first .. last; step 0: all are the origin."""

    origin: float
    step: float
    first: int
    last: int


def _levels(low: float, high: float, bins: int) -> _Levels:
    """`bins` levels for code values from `low` to `high`."""
    if not low < 0 < high:
        return _Levels(low, (high - low) / (bins - 1), 0, bins - 1)
    half, even = bins // 2, bins % 2 == 0
    below, above = even and high >= -low, even and high < -low  # the side that is one level shorter
    return _Levels(0.0, max(-low, high) / half, -half + below, half - above)


def _quantise(H: Array, levels: _Levels) -> tuple[npt.NDArray[np.int64], Array]:
    """Codes H (n, units) -> the level of each value, counted from 0, and its centre in the dtype of H."""
    scaled = np.subtract(H, levels.origin, dtype=np.float64)
    if levels.step > 0:  # else all codes are the same, and all are level 0
        scaled /= levels.step
    np.rint(scaled, out=scaled)
    np.clip(scaled, levels.first, levels.last, out=scaled)
    centres = (levels.origin + scaled * levels.step).astype(H.dtype)
    return scaled.astype(np.int64) - levels.first, centres


def _entropy(counts: npt.NDArray[np.int64]) -> float:
    """In bits, of values that fell `counts` times each."""
    p = counts[counts > 0] / counts.sum()
    return abs(float((p * np.log2(p)).sum()))  # abs: no -0.0
