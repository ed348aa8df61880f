"""Gated RBM of pairs of pictures: hidden units for what turns one into the other, factored into filters.

    E(x, y, h) = -sum_f (Wx_f'x) (Wy_f'y) (Wh_f'h) - a'x - b'y - c'h         Bernoulli visibles
    E(x, y, h) = |x - a|^2 / 2 + |y - b|^2 / 2 - sum_f (...) - c'h           Gaussian visibles
    p(h = 1 | x, y) = s(c + Wh ((Wx'x) (Wy'y)))                              s(a) = 1 / (1 + exp(-a))
    E[y | x, h]     = s(b + Wy ((Wx'x) (Wh'h)))   or without s;   E[x | y, h] likewise
    F(x, y) = -a'x - b'y - sum_j log(1 + exp(c_j + Wh_j ((Wx'x) (Wy'y))))    or with the squares

R. Memisevic, G. Hinton, Learning to represent spatial transformations with factored higher-order Boltzmann
machines, Neural Computation 22, 2010. A factor is a pair of filters and the mapping units that they drive.

A row is a pair whose values alternate: x_1, y_1, x_2, y_2, ... So a patch (height, width, 2) has the two
pictures as planes.

Learned by contrastive divergence, on both conditionals alike: the loss is -(log p(y | x) + log p(x | y)) / 2,
each with one reconstruction from the same states of h. The paper learns p(y | x) alone, in which the filters
of x see but half of what those of y do. On shifted dots twice as many updates come to fewer gratings so
(docs/gated-rbm.md). The columns of Wx have one common norm after every update, which follows their mean
(.95 / .05), and those of Wy: else few factors would take everything.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

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
    HiddenConfig,
    Loss,
    Model,
    Phase,
    Step,
)
from featlearn.models.base.papers import MEMISEVIC_2010
from featlearn.models.settings.visible import first_bias, kind_for, visible_setting
from featlearn.ops.activations import sigmoid
from featlearn.ops.arrays import add_bias, product, row_squares, sum_columns, total
from featlearn.ops.graph import Graph, Value, affine
from featlearn.ops.reduce import column_mean, grand_mean, mean, outer_means, rmse
from featlearn.random import Purpose, Random
from featlearn.rows import Array, Float64
from featlearn.settings import check, fill, rounded, setting

RATE = 3.4  # of usual_rates, over the mean squared length of a row
MOST = 0.1  # of usual_rates: beyond it mapping units fall silent
RESPONSE = 0.5  # the standard deviation of a factor's first responses to a picture
SCALE = 0.1  # of the first Wh
SMOOTH = 0.95  # memory of the running average of the filters' norms


class Seen(NamedTuple):
    """Pairs, the factors' responses to them (n, factors), E[h | x, y] and their weight in a sum."""

    x: Array
    y: Array
    fx: Array
    fy: Array
    H: Array
    weight: float


