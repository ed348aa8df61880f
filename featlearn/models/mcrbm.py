"""Mean-covariance RBM: binary hidden units for the mean of real-valued data and for its covariance.

    r^2    = mean(v^2) + 1/2,  u = VF'v / r                          factors see rows of about the same length
    F(v)   = v'v / 2 - b'v - sum_j log(1 + exp(c_j + W_j'v)) - sum_k log(1 + exp(d_k - FH_k'u^2 / 2))
    p(mean unit | v) = s(c + W'v),  p(covariance unit | v) = s(d - FH'u^2 / 2)     s(a) = 1 / (1 + exp(-a))
    E[v | h] = S (b + W h_mean),  S^-1 = I + VF diag(FH h_cov) VF' / r^2

A covariance unit that is on forbids what its factors see, one that is off allows it (M. Ranzato, G. Hinton,
Modeling pixel means and covariances using factorized third-order Boltzmann machines, CVPR 2010). FH >= 0, its
columns sum to 1; the columns of VF have one common norm, which follows their mean (.95 / .05).

Learned by persistent contrastive divergence: grads = <dF/dtheta>_data - <dF/dtheta>_chains, times a rate of
each parameter. The chains have no Gibbs step for v, so they move by hybrid Monte Carlo (ops/hmc.py); with
m = FH h_cov,

    dF/dv = v - b - W h_mean + (VF (VF'v m) - v sum(u^2 m) / D) / r^2

The step size e grows or shrinks by 1 % an update, so that a running mean of the rejections is what is wanted.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import (
    MAX_UNITS,
    UNIT_SPREAD,
    ChainOfRows,
    DataSummary,
    Defaults,
    Gradients,
    Layer,
    Loss,
    Phase,
    Step,
)
from featlearn.models.base.papers import RANZATO_2010
from featlearn.ops.activations import sigmoid
from featlearn.ops.arrays import product, row_squares, row_sum, sum_columns, total
from featlearn.ops.graph import Graph, Value, affine
from featlearn.ops.hmc import propose
from featlearn.ops.reduce import alike, column_mean, grand_mean, mean, outer_mean, rmse
from featlearn.random import Purpose, Random
from featlearn.rows import Array
from featlearn.settings import check, setting

ERROR_ROWS = (
    16  # of a minibatch, whose reconstruction error training follows: decoding costs as much as an update
)
RATES = {"W": 0.2, "b": 0.02, "c": 0.1, "VF": 2.0, "FH": 0.02, "d": 0.02}  # of learning, in units of --lr
LONG = 1.5  # times the rows' distance from it: of a longer mean row nothing is learned, or it diverges
FLOOR = 0.5  # of r^2: rows without contrast stay short
TYPICAL = 1 + FLOOR  # r^2 of data of unit variance: a code does not say how long its row was
SMOOTH = 0.95  # memory of the running average of VF's norm
START = 0.01  # size of a leapfrog step before it has adapted
MEMORY = 0.9  # of the running share of rejections
FASTER = 1.01  # the factor by which the step size follows it
SMALLEST = 1e-4  # step size
LARGEST = 0.25  # step size


class MeanCovarianceRBM(Layer, ChainOfRows):
    """The mean-covariance RBM.

    params: W (visible, hidden), b (visible,), c (hidden,), VF (visible, factors), FH (factors, hidden_cov), d
    (hidden_cov,).

    state: chains (chains, visible); step_size, rejection (running) and norm (of VF's columns), (1,) each.
    """

    id = "mcrbm"
    title = "a mean-covariance restricted Boltzmann machine"
    papers = (RANZATO_2010,)
    small: ClassVar[dict[str, Any]] = {"hidden": 4, "hidden_cov": 5, "factors": 5, "chains": 3}
    defaults = Defaults(
        rates={"sgd": 0.075},
        training={"momentum": 0.0},
        batch_size=128,
        patches={"size": 12, "normalize": "center", "whiten": "zca"},
    )
    bernoulli = False

    @dataclass(frozen=True)
    class Config:
        hidden: int = setting(100, "number of hidden units for the mean", low=1, high=MAX_UNITS)
        hidden_cov: int = setting(256, "number of hidden units for the covariance", low=1, high=MAX_UNITS)
        factors: int = setting(
            256,
            "number of factors: filters whose squared responses covariance units see",
            low=1,
            high=MAX_UNITS,
        )
        chains: int = setting(128, "number of persistent chains", low=1, high=MAX_UNITS)
        leapfrog: int = setting(20, "leapfrog steps of hybrid Monte Carlo", low=1, high=1000)
        rejection: float = setting(0.1, "share of hybrid Monte Carlo's proposals to reject", above=0, below=1)
        freeze: int = setting(3000, "updates before FH is learned and the L1 penalty begins", low=0)
        factor_l1: float = setting(0.001, "L1 penalty on VF and FH", low=0)

        def __post_init__(self) -> None:
            check(self)

    config: Config

    @classmethod
    def resolve(cls, config: Config, data: DataSummary) -> Config:
        """Refuse plain pixels and values that are mostly mean: no covariance to learn. Raises ConfigError."""
        if data.known_within(0, 1):
            raise ConfigError(
                f"--model mcrbm: {data.words}, wanted centred values of about unit variance; "
                "extract with --whiten zca or pca"
            )
        if data.variance and data.square and data.square > (1 + LONG**2) * data.variance:
            ratio = math.sqrt(data.square / data.variance - 1)
            raise ConfigError(
                f"--model mcrbm: the mean row is {ratio:.3g} times as long as rows are far from it, "
                "wanted centred values; extract with --whiten zca, or --normalize standardize"
            )
        return config

    @classmethod
    def wanted_spread(cls, config: Config, data: DataSummary) -> tuple[float, float] | None:
        """About 1: the energy has a term v'v / 2. Plain pixels are refused as they are."""
        return None if data.known_within(0, 1) else UNIT_SPREAD

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        c = self.config

        def normal(scale: float, width: int, draw: int) -> Array:
            return scale * rng.normal((n_visible, width), self.dtype, Purpose.INIT, draw)

        FH = np.zeros((c.factors, c.hidden_cov), self.dtype)
        i = np.arange(max(FH.shape))
        FH[i % c.factors, i % c.hidden_cov] = 1
        self.params = {
            "W": normal(0.05, c.hidden, 0),
            "b": np.zeros(n_visible, self.dtype),
            "c": np.full(c.hidden, -2, self.dtype),
            "VF": normal(0.02, c.factors, 1),
            "FH": FH,
            "d": np.full(c.hidden_cov, 2, self.dtype),
        }
        self.state = {
            "chains": rng.normal((c.chains, n_visible), self.dtype, Purpose.INIT, 2),
            "step_size": np.full(1, START, self.dtype),
            "rejection": np.full(1, c.rejection, self.dtype),
            "norm": np.full(1, 0.02 * math.sqrt(n_visible), self.dtype),
        }
        self.project()

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        c = self.config
        mean_units = {"W": (n_visible, c.hidden), "b": (n_visible,), "c": (c.hidden,)}
        return mean_units | {
            "VF": (n_visible, c.factors),
            "FH": (c.factors, c.hidden_cov),
            "d": (c.hidden_cov,),
        }

    def _inputs(self, V: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Return 1 / r^2 (n, 1), VF'v, u^2, and the input to mean and to covariance units.

        That is of rows V (n, visible), the input without biases.
        """
        s = (1 / (row_squares(V) / V.shape[1] + FLOOR)).astype(V.dtype)[:, None]
        Y = product(V, self.params["VF"])
        Q = np.square(Y)
        Q *= s
        return s, Y, Q, product(V, self.params["W"]), product(Q, self.params["FH"], scale=-0.5)

    def encode(self, X: Array) -> Array:
        """p(h = 1 | v) of each row: (n, visible) -> (n, hidden + hidden_cov), the mean units first."""
        *_, M, C = self._inputs(X)
        return np.hstack([sigmoid(M, self.params["c"]), sigmoid(C, self.params["d"])])

    def portable(self, g: Graph, X: Value) -> Value:
        def constant(value: float) -> Array:
            return np.array(value, self.dtype)

        p = self.params
        square = g("ReduceMean", g("Mul", X, X), np.array([1]))
        Y = g("MatMul", X, p["VF"])
        Q = g("Div", g("Mul", Y, Y), g("Add", square, constant(FLOOR)))
        C = affine(g, g("Mul", Q, constant(-0.5)), p["FH"], p["d"])
        M = affine(g, X, p["W"], p["c"])
        return g("Concat", g("Sigmoid", M), g("Sigmoid", C), axis=1)

    def decode(self, H: Array) -> Array:
        """E[v | h] of each row with r^2 = 1.5, which is typical of data of unit variance.

        Conjugate gradients on S^-1 v = b + W h_mean; rows leave as they converge, so no row depends on
        another.
        """
        W, VF = self.params["W"], self.params["VF"]
        mean_units, cov_units = (np.ascontiguousarray(part) for part in np.split(H, [W.shape[1]], axis=1))
        K = product(cov_units, self.params["FH"], trans_b=True) / TYPICAL
        R = product(mean_units, W, trans_b=True) + self.params["b"]
        V = np.empty_like(R)
        X = np.zeros_like(R)
        P = R
        rr = row_sum(R * R)
        rows = np.arange(len(R))
        enough = (16 * np.finfo(R.dtype).eps) ** 2 * rr
        for _ in range(4 * R.shape[1]):
            A = product(product(P, VF) * K, VF, trans_b=True) + P
            curvature = row_sum(P * A)
            going = (rr > enough) & (curvature > 0)
            if not going.all():
                V[rows[~going]] = X[~going]
                rows, K, X, R, P, A = (a[going] for a in (rows, K, X, R, P, A))
                rr, enough, curvature = (a[going] for a in (rr, enough, curvature))
            if not len(rows):
                break
            far = (rr / curvature)[:, None]
            X = X + far * P
            R = R - far * A
            last = rr
            rr = row_sum(R * R)
            P = R + (rr / last)[:, None] * P
        V[rows] = X
        return V

    def free_energy(self, X: Array) -> Array:
        """(n,) float64 F of each row."""
        *_, M, C = self._inputs(X)
        mean_part, cov_part = np.empty((2, len(X)), np.float64)
        _core.row_softplus(mean_part, M, self.params["c"])
        _core.row_softplus(cov_part, C, self.params["d"])
        return np.asarray(
            row_squares(X) / 2 - product(X, self.params["b"][:, None])[:, 0] - mean_part - cov_part
        )

    def extra_metrics(self, X: Array) -> dict[str, float]:
        return {"free_energy": mean(self.free_energy(X))}

    def slope(self, V: Array) -> Array:
        """dF/dv of each row, (n, visible)."""
        s, Y, Q, M, C = self._inputs(V)
        K = product(sigmoid(C, self.params["d"]), self.params["FH"], trans_b=True)
        Q *= K
        K *= Y
        K *= s
        G: Array = V * (1 - row_sum(Q)[:, None] * (s / V.shape[1]))
        G -= self.params["b"]
        _core.gemm(G, K, self.params["VF"], trans_b=True, beta=1)
        _core.gemm(G, sigmoid(M, self.params["c"]), self.params["W"], trans_b=True, alpha=-1, beta=1)
        return G

    def propose(self, V: Array, step: Step) -> tuple[Array, float]:
        """Take one step of hybrid Monte Carlo from V (n, visible). -> states, share of rejected proposals."""
        size = self.state.get("step_size", np.zeros(0))
        usable = size.shape == (1,) and np.isfinite(size[0])  # a file may come without state, or with any
        e = float(size[0]) if usable else START
        draws = step.draw(0), step.draw(1)
        return propose(self.free_energy, self.slope, V, e, self.config.leapfrog, step.seed, draws)

    def chain(self, V: Array, step: Step) -> tuple[Array, Array]:
        """Take one step of hybrid Monte Carlo from V (n, visible); the states stand for their means."""
        V, _ = self.propose(V, step)
        return V, V

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Persistent contrastive divergence; "rejection" is the running share, "step_size" is e."""
        config, state = self.config, self.state
        with alike():
            state["chains"], rejected = self.propose(state["chains"], step)
        state["rejection"] = MEMORY * state["rejection"] + (1 - MEMORY) * rejected
        faster = FASTER if state["rejection"][0] < config.rejection else 1 / FASTER
        state["step_size"] = np.clip(state["step_size"] * faster, SMALLEST, LARGEST)
        grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        H = self._statistics(grads, X, 1)
        with alike():
            self._statistics(grads, state["chains"], -1)
        learns_fh = step.update >= config.freeze
        for name, rate in RATES.items():
            if learns_fh and name in ("VF", "FH"):
                grads[name] += config.factor_l1 * np.sign(self.params[name])
            grads[name] *= rate if learns_fh or name != "FH" else 0
        few = slice(0, max(0, ERROR_ROWS - step.first))
        metrics = {"error": rmse(X[few], self.decode(H[few])), "mean_activation": grand_mean(H)}
        return metrics | {name: float(state[name][0]) for name in ("rejection", "step_size")}, grads

    def phases(self) -> list[Phase]:
        return [Phase("train", self.gradient, moving_loss="its Markov chain goes on at every update")]

    @classmethod
    def variants(cls) -> dict[str, Config]:
        return {"small": cls.Config(**cls.small), "frozen": cls.Config(**cls.small, freeze=0)}

    def losses(self) -> dict[str, Loss]:
        """The free energy, whose difference between data and chains is descended."""
        return {"free energy": self._free_energy_of_rows}

    def _free_energy_of_rows(self, X: Array, step: Step) -> Gradients:
        grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        self._statistics(grads, X, 1)
        return {"loss": mean(self.free_energy(X))}, grads

    def _statistics(self, grads: dict[str, Array], V: Array, weight: float) -> Array:
        """Adds `weight` times the mean over rows of dF/dtheta to grads; returns the rows' codes."""
        s, Y, Q, M, C = self._inputs(V)
        sigmoid(M, self.params["c"])
        sigmoid(C, self.params["d"])
        K = product(C, self.params["FH"], trans_b=True)
        K *= Y
        outer_mean(s * V, K, weight, out=grads["VF"])
        outer_mean(Q, C, weight / 2, out=grads["FH"])
        outer_mean(V, M, -weight, out=grads["W"])
        for name, A in (("b", V), ("c", M), ("d", C)):
            column_mean(A, -weight, out=grads[name])
        return np.hstack([M, C])

    def project(self) -> None:
        """FH not negative and its columns of sum 1; VF's columns of one norm, the running mean of theirs."""
        FH = self.params["FH"]
        VF = self.params["VF"]
        state = self.state
        np.maximum(FH, 0, out=FH)
        sums = sum_columns(FH)
        FH /= np.where(sums > 0, sums, 1)
        norms = np.sqrt(sum_columns(np.square(VF)))
        state["norm"] = SMOOTH * state["norm"] + (1 - SMOOTH) * VF.dtype.type(total(norms) / len(norms))
        VF *= state["norm"] / np.where(norms > 0, norms, 1)

    def filters(self) -> Array:
        """(factors, visible): what the factors look for."""
        return np.ascontiguousarray(self.params["VF"].T)
