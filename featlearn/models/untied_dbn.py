"""Deep belief net with weights of its own for each direction, learned by contrastive wake-sleep.

    p(v, h) = p(h_L-1, t, h_L) prod_k p(h_k-1 | h_k),   h_0 = v,   the top: an RBM with labels (label_rbm.py)
    p(h_k-1 = 1 | h_k) = s(g_k + G_k h_k)               generative
    q(h_k = 1 | h_k-1) = s(r_k + R_k'h_k-1)             recognition

The up-down algorithm (G. Hinton, S. Osindero, Y. Teh, A fast learning algorithm for deep belief nets, Neural
Computation 18, 2006, appendix B). Up: states drawn by the recognition weights teach the generative weights to
make each layer of the one above,

    dG_k = <(h_k-1 - p(h_k-1 | h_k)) h_k'>,   dg_k = <h_k-1 - p(h_k-1 | h_k)>

Then some Gibbs steps of the top RBM from there make its own gradient. Down:
states drawn by the generative weights from where the top has come to teach the recognition weights to find
their causes,

    dR_k = <h_k-1 (h_k - q(h_k | h_k-1))'>,   dr_k = <h_k - q(h_k | h_k-1)>

It begins best at a deep belief net that was learned greedily, whose two directions are one. Classes by the
free energies of the labels, given the means of the layer below the top.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import MAX_UNITS, DataSummary, Defaults, Gradients, Loss, Model, Phase, Step
from featlearn.models.base.papers import HINTON_2006
from featlearn.models.label_rbm import LabelRBM
from featlearn.models.rbm import MOVING, RBM
from featlearn.models.settings.rbm import MOST_STEPS
from featlearn.ops.activations import sigmoid
from featlearn.ops.arrays import product
from featlearn.ops.graph import Graph, Value, affine
from featlearn.ops.reduce import column_mean, grand_mean, mean, outer_mean, rmse
from featlearn.random import Purpose, Random
from featlearn.rows import Array
from featlearn.settings import check, fill, setting

TOP = ("W", "b", "c")
REMEDY = "featlearn train --model dbn --labels makes one"
WAKE, SLEEP = 0, 1
"""The draws of a layer on the way up and down, of its own stream."""


class UntiedDBN(Model):
    """The deep belief net of recognition and generative weights.

    params: R1, R2 ... and G1, G2 ... (units below, units), r1 ... (units,), g1 ... (units below,); W, b, c of
    the top (models/label_rbm.py).
    """

    id = "untied-dbn"
    title = "a deep belief net with untied weights"
    papers = (HINTON_2006,)
    labelled = True
    tunable = "--up-down, which goes on with it"
    small: ClassVar[dict[str, Any]] = {"hidden": (5, 4)}
    defaults = Defaults(rates={"sgd": 0.1}, training={"momentum": 0.0})

    @dataclass(frozen=True)
    class Config:
        hidden: tuple[int, ...] = setting(
            (500, 500, 2000), "numbers of units of the hidden layers, from below", low=1, high=MAX_UNITS
        )
        classes: int | None = setting(
            None, "number of classes  [default: those of the data]", low=2, high=MAX_UNITS
        )
        cd: int = setting(3, "Gibbs steps of the top", low=1, high=MOST_STEPS)

        def __post_init__(self) -> None:
            check(self)

    config: Config

    @classmethod
    def resolve(cls, config: Any, data: DataSummary) -> Any:
        """Take as many classes as the data have. Raises ConfigError."""
        if len(config.hidden) < 2:
            raise ConfigError("--hidden: a deep belief net has two hidden layers or more, e.g. 500,2000")
        return fill(config, {"classes": LabelRBM.resolve(_top_config(config), data).classes})

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Make fresh parameters, the same for both directions."""
        config = self.config = self.resolve(self.config, DataSummary(n_visible))
        layers: list[Model] = [
            RBM(RBM.Config(hidden=units, visible="bernoulli"), self.dtype) for units in config.hidden[:-1]
        ]
        layers.append(LabelRBM(_top_config(config), self.dtype))
        for k, layer in enumerate(layers):
            below = config.hidden[k - 1] if k else n_visible
            layer.init(below, Random(rng.seed, rng.stream + k), None if k else mean)
        self.params = self.beginning(layers)

    @staticmethod
    def beginning(layers: Sequence[Model]) -> dict[str, Array]:
        """Return params, arrays of their own, from layers that each learned the codes of the one below it.

        Raises ConfigError where they are no sigmoid units both ways, or no label-rbm is on top.
        """
        *lower, top = layers
        if not lower or not isinstance(top, LabelRBM):
            raise ConfigError(f"the up-down algorithm wants a stack with a label-rbm on top; {REMEDY}")
        params = {name: top.params[name].copy() for name in TOP}
        for k, layer in enumerate(lower, 1):
            ways = *layer.encoder_layers(), *layer.decoder_layers()
            if len(ways) != 2 or any(way.activation != "sigmoid" or way.kept for way in ways):
                raise ConfigError(
                    f"the up-down algorithm wants layers of sigmoid units both ways, and layer {k}, "
                    f"of {layer.id}, is not; {REMEDY}"
                )
            up, down = ways
            params |= {f"R{k}": up.W.copy(), f"r{k}": up.c.copy()}
            params |= {f"G{k}": np.ascontiguousarray(down.W.T), f"g{k}": down.c.copy()}
        return params

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        found = LabelRBM(_top_config(self.config)).shapes(self.config.hidden[-2])
        for k, (below, units) in enumerate(pairwise((n_visible, *self.config.hidden[:-1])), 1):
            found |= {f"R{k}": (below, units), f"r{k}": (units,)}
            found |= {f"G{k}": (below, units), f"g{k}": (below,)}
        return found

    @property
    def top(self) -> LabelRBM:
        """The RBM of the two layers above and the classes, with these parameters."""
        top = LabelRBM(_top_config(self.config), self.dtype)
        top.params = {name: self.params[name] for name in TOP}
        return top

    @property
    def lower(self) -> range:
        """The numbers of the layers below the top, from below."""
        return range(1, len(self.config.hidden))

    @property
    def n_visible(self) -> int:
        return len(self.params["R1"])

    @property
    def weights(self) -> tuple[str, ...]:
        return (*(f"{way}{k}" for k in self.lower for way in "RG"), "W")

    def filters(self) -> Array:
        """Return what the units of the first layer look for."""
        return np.ascontiguousarray(self.params["R1"].T)

    def encode(self, X: Array) -> Array:
        return self.top.encode(self.to_chain(X))

    def portable(self, g: Graph, X: Value) -> Value:
        return self.top.portable(g, self._portable_to_chain(g, X))

    def portable_probabilities(self, g: Graph, X: Value) -> Value:
        return self.top.portable_probabilities(g, self._portable_to_chain(g, X))

    def _portable_to_chain(self, g: Graph, X: Value) -> Value:
        for k in self.lower:
            X = g("Sigmoid", affine(g, X, self.params[f"R{k}"], self.params[f"r{k}"]))
        return X

    def decode(self, H: Array) -> Array:
        return self.from_chain(self.top.decode(H))

    def probabilities(self, X: Array) -> Array:
        """Return p(t = k | x) of each row: (n, visible) -> (n, classes)."""
        return self.top.probabilities(self.to_chain(X))

    def gradient(self, XT: Array, step: Step) -> Gradients:
        """Return minus the directions of the up-down algorithm, of rows [x | t] (n, visible + classes)."""
        X, T = self.visible(XT), self.targets(XT)
        states = self._wake(X, step)
        metrics, grads = self._generative(states)
        joint = self.top.joint
        Z = np.hstack([states[-1], T])
        H0, _, V, H = joint.contrast(Z, step)
        grads |= joint.statistics(Z, H0, V, H)
        below = np.ascontiguousarray(V[:, : -T.shape[1]])
        grads |= self._recognition(self._sleep(below, step))[1]
        return {"error": metrics["error"], "mean_activation": grand_mean(H0)}, grads

    def _wake(self, X: Array, step: Step) -> list[Array]:
        """Return rows X and the states of all layers below the top, drawn upwards by recognition."""
        states = [X]
        for k in self.lower:
            A = product(states[-1], self.params[f"R{k}"])
            states.append(_drawn(A, self.params[f"r{k}"], step, k, WAKE))
        return states

    def _sleep(self, V: Array, step: Step) -> list[Array]:
        """Return means of rows and the states of all layers below the top, drawn downwards from its V."""
        states = [V]
        for k in reversed(self.lower):
            A = product(states[0], self.params[f"G{k}"], trans_b=True)
            g = self.params[f"g{k}"]
            states.insert(0, sigmoid(A, g) if k == 1 else _drawn(A, g, step, k, SLEEP))
        return states

    def _generative(self, states: list[Array]) -> Gradients:
        """Return the gradient of -sum_k log p(h_k-1 | h_k) by G and g, for states from below."""
        grads, losses = dict[str, Array](), 0.0
        for k in self.lower:
            H, below = states[k], states[k - 1]
            A = product(H, self.params[f"G{k}"], trans_b=True)
            losses += _cross_entropy(A, self.params[f"g{k}"], below)
            P = sigmoid(A, self.params[f"g{k}"])
            if k == 1:
                error = rmse(below, P)
            P -= below
            grads |= {f"G{k}": outer_mean(P, H), f"g{k}": column_mean(P)}
        return {"loss": losses, "error": error}, grads

    def _recognition(self, states: list[Array]) -> Gradients:
        """Return the gradient of -sum_k log q(h_k | h_k-1) by R and r, for states from below."""
        grads, losses = dict[str, Array](), 0.0
        for k in self.lower:
            H, below = states[k], states[k - 1]
            A = product(below, self.params[f"R{k}"])
            losses += _cross_entropy(A, self.params[f"r{k}"], H)
            Q = sigmoid(A, self.params[f"r{k}"])
            Q -= H
            grads |= {f"R{k}": outer_mean(below, Q), f"r{k}": column_mean(Q)}
        return {"loss": losses}, grads

    def losses(self) -> dict[str, Loss]:
        """Return what each part descends, with all states held that are drawn by other parts."""

        def wake(XT: Array, step: Step) -> Gradients:
            return self._generative(self._wake(self.visible(XT), step))

        def sleep(XT: Array, step: Step) -> Gradients:
            shape = len(XT), self.config.hidden[-2]
            coins = Random(step.seed).normal(shape, self.dtype, Purpose.STEP) > 0
            return self._recognition(self._sleep(coins.astype(self.dtype), step))

        def top(XT: Array, step: Step) -> Gradients:
            X, T = self.visible(XT), self.targets(XT)
            return self.top.losses()["contrast"](np.hstack([self.to_chain(X), T]), step)

        return {"wake": wake, "sleep": sleep, "top": top}

    def phases(self) -> list[Phase]:
        return [Phase("train", self.gradient, moving_loss=MOVING)]

    def extra_metrics(self, XT: Array) -> dict[str, float]:
        """Return the top's measures of the means below it."""
        X, T = self.visible(XT), self.targets(XT)
        return self.top.extra_metrics(np.hstack([self.to_chain(X), T]))

    @property
    def bernoulli(self) -> bool:
        return True

    @property
    def chain_width(self) -> int:
        return self.config.hidden[-2]

    @property
    def chain_classes(self) -> int:
        return self.top.chain_classes

    def chain(self, V: Array, step: Step) -> tuple[Array, Array]:
        """One Gibbs step of the top from its V (n, chain_width)."""
        return self.top.chain(V, step)

    def chain_of(self, V: Array, T: Array, step: Step) -> tuple[Array, Array]:
        return self.top.chain_of(V, T, step)

    def to_chain(self, X: Array) -> Array:
        """Return the means below the top, by recognition: (n, visible) -> (n, chain_width)."""
        for k in self.lower:
            X = sigmoid(product(X, self.params[f"R{k}"]), self.params[f"r{k}"])
        return X

    def from_chain(self, V: Array) -> Array:
        """Return rows from states below the top, by generation: (n, chain_width) -> (n, visible)."""
        for k in reversed(self.lower):
            V = sigmoid(product(V, self.params[f"G{k}"], trans_b=True), self.params[f"g{k}"])
        return V

    @classmethod
    def variants(cls) -> dict[str, Any]:
        usual: dict[str, Any] = {"classes": 3}
        return {
            "default": cls.Config(**usual | cls.small),
            "three layers": cls.Config(**usual, hidden=(5, 4, 6), cd=2),
        }


def _top_config(config: UntiedDBN.Config) -> LabelRBM.Config:
    """Return the settings of the top, whose chains are drawn wholly."""
    return LabelRBM.Config(
        hidden=config.hidden[-1],
        classes=config.classes,
        cd=config.cd,
        persistent=False,
        sample_data=False,
        sample_visible=True,
    )


def _drawn(A: Array, bias: Array, step: Step, layer: int, draw: int) -> Array:
    """Return states of a layer drawn about s(A + bias), in place of A."""
    name = replace(step, stream=step.stream + layer).draw(draw)
    _core.sigmoid_sample(np.empty_like(A), A, A, bias, step.seed, name, step.before(A))
    return A


def _cross_entropy(A: Array, bias: Array, X: Array) -> float:
    """Return the mean over rows of the cross-entropy of s(A + bias) with X."""
    rows = np.empty(len(X), np.float64)
    _core.cross_entropy(rows, A, bias, X)
    return mean(rows)
