"""Annealed importance sampling of the partition function Z of a Boltzmann machine of two layers.

R. Neal, Annealed importance sampling, Statistics and Computing 11, 2001; R. Salakhutdinov, I. Murray, On the
quantitative analysis of deep belief networks, ICML 2008. Chains go from a base model A, whose log Z is known,
to the machine through

    Bernoulli  p*_beta(v) = exp((1 - beta) bA'v + beta b'v) prod_j (1 + exp(beta (c_j + W_j'v)))
    Gaussian   p*_beta(v) = exp(-sum (v - b)^2 / (2 s^2)) prod_j (1 + exp(beta (c_j + W_j'v / s^2)))

and log Z = log Z_A + log mean w, w = prod_k p*_{k+1}(v_k) / p*_k(v_k). On average that is too low, so the
likelihood too high. The same from beta 1 down to 0, from states of the machine, errs the other way; its
states are data after `burn_in` Gibbs steps, so it is only as good as these are. An estimate is worth as many
chains as (sum w)^2 / sum w^2 says (A. Kong, J. Liu, W. Wong, Journal of the American Statistical Association
89, 1994). That cannot tell of states that no chain has seen; the other way may have.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from featlearn import _core, ranks
from featlearn.analysis.likelihood_settings import LikelihoodConfig
from featlearn.analysis.partition import gaussian_base
from featlearn.models.base import BoltzmannMachine, Step
from featlearn.ops.arrays import product
from featlearn.ops.reduce import all_rows
from featlearn.random import Purpose
from featlearn.rows import Array, Float64

FEWEST = 10  # effective chains: below it the mean weight is known to a factor, its standard error is not
APART = 1.0  # nats between the intervals of the two ways
REVERSE = 1 << 30  # the number from which the steps of chains on the way back are counted
BURN_IN = 1 << 31  # the number from which those of their burn-in are
FEW = 4  # chains that ranks do not part: random numbers come four at a time


class LogZ(NamedTuple):
    """An estimate with the interval of three standard errors of the mean weight."""

    value: float
    low: float
    high: float
    chains: float
    """The effective number: that of equal weights whose mean would be as well known."""


def reliable(there: LogZ, back: LogZ) -> bool:
    """Whether two estimates are worth chains enough and bear each other out."""
    return min(there.chains, back.chains) >= FEWEST and distance(there, back) <= APART


def distance(one: LogZ, other: LogZ) -> float:
    """Between the intervals of two estimates; 0 where they meet."""
    return max(one.low - other.high, other.low - one.high, 0.0)


def schedule(n: int) -> Float64:
    """Return n + 1 inverse temperatures from 0 to 1.

    The steps of 14,500 are Salakhutdinov's: 1e-3 up to 0.5, 1e-4 up to 0.9, then 1e-5.
    """
    first = max(1, round(n * 500 / 14_500))
    second = max(1, round(n * 4000 / 14_500))
    pieces = ((0, 0.5, first), (0.5, 0.9, second), (0.9, 1, n - first - second))
    return np.concatenate([*(np.linspace(a, b, k, endpoint=False) for a, b, k in pieces), [1.0]])


class Annealing:
    """Chains between a base model with the data's `mean` (visible,) and the machine."""

    def __init__(
        self,
        machine: BoltzmannMachine,
        mean: Float64,
        config: LikelihoodConfig,
        seed: int,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.machine = machine
        self.config = config
        self.seed = seed
        self.on_step = on_step
        self.dtype = machine.W.dtype
        self.betas = schedule(config.ais_betas)
        p = np.clip(mean, 1e-3, 1 - 1e-3)
        self.base = np.log(p / (1 - p)).astype(self.dtype) if machine.variance is None else machine.b
        self.spread = None if machine.variance is None else np.sqrt(machine.variance)

    @property
    def base_log_z(self) -> float:
        hidden = len(self.machine.c) * math.log(2)
        if self.machine.variance is not None:
            return hidden + gaussian_base(self.machine)
        return hidden + float(np.logaddexp(0, self.base.astype(np.float64)).sum())

    def forward(self) -> LogZ:
        """From the base model to the machine."""
        with ranks.sharing(self.config.ais_chains, FEW) as own:
            V = np.empty((own.stop - own.start, len(self.base)), self.dtype)
            self._draw_visible(V, self.base, self._step(0, own))
            log_w = all_rows(self._weights(V, self.betas, 1, own))
        return _estimate(self.base_log_z, log_w, 1)

    def backward(self, V: Array) -> LogZ:
        """From rows V (chains, visible), after their burn-in, to the base model."""
        with ranks.sharing(len(V), FEW) as own:
            V = V[own]
            for k in range(self.config.burn_in):
                V = self._transition(V, self.machine.input(V), 1.0, self._step(BURN_IN + k, own))
            log_w = all_rows(self._weights(V, self.betas[::-1], REVERSE, own))
        return _estimate(self.base_log_z, log_w, -1)

    def _step(self, number: int, own: slice) -> Step:
        """Return a step of those of the chains that are here."""
        return Step(number, self.seed, Purpose.ANNEAL, first=own.start)

    def _weights(self, V: Array, betas: Float64, number: int, own: slice) -> Float64:
        """Return log w (chains,) of chains from V at betas[0]; `number` is that of their first step.

        They are the `own` chains of this rank.
        """
        c = self.machine.c
        log_w = np.zeros(len(V))
        before = np.empty(len(V))
        after = np.empty(len(V))
        slope = (self.machine.b - self.base)[:, None]
        for k, (beta, next_beta) in enumerate(pairwise(betas)):
            A = self.machine.input(V)
            _core.row_softplus(before, A, c, beta)
            _core.row_softplus(after, A, c, next_beta)
            change = product(V, slope)[:, 0].astype(np.float64)
            log_w += after - before + (next_beta - beta) * change
            V = self._transition(V, A, next_beta, self._step(number + k, own))
        return log_w

    def _transition(self, V: Array, A: Array, beta: float, step: Step) -> Array:
        """One Gibbs step at `beta` from V, whose input to the hidden units is A."""
        cast = self.dtype.type
        self.on_step()
        ranks.heed()
        S = np.empty_like(A)
        bias = self.machine.c * cast(beta)
        _core.sigmoid_sample(
            np.empty_like(A), S, A * cast(beta), bias, step.seed, step.draw(1), step.before(A)
        )
        out = product(S, self.machine.W, trans_b=True, scale=beta)
        return self._draw_visible(out, cast(1 - beta) * self.base + cast(beta) * self.machine.b, step, out)

    def _draw_visible(self, out: Array, bias: Array, step: Step, A: Array | None = None) -> Array:
        """Visible states given the input A from the hidden units (none: zero), in `out`."""
        A = np.zeros_like(out) if A is None else A
        if self.spread is None:
            _core.sigmoid_sample(np.empty_like(out), out, A, bias, step.seed, step.draw(2), step.before(out))
            return out
        means = A + bias
        _core.normal(out, step.seed, step.draw(2), step.before(out))
        out *= self.spread
        out += means
        return out


def _estimate(base: float, log_w: Float64, sign: int) -> LogZ:
    """Return base + sign * log mean w, with its values for a mean three standard errors lower and higher."""
    top = float(log_w.max())
    w = np.exp(log_w - top)
    mean, error = float(w.mean()), float(w.std(ddof=1)) / math.sqrt(len(w))
    low, high = sorted(
        base + sign * (top + (math.log(m) if m > 0 else -math.inf))
        for m in (mean - 3 * error, mean + 3 * error)
    )
    chains = float(w.sum()) ** 2 / float(np.square(w).sum())
    return LogZ(base + sign * (top + math.log(mean)), low, high, chains)
