"""Restricted Boltzmann machine with binary hidden units and Bernoulli or Gaussian visible units.

    E(v, h) = -b'v - c'h - v'W h                       Bernoulli visibles
    E(v, h) = |v - b|^2 / 2 - c'h - v'W h              Gaussian visibles of unit variance
    p(h = 1 | v) = s(c + W'v)
    E[v | h]     = s(b + W h)   or   b + W h           s(x) = 1 / (1 + exp(-x))

Learned by contrastive divergence, CD-k (G. Hinton, Training products of experts by minimizing contrastive divergence,
Neural Computation 14, 2002), as in his Practical Guide to Training RBMs (UTML TR 2010-003): the data drive stochastic
binary hidden states, reconstructions are noise-free (unless sample_visible asks for a true Gibbs chain, as a density
model needs), and the statistics use probabilities.

    dW = <v h'>_data - <v h'>_reconstruction,   db = <v> - <v>,   dc = <h> - <h>

Sparsity target (the Guide, section 11): q, a decaying average of each hidden unit's mean probability, is pulled to the
target by the gradient q - target on the unit's total input, that is on its bias and incoming weights alike.

Refinement: the RBM unrolled into the tied autoencoder x -> s(c + W'x) -> E[v | h], improved by backpropagation of the
squared error (Gaussian, linear output) or the cross-entropy (Bernoulli): the output's error is E[v | h] - x in both.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import Array, Gradients, Model, Phase, Step
from featlearn.random import Purpose, Random
from featlearn.settings import check, setting


class RBM(Model):
    """params: W (visible, hidden), b (visible,), c (hidden,); state: q (hidden,), the running mean activations."""

    id = "rbm"

    @dataclass(frozen=True)
    class Config:
        hidden: int = setting(100, "number of hidden units", low=1)
        visible: str = setting(
            "auto",
            "kind of visible units; auto: bernoulli for data within 0..1, else gaussian",
            choices=("auto", "bernoulli", "gaussian"),
        )
        cd: int = setting(1, "Gibbs steps of contrastive divergence (CD-k)", low=1, high=500)
        sample_visible: bool = setting(False, "draw the visible units of the chain too, for a better density model")
        init: str = setting(
            "normal",
            "initial weights: small normal numbers, or a scaled identity",
            choices=("normal", "identity"),
        )
        init_scale: float | None = setting(
            None,
            "standard deviation or diagonal of the initial weights  [default: 0.01 normal, 0.5 identity]",
            low=0,
        )
        hidden_bias: float | None = setting(
            None, "initial hidden bias  [default: 0, or log(t / (1 - t)) with a sparsity target t]"
        )
        target: float | None = setting(
            None, "sparsity target: wanted mean activation of the hidden units, e.g. 0.02", above=0, below=1
        )
        target_weight: float = setting(1.0, "strength of the pull to the sparsity target", low=0)
        target_memory: float = setting(0.95, "decay of the running mean that meets the target", low=0, below=1)
        refine: int = setting(0, "autoencoder refinement after CD, in mini-batch updates", low=0)
        refine_lr: float = setting(0.01, "learning rate of the refinement", above=0)
        refine_decay: bool = setting(True, "weight decay goes on during the refinement")

        def __post_init__(self) -> None:
            check(self)

    config: Config

    @classmethod
    def settle(cls, config: Config, low: float, high: float) -> Config:
        """Visible units that fit data within low..high."""
        within = low >= 0 and high <= 1
        if config.visible == "bernoulli" and not within:
            raise ConfigError(
                f"--visible bernoulli: the data lie in {low:g}..{high:g}, wanted 0..1; "
                "use --visible gaussian or extract with --normalize none"
            )
        return replace(config, visible="bernoulli" if within else "gaussian") if config.visible == "auto" else config

    def init(self, n_visible: int, rng: Random) -> None:
        """Fresh parameters; `visible` must have been settled by then. Raises ConfigError."""
        config = self.config
        if config.visible == "auto":
            raise ConfigError("--visible: auto must be settled from the data before init: bernoulli or gaussian")
        shape = (n_visible, config.hidden)
        if config.init == "normal":
            W = rng.normal(shape, self.dtype, Purpose.INIT) * _or(config.init_scale, 0.01)
        else:
            W = np.zeros(shape, self.dtype)
            units = np.arange(config.hidden)
            W[units % n_visible, units] = _or(config.init_scale, 0.5)
        c = _or(config.hidden_bias, math.log(config.target / (1 - config.target)) if config.target else 0.0)
        self.params = {
            "W": W,
            "b": np.zeros(n_visible, self.dtype),
            "c": np.full(config.hidden, c, self.dtype),
        }
        self.state = {"q": np.full(config.hidden, 1 / (1 + math.exp(-c)), self.dtype)}

    def encode(self, X: Array) -> Array:
        """p(h = 1 | v) for each row: (n, visible) -> (n, hidden)."""
        return _core_sigmoid(self._gemm(X, self.params["W"]), self.params["c"])

    def decode(self, H: Array) -> Array:
        """E[v | h] for each row: (n, hidden) -> (n, visible)."""
        V = self._gemm(H, self.params["W"], trans_b=True)
        if self.config.visible == "bernoulli":
            return _core_sigmoid(V, self.params["b"])
        _core.add_bias(V, V, self.params["b"])
        return V

    def sample_hidden(self, X: Array, step: Step, k: int) -> tuple[Array, Array]:
        """p(h = 1 | v) and binary states drawn from it, by the draw of Gibbs step k."""
        P = self._gemm(X, self.params["W"])
        S = np.empty_like(P)
        _core.sigmoid_sample(P, S, P, self.params["c"], step.seed, step.draw(2 * k))
        return P, S

    def sample_visible(self, V: Array, step: Step, k: int) -> Array:
        """Visible states drawn about their means V, by the draw of Gibbs step k; V itself unless asked for."""
        if not self.config.sample_visible:
            return V
        S = np.empty_like(V)
        if self.config.visible == "bernoulli":
            _core.bernoulli(S, V, step.seed, step.draw(2 * k + 1))
            return S
        _core.normal(S, step.seed, step.draw(2 * k + 1))
        return S + V

    def gradient(self, X: Array, step: Step) -> Gradients:
        """CD-k on a minibatch X (n, visible); the gradient of minus the (approximate) log-likelihood per case."""
        n = len(X)
        H0, S = self.sample_hidden(X, step, 0)
        reconstruction = self.decode(S)
        V = self.sample_visible(reconstruction, step, 0)
        for k in range(1, self.config.cd):
            V = self.sample_visible(self.decode(self.sample_hidden(V, step, k)[1]), step, k)
        H = self.encode(V)

        W = np.empty_like(self.params["W"])
        _core.gemm(W, X, H0, trans_a=True, alpha=-1 / n)
        _core.gemm(W, V, H, trans_a=True, alpha=1 / n, beta=1)
        b = _mean_difference(V, X)
        mean = self._mean(H0)
        c = self._mean(H) - mean
        if self.config.target is not None:
            pull = self._sparsity_pull(mean, self.config.target)
            W += np.outer(self._mean(X), pull)
            c += pull
        return self._metrics(X, reconstruction, mean), {"W": W, "b": b, "c": c}

    def _sparsity_pull(self, mean: Array, target: float) -> Array:
        """target_weight * (q - target), after q has taken in this minibatch's mean activations."""
        memory = self.config.target_memory
        q = self.state["q"] = memory * self.state["q"] + (1 - memory) * mean
        return self.config.target_weight * (q - target)

    def refinement(self, X: Array, step: Step) -> Gradients:
        """Backpropagation through the unrolled autoencoder; of |E[v | h] - x|^2 / 2 per case (or cross-entropy)."""
        n = len(X)
        H = self.encode(X)
        Y = self.decode(H)
        D = Y - X
        delta = self._gemm(D, self.params["W"]) * H * (1 - H)
        W = np.empty_like(self.params["W"])
        _core.gemm(W, D, H, trans_a=True, alpha=1 / n)
        _core.gemm(W, X, delta, trans_a=True, alpha=1 / n, beta=1)
        return self._metrics(X, Y, self._mean(H)), {"W": W, "b": self._mean(D), "c": self._mean(delta)}

    def phases(self) -> list[Phase]:
        phases = [Phase("train", self.gradient)]
        if self.config.refine:
            c = self.config
            phases.append(Phase("refine", self.refinement, updates=c.refine, lr=c.refine_lr, decay=c.refine_decay))
        return phases

    def _gemm(self, A: Array, B: Array, trans_b: bool = False) -> Array:
        out = np.empty((len(A), B.shape[0] if trans_b else B.shape[1]), self.dtype)
        _core.gemm(out, A, B, trans_b=trans_b)
        return out

    def _mean(self, A: Array) -> Array:
        """Mean over rows, (n, d) -> (d,)."""
        out = np.empty(A.shape[1], self.dtype)
        _core.colsum(out, A, alpha=1 / len(A))
        return out

    def _metrics(self, X: Array, Y: Array, mean: Array) -> dict[str, float]:
        squares = np.empty(len(X), np.float64)
        _core.row_sqdist(squares, X, Y)
        error = math.sqrt(math.fsum(squares) / X.size) if np.isfinite(squares).all() else math.inf
        return {"error": error, "mean_activation": math.fsum(mean) / len(mean)}


def _core_sigmoid(A: Array, bias: Array) -> Array:
    _core.sigmoid(A, A, bias)
    return A


def _mean_difference(A: Array, B: Array) -> Array:
    """Column means of A minus those of B."""
    out: npt.NDArray[Any] = np.empty(A.shape[1], A.dtype)
    _core.colsum(out, B, alpha=-1 / len(B))
    _core.colsum(out, A, alpha=1 / len(A), beta=1)
    return out


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
