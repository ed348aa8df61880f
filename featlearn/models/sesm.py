"""Sparse-Encoding Symmetric Machine: encoder and decoder share their weights, the code is sparse.

    f_enc(y) = W'y + c      f_dec(z) = W l(z) + b      l(z) = 1 / (1 + exp(-g z))

    L = a_e |z - f_enc(y)|^2 + |y - f_dec(z)|^2 + a_s sum_i log(1 + l(z_i)^2) + a_r |W|_1

For every minibatch, first the codes: gradient descent on L by z, from f_enc(y) on; then, y and the codes z*
held, one gradient step on the parameters. With r = f_dec(z) - y,

    dz = 2 a_e (z - f_enc) + l' (2 W'r + a_s 2 l / (1 + l^2))       l' = g l (1 - l)
    dW = 2 <r l(z*)'> - 2 a_e <y (z* - f_enc)'> + a_r sign(W)       dc = -2 a_e <z* - f_enc>     db = 2 <r>

M. Ranzato, Y. Boureau, Y. LeCun, Sparse feature learning for deep belief networks, NIPS 2007; their Y, Z,
b_enc, b_dec are y, z, c, b. a_r is the strength of training's L1 decay. The code for use is l(f_enc(y)): no
descent is needed then. Untied the decoder has weights D of its own: f_dec(z) = D l(z) + b, dD = 2 <r l(z*)'>,
dW = -2 a_e <y (z* - f_enc)'>, and D'r stands for W'r.

The machine's predecessor (M. Ranzato, C. Poultney, S. Chopra, Y. LeCun, Efficient learning of sparse
representations with an energy-based model, NIPS 2006) is untied and makes codes sparse by its logistic, whose
normaliser runs over the rows k of the training, unit by unit:

    l(z(k)) = eta exp(g z(k)) / v(k)      v(k) = eta exp(g z(k)) + (1 - eta) v(k - 1)

That is a logistic with a threshold, l(z) = 1 / (1 + exp(t - g z)), t = log((1 - eta) / eta v(k - 1)), which
after the row becomes t + log(1 - eta) + log(1 + exp(g z - t)). Their beta is g. The rows of a minibatch are
relaxed by the thresholds that it began with, which then see its rows in order. Codes for use take the mean of
v over the last thousand rows or so.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from featlearn import _core
from featlearn.models.base import DataSummary, Gradients, Loss, Phase, Step
from featlearn.models.base.papers import RANZATO_2007
from featlearn.models.settings.sesm import SESMSettings
from featlearn.ops.activations import sigmoid, softplus
from featlearn.ops.arrays import add_bias, product, row_squares, sum_columns
from featlearn.ops.graph import Graph, Value, affine
from featlearn.ops.reduce import column_mean, grand_mean, mean, outer_mean, outer_means
from featlearn.random import Purpose, Random
from featlearn.rows import Array

MEMORY = 1000  # rows over which the normaliser of codes for use is averaged


class Relaxed(NamedTuple):
    """The codes of rows, all (n, hidden) but cost (n,), which is L without the reconstruction's part."""

    Z: Array
    L: Array  # l(Z)
    slope: Array  # dL/dz
    cost: npt.NDArray[np.float64]
    F: Array  # f_enc
    Y: Array  # f_dec (n, visible)


