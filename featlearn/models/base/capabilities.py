"""What only some models can do, as protocols."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from featlearn import _core
from featlearn.models.base.phases import Step
from featlearn.ops.arrays import product, row_squares
from featlearn.ops.graph import Graph, Value
from featlearn.rows import Array, Float64


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

    def input(self, V: Array) -> Array:
        """Return what the hidden units get of V (n, visible), without biases: W'v or W'v / s^2."""
        return product(V if self.variance is None else V / self.variance, self.W)

    def free_energy(self, V: Array) -> Float64:
        """(n,) F of each row, -log of the sum over h of exp(-E)."""
        out = np.empty(len(V), np.float64)
        _core.row_softplus(out, self.input(V), self.c)
        if self.variance is None:
            return np.asarray(-out - product(V, self.b[:, None])[:, 0])
        return np.asarray(row_squares((V - self.b) / np.sqrt(self.variance)) / 2 - out)


@runtime_checkable
class IsBoltzmann(Protocol):
    """A model that may be Boltzmann machines of two layers: what likelihoods are computed of."""

    def machines(self) -> tuple[BoltzmannMachine, ...]:
        """Return the machine, or those of a deep belief net from below, whose last one is its top.

        None where units that it has been given have no closed free energy.
        """
        ...


@runtime_checkable
class IsClassifier(Protocol):
    """A model that tells classes: one that learned of labelled rows."""

    def probabilities(self, X: Array) -> Array:
        """Return p(class | x) of each row: (n, visible) -> (n, classes)."""
        ...

    def portable_probabilities(self, g: Graph, X: Value) -> Value:
        """Write `probabilities` down for other programs: of preprocessed rows X (n, visible)."""
        ...
