"""What codes cost and what they keep: error against entropy of quantised codes.

    Q levels, low and high being the least and the largest code value of all:
        one sign    q_i = low + i (high - low) / (Q - 1)    i = 0 .. Q - 1
        both signs  q_i = i max(-low, high) / floor(Q / 2)  i = -floor(Q / 2) .. floor(Q / 2); of even Q without the
                                                            last one on the side that reaches less far
    H_q: every code value at its nearest level (half-way: the even i)
    bits = (M / N) H,   H = -sum_i c_i / (P M) log2(c_i / (P M))      c_i: code values of level i, of P rows, all units
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

from featlearn.models.base import Model
from featlearn.ops.arrays import squared_error
from featlearn.rows import Array, Rows, blocks
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


def codings(model: Model, rows: Rows, bins: Sequence[int]) -> list[Coding]:
    """Code `rows` (n, visible) with each number of levels; two passes, one for the range of the codes."""
    extent = _extent(model, rows)
    if not math.isfinite(extent.high - extent.low):
        return [Coding(q, math.nan, math.nan, math.nan) for q in bins]
    scales = [_levels(extent.low, extent.high, q) for q in bins]
    counts = [np.zeros(q, np.int64) for q in bins]
    squares = [0.0] * len(bins)
    for X in blocks(rows):
        H = model.encode(X)
        for i, levels in enumerate(scales):
            index, quantised = _quantise(H, levels)
            counts[i] += np.bincount(index.ravel(), minlength=bins[i])
            squares[i] += squared_error(X, model.decode(quantised))
    values = len(rows) * model.n_visible
    found = []
    for q, count, square in zip(bins, counts, squares, strict=True):
        rmse = math.sqrt(square / values)
        relative = rmse / extent.std if extent.std > 0 else math.nan
        found.append(Coding(q, _entropy(count) * extent.units / model.n_visible, rmse, relative))
    return found


class _Extent(NamedTuple):
    """Of the codes: how many units, the least and the largest value; of the data: std about the mean row."""

    units: int
    low: float
    high: float
    std: float


def _extent(model: Model, rows: Rows) -> _Extent:
    units, low, high = 0, math.inf, -math.inf
    x1, x2 = np.zeros(model.n_visible), np.zeros(model.n_visible)
    for X in blocks(rows):
        H = model.encode(X)
        units, low, high = H.shape[1], min(low, float(H.min())), max(high, float(H.max()))
        x1, x2 = x1 + X.sum(axis=0, dtype=np.float64), x2 + np.square(X, dtype=np.float64).sum(axis=0)
    variance = float((x2 - x1 * x1 / len(rows)).sum())
    return _Extent(units, low, high, math.sqrt(max(variance, 0.0) / (len(rows) * model.n_visible)))


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
