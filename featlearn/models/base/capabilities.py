"""What only some models can do, as protocols."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from featlearn.models.base.phases import Step
from featlearn.rows import Array


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


@runtime_checkable
class IsClassifier(Protocol):
    """A model that tells classes: one that learned of labelled rows."""

    def probabilities(self, X: Array) -> Array:
        """Return p(class | x) of each row: (n, visible) -> (n, classes)."""
        ...
