"""Restricted Boltzmann machine over rows and their classes: one visible layer [v | t], t a softmax group.

    E(v, t, h) = -b'v - d't - c'h - v'W h - t'U h       t (classes,): 1 at the class, else 0
    p(h = 1 | v, t) = s(c + W'v + U't)                  s(a) = 1 / (1 + exp(-a))
    p(v = 1 | h)    = s(b + W h)
    p(t = k | h)    = exp(d_k + U_k h) / sum_l exp(d_l + U_l h)
    F(v, t) = -b'v - d't - sum_j log(1 + exp(c_j + W_j'v + U_j't))
    p(t = k | v)    = exp(-F(v, k)) / sum_l exp(-F(v, l))
    E[h | v]        = sum_k p(t = k | v) s(c + W'v + U_k)

The top of a deep belief net (G. Hinton, S. Osindero, Y. Teh, A fast learning algorithm for deep belief nets,
Neural Computation 18, 2006) and the generative classifier of H. Larochelle, Y. Bengio, Classification using
discriminative restricted Boltzmann machines, ICML 2008. It learns as every RBM does (models/rbm.py), by CD-k
or PCD-k, of rows [x | t]: W and U are one matrix there, b and d one vector.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import MAX_UNITS, ChainOfRows, DataSummary, Defaults, Gradients, Loss, Phase, Step
from featlearn.models.base.papers import HINTON_2006, LAROCHELLE_2008
from featlearn.models.rbm import MOVING, RBM
from featlearn.models.settings.rbm import LABEL_DRAW, RATE, RBMSettings
from featlearn.ops.activations import sigmoid
from featlearn.ops.arrays import product
from featlearn.ops.categorical import one_hot
from featlearn.ops.graph import Graph, Value
from featlearn.ops.reduce import column_mean, mean, outer_mean
from featlearn.random import Random
from featlearn.rows import Array, Float64
from featlearn.settings import fill, setting


class Joint(RBM):
    """The RBM over [v | t]: rows, means and states are (n, visible + classes)."""

    id = ""
    config: "LabelRBM.Config"

    def decode(self, H: Array) -> Array:
        """E[v, t | h] for each row: (n, hidden) -> (n, visible + classes)."""
        n = self.n_visible - self.config.known_classes
        V, b = product(H, self.params["W"], trans_b=True), self.params["b"]
        P = np.ascontiguousarray(V[:, n:])
        _core.softmax(P, None, P, b[n:], None)
        V = sigmoid(V, b)
        V[:, n:] = P
        return V

    def sample_visible(self, V: Array, step: Step, k: int) -> Array:
        S = super().sample_visible(V, step, k)
        n = self.n_visible - self.config.known_classes
        S[:, n:] = one_hot(V[:, n:], step.seed, step.draw(LABEL_DRAW + k))
        return S


class LabelRBM(RBMSettings, ChainOfRows):
    """The RBM of rows and classes.

    params: W (visible + classes, hidden), b (visible + classes,), c (hidden,); state as of models/rbm.py.
    """

    id = "label-rbm"
    title = "a restricted Boltzmann machine with classes"
    papers = (HINTON_2006, LAROCHELLE_2008)
    labelled = True
    tunable = "--up-down, which fine-tunes a deep belief net with it on top"
    defaults = Defaults(
        rates={"sgd": RATE / 2},
        rate_unit="over the mean squared length of a row, at most 0.05",
        training={"momentum": 0.5, "decay": "l2"},
        decay_weights={"l1": 2e-4, "l2": 2e-4},
    )

    @dataclass(frozen=True)
    class Config(RBMSettings.Config):
        persistent: bool = setting(True, "persistent chains (PCD); CD makes rows of no class from noise")
        sample_data: bool = setting(
            True, "take values as probabilities and draw new binary ones at each update"
        )
        classes: int | None = setting(
            None, "number of classes  [default: those of the data]", low=2, high=MAX_UNITS
        )
        discriminative: float = setting(
            0.0, "weight of -log p(class | row) beside the likelihood of both", low=0, high=1e6
        )
        visible: ClassVar[str] = "bernoulli"  # type: ignore[misc]
        units: ClassVar[str] = "binary"  # type: ignore[misc]
        hidden_targets: ClassVar[None] = None  # type: ignore[misc]
        blend: ClassVar[None] = None  # type: ignore[misc]
        sigma: ClassVar[float] = 1.0  # type: ignore[misc]
        learn_sigma: ClassVar[bool] = False  # type: ignore[misc]
        sigma_rate: ClassVar[float] = 0.0  # type: ignore[misc]
        refine: ClassVar[int] = 0  # type: ignore[misc]
        refine_lr: ClassVar[float] = 0.0  # type: ignore[misc]
        refine_decay: ClassVar[bool] = False  # type: ignore[misc]

        @property
        def known_classes(self) -> int:
            """The number of classes of a resolved config."""
            assert self.classes is not None
            return self.classes

    config: Config

    @classmethod
    def resolve(cls, config: Any, data: DataSummary) -> Any:
        """Choose initial values, and as many classes as the data have."""
        if data.known_within(0, 1) is False:
            raise ConfigError(
                f"--model label-rbm: {data.words}, wanted 0..1; extract with --normalize none, "
                "or learn binary codes first"
            )
        if config.classes is None and data.classes is None:
            raise ConfigError("--model label-rbm: learns of rows with labels, and these have none")
        return super().resolve(fill(config, {"classes": data.classes}), data)

    @classmethod
    def usual_rates(cls, config: Any, data: DataSummary) -> dict[str, float]:
        """Half of those of an RBM with CD: chains have to follow."""
        return {name: rate / 2 for name, rate in super().usual_rates(config, data).items()}

    @property
    def joint(self) -> Joint:
        """The RBM over [v | t], with these parameters and this state."""
        joint = Joint(self.config, self.dtype)
        joint.params, joint.state = self.params, self.state
        return joint

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Make fresh parameters. Raises ConfigError where the number of classes is not known."""
        config = self.config = self.resolve(self.config, DataSummary(n_visible))
        joint = Joint(config, self.dtype)
        shares = np.full(config.known_classes, 1 / config.known_classes)
        joint.init(n_visible + config.known_classes, rng, None if mean is None else np.append(mean, shares))
        joint.params["b"][n_visible:] = 0
        self.params, self.state = joint.params, joint.state

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        return Joint(self.config, self.dtype).shapes(n_visible + self.config.known_classes)

    @property
    def n_visible(self) -> int:
        return len(self.params["W"]) - self.config.known_classes

    def filters(self) -> Array:
        return np.ascontiguousarray(self.params["W"][: self.n_visible].T)

    def encode(self, X: Array) -> Array:
        """E[h | x] of each row, over all classes: (n, visible) -> (n, hidden)."""
        A = self._input(X)
        P = self._probabilities(A).astype(self.dtype)
        H = np.zeros_like(A)
        for k, S in enumerate(self._hidden_means(A)):
            H += P[:, k : k + 1] * S
        return H

    def portable(self, g: Graph, X: Value) -> Value:
        P = g("Unsqueeze", self.portable_probabilities(g, X), np.array([2]))
        means = g("Mul", P, g("Sigmoid", self._portable_input(g, X)))
        return g("ReduceSum", means, np.array([1]), keepdims=0)

    def portable_probabilities(self, g: Graph, X: Value) -> Value:
        scores = g("ReduceSum", g("Softplus", self._portable_input(g, X)), np.array([2]), keepdims=0)
        return g("Softmax", g("Add", scores, self.params["b"][self.n_visible :]), axis=1)

    def _portable_input(self, g: Graph, X: Value) -> Value:
        """Write down what the hidden units get of rows and each class, (n, classes, hidden)."""
        A = g("MatMul", X, self.params["W"][: self.n_visible])
        return g("Add", g("Unsqueeze", A, np.array([1])), self._biases())

    def decode(self, H: Array) -> Array:
        """E[v | h] for each row: (n, hidden) -> (n, visible)."""
        n = self.n_visible
        return sigmoid(product(H, self.params["W"][:n], trans_b=True), self.params["b"][:n])

    def probabilities(self, X: Array) -> Array:
        """Return p(t = k | x) of each row: (n, visible) -> (n, classes)."""
        return self._probabilities(self._input(X)).astype(self.dtype)

    def _input(self, X: Array) -> Array:
        """What the hidden units get of rows, without classes and biases: (n, visible) -> (n, hidden)."""
        return product(X, self.params["W"][: self.n_visible])

    def _biases(self) -> Array:
        """(classes, hidden) c + U_k."""
        return np.asarray(self.params["c"] + self.params["W"][self.n_visible :])

    def _hidden_means(self, A: Array) -> Iterator[Array]:
        """Yield for each class E[h | x, t] of rows with the input A, (n, hidden)."""
        return (sigmoid(A.copy(), bias) for bias in self._biases())

    def _probabilities(self, A: Array, losses: Float64 | None = None, labels: Array | None = None) -> Float64:
        """Return p(t = k | x) of rows with the input A, (n, classes); -log of those of labels in losses."""
        scores = np.empty((self.config.known_classes, len(A)), np.float64)
        for out, bias in zip(scores, self._biases(), strict=True):
            _core.row_softplus(out, A, bias)
        P = np.ascontiguousarray(scores.T)
        _core.softmax(P, losses, P, self.params["b"][self.n_visible :].astype(np.float64), labels)
        return P

    def gradient(self, XT: Array, step: Step) -> Gradients:
        """Return the CD-k or PCD-k gradient of rows [x | t] (n, visible + classes)."""
        metrics, grads = self.joint.gradient(XT, step)
        if self.config.discriminative:
            for name, grad in self._discriminative(XT, step)[1].items():
                grads[name] += grad.dtype.type(self.config.discriminative) * grad
        return metrics, grads

    def losses(self) -> dict[str, Loss]:
        """Return the contrast of free energies of the RBM over [v | t], and -log p(t | v)."""
        return {"contrast": self.joint.losses()["contrast"], "discriminative": self._discriminative}

    def _discriminative(self, XT: Array, step: Step) -> Gradients:
        """Return the mean of -log p(t | x) over rows [x | t]."""
        n = self.n_visible
        X, T = self.visible(XT), self.targets(XT)
        losses = np.empty(len(XT))
        A = self._input(X)
        D = (self._probabilities(A, losses, T.argmax(axis=1).astype(np.int32)) - T).astype(self.dtype)
        grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        column_mean(D, out=grads["b"][n:])
        total = np.zeros_like(A)
        for k, S in enumerate(self._hidden_means(A)):
            S *= D[:, k : k + 1]
            total += S
            column_mean(S, out=grads["W"][n + k])
        outer_mean(X, total, out=grads["W"][:n])
        column_mean(total, out=grads["c"])
        return {"loss": mean(losses)}, grads

    def phases(self) -> list[Phase]:
        return [Phase("train", self.gradient, moving_loss=MOVING)]

    def extra_metrics(self, XT: Array) -> dict[str, float]:
        """Return the mean free energy of rows [x | t]."""
        return self.joint.extra_metrics(XT)

    @property
    def bernoulli(self) -> bool:
        return True

    @property
    def chain_classes(self) -> int:
        return self.config.known_classes

    def chain(self, V: Array, step: Step) -> tuple[Array, Array]:
        """One Gibbs step from V (n, visible): classes given V, hidden units given both, V given these."""
        T = one_hot(self.probabilities(V), step.seed, step.draw(LABEL_DRAW))
        return self.chain_of(V, T, step)

    def chain_of(self, V: Array, T: Array, step: Step) -> tuple[Array, Array]:
        """One Gibbs step from V (n, visible) with the classes T (n, classes) held."""
        means, states = self.joint.chain(np.hstack([V, T]), step)
        return self.visible(means), self.visible(states)

    @classmethod
    def variants(cls) -> dict[str, Any]:
        usual: dict[str, Any] = {"classes": 3} | cls.small
        return {
            "persistent": cls.Config(**usual, chains=7, cd=2),
            "contrastive": cls.Config(**usual, persistent=False, sample_data=False, discriminative=0.5),
            "sampled": cls.Config(**usual, persistent=False, sample_visible=True),
            "centered, sparse": cls.Config(**usual, chains=7, centered=True, sparsity_target=0.1),
        }
