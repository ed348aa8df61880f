"""Preprocessing of patches: fitted on a data set, stored with it, applied when its rows are read.

Order: pixels to 0..1 -> threshold -> normalize -> whiten -> clip -> map to a range -> divide. A row's result
depends on that row alone, to the byte, whoever its neighbours are: sums along a row go through our own gemm,
the rest is by element.

    threshold    1 where x lies above it, else 0
    center             x - mean(x)                                   each patch its own mean
    contrast           (x - mean(x)) / sqrt(var(x) + 10 / 255^2)     Coates, Lee & Ng, AISTATS 2011
    standardize-patch  (x - mean(x)) / sd(x)                         zeros where the patch does not vary
    standardize        (x - mean) / sd                               each pixel over the data set
    global             (x - mean) / sd                               all values together
    whiten             (x - mean) P, P = s V diag(1 / sqrt(lambda + epsilon mean(lambda))) [V' for zca]
                       with the covariance V diag(lambda) V' and s such that the overall variance is 1

Variances divide by the number of values (not by one less).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn import _core
from featlearn.errors import ConfigError, DataError
from featlearn.ops.graph import Graph, Value
from featlearn.patches.normalize import (
    CONTRAST,
    NOTHING,
    PER_PATCH,
    PatchStats,
    normalize_patches,
    unit_pixels,
)
from featlearn.patches.settings import OVER_DATA, PreprocessSpec
from featlearn.rows import Array, Float64
from featlearn.settings import from_file, to_dict

CHUNK = 1 << 17  # pixels that apply works on at a time: they stay in the cache
FAR = 50.0  # times half of the usual range of pixels: other units are farther away, rare ordinary pixels not


@dataclass
class Preprocess:
    """A fitted preprocessing; made by Fitter.finish() or from_dict().

    `mean` and `scale` (n_pixels,) are subtracted and divided by; `whitening` and `unwhitening` (n_pixels,
    n_visible) and back; `level` and `spread` are mean and standard deviation of all values before clipping.
    `low` and `high` bound the results where that is known: of the pixels seen, when nothing else is done to
    them, or of the range mapped to. `divisor` is what all values are divided by in the end, which training
    may ask for. `constant_pixels` counts those that standardize found without variance and left unscaled.
    `resize` and `linear` say what was done to the images before patches were cut, for others that are read
    like them; nothing here depends on it. `warnings` are what a user should read; they are not stored.
    """

    spec: PreprocessSpec
    n_pixels: int
    mean: Float64 | None = None
    scale: Float64 | None = None
    whitening: Float64 | None = None
    unwhitening: Float64 | None = None
    level: float = 0.0
    spread: float = 1.0
    low: float = -np.inf
    high: float = np.inf
    constant_pixels: int = 0
    divisor: float = 1.0
    resize: str | None = None
    linear: bool = False
    warnings: list[str] = field(default_factory=list)
    _cast: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)

    @property
    def n_visible(self) -> int:
        """Width of the results."""
        return self.n_pixels

    def divided(self, by: float) -> "Preprocess":
        """The same with all its results divided by a number."""
        return replace(self, low=self.low / by, high=self.high / by, divisor=self.divisor * by)

    def apply(self, rows: Array, dtype: npt.DTypeLike = np.float32) -> Array:
        """Return rows (n, n_visible) of raw rows (n, n_pixels) uint8, uint16 or float.

        The scale of the pixels follows from their dtype.
        """
        return self.apply_with_stats(rows, dtype)[0]

    def portable(self, g: Graph, X: Value) -> Value:
        """Write apply down for other programs, of float64 pixels X (n, n_pixels) in 0..1 (unit_pixels)."""
        spec, axes = self.spec, np.array([1])
        if spec.threshold is not None:
            bar = np.array(np.float32(spec.threshold), np.float64)  # pixels come rounded so, too
            X = g("Where", g("Greater", X, bar), np.array(1.0), np.array(0.0))
        if spec.normalize in PER_PATCH:
            mean = g("ReduceMean", X, axes)
            X = g("Sub", X, mean)
        if spec.normalize == "contrast":
            X = g("Div", X, g("Sqrt", g("Add", g("ReduceMean", g("Mul", X, X), axes), np.array(CONTRAST))))
        if spec.normalize == "standardize-patch":
            deviation = g("Sqrt", g("ReduceMean", g("Mul", X, X), axes))
            varies = g("Greater", deviation, g("Mul", g("Abs", mean), np.array(NOTHING)))
            X = g("Where", varies, g("Div", X, deviation), np.array(0.0))
        for operation, values in (("Sub", self.mean), ("Div", self.scale), ("MatMul", self.whitening)):
            if values is not None:
                X = g(operation, X, values)
        if spec.clip is not None:
            reach = spec.clip * self.spread
            X = g("Clip", X, np.array(self.level - reach), np.array(self.level + reach))
            if spec.to is not None:
                low, high = spec.to
                steep = (high - low) / (2 * reach)
                X = g("Add", g("Mul", X, np.array(steep)), np.array(low - steep * (self.level - reach)))
        return g("Div", X, np.array(self.divisor))

    def apply_with_stats(
        self, rows: Array, dtype: npt.DTypeLike = np.float32, out: Array | None = None
    ) -> tuple[Array, PatchStats]:
        """The same, made in `out` where it is given, and what was taken from each patch, for `invert`.

        Raises DataError for another width.
        """
        if rows.ndim != 2 or rows.shape[1] != self.n_pixels:
            raise DataError(
                f"patches of {rows.shape[-1]} pixels: the preprocessing was fitted on {self.n_pixels}; "
                "extract them with the same --size and --color"
            )
        rows = np.asarray(rows)
        out = np.empty((len(rows), self.n_visible), dtype) if out is None else out
        stats = PatchStats(np.empty(len(rows)), np.empty(len(rows)))
        for part in self._parts(len(rows)):
            X = self.unit_pixels(rows[part])
            stats.mean[part], stats.scale[part] = self.apply_to_units(X, out[part])
        return out, stats

    def far_pixels(self, rows: Array) -> str:
        """Say how far raw rows (n, n_pixels) of floats lie from all that it was fitted on; "" if not too far.

        Then they are in other units. Of binary pixels, of contrast, which has no unit, and of patches that
        are centred and nothing else, of which no range is known, nothing is said.
        """
        if self.spec.threshold is not None or self.spec.normalize == "contrast":
            return ""
        if self.mean is not None:
            spread = self.scale
            if spread is None:
                assert self.unwhitening is not None
                spread = np.sqrt(np.square(self.unwhitening).sum(axis=0))
            center = float(self.mean.mean())
            reach = 3 * float(spread.max()) + float(np.abs(self.mean - center).max())
        elif self.spec.clip is not None:
            center, reach = self.level, 3 * self.spread
        elif math.isfinite(self.high - self.low):
            center = self.divisor * (self.low + self.high) / 2
            reach = self.divisor * (self.high - self.low) / 2
        else:
            return ""
        X = rows.astype(np.float64)
        normalize_patches(X, self.spec.normalize)
        low, high = float(X.min(initial=center)), float(X.max(initial=center))
        extreme = high if high - center > center - low else low
        if abs(extreme - center) <= FAR * reach:
            return ""
        own = ", its own mean taken off" if self.spec.normalize in PER_PATCH else ""
        return (
            f"hold {extreme:.4g}{own}; it has learned from about {center - reach:.2g}..{center + reach:.2g}"
        )

    def unit_pixels(self, pixels: Array) -> Float64:
        """Return raw pixels, of any shape, as float64 in 0..1, or 0 and 1 with a threshold."""
        return unit_pixels(pixels, self.spec.threshold)

    def apply_to_units(self, X: Float64, out: Array) -> PatchStats:
        """Make preprocessed rows `out` (n, n_visible) of rows X (n, n_pixels) of unit_pixels.

        X is overwritten.
        """
        stats = normalize_patches(X, self.spec.normalize)
        whitening = self._whitening(out.dtype)
        made = out if whitening is None else np.empty(X.shape, out.dtype)
        if self.mean is not None:
            X -= self.mean
        if self.scale is not None:
            X /= self.scale
        made[...] = X
        if whitening is not None:
            _core.gemm(out, made, whitening)
        self._clip(out)
        if self.divisor != 1:
            out /= self.divisor
        return stats

    def invert(self, X: Array, stats: PatchStats | None = None) -> Array:
        """Pixels in 0..1 (n, n_pixels) of preprocessed rows, in their dtype; what was clipped stays so.

        Without `stats` each patch's own mean and scale are taken as 0 and 1.
        """
        out = np.empty((len(X), self.n_pixels), X.dtype)
        for part in self._parts(len(X)):
            Y = X[part].astype(np.float64)
            Y *= self.divisor
            if self.spec.to is not None and self.spec.clip is not None:
                low, high = self.spec.to
                reach = self.spec.clip * self.spread
                Y = (Y - low) * (2 * reach / (high - low)) + (self.level - reach)
            if self.unwhitening is not None:
                Z = np.empty((len(Y), self.n_pixels))
                _core.gemm(Z, Y, self.unwhitening)
                Y = Z
            if self.scale is not None:
                Y *= self.scale
            if self.mean is not None:
                Y += self.mean
            if stats is not None:
                Y = Y * stats.scale[part, None] + stats.mean[part, None]
            out[part] = Y
        return out

    def to_pixels(self, F: Array) -> Array:
        """Return filters (k, n_pixels) for drawing, of filters (k, n_visible).

        PCA components are rotated back to pixels.
        """
        if self.spec.whiten != "pca" or self.whitening is None:
            return F
        norms = np.empty(self.n_visible)
        _core.colsum(norms, self.whitening * self.whitening)
        rotation = self.whitening / np.sqrt(norms)
        out = np.empty((len(F), self.n_pixels))
        _core.gemm(out, F.astype(np.float64), np.ascontiguousarray(rotation.T))
        return out.astype(F.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and arrays for a file; what is unset or unbounded is absent."""
        spec = {name: value for name, value in to_dict(self.spec).items() if value is not None}
        values = {
            name: np.array(value) if isinstance(value, tuple) else value for name, value in spec.items()
        }
        values["n_pixels"] = self.n_pixels
        values["constant_pixels"] = self.constant_pixels
        values["level"], values["spread"] = self.level, self.spread
        values |= {"divisor": self.divisor} if self.divisor != 1 else {}
        values |= {"resize": self.resize} if self.resize is not None else {}
        values |= {"linear": 1} if self.linear else {}
        values.update(
            {name: getattr(self, name) for name in ("low", "high") if np.isfinite(getattr(self, name))}
        )
        values.update(
            {name: getattr(self, name) for name, shape in self._shapes().items() if shape is not None}
        )
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocess":
        """The inverse of to_dict. Raises DataError for values that no fit makes."""
        values = dict(values)
        try:
            own = {field.name for field in fields(PreprocessSpec)} & values.keys()
            spec = {name: np.asarray(values.pop(name)).tolist() for name in own}
            self = cls(
                from_file(PreprocessSpec, spec),
                int(values.pop("n_pixels")),
                constant_pixels=int(values.pop("constant_pixels")),
            )
            for name in ("level", "spread", "divisor", "low", "high"):
                setattr(self, name, float(values.pop(name, getattr(self, name))))
            self.resize, self.linear = values.pop("resize", None), bool(values.pop("linear", False))
        except KeyError as err:
            raise DataError(f"preprocessing: {err.args[0]!r} is missing") from None
        except (TypeError, ValueError, ConfigError) as err:
            raise DataError(f"preprocessing: {err}") from None
        if self.spec.clip is not None and not self.spread > 0:
            raise DataError(
                f"preprocessing: 'spread' is {self.spread:g}, wanted above 0 for a range to clip to"
            )
        if not isinstance(self.resize, str | None):
            raise DataError(f"preprocessing: 'resize' is {self.resize!r:.40}, wanted a text")
        if not 0 < self.divisor < math.inf:
            raise DataError(f"preprocessing: 'divisor' is {self.divisor:g}, wanted a number above 0")
        for name, wanted in self._shapes().items():
            array = values.pop(name, None)
            found = None if array is None else np.shape(array)
            if found != wanted:
                raise DataError(f"preprocessing: {name!r} has the shape {found}, wanted {wanted}")
            if array is not None:
                setattr(self, name, np.ascontiguousarray(array, np.float64))
                self._check_fitted(name)
        if values:
            raise DataError(f"preprocessing: unknown {min(values)!r}; a newer featlearn may read it")
        return self

    def _check_fitted(self, name: str) -> None:
        """Raise DataError for a fitted array with values that no fit makes."""
        array = getattr(self, name)
        if not np.isfinite(array).all():
            raise DataError(f"preprocessing: {name!r} holds NaN or infinity")
        if name == "scale" and not (array > 0).all():
            raise DataError(f"preprocessing: 'scale' is {array.min():g} at a pixel, wanted above 0")

    def _shapes(self) -> dict[str, tuple[int, ...] | None]:
        """The fitted arrays and the shape that each must have, None where there is none."""
        d = self.n_pixels
        standardized = self.spec.normalize in OVER_DATA
        whitened = self.spec.whiten != "none"
        return {
            "mean": (d,) if standardized or whitened else None,
            "scale": (d,) if standardized else None,
            "whitening": (d, d) if whitened else None,
            "unwhitening": (d, d) if whitened else None,
        }

    def _whitening(self, dtype: np.dtype[Any]) -> Array | None:
        """The matrix in the dtype of a product, cast once."""
        if self.whitening is not None and dtype.str not in self._cast:
            self._cast[dtype.str] = self.whitening.astype(dtype)
        return self._cast.get(dtype.str)

    def _parts(self, n: int) -> Iterator[slice]:
        size = max(1, CHUNK // self.n_pixels)
        return (slice(start, min(start + size, n)) for start in range(0, n, size))

    def _clip(self, X: Array) -> None:
        """Cuts and maps in place."""
        if self.spec.clip is None:
            return
        reach = self.spec.clip * self.spread
        np.clip(X, self.level - reach, self.level + reach, out=X)
        if self.spec.to is not None:
            low, high = self.spec.to
            X -= self.level - reach
            X *= (high - low) / (2 * reach)
            X += low
            np.clip(X, low, high, out=X)  # rounding must not leave the range
