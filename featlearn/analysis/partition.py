"""The partition function Z of a Boltzmann machine as a sum over all states of its smaller layer.

With Gaussian visible units that is the hidden one.
"""

import math
from collections.abc import Iterable

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import BoltzmannMachine
from featlearn.rows import Float64

ENUMERABLE = 22  # units whose states are counted through: 4 million states, some seconds
LOW = 10  # units whose states are held at once


def exact_log_z(machine: BoltzmannMachine) -> float:
    """log Z as a sum over the states of the smaller layer (Gaussian: the hidden one).

    Raises ConfigError for more than ENUMERABLE units there.
    """
    refuse_too_many(machine)
    W, b, c = (np.asarray(a, np.float64) for a in (machine.W, machine.b, machine.c))
    if machine.variance is not None or W.shape[1] <= W.shape[0]:
        U = np.ascontiguousarray(W.T)  # one row a unit that is counted through
        field, bias = c, b
    else:
        U = W
        field, bias = b, c
    if machine.variance is None:
        return _log_sum(_bernoulli_terms(U, field, bias))
    return _log_sum(_gaussian_terms(U, field, bias, machine.variance.astype(np.float64))) + gaussian_base(
        machine
    )


def states_of(machine: BoltzmannMachine) -> tuple[int, str]:
    """How many units are counted through for an exact likelihood, and which."""
    if machine.variance is not None:
        return len(machine.c), "hidden units"
    return min(machine.W.shape), "units in the smaller layer"


def refuse_too_many(machine: BoltzmannMachine) -> None:
    """Raise ConfigError for more units than can be counted through."""
    n, units = states_of(machine)
    if n > ENUMERABLE:
        raise ConfigError(
            f"--likelihood exact: {n} {units}, at most {ENUMERABLE} can be counted through; "
            "use --likelihood auto"
        )


def _bernoulli_terms(U: Float64, field: Float64, bias: Float64) -> Iterable[Float64]:
    """field's + sum_i log(1 + exp(bias_i + (s'U)_i)) for all binary states s, block by block."""
    low = min(len(U), LOW)
    S = _states(low)
    A = S @ U[:low]
    base = S @ field[:low]
    out = np.empty(len(S))
    for t in _states(len(U) - low):
        _core.row_softplus(out, A, bias + t @ U[low:])
        yield out + base + t @ field[low:]


def _gaussian_terms(U: Float64, field: Float64, b: Float64, variance: Float64) -> Iterable[Float64]:
    """field's + sum (2 b m + m^2) / (2 s^2), m = s'U, for all binary states s: a quadratic form."""
    low = min(len(U), LOW)
    S = _states(low)
    G = (U / variance) @ U.T
    g = field + (U / variance) @ b
    base = S @ g[:low] + ((S @ G[:low, :low]) * S).sum(axis=1) / 2
    for t in _states(len(U) - low):
        yield base + S @ (G[:low, low:] @ t) + (t @ g[low:] + t @ G[low:, low:] @ t / 2)


def _states(k: int) -> Float64:
    """(2^k, k) all binary states."""
    return (np.arange(1 << k)[:, None] >> np.arange(k) & 1).astype(np.float64)


def _log_sum(blocks: Iterable[Float64]) -> float:
    """log sum exp of all values."""
    total = -math.inf
    for values in blocks:
        top = max(total, float(values.max()))
        total = top + math.log(math.exp(total - top) + float(np.exp(values - top).sum()))
    return total


def gaussian_base(machine: BoltzmannMachine) -> float:
    """log of the integral of exp(-sum (v - b)^2 / (2 s^2))."""
    assert machine.variance is not None
    return float(np.log(2 * math.pi * machine.variance.astype(np.float64)).sum() / 2)
