"""Principal component analysis: the directions of largest variance, exact, from the covariance.

    C = <(x - b)(x - b)'>,   b = <x>                 means over all rows: they divide by n
    C w_j = l_j w_j,   l_1 >= l_2 >= ...,   W'W = 1  the columns of W are the components, l_j their variances
    h = W'(x - b),   y = W h + b                     the codes are uncorrelated, with the variances l_j
    <|x - y|^2> = sum of the l_j left out            no other linear code of so many units has less

K. Pearson, On lines and planes of closest fit to systems of points in space, Philosophical Magazine 2, 1901;
H. Hotelling, Analysis of a complex of statistical variables into principal components, Journal of Educational
Psychology 24, 1933; I. Jolliffe, Principal Component Analysis, 2nd ed., 2002.

The data pass by once, a minibatch at a time, into float64 sums about a shift near the mean, where they lose
no digits:

    s = sum (x - m),   P = sum (x - m)(x - m)',   b = m + s/n,   C = P/n - (s/n)(s/n)'

An eigenvector's sign means nothing: the entry of largest magnitude is made positive. Where variances are
equal, as in whitened data or beyond the rank of few rows, any rotation within them is as good, and that which
LAPACK finds is taken.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError, DataError
from featlearn.models.base import MAX_UNITS, DataSummary, Defaults, Gradients, Layer, Loss, Phase, Step
from featlearn.models.base.papers import HOTELLING_1933, PEARSON_1901, Paper
from featlearn.ops.arrays import add_bias, mirror, product
from featlearn.ops.dense import Dense
from featlearn.ops.eigen import eigen
from featlearn.ops.graph import Graph, Value
from featlearn.ops.reduce import column_sum, count, gram_sum, rmse
from featlearn.random import Random
from featlearn.rows import Array
from featlearn.settings import check, fill, setting

MOST = 100  # components where nothing else is asked for
WIDEST = 8192  # visible values up to which a covariance is made: it takes visible^2 of memory


class PCA(Layer):
    """Principal component analysis.

    params: W (visible, hidden), orthonormal columns of falling variance, zeros until learned; b (visible,)
    the mean.

    state: variance (hidden,) float64 of the components. While learning instead count (1,), shift m
    (visible,), sum s (visible,) and products P (visible, visible), float64, so that a run can be stopped and
    go on. P is symmetric: only what is on its diagonal and above is kept up to date.
    """

    id = "pca"
    title = "principal component analysis"
    papers: ClassVar[tuple[Paper, ...]] = (PEARSON_1901, HOTELLING_1933)
    defaults = Defaults(batch_size=1000)

    @dataclass(frozen=True)
    class Config:
        hidden: int | None = setting(
            None,
            "number of components  [default: as many as visible values, but at most 100]",
            low=1,
            high=MAX_UNITS,
        )

        def __post_init__(self) -> None:
            check(self)

    config: Config

    @classmethod
    def resolve(cls, config: Config, data: DataSummary) -> Config:
        """Choose the number of components. Raises ConfigError, DataError."""
        n_visible = data.n_visible
        hidden = min(n_visible, MOST) if config.hidden is None else config.hidden
        if hidden > n_visible:
            raise ConfigError(
                f"--hidden {hidden}: rows of {n_visible} visible values have no more than "
                f"{n_visible} components; take --hidden {n_visible} or less"
            )
        if n_visible > WIDEST:
            raise DataError(
                f"--model {cls.id}: rows of {n_visible} visible values need "
                f"{n_visible**2 * 8 / 2**30:.1f} GB a matrix, at "
                f"most {WIDEST} can be analysed; extract smaller patches"
            )
        return fill(config, {"hidden": hidden})

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Make empty sums about `mean`. Raises ConfigError, DataError."""
        self.config = self.resolve(self.config, DataSummary(n_visible))
        hidden = self.config.hidden
        shift = np.zeros(n_visible) if mean is None else np.array(mean, np.float64)
        self.params = {"W": np.zeros((n_visible, hidden or 0), self.dtype), "b": shift.astype(self.dtype)}
        self.state = {
            "count": np.zeros(1, np.int64),
            "shift": shift,
            "sum": np.zeros(n_visible),
            "products": np.zeros((n_visible, n_visible)),
        }

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        hidden = min(n_visible, MOST) if self.config.hidden is None else self.config.hidden
        return {"W": (n_visible, hidden), "b": (n_visible,)}

    def encode(self, X: Array) -> Array:
        """W'(x - b) of each row: (n, visible) -> (n, hidden)."""
        H = np.empty((len(X), self.config.hidden or 0), X.dtype)  # gemm refuses a W of another width
        _core.gemm(H, X - self.params["b"], self.params["W"])
        return H

    def encoder_layers(self) -> list[Dense]:
        W = np.ascontiguousarray(self.params["W"])
        return [Dense(W, -product(self.params["b"][None], W)[0])]

    def decoder_layers(self) -> list[Dense]:
        return [Dense(np.ascontiguousarray(self.params["W"].T), self.params["b"])]

    def portable(self, g: Graph, X: Value) -> Value:
        return g("MatMul", g("Sub", X, self.params["b"]), self.params["W"])

    def decode(self, H: Array) -> Array:
        """W h + b of each row: (n, hidden) -> (n, visible)."""
        return add_bias(product(H, self.params["W"], trans_b=True), self.params["b"])

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Add rows X (n, visible) to the sums, without gradients; the error is that without components."""
        state, D = self.state, X - self.state["shift"]
        state["count"] += count(X)
        column_sum(D, out=state["sum"])
        gram_sum(D, out=state["products"])
        about_mean = rmse(X, np.tile(self.params["b"], (len(X), 1)))
        return {"error": about_mean}, {}

    def phases(self) -> list[Phase]:
        nothing = "nothing is descended here: one pass over the data is enough"
        return [Phase("train", self.gradient, learns=(), moving_loss=nothing, finish=self.finish)]

    def finish(self) -> None:
        """The sums become params and variances. Raises DataError."""
        n, offset = int(self.state["count"][0]), self.state["sum"] / self.state["count"]
        if not np.isfinite(offset).all():
            raise DataError(
                f"--model {self.id}: the data hold values that are not finite; extract them again"
            )
        mean, C = self.state["shift"] + offset, self.state["products"]
        self.state = {}  # C is changed in place
        mirror(C)
        _core.gemm(C, offset[None], offset[None], trans_a=True, alpha=-1.0, beta=1 / n)
        self._solve(C)
        self.params["b"][...] = mean

    def _solve(self, C: Array) -> None:
        """W and the variances from the covariance; LAPACK's eigh is all that is not our own arithmetic."""
        values, V = eigen(C)
        hidden = self.params["W"].shape[1]
        self.params["W"][...] = V[:, :hidden]
        self.state = {"variance": np.maximum(values[:hidden], 0)}  # rounding leaves some of zero below it

    def losses(self) -> dict[str, Loss]:
        """None: nothing is descended."""
        return {}
