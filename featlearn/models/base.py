"""The contract of a model. A model knows kernels and arrays: no files, no epochs, no printing.

What training and all commands need:

    init(n_visible, rng, mean)  make params (and state); mean is the data's, where it is known
    shapes(n_visible)   those of params, without making them: what a file is held against
    encode(X) -> H      the hidden code of each row; a row's code does not depend on its neighbours
    decode(H) -> X      the reconstruction from codes
    reconstruct(X)      decode(encode(X)), unless codes for use are others than those for reconstruction
    gradient(X, step)   (metrics, grads) of a minibatch. grads has keys and shapes of the params that are
                        learned: training descends, so it is the gradient of a loss. metrics are plain floats:
                        "error" (RMSE), "mean_activation", and "loss" where that can be computed
    project()           put params back to where they are allowed to be, after every update
    phases()            the legs of a training run: one, unless the model says more (see Phase)
    n_visible, weights  the size of a row; the names of the params that are weights, which alone decay
    filters()           what each hidden unit looks for

Settings that are not said are decided by `defaults` (for all data), resolve(config, data), usual_rates(config,
data) and wanted_spread(config, data). Tests and advice ask for losses(), variants(), extra_metrics(X), wanted_activity,
takes_mean_off, doubts and remedies(), export for portable(g, X): all have an answer where a model says nothing.
What only some models can do stands in protocols: HasChain, IsBoltzmann.
Minibatch order, momentum, decay, schedules, stopping, history and checkpoints exist once, in training/.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from featlearn.errors import ConfigError
from featlearn.ops.graph import Graph, Value
from featlearn.random import Purpose, Random, draw_name
from featlearn.rows import Array, Encoder
from featlearn.settings import setting

MAX_UNITS = 10_000_000
"""Units of one kind, or chains, so that no product of sizes is beyond what an array can have."""
UNIT_SPREAD = (0.5, 2.0)
"""The standard deviations of real-valued data that models of them are made for: about 1."""
DRAWS = 1024
"""Random draws that a step can name."""
Gradients = tuple[dict[str, float], dict[str, Array]]


@dataclass(frozen=True)
class HiddenConfig:
    """The first setting of most models."""

    hidden: int = setting(100, "number of hidden units", low=1, high=MAX_UNITS)


@dataclass(frozen=True)
class Step:
    """One minibatch update (or step of a chain): names its random draws, up to DRAWS of them.

    `progress` is the share of the phase's updates that are done, for what changes in the course of training;
    `begun` is the number of the phase's first update. Layers that draw in the same step have a `stream` each:
    they never share random bits.
    """

    number: int
    seed: int
    purpose: Purpose = Purpose.STEP
    progress: float = 1.0
    stream: int = 0
    begun: int = 0

    @property
    def update(self) -> int:
        """The updates of this phase that were done before this one."""
        return self.number - self.begun

    def draw(self, k: int) -> int:
        """Return the name of the k-th random draw of this step. Raises ValueError beyond DRAWS."""
        if not 0 <= k < DRAWS:
            raise ValueError(f"draw {k}: a step has names for {DRAWS}")
        return draw_name(self.purpose, self.number * DRAWS + k, self.stream)


Loss = Callable[[Array, Step], Gradients]


@dataclass(frozen=True)
class DataSummary:
    """The facts of the data before training: all that a setting None or auto may depend on.

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
        powers = {"low": by, "high": by, "variance": by**2, "square": by**2}
        known = {name: getattr(self, name) for name in powers}
        divided = {name: known[name] / power for name, power in powers.items() if known[name] is not None}
        return replace(self, **divided)

    def known_within(self, low: float, high: float) -> bool | None:
        """Whether all values lie in low..high; None where that is not known."""
        if self.low is None or self.high is None:
            return None
        return low <= self.low and self.high <= high

    @property
    def words(self) -> str:
        """The range of the data, for messages."""
        if self.low is None or self.high is None or math.isinf(self.low) or math.isinf(self.high):
            return "normalized and whitened data have no bounds"
        return f"the data lie in {self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class Phase:
    """One leg of a training run.

    name        for messages and pictures
    gradient    of minibatches of the phase's rows; its keys are the params that are learned
    learns      the params that are updated and decayed, no other; None: all. A phase that learns () descends
                nothing: gradient adds each minibatch to sums in the model's state and answers no gradients,
                one pass over the rows is enough, and finish makes params of the sums
    part        the part of the model that learns, where it is not the whole: what is projected, and measured
                on the phase's rows
    inputs      the encoder that makes the phase's rows of the data's, once, so it must not change meanwhile
    training    the settings of the training in which the phase differs from the run: {"optimizer": "cg"}. An
                optimizer of its own brings its usual learning rate, and all rows at once if it searches
    updates     how many, in minibatches; None: the epochs of the settings
    moving_loss what makes the loss another at every update, or leap, in words, so that line searches cannot
                follow it; "" where they can
    comparable_from  the share of the phase from where on losses can be compared with the one before
    stream      that of its steps' random draws
    finish      called once, after the last update and before that epoch's measures; it may change params in
                place and state, also the names and shapes in state
    options     the model's own settings that say `updates` or a setting of `training`, for messages:
                {"lr": "refine_lr"}
    """

    name: str
    gradient: Loss
    learns: tuple[str, ...] | None = None
    part: "Model | None" = None
    inputs: Encoder | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    updates: int | None = None
    moving_loss: str = ""
    comparable_from: float = 0.0
    stream: int = 0
    finish: Callable[[], None] | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def descends(self) -> bool:
        """Whether anything follows gradients here."""
        return self.learns != ()


