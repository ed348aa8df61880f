"""The fit of a preprocessing to patches that come in any portions."""

import math

import numpy as np
import numpy.typing as npt

from featlearn import _core
from featlearn.errors import DataError
from featlearn.ops.arrays import product
from featlearn.ops.eigen import eigen
from featlearn.patches.normalize import NOTHING, PER_PATCH, normalize_patches, unit_pixels
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import OVER_DATA, WIDEST, PreprocessSpec
from featlearn.rows import Array, Float64
from featlearn.settings import unresolved

FIT_ROWS = 256  # rows of the block that a fit sums over
FIT_PIXELS = 1 << 22  # its pixels at most: fewer rows where they are very wide
SINGULAR = 1e-9  # smallest eigenvalue over the largest, below which whitening to 1e-6 is beyond float64


class Fitter:
    """The fit of a preprocessing to raw rows (m, d) of `dtype` that come in any portions.

    It takes memory O(d), for whitening O(d^2).

    Sums go over fixed blocks of rows, so the fit does not depend on the portions. Of `pairs`, whose values
    alternate, both pictures are whitened alike, each by itself: what one tells of the other stays. Raises
    DataError where whitening would need too much memory.
    """

    def __init__(self, spec: PreprocessSpec, d: int, dtype: npt.DTypeLike, pairs: bool = False) -> None:
        assert not unresolved(spec)
        self.spec = spec
        self.d = d
        self.pairs = pairs
        self.n = 0
        self._products = self._squares = None
        if spec.whiten != "none":
            if d > WIDEST:
                raise DataError(
                    f"--whiten {spec.whiten}: {d} pixels a patch need "
                    f"{d * d * 8 / 2**30:.0f} GB a matrix, at most "
                    f"{WIDEST} pixels can be whitened; take a smaller --size or --whiten none"
                )
            self._products = np.zeros((d, d))
            # OpenBLAS takes its memory at the first call, for good, and ends the process where there is none:
            # so do that before an output is open.
            np.linalg.eigh(np.ones((8, 8)))
        elif spec.normalize in OVER_DATA or spec.clip is not None:
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
                f"preprocessing: got {rows.dtype} patches {rows.shape}, "
                f"wanted {self._block.dtype} of {self.d} pixels"
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
        else:
            level = 0.0 if spec.normalize in PER_PATCH else math.fsum(mean) / self.d
            spread = math.sqrt(math.fsum(variance + (mean - level) ** 2) / self.d)
            if spec.normalize == "global":
                done.mean, done.scale = np.full(self.d, level), np.full(self.d, spread)
            elif self._products is None:
                done.level, done.spread = level, spread
        if self._products is not None:
            covariance = self._products / self.n - offset[:, None] * offset
            if spec.normalize != "standardize":
                done.mean = mean  # whitening takes each pixel's own
            if done.scale is not None:
                covariance /= done.scale[:, None] * done.scale
            self._whiten(done, covariance, float(np.maximum(abs(low), abs(high)).max()))
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
                f"--normalize {spec.normalize}: each of the {self.n} patches is flat, "
                "so nothing is left of them; "
                f"{'check the images' if spec.threshold is None else 'change --threshold'} "
                "or take --normalize none"
            )
        if (low.min() == high.max()) or (
            (spec.normalize == "standardize" or spec.whiten != "none") and (low == high).all()
        ):
            raise DataError(
                f"preprocessing: all {self.n} patches are the same, there is nothing to learn; "
                "check the images"
            )

    def _whiten(self, done: Preprocess, covariance: Float64, peak: float) -> None:
        """Sets the whitening of `done` and its inverse.

        LAPACK's eigh is all that is not our own arithmetic.
        """
        spec, d = self.spec, self.d
        if self.pairs:  # the mean of both pictures' own covariances, for each of them
            values, V = eigen((covariance[0::2, 0::2] + covariance[1::2, 1::2]) / 2)
            values, V = np.repeat(values, 2), np.asarray(np.kron(V, np.eye(2)), np.float64)
        else:
            values, V = eigen(covariance)
        values = np.maximum(values, 0)
        average = math.fsum(values) / d
        if average <= (NOTHING * peak) ** 2:
            raise DataError(
                f"--whiten {spec.whiten}: the {self.n} patches do not differ after "
                f"--normalize {spec.normalize}"
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
                f"(condition number {(values[0] + floor) / (values[-1] + floor):.3g} with epsilon); "
                "take more patches"
            )
        gain = 1 / np.sqrt(values + floor)
        gain *= math.sqrt(d / math.fsum(values * gain * gain))
        done.whitening, done.unwhitening = V * gain, np.ascontiguousarray((V / gain).T)
        if spec.whiten == "zca":
            V = np.ascontiguousarray(V)
            done.whitening = product(done.whitening, V, trans_b=True)
            done.unwhitening = product(V, done.unwhitening)
