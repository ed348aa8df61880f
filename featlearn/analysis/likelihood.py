"""How likely data are under Boltzmann machines, in nats a row: log p(v) = -F(v) - log Z of one machine.

exact    log Z as a sum over all states of the smaller layer (partition.py)
ais      log Z by annealed importance sampling, there and back (annealing.py)
pseudo   sum_i log p(v_i | all other v), by flipping each binary pixel in turn (J. Besag 1975)

Of a deep belief net, machines on top of each other, that is a lower bound (belief.py).
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from featlearn import _core, ranks
from featlearn.analysis.annealing import Annealing, reliable
from featlearn.analysis.belief import climb
from featlearn.analysis.likelihood_settings import LikelihoodConfig
from featlearn.analysis.partition import ENUMERABLE, exact_log_z, refuse_too_many, states_of
from featlearn.errors import ConfigError
from featlearn.models.base import BoltzmannMachine, IsBoltzmann, Model
from featlearn.ops.arrays import product
from featlearn.ops.reduce import all_rows, mean
from featlearn.random import Purpose, draw_name
from featlearn.rows import BLOCK, Array, Rows

PSEUDO_WORK = 400_000_000  # softplus terms that a pseudo-likelihood may take: about a second


def machines_of(model: Model) -> tuple[BoltzmannMachine, ...]:
    """Return the Boltzmann machines of two layers that a model is, from below; none where it is none."""
    return model.machines() if isinstance(model, IsBoltzmann) else ()


def resolve(config: LikelihoodConfig, model: Model) -> LikelihoodConfig:
    """`config` with "auto" decided.

    Raises ConfigError if it asks for a likelihood that `model` cannot have.
    """
    machines = machines_of(model)
    if not machines and config.likelihood:
        raise ConfigError(
            f"--likelihood: this {model.id} model has none: it is no machine of binary hidden units, "
            "nor a stack of such"
        )
    if not machines:
        return config
    machine = machines[-1]
    if config.likelihood == "auto":
        return replace(config, likelihood="exact" if states_of(machine)[0] <= ENUMERABLE else "ais")
    if config.likelihood == "exact":
        refuse_too_many(machine)
    return config


def likelihoods(
    model: Model, rows: Rows, config: LikelihoodConfig, seed: int, on_step: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Return measures of `model` on `rows` in nats a row; none for a model that is no Boltzmann machine.

    `config` is resolved.

    pseudo_likelihood                           binary visible units, over at most 1000 rows; of one machine
    likelihood_method                           with `likelihood`: exact or ais, and
    log_z, log_likelihood                       log_likelihood_bound of a deep belief net, log_z of its top
    log_z_low, log_z_high                       ais: the interval of three standard errors
    effective_chains                            ais: what the estimate is worth
    reverse_log_z, reverse_log_likelihood, ...  ais: the same on the way back

    The keys of estimates begin with "unreliable_" where one of the ways is worth fewer than FEWEST chains, or
    their intervals are more than APART: either way is the only witness of what the other has missed.

    Grey pixels of binary visible units are drawn to 0 or 1 first, by the seed. `on_step` is called for
    `config.steps`.
    """
    machines = machines_of(model)
    if not machines:
        return {}
    *below, top = machines
    exact = exact_log_z(top) if config.likelihood == "exact" else None
    measures: dict[str, Any] = {}
    if top.variance is None and not below:
        measures["pseudo_likelihood"] = pseudo_log_likelihood(top, _block(top, rows, 0, seed))
    if config.likelihood is None:
        return measures
    measures["likelihood_method"] = config.likelihood
    name = "log_likelihood_bound" if below else "log_likelihood"
    unnormalized, states = 0.0, np.zeros(len(top.b))

    def of_block(i: int) -> tuple[float, Array]:
        gain, V = climb(below, _block(machines[0], rows, i * BLOCK, seed), seed, i * BLOCK)
        share = mean(gain - top.free_energy(V)) * len(V) / len(rows)
        return share, V.sum(axis=0, dtype=np.float64) / len(rows)

    for value, sums in ranks.shared_out(of_block, math.ceil(len(rows) / BLOCK)):
        unnormalized += value
        states += sums
    if exact is not None:
        return measures | {"log_z": exact, name: unnormalized - exact}
    annealing = Annealing(top, states, config, seed, on_step)
    _, first = climb(below, _block(machines[0], rows, 0, seed), seed, 0)
    start = first[np.arange(config.ais_chains) % len(first)]
    there, back = annealing.forward(), annealing.backward(start)
    word = "" if reliable(there, back) else "unreliable_"
    for way, estimate in (("", there), ("reverse_", back)):
        measures |= {
            f"{word}{way}log_z": estimate.value,
            f"{word}{way}log_z_low": estimate.low,
            f"{word}{way}log_z_high": estimate.high,
            f"{word}{way}{name}": unnormalized - estimate.value,
            f"{way}effective_chains": estimate.chains,
        }
    return measures


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


def pseudo_log_likelihood(machine: BoltzmannMachine, V: Array) -> float:
    """Mean over the first rows of binary V (n, visible) of sum_i log p(v_i | v without i)."""
    W = machine.W
    b = machine.b
    c = machine.c
    n = max(1, min(len(V), 1000, PSEUDO_WORK // W.size))
    flipped, total = np.empty(len(b)), 0.0
    with ranks.sharing(n, 1) as here:
        V = np.ascontiguousarray(V[here])
        A = product(V, W)
        own, found = np.empty((2, len(V)))
        _core.row_softplus(own, A, c)
        for i in range(len(V)):
            change = 1 - 2 * V[i]  # of pixel i when it is flipped
            _core.row_softplus(flipped, W * change[:, None], A[i] + c)
            rise = change * b + (flipped - own[i])  # F(v) - F(flipped)
            found[i] = np.logaddexp(0, rise).sum()
        for value in all_rows(found).tolist():
            total -= value
    return total / n
