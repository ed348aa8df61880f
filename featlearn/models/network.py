"""A net of dense layers with softmax on top, that learns classes from labelled rows by backpropagation.

    h_0 = x,   h_l = f(W_l'h_{l-1} + c_l)           `kept`: of each row the largest entries alone
    p(k | x) = exp(w_k'h_L + b_k) / sum_m exp(w_m'h_L + b_m)
    J = -1/n sum over cases of sum_k t_k log p(k | x)
    delta = p - t,   dW = <h_L delta'>,   db = <delta>,   and down the layers as in ops/dense.py

D. Rumelhart, G. Hinton, R. Williams, Learning representations by back-propagating errors, Nature 323, 1986.
t is 1 at the class, else 0; smoothed by s it is (1 - s) t + s / classes (C. Szegedy et al., Rethinking the
Inception architecture, CVPR 2016). Weights begin by K. He, X. Zhang, S. Ren, J. Sun, Delving deep into
rectifiers, ICCV 2015 (rectified units: normal, variance 2 / inputs), or by X. Glorot, Y. Bengio,
Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010 (other units: uniform
within sqrt(6 / (inputs + units))), those of the classes at normal(0, 0.01); biases at 0. Dropout
(ops/dense.py), and max-norm: weights of a unit that are longer than that are made so long after each update
(N. Srivastava et al., JMLR 15, 2014).

The class of a row [x | 0] is not known. With `pseudo_labels` its target is its likeliest class, by the net
without dropout (D.-H. Lee, Pseudo-Label, ICML workshop on challenges in representation learning, 2013):
J = the mean over labelled rows + a that over the others, a from 0 to 1 in the first half of the updates.
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
from featlearn.models.base.papers import RUMELHART_1986
from featlearn.models.settings.chain import (
    begun,
    chain_of,
    chain_shapes,
    each,
    grads_of,
    pairs_of,
    refuse_layers,
)
from featlearn.models.settings.network import Classes, HiddenRegularization
from featlearn.models.settings.slope import SlopeConfig, refuse_idle_slope, with_slope
from featlearn.ops import dense
from featlearn.ops.activations import ACTIVATIONS, uncurved
from featlearn.ops.arrays import row_sum, sum_columns
from featlearn.ops.curvature import ChainCurvature, Top, Vector
from featlearn.ops.dense import Dense, Dropout
from featlearn.ops.graph import Graph, Value
from featlearn.ops.reduce import grand_mean, mean, total_and_count
from featlearn.ops.softmax import cross_entropy, predicted, softmax
from featlearn.random import Purpose, Random
from featlearn.rows import Array, Float64
from featlearn.settings import fill, setting

RAMP = 0.5  # of the updates: then pseudo-labels weigh as much as labels
TOP_SCALE = 0.01  # standard deviation of the classes' weights at first
SHOWN, FEWEST, TOGETHER = 375_000, 5, 250  # rows, passes and rows in a minibatch with pseudo-labels


def length(n: int, config: Any) -> tuple[int, int]:
    """Return epochs and rows in a minibatch that suit n labelled rows, from few to many.

    Where half of the hidden units learn at a time, twice the epochs are worth it. Rows without a class are
    many, and few passes over them do.
    """
    if config.pseudo_labels:
        return max(FEWEST, round(SHOWN / n)), min(TOGETHER, n)
    epochs = max(10, round(400 * n**-0.3)) * (2 if config.hidden_dropout else 1)
    return epochs, max(1, min(100, round(3.2 * n**0.4), n))


LENGTH_IN_WORDS = (
    "100 of 100 rows, 50 of 1000, 15 of 60,000; twice that with hidden dropout; beside unlabelled rows 5 of "
    "75,000 in all, and more of fewer",
    "20 of 100 rows, 50 of 1000, 100 of 5500 and more; beside unlabelled rows 250",
)


class Network(Model):
    """params: for each hidden layer l = 1, 2, ... W_l (inputs, units), c_l (units,); W (units, classes), b.

    For maxout W_l and c_l have two columns a unit; prelu has slopes s_l (units,). Their names are W1, c1, W2
    and so on.
    """

    id = "network"
    title = "a feed-forward network"
    papers = (RUMELHART_1986,)
    labelled = True
    decodes = False
    defaults = Defaults(
        rates={"sgd": 0.1},
        training={"optimizer": "adam"},
        decay_weights={"l1": 1e-5, "l2": 1e-4},
        length=length,
        length_in_words=LENGTH_IN_WORDS,
    )
    small: ClassVar[dict[str, Any]] = {"hidden": (5, 4)}

    @dataclass(frozen=True)
    class Config(SlopeConfig, HiddenRegularization, Classes):
        hidden: tuple[int, ...] = setting(
            (500, 500), "units of each hidden layer, from the input up", low=1, high=MAX_UNITS
        )
        activation: str = setting(
            "relu",
            f"hidden units: {', '.join(ACTIVATIONS)}; one for all layers, or one each (sigmoid,linear)",
        )
        kept: tuple[int, ...] | None = setting(
            None,
            "entries of a code that stay, the largest; one number for all layers, or one each, 0 for all",
            low=0,
            off="all",
        )
        pseudo_labels: bool = False
        """Whether there are rows of unknown class. No option: it follows from the data."""

        def __post_init__(self) -> None:
            super().__post_init__()
            refuse_layers(self.activations, self.stays, self.hidden)
            refuse_idle_slope(self.slope, self.activations)

        @property
        def activations(self) -> tuple[str, ...]:
            """The activation function of each hidden layer."""
            return each("activation", tuple(self.activation.split(",")), len(self.hidden))

        @property
        def stays(self) -> tuple[int, ...]:
            """The entries that stay of each hidden layer's code; 0: all."""
            return each("kept", self.kept or (0,), len(self.hidden))

    config: Any

    @classmethod
    def resolve(cls, config: Any, data: DataSummary) -> Any:
        """Take the number of classes from the data. Raises ConfigError where another one is said."""
        if None not in (config.classes, data.classes) and config.classes != data.classes:
            raise ConfigError(
                f"--classes {config.classes}: the data set has {data.classes}; leave the option out"
            )
        return fill(with_slope(config, config.activations), {"classes": data.classes})

    @classmethod
    def wanted_spread(cls, config: Any, data: DataSummary) -> tuple[float, float] | None:
        """About 1, but for pixels in 0..1."""
        return None if data.known_within(0, 1) else UNIT_SPREAD

    @classmethod
    def variants(cls) -> dict[str, Any]:
        made: dict[str, dict[str, Any]] = {kind: {"activation": kind} for kind in ACTIVATIONS}
        made |= {
            "sigmoid, then linear": {"activation": "sigmoid,linear"},
            "three layers": {"hidden": (5, 4, 3)},
            "no hidden layer": {"hidden": ()},
            "kept": {"kept": (3, 2)},
            "kept, sigmoid": {"kept": (3, 0), "activation": "sigmoid"},
            "kept, prelu": {"kept": (3,), "activation": "prelu", "slope": 0.4},
            "leaky, then prelu": {"activation": "leaky-relu,prelu", "slope": 0.3},
            "kept, maxout": {"kept": (3,), "activation": "maxout"},
            "dropout": {"input_dropout": 0.2, "hidden_dropout": 0.5},
            "max-norm": {"max_norm": 0.7},
            "smoothing": {"label_smoothing": 0.1},
            "pseudo-labels": {"pseudo_labels": True},
        }
        return {name: cls.Config(**cls.small | options) for name, options in made.items()}

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Make fresh parameters. Raises ConfigError where the number of classes is not known."""
        config = self.config = self.resolve(self.config, DataSummary(n_visible))
        if config.classes is None:
            raise ConfigError("--classes: is not said, and no labelled data say it")
        self.params = {}
        for name, shape in self.shapes(n_visible).items():
            if name == "W":
                draw = len(config.hidden)
                self.params[name] = TOP_SCALE * rng.normal(shape, self.dtype, Purpose.INIT, draw)
            elif name == "b":
                self.params[name] = np.zeros(shape, self.dtype)
            else:
                self.params[name] = begun(name, shape, config.activations, config.slope, self.dtype, rng)

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        sizes = (n_visible, *self.config.hidden)
        found = chain_shapes(sizes, self.config.activations)
        return found | {"W": (sizes[-1], self.config.classes), "b": (self.config.classes,)}

    @property
    def n_visible(self) -> int:
        return int(self.params["W1" if self.config.hidden else "W"].shape[0])

    @property
    def weights(self) -> tuple[str, ...]:
        return tuple(name for name in self.shapes(1) if name.startswith("W"))

    def filters(self) -> Array:
        """Return those of the first layer; without hidden layers those of the classes."""
        return np.ascontiguousarray(self.params["W1" if self.config.hidden else "W"].T)

    def encoder_layers(self) -> list[Dense]:
        """Return the hidden layers. Raises ConfigError where there is none."""
        if not self.config.hidden:
            raise ConfigError(
                f"a model {self.id!r} without hidden layers cannot be fine-tuned: there is none "
                "to go on from; take a model of features"
            )
        return self._hidden

    @property
    def _hidden(self) -> list[Dense]:
        return chain_of(self.params, self.config.activations, self.config.stays, self.config.slope)

    @property
    def _layers(self) -> list[Dense]:
        """All layers, up to the scores of the classes."""
        return [*self._hidden, Dense(self.params["W"], self.params["b"])]

    def encode(self, X: Array) -> Array:
        """Return the codes of the last hidden layer; where there is none, the probabilities of classes."""
        return dense.encode(self._hidden, X) if self.config.hidden else self.probabilities(X)

    def probabilities(self, X: Array) -> Array:
        """Return p(class | x) of each row: (n, visible) -> (n, classes)."""
        return softmax(dense.encode(self._layers, X))

    def portable(self, g: Graph, X: Value) -> Value:
        if self.config.hidden:
            return dense.portable(self._hidden, g, X)
        return self.portable_probabilities(g, X)

    def portable_probabilities(self, g: Graph, X: Value) -> Value:
        return g("Softmax", dense.portable(self._layers, g, X), axis=1)

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Return the gradient of J over labelled rows X (n, visible + classes)."""
        config, layers = self.config, self._layers
        x, t = self.visible(X), self.targets(X)
        dropout = None
        if config.input_dropout or config.hidden_dropout:
            dropout = Dropout(config.input_dropout, config.hidden_dropout, step.seed, step.draw, step.first)
        passed = dense.forward(layers, x, dropout)
        scores = passed[-1].H
        known = None
        if config.pseudo_labels:
            known = np.asarray(t.any(axis=1))
            t = guessed(t, known, scores if dropout is None else dense.encode(layers, x))
        wanted = self._wanted(t)
        losses, P = cross_entropy(scores, wanted)
        delta = P - wanted
        if known is not None:
            weights = weights_of(known, min(1.0, step.progress / RAMP))
            losses, delta = weights * losses, weights.astype(X.dtype)[:, None] * delta
            scores, t = scores[known], t[known]
        grads = dense.backward(layers, passed, delta, dropout)
        metrics = {"loss": mean(losses), "error_rate": error_rate(scores, t)}
        if config.hidden:
            metrics["mean_activation"] = grand_mean(passed[-2].H)
        *below, (dW, db) = grads
        return metrics, grads_of(below) | {"W": dW, "b": db}

    def phases(self) -> list[Phase]:
        moving = ""
        if self.config.input_dropout or self.config.hidden_dropout:
            moving = "dropout is drawn anew at every update"
        elif self.config.pseudo_labels:
            moving = "pseudo-labels are those of the net at every update"
        why = uncurved(self.config.activations, self.config.stays)
        curvature = None if why else self.curvature
        return [Phase("train", self.gradient, curvature=curvature, uncurved=why, moving_loss=moving)]

    def curvature(self, X: Array) -> Curvature:
        """Curvature of J over labelled rows X (n, visible + classes), without dropout."""
        t = self._wanted(self.targets(X))

        def pairs(v: Vector) -> list[tuple[Array, Array]]:
            hidden = {name: value for name, value in v.items() if name not in ("W", "b")}
            return [*pairs_of(hidden), (v["W"], v["b"])]

        def top(A: Array) -> Top:
            P = softmax(A)
            return Top(P - t, lambda R, exact: P * (R - row_sum(P * R)[:, None]))

        return ChainCurvature(self._layers, pairs, self.visible(X), top)

    def _wanted(self, t: Array) -> Array:
        """Return the smoothed targets of t (n, classes)."""
        smooth = t.dtype.type(self.config.label_smoothing)
        return (1 - smooth) * t + smooth / t.shape[1] if smooth else t

    def project(self) -> None:
        """Shorten the incoming weights of hidden units that are longer than max_norm."""
        limit = self.config.max_norm
        for i in range(len(self.config.hidden) if limit else 0):
            shorten(self.params[f"W{i + 1}"], limit)


def shorten(W: Array, limit: float) -> None:
    """Make columns of W (inputs, units) that are longer than `limit` so long, in place."""
    squares = sum_columns(np.square(W))
    if (squares > limit**2).any():
        W *= np.minimum(1, limit / np.sqrt(np.where(squares > 0, squares, 1)))


def guessed(t: Array, known: Array, scores: Array) -> Array:
    """Return t (n, classes) with the likeliest class, by scores (n, classes), where it is not known."""
    likeliest = np.eye(t.shape[1], dtype=t.dtype)[predicted(scores)]
    return np.where(known[:, None], t, likeliest)


def weights_of(known: Array, share: float) -> Float64:
    """Return weights (n,) of losses: their mean is that over rows of known class + `share` that of others."""
    found, n = total_and_count(known.astype(np.float64))
    labelled = int(found)
    return np.where(known, n / max(1, labelled), share * n / max(1, n - labelled))


def error_rate(scores: Array, t: Array) -> float:
    """Return the share of rows whose likeliest class, by scores (n, classes), is not that of t."""
    wrong, n = total_and_count((predicted(scores) != predicted(t)).astype(np.float64))
    return wrong / max(1, n)
