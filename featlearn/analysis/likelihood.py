"""How likely data are under a Boltzmann machine of two layers, in nats a row: log p(v) = -F(v) - log Z.

exact    log Z as a sum over all states of the smaller layer (the hidden one, if the visible units are Gaussian)
ais      annealed importance sampling (R. Neal 2001; R. Salakhutdinov, I. Murray, On the quantitative analysis of
         deep belief networks, ICML 2008): chains go from a base model A, whose log Z is known, to the machine
         through

             Bernoulli  p*_beta(v) = exp((1 - beta) bA'v + beta b'v) prod_j (1 + exp(beta (c_j + W_j'v)))
             Gaussian   p*_beta(v) = exp(-sum (v - b)^2 / (2 s^2)) prod_j (1 + exp(beta (c_j + W_j'v / s^2)))

         and log Z = log Z_A + log mean w, w = prod_k p*_{k+1}(v_k) / p*_k(v_k). On average that is too low,
         so the likelihood too high. The same from beta 1 down to 0, from states of the machine, errs the
         other way; its states are data after `burn_in` Gibbs steps, so it is only as good as these are. An
         estimate is worth as many chains as (sum w)^2 / sum w^2 says (A. Kong, J. Liu, W. Wong, Journal of
         the American Statistical Association 89, 1994). That cannot tell of states that no chain has seen;
         the other way may have.
pseudo   sum_i log p(v_i | all other v), by flipping each binary pixel in turn (J. Besag 1975)
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import BoltzmannMachine, IsBoltzmann, Model, Step
from featlearn.ops.arrays import product
from featlearn.random import Purpose, draw_name
from featlearn.rows import BLOCK, Array, Float64, Rows, edges
from featlearn.settings import check, setting

ENUMERABLE = 22  # units whose states are counted through: 4 million states, some seconds
LOW = 10  # units whose states are held at once
FEWEST = 10  # effective chains: below it the mean weight is known to a factor, its standard error is not
APART = 1.0  # nats between the intervals of the two ways
PSEUDO_WORK = 400_000_000  # softplus terms that a pseudo-likelihood may take: about a second
REVERSE, BURN_IN = 1 << 30, 1 << 31  # where the steps of other chains are numbered from


@dataclass(frozen=True)
class LikelihoodConfig:
    """What to compute, and how long to anneal."""

    likelihood: str | None = setting(
        None,
        "add the log-likelihood: exact (up to 22 units in the smaller layer; gaussian: in the hidden one), by annealed "
        "importance sampling, or auto: exact where it can be, else by sampling",
        choices=("auto", "exact", "ais"),
    )
    ais_chains: int = setting(100, "AIS: number of chains", low=2, needs="likelihood=auto|ais")
    ais_betas: int = setting(
        14_500,
        "AIS: number of distributions between base model and model",
        low=10,
        needs="likelihood=auto|ais",
    )
    burn_in: int = setting(
        1000, "AIS: Gibbs steps that prepare data for the way back", low=0, needs="likelihood=auto|ais"
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def steps(self) -> int:
        """Steps of the chains, there and back."""
        return 2 * self.ais_betas + self.burn_in if self.likelihood == "ais" else 0


class LogZ(NamedTuple):
    """An estimate with the interval of three standard errors of the mean weight."""

    value: float
    low: float
    high: float
    chains: float
    """The effective number: that of equal weights whose mean would be as well known."""


def machine_of(model: Model) -> BoltzmannMachine | None:
    """Return the model as a Boltzmann machine of two layers; None where it is none."""
    return model.boltzmann() if isinstance(model, IsBoltzmann) else None


def resolve(config: LikelihoodConfig, model: Model) -> LikelihoodConfig:
    """`config` with "auto" decided.

    Raises ConfigError if it asks for a likelihood that `model` cannot have.
    """
    machine = machine_of(model)
    if machine is None and config.likelihood:
        raise ConfigError(
            f"--likelihood: this {model.id} model has none: it is no machine of binary hidden units"
        )
    if machine is None:
        return config
    if config.likelihood == "auto":
        return replace(config, likelihood="exact" if _states_of(machine)[0] <= ENUMERABLE else "ais")
    if config.likelihood == "exact":
        _refuse_too_many(machine)
    return config


def likelihoods(
    model: Model, rows: Rows, config: LikelihoodConfig, seed: int, on_step: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Measures of `model` on `rows` in nats a row, `config` being resolved; empty for a model that is no
    Boltzmann machine.

    pseudo_likelihood                           binary visible units, over at most 1000 rows
    likelihood_method                           with `likelihood`: exact or ais, and
    log_z, log_likelihood
    log_z_low, log_z_high                       ais: the interval of three standard errors
    effective_chains                            ais: what the estimate is worth
    reverse_log_z, reverse_log_likelihood, ...  ais: the same on the way back

    The keys of estimates begin with "unreliable_" where one of the ways is worth fewer than FEWEST chains, or
    their intervals are more than APART: either way is the only witness of what the other has missed.

    Grey pixels of binary visible units are drawn to 0 or 1 first, by the seed. `on_step` is called for
    `config.steps`.
    """
    machine = machine_of(model)
    if machine is None:
        return {}
    exact = exact_log_z(machine) if config.likelihood == "exact" else None
    first = _block(machine, rows, 0, seed)
    measures: dict[str, Any] = {}
    if machine.variance is None:
        measures["pseudo_likelihood"] = pseudo_log_likelihood(machine, first)
    if config.likelihood is None:
        return measures
    measures["likelihood_method"] = config.likelihood
    free_energy, mean = 0.0, np.zeros(len(machine.b))
    for i, _ in edges(len(rows)):
        V = _block(machine, rows, i, seed)
        free_energy += model.extra_metrics(V)["free_energy"] * len(V) / len(rows)
        mean += V.sum(axis=0, dtype=np.float64) / len(rows)
    if exact is not None:
        return measures | {"log_z": exact, "log_likelihood": -free_energy - exact}
    annealing = Annealing(machine, mean, config, seed, on_step)
    start = first[np.arange(config.ais_chains) % len(first)]
    there, back = annealing.forward(), annealing.backward(start)
    word = "" if reliable(there, back) else "unreliable_"
    return measures | _keys(there, word, "", free_energy) | _keys(back, word, "reverse_", free_energy)


