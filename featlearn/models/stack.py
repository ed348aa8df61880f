"""Stack of models: each layer learns the codes of the one below, greedily, from below.

    h_0 = x,   h_i = encode_i(h_(i-1) / d_i)       d_i, which suits layer i, is 1 for most
    a reconstruction goes the same way down:  h_(i-1) = d_i decode_i(h_i)

G. Hinton, S. Osindero, Y. Teh, A fast learning algorithm for deep belief nets, Neural Computation 18, 2006;
Y. Bengio, P. Lamblin, D. Popovici, H. Larochelle, Greedy layer-wise training of deep networks, NIPS 2006.

A layer is a complete model of its own, with the defaults, rates and advice that its data, the codes below,
ask for: it is trained by a run of its own (jobs/layers.py), not by a phase of one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from featlearn.errors import ConfigError, DataError
from featlearn.models import model_class
from featlearn.models.base import (
    MAX_UNITS,
    BoltzmannMachine,
    HasChain,
    HasClassChain,
    IsBoltzmann,
    IsClassifier,
    Model,
    Phase,
    Step,
)
from featlearn.models.base.papers import BENGIO_2006, HINTON_2006, Paper
from featlearn.ops.arrays import product
from featlearn.ops.dense import Dense
from featlearn.ops.graph import Graph, Value
from featlearn.rows import Array
from featlearn.settings import check, from_dict, from_text, setting

MOST_LAYERS = 64
HIDDEN = "hidden units of each layer, from below"


@dataclass(frozen=True)
class LayerSettings:
    """What a layer is to be: a model by its id, the model's settings, and what is said of its training."""

    model: str
    config: Any
    training: Mapping[str, str]
    """By the settings' names, as texts."""


