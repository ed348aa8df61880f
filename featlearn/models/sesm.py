"""Sparse-Encoding Symmetric Machine: encoder and decoder share their weights, the code is sparse.

    f_enc(y) = W'y + c      f_dec(z) = W l(z) + b      l(z) = 1 / (1 + exp(-g z))

    L = a_e |z - f_enc(y)|^2 + |y - f_dec(z)|^2 + a_s sum_i log(1 + l(z_i)^2) + a_r |W|_1

For every minibatch, first the codes: gradient descent on L by z, from f_enc(y) on; then, y and the codes z*
held, one gradient step on the parameters. With r = f_dec(z) - y,

    dz = 2 a_e (z - f_enc) + l' (2 W'r + a_s 2 l / (1 + l^2))       l' = g l (1 - l)
    dW = 2 <r l(z*)'> - 2 a_e <y (z* - f_enc)'> + a_r sign(W)       dc = -2 a_e <z* - f_enc>     db = 2 <r>

M. Ranzato, Y. Boureau, Y. LeCun, Sparse feature learning for deep belief networks, NIPS 2007; their Y, Z,
b_enc, b_dec are y, z, c, b. a_r is the strength of training's L1 decay. The code for use is l(f_enc(y)): no
descent is needed then.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from featlearn import _core
from featlearn.models.base import MAX_UNITS, DataSummary, Defaults, Gradients, Layer, Loss, Phase, Step
from featlearn.models.base.papers import RANZATO_2007
from featlearn.ops.activations import sigmoid
from featlearn.ops.arrays import add_bias, product
from featlearn.ops.graph import Graph, Value, affine
from featlearn.ops.reduce import column_mean, grand_mean, mean, outer_mean, outer_means
from featlearn.random import Purpose, Random
from featlearn.rows import Array
from featlearn.settings import check, fill, setting

SPREAD = (0.15, 0.6)
"""The standard deviations of values that it is made for: about .3."""


class Relaxed(NamedTuple):
    """The codes of rows, all (n, hidden) but cost (n,), which is L without the reconstruction's part."""

    Z: Array
    L: Array  # l(Z)
    slope: Array  # dL/dz
    cost: npt.NDArray[np.float64]
    F: Array  # f_enc
    Y: Array  # f_dec (n, visible)