def reliable(there: LogZ, back: LogZ) -> bool:
    """Whether two estimates are worth chains enough and bear each other out."""
    return min(there.chains, back.chains) >= FEWEST and distance(there, back) <= APART


def distance(one: LogZ, other: LogZ) -> float:
    """Between the intervals of two estimates; 0 where they meet."""
    return max(one.low - other.high, other.low - one.high, 0.0)


def _keys(estimate: LogZ, word: str, way: str, free_energy: float) -> dict[str, float]:
    """What an estimate comes to."""
    return {
        f"{word}{way}log_z": estimate.value,
        f"{word}{way}log_z_low": estimate.low,
        f"{word}{way}log_z_high": estimate.high,
        f"{word}{way}log_likelihood": -free_energy - estimate.value,
        f"{way}effective_chains": estimate.chains,
    }


def _states_of(machine: BoltzmannMachine) -> tuple[int, str]:
    """How many units are counted through for an exact likelihood, and which."""
    if machine.variance is not None:
        return len(machine.c), "hidden units"
    return min(machine.W.shape), "units in the smaller layer"


def _refuse_too_many(machine: BoltzmannMachine) -> None:
    """Raise ConfigError for more units than can be counted through."""
    n, units = _states_of(machine)
    if n > ENUMERABLE:
        raise ConfigError(
            f"--likelihood exact: {n} {units}, at most {ENUMERABLE} can be counted through; use --likelihood auto"
        )


