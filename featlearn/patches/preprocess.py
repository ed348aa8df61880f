"""Preprocessing of patches: what is fitted on a data set, stored with it, and applied whenever its rows are
read.

Order: pixels to 0..1 -> threshold -> normalize -> whiten -> clip -> map to a range -> divide. A row's result
depends on that row alone, to the byte, whoever its neighbours are: sums along a row go through our own gemm,
the rest is by element.

    threshold    1 where x lies above it, else 0
    center       x - mean(x)                                   each patch its own mean
    contrast     (x - mean(x)) / sqrt(var(x) + 10 / 255^2)     Coates, Lee & Ng, AISTATS 2011
    standardize  (x - mean) / sd                               each pixel over the data set
    whiten       (x - mean) P, P = s V diag(1 / sqrt(lambda + epsilon mean(lambda))) [V' for zca]
                 with the covariance V diag(lambda) V' and s such that the overall variance is 1

Variances divide by the number of values (not by one less).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from featlearn import _core
from featlearn.errors import ConfigError, DataError
from featlearn.ops.arrays import product, row_squares, row_sum
from featlearn.ops.eigen import eigen
from featlearn.ops.graph import Graph, Value
from featlearn.rows import Array, Float64
from featlearn.settings import check, fill, from_file, setting, to_dict, unresolved

CONTRAST = 10 / 255**2  # keeps flat patches from being blown up to noise
CHUNK = 1 << 17  # pixels that apply works on at a time: they stay in the cache
FIT_ROWS, FIT_PIXELS = (
    256,
    1 << 22,
)  # the block that a fit sums over: so many rows, fewer where rows are very wide
ENOUGH = 10  # patches a pixel from which on they are whitened unasked
WIDEST = 8192  # pixels up to which whitening is fitted: its matrices take pixels^2 of memory
SINGULAR = 1e-9  # smallest eigenvalue over the largest, below which whitening to 1e-6 is beyond float64
NOTHING = 1e-12  # a standard deviation that small beside the values is rounding

PER_PATCH = ("center", "contrast")


@dataclass(frozen=True)
class PreprocessSpec:
    """What to do with the pixels. Raises ConfigError for values out of range and for contradictions."""

    normalize: str | None = setting(
        None,
        "center each patch, scale its contrast too, or standardize each pixel  [default: center; none for whole "
        "images without --whiten and with --threshold]",
        choices=("none", "center", "contrast", "standardize"),
    )
    whiten: str | None = setting(
        None,
        "decorrelate the pixels, keeping them pixels (zca) or not (pca)  [default: zca; none for whole images, with "
        "--normalize, --threshold and --to]",
        choices=("none", "zca", "pca"),
    )
    epsilon: float = setting(
        0.1, "whitening: added to the eigenvalues, in units of their mean", low=0, needs="whiten=zca|pca"
    )
    clip: float | None = setting(
        None, "cut values beyond this many standard deviations", above=0, off="nothing is cut"
    )
    to: tuple[float, float] | None = setting(
        None, "map the clipped values to this range: LOW,HIGH", off="not mapped"
    )
    threshold: float | None = setting(
        None, "first make pixels binary: 1 above this value, else 0", low=0, below=1, off="greys stay"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.normalize is not None and self.whiten is None:
            object.__setattr__(self, "whiten", "none")  # who says how to normalize has said all
        if self.to is None:
            return
        if self.clip is None:
            raise ConfigError("--to: maps clipped values, so it needs --clip, e.g. --clip 3")
        if not (np.isfinite(self.to).all() and self.to[0] < self.to[1]):
            raise ConfigError(f"--to: got {self.to[0]:g},{self.to[1]:g}, wanted LOW,HIGH with LOW below HIGH")

    @property
    def is_left_open(self) -> bool:
        """Whether nothing was said of what is done to the pixels; to clip and to map comes after it."""
        return self.normalize is None and self.whiten is None and self.threshold is None

    def resolve(self, whole: bool = False, can_whiten: bool = True) -> "PreprocessSpec":
        """Return the spec with normalization and whitening decided, for cut patches or for `whole` images.

        Patches cut out of images are centred and ZCA-whitened where that `can_whiten` them; whole images and
        binary pixels stay as they are. What is whitened is centred. What is mapped to a range is centred
        alone, as in Ng's CS294A lecture: whitened so, hardly a model of units with a range learns from it
        (docs/images.md).
        """
        untouched = whole or self.threshold is not None
        whiten = self.whiten or ("zca" if can_whiten and not untouched and self.to is None else "none")
        return fill(
            self, {"normalize": "none" if untouched and whiten == "none" else "center", "whiten": whiten}
        )


def whitening_obstacle(n: int, d: int) -> str:
    """Return why n patches of d pixels are not whitened unless that is asked for, with the remedy; empty if
    they are.

    Whitening gives other patches of the same photographs the variance of those that it was fitted on only
    where there were enough of these: 1.3 times it at 10 patches a pixel, 2 to 3 times at 2, 4 to 6 times at 1
    (bench/patches.py).
    """
    if d > WIDEST:
        return f"{d:,} pixels are too many, at most {WIDEST:,} can be; take a smaller --size"
    if n < ENOUGH * d:
        return f"{n:,} patches are too few for {d:,} pixels; take at least {ENOUGH * d:,} or a smaller --size"
    return ""


class PatchStats(NamedTuple):
    """What normalisation took from each patch: its own mean and scale, both (n,) float64."""

    mean: Float64
    scale: Float64


def unit_pixels(rows: Array, threshold: float | None = None) -> Float64:
    """Pixels as float64: 8 and 16-bit ones divided by 255 and 65535, floats as they are; binary with a
    threshold."""
    full = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(rows.dtype, 1.0)
    if threshold is None:
        return np.divide(rows, full, dtype=np.float64)
    return (rows > threshold * full).astype(np.float64)


def normalize_patches(X: Float64, how: str | None) -> PatchStats:
    """Takes each row's mean and, for contrast, its scale from X (n, d) in place; returns them."""
    n, d = X.shape
    mean, scale = np.zeros(n), np.ones(n)
    if how in PER_PATCH:
        mean = row_sum(X, 1 / d)
        X -= mean[:, None]
    if how == "contrast":
        scale = np.sqrt(row_squares(X) / d + CONTRAST)
        X /= scale[:, None]
    return PatchStats(mean, scale)


