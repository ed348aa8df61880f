"""Deep autoencoder: layers down to a code and layers back up, learned as one by backpropagation.

    h_0 = x,   h_l = f_l(W_l'h_{l-1} + c_l)      l = 1 ... 2L; h_L is the code, y = h_2L gives back x
    J = 1/(n v) sum over cases of  |y - x|^2 / 2                            squared error
                            or  -sum (x log y + (1 - x) log(1 - y))         cross-entropy of sigmoid outputs

G. Hinton, R. Salakhutdinov, Reducing the dimensionality of data with neural networks, Science 313, 2006: the
layers are those of a stack of RBMs, unrolled: encoder, then decoder with weights of its own (`featlearn
finetune --unrolled`). From random weights it begins as models/network.py does. The code is linear. v,
loss_scale, is the data's variance, summed over the values of a row, as in models/autoencoder.py.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from featlearn.errors import ConfigError
from featlearn.models.base import (
    MAX_UNITS,
    UNIT_SPREAD,
    Curvature,
    DataSummary,
    Defaults,
    Gradients,
    Model,
    Phase,
    Step,
)
from featlearn.models.base.papers import HINTON_SALAKHUTDINOV_2006
from featlearn.models.settings.chain import (
    begun,
    chain_of,
    chain_shapes,
    each,
    grads_of,
    pairs_of,
    refuse_layers,
)
from featlearn.models.settings.outputs import (
    OutputConfig,
    are_bounded,
    output_error,
    output_top,
    resolve_outputs,
)
from featlearn.models.settings.slope import SlopeConfig, refuse_idle_slope, with_slope
from featlearn.ops import dense
from featlearn.ops.activations import ACTIVATIONS, uncurved
from featlearn.ops.arrays import product
from featlearn.ops.curvature import ChainCurvature
from featlearn.ops.dense import Dense
from featlearn.ops.graph import Graph, Value
from featlearn.ops.reduce import column_mean, count, grand_mean, outer_mean
from featlearn.random import Random
from featlearn.rows import Array
from featlearn.settings import setting


class DeepAutoencoder(Model):
    """params: of each layer l = 1, 2, ... 2L, from below, W_l (inputs, units), c_l (units,).

    For maxout W_l and c_l have two columns a unit; prelu has slopes s_l (units,). Their names are W1, c1, W2
    and so on.
    """

    id = "deep-autoencoder"
    title = "a deep autoencoder"
    papers = (HINTON_SALAKHUTDINOV_2006,)
    defaults = Defaults(
        rates={"sgd": 1.0}, training={"optimizer": "adam"}, decay_weights={"l1": 1e-5, "l2": 1e-5}
    )
    small: ClassVar[dict[str, Any]] = {"hidden": (5, 3)}

    @dataclass(frozen=True)
    class Config(SlopeConfig, OutputConfig):
        hidden: tuple[int, ...] = setting(
            (1000, 500, 250, 30), "units of each layer of the encoder, the code last", low=1, high=MAX_UNITS
        )
        activation: str = setting(
            "sigmoid",
            f"units of the layers below the code: {', '.join(ACTIVATIONS)}; one for all, or one each",
        )
        code: str = setting("linear", "units of the code", choices=ACTIVATIONS)
        decoder_activation: str | None = setting(
            None,
            "units of the decoder's hidden layers, from the code on  [default: the encoder's, turned round]",
            off="the encoder's, turned round",
        )
        kept: tuple[int, ...] | None = setting(
            None,
            "entries that stay of each layer of the encoder, the largest; one number, or one each, 0 for all",
            low=0,
            off="all",
        )

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.hidden:
                raise ConfigError("--hidden: an autoencoder has a code; give the units of one layer or more")
            layers = len(self.hidden)
            refuse_layers(self.activations[:-1], self.stays[:layers], self.hidden)
            refuse_idle_slope(self.slope, self.activations)

        @property
        def activations(self) -> tuple[str, ...]:
            """The functions of all layers, from below; the last are the output units."""
            below = len(self.hidden) - 1
            up = each("activation", tuple(self.activation.split(",")), below)
            down = up[::-1]
            if self.decoder_activation is not None:
                down = each("decoder-activation", tuple(self.decoder_activation.split(",")), below)
            return (*up, self.code, *down, self.output_units)

        @property
        def stays(self) -> tuple[int, ...]:
            """The entries that stay of each layer; 0: all."""
            layers = len(self.hidden)
            return each("kept", self.kept or (0,), layers) + layers * (0,)

    config: Config

    @classmethod
    def resolve(cls, config: Any, data: DataSummary) -> Any:
        """Choose output units, the loss and the slope of leaky units."""
        return with_slope(resolve_outputs(config, data, "cross-entropy"), config.activations)

    @classmethod
    def wanted_spread(cls, config: Any, data: DataSummary) -> tuple[float, float] | None:
        """About 1, but for outputs that have a range of their own."""
        return None if are_bounded(config, data) else UNIT_SPREAD

    @classmethod
    def variants(cls) -> dict[str, Any]:
        made: dict[str, dict[str, Any]] = {
            kind: {"activation": kind, "code": kind, "output_units": "sigmoid"} for kind in ACTIVATIONS
        }
        made |= {
            "three layers, squared": {"hidden": (5, 4, 3), "output_units": "sigmoid", "loss": "squared"},
            "linear outputs": {"output_units": "linear"},
            "tanh outputs": {"output_units": "tanh", "decoder_activation": "relu"},
            "code alone": {"hidden": (4,), "output_units": "linear"},
            "kept": {"kept": (3, 2), "output_units": "sigmoid"},
        }
        return {name: cls.Config(**cls.small | options) for name, options in made.items()}

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Make fresh parameters. Raises ConfigError where output units or loss are auto still."""
        config = self.config = self.resolve(self.config, DataSummary(n_visible))
        self.params = {}
        for name, shape in self.shapes(n_visible).items():
            self.params[name] = begun(name, shape, config.activations, config.slope, self.dtype, rng)

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        hidden = self.config.hidden
        return chain_shapes((n_visible, *hidden, *hidden[-2::-1], n_visible), self.config.activations)

    @property
    def n_visible(self) -> int:
        return int(self.params["W1"].shape[0])

    @property
    def weights(self) -> tuple[str, ...]:
        return tuple(name for name in self.shapes(1) if name.startswith("W"))

    def filters(self) -> Array:
        """Return those of the first layer."""
        return np.ascontiguousarray(self.params["W1"].T)

    @property
    def _chain(self) -> list[Dense]:
        return chain_of(self.params, self.config.activations, self.config.stays, self.config.slope)

    def encoder_layers(self) -> list[Dense]:
        return self._chain[: len(self.config.hidden)]

    def decoder_layers(self) -> list[Dense]:
        return self._chain[len(self.config.hidden) :]

    def encode(self, X: Array) -> Array:
        return dense.encode(self.encoder_layers(), X)

    def decode(self, H: Array) -> Array:
        return dense.encode(self.decoder_layers(), H)

    def portable(self, g: Graph, X: Value) -> Value:
        return dense.portable(self.encoder_layers(), g, X)

    def phases(self) -> list[Phase]:
        why = uncurved(self.config.activations, self.config.stays)
        return [Phase("train", self.gradient, curvature=None if why else self.curvature, uncurved=why)]

    def curvature(self, X: Array) -> Curvature:
        """Curvature of J over rows X (n, visible)."""
        config = self.config
        assert config.loss_scale is not None
        kind, loss, share = config.output_units, config.loss, 1 / config.loss_scale
        return ChainCurvature(self._chain, pairs_of, X, lambda A: output_top(A, X, kind, loss, share))

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Backpropagation of J over the rows X (n, visible)."""
        config = self.config
        assert config.loss_scale is not None
        share = 1 / config.loss_scale
        *below, top = self._chain
        passed = dense.forward(below, X)
        H = passed[-1].H
        loss, error, delta_y = output_error(product(H, top.W), top.c, X, config.output_units, config.loss)
        grads = dense.backward(below, passed, product(delta_y, top.W, trans_b=True, scale=share))
        grads.append((outer_mean(H, delta_y, share), column_mean(delta_y, share)))
        code = passed[len(config.hidden) - 1].H
        metrics = {"loss": loss * share / count(X), "error": error, "mean_activation": grand_mean(code)}
        return metrics, grads_of(grads)