def _block(machine: BoltzmannMachine, rows: Rows, i: int, seed: int) -> Array:
    """Up to BLOCK rows from row i on, grey pixels of binary units drawn."""
    X = rows.block(i, min(i + BLOCK, len(rows)))
    if machine.variance is None:
        _core.bernoulli(X, X, seed, draw_name(Purpose.BINARIZE, i))
    return X


def is_binary(rows: Rows) -> bool:
    """Whether the first rows hold nothing but 0 and 1."""
    X = rows.block(0, min(BLOCK, len(rows)))
    return bool(((X == 0) | (X == 1)).all())


def exact_log_z(machine: BoltzmannMachine) -> float:
    """log Z as a sum over the states of the smaller layer (Gaussian: the hidden one).

    Raises ConfigError for more than ENUMERABLE units there.
    """
    _refuse_too_many(machine)
    W, b, c = (np.asarray(a, np.float64) for a in (machine.W, machine.b, machine.c))
    if machine.variance is not None or W.shape[1] <= W.shape[0]:
        U, field, bias = np.ascontiguousarray(W.T), c, b  # one row a unit that is counted through
    else:
        U, field, bias = W, b, c
    if machine.variance is None:
        return _log_sum(_bernoulli_terms(U, field, bias))
    return _log_sum(_gaussian_terms(U, field, bias, machine.variance.astype(np.float64))) + _gaussian_base(
        machine
    )


def _bernoulli_terms(U: Float64, field: Float64, bias: Float64) -> Iterable[Float64]:
    """field's + sum_i log(1 + exp(bias_i + (s'U)_i)) for all binary states s, block by block."""
    low = min(len(U), LOW)
    S = _states(low)
    A, base, out = S @ U[:low], S @ field[:low], np.empty(len(S))
    for t in _states(len(U) - low):
        _core.row_softplus(out, A, bias + t @ U[low:])
        yield out + base + t @ field[low:]


def _gaussian_terms(U: Float64, field: Float64, b: Float64, variance: Float64) -> Iterable[Float64]:
    """field's + sum (2 b m + m^2) / (2 s^2), m = s'U, for all binary states s: a quadratic form."""
    low = min(len(U), LOW)
    S, G, g = _states(low), (U / variance) @ U.T, field + (U / variance) @ b
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


def _gaussian_base(machine: BoltzmannMachine) -> float:
    """log of the integral of exp(-sum (v - b)^2 / (2 s^2))."""
    assert machine.variance is not None
    return float(np.log(2 * math.pi * machine.variance.astype(np.float64)).sum() / 2)


