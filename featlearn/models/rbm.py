"""Restricted Boltzmann machine with Bernoulli or Gaussian visible units and binary or rectified hidden units.

    E(v, h) = -b'v - c'h - v'W h                                     Bernoulli visibles
    E(v, h) = sum (v - b)^2 / (2 s^2) - c'h - (v / s^2)'W h          Gaussian visibles of variance s^2 = exp(z)
    p(h = 1 | v) = s(c + W'x),  x = v or v / s^2                     s(a) = 1 / (1 + exp(-a))
    E[v | h]     = s(b + W h)   or   b + W h
    F(v) = -b'v - sum_j log(1 + exp(c_j + W_j'x))   or with sum (v - b)^2 / (2 s^2) for -b'v;  log p(v) = -F(v) - log Z

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

Rectified units: max(0, a + noise of variance s(a)) for a = c + W'x, the mean max(0, a) (V. Nair, G. Hinton,
ICML 2010). Sparsity: ops/sparsity.py. Refinement: the RBM unrolled into the tied autoencoder x -> h -> E[v |
h], improved by backpropagation of the squared error (Gaussian) or the cross-entropy (Bernoulli): the output's
error is E[v | h] - v.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import (
    DRAWS,
    MAX_UNITS,
    UNIT_SPREAD,
    BoltzmannMachine,
    DataSummary,
    Defaults,
    Gradients,
    HiddenConfig,
    Layer,
    Loss,
    Phase,
    Step,
)
from featlearn.ops import sparsity
from featlearn.ops.activations import exp, sigmoid
from featlearn.ops.arrays import add_bias, product, row_distances, row_squares, row_sum
from featlearn.ops.graph import Graph, Value, affine
from featlearn.ops.reduce import column_mean, grand_mean, mean, outer_mean, rmse
from featlearn.ops.sparsity import SparsityConfig
from featlearn.random import Purpose, Random
from featlearn.rows import Array
from featlearn.settings import fill, rounded, setting

RATE, SHORTEST, WIDE = 8.0, 80, 1.5  # of usual_rates: squared lengths, by unit that of gaussian visibles
LOUD = 2.5  # times the data's standard deviation: a sigma that leaves little to learn
REFINE = 2.56  # times the inverse of the variance: the rate of the refinement
RARE = 1e-4  # pixels that are on less often (or off) start with a bias as if they were on so often
INIT_SCALES = {"normal": 0.01, "identity": 0.5}  # of the initial weights
DATA_DRAW = DRAWS - 1  # the draw that makes pixels of grey values; Gibbs step k has the draws 2k and 2k + 1
MOST_STEPS = (DATA_DRAW - 2) // 2  # of Gibbs sampling in an update, that its draws stay below


class RBM(Layer):
    """params: W (visible, hidden), b (visible,), c (hidden,), with learn_sigma z (visible,), the log
    variances.

    state: q (hidden,) of ops/sparsity.py; chains (chains, hidden), hidden states of PCD; mu (visible,)
    and lambda (hidden,), the offsets.
    """

    id = "rbm"
    defaults = Defaults(
        rates={"sgd": RATE},
        rate_unit="over the mean squared length of a row, at most 0.1 (gaussian: half of it)",
        training={"lr_schedule": "constant"},
    )

    @dataclass(frozen=True)
    class Config(SparsityConfig, HiddenConfig):
        visible: str = setting(
            "auto",
            "kind of visible units; auto: bernoulli for data within 0..1, else gaussian",
            choices=("auto", "bernoulli", "gaussian"),
        )
        units: str = setting("binary", "kind of hidden units", choices=("binary", "rectified"))
        sigma: float = setting(1.0, "standard deviation of gaussian visible units", above=0, high=1e9)
        learn_sigma: bool = setting(
            False, "learn the standard deviation of each gaussian visible unit, from --sigma"
        )
        sigma_rate: float = setting(
            0.1, "learning rate of the log variances, in units of --lr", above=0, needs="learn_sigma"
        )
        cd: int = setting(1, "Gibbs steps of contrastive divergence (CD-k, PCD-k)", low=1, high=MOST_STEPS)
        persistent: bool = setting(False, "persistent chains (PCD), for a better density model")
        chains: int = setting(100, "number of persistent chains", low=1, high=MAX_UNITS, needs="persistent")
        sample_visible: bool = setting(
            False,
            "draw the visible units of CD's chain too, for a better density model",
            without="persistent",
        )
        sample_data: bool = setting(
            False, "take grey pixels as probabilities and draw new binary ones at each update"
        )
        centered: bool = setting(
            False, "centered gradient, which learns a picture and its negative equally well"
        )
        offset_rate: float = setting(
            0.01, "how fast the offsets of --centered follow the data", above=0, high=1, needs="centered"
        )
        init: str = setting(
            "normal",
            "initial weights: small normal numbers, or a scaled identity",
            choices=("normal", "identity"),
        )
        init_scale: float | None = setting(
            None,
            "standard deviation or diagonal of the initial weights  [default: 0.01 normal, 0.5 identity]",
            low=0,
            high=1000,
        )
        visible_bias: str = setting(
            "data",
            "initial visible bias: log-odds (bernoulli) or mean (gaussian) of each pixel, or zero",
            choices=("data", "zero"),
        )
        hidden_bias: float | None = setting(
            None,
            "initial hidden bias  [default: 0, or log(t / (1 - t)) with a sparsity target t; rectified units: 0]",
            low=-1000,
            high=1000,
        )
        refine: int = setting(0, "autoencoder refinement after CD, in mini-batch updates", low=0)
        refine_lr: float | None = setting(
            None,
            "learning rate of the refinement  [default: 2.56 over the data's variance, summed over a row]",
            above=0,
            needs="refine",
            off="no refinement",
        )
        refine_decay: bool = setting(True, "weight decay goes on during the refinement", needs="refine")

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.visible == "bernoulli" and (self.learn_sigma or self.sigma != 1):
                raise ConfigError(
                    "--sigma, --learn-sigma: bernoulli visible units have none; use --visible gaussian"
                )
            if self.visible == "gaussian" and self.sample_data:
                raise ConfigError("--sample-data: makes binary pixels; use --visible bernoulli")
            if self.units == "rectified" and self.target is not None and self.sparsity != "hinton":
                raise ConfigError(
                    f"--sparsity {self.sparsity}: made for probabilities; rectified units have --sparsity hinton"
                )

    config: Config

    @classmethod
    def resolve(cls, config: Config, data: DataSummary) -> Config:
        """Choose visible units that fit the data, initial values and the strength of the pull."""
        within, visible = data.known_within(0, 1), config.visible
        if visible == "bernoulli" and within is False:
            raise ConfigError(
                f"--visible bernoulli: {data.words}, wanted 0..1; "
                "use --visible gaussian or extract with --normalize none"
            )
        if visible == "auto":
            if within is None:
                raise ConfigError("--visible: auto wants the range of the data; say bernoulli or gaussian")
            visible = "bernoulli" if within else "gaussian"
        sparse = config.target if config.units == "binary" else None
        usual = {
            "init_scale": INIT_SCALES[config.init],
            "hidden_bias": 0.0 if sparse is None else _log_odds(sparse),
            "target_weight": config.usual_target_weight,
            "refine_lr": rounded(REFINE / (data.variance or data.n_visible)) if config.refine else None,
        }
        return fill(replace(config, visible=visible), usual)

    @classmethod
    def usual_rates(cls, config: Config, data: DataSummary) -> dict[str, float]:
        """8 over the mean squared length of a row, a factor in the weights' gradient, but at most .1.

        Gaussian visible units follow what all hidden units say together: there it is half of that, and at
        most 8/3 over the number of hidden units; a fortieth of this with rectified units, which have no
        bound, and a hundredth with persistent chains, which nothing brings back to the data. Lengths are in
        units of sigma, which weights have too: sigma^2 times that rate takes the steps of sigma 1 on data
        divided by sigma.
        """
        least: float = SHORTEST
        rate, unit = RATE, 1.0
        if config.visible == "gaussian":
            rate, unit = RATE / 2, config.sigma**2
            least = (
                WIDE
                * config.hidden
                * (100 if config.persistent else 40 if config.units == "rectified" else 1)
            )
        return {"sgd": rounded(unit * rate / max((data.square or unit * data.n_visible) / unit, least))}

    @classmethod
    def wanted_spread(cls, config: Config, data: DataSummary) -> tuple[float, float] | None:
        """About 1, that of gaussian visible units; a sigma that is given is one for the data as they are."""
        bernoulli = config.visible == "bernoulli" or (config.visible == "auto" and data.known_within(0, 1))
        return None if bernoulli or config.sigma != 1 else UNIT_SPREAD

    @classmethod
    def doubts(cls, config: Config, data: DataSummary) -> str:
        """A sigma far above the deviation of the data: what is smaller than sigma is noise to the model."""
        times = config.sigma / (data.spread or math.inf)
        if config.visible == "bernoulli" or config.learn_sigma or times < LOUD:
            return ""
        return (
            f"--sigma {config.sigma:g} is {times:.2g} times the data's standard deviation: it takes most of them for "
            "noise, and learns little; leave it out"
        )

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
            b[:] = [_log_odds(min(max(p, RARE), 1 - RARE)) for p in mean] if self.bernoulli else mean
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
    def wanted_activity(self) -> tuple[float, float] | None:
        return None if self.config.target is None else (0.0, self.config.target)

    def remedies(self) -> dict[str, dict[str, Any]]:
        """A target makes edges of photographs (Lee, Ekanadham & Ng, NIPS 2007), but no better codes of
        digits."""
        edges: dict[str, Any] = {"target": self.config.target or 0.02, "lr": 0.1, "lr_schedule": "linear"}
        found: dict[str, dict[str, Any]] = {"noise": edges, "activity": {"lr": 0.1}}
        if self.config.sigma != 1:
            edges["sigma"] = None
            found["nothing"] = {"sigma": None}
        if self.config.target is not None:
            found |= {
                "classifier": {"target": None},
                "dead": {"target_weight": (self.config.target_weight or 1.0) / 10},
            }
        if (self.config.hidden_bias or 0) > 0:
            found["saturated"] = {"hidden_bias": None}
        return found

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
        """CD-k or PCD-k on a minibatch X (n, visible): gradient of minus the (approximate) log-likelihood per
        case."""
        config = self.config
        if config.sample_data:
            pixels, X = X, np.empty_like(X)
            _core.bernoulli(X, pixels, step.seed, step.draw(DATA_DRAW))
        if config.persistent:
            H0 = self.encode(X)
            reconstruction = self.decode(H0)
            V, H = self._persistent_chains(step)
        else:
            H0, S = self.sample_hidden(X, step, 0)
            reconstruction = V = self.decode(S)
            for k in range(config.cd):
                if k > 0:
                    V = self.decode(self.sample_hidden(V, step, k)[1])
                if (
                    config.sample_visible or config.learn_sigma
                ):  # a chain without noise knows nothing of its variance
                    V = self.sample_visible(V, step, k)
            H = self.encode(V)
        metrics = {"error": rmse(X, reconstruction), "mean_activation": grand_mean(H0)}
        T = sparsity.targets(config, H0)
        grads = self._statistics(X, T, V, H)
        if config.centered:
            self._centre(grads, X, T)
        sparsity.add_pull(config, grads, self.state, self.scaled(X), H0)
        return metrics, grads

    def _persistent_chains(self, step: Step) -> tuple[Array, Array]:
        """k Gibbs steps of the chains: their visible states and the means of h given them."""
        S = self.state["chains"]
        for k in range(1, self.config.cd + 1):
            V = self.sample_visible(self.decode(S), step, k)
            H, S = self.sample_hidden(V, step, k)
        self.state["chains"] = S
        return V, H

    def _statistics(self, X: Array, H0: Array, V: Array, H: Array) -> dict[str, Array]:
        """<.>_model - <.>_data of each parameter's derivative of -E: data X, H0 and model V, H, of any two
        lengths."""
        x, v = self.scaled(X), self.scaled(V)
        W = outer_mean(v, H, out=outer_mean(x, H0, -1))
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
        """Backpropagation through the unrolled autoencoder; of |E[v | h] - v|^2 / 2 per case (or
        cross-entropy)."""
        H = self.encode(X)
        Y = self.decode(H)
        D = Y - X
        delta = product(D, self.params["W"])
        delta = delta * H * (1 - H) if self.config.units == "binary" else delta * (H > 0)
        grads = {"W": outer_mean(self.scaled(X), delta, out=outer_mean(D, H))}
        grads |= {"b": column_mean(D), "c": column_mean(delta)}
        return {"error": rmse(X, Y), "mean_activation": grand_mean(H)}, grads

    @classmethod
    def variants(cls) -> dict[str, Config]:
        bernoulli: dict[str, Any] = {"visible": "bernoulli"} | cls.small
        gaussian = bernoulli | {"visible": "gaussian"}
        return {
            "bernoulli": cls.Config(**bernoulli),
            "gaussian": cls.Config(**gaussian, sigma=0.7),
            "gaussian, learned sigma": cls.Config(**gaussian, learn_sigma=True, refine=2),
            "rectified": cls.Config(**gaussian, units="rectified"),
            "persistent, centered": cls.Config(**bernoulli, persistent=True, chains=7, centered=True),
            "sampled": cls.Config(**bernoulli, cd=2, sample_visible=True, sample_data=True),
            "sparse, refined": cls.Config(**bernoulli, target=0.1, refine=5),
            "sparse by Lee": cls.Config(**bernoulli, target=0.1, sparsity="lee"),
            "sparse by Goh": cls.Config(**bernoulli, target=0.1, sparsity="goh"),
        }

    def losses(self) -> dict[str, Loss]:
        """The contrast of free energies that contrastive divergence descends, its chains held; the
        refinement's."""
        found: dict[str, Loss] = {"contrast": self._contrast} if self.config.units == "binary" else {}
        return found | {"refinement": self._unrolled}

    def _contrast(self, X: Array, step: Step) -> Gradients:
        V = 1 - X
        grads = self._statistics(X, self.encode(X), V, self.encode(V))
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
        moving = "contrastive divergence draws new states at every update"
        learning = Phase("train", self.gradient, moving_loss=moving)
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
        out = np.empty(len(X), np.float64)
        _core.row_softplus(out, product(self.scaled(X), self.params["W"]), self.params["c"])
        if self.bernoulli:
            return -out - product(X, self.params["b"][:, None])[:, 0]
        spread = np.sqrt(_or_ones(self.variance, self.params["b"]))
        return np.asarray(row_squares((X - self.params["b"]) / spread) / 2 - out)

    def extra_metrics(self, X: Array) -> dict[str, float]:
        return {"free_energy": mean(self.free_energy(X))} if self.config.units == "binary" else {}

    def chain(self, V: Array, step: Step) -> tuple[Array, Array]:
        """One Gibbs step from V (n, visible): E[v | h] and states drawn about it."""
        means = self.decode(self.sample_hidden(V, step, 0)[1])
        return means, self.sample_visible(means, step, 0)

    def boltzmann(self) -> BoltzmannMachine | None:
        """Return the two layers with their parameters; rectified units have no closed free energy."""
        if self.config.units != "binary":
            return None
        variance = None if self.bernoulli else _or_ones(self.variance, self.params["b"])
        return BoltzmannMachine(self.params["W"], self.params["b"], self.params["c"], variance)


def _or_ones(variance: Array | None, like: Array) -> Array:
    return np.ones_like(like) if variance is None else variance


def _difference(A: Array, B: Array) -> Array:
    """Column means of A minus those of B, which may have another number of rows."""
    return column_mean(A, out=column_mean(B, -1))


def _log_odds(p: float) -> float:
    return math.log(p / (1 - p))
