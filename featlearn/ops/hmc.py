"""Hybrid Monte Carlo: a step of a Markov chain whose states have an energy with a slope, but no Gibbs step.

    fresh momenta p;  p -= e/2 dF/dv,  v += e p,  p -= e/2 dF/dv, again and again;
    accepted with probability min(1, exp(F(v) + p'p / 2 before - the same after))

R. Neal, Bayesian learning via stochastic dynamics, NIPS 1993. The size e of a step is drawn anew about a
given one, so that no path is always half a turn of some direction.
"""

from collections.abc import Callable

import numpy as np

from featlearn import _core
from featlearn.ops.activations import sigmoid
from featlearn.ops.arrays import row_squares
from featlearn.ops.reduce import mean
from featlearn.rows import Array

JITTER = 0.2  # of each step's size, either way

Function = Callable[[Array], Array]


def leapfrog(slope: Function, V: Array, P: Array, size: float, steps: int) -> tuple[Array, Array]:
    """Return the end of the path from V with momenta P, both (n, d); `slope` gives dF/dv of each row."""
    V = V.copy()
    P = P.copy()
    e = V.dtype.type(size)
    G = slope(V)
    for i in range(steps):
        G *= e / 2 if i == 0 else e
        P -= G
        V += e * P
        G = slope(V)
    G *= e / 2
    P -= G
    return V, P


def propose(
    energy: Function, slope: Function, V: Array, size: float, steps: int, seed: int, draws: tuple[int, int]
) -> tuple[Array, float]:
    """Take one step of each chain from V (n, d): return the states and the share of rejected proposals.

    `energy` is F of each row, (n,); `draws` name the random momenta and uniform numbers.
    """
    P, uniform = np.empty_like(V), np.empty(len(V) + 1, np.float64)
    _core.normal(P, seed, draws[0])
    _core.uniform(uniform, seed, draws[1])
    uniform, jitter = uniform[:-1], 1 + JITTER * (2 * uniform[-1] - 1)
    V1, P1 = leapfrog(slope, V, P, size * jitter, steps)
    gain = energy(V) + row_squares(P) / 2 - energy(V1) - row_squares(P1) / 2
    odds = sigmoid(gain[:, None], np.zeros(1))[:, 0]  # of exp(gain), whose NaN is no acceptance
    accepted = uniform * (1 - odds) < odds
    return np.where(accepted[:, None], V1, V), 1 - mean(accepted)
