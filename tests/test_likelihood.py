"""Likelihoods against sums over all states, numerical integrals, and probabilities that add up to one."""

import itertools
import math

import numpy as np
import pytest

from featlearn.analysis import annealing
from featlearn.analysis.annealing import Annealing, LogZ, distance, reliable, schedule
from featlearn.analysis.fantasies import fantasies, noise
from featlearn.analysis.likelihood import is_binary, likelihoods, pseudo_log_likelihood, resolve
from featlearn.analysis.likelihood_settings import LikelihoodConfig
from featlearn.analysis.partition import exact_log_z
from featlearn.errors import ConfigError
from featlearn.models.base import BoltzmannMachine, IsBoltzmann, Model
from featlearn.models.rbm import RBM
from featlearn.random import Random
from helpers import Rows


def states(k):
    return np.array(list(itertools.product([0.0, 1.0], repeat=k)))


def machine(d, h, scale=1.0, variance=None, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    W, b, c = rng.normal(size=(d, h)) * scale, rng.normal(size=d), rng.normal(size=h)
    return BoltzmannMachine(W.astype(dtype), b.astype(dtype), c.astype(dtype), variance)


def brute_log_z(m):
    """Over all states of both layers."""
    V, H = states(len(m.b)), states(len(m.c))
    return np.logaddexp.reduce(((V @ m.b)[:, None] + H @ m.c + V @ m.W @ H.T).ravel())


@pytest.mark.parametrize(("d", "h"), [(1, 1), (4, 3), (3, 5), (2, 12), (13, 2)])
def test_exact_log_z_is_the_sum_over_all_states(d, h):
    m = machine(d, h)
    assert exact_log_z(m) == pytest.approx(brute_log_z(m), abs=1e-10)


def test_exact_log_z_in_two_orders():
    """Visible and hidden units have the same right to be counted through; so have they in another order."""
    m = machine(12, 14, scale=0.7)
    turned = BoltzmannMachine(np.ascontiguousarray(m.W.T), m.c, m.b)
    shuffled = BoltzmannMachine(np.ascontiguousarray(m.W[::-1, ::-1]), m.b[::-1].copy(), m.c[::-1].copy())
    assert exact_log_z(turned) == pytest.approx(exact_log_z(m), abs=1e-9)
    assert exact_log_z(shuffled) == pytest.approx(exact_log_z(m), abs=1e-9)
    wide = BoltzmannMachine(np.hstack([m.W, np.zeros((12, 10))]), m.b, np.append(m.c, np.zeros(10)))
    assert exact_log_z(wide) == pytest.approx(exact_log_z(m) + 10 * math.log(2), abs=1e-9)


def test_gaussian_log_z_is_the_integral():
    """Against a sum over a fine grid of two visible units."""
    m = machine(2, 3, scale=0.8, variance=np.array([0.5, 1.7]))
    x = np.arange(-12, 12, 0.05)
    V = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    minus_f = -((V - m.b) ** 2 / (2 * m.variance)).sum(1)
    minus_f += np.logaddexp(0, (V / m.variance) @ m.W + m.c).sum(1)
    assert exact_log_z(m) == pytest.approx(np.logaddexp.reduce(minus_f) + 2 * math.log(0.05), abs=1e-6)


def test_gaussian_log_z_over_many_blocks():
    m = machine(5, 13, scale=0.3, variance=np.linspace(0.5, 2, 5))
    H = states(13)
    M = H @ m.W.T
    terms = H @ m.c + ((2 * m.b * M + M * M) / (2 * m.variance)).sum(1)
    wanted = np.logaddexp.reduce(terms) + np.log(2 * math.pi * m.variance).sum() / 2
    assert exact_log_z(m) == pytest.approx(wanted, abs=1e-9)


def test_too_many_units_are_refused():
    with pytest.raises(ConfigError, match=r"23 units in the smaller layer, at most 22 .* --likelihood auto"):
        exact_log_z(machine(30, 23))
    with pytest.raises(ConfigError, match="25 hidden units, at most 22"):
        exact_log_z(machine(3, 25, variance=np.ones(3)))  # continuous units cannot be counted through


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gaussian", [False, True])
def test_annealing_meets_the_exact_value(gaussian, dtype):
    m = machine(8, 6, 0.7, np.linspace(0.5, 1.5, 8).astype(dtype) if gaussian else None, dtype)
    exact = exact_log_z(m)
    config = LikelihoodConfig(ais_chains=200, ais_betas=400, burn_in=200)
    annealing = Annealing(m, np.full(8, 0.5), config, seed=1)
    start = np.full((200, 8), 0.5, dtype) if gaussian else np.ones((200, 8), dtype)
    for found in (annealing.forward(), annealing.backward(start)):
        assert found.low <= found.value <= found.high
        assert found.low < exact < found.high
        assert found.value == pytest.approx(exact, abs=0.15)
        assert found.high - found.low < 0.6


def test_annealing_of_independent_units_is_exact():
    """Without weights nothing changes on the way but what is known: all weights are equal."""
    m = BoltzmannMachine(np.zeros((5, 4)), np.linspace(-2, 2, 5), np.zeros(4))
    mean = 1 / (1 + np.exp(-m.b))
    annealing = Annealing(m, mean, LikelihoodConfig(ais_chains=5, ais_betas=20), seed=0)
    for found in (annealing.forward(), annealing.backward(np.zeros((5, 5)))):
        assert found.value == pytest.approx(brute_log_z(m), abs=1e-9)
        assert found.high - found.low < 1e-9


def test_the_schedule_of_14500():
    betas = schedule(14_500)
    assert len(betas) == 14_501
    assert (betas[0], betas[-1]) == (0, 1)
    steps = np.diff(betas)
    np.testing.assert_allclose(
        steps[[0, 499, 500, 4499, 4500, -1]], [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rtol=1e-6
    )
    assert (np.diff(schedule(10)) > 0).all()


def test_interval_is_three_standard_errors_of_the_mean_weight():
    log_w = np.log([1.0, 2.0, 3.0, 4.0]) + 500  # exp of which overflows
    error = np.std([1, 2, 3, 4], ddof=1) / 2
    found = annealing._estimate(10.0, log_w, 1)
    assert found.value == pytest.approx(510 + math.log(2.5))
    assert found.high == pytest.approx(510 + math.log(2.5 + 3 * error))
    assert found.low == pytest.approx(510 + math.log(2.5 - 3 * error))
    # three errors are more than the mean
    assert annealing._estimate(0.0, np.array([0.0, -50.0]), 1).low == -math.inf
    back = annealing._estimate(10.0, log_w, -1)
    assert back.value == pytest.approx(10 - 500 - math.log(2.5))
    assert back.low <= back.value <= back.high
    assert found.chains == back.chains == pytest.approx(100 / 30)  # (1 + 2 + 3 + 4)^2 / (1 + 4 + 9 + 16)
    assert annealing._estimate(0.0, np.full(7, -900.0), 1).chains == pytest.approx(7)
    assert annealing._estimate(0.0, np.array([0.0, -50.0]), 1).chains == pytest.approx(1)


def test_pseudo_likelihood_by_conditionals():
    m = machine(4, 3)
    V = states(4)
    log_p = V @ m.b + np.logaddexp(0, V @ m.W + m.c).sum(1)
    total = 0.0
    for n in range(16):
        for i in range(4):
            other = n ^ (8 >> i)  # the state with unit i flipped
            total += log_p[n] - np.logaddexp(log_p[n], log_p[other])
    assert pseudo_log_likelihood(m, V) == pytest.approx(total / 16, abs=1e-12)


def rbm(**config):
    model = RBM(RBM.Config(**{"hidden": 4, "visible": "bernoulli", "init_scale": 1.0, **config}), np.float64)
    model.init(5, Random(0))
    return model


def test_probabilities_add_up_to_one():
    model = rbm()
    V = states(5)
    logs = [likelihoods(model, Rows(v[None]), LikelihoodConfig("exact"), 0)["log_likelihood"] for v in V]
    assert np.logaddexp.reduce(logs) == pytest.approx(0, abs=1e-10)
    mean = likelihoods(model, Rows(V), LikelihoodConfig("exact"), 0)["log_likelihood"]
    assert mean == pytest.approx(np.mean(logs), abs=1e-10)


def test_what_is_reported():
    rows = Rows((np.random.default_rng(0).random((50, 5)) < 0.3) * 1.0)
    model = rbm()
    assert list(likelihoods(model, rows, LikelihoodConfig(), 0)) == ["pseudo_likelihood"]
    exact = likelihoods(model, rows, LikelihoodConfig("exact"), 0)
    found = likelihoods(model, rows, LikelihoodConfig("ais", ais_chains=50, ais_betas=100, burn_in=50), 0)
    assert found["log_likelihood"] == pytest.approx(exact["log_likelihood"], abs=0.3)
    assert found["log_likelihood"] + found["log_z"] == pytest.approx(exact["log_likelihood"] + exact["log_z"])
    assert {"log_z_low", "log_z_high", "reverse_log_z", "reverse_log_likelihood"} <= set(found)
    gaussian = rbm(visible="gaussian")
    assert likelihoods(gaussian, rows, LikelihoodConfig(), 0) == {}
    for kind in ("auto", "exact", "ais"):
        with pytest.raises(ConfigError, match="--likelihood: this rbm model has none"):
            resolve(LikelihoodConfig(kind), rbm(units="rectified"))
    assert (exact["likelihood_method"], found["likelihood_method"]) == ("exact", "ais")
    assert found["effective_chains"] <= 50
    assert found["reverse_effective_chains"] <= 50


@pytest.mark.parametrize(
    ("hidden", "visible", "method"),
    [
        (22, 40, "exact"),
        (23, 40, "ais"),
        (40, 22, "exact"),
        (40, 23, "ais"),
        (22, 5, "exact"),
        (500, 784, "ais"),
    ],
)
@pytest.mark.parametrize("gaussian", [False, True])
def test_auto_is_exact_where_it_can_be(hidden, visible, method, gaussian):
    """Continuous visible units cannot be counted through, however few."""
    model = RBM(RBM.Config(hidden=hidden, visible="gaussian" if gaussian else "bernoulli"))
    model.init(visible, Random(0))
    if gaussian:
        method = "exact" if hidden <= 22 else "ais"
    assert resolve(LikelihoodConfig("auto", ais_betas=77), model) == LikelihoodConfig(method, ais_betas=77)
    assert resolve(LikelihoodConfig(), model) == LikelihoodConfig()
    assert resolve(LikelihoodConfig("ais"), model).likelihood == "ais"


class Fixed(Model):
    """Machines whose parameters are given."""

    id = "fixed"

    def __init__(self, *given):
        super().__init__(config=object(), dtype=given[0].W.dtype)
        self.given = given

    def machines(self):
        return self.given


def keys_of(found):
    """(names of numbers that say something, names of those that say they are unreliable)"""
    numbers = {key for key in found if "log_z" in key or "log_likelihood" in key}
    return {k for k in numbers if not k.startswith("unreliable_")}, {
        k for k in numbers if k.startswith("unreliable_")
    }


def test_estimates_of_collapsed_weights_say_so():
    """Large weights, ten steps: the best of 100 chains weighs more than all the others."""
    model = Fixed(machine(20, 15, 2.0))
    rows = Rows((np.random.default_rng(0).random((60, 20)) < 0.5) * 1.0)
    exact = exact_log_z(model.machines()[0])
    few = likelihoods(model, rows, LikelihoodConfig("ais", ais_betas=10, burn_in=0), 0)
    assert few["effective_chains"] < 10
    assert abs(few["unreliable_log_z"] - exact) > 2  # rightly so
    assert "unreliable_log_likelihood" in few
    assert keys_of(few)[0] == set()
    many = likelihoods(model, rows, LikelihoodConfig("ais", ais_betas=5000, burn_in=500), 0)
    assert many["effective_chains"] > 50
    assert many["log_z_low"] < exact < many["log_z_high"]
    assert keys_of(many)[1] == set()


def test_two_ways_that_contradict_each_other_say_so():
    """All chains the same way past the states that count: equal weights, a narrow interval, and wrong.

    Two hidden units are on for one half of the pixels each and make their states likely; from unlike states a
    chain has to flip some ten pixels at once to get there.
    """
    halves = np.repeat([[1.0, -1.0], [-1.0, 1.0]], 120, axis=0)
    model = Fixed(BoltzmannMachine(6 * halves, np.zeros(240), np.full(2, -360.0)))
    rows = Rows(np.repeat((halves.T > 0) * 1.0, 50, axis=0))
    exact = exact_log_z(model.machines()[0])
    found = likelihoods(model, rows, LikelihoodConfig("ais", ais_betas=300, burn_in=10), 0)
    assert found["effective_chains"] > 50
    assert found["unreliable_log_z_high"] < exact - 10
    assert found["unreliable_reverse_log_z_low"] > found["unreliable_log_z_high"] + 1
    assert keys_of(found)[0] == set()


@pytest.mark.parametrize(
    ("there", "back", "value", "trusted"),
    [
        (50, 40, 0.0, True),
        (50, 9, 0.0, False),
        (9, 50, 0.0, False),
        (10, 10, 2.9, True),
        (50, 50, 3.1, False),
    ],
)
def test_both_ways_have_to_be_worth_something_and_to_agree(there, back, value, trusted):
    one = LogZ(0.0, -1.0, 1.0, there)
    for sign in (-1, 1):
        other = LogZ(sign * value, sign * value - 1, sign * value + 1, back)
        assert reliable(one, other) == trusted


@pytest.mark.parametrize(
    ("other", "apart"),
    [((1.0, 3.0), 0.0), ((-5.0, -1.0), 1.0), ((4.0, 9.0), 2.0), ((-math.inf, -3.0), 3.0)],
)
def test_the_distance_of_two_intervals(other, apart):
    one = LogZ(1.0, 0.0, 2.0, 50.0)
    low, high = other
    for a, b in itertools.permutations((one, LogZ((low + high) / 2, low, high, 50.0))):
        assert distance(a, b) == apart


def test_grey_pixels_are_drawn_and_binary_ones_stay():
    model, config = rbm(), LikelihoodConfig("exact")
    grey = np.full((4000, 5), 0.3)
    by_draws = likelihoods(model, Rows(grey), config, 0)["log_likelihood"]
    V = states(5)
    p = np.prod(np.where(V == 1, 0.3, 0.7), axis=1)
    logs = [likelihoods(model, Rows(v[None]), config, 0)["log_likelihood"] for v in V]
    assert by_draws == pytest.approx(np.dot(p, logs), abs=0.1)
    assert not is_binary(Rows(grey))
    assert is_binary(Rows(V))
    assert (grey == 0.3).all()


def test_fantasies_come_from_the_model():
    """4000 chains of 100 steps against the marginals of all states."""
    model = rbm()
    m, V = model.machines()[0], states(5)
    log_p = V @ m.b + np.logaddexp(0, V @ m.W + m.c).sum(1)
    p = np.exp(log_p - np.logaddexp.reduce(log_p))
    start = noise(4000, 5, np.float64, 0, binary=True)
    found = fantasies(model, start, 100, 50, seed=0)
    assert found.shape == (2, 4000, 5)
    np.testing.assert_allclose(found[-1].mean(0), p @ V, atol=0.03)
    np.testing.assert_array_equal(found, fantasies(model, start, 100, 50, seed=0))
    assert not np.array_equal(found, fantasies(model, start, 100, 50, seed=1))


def test_a_model_without_a_chain_says_so():
    class Still(Model):
        id = "still"
        Config = RBM.Config

    with pytest.raises(ConfigError, match="'still' has no Markov chain"):
        fantasies(Still(), np.zeros((1, 2)), 1, 1, 0)
    assert not isinstance(Still(), IsBoltzmann)


# --- deep belief nets: machines on top of each other


def means(A):
    return 1 / (1 + np.exp(-A))


def log_bernoulli(A, S):
    """(n, m) log p of states S (m, d) of units with inputs A (n, d)."""
    return A @ S.T - np.logaddexp(0, A).sum(axis=1, keepdims=True)


def log_below(m, H, V):
    """(h, v) log p(v | h)."""
    A = H @ m.W.T + m.b
    if m.variance is None:
        return log_bernoulli(A, V)
    squares = ((V[None] - A[:, None]) ** 2 / m.variance).sum(axis=2)
    return -squares / 2 - np.log(2 * np.pi * m.variance).sum() / 2


def log_marginals(machines, V):
    """(v,) log p(v) by sums over all states of all layers."""
    *below, top = machines
    H = states(len(top.b))
    log_p = H @ top.b + np.logaddexp(0, H @ top.W + top.c).sum(axis=1) - brute_log_z(top)
    for m in reversed(below):
        seen = V if m is below[0] else states(len(m.b))
        log_p = np.logaddexp.reduce(log_below(m, H, seen) + log_p[:, None], axis=0)
        H = seen
    return log_p


def log_q(m, V, H):
    """(v, h) log q(h | v)."""
    return log_bernoulli((V if m.variance is None else V / m.variance) @ m.W + m.c, H)


def net(variance=None):
    """Three machines, and rows."""
    machines = (machine(5, 4, 0.7, variance, seed=1), machine(4, 3, 0.9, seed=2), machine(3, 4, 0.8, seed=3))
    rng = np.random.default_rng(4)
    V = rng.normal(size=(9, 5)) if variance is not None else (rng.random((9, 5)) < 0.5) * 1.0
    return machines, V


@pytest.mark.parametrize("variance", [None, np.array([0.5, 1.0, 1.7, 0.8, 1.2])])
def test_the_bound_of_a_deep_belief_net_by_enumeration(variance):
    """Its mean over draws is the bound's sum over all states, which is below log p(v)."""
    machines, V = net(variance)
    one, two, top = machines
    H, G = states(4), states(3)
    score = G @ top.b + np.logaddexp(0, G @ top.W + top.c).sum(axis=1) - brute_log_z(top)
    inner = log_below(two, G, H).T - log_q(two, H, G) + score
    upper = (np.exp(log_q(two, H, G)) * inner).sum(axis=1)
    q = log_q(one, V, H)
    wanted = (np.exp(q) * (log_below(one, H, V).T - q + upper)).sum(axis=1)
    exact = log_marginals(machines, V)
    assert (wanted < exact).all()
    config = LikelihoodConfig(likelihood="exact")
    row = np.repeat(V, 4000, axis=0)
    found = likelihoods(Fixed(*machines), Rows(row), config, seed=0)
    assert found["likelihood_method"] == "exact"
    assert "pseudo_likelihood" not in found
    assert found["log_likelihood_bound"] == pytest.approx(wanted.mean(), abs=0.02)
    assert found["log_z"] == pytest.approx(brute_log_z(top))
    assert found["log_likelihood_bound"] < exact.mean() - 0.1


def test_the_bound_is_the_likelihood_where_q_is_the_posterior():
    """A second machine that is the first one turned: for every row and all states that are drawn."""
    one = machine(5, 4, 0.9, seed=1)
    model = Fixed(one, BoltzmannMachine(np.ascontiguousarray(one.W.T), one.c, one.b))
    V = states(5)
    exact = -one.free_energy(V) - brute_log_z(one)
    np.testing.assert_allclose(log_marginals(model.given, V), exact, atol=1e-10)
    config = LikelihoodConfig(likelihood="exact")
    for v, wanted in zip(V, exact, strict=True):
        found = likelihoods(model, Rows(v[None]), config, seed=3)
        assert found["log_likelihood_bound"] == pytest.approx(wanted, abs=1e-10)


def test_the_bound_by_annealing_is_near_that_by_enumeration():
    machines, V = net()
    row = np.repeat(V, 100, axis=0)
    exact = likelihoods(Fixed(*machines), Rows(row), LikelihoodConfig(likelihood="exact"), 0)
    config = LikelihoodConfig(likelihood="ais", ais_betas=500, burn_in=50)
    found = likelihoods(Fixed(*machines), Rows(row), config, 0)
    for way in ("", "reverse_"):
        assert found[f"{way}log_likelihood_bound"] == pytest.approx(exact["log_likelihood_bound"], abs=0.1)
        assert found[f"{way}log_z"] == pytest.approx(exact["log_z"], abs=0.1)