@dataclass(frozen=True)
class Defaults:
    """The settings with a model, whatever the data, when they are not said."""

    rates: Mapping[str, float] = field(default_factory=dict)
    """Learning rates by the optimizer's name, where they are not the optimizer's own."""
    rate_unit: str = ""
    """Words about the rate of sgd where `usual_rates` makes another of it."""
    decay_weights: Mapping[str, float] = field(default_factory=lambda: {"l1": 0.01, "l2": 0.1})
    """Strengths of weight decay by its kind; here the blog's."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the training, where they are not the usual ones."""
    batch_size: int = 100
    """Rows in a minibatch."""
    patches: Mapping[str, Any] = field(default_factory=lambda: {"size": 16, "normalize": "standardize"})
    """Size and preprocessing of the generated patches that are learned from when there is no data set."""


class Model:
    """Base of every model; see the module's docstring for the contract."""

    id: ClassVar[str]
    Config: ClassVar[Any]
    defaults: ClassVar[Defaults] = Defaults()
    small: ClassVar[dict[str, Any]] = {"hidden": 5}
    """Sizes of a model whose gradients are checked in an instant."""

    def __init__(self, config: Any = None, dtype: npt.DTypeLike = np.float32) -> None:
        self.config = self.Config() if config is None else config
        self.dtype = np.dtype(dtype)
        self.params: dict[str, Array] = {}
        self.state: dict[str, Array] = {}

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Resolve the config, and make params and state. Raises ConfigError."""
        raise NotImplementedError

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of every parameter that init makes for rows of so many values."""
        raise NotImplementedError

    def encode(self, X: Array) -> Array:
        """Return the codes of rows: (n, visible) -> (n, units)."""
        raise NotImplementedError

    def decode(self, H: Array) -> Array:
        """Return rows from codes: (n, units) -> (n, visible)."""
        raise NotImplementedError

    def reconstruct(self, X: Array, H: Array | None = None) -> Array:
        """Return what the model makes of rows: (n, visible) -> (n, visible). `H`: their codes, where known."""
        return self.decode(self.encode(X) if H is None else H)

    def portable(self, g: Graph, X: Value) -> Value:
        """Write encode down for other programs: of preprocessed rows X (n, visible). Raises ConfigError."""
        raise ConfigError(f"a model {self.id!r} has no encoder that other programs could run")

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Return metrics and gradients of a minibatch X (n, visible)."""
        raise NotImplementedError

    def project(self) -> None:
        """Put params, in place, back to where the model allows them; nothing to do for most models."""

    def phases(self) -> list[Phase]:
        """Return the legs of a training run, in order; they depend on the config alone."""
        return [Phase("train", self.gradient)]

    @classmethod
    def is_one_pass(cls) -> bool:
        """Whether no phase descends: then the settings of descent are not offered."""
        return not any(phase.descends for phase in cls().phases())

    @property
    def n_visible(self) -> int:
        """The number of values of a row."""
        raise NotImplementedError

    @property
    def weights(self) -> tuple[str, ...]:
        """The params that are weights: weight decay applies to them, never to biases."""
        raise NotImplementedError

    def filters(self) -> Array:
        """Return what each hidden unit looks for, (filters, visible), for pictures and statistics."""
        raise NotImplementedError

    @classmethod
    def resolve(cls, config: Any, data: DataSummary) -> Any:
        """Return `config` with every None and auto decided; a resolved one comes back as it is.

        Raises ConfigError where config and data do not fit, or where an auto wants a range that is not known.
        """
        return config

    @classmethod
    def usual_rates(cls, config: Any, data: DataSummary) -> Mapping[str, float]:
        """Return the learning rates for such data by the optimizer's name, where they are not its own.

        `config` is resolved.
        """
        return cls.defaults.rates

    @classmethod
    def wanted_spread(cls, config: Any, data: DataSummary) -> tuple[float, float] | None:
        """Return between which standard deviations of a value the model learns well; None: with any.

        Data beyond are divided so that they come to the geometric mean of the two. `config` need not be
        resolved.
        """
        return None

    @classmethod
    def takes_mean_off(cls, config: Any) -> bool:
        """Whether the mean row is subtracted before anything is learned, so that it may be as long as it likes."""
        return cls.is_one_pass()

    @classmethod
    def doubts(cls, config: Any, data: DataSummary) -> str:
        """Return what to be told, with the remedy, where a resolved config hardly fits such data; "" where it does."""
        return ""

    @classmethod
    def variants(cls) -> dict[str, Any]:
        """Return, by name, small configs that between them use every formula."""
        return {"default": cls.Config(**cls.small)}

    def losses(self) -> dict[str, Loss]:
        """Return, by name, functions of rows whose metrics hold the "loss" that the gradients belong to."""
        return {"loss": self.gradient}

    def extra_metrics(self, X: Array) -> dict[str, float]:
        """Return what else there is to report of rows X, as means over them."""
        return {}

    @property
    def wanted_activity(self) -> tuple[float, float] | None:
        """The code of a unit at rest and the wanted mean code, where a model is told of one."""
        return None

    def remedies(self) -> dict[str, dict[str, Any]]:
        """Return settings that help, by the key of what advice finds wrong; None: leave the setting out."""
        return {}


class Layer(Model):
    """A model of one layer, whose weights are W (visible, hidden)."""

    @property
    def n_visible(self) -> int:
        return int(self.params["W"].shape[0])

    @property
    def weights(self) -> tuple[str, ...]:
        return ("W",)

    def filters(self) -> Array:
        return np.ascontiguousarray(self.params["W"].T)


@runtime_checkable
class HasChain(Protocol):
    """A model with a Markov chain over visible states, to draw samples from."""

    @property
    def bernoulli(self) -> bool:
        """Whether the visible states are 0 and 1."""
        ...

    def chain(self, V: Array, step: Step) -> tuple[Array, Array]:
        """Return the next means and states from V (n, visible)."""
        ...


@dataclass(frozen=True)
class BoltzmannMachine:
    """A Boltzmann machine of two layers with binary hidden units.

    E(v, h) = -b'v - c'h - v'W h                           variance None: binary visible units
    E(v, h) = sum (v - b)^2 / (2 s^2) - c'h - (v / s^2)'W h   variance (visible,) = s^2: Gaussian ones
    """

    W: Array  # (visible, hidden)
    b: Array
    c: Array
    variance: Array | None = None


@runtime_checkable
class IsBoltzmann(Protocol):
    """A model that may be a Boltzmann machine of two layers: what likelihoods are computed of.

    extra_metrics of such a model holds the mean "free_energy" of rows.
    """

    def boltzmann(self) -> BoltzmannMachine | None:
        """Return the machine; None where the units it has been given have no closed free energy."""
        ...
