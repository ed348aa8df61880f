"""k-means: each row belongs to the nearest of some centroids, each centroid is the mean of its rows.

    z_j = |x - c_j|                        the distance of row x from centroid j
    triangle   h_j = max(0, <z> - z_j)     <z>: the mean of the row's distances; about half of the codes are 0
    hard       h_j = 1 where z_j is least, else 0         of equal ones the lowest
    c_j <- the mean of the rows with hard code j           (Lloyd): <min_j z_j^2> never rises

S. Lloyd, Least squares quantization in PCM, IEEE Transactions on Information Theory 28, 1982; triangle codes:
A. Coates, H. Lee, A. Ng, An analysis of single-layer networks in unsupervised feature learning, AISTATS 2011.

A first pass draws the rows that centroids begin at by lot. Each further pass adds up the rows of each
centroid, until a pass changes no centroid, hence no assignment. A centroid without rows begins anew at a row
that the pass has drawn with a probability in proportion to its squared distance from its centroid. (k-means++
among ten times as many rows begins lower, and after ten passes is no better: docs/kmeans.md.)

Rows are drawn while they pass by, without a second copy of the data: those of the largest w/e, where w is a
row's weight and e its own exponential random number, are a sample with probabilities in proportion to w
(P. Efraimidis, P. Spirakis, Weighted random sampling with a reservoir, Information Processing Letters 97,
2006).
"""

from dataclasses import dataclass

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import MAX_UNITS, DataSummary, Defaults, Gradients, Layer, Loss, Phase, Step
from featlearn.models.base.papers import COATES_2011, LLOYD_1982
from featlearn.ops.arrays import add_bias, product, row_distances, row_squares, row_sum, sum_columns
from featlearn.ops.graph import Graph, Value
from featlearn.ops.reduce import all_rows, group_counts, group_sums, mean
from featlearn.random import Random
from featlearn.rows import Array, Float64
from featlearn.settings import check, fill, setting

USUAL = 100  # centroids
SPARE = 100  # centroids at most that begin anew after a pass


