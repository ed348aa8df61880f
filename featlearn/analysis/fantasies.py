"""What a model believes in: states of its Markov chain, run for long (the Guide's fantasies)."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import HasChain, HasClassChain, Model, Step
from featlearn.random import Purpose, Random, draw_name
from featlearn.rows import Array


def noise(n: int, n_visible: int, dtype: npt.DTypeLike, seed: int, binary: bool) -> Array:
    """(n, n_visible) rows to begin with that know nothing: fair coins, or standard normal numbers."""
    V = Random(seed).normal((n, n_visible), dtype, Purpose.CHAIN)
    return (V > 0).astype(dtype) if binary else V


def begin(model: Model, X: Array | None, n: int, seed: int) -> Array:
    """Return the states that chains begin at, (n, chain_width): noise, or those of `n` rows of data X.

    X are taken again from the first where they are fewer. Raises ConfigError for a model without a chain.
    """
    machine = _chain_of(model)
    if X is None:
        return noise(n, machine.chain_width, model.dtype, seed, machine.bernoulli)
    V = np.resize(machine.to_chain(X), (n, machine.chain_width))
    return binary_rows(V, seed) if machine.bernoulli else V


def held(model: Model, classes: Sequence[int] | None, count: int) -> Array:
    """Return the classes that chains are held to, `count` of each: (n, classes), 1 at the class, else 0.

    None: all classes. Raises ConfigError for a model whose chains know of none.
    """
    known = model.chain_classes if isinstance(model, HasClassChain) else 0
    if not known:
        raise ConfigError(f"--class: the chains of this {model.id} model know of no classes; leave it out")
    T = np.eye(known, dtype=model.dtype)
    return np.repeat(T if classes is None else T[list(classes)], count, axis=0)


def fantasies(
    model: Model,
    V: Array,
    steps: int,
    every: int,
    seed: int,
    on_step: Callable[[], None] = lambda: None,
    T: Array | None = None,
) -> Array:
    """(steps // every, n, visible) means of rows that chains begun at V come to, after each `every` steps.

    T (n, classes) are the classes that they are held to. Raises ConfigError for a model without a Markov
    chain.
    """
    machine = _chain_of(model)
    seen = []
    for k in range(1, steps + 1):
        step = Step(k, seed, Purpose.CHAIN)
        if T is None:
            means, V = machine.chain(V, step)
        else:
            assert isinstance(machine, HasClassChain)
            means, V = machine.chain_of(V, T, step)
        if k % every == 0:
            seen.append(machine.from_chain(means))
        on_step()
    return np.stack(seen)


def shown(model: Model, V: Array) -> Array:
    """Return the rows that states V (n, chain_width) stand for, (n, visible)."""
    return _chain_of(model).from_chain(V)


def _chain_of(model: Model) -> HasChain:
    if not isinstance(model, HasChain):
        raise ConfigError(f"a model {model.id!r} has no Markov chain to draw samples from")
    return model


def binary_rows(X: Array, seed: int) -> Array:
    """Pixels in 0..1 drawn to 0 or 1."""
    out: Array = np.empty_like(X)
    _core.bernoulli(out, X, seed, draw_name(Purpose.BINARIZE))
    return out
