"""Restricted Boltzmann machine with Bernoulli or Gaussian visible units and binary or rectified hidden units.

    E(v, h) = -b'v - c'h - v'W h                                     Bernoulli visibles
    E(v, h) = sum (v - b)^2 / (2 s^2) - c'h - (v / s^2)'W h          Gaussian visibles, variance s^2 = exp(z)
    p(h = 1 | v) = s(c + W'x),  x = v or v / s^2                     s(a) = 1 / (1 + exp(-a))
    E[v | h]     = s(b + W h)   or   b + W h
    F(v) = -b'v - sum_j log(1 + exp(c_j + W_j'x))   or with sum (v - b)^2 / (2 s^2) for -b'v
    log p(v) = -F(v) - log Z

Learned by contrastive divergence, CD-k (G. Hinton, Training products of experts by minimizing contrastive
divergence, Neural Computation 14, 2002), as in his Practical Guide to Training RBMs (UTML TR 2010-003): the
data drive stochastic binary hidden states, reconstructions are noise-free (unless sample_visible asks for a
true Gibbs chain, as a density model needs), and the statistics use probabilities. Or by persistent
contrastive divergence, PCD-k (T. Tieleman, Training RBMs using approximations to the likelihood gradient,
ICML 2008), whose chains never return to the data.

    dW = <x h'>_data - <x h'>_model,   db = <x> - <x>,   dc = <h> - <h>
    dz = <(v - b)^2 / (2 s^2) - v W h / s^2>_data - <same>_model       (K. Cho, A. Ilin, T. Raiko, ICANN 2011)

Centered: the same model in the energy of v - mu and h - lambda, offsets that follow the data's means; in the
parameters of the usual energy that is another gradient, equally good for data and their negative (J.
Melchior, A. Fischer, L. Wiskott, How to center deep Boltzmann machines, JMLR 17, 2016):

    dW <- dW - mu dc' - db lambda',   then   db <- db - dW lambda,   dc <- dc - dW'mu

Given targets T of the hidden units, (1 - blend) h + blend T stands for h in the data's part of dW, db, dc, as
with Goh's ranks (ops/sparsity.py).

Rectified units: max(0, a + noise of variance s(a)) for a = c + W'x, the mean max(0, a) (V. Nair, G. Hinton,
ICML 2010). Sparsity: ops/sparsity.py. Refinement: the RBM unrolled into the tied autoencoder x -> h -> E[v |
h], improved by backpropagation of the squared error (Gaussian) or the cross-entropy (Bernoulli): the output's
error is E[v | h] - v.
"""

import math
from typing import Any

import numpy as np

from featlearn import _core
from featlearn.models.base import BoltzmannMachine, ChainOfRows, DataSummary, Gradients, Loss, Phase, Step
from featlearn.models.base.papers import HINTON_2002, HINTON_2010
from featlearn.models.settings.rbm import DATA_DRAW, RBMSettings
from featlearn.models.settings.visible import first_bias
from featlearn.ops import sparsity
from featlearn.ops.activations import exp, sigmoid
from featlearn.ops.arrays import add_bias, product, row_distances, row_sum
from featlearn.ops.dense import Dense
from featlearn.ops.graph import Graph, Value, affine
from featlearn.ops.reduce import column_mean, grand_mean, mean, outer_means, rmse
from featlearn.random import Purpose, Random
from featlearn.rows import Array

MOVING = "contrastive divergence draws new states at every update"