class Stack(Model):
    """params and state are those of the layers, "layer_1.W" the lowest one's W; config is the layers'."""

    id = "stack"
    title = "a stack of models"
    papers: ClassVar[tuple[Paper, ...]] = (HINTON_2006, BENGIO_2006)
    small = {"layer": ("rbm:hidden=5", "rbm:hidden=3")}  # noqa: RUF012 - declared in Model

    @dataclass(frozen=True)
    class Config:
        layer: tuple[str, ...] = setting(
            ("rbm", "rbm"),
            "a layer: MODEL, or MODEL:SETTING=VALUE,... with settings of the model and of its training; "
            "again for each layer above, or once with several --hidden",
            metavar="LAYER",
        )
        hidden: tuple[int, ...] | None = setting(
            None, f"{HIDDEN}, e.g. 500,500,2000  [default: as --layer says]", low=1, high=MAX_UNITS
        )

        def __post_init__(self) -> None:
            check(self)

    def __init__(self, config: Any = None, dtype: npt.DTypeLike = np.float32) -> None:
        super().__init__(config, dtype)
        self.layers: tuple[Model, ...] = ()
        self.divisors: tuple[float, ...] = ()

    @classmethod
    def of(cls, layers: Sequence[Model], divisors: Sequence[float]) -> Self:
        """Make a stack of layers, from below; codes are divided by `divisors` before a layer sees them.

        The data's own divisor is no concern of the stack.
        """
        made = cls(tuple(layer.config for layer in layers), layers[0].dtype)
        made.layers, made.divisors = tuple(layers), tuple(divisors)
        made.labelled = layers[-1].labelled  # type: ignore[misc]
        made.decodes = all(layer.decodes for layer in layers)  # type: ignore[misc]
        for values in ("params", "state"):
            named = {
                f"layer_{i}.{name}": value
                for i, layer in enumerate(layers, 1)
                for name, value in getattr(layer, values).items()
            }
            setattr(made, values, named)
        return made

    @classmethod
    def layer_settings(cls, config: Any) -> list[LayerSettings]:
        """Return what each layer is to be, from below. Raises ConfigError."""
        specs, hidden = config.layer, config.hidden
        if not specs:
            raise ConfigError(f"--model {cls.id}: of which layers? add --layer MODEL:hidden=N for each")
        if hidden is not None and len(specs) == 1:
            specs = len(hidden) * specs
        if len(specs) > MOST_LAYERS:
            raise ConfigError(f"--layer: {len(specs)} layers, at most {MOST_LAYERS}")
        if hidden is not None and len(hidden) != len(specs):
            raise ConfigError(
                f"--hidden: {len(hidden)} numbers for {len(specs)} layers; give one for each --layer"
            )
        sizes: Sequence[int | None] = [None] * len(specs) if hidden is None else hidden
        found = []
        for i, (spec, size) in enumerate(zip(specs, sizes, strict=True), 1):
            with in_layer(i):
                found.append(layer_of(spec, size))
        return found

    @classmethod
    def layered(cls) -> bool:
        return True

    @classmethod
    def descends(cls) -> bool:
        return True

    @property
    def n_visible(self) -> int:
        return self.layers[0].n_visible

    @property
    def weights(self) -> tuple[str, ...]:
        return tuple(f"layer_{i}.{name}" for i, layer in enumerate(self.layers, 1) for name in layer.weights)

    @property
    def encode_state(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(
            f"layer_{i}.{name}" for i, layer in enumerate(self.layers, 1) for name in layer.encode_state
        )

    def phases(self) -> list[Phase]:
        """Return those of the layers, each by its layer's name: they are for pictures, not for a run."""
        return [
            replace(phase, name=f"layer {i}" if phase.name == "train" else f"layer {i}, {phase.name}")
            for i, layer in enumerate(self.layers, 1)
            for phase in layer.phases()
        ]

    def inputs(self, X: Array) -> Array:
        """Return what the top layer sees of rows: (n, visible) -> (n, n_visible of the top layer)."""
        for layer, divisor in zip(self.layers[:-1], self.divisors[1:], strict=True):
            X = _divided(layer.encode(X), divisor)
        return X

    def encode(self, X: Array) -> Array:
        return self.layers[-1].encode(self.inputs(X))

    def decode(self, H: Array) -> Array:
        return self.outputs(self.layers[-1].decode(H))

    def outputs(self, V: Array) -> Array:
        """Return rows (n, visible) from what the top layer sees, (n, n_visible of the top layer)."""
        for layer, divisor in zip(reversed(self.layers[:-1]), reversed(self.divisors[1:]), strict=True):
            V = layer.decode(_divided(V, 1 / divisor))
        return V

    def reconstruct(self, X: Array, H: Array | None = None) -> Array:
        """Return what the top layer's reconstruction of its own rows means below."""
        return self.outputs(self.layers[-1].reconstruct(self.inputs(X), H))

    def encoder_layers(self) -> list[Dense]:
        """Return the layers of all layers; what codes are divided by is in the weights above."""
        found: list[Dense] = []
        for i, (layer, divisor) in enumerate(zip(self.layers, (1.0, *self.divisors[1:]), strict=True), 1):
            with in_layer(i):
                first, *others = layer.encoder_layers()
            found += [_scaled(first, 1 / divisor), *others]
        return found

    def decoder_layers(self) -> list[Dense]:
        found: list[Dense] = []
        divisors = (1.0, *reversed(self.divisors[1:]))
        for below, (layer, divisor) in enumerate(zip(reversed(self.layers), divisors, strict=True)):
            with in_layer(len(self.layers) - below):
                first, *others = layer.decoder_layers()
            found += [_scaled(first, divisor), *others]
        return found

    def portable(self, g: Graph, X: Value) -> Value:
        return self.layers[-1].portable(g, self._portable_inputs(g, X))

    def portable_probabilities(self, g: Graph, X: Value) -> Value:
        return self._classifier().portable_probabilities(g, self._portable_inputs(g, X))

    def _portable_inputs(self, g: Graph, X: Value) -> Value:
        """Write down what the top layer sees."""
        for layer, divisor in zip(self.layers[:-1], self.divisors[1:], strict=True):
            X = layer.portable(g, X)
            if divisor != 1:
                X = g("Div", X, np.array(divisor, self.dtype))
        return X

    def filters(self) -> Array:
        """Return the filters of the top layer as sums of the filters below.

        H. Lee, C. Ekanadham, A. Ng, Sparse deep belief net model for visual area V2, NIPS 2007. Where the
        codes of a layer are not of its filters one by one, they are the change that each makes in the decoded
        row.
        """
        F = self.layers[-1].filters()
        for layer in reversed(self.layers[:-1]):
            G = layer.filters()
            F = np.ascontiguousarray(F)
            if len(G) == F.shape[1]:
                F = product(F, np.ascontiguousarray(G, F.dtype))
            else:
                F = layer.decode(F) - layer.decode(np.zeros_like(F[:1]))
        return F

    def probabilities(self, X: Array) -> Array:
        """Return p(class | x) of each row by the top layer, (n, classes). Raises ConfigError."""
        return self._classifier().probabilities(self.inputs(X))

    def _classifier(self) -> IsClassifier:
        """Return the top layer, whose classes are the stack's. Raises ConfigError."""
        top = self.layers[-1]
        if not isinstance(top, IsClassifier):
            raise ConfigError(f"a stack with {top.id!r} on top knows no classes")
        return top

    def _chained(self) -> HasChain:
        """Return the top layer, whose chain is the stack's. Raises ConfigError."""
        top = self.layers[-1]
        if not isinstance(top, HasChain):
            raise ConfigError(f"a stack with {top.id!r} on top has no Markov chain to draw samples from")
        return top

    @property
    def bernoulli(self) -> bool:
        return self._chained().bernoulli

    @property
    def chain_width(self) -> int:
        return self._chained().chain_width

    @property
    def chain_classes(self) -> int:
        top = self._chained()
        return top.chain_classes if isinstance(top, HasClassChain) else 0

    def chain(self, V: Array, step: Step) -> tuple[Array, Array]:
        """One step of the top layer's chain: what is below it follows when the chain has ended."""
        return self._chained().chain(V, step)

    def chain_of(self, V: Array, T: Array, step: Step) -> tuple[Array, Array]:
        top = self._chained()
        assert isinstance(top, HasClassChain)
        return top.chain_of(V, T, step)

    def to_chain(self, X: Array) -> Array:
        return self._chained().to_chain(self.inputs(X))

    def from_chain(self, V: Array) -> Array:
        return self.outputs(self._chained().from_chain(V))

    def machines(self) -> tuple[BoltzmannMachine, ...]:
        """Return those of the layers, where each is one, the upper ones of binary codes as they are."""
        made = [layer.machines() if isinstance(layer, IsBoltzmann) else () for layer in self.layers]
        if not all(len(one) == 1 for one in made) or any(by != 1 for by in self.divisors[1:]):
            return ()
        machines = tuple(one[0] for one in made)
        return machines if all(machine.variance is None for machine in machines[1:]) else ()


@contextmanager
def in_layer(number: int, model: str = "") -> Iterator[None]:
    """Within, errors say in which layer they are; it counts from 1."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise type(error)(f"layer {number}{f' ({model})' if model else ''}: {error}") from error


def layer_of(spec: str, hidden: int | None = None) -> LayerSettings:
    """Return what "MODEL:SETTING=VALUE,..." says; `hidden` units, where that is said apart. ConfigError."""
    id, _, rest = spec.partition(":")
    words: list[str] = []
    for part in rest.split(",") if rest else []:
        if "=" in part or not words:
            words.append(part)
        else:  # a comma within a value
            words[-1] += f",{part}"
    try:
        cls = model_class(id.strip())
        if cls.layered():
            raise ConfigError(f"{cls.id} is no single layer; name its layers one by one")
        said = {}
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise ConfigError(f"{word!r} is no SETTING=VALUE")
            said[name.strip().replace("-", "_")] = value.strip()
        if hidden is not None and "hidden" in said:
            raise ConfigError("hidden is said twice, here and by --hidden")
        names = {field.name for field in fields(cls.Config) if field.metadata}
        if hidden is not None and "hidden" not in names:
            raise ConfigError(
                f"{cls.id} has no hidden units; leave --hidden out, and say those of others here"
            )
        own = {name: from_text(cls.Config, name, value) for name, value in said.items() if name in names}
        config = from_dict(cls.Config, own if hidden is None else {**own, "hidden": hidden})
    except ConfigError as error:
        raise ConfigError(f"--layer {spec}: {str(error).removeprefix('--model: ')}") from error
    return LayerSettings(cls.id, config, {name: said[name] for name in said.keys() - names})


def _scaled(layer: Dense, by: float) -> Dense:
    """Return the layer that makes of rows what this one makes of rows times `by`."""
    return layer if by == 1 else replace(layer, W=layer.W * layer.W.dtype.type(by))


def _divided(H: Array, by: float) -> Array:
    return H if by == 1 else np.asarray(H / H.dtype.type(by))