class SESM(Layer):
    """params: W (visible, hidden), b (visible,), c (hidden,)."""

    id = "sesm"
    title = "a sparse-encoding symmetric machine"
    papers = (RANZATO_2007,)
    defaults = Defaults(
        rates={"sgd": 0.1},
        decay_weights={"l1": 4e-4, "l2": 1e-4},
        training={"momentum": 0.0, "decay": "l1"},
        batch_size=10,
        patches={"size": 8, "normalize": "center", "whiten": "zca", "clip": 3.0, "to": (-0.9, 0.9)},
    )

    @dataclass(frozen=True)
    class Config:
        hidden: int = setting(100, "number of hidden units", low=1, high=MAX_UNITS)
        sparsity: float | None = setting(
            None,
            "a_s, the weight of the penalty on codes, sum log(1 + l^2)  [default: 0.5; whitened data: 3]",
            low=0,
            high=1000,
        )
        code_error: float = setting(
            1.0, "a_e, the weight of |z - f_enc|^2, how far codes may leave the encoder", low=0, high=1000
        )
        gain: float = setting(
            7.0, "g, the steepness of the logistic; a large one makes codes nearly binary", above=0, high=1000
        )
        relax_steps: int = setting(
            5, "steps of the descent that relaxes a code; 0 trains on the encoder's", low=0, high=10_000
        )
        relax_step: float = setting(
            0.2,
            "length of such a step; halved for a code whose loss would rise",
            above=0,
            high=1000,
            needs="relax_steps",
        )
        hidden_bias: float = setting(
            -0.3, "initial c; 0 starts with every unit half on, and most are lost", low=-1000, high=1000
        )
        init_scale: float = setting(0.01, "standard deviation of the initial weights", low=0, high=1000)

        def __post_init__(self) -> None:
            check(self)

    config: Config

    @classmethod
    def variants(cls) -> dict[str, Any]:
        return {
            "default": cls.Config(**cls.small, gain=2.0),
            "other weights": cls.Config(**cls.small, gain=1.0, sparsity=3.0, code_error=0.3),
        }

    @classmethod
    def resolve(cls, config: Config, data: DataSummary) -> Config:
        """Ask for sparser codes of whitened data, whose filters are noise else."""
        return fill(config, {"sparsity": 3.0 if data.whitened else 0.5})

    @classmethod
    def wanted_spread(cls, config: Any, data: DataSummary) -> tuple[float, float]:
        """Return the spread of pixels in 0..1.

        The encoder has the decoder's weights, so the data's scale is part of the loss.
        """
        return SPREAD

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Begin with small weights, with codes nearly off, and with the decoder at the mean.

        At g = 7 larger first steps lose most units.
        """
        config = self.config = self.resolve(self.config, DataSummary(n_visible))
        b = np.zeros(n_visible) if mean is None else mean
        self.params = {
            "W": rng.normal((n_visible, config.hidden), self.dtype, Purpose.INIT, 0) * config.init_scale,
            "b": np.asarray(b, self.dtype).copy(),
            "c": np.full(config.hidden, config.hidden_bias, self.dtype),
        }

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        hidden = self.config.hidden
        return {"W": (n_visible, hidden), "b": (n_visible,), "c": (hidden,)}

    def encode(self, X: Array) -> Array:
        """l(f_enc(x)) of each row: (n, visible) -> (n, hidden)."""
        g, W = self.config.gain, self.params["W"]
        return sigmoid(product(X, W, scale=g), g * self.params["c"])

    def portable(self, g: Graph, X: Value) -> Value:
        gain = np.array(self.config.gain, self.dtype)
        return g("Sigmoid", g("Mul", gain, affine(g, X, self.params["W"], self.params["c"])))

    def decode(self, H: Array) -> Array:
        """W h + b of each row: (n, hidden) -> (n, visible)."""
        return add_bias(product(H, self.params["W"], trans_b=True), self.params["b"])

    def relax(self, X: Array, Z: Array | None = None, steps: int | None = None) -> Relaxed:
        """Return codes of rows X (n, visible) by `steps` of descent on L from Z (n, hidden), or from f_enc.

        X is not changed.

        W'r is W'W l - W'(y - b), and W'(y - b) = f_enc - (c + W'b): the data are multiplied but once.
        """
        config, W = self.config, self.params["W"]
        assert config.sparsity is not None
        F = product(np.concatenate([X, self.params["b"][None]]), W)
        F += self.params["c"]
        F, shift = F[:-1], F[-1]
        steps = config.relax_steps if steps is None else steps
        Z = F.copy() if Z is None else Z.copy()
        L = np.empty_like(Z)
        slope = np.empty_like(Z)
        cost = np.empty(len(Z))
        settings = (config.gain, config.code_error, config.sparsity, config.relax_step, steps)
        d, h = W.shape
        if d * h >= len(X) * (steps + 1) * (3 * d - 2 * h):  # by what both cost, as measured
            Y = np.empty_like(X)
            _core.relax(Z, L, slope, cost, Y, F, shift, W, *settings)
        else:  # W'W pays for itself: what was multiplied by W and W' is now by that alone
            _core.relax(Z, L, slope, cost, None, F, shift, product(W, W, trans_a=True), *settings)
            Y = product(L, W, trans_b=True)
        return Relaxed(Z, L, slope, cost, F, add_bias(Y, self.params["b"]))

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Relax the codes of X (n, visible), then the gradient of L by the parameters, codes held."""
        return self._parameter_step(X, self.relax(X))

    def _parameter_step(self, X: Array, at: Relaxed) -> Gradients:
        a_e = self.config.code_error
        R, squares = at.Y, np.empty(len(X))
        _core.output_error(R, squares, R, X, "linear")
        E = at.Z - at.F
        grads = {
            "W": outer_means((R, at.L, 2), (X, E, -2 * a_e)),
            "b": column_mean(R, 2),
            "c": column_mean(E, -2 * a_e),
        }
        metrics = {
            "error": float(np.sqrt(mean(squares) / X.shape[1])),
            "mean_activation": grand_mean(at.L),
            "loss": mean(at.cost + squares),
        }
        return metrics, grads

    def phases(self) -> list[Phase]:
        moving = "codes are relaxed anew at every look at it, and its gradient takes them for held"
        return [Phase("train", self.gradient, moving_loss=moving)]

    def losses(self) -> dict[str, Loss]:
        """L by the parameters with codes held; and with the codes 2 f_enc, so that dL/dz is checked too."""
        return {"codes held": self._held, "codes follow": self._follow}

    def _held(self, X: Array, step: Step) -> Gradients:
        Z = Random(step.seed).normal((len(X), self.config.hidden), self.dtype, Purpose.STEP, step.draw(0))
        return self._parameter_step(X, self.relax(X, Z, 0))

    def _follow(self, X: Array, step: Step) -> Gradients:
        Z = 2 * self.relax(X, None, 0).F
        at = self.relax(X, Z, 0)
        metrics, grads = self._parameter_step(X, at)
        outer_mean(X, at.slope, 2, out=grads["W"])
        column_mean(at.slope, 2, out=grads["c"])
        return metrics, grads
