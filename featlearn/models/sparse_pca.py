"""Sparse principal component analysis: components of few loadings each, by an L1 penalty, one after another.

    J(u, v) = <|x' - u v|^2> + 2 p |v|_1,   <u^2> = 1,   x' = x - b,   b = <x>
    given v:  u = v'x' / s,   s^2 = v'C v               C the covariance of what is left of the rows
    given u:  v = shrink(C v / s, p)                    shrink(a, p) = sign(a) max(|a| - p, 0)
    then      x' <- x' - u v,   C <- C - C v v' / s - v v'C / s + v v'
    W_j = v / |v|,   h = W'(x - b),   y = D h + b,   D = C W (W'C W)^-1 with the first C

H. Shen, J. Huang, Sparse principal component analysis via regularized low rank matrix approximation, Journal
of Multivariate Analysis 99, 2008: the criterion of sparse dictionaries with an L1 penalty on the atoms (R.
Jenatton, G. Obozinski, F. Bach, AISTATS 2010), a component at a time. It wants but the covariance, for which
the data pass by once as in models/pca.py. Each component begins at the first principal component of what is
left, and u and v take turns until v does not change; no turn raises J. Without a penalty these are the
principal components.

p is l1 sqrt(l / visible), l the largest variance that is left: what each value of an evenly spread component
weighs is 1. All components at once, in the criterion of H. Zou, T. Hastie, R. Tibshirani (Journal of
Computational and Graphical Statistics 15, 2006), would want one penalty for all: it leaves none of small
variance, and with one for each, the least penalised take the place of the largest.

Codes are correlated, so D is not W: it is the best linear decoder of them.
"""

from dataclasses import dataclass

import numpy as np

from featlearn.models.base.papers import SHEN_2008
from featlearn.models.pca import PCA
from featlearn.ops.arrays import add_bias, product
from featlearn.ops.dense import Dense
from featlearn.ops.eigen import eigen
from featlearn.random import Random
from featlearn.rows import Array, Float64
from featlearn.settings import setting

TURNS = 1000
EXACT = 1e-12  # a change of v, beside its largest entry, that ends the turns
NOTHING = 1e-12  # a variance that small beside the largest is rounding


class SparsePCA(PCA):
    """Sparse principal component analysis.

    params: W (visible, hidden), the loadings, of unit length; D (visible, hidden); both zeros until learned.
    b (visible,) the mean.

    state: variance (hidden,) float64 of the codes. While learning as of PCA.
    """

    id = "sparse-pca"
    title = "sparse principal component analysis"
    papers = (SHEN_2008,)

    @dataclass(frozen=True)
    class Config(PCA.Config):
        l1: float = setting(
            0.8,
            "L1 penalty on the loadings; 1 takes off what those of an evenly spread component weigh, "
            "and may leave components without any",
            low=0,
            high=1e6,
        )

    config: Config

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Make empty sums about `mean`. Raises ConfigError, DataError."""
        super().init(n_visible, rng, mean)
        self.params["D"] = np.zeros_like(self.params["W"])

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        found = super().shapes(n_visible)
        return found | {"D": found["W"]}

    def decoder_layers(self) -> list[Dense]:
        return [Dense(np.ascontiguousarray(self.params["D"].T), self.params["b"])]

    def decode(self, H: Array) -> Array:
        """D h + b of each row: (n, hidden) -> (n, visible)."""
        return add_bias(product(H, self.params["D"], trans_b=True), self.params["b"])

    def _solve(self, C: Float64) -> None:
        """W, D and the variances of the codes from the covariance."""
        left = C
        W: Float64 = np.zeros(self.params["W"].shape)
        least = NOTHING * float(np.diagonal(C).max())
        for j in range(W.shape[1]):
            values, V = eigen(left)
            if not values[0] > least:
                break
            v, Cv = component(left, values[0], V[:, :1], self.config.l1)
            length = np.sqrt(product(v, v, trans_a=True)[0, 0])
            if length > 0:
                W[:, j] = v[:, 0] / length
                cross = product(Cv, v, trans_b=True)
                left = left - cross - cross.T + product(v, v, trans_b=True)
        covered = product(C, W)
        codes = product(W, covered, trans_a=True)
        self.params["W"][...], self.params["D"][...] = W, product(covered, inverse(codes))
        self.state = {"variance": np.maximum(np.diagonal(codes), 0)}


def component(C: Float64, variance: float, first: Float64, l1: float) -> tuple[Float64, Float64]:
    """Return v and C v / s, both (d, 1), of the sparse component of a covariance C (d, d).

    It begins at the eigenvector `first` (d, 1) of the largest eigenvalue, `variance`; v is 0 where the
    penalty leaves nothing of it.
    """
    p = l1 * np.sqrt(variance / len(C))
    v = np.sqrt(variance) * first
    for _ in range(TURNS):
        Cv = product(C, v)
        s = np.sqrt(product(v, Cv, trans_a=True)[0, 0])
        if not s > 0:
            return np.zeros_like(v), np.zeros_like(v)
        Cv /= s
        before, v = v, np.sign(Cv) * np.maximum(np.abs(Cv) - p, 0)
        if not np.abs(v - before).max() > EXACT * np.abs(v).max():
            break
    return v, Cv


def inverse(C: Float64) -> Float64:
    """Return the inverse of a covariance (k, k); directions without variance are left out."""
    values, V = eigen(C)
    gain = np.where(values > NOTHING * max(values[0], 0), 1 / np.where(values > 0, values, 1), 0)
    return product(V * gain, V, trans_b=True)
