"""The contract of a model. A model knows kernels and arrays: no files, no epochs, no printing.

    resolve(config, data)    decides every None and auto from what is known of the data
    init(n_visible, rng, mean)  makes params (and state); mean is the data's, where it is known
    shapes(n_visible)        those of params, without making them: what a file is held against
    encode(X) -> H           hidden code of each row; a row's code does not depend on its neighbours
    decode(H) -> X           reconstruction from codes
    reconstruct(X) -> X      decode(encode(X)), unless codes for use are others than those for reconstruction
    gradient(X, step)        -> (metrics, grads): grads has keys and shapes of params; training descends, so it is the
                             gradient of a loss; metrics are plain floats: "error" (RMSE), "mean_activation",
                             and "loss" where it is the gradient of a function that can be computed
    phases()                 what training walks through: one phase unless the model says more; a phase's finish() is
                             called once, after its last update and before that epoch's measures
    one_pass                 whether it is learned by sums over the data instead of descent: gradient(X, step) adds a
                             minibatch to the model's state and answers zeros, and finish() makes params of
                             the sums
    moving_loss()            why line searches cannot follow the loss, where they cannot
    at_rest(progress)        from where on losses can be compared, for what changes in the course of training
    losses(), variants()     what central differences can check, and in which settings; these all tests go through
    project()                after every update: puts parameters back to where they are allowed to be

What only some models can do:

    extra_metrics(X)         what else to report of rows, such as the mean free energy
    chain(V, step)           one step of the model's Markov chain, for fantasies
    bernoulli                whether that chain's visible states are 0 and 1
    machine()                the model as a Boltzmann machine of two layers, for likelihoods
    takes_mean_off           whether it learns of rows whatever they have in common
    doubts                   what to be told before training of settings that hardly fit the data
    wanted_activity          how active its units are to be, where it is told so
    remedies()               settings that help where advice finds something wrong
    portable(g, X)           encode written down as standard operations, for export

Minibatch order, momentum, decay, schedules, stopping, history and checkpoints exist once, in training/.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from featlearn.errors import ConfigError
from featlearn.ops.graph import Graph, Value
from featlearn.random import Purpose, Random
from featlearn.rows import Array
from featlearn.settings import setting

MAX_UNITS = 10_000_000
"""Of one kind, or chains; so that no product of sizes is beyond what an array can have."""
UNIT_SPREAD = (0.5, 2.0)
"""The standard deviations of real-valued data that models of them are made for: about 1."""
Gradients = tuple[dict[str, float], dict[str, Array]]


@dataclass(frozen=True)
class HiddenConfig:
    """The first setting of most models."""

    hidden: int = setting(100, "number of hidden units", low=1, high=MAX_UNITS)


@dataclass(frozen=True)
class Step:
    """One minibatch update (or step of a chain): names its random draws, up to 1024 of them.

    progress is the share of the phase's updates that are done, for what changes in the course of training.
    """

    number: int
    seed: int
    purpose: Purpose = Purpose.STEP
    progress: float = 1.0  # share of the phase's updates done before this one

    def draw(self, k: int) -> int:
        """The name of the k-th random draw of this step."""
        return Random.draw(self.purpose, (self.number << 10) | k)


Loss = Callable[[Array, Step], Gradients]


@dataclass(frozen=True)
class DataSummary:
    """What is known of the data before training: all that a setting None or auto may depend on.

    `low` and `high` bound the values of the rows: infinite where nothing bounds them. `variance` is the mean
    squared distance of a row from the mean row, `square` the mean squared length of a row, and `whitened`
    whether the values were decorrelated. What is None is not known.
    """

    n_visible: int
    low: float | None = None
    high: float | None = None
    n_rows: int | None = None
    variance: float | None = None
    square: float | None = None
    whitened: bool = False

    @property
    def spread(self) -> float | None:
        """The standard deviation of a value about its mean, over all of them; None where it is not known, or
        is 0."""
        return math.sqrt(self.variance / self.n_visible) if self.variance else None

    def divided(self, by: float) -> "DataSummary":
        """The summary of the same rows with all their values divided."""
        once = {name: value / by for name in ("low", "high") if (value := getattr(self, name)) is not None}
        twice = {
            name: value / by**2
            for name in ("variance", "square")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **once, **twice)

    def known_within(self, low: float, high: float) -> bool | None:
        """Whether all values lie in low..high; None where that is not known."""
        if self.low is None or self.high is None:
            return None
        return low <= self.low and self.high <= high

    @property
    def words(self) -> str:
        """Where the data lie, for messages."""
        if self.low is None or self.high is None or math.isinf(self.low) or math.isinf(self.high):
            return "normalized and whitened data have no bounds"
        return f"the data lie in {self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class Machine:
    """A Boltzmann machine of two layers with binary hidden units: all that a likelihood is computed from.

    E(v, h) = -b'v - c'h - v'W h                           variance None: binary visible units
    E(v, h) = sum (v - b)^2 / (2 s^2) - c'h - (v / s^2)'W h   variance (visible,) = s^2: Gaussian ones
    """

    W: Array  # (visible, hidden)
    b: Array
    c: Array
    variance: Array | None = None


@dataclass(frozen=True)
class Phase:
    """One leg of a training run: `updates` None means the run's epochs; `decay` False switches weight decay
    off.

    `finish` may change params and state, also the names and shapes in state: no checkpoint is written after
    it.
    """

    name: str
    gradient: Loss
    updates: int | None = None
    lr: float | None = None
    decay: bool = True
    finish: Callable[[], None] | None = None


class Model:
    """Base of every model; see the module's docstring for the contract."""

    id: ClassVar[str]
    Config: ClassVar[Any]
    decayed: ClassVar[tuple[str, ...]] = ("W",)
    """The params that weight decay applies to (never biases)."""
    decay_weights: ClassVar[dict[str, float]] = {"l1": 0.01, "l2": 0.1}
    """Usual strengths of weight decay with this model; here the blog's."""
    rates: ClassVar[dict[str, float]] = {}
    """Usual learning rates by the optimiser's name, where they are not the optimiser's own."""
    rate_unit: ClassVar[str] = ""
    """What is to be said of the rate of sgd in `rates` where `usual_rates` makes another of it."""
    demo: ClassVar[dict[str, Any]] = {"size": 16, "normalize": "standardize"}
    """Size and preprocessing of the generated patches that are learned from when there is no data set."""
    small: ClassVar[dict[str, Any]] = {"hidden": 5}
    """Sizes of a model whose gradients are checked in an instant."""
    training_defaults: ClassVar[dict[str, Any]] = {}
    """Defaults of the training's settings with this model, where they are not the usual ones."""
    batch_size: ClassVar[int] = 100
    """Usual number of rows in a minibatch."""
    one_pass: ClassVar[bool] = False
    """Whether one pass over the data learns it without descent; then the settings of descent are not offered.
    """

    def __init__(self, config: Any = None, dtype: npt.DTypeLike = np.float32) -> None:
        self.config = self.Config() if config is None else config
        self.dtype = np.dtype(dtype)
        self.params: dict[str, Array] = {}
        self.state: dict[str, Array] = {}

    @classmethod
    def resolve(cls, config: Any, data: DataSummary) -> Any:
        """Return `config` with every None and auto decided; a resolved one comes back as it is.

        Raises ConfigError where config and data do not fit, or where an auto wants a range that is not known.
        """
        return config

    @classmethod
    def takes_mean_off(cls, config: Any) -> bool:
        """Whether the mean row is subtracted before anything is learned, so that it may be as long as it
        likes."""
        return cls.one_pass

    @classmethod
    def doubts(cls, config: Any, data: DataSummary) -> str:
        """What to be told, with the remedy, where a resolved config hardly fits such data; "" where it does."""
        return ""

    @classmethod
    def usual_rates(cls, config: Any, data: DataSummary) -> dict[str, float]:
        """The usual learning rates for such data by the optimiser's name, where they are not the optimiser's
        own.

        `config` is resolved.
        """
        return cls.rates

    @classmethod
    def wanted_spread(cls, config: Any, data: DataSummary) -> tuple[float, float] | None:
        """Between which standard deviations of a value the model learns well; None where no other scale is
        better.

        Data beyond are divided so that they come to the geometric mean of the two. `config` need not be
        resolved.
        """
        return None

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Resolve the config, and make params and state. Raises ConfigError."""
        raise NotImplementedError

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter that init makes for rows of so many values."""
        raise NotImplementedError

    def encode(self, X: Array) -> Array:
        raise NotImplementedError

    def decode(self, H: Array) -> Array:
        raise NotImplementedError

    def portable(self, g: Graph, X: Value) -> Value:
        """Write encode down for other programs: of preprocessed rows X (n, visible). Raises ConfigError."""
        raise ConfigError(f"a model {self.id!r} has no encoder that other programs could run")

    def reconstruct(self, X: Array, H: Array | None = None) -> Array:
        """Return what the model makes of rows: (n, visible) -> (n, visible). `H`: their codes, where known."""
        return self.decode(self.encode(X) if H is None else H)

    def gradient(self, X: Array, step: Step) -> Gradients:
        raise NotImplementedError

    def phases(self) -> list[Phase]:
        return [Phase("train", self.gradient)]

    def moving_loss(self) -> str | None:
        """What makes the loss another at every update, or leap, in words; None where a line search can follow
        it."""
        return None

    def at_rest(self, progress: float) -> bool:
        """Whether, from that share of the training on, a loss may be compared with the one before it."""
        return True

    @classmethod
    def variants(cls) -> dict[str, Any]:
        """By name, small configs that between them use every formula: what gradients are checked in."""
        return {"default": cls.Config(**cls.small)}

    def losses(self) -> dict[str, Loss]:
        """By name, the functions of rows whose metrics hold the "loss" that the gradients belong to."""
        return {"loss": self.gradient}

    def project(self) -> None:
        """Put params, in place, back to where the model allows them; nothing to do for most models."""

    def extra_metrics(self, X: Array) -> dict[str, float]:
        """What else there is to report of rows X, as means over them."""
        return {}

    def chain(self, V: Array, step: Step) -> tuple[Array, Array]:
        """One step of the model's Markov chain from V (n, visible): (means, states). Raises ConfigError."""
        raise ConfigError(f"a model {self.id!r} has no Markov chain to draw samples from")

    @property
    def bernoulli(self) -> bool:
        """Whether the visible units are binary."""
        return False

    def machine(self) -> Machine | None:
        """The model as a Boltzmann machine of two layers, if it is one."""
        return None

    @property
    def wanted_activity(self) -> tuple[float, float] | None:
        """The code of a unit at rest and the wanted mean code, where a model is told how active units are to
        be."""
        return None

    def remedies(self) -> dict[str, dict[str, Any]]:
        """Settings that help, by the key of what analysis/advice.py finds wrong; None: leave the setting out."""
        return {}

    def filters(self) -> Array:
        """(n_hidden, n_visible): what each hidden unit looks for, for pictures and statistics."""
        return np.ascontiguousarray(self.params["W"].T)

    @property
    def n_visible(self) -> int:
        return int(self.params["W"].shape[0])