class SESM(SESMSettings):
    """params: W (visible, hidden), b (visible,), c (hidden,), untied D (visible, hidden).

    state with the sparsifying logistic: threshold (hidden,) and mean_threshold (hidden,), of the running
    normaliser and of its mean, both float64.
    """

    id = "sesm"
    title = "a sparse-encoding symmetric machine"
    papers = (RANZATO_2007,)
    encode_state = ("mean_threshold",)
    config: SESMSettings.Config

    @classmethod
    def variants(cls) -> dict[str, Any]:
        return {
            "default": cls.Config(**cls.small, gain=2.0),
            "other weights": cls.Config(**cls.small, gain=1.0, sparsity_weight=3.0, code_error=0.3),
            "untied": cls.Config(**cls.small, gain=2.0, tied=False),
            "sparsifying": cls.Config(**cls.small, logistic="sparsifying", sparsity_weight=0.4, eta=0.2),
        }

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Begin with small weights, with codes nearly off, and with the decoder at the mean.

        At g = 7 larger first steps lose most units.
        """
        config = self.config = self.resolve(self.config, DataSummary(n_visible))
        b = np.zeros(n_visible) if mean is None else mean
        W = rng.normal((n_visible, config.hidden), self.dtype, Purpose.INIT, 0) * config.init_scale
        self.params = {
            "W": W,
            "b": np.asarray(b, self.dtype).copy(),
            "c": np.full(config.hidden, config.hidden_bias, self.dtype),
        }
        if not config.tied:
            self.params["D"] = W.copy()
        self.state = {}
        if config.eta is not None:  # so that every code begins at eta
            begun = np.full(config.hidden, math.log((1 - config.eta) / config.eta))
            begun += self.gain * config.hidden_bias
            self.state = {"threshold": begun, "mean_threshold": begun.copy()}

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        hidden = self.config.hidden
        untied = {} if self.config.tied else {"D": (n_visible, hidden)}
        return {"W": (n_visible, hidden), "b": (n_visible,), "c": (hidden,)} | untied

    @property
    def weights(self) -> tuple[str, ...]:
        return ("W",) if self.config.tied else ("W", "D")

    @property
    def decoder(self) -> Array:
        """D (visible, hidden), which is W where the decoder has none of its own."""
        return self.params["W" if self.config.tied else "D"]

    @property
    def gain(self) -> float:
        """g."""
        assert self.config.gain is not None
        return self.config.gain

    def _bias(self, threshold: str) -> Array:
        """Return c less the threshold of that name over g, where the logistic has one."""
        c = self.params["c"]
        if self.config.eta is None:
            return c
        return np.asarray(c - self.state[threshold] / self.gain, self.dtype)

    def encode(self, X: Array) -> Array:
        """l(f_enc(x)) of each row: (n, visible) -> (n, hidden)."""
        g = self.gain
        return sigmoid(product(X, self.params["W"], scale=g), g * self._bias("mean_threshold"))

    def portable(self, g: Graph, X: Value) -> Value:
        gain = np.array(self.gain, self.dtype)
        return g("Sigmoid", g("Mul", gain, affine(g, X, self.params["W"], self._bias("mean_threshold"))))

    def decode(self, H: Array) -> Array:
        """D h + b of each row: (n, hidden) -> (n, visible)."""
        return add_bias(product(H, self.decoder, trans_b=True), self.params["b"])

    def extra_metrics(self, X: Array) -> dict[str, float]:
        """Return the least, mean and largest norm of the decoder's columns: whether they vanish or grow."""
        norms = np.sqrt(sum_columns(np.square(self.decoder.astype(np.float64))))
        return {
            "least_decoder_norm": float(norms.min()),
            "decoder_norm": mean(norms),
            "largest_decoder_norm": float(norms.max()),
        }

    def relax(self, X: Array, Z: Array | None = None, steps: int | None = None) -> Relaxed:
        """Return codes of rows X (n, visible) by `steps` of descent on L from Z (n, hidden), or from f_enc.

        X is not changed. With thresholds t, Z and F are z - t / g and f_enc - t / g: l is the plain one then.

        D'r is D'D l - D'(y - b). Tied, D'(y - b) = f_enc - (c + W'b): the data are multiplied but once.
        """
        config, W, D = self.config, self.params["W"], self.decoder
        assert config.sparsity_weight is not None
        with_b = np.concatenate([X, self.params["b"][None]])
        F = product(with_b, W)
        Q = F if config.tied else product(with_b, D)
        Q, F = Q[:-1] - Q[-1], add_bias(F, self._bias("threshold"))[:-1]
        steps = config.relax_steps if steps is None else steps
        Z = F.copy() if Z is None else Z.copy()
        L = np.empty_like(Z)
        slope = np.empty_like(Z)
        cost = np.empty(len(Z))
        settings = (self.gain, config.code_error, config.sparsity_weight, config.relax_step, steps)
        d, h = D.shape
        if d * h >= len(X) * (steps + 1) * (3 * d - 2 * h):  # by what both cost, as measured
            Y = np.empty_like(X)
            _core.relax(Z, L, slope, cost, Y, F, Q, D, *settings)
        else:  # D'D pays for itself: what was multiplied by D and D' is now by that alone
            _core.relax(Z, L, slope, cost, None, F, Q, product(D, D, trans_a=True), *settings)
            Y = product(L, D, trans_b=True)
        return Relaxed(Z, L, slope, cost, F, add_bias(Y, self.params["b"]))

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Relax the codes of X (n, visible), then the gradient of L by the parameters, codes held."""
        at = self.relax(X)
        found = self._parameter_step(X, at)
        if self.config.eta is not None:
            self._follow_codes(at.Z)
        return found

    def _follow_codes(self, Z: Array) -> None:
        """Let the thresholds see codes Z (n, hidden), which are z - t / g, row by row."""
        assert self.config.eta is not None
        begun, mean_threshold = self.state["threshold"], self.state["mean_threshold"]
        keeps, share = math.log1p(-self.config.eta), math.log(1 / (MEMORY - 1))
        for total in self.gain * Z.astype(np.float64) + begun:
            begun = begun + (keeps + softplus(total - begun))
            mean_threshold = mean_threshold + (
                math.log1p(-1 / MEMORY) + softplus(begun - mean_threshold + share)
            )
        self.state = {"threshold": begun, "mean_threshold": mean_threshold}

    def _parameter_step(self, X: Array, at: Relaxed) -> Gradients:
        a_e = self.config.code_error
        R, squares = at.Y, np.empty(len(X))
        _core.output_error(R, squares, R, X, "linear")
        E = at.Z - at.F
        grads = {"b": column_mean(R, 2), "c": column_mean(E, -2 * a_e)}
        if self.config.tied:
            grads["W"] = outer_means((R, at.L, 2), (X, E, -2 * a_e))
        else:
            grads |= {"W": outer_mean(X, E, -2 * a_e), "D": outer_mean(R, at.L, 2)}
        metrics = {
            "error": float(np.sqrt(mean(squares) / X.shape[1])),
            "code_error": math.sqrt(mean(row_squares(E)) / E.shape[1]),
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