def schedule(n: int) -> Float64:
    """n + 1 inverse temperatures from 0 to 1; of 14,500 steps, as Salakhutdinov's, 1e-3 up to .5, 1e-4 to .9,
    1e-5."""
    first, second = max(1, round(n * 500 / 14_500)), max(1, round(n * 4000 / 14_500))
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
        self.machine, self.config, self.seed, self.on_step = machine, config, seed, on_step
        self.dtype = machine.W.dtype
        self.betas = schedule(config.ais_betas)
        p = np.clip(mean, 1e-3, 1 - 1e-3)
        self.base = np.log(p / (1 - p)).astype(self.dtype) if machine.variance is None else machine.b
        self.spread = None if machine.variance is None else np.sqrt(machine.variance)

    @property
    def base_log_z(self) -> float:
        hidden = len(self.machine.c) * math.log(2)
        if self.machine.variance is not None:
            return hidden + _gaussian_base(self.machine)
        return hidden + float(np.logaddexp(0, self.base.astype(np.float64)).sum())

    def forward(self) -> LogZ:
        """From the base model to the machine."""
        V = np.empty((self.config.ais_chains, len(self.base)), self.dtype)
        self._draw_visible(V, self.base, Step(0, self.seed, Purpose.ANNEAL))
        return _estimate(self.base_log_z, self._weights(V, self.betas, 1), 1)

    def backward(self, V: Array) -> LogZ:
        """From rows V (chains, visible), after their burn-in, to the base model."""
        for k in range(self.config.burn_in):
            V = self._transition(V, self._input(V), 1.0, Step(BURN_IN + k, self.seed, Purpose.ANNEAL))
        return _estimate(self.base_log_z, self._weights(V, self.betas[::-1], REVERSE), -1)

    def _weights(self, V: Array, betas: Float64, number: int) -> Float64:
        """(chains,) log w of chains that begin with V at betas[0]; their steps are numbered from `number` on."""
        c, n = self.machine.c, len(V)
        log_w, before, after = np.zeros(n), np.empty(n), np.empty(n)
        slope = (self.machine.b - self.base)[:, None]
        for k, (beta, next_beta) in enumerate(pairwise(betas)):
            A = self._input(V)
            _core.row_softplus(before, A, c, beta)
            _core.row_softplus(after, A, c, next_beta)
            change = product(V, slope)[:, 0].astype(np.float64)
            log_w += after - before + (next_beta - beta) * change
            V = self._transition(V, A, next_beta, Step(number + k, self.seed, Purpose.ANNEAL))
        return log_w

    def _input(self, V: Array) -> Array:
        """What the hidden units get from V: W'v or W'v / s^2."""
        return product(V if self.machine.variance is None else V / self.machine.variance, self.machine.W)

    def _transition(self, V: Array, A: Array, beta: float, step: Step) -> Array:
        """One Gibbs step at `beta` from V, whose input to the hidden units is A."""
        cast = self.dtype.type
        self.on_step()
        S = np.empty_like(A)
        _core.sigmoid_sample(
            np.empty_like(A), S, A * cast(beta), self.machine.c * cast(beta), step.seed, step.draw(1)
        )
        out = product(S, self.machine.W, trans_b=True, scale=beta)
        return self._draw_visible(out, cast(1 - beta) * self.base + cast(beta) * self.machine.b, step, out)

    def _draw_visible(self, out: Array, bias: Array, step: Step, A: Array | None = None) -> Array:
        """Visible states given the input A from the hidden units (none: zero), in `out`."""
        A = np.zeros_like(out) if A is None else A
        if self.spread is None:
            _core.sigmoid_sample(np.empty_like(out), out, A, bias, step.seed, step.draw(2))
            return out
        means = A + bias
        _core.normal(out, step.seed, step.draw(2))
        out *= self.spread
        out += means
        return out


def _estimate(base: float, log_w: Float64, sign: int) -> LogZ:
    """base + sign * log mean w, its values for the mean three standard errors lower and higher, effective
    chains."""
    top = float(log_w.max())
    w = np.exp(log_w - top)
    mean, error = float(w.mean()), float(w.std(ddof=1)) / math.sqrt(len(w))
    low, high = sorted(
        base + sign * (top + (math.log(m) if m > 0 else -math.inf))
        for m in (mean - 3 * error, mean + 3 * error)
    )
    chains = float(w.sum()) ** 2 / float(np.square(w).sum())
    return LogZ(base + sign * (top + math.log(mean)), low, high, chains)


def pseudo_log_likelihood(machine: BoltzmannMachine, V: Array) -> float:
    """Mean over the first rows of binary V (n, visible) of sum_i log p(v_i | v without i)."""
    W, b, c = machine.W, machine.b, machine.c
    n = max(1, min(len(V), 1000, PSEUDO_WORK // W.size))
    A = product(np.ascontiguousarray(V[:n]), W)
    flipped, total = np.empty(len(b)), 0.0
    own = np.empty(n)
    _core.row_softplus(own, A, c)
    for i in range(n):
        change = 1 - 2 * V[i]  # of pixel i when it is flipped
        _core.row_softplus(flipped, W * change[:, None], A[i] + c)
        rise = change * b + (flipped - own[i])  # F(v) - F(flipped)
        total -= float(np.logaddexp(0, rise).sum())
    return total / n
