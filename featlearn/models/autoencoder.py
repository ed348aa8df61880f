"""Autoencoder: one hidden layer that learns to give back its input, by backpropagation.

    h = f(W'x + c)      y = g(D h + b)      tied: D = W

    J = 1/(n v) sum over cases of  |y - x|^2 / 2                            squared error
                            or  -sum (x log y + (1 - x) log(1 - y))         cross-entropy, g the sigmoid

    delta_y = (y - x) g' / v  or  (y - x) / v,  delta_h = D'delta_y f'      f', g' at the total inputs
    dW = <x delta_h'>,  dD = <delta_y h'>  (tied: dW is their sum),  dc = <delta_h>,  db = <delta_y>

D. Rumelhart, G. Hinton, R. Williams, Learning representations by back-propagating errors, Nature 323, 1986;
in the notation of A. Ng, Sparse autoencoder, CS294A lecture notes, Stanford 2011 (his W1 is W', his W2 is D).
v, loss_scale, is 1 in the papers. Here it is the data's variance, summed over the pixels, so that one rate,
decay and penalty suit all data: a paper's rate is v times larger here, and its decays and penalties are v
times smaller (v of MNIST is 53, of patches with unit variance the number of pixels). Dropout (ops/dense.py)
leaves hidden units out of what the decoder sees; codes for use need nothing of it. Two hooks make its kin
of it: `corrupt` (denoising.py) and `penalty` (sparse_autoencoder.py).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from featlearn.errors import ConfigError
from featlearn.models.base import (
    UNIT_SPREAD,
    Curvature,
    DataSummary,
    Defaults,
    Gradients,
    HiddenConfig,
    Layer,
    Phase,
    Step,
)
from featlearn.models.base.papers import RUMELHART_1986, Paper
from featlearn.models.settings.network import HiddenDropout
from featlearn.models.settings.outputs import (
    OutputConfig,
    are_bounded,
    inputs_for,
    output_error,
    output_top,
    resolve_outputs,
)
from featlearn.models.settings.slope import SlopeConfig, refuse_idle_slope, with_slope
from featlearn.ops.activations import ACTIVATIONS, REMARKS, SLOPE, activate, pieces, uncurved
from featlearn.ops.arrays import product
from featlearn.ops.curvature import ChainCurvature, Penalty, Vector
from featlearn.ops.dense import Dense, Dropout
from featlearn.ops.graph import Graph, Value
from featlearn.ops.reduce import column_mean, count, grand_mean, outer_mean
from featlearn.random import Purpose, Random
from featlearn.rows import Array
from featlearn.settings import fill, rounded, setting

HIDDEN_DRAW = 2
"""The random draw of dropout; those before are for what is done to the input."""


class Autoencoder(Layer):
    """params: W (visible, hidden), b (visible,), c (hidden,), untied D (visible, hidden), prelu s (hidden,).

    For maxout W and c have two columns a hidden unit.
    """

    id = "autoencoder"
    title = "an autoencoder"
    papers: ClassVar[tuple[Paper, ...]] = (RUMELHART_1986,)
    defaults = Defaults(
        rates={"sgd": 1.0, "adam": 0.005},
        rate_unit="(less where the mean row is long)",
        decay_weights={"l1": 1e-4, "l2": 1e-4},
        training={"optimizer": "adam"},
        patches={"size": 8, "normalize": "center", "clip": 3.0, "to": (0.1, 0.9)},
    )
    usual_loss: ClassVar[str] = "cross-entropy"

    @dataclass(frozen=True)
    class Common(HiddenDropout, OutputConfig, HiddenConfig):
        """The settings of all kinds of units."""

        activation: str = setting("leaky-relu", REMARKS, choices=ACTIVATIONS)
        tied: bool | None = setting(
            None, "decode with the encoder's weights  [default: tied; maxout units: no-tied]"
        )
        init: str = setting(
            "uniform",
            "initial weights: uniform within sqrt(6 / (visible + hidden + 1)), or normal",
            choices=("uniform", "normal"),
        )
        init_scale: float | None = setting(
            None,
            "bound or standard deviation of the initial weights  [default: that formula; normal: 0.01]",
            low=0,
            high=1000,
        )

        visible_bias: str = setting(
            "zero",
            "initial bias of the output units: what gives the data's mean, or zero",
            choices=("data", "zero"),
        )
        hidden_bias: float | None = setting(
            None, "initial bias of the hidden units  [default: 0]", low=-1000, high=1000
        )

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.tied and self.activation == "maxout":
                raise ConfigError("--tied: maxout units have two sets of weights; use --no-tied")

    @dataclass(frozen=True)
    class Config(SlopeConfig, Common):
        def __post_init__(self) -> None:
            super().__post_init__()
            if self.activation != "auto":
                refuse_idle_slope(self.slope, (self.activation,))

    config: Any

    @classmethod
    def resolve(cls, config: Any, data: DataSummary) -> Any:
        """Choose output units, loss, the scale of the initial weights, and one or two sets of them."""
        config = resolve_outputs(config, data, cls.usual_loss)
        bound = 0.01 if config.init == "normal" else math.sqrt(6 / (data.n_visible + config.hidden + 1))
        usual: dict[str, Any] = {"init_scale": bound, "hidden_bias": 0.0}
        usual["tied"] = config.activation != "maxout"
        return with_slope(fill(config, usual), (config.activation,))

    @classmethod
    def usual_rates(cls, config: Any, data: DataSummary) -> dict[str, float]:
        """Return rates that are smaller by the variance's share of the mean squared length.

        Along a long mean row steps are large.
        """
        share = data.variance / data.square if data.variance and data.square else 1.0
        return {name: rounded(rate * share) for name, rate in cls.defaults.rates.items()}

    @classmethod
    def wanted_spread(cls, config: Any, data: DataSummary) -> tuple[float, float] | None:
        """About 1, but for outputs that have a range of their own."""
        return None if are_bounded(config, data) else UNIT_SPREAD

    @classmethod
    def variants(cls) -> dict[str, Any]:
        outputs = [
            ("sigmoid", "squared"),
            ("sigmoid", "cross-entropy"),
            ("tanh", "squared"),
            ("linear", "squared"),
        ]
        found = {}
        for f in ACTIVATIONS:
            for g, loss in outputs:
                for tied in (False, True) if f != "maxout" else (False,):
                    name = f"{f}, {g} output, {loss}{', tied' if tied else ''}"
                    found[name] = cls.Config(**cls.small, activation=f, tied=tied, output_units=g, loss=loss)
        found["dropout"] = cls.Config(**cls.small, output_units="linear", hidden_dropout=0.4)
        return found

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Make fresh parameters. Raises ConfigError where output units or loss are auto still.

        Where b is to give the data's mean, hidden units need not: at high rates fewer rectified ones die.
        """
        config = self.config = self.resolve(self.config, DataSummary(n_visible))

        def weights(columns: int, draw: int) -> Array:
            if config.init == "normal":
                return np.asarray(
                    config.init_scale * rng.normal((n_visible, columns), self.dtype, Purpose.INIT, draw)
                )
            u = rng.uniform(n_visible * columns, Purpose.INIT, draw).reshape(n_visible, columns)
            return np.asarray((2 * u - 1) * config.init_scale, self.dtype)

        width = config.hidden * pieces(config.activation)
        self.params = {"W": weights(width, 0)}
        if not config.tied:
            self.params["D"] = weights(config.hidden, 1)
        b = np.zeros(n_visible, self.dtype)
        if config.visible_bias == "data" and mean is not None:
            b[:] = inputs_for(mean, config.output_units)
        self.params |= {
            "b": b,
            "c": np.full(width, config.hidden_bias, self.dtype),
        }
        if config.activation == "prelu":
            self.params["s"] = np.full(width, config.slope, self.dtype)

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        hidden = self.config.hidden
        width = hidden * pieces(self.config.activation)
        untied: dict[str, tuple[int, ...]] = {} if self.config.tied else {"D": (n_visible, hidden)}
        slopes: dict[str, tuple[int, ...]] = {"s": (width,)} if self.config.activation == "prelu" else {}
        return {"W": (n_visible, width)} | untied | {"b": (n_visible,), "c": (width,)} | slopes

    def remedies(self) -> dict[str, dict[str, Any]]:
        """No setting makes edges of it: any turn of the subspace that it finds is as good."""
        return {"noise": {"model": "k-sparse"}}

    @property
    def weights(self) -> tuple[str, ...]:
        return ("W",) if self.config.tied else ("W", "D")

    @property
    def decoder(self) -> Array:
        """D (visible, hidden)."""
        return self.params["W" if self.config.tied else "D"]

    @property
    def encoder(self) -> Dense:
        """The hidden layer; of a denoising autoencoder it sees here what is not corrupted."""
        slope = self.params.get("s", SLOPE if self.config.slope is None else self.config.slope)
        return Dense(self.params["W"], self.params["c"], self.config.activation, slope=slope)

    def encode(self, X: Array) -> Array:
        """f(W'x + c) of each row: (n, visible) -> (n, hidden)."""
        return self.encoder.encode(X)

    def encoder_layers(self) -> list[Dense]:
        return [self.encoder]

    def decoder_layers(self) -> list[Dense]:
        return [Dense(np.ascontiguousarray(self.decoder.T), self.params["b"], self.config.output_units)]

    @classmethod
    def settings_like(cls, encoder: Dense, decoder: Dense) -> dict[str, Any]:
        """Decode with weights of its own where the other model does."""
        found: dict[str, Any] = {
            "hidden": encoder.units,
            "activation": encoder.activation,
            "output_units": decoder.activation,
        }
        if encoder.activation == "leaky-relu":
            found["slope"] = encoder.slope
        return found | ({} if decoder.is_mirror_of(encoder) else {"tied": False})

    def begin_as(self, encoder: Dense, decoder: Dense) -> None:
        values = {"W": encoder.W, "c": encoder.c, "s": encoder.slope, "D": decoder.W.T, "b": decoder.c}
        for name, w in self.params.items():
            w[...] = values[name]

    def portable(self, g: Graph, X: Value) -> Value:
        return self.encoder.portable(g, X)

    def decode(self, H: Array) -> Array:
        """g(D h + b) of each row: (n, hidden) -> (n, visible)."""
        return activate(product(H, self.decoder, trans_b=True), self.params["b"], self.config.output_units)

    def corrupt(self, X: Array, step: Step) -> tuple[Array, Array | None]:
        """What the hidden layer sees in place of X, and the weight of each error, both (n, visible)."""
        return X, None

    def penalty(self, H: Array) -> tuple[float, Array | None, dict[str, float]]:
        """What a code costs: value, derivative by each unit's activation (hidden,), and metrics."""
        return 0.0, None, {}

    def bend(self, H: Array) -> Array | None:
        """Second derivative of that cost by the mean code (hidden,), of codes H (n, hidden)."""
        return None

    def phases(self) -> list[Phase]:
        why = uncurved([self.config.activation])
        curvature = None if why else self.curvature
        moving = self.draws_anew()
        return [Phase("train", self.gradient, curvature=curvature, uncurved=why, moving_loss=moving)]

    def draws_anew(self) -> str:
        """What is drawn anew at every update, in words; "" where nothing is."""
        return "dropout is drawn anew at every update" if self.config.hidden_dropout else ""

    def curvature(self, X: Array) -> Curvature:
        """Curvature of J over rows X (n, visible)."""
        config = self.config
        assert config.loss_scale is not None
        share = 1 / config.loss_scale
        kind, loss = config.output_units, config.loss

        def pairs(v: Vector) -> list[tuple[Array, Array]]:
            return [(v["W"], v["c"]), (v["W" if config.tied else "D"].T, v["b"])]

        def penalty(H: Array) -> Penalty | None:
            _, row, _ = self.penalty(H)
            bend = self.bend(H)
            return None if row is None or bend is None else Penalty(row, bend)

        layers = [*self.encoder_layers(), *self.decoder_layers()]
        return ChainCurvature(layers, pairs, X, lambda A: output_top(A, X, kind, loss, share), penalty)

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Backpropagation of J over the rows X (n, visible)."""
        params = self.params
        config = self.config
        assert config.loss_scale is not None
        share = 1 / config.loss_scale
        C, weight = self.corrupt(X, step)
        encoder = self.encoder
        passed = encoder.forward(C)
        H = passed.H
        cost, row, metrics = self.penalty(H)
        dropout = Dropout(0.0, config.hidden_dropout, step.seed, step.draw, step.first)
        seen = dropout(HIDDEN_DRAW, H)
        A_y = product(seen, self.decoder, trans_b=True)
        loss, error, delta_y = output_error(A_y, params["b"], X, config.output_units, config.loss, weight)
        delta_h = dropout(HIDDEN_DRAW, product(delta_y, self.decoder, scale=share))
        if row is not None:
            delta_h += row
        _, (dW, dc, *slopes) = encoder.gradients(passed, delta_h)
        grads = {"W": dW}
        if config.tied:
            outer_mean(delta_y, seen, share, out=grads["W"])
        else:
            grads["D"] = outer_mean(delta_y, seen, share)
        grads |= {"b": column_mean(delta_y, share), "c": dc} | dict(zip("s", slopes, strict=False))
        activity = {"mean_activation": grand_mean(H)}
        return {"loss": loss * share / count(X) + cost, "error": error} | activity | metrics, grads