class KMeans(Layer):
    """k-means.

    params: W (visible, hidden), the centroids less b; b (visible,), the mean of the data.

    state, while learning: sums (hidden, visible) float64 and count (hidden,) of the rows of each centroid,
    less b, in this pass; drawn (hidden, visible) and keys (hidden,), the rows drawn by lot.
    """

    id = "k-means"
    title = "k-means clustering"
    papers = (LLOYD_1982, COATES_2011)
    defaults = Defaults(batch_size=1000, patches={"size": 8, "normalize": "contrast", "whiten": "zca"})

    @dataclass(frozen=True)
    class Config:
        hidden: int | None = setting(
            None,
            f"number of centroids  [default: {USUAL}, or as many as there are training rows]",
            low=1,
            high=MAX_UNITS,
        )
        code: str = setting(
            "triangle",
            "codes: how much nearer than the mean distance a centroid is, or 1 for the nearest one",
            choices=("triangle", "hard"),
        )
        iterations: int = setting(
            50, "most passes over the data; it ends where one changes no assignment", low=1, high=100_000
        )

        def __post_init__(self) -> None:
            check(self)

    config: Config

    @classmethod
    def resolve(cls, config: Config, data: DataSummary) -> Config:
        """Choose the number of centroids. Raises ConfigError for more of them than training rows."""
        most = MAX_UNITS if data.n_rows is None else data.n_rows
        hidden = min(USUAL, most) if config.hidden is None else config.hidden
        if hidden > most:
            raise ConfigError(
                f"--hidden {hidden}: {most:,} training rows cannot have more than {most:,} centroids; "
                f"take --hidden {most} or less, or more rows"
            )
        return fill(config, {"hidden": hidden})

    @classmethod
    def variants(cls) -> dict[str, Config]:
        return {code: cls.Config(**cls.small, code=code) for code in ("triangle", "hard")}

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Make centroids that are all the mean, and empty sums. Raises ConfigError."""
        self.config = self.resolve(self.config, DataSummary(n_visible))
        hidden = self._count
        b = np.zeros(n_visible, self.dtype) if mean is None else mean.astype(self.dtype)
        self.params = {"W": np.zeros((n_visible, hidden), self.dtype), "b": b}
        self.state = {
            "sums": np.zeros((hidden, n_visible)),
            "count": np.zeros(hidden, np.int64),
            "drawn": np.zeros((hidden, n_visible), self.dtype),
            "keys": np.full(hidden, -1.0),
        }

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        return {"W": (n_visible, self._count), "b": (n_visible,)}

    @property
    def _count(self) -> int:
        """The number of centroids."""
        return USUAL if self.config.hidden is None else self.config.hidden

    def filters(self) -> Array:
        """The centroids, (hidden, visible)."""
        return np.ascontiguousarray(self.params["W"].T) + self.params["b"]

    def _products(self, D: Array) -> tuple[Array, Array]:
        """Return products (n, hidden) of rows less b with the centroids less b, and the squares of these."""
        W = self.params["W"]
        return product(D, W), sum_columns(np.square(W))

    def _nearest(self, D: Array) -> Array:
        """Return the number of the nearest centroid of each row less b, (n,) int32."""
        P, squares = self._products(D)
        index, value = np.empty((len(D), 1), np.int32), np.empty((len(D), 1), D.dtype)
        _core.top_k(index, value, P, -squares / 2)  # x'c - |c|^2 / 2 is largest where |x - c| is least
        return index[:, 0]

    def _squares(self, D: Array, index: Array) -> Float64:
        """Return the squared distances of rows less b from these centroids, (n,)."""
        return row_distances(D, np.ascontiguousarray(self.params["W"].T)[index])

    def encode(self, X: Array) -> Array:
        """Return triangle or hard codes: (n, visible) -> (n, hidden)."""
        D = X - self.params["b"]
        if self.config.code == "hard":
            H = np.zeros((len(X), self._count), X.dtype)
            H[np.arange(len(X)), self._nearest(D)] = 1
            return H
        P, squares = self._products(D)
        _core.triangle(P, D, squares)
        return P

    def decode(self, H: Array) -> Array:
        """Return the mean of the centroids, weighted by codes; without any, that of the data.

        A hard code is its centroid. (n, hidden) -> (n, visible)
        """
        total = row_sum(H)
        share = H / np.where(total > 0, total, 1)[:, None]
        return add_bias(product(share, self.params["W"], trans_b=True), self.params["b"])

    def reconstruct(self, X: Array, H: Array | None = None) -> Array:
        """Return the nearest centroid of each row."""
        return self.filters()[self._nearest(X - self.params["b"])]

    def portable(self, g: Graph, X: Value) -> Value:
        W, b = self.params["W"], self.params["b"]
        D, squares, axes = g("Sub", X, b), sum_columns(np.square(W)), np.array([1])
        P = g("MatMul", D, W)
        if self.config.code == "hard":
            best = g("ArgMax", g("Sub", P, squares / 2), axis=1)
            numbers = np.arange(self._count)
            return g("Where", g("Equal", best, numbers), np.ones(1, W.dtype), np.zeros(1, W.dtype))
        own = g("ReduceSum", g("Mul", D, D), axes)
        square = g("Sub", g("Add", own, squares), g("Mul", P, np.array(2, W.dtype)))
        z = g("Sqrt", g("Relu", square))
        return g("Relu", g("Sub", g("ReduceMean", z, axes), z))

    def phases(self) -> list[Phase]:
        nothing = "nothing is descended here: each pass makes centroids of means"
        return [
            Phase("start", self.draw, learns=(), moving_loss=nothing, after_pass=self.begin),
            Phase(
                "lloyd", self.gradient, learns=(), moving_loss=nothing, finish=self.finish,
                passes=self.config.iterations, after_pass=self.update,
            ),
        ]  # fmt: skip

    def draw(self, X: Array, step: Step) -> Gradients:
        """Draw rows X (n, visible) by lot, all with one weight; the error is that of the mean row."""
        D = X - self.params["b"]
        squares = row_squares(D)
        self._draw(D, np.ones(len(X)), step, self._count)
        return self._metrics(X, squares), {}

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Add rows X (n, visible) to the sums of the nearest centroids, without gradients."""
        D = X - self.params["b"]
        index = self._nearest(D)
        squares = self._squares(D, index)
        self.state["count"] += group_counts(index, self._count)
        self.state["sums"] += group_sums(D, index, self._count)
        self._draw(D, squares, step, SPARE)
        return self._metrics(X, squares), {}

    def _metrics(self, X: Array, squares: Float64) -> dict[str, float]:
        """Return the mean squared distance as "loss", and its root for one value."""
        loss = mean(squares)
        return {"error": float(np.sqrt(loss / X.shape[1])), "loss": loss}

    def _draw(self, D: Array, weight: Float64, step: Step, most: int) -> None:
        """Put rows D (n, visible) that are drawn by `weight` (n,) in place of others in the state.

        At most so many of them are kept there.
        """
        normal = np.empty((len(D), 2))
        _core.normal(normal, step.seed, step.draw(0), step.before(normal))
        squares = np.square(normal)
        e = np.maximum(squares[:, 0] + squares[:, 1], np.finfo(float).tiny)  # twice an exponential number
        keys, drawn = self.state["keys"][:most], self.state["drawn"][:most]
        new = all_rows(np.where(weight > 0, weight / e, -1))
        able = np.flatnonzero(new > keys.min())
        order = np.argsort(-np.concatenate([keys, new[able]]), kind="stable")
        chosen, lost = order[: len(keys)], order[len(keys) :]
        place, able = lost[lost < len(keys)], able[chosen[chosen >= len(keys)] - len(keys)]
        in_order = np.sort(able)
        here = in_order[(step.first <= in_order) & (in_order < step.first + len(D))] - step.first
        rows = all_rows(D[here])
        keys[place], drawn[place] = new[able], rows[np.searchsorted(in_order, able)]

    def begin(self) -> str:
        """Begin the centroids at the rows drawn."""
        self.params["W"][...] = self.state["drawn"].T
        self._clear()
        return ""

    def update(self) -> str:
        """Make means of the sums. -> why the passes end, if they do"""
        before, sums, count = self.params["W"].copy(), self.state["sums"], self.state["count"]
        full, empty = count > 0, np.flatnonzero(count == 0)
        self.params["W"][:, full] = (sums[full] / count[full, None]).T
        rows = self._far_rows()[: len(empty)]
        self.params["W"][:, empty[: len(rows)]] = rows.T
        self._clear()
        return "no assignment changed" if np.array_equal(before, self.params["W"]) else ""

    def _far_rows(self) -> Array:
        """Return the rows drawn, less b, that no centroid is at, in the order in which they were drawn."""
        order = np.argsort(-self.state["keys"], kind="stable")
        rows = self.state["drawn"][order[self.state["keys"][order] > 0]]
        rounding = (8 * np.finfo(self.dtype).eps) ** 2 * row_squares(rows)
        return np.asarray(rows[self._squares(rows, self._nearest(rows)) > rounding])

    def _clear(self) -> None:
        for name, nothing in (("sums", 0.0), ("count", 0), ("keys", -1.0), ("drawn", 0.0)):
            self.state[name].fill(nothing)

    def finish(self) -> None:
        """Drop the sums."""
        self.state = {}

    def losses(self) -> dict[str, Loss]:
        """None: nothing is descended."""
        return {}
