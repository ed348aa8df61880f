"""The base class of models, and what settings are where nothing is said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from featlearn.errors import ConfigError
from featlearn.models.base.data import DataSummary
from featlearn.models.base.papers import Paper
from featlearn.models.base.phases import Gradients, Loss, Phase, Step
from featlearn.ops.dense import Dense
from featlearn.ops.graph import Graph, Value
from featlearn.random import Random
from featlearn.rows import Array
from featlearn.settings import setting

MAX_UNITS = 10_000_000
"""Units of one kind, or chains, so that no product of sizes is beyond what an array can have."""
UNIT_SPREAD = (0.5, 2.0)
"""The standard deviations of real-valued data that models of them are made for: about 1."""


@dataclass(frozen=True)
class HiddenConfig:
    """The first setting of most models."""

    hidden: int = setting(100, "number of hidden units", low=1, high=MAX_UNITS)


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
    length: Callable[[int, Any], tuple[int, int]] | None = None
    """Of so many rows and a Config: the epochs and the rows in a minibatch, where they are not the usual."""
    length_in_words: tuple[str, str] = ("", "")
    """What these are, in words."""
    patches: Mapping[str, Any] = field(default_factory=lambda: {"size": 16, "normalize": "standardize"})
    """Size and preprocessing of the generated patches that are learned from when there is no data set."""
    shows: Mapping[str, str] = field(default_factory=dict)
    """What its filters of them look like by the decay, with no other setting, where they are no edges."""


class Model:
    """Base of every model; see the module's docstring for the contract."""

    id: ClassVar[str]
    title: ClassVar[str] = ""
    """What it is in a sentence: "a restricted Boltzmann machine"."""
    papers: ClassVar[tuple[Paper, ...]] = ()
    """Where it was published."""
    Config: ClassVar[Any]
    defaults: ClassVar[Defaults] = Defaults()
    small: ClassVar[dict[str, Any]] = {"hidden": 5}
    """Sizes of a model whose gradients are checked in an instant."""
    labelled: ClassVar[bool] = False
    """Whether it learns of rows with their classes: gradient, losses and extra_metrics get rows [x | t] then,
    as rows.Labelled makes them; encode, decode and reconstruct get rows x, as of every model."""
    of_pairs: ClassVar[bool] = False
    """Whether it learns of pairs of pictures, whose values alternate: x_1, y_1, x_2, y_2, ..."""
    decodes: ClassVar[bool] = True
    """Whether there are rows to be had from codes alone: a net that only tells classes makes none."""
    encode_state: ClassVar[tuple[str, ...]] = ()
    """The state that encode reads, where it is there; all other is for training."""

    tunable: ClassVar[str] = "a model such as rbm, autoencoder or k-sparse"
    """What can be fine-tuned instead of it, where its encoder is no chain of layers."""

    hidden_targets: Array | None = None
    """(rows, hidden) wanted activities for the rows of the data, of a training with such a setting."""
    layers: tuple["Model", ...] = ()
    """The models that it is a stack of, from below; none of a single one."""

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
        """Return rows from codes: (n, units) -> (n, visible). Raises ConfigError."""
        raise ConfigError(
            f"a model {self.id!r} tells classes and gives no rows back; encode or classify with it"
        )

    def visible(self, X: Array) -> Array:
        """Return rows x as encode sees them, of rows of training: [x | t] where it is labelled."""
        return np.ascontiguousarray(X[:, : self.n_visible]) if self.labelled else X

    def targets(self, X: Array) -> Array:
        """Return t (n, classes) of labelled rows [x | t]."""
        return np.ascontiguousarray(X[:, self.n_visible :])

    def reconstruct(self, X: Array, H: Array | None = None) -> Array:
        """Return the reconstruction (n, visible) of rows X (n, visible). `H`: their codes, where known."""
        return self.decode(self.encode(X) if H is None else H)

    def encoder_layers(self) -> list[Dense]:
        """Return the chain of layers that encode is: what fine-tuning goes on from. Raises ConfigError."""
        raise ConfigError(
            f"a model {self.id!r} cannot be fine-tuned: its encoder is no chain of layers with a derivative; "
            f"take {self.tunable}"
        )

    def decoder_layers(self) -> list[Dense]:
        """Return the chain of layers that decode is. Raises ConfigError."""
        raise ConfigError(
            f"a model {self.id!r} cannot be unrolled: its decoder is no chain of layers; "
            "take a model such as rbm, autoencoder or k-sparse"
        )

    @classmethod
    def settings_like(cls, encoder: Dense, decoder: Dense) -> dict[str, Any]:
        """Return the settings of a model that codes as these two layers do. Raises ConfigError.

        Refused where it has no such units.
        """
        raise ConfigError(f"a model {cls.id!r} does not begin as another; rbm, k-sparse and autoencoders do")

    def begin_as(self, encoder: Dense, decoder: Dense) -> None:
        """Take the params, in place, with which it codes as these two layers do. Raises ConfigError.

        The config is that of `settings_like`, the params are those of init.
        """
        raise NotImplementedError

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
    def layered(cls) -> bool:
        """Whether it is a stack of layers, each of which is trained by itself."""
        return False

    @classmethod
    def descends(cls) -> bool:
        """Whether any phase descends: if not, the settings of descent are not offered."""
        return any(phase.descends for phase in cls().phases())

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
        """Whether the mean row is subtracted before anything is learned, so that it may have any length."""
        return not cls.descends()

    @classmethod
    def doubts(cls, config: Any, data: DataSummary) -> str:
        """Return why a resolved config hardly fits such data, with the remedy; "" where it does."""
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
