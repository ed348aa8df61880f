"""What only some models can do, as protocols."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from featlearn.models.base.phases import Step
from featlearn.rows import Array


@runtime_checkable
class HasChain(Protocol):
    """A model with a Markov chain to draw samples from, over rows or over a layer above them."""

    @property
    def bernoulli(self) -> bool:
        """Whether the chain's states are 0 and 1."""
        ...

    @property
    def chain_width(self) -> int:
        """The number of values of a state."""
        ...

    def chain(self, V: Array, step: Step) -> tuple[Array, Array]:
        """Return the next means and states from V (n, chain_width)."""
        ...

    def to_chain(self, X: Array) -> Array:
        """Return the means of states that rows X (n, visible) stand for."""
        ...

    def from_chain(self, V: Array) -> Array:
        """Return the means of rows (n, visible) that means of states (n, chain_width) stand for."""
        ...


class ChainOfRows:
    """What a model has, after its other bases, whose chain's states are rows."""

    @property
    def n_visible(self) -> int:
        raise NotImplementedError

    @property
    def chain_width(self) -> int:
        return self.n_visible

    def to_chain(self, X: Array) -> Array:
        return X

    def from_chain(self, V: Array) -> Array:
        return V


@runtime_checkable
class HasClassChain(HasChain, Protocol):
    """A model whose Markov chain can be held to classes."""

    @property
    def chain_classes(self) -> int:
        """How many classes there are; 0 where the chain knows of none."""
        ...

    def chain_of(self, V: Array, T: Array, step: Step) -> tuple[Array, Array]:
        """Return the next means and states from V (n, chain_width), given classes T (n, classes)."""
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


@runtime_checkable
class IsClassifier(Protocol):
    """A model that tells classes: one that learned of labelled rows."""

    def probabilities(self, X: Array) -> Array:
        """Return p(class | x) of each row: (n, visible) -> (n, classes)."""
        ...
