"""What a model believes in: states of its Markov chain, run for long (the Guide's fantasies)."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import HasChain, Model, Step
from featlearn.random import Purpose, Random, draw_name
from featlearn.rows import Array


def noise(n: int, n_visible: int, dtype: npt.DTypeLike, seed: int, binary: bool) -> Array:
    """(n, n_visible) rows to begin with that know nothing: fair coins, or standard normal numbers."""
    V = Random(seed).normal((n, n_visible), dtype, Purpose.CHAIN)
    return (V > 0).astype(dtype) if binary else V


def begin(model: Model, X: Array | None, n: int, seed: int) -> Array:
    """Return the rows that chains begin at: `n` of noise, or data X, drawn to 0 or 1 for binary units."""
    binary = isinstance(model, HasChain) and model.bernoulli
    if X is None:
        return noise(n, model.n_visible, model.dtype, seed, binary)
    return binary_rows(X, seed) if binary else X


def fantasies(
    model: Model, V: Array, steps: int, every: int, seed: int, on_step: Callable[[], None] = lambda: None
) -> Array:
    """(steps // every, n, visible) means of the chains begun at V (n, visible), after each `every` steps.

    Raises ConfigError for a model without a Markov chain.
    """
    if not isinstance(model, HasChain):
        raise ConfigError(f"a model {model.id!r} has no Markov chain to draw samples from")
    seen = []
    for k in range(1, steps + 1):
        means, V = model.chain(V, Step(k, seed, Purpose.CHAIN))
        if k % every == 0:
            seen.append(means)
        on_step()
    return np.stack(seen)


def binary_rows(X: Array, seed: int) -> Array:
    """Pixels in 0..1 drawn to 0 or 1."""
    out: Array = np.empty_like(X)
    _core.bernoulli(out, X, seed, draw_name(Purpose.BINARIZE))
    return out