class GatedRBM(Model, ChainOfRows):
    """The factored gated RBM.

    params: Wx, Wy (values, factors), Wh (hidden, factors), a, b (values,) of x and y, c (hidden,).

    state: norm (2,), of the columns of Wx and Wy.
    """

    id = "gated-rbm"
    title = "a factored gated restricted Boltzmann machine"
    papers = (MEMISEVIC_2010,)
    of_pairs = True
    decodes = False
    small: ClassVar[dict[str, Any]] = {"hidden": 4, "factors": 5}
    defaults = Defaults(
        rates={"sgd": RATE},
        rate_unit="over the mean squared length of a row, at most 0.1",
        patches={"images": "shifted-dots", "size": 13, "normalize": "none"},
    )

    @dataclass(frozen=True)
    class Config(HiddenConfig):
        factors: int = setting(200, "number of factors: pairs of filters", low=1, high=MAX_UNITS)
        visible: str = visible_setting()
        init_scale: float | None = setting(
            None,
            "standard deviation of the initial filters  [default: that with which they respond by 0.5]",
            low=0,
            high=1000,
        )

        def __post_init__(self) -> None:
            check(self)

    config: Config

    @classmethod
    def resolve(cls, config: Config, data: DataSummary) -> Config:
        """Choose visible units that fit the data, and initial weights. Raises ConfigError."""
        if data.n_visible % 2:
            raise ConfigError(
                f"--model gated-rbm: rows of {data.n_visible} values are no pairs; extract with --pairs"
            )
        config = replace(config, visible=kind_for(config.visible, data))
        of_one = (data.variance or data.n_visible) / 2
        return fill(config, {"init_scale": rounded(RESPONSE / math.sqrt(of_one))})

    @classmethod
    def usual_rates(cls, config: Config, data: DataSummary) -> dict[str, float]:
        """3.4 over the mean squared length of a row, a factor in the filters' gradient, but at most .1."""
        return {"sgd": min(MOST, rounded(RATE / (data.square or data.n_visible)))}

    @classmethod
    def wanted_spread(cls, config: Config, data: DataSummary) -> tuple[float, float] | None:
        """About 1, that of Gaussian visible units."""
        bernoulli = config.visible == "bernoulli" or (config.visible == "auto" and data.known_within(0, 1))
        return None if bernoulli else UNIT_SPREAD

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Make fresh parameters. Raises ConfigError where --visible is auto still."""
        config = self.config = self.resolve(self.config, DataSummary(n_visible))
        assert config.init_scale is not None
        n = n_visible // 2
        bias = np.zeros(n_visible) if mean is None else first_bias(mean, self.bernoulli)
        filters = (n, config.factors)
        Wx, Wy = (rng.normal(filters, self.dtype, Purpose.INIT, k) * config.init_scale for k in (0, 1))
        self.params = {
            "Wx": Wx,
            "Wy": Wy,
            "Wh": rng.normal((config.hidden, config.factors), self.dtype, Purpose.INIT, 2) * SCALE,
            "a": bias[0::2].astype(self.dtype),
            "b": bias[1::2].astype(self.dtype),
            "c": np.zeros(config.hidden, self.dtype),
        }
        self.state = {"norm": np.full(2, config.init_scale * math.sqrt(n), self.dtype)}
        self.project()

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        hidden, factors, n = self.config.hidden, self.config.factors, n_visible // 2
        weights = {"Wx": (n, factors), "Wy": (n, factors), "Wh": (hidden, factors)}
        return weights | {"a": (n,), "b": (n,), "c": (hidden,)}

    @property
    def n_visible(self) -> int:
        return 2 * int(self.params["Wx"].shape[0])

    @property
    def weights(self) -> tuple[str, ...]:
        return ("Wx", "Wy", "Wh")

    @property
    def bernoulli(self) -> bool:
        return self.config.visible == "bernoulli"

    def _seen(self, x: Array, y: Array, weight: float = 1.0, fx: Any = None, fy: Any = None) -> Seen:
        """Return pairs with what the model sees of them; responses that are known are taken as they are."""
        fx = product(x, self.params["Wx"]) if fx is None else fx
        fy = product(y, self.params["Wy"]) if fy is None else fy
        return Seen(x, y, fx, fy, sigmoid(self._input(fx, fy), self.params["c"]), weight)

    def _input(self, fx: Array, fy: Array) -> Array:
        """Return what the mapping units get of responses (n, factors), without biases: (n, hidden)."""
        return product(fx * fy, self.params["Wh"], trans_b=True)

    def _means(self, name: str, responses: Array, H: Array) -> Array:
        """Return E[y | x, h] for Wy, of responses to x and h (n, hidden); E[x | y, h] for Wx."""
        A = product(responses * product(H, self.params["Wh"]), self.params[name], trans_b=True)
        bias = self.params["a" if name == "Wx" else "b"]
        return sigmoid(A, bias) if self.bernoulli else add_bias(A, bias)

    def encode(self, X: Array) -> Array:
        """p(h = 1 | x, y) of each pair: (n, visible) -> (n, hidden)."""
        return self._seen(*halves(X)).H

    def portable(self, g: Graph, X: Value) -> Value:
        F = self.filters().T
        Fx, Fy = np.zeros_like(F), np.zeros_like(F)
        Fx[0::2], Fy[1::2] = F[0::2], F[1::2]
        responses = g("Mul", g("MatMul", X, Fx), g("MatMul", X, Fy))
        return g("Sigmoid", affine(g, responses, np.ascontiguousarray(self.params["Wh"].T), self.params["c"]))

    def decode(self, H: Array) -> Array:
        raise ConfigError(
            "codes of a gated-rbm model are of what turns one picture into another, not of the pictures: "
            "it gives no rows back from codes alone"
        )

    def reconstruct(self, X: Array, H: Array | None = None) -> Array:
        """Return E[x | y, h] and E[y | x, h] of each pair, (n, visible), h being its code."""
        seen = self._seen(*halves(X))
        H = seen.H if H is None else H
        return interleaved(self._means("Wx", seen.fy, H), self._means("Wy", seen.fx, H))

    def filters(self) -> Array:
        """(factors, visible): those of both pictures, which alternate as their values do."""
        return interleaved(np.ascontiguousarray(self.params["Wx"].T), self.params["Wy"].T)

    def free_energy(self, X: Array) -> Float64:
        """(n,) F of each pair."""
        seen = self._seen(*halves(X))
        out = np.empty(len(X), np.float64)
        _core.row_softplus(out, self._input(seen.fx, seen.fy), self.params["c"])
        bias = np.empty(self.n_visible, self.dtype)
        bias[0::2], bias[1::2] = self.params["a"], self.params["b"]
        if self.bernoulli:
            return np.asarray(-out - product(X, bias[:, None])[:, 0])
        return np.asarray(row_squares(X - bias) / 2 - out)

    def extra_metrics(self, X: Array) -> dict[str, float]:
        return {"free_energy": mean(self.free_energy(X))}

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Contrastive divergence: the data against (x, E[y | x, h]) and (E[x | y, h], y), half each."""
        data = self._seen(*halves(X), weight=-1.0)
        S = np.empty_like(data.H)
        _core.bernoulli(S, data.H, step.seed, step.draw(0), step.before(S))
        x, y = self._means("Wx", data.fy, S), self._means("Wy", data.fx, S)
        grads = self.statistics(
            [data, self._seen(data.x, y, 0.5, fx=data.fx), self._seen(x, data.y, 0.5, fy=data.fy)]
        )
        return {"error": rmse(X, interleaved(x, y)), "mean_activation": grand_mean(data.H)}, grads

    def statistics(self, terms: Sequence[Seen]) -> dict[str, Array]:
        """Return the sum over terms of weight times <-dF/dtheta>; their weights sum to 0."""
        fh = [product(one.H, self.params["Wh"]) for one in terms]
        grads = {
            "Wx": outer_means(*((t.x, t.fy * f, t.weight) for t, f in zip(terms, fh, strict=True))),
            "Wy": outer_means(*((t.y, t.fx * f, t.weight) for t, f in zip(terms, fh, strict=True))),
            "Wh": outer_means(*((t.H, t.fx * t.fy, t.weight) for t in terms)),
        }
        for name, values in (("a", "x"), ("b", "y"), ("c", "H")):
            grads[name] = np.zeros_like(self.params[name])
            for one in terms:
                column_mean(getattr(one, values), one.weight, out=grads[name])
        return grads

    def phases(self) -> list[Phase]:
        moving = "contrastive divergence draws new states at every update"
        return [Phase("train", self.gradient, moving_loss=moving)]

    def project(self) -> None:
        """The filters of x get one norm, the running mean of theirs, and those of y."""
        norms = self.state["norm"] = self.state["norm"].copy()
        for i, name in enumerate(("Wx", "Wy")):
            W = self.params[name]
            own = np.sqrt(sum_columns(np.square(W)))
            norms[i] = SMOOTH * norms[i] + (1 - SMOOTH) * W.dtype.type(total(own) / len(own))
            W *= norms[i] / np.where(own > 0, own, 1)

    def chain(self, V: Array, step: Step) -> tuple[Array, Array]:
        """One Gibbs step from V (n, visible): y given x, then x given y, each through states of h.

        Raises ConfigError for Gaussian units: nothing bounds their energy from below once filters are long.
        """
        if not self.bernoulli:
            raise ConfigError(
                "the chains of a gated-rbm model with gaussian visible units may have no end; "
                "only one of pixels in 0..1 (--visible bernoulli) is drawn from"
            )
        x, y = halves(V)
        means = {}
        for k, name in enumerate(("Wy", "Wx")):
            seen = self._seen(x, y)
            S = np.empty_like(seen.H)
            _core.bernoulli(S, seen.H, step.seed, step.draw(2 * k))
            means[name] = self._means(name, seen.fx if name == "Wy" else seen.fy, S)
            states = np.empty_like(means[name])
            _core.bernoulli(states, means[name], step.seed, step.draw(2 * k + 1))
            x, y = (x, states) if name == "Wy" else (states, y)
        return interleaved(means["Wx"], means["Wy"]), interleaved(x, y)

    @classmethod
    def variants(cls) -> dict[str, Config]:
        return {kind: cls.Config(**cls.small, visible=kind) for kind in ("bernoulli", "gaussian")}

    def losses(self) -> dict[str, Loss]:
        """Return the contrast of free energies that is descended; the other pairs are held."""
        return {"contrast": self._contrast}

    def _contrast(self, X: Array, step: Step) -> Gradients:
        V = 1 - X
        grads = self.statistics([self._seen(*halves(X), weight=-1.0), self._seen(*halves(V))])
        return {"loss": mean(self.free_energy(X)) - mean(self.free_energy(V))}, grads


def halves(X: Array) -> tuple[Array, Array]:
    """Return the first and the second pictures (n, values) of pairs (n, 2 values)."""
    return np.ascontiguousarray(X[:, 0::2]), np.ascontiguousarray(X[:, 1::2])


def interleaved(x: Array, y: Array) -> Array:
    """Return pairs (n, 2 values) of pictures (n, values)."""
    X = np.empty((len(x), 2 * x.shape[1]), x.dtype)
    X[:, 0::2], X[:, 1::2] = x, y
    return X