@dataclass
class Preprocess:
    """A fitted preprocessing; made by Fitter.finish() or from_dict().

    `mean` and `scale` (n_pixels,) are subtracted and divided by; `whitening` and `unwhitening` (n_pixels,
    n_visible) and back; `level` and `spread` are mean and standard deviation of all values before clipping.
    `low` and `high` bound the results where that is known: of the pixels seen, when nothing else is done to
    them, or of the range mapped to. `divisor` is what all values are divided by in the end, which training
    may ask for. `constant_pixels` counts those that standardize found without variance and left unscaled.
    `warnings` are what a user should read; they are not stored.
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
        """(n, n_visible) of raw rows (n, n_pixels) uint8, uint16 or float; whose scale follows from their
        dtype."""
        return self.apply_with_stats(rows, dtype)[0]

    def portable(self, g: Graph, X: Value) -> Value:
        """Write apply down for other programs: of float64 pixels X (n, n_pixels) in 0..1, as unit_pixels makes them."""
        spec, axes = self.spec, np.array([1])
        if spec.threshold is not None:
            bar = np.array(np.float32(spec.threshold), np.float64)  # pixels come rounded so, too
            X = g("Where", g("Greater", X, bar), np.array(1.0), np.array(0.0))
        if spec.normalize in PER_PATCH:
            X = g("Sub", X, g("ReduceMean", X, axes))
        if spec.normalize == "contrast":
            X = g("Div", X, g("Sqrt", g("Add", g("ReduceMean", g("Mul", X, X), axes), np.array(CONTRAST))))
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
        whitening = self._whitening(out.dtype)
        for part in self._parts(len(rows)):
            X = unit_pixels(rows[part], self.spec.threshold)
            stats.mean[part], stats.scale[part] = normalize_patches(X, self.spec.normalize)
            if self.mean is not None:
                X -= self.mean
            if self.scale is not None:
                X /= self.scale
            if whitening is None:
                out[part] = X
            else:
                _core.gemm(out[part], X.astype(out.dtype, copy=False), whitening)
            self._clip(out[part])
            if self.divisor != 1:
                out[part] /= self.divisor
        return out, stats

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
        """(k, n_pixels) filters for drawing, of filters (k, n_visible): PCA components are rotated back to
        pixels."""
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
        except KeyError as err:
            raise DataError(f"preprocessing: {err.args[0]!r} is missing") from None
        except (TypeError, ValueError, ConfigError) as err:
            raise DataError(f"preprocessing: {err}") from None
        if self.spec.clip is not None and not self.spread > 0:
            raise DataError(
                f"preprocessing: 'spread' is {self.spread:g}, wanted above 0 for a range to clip to"
            )
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
        d, standardized, whitened = (
            self.n_pixels,
            self.spec.normalize == "standardize",
            self.spec.whiten != "none",
        )
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


class Fitter:
    """Fits a preprocessing to raw rows (m, d) of `dtype` that come in any portions; memory O(d), O(d^2) for
    whitening.

    Sums go over fixed blocks of rows, so the fit does not depend on the portions. Raises DataError where
    whitening would need too much memory.
    """

    def __init__(self, spec: PreprocessSpec, d: int, dtype: npt.DTypeLike) -> None:
        assert not unresolved(spec)
        self.spec, self.d, self.n = spec, d, 0
        self._products = self._squares = None
        if spec.whiten != "none":
            if d > WIDEST:
                raise DataError(
                    f"--whiten {spec.whiten}: {d} pixels a patch need {d * d * 8 / 2**30:.0f} GB a matrix, at most "
                    f"{WIDEST} pixels can be whitened; take a smaller --size or --whiten none"
                )
            self._products = np.zeros((d, d))
            # OpenBLAS takes its memory at the first call, for good, and ends the process where there is none: so do
            # that before an output is open.
            np.linalg.eigh(np.ones((8, 8)))
        elif spec.normalize == "standardize" or spec.clip is not None:
            self._squares = np.zeros(d)
        self._block = np.empty((max(1, min(FIT_ROWS, FIT_PIXELS // d)), d), dtype)
        self._filled = 0
        self._lowest: Array | None = None
        self._highest: Array | None = None
        self._varied = False  # any patch with two different values
        self._shift: Float64 | None = None  # the first block's mean: sums about it lose no digits
        self._sum = np.zeros(d)

    def update(self, rows: Array) -> None:
        """Adds rows. Raises DataError for another width or dtype."""
        if rows.ndim != 2 or rows.shape[1] != self.d or rows.dtype != self._block.dtype:
            raise DataError(
                f"preprocessing: got {rows.dtype} patches {rows.shape}, wanted {self._block.dtype} of {self.d} pixels"
            )
        start = 0
        while start < len(rows):
            part = rows[start : start + len(self._block) - self._filled]
            start += len(part)
            if len(part) == len(self._block):
                self._add(np.asarray(part))
                continue
            self._block[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            if self._filled == len(self._block):
                self._add(self._block)
                self._filled = 0

    def finish(self) -> Preprocess:
        """The fitted preprocessing. Raises DataError when there is nothing to fit."""
        if self._filled:
            self._add(self._block[: self._filled])
            self._filled = 0
        if self._lowest is None or self._highest is None:
            raise DataError("preprocessing: there are no patches to fit it on")
        low, high = (unit_pixels(rows, self.spec.threshold) for rows in (self._lowest, self._highest))
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise DataError("preprocessing: the patches hold values that are not finite")
        self._refuse_constant(low, high)
        spec, done = self.spec, Preprocess(self.spec, self.d)
        if spec.to is not None:
            done.low, done.high = spec.to
        elif spec.normalize == spec.whiten == "none":  # to clip narrows it further
            done.low, done.high = float(low.min()), float(high.max())
        if self._shift is None:
            return done
        offset = self._sum / self.n
        mean = self._shift + offset
        squares = self._squares if self._products is None else np.diagonal(self._products)
        assert squares is not None
        variance = np.maximum(squares / self.n - offset * offset, 0)
        if spec.normalize == "standardize":
            constant = variance <= (NOTHING * np.maximum(abs(low), abs(high))) ** 2
            done.constant_pixels = int(np.count_nonzero(constant))
            if done.constant_pixels:
                done.warnings.append(
                    f"{done.constant_pixels} of {self.d} pixels never vary; they are left unscaled"
                )
            done.mean, done.scale = np.where(constant, low, mean), np.where(constant, 1, np.sqrt(variance))
        if self._products is not None:
            covariance = self._products / self.n - offset[:, None] * offset
            if done.scale is None:
                done.mean = mean
            else:
                covariance /= done.scale[:, None] * done.scale
            self._whiten(done, covariance, float(np.maximum(abs(low), abs(high)).max()))
        elif spec.normalize != "standardize":
            done.level = 0.0 if spec.normalize in PER_PATCH else math.fsum(mean) / self.d
            done.spread = math.sqrt(math.fsum(variance + (mean - done.level) ** 2) / self.d)
        return done

    def _add(self, rows: Array) -> None:
        """One block into the sums."""
        lowest, highest = rows.min(axis=0), rows.max(axis=0)
        self._lowest = lowest if self._lowest is None else np.minimum(self._lowest, lowest)
        self._highest = highest if self._highest is None else np.maximum(self._highest, highest)
        seen = rows if self.spec.threshold is None else unit_pixels(rows, self.spec.threshold)
        self._varied = self._varied or bool((seen != seen[:, :1]).any())
        self.n += len(rows)
        if self._products is None and self._squares is None:
            return
        X = unit_pixels(rows, self.spec.threshold)
        normalize_patches(X, self.spec.normalize)
        if self._shift is None:
            self._shift = np.empty(self.d)
            _core.colsum(self._shift, X, 1 / len(X))
        X -= self._shift
        _core.colsum(self._sum, X, 1.0, 1.0)
        if self._squares is not None:
            _core.colsum(self._squares, X * X, 1.0, 1.0)
        if self._products is not None:
            _core.gemm(self._products, X, X, trans_a=True, beta=1.0)

    def _refuse_constant(self, low: Float64, high: Float64) -> None:
        spec = self.spec
        if spec.normalize in PER_PATCH and not self._varied:
            raise DataError(
                f"--normalize {spec.normalize}: each of the {self.n} patches is flat, so nothing is left of them; "
                f"{'check the images' if spec.threshold is None else 'change --threshold'} or take --normalize none"
            )
        if (low.min() == high.max()) or (
            (spec.normalize == "standardize" or spec.whiten != "none") and (low == high).all()
        ):
            raise DataError(
                f"preprocessing: all {self.n} patches are the same, there is nothing to learn; check the images"
            )

    def _whiten(self, done: Preprocess, covariance: Float64, peak: float) -> None:
        """Sets the whitening of `done` and its inverse.

        LAPACK's eigh is all that is not our own arithmetic.
        """
        spec, d = self.spec, self.d
        values, V = eigen(covariance)
        values = np.maximum(values, 0)
        average = math.fsum(values) / d
        if average <= (NOTHING * peak) ** 2:
            raise DataError(
                f"--whiten {spec.whiten}: the {self.n} patches do not differ after --normalize {spec.normalize}"
            )
        floor = spec.epsilon * average
        if floor == 0 and (self.n <= d or values[-1] <= SINGULAR * values[0]):
            hint = (
                f" (--normalize {spec.normalize} always makes it so)" if spec.normalize in PER_PATCH else ""
            )
            raise DataError(
                f"--epsilon 0: the covariance of {self.n} patches of {d} pixels is singular{hint}; "
                "give an --epsilon above 0, e.g. 0.1"
            )
        if self.n <= d:
            done.warnings.append(
                f"whitening was fitted on {self.n} patches of {d} pixels, too few for their covariance "
                f"(condition number {(values[0] + floor) / (values[-1] + floor):.3g} with epsilon); take more patches"
            )
        gain = 1 / np.sqrt(values + floor)
        gain *= math.sqrt(d / math.fsum(values * gain * gain))
        done.whitening, done.unwhitening = V * gain, np.ascontiguousarray((V / gain).T)
        if spec.whiten == "zca":
            V = np.ascontiguousarray(V)
            done.whitening, done.unwhitening = (
                product(done.whitening, V, trans_b=True),
                product(V, done.unwhitening),
            )