class RBM(RBMSettings, ChainOfRows):
    """The restricted Boltzmann machine.

    params: W (visible, hidden), b (visible,), c (hidden,), with learn_sigma z (visible,), the log variances.

    state: q (hidden,) of ops/sparsity.py; chains (chains, hidden) of PCD; mu (visible,), lambda (hidden,).
    """

    id = "rbm"
    title = "a restricted Boltzmann machine"
    papers = (HINTON_2002, HINTON_2010)
    config: RBMSettings.Config

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Make fresh parameters. Raises ConfigError where --visible is auto still."""
        config = self.config = self.resolve(self.config, DataSummary(n_visible))
        assert config.init_scale is not None
        assert config.hidden_bias is not None
        shape = (n_visible, config.hidden)
        if config.init == "normal":
            W = rng.normal(shape, self.dtype, Purpose.INIT) * config.init_scale
        else:
            W = np.zeros(shape, self.dtype)
            units = np.arange(config.hidden)
            W[units % n_visible, units] = config.init_scale
        b = np.zeros(n_visible, self.dtype)
        if config.visible_bias == "data" and mean is not None:
            b[:] = first_bias(mean, self.bernoulli)
        active = 1 / (1 + math.exp(-config.hidden_bias))
        self.params = {"W": W, "b": b, "c": np.full(config.hidden, config.hidden_bias, self.dtype)}
        self.state = {"q": np.full(config.hidden, active, self.dtype)}
        if config.learn_sigma:
            self.params["z"] = np.full(n_visible, 2 * math.log(config.sigma), self.dtype)
        if config.persistent:
            chains = np.full((config.chains, config.hidden), active, self.dtype)
            _core.bernoulli(chains, chains, rng.seed, rng.draw(Purpose.INIT, 1))
            self.state["chains"] = chains
        if config.centered:
            centre = np.full(n_visible, 0.5 * self.bernoulli) if mean is None else mean
            self.state |= {
                "mu": centre.astype(self.dtype),
                "lambda": np.full(config.hidden, active, self.dtype),
            }

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        hidden = self.config.hidden
        z = {"z": (n_visible,)} if self.config.learn_sigma else {}
        return {"W": (n_visible, hidden), "b": (n_visible,), "c": (hidden,)} | z

    @property
    def bernoulli(self) -> bool:
        return self.config.visible == "bernoulli"

    @property
    def variance(self) -> Array | None:
        """(visible,) variance of Gaussian units; None where it is 1 or has no meaning."""
        if "z" in self.params:
            return exp(self.params["z"])
        return None if self.config.sigma == 1 else np.full(self.n_visible, self.config.sigma**2, self.dtype)

    def scaled(self, V: Array) -> Array:
        """What the hidden units see of visible states: v, or v / s^2."""
        variance = self.variance
        return V if variance is None else V / variance

    def encode(self, X: Array) -> Array:
        """Mean of h given each row: (n, visible) -> (n, hidden)."""
        A = product(self.scaled(X), self.params["W"])
        if self.config.units == "binary":
            return sigmoid(A, self.params["c"])
        return np.asarray(np.maximum(A + self.params["c"], 0))

    def portable(self, g: Graph, X: Value) -> Value:
        variance = self.variance
        seen = X if variance is None else g("Div", X, variance)
        A = affine(g, seen, self.params["W"], self.params["c"])
        return g("Sigmoid" if self.config.units == "binary" else "Relu", A)

    def decode(self, H: Array) -> Array:
        """E[v | h] for each row: (n, hidden) -> (n, visible)."""
        V = product(H, self.params["W"], trans_b=True)
        if self.bernoulli:
            return sigmoid(V, self.params["b"])
        return add_bias(V, self.params["b"])

    def encoder_layers(self) -> list[Dense]:
        """One layer; the variance of Gaussian units is in its weights."""
        variance, W = self.variance, self.params["W"]
        seen = W if variance is None else W / variance[:, None]
        kind = "sigmoid" if self.config.units == "binary" else "relu"
        return [Dense(np.ascontiguousarray(seen), self.params["c"], kind)]

    def decoder_layers(self) -> list[Dense]:
        kind = "sigmoid" if self.bernoulli else "linear"
        return [Dense(np.ascontiguousarray(self.params["W"].T), self.params["b"], kind)]

    def sample_hidden(self, X: Array, step: Step, k: int) -> tuple[Array, Array]:
        """Mean of h given each row and states drawn about it, by the draw of Gibbs step k."""
        A = product(self.scaled(X), self.params["W"])
        S = np.empty_like(A)
        if self.config.units == "binary":
            _core.sigmoid_sample(A, S, A, self.params["c"], step.seed, step.draw(2 * k))
            return A, S
        _core.normal(S, step.seed, step.draw(2 * k))
        A += self.params["c"]
        S *= np.sqrt(sigmoid(A.copy(), np.zeros_like(self.params["c"])))
        return np.maximum(A, 0), np.maximum(A + S, 0)

    def sample_visible(self, V: Array, step: Step, k: int) -> Array:
        """Visible states drawn about their means V, by the draw of Gibbs step k."""
        S = np.empty_like(V)
        if self.bernoulli:
            _core.bernoulli(S, V, step.seed, step.draw(2 * k + 1))
            return S
        _core.normal(S, step.seed, step.draw(2 * k + 1))
        variance = self.variance
        return V + (S if variance is None else S * np.sqrt(variance))

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Return the CD-k or PCD-k gradient of a minibatch X (n, visible).

        It is that of minus the (approximate) log-likelihood per case.
        """
        config = self.config
        if config.sample_data:
            pixels, X = X, np.empty_like(X)
            _core.bernoulli(X, pixels, step.seed, step.draw(DATA_DRAW))
        H0, reconstruction, V, H = self.contrast(X, step)
        metrics = {"error": rmse(X, reconstruction), "mean_activation": grand_mean(H0)}
        T = self._blended(sparsity.targets(config, H0), step)
        grads = self.statistics(X, T, V, H)
        if config.centered:
            self._centre(grads, X, T)
        sparsity.add_pull(config, grads, self.state, self.scaled(X), H0)
        return metrics, grads

    def _blended(self, H: Array, step: Step) -> Array:
        """Return what stands for activities H (n, hidden) of a minibatch, its own targets blended in."""
        if self.hidden_targets is None or step.rows is None:
            return H
        assert self.config.blend is not None
        return np.asarray(H + self.config.blend * (self.hidden_targets[step.rows] - H), H.dtype)

    def contrast(self, X: Array, step: Step) -> tuple[Array, Array, Array, Array]:
        """Return E[h | x] of data X, their reconstruction, and the chains that stand for the model.

        These are their visible means or states, and the means of h given them.
        """
        config = self.config
        if config.persistent:
            H0 = self.encode(X)
            return H0, self.decode(H0), *self._persistent_chains(step)
        H0, S = self.sample_hidden(X, step, 0)
        reconstruction = V = self.decode(S)
        for k in range(config.cd):
            if k > 0:
                V = self.decode(self.sample_hidden(V, step, k)[1])
            # a chain without noise knows nothing of its variance
            if config.sample_visible or config.learn_sigma:
                V = self.sample_visible(V, step, k)
        return H0, reconstruction, V, self.encode(V)

    def _persistent_chains(self, step: Step) -> tuple[Array, Array]:
        """k Gibbs steps of the chains: their visible states and the means of h given them."""
        S = self.state["chains"]
        for k in range(1, self.config.cd + 1):
            V = self.sample_visible(self.decode(S), step, k)
            H, S = self.sample_hidden(V, step, k)
        self.state["chains"] = S
        return V, H

    def statistics(self, X: Array, H0: Array, V: Array, H: Array) -> dict[str, Array]:
        """Return <.>_model - <.>_data of each parameter's derivative of -E.

        Data X, H0 and model V, H are of any two lengths.
        """
        x, v = self.scaled(X), self.scaled(V)
        W = outer_means((x, H0, -1), (v, H, 1))
        grads = {"W": W, "b": _difference(v, x), "c": column_mean(H) - column_mean(H0)}
        if self.config.learn_sigma:
            b = self.params["b"]
            spread = _difference(np.square(V - b), np.square(X - b)) / (2 * exp(self.params["z"]))
            grads["z"] = self.config.sigma_rate * (spread - row_sum(self.params["W"] * W))
        return grads

    def _centre(self, grads: dict[str, Array], X: Array, H0: Array) -> None:
        """Makes the gradient the centered one, after the offsets have followed the data."""
        rate, state = self.config.offset_rate, self.state
        state["mu"] = (1 - rate) * state["mu"] + rate * column_mean(X)
        state["lambda"] = (1 - rate) * state["lambda"] + rate * column_mean(H0)
        mu, offset = self.scaled(state["mu"]), state["lambda"]
        # W -= outer(mu, c) + outer(b, lambda)
        _core.gemm(
            grads["W"], np.stack([mu, grads["b"]]), np.stack([grads["c"], offset]), True, alpha=-1, beta=1
        )
        grads["b"] -= product(offset[None], grads["W"], trans_b=True)[0]
        grads["c"] -= product(mu[None], grads["W"])[0]

    def refinement(self, X: Array, step: Step) -> Gradients:
        """Return the gradient through the unrolled autoencoder.

        It is of |E[v | h] - v|^2 / 2 per case (or cross-entropy).
        """
        H = self.encode(X)
        Y = self.decode(H)
        D = Y - X
        delta = product(D, self.params["W"])
        delta = delta * H * (1 - H) if self.config.units == "binary" else delta * (H > 0)
        grads = {"W": outer_means((D, H, 1), (self.scaled(X), delta, 1))}
        grads |= {"b": column_mean(D), "c": column_mean(delta)}
        return {"error": rmse(X, Y), "mean_activation": grand_mean(H)}, grads

    @classmethod
    def variants(cls) -> dict[str, Any]:
        bernoulli: dict[str, Any] = {"visible": "bernoulli"} | cls.small
        gaussian = bernoulli | {"visible": "gaussian"}
        return {
            "bernoulli": cls.Config(**bernoulli),
            "gaussian": cls.Config(**gaussian, sigma=0.7),
            "gaussian, learned sigma": cls.Config(**gaussian, learn_sigma=True, refine=2),
            "rectified": cls.Config(**gaussian, units="rectified"),
            "persistent, centered": cls.Config(**bernoulli, persistent=True, chains=7, centered=True),
            "sampled": cls.Config(**bernoulli, cd=2, sample_visible=True, sample_data=True),
            "sparse, refined": cls.Config(**bernoulli, sparsity_target=0.1, refine=5),
            "sparse by Lee": cls.Config(**bernoulli, sparsity_target=0.1, sparsity_method="lee"),
            "sparse by Goh": cls.Config(**bernoulli, sparsity_target=0.1, sparsity_method="goh"),
        }

    def losses(self) -> dict[str, Loss]:
        """Return the contrast of free energies that contrastive divergence descends, and the refinement.

        The contrast's chains are held.
        """
        found: dict[str, Loss] = {"contrast": self._contrast} if self.config.units == "binary" else {}
        return found | {"refinement": self._unrolled}

    def _contrast(self, X: Array, step: Step) -> Gradients:
        V = 1 - X
        grads = self.statistics(X, self.encode(X), V, self.encode(V))
        if "z" in grads:
            grads["z"] = grads["z"] / self.config.sigma_rate
        return {"loss": mean(self.free_energy(X)) - mean(self.free_energy(V))}, grads

    def _unrolled(self, X: Array, step: Step) -> Gradients:
        rows, A = np.empty(len(X), np.float64), product(self.encode(X), self.params["W"], trans_b=True)
        if self.bernoulli:
            _core.cross_entropy(rows, A, self.params["b"], X)
        else:
            rows = row_distances(A + self.params["b"], X) / 2
        return {"loss": mean(rows)}, self.refinement(X, step)[1]

    def phases(self) -> list[Phase]:
        c = self.config
        learning = Phase("train", self.gradient, moving_loss=MOVING)
        if not c.refine:
            return [learning]
        training: dict[str, Any] = {"lr": c.refine_lr, "initial_epochs": 0}
        if not c.refine_decay:
            training |= {"decay": "none", "decay_weight": None}
        refining = Phase(
            "refinement",
            self.refinement,
            learns=("W", "b", "c"),  # the variances are held
            training=training,
            updates=c.refine,
            options={"lr": "refine_lr", "updates": "refine"},
        )
        return [learning, refining]

    def free_energy(self, X: Array) -> Array:
        """(n,) float64 F of each row, for binary hidden units."""
        return self.machines()[0].free_energy(X)

    def extra_metrics(self, X: Array) -> dict[str, float]:
        return {"free_energy": mean(self.free_energy(X))} if self.config.units == "binary" else {}

    def chain(self, V: Array, step: Step) -> tuple[Array, Array]:
        """One Gibbs step from V (n, visible): E[v | h] and states drawn about it."""
        means = self.decode(self.sample_hidden(V, step, 0)[1])
        return means, self.sample_visible(means, step, 0)

    def machines(self) -> tuple[BoltzmannMachine, ...]:
        """Return the two layers with their parameters; rectified units have no closed free energy."""
        if self.config.units != "binary":
            return ()
        variance = self.variance
        if variance is None and not self.bernoulli:
            variance = np.ones_like(self.params["b"])
        return (BoltzmannMachine(self.params["W"], self.params["b"], self.params["c"], variance),)


def _difference(A: Array, B: Array) -> Array:
    """Column means of A minus those of B, which may have another number of rows."""
    return column_mean(A, out=column_mean(B, -1))
