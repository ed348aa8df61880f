"""The mean-covariance RBM against its energy: central differences, integration on a grid, linear algebra."""

import copy
import itertools

import numpy as np
import pytest

from featlearn.errors import ConfigError
from featlearn.models.base import DataSummary, Step
from featlearn.models.mcrbm import MeanCovarianceRBM
from featlearn.ops import hmc
from featlearn.ops.hmc import JITTER, leapfrog
from featlearn.random import Random
from helpers import central

PUBLISHED = {"VF": 2.0, "FH": 0.02, "d": 0.02, "W": 0.2, "b": 0.02, "c": 0.1}
"""The rates of M. Ranzato's mcRBM.py in units of epsilon: VF, FH, bias_cov, w_mean, bias_vis, bias_mean."""
D, DTYPES = 6, ("float32", "float64")


def make(dtype="float64", n_visible=D, seed=3, **config):
    """A small model far from its initial values, FH learned from the first update."""
    sizes = {"hidden": 3, "hidden_cov": 4, "factors": 5, "chains": 8, "freeze": 0, "factor_l1": 0.0}
    model = MeanCovarianceRBM(MeanCovarianceRBM.Config(**{**sizes, **config}), dtype)
    model.init(n_visible, Random(seed))
    rng = np.random.default_rng(seed)
    for name, value in model.params.items():
        value += rng.normal(size=value.shape).astype(dtype) * {"VF": 1.0, "d": 2.0}.get(name, 0.5)
    np.abs(model.params["FH"], out=model.params["FH"])
    return model


def data(n, d=D, dtype="float64"):
    return np.random.default_rng(1).normal(size=(n, d)).astype(dtype)


def free_energy(params, V):
    """By the docstring of the model, in numpy."""
    W, b, c, VF, FH, d = (params[name] for name in ("W", "b", "c", "VF", "FH", "d"))
    u = V @ VF / np.sqrt((V**2).mean(1, keepdims=True) + 0.5)
    softplus = [np.logaddexp(0, A).sum(1) for A in (c + V @ W, d - u**2 @ FH / 2)]
    return (V**2).sum(1) / 2 - V @ b - softplus[0] - softplus[1]


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(a + b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_free_energy_and_codes_are_those_of_the_docstring(dtype):
    model, X = make(dtype), data(9, dtype=dtype)
    p = {name: value.astype(np.float64) for name, value in model.params.items()}
    np.testing.assert_allclose(
        model.free_energy(X), free_energy(p, X), rtol=1e-5 if dtype == "float32" else 1e-12
    )
    assert model.extra_metrics(X) == {"free_energy": pytest.approx(free_energy(p, X).mean(), rel=1e-5)}
    u = X @ p["VF"] / np.sqrt((X**2).mean(1, keepdims=True) + 0.5)
    A = np.hstack([p["c"] + X @ p["W"], p["d"] - u**2 @ p["FH"] / 2])
    np.testing.assert_allclose(
        model.encode(X), 1 / (1 + np.exp(-A)), atol=1e-6 if dtype == "float32" else 1e-14
    )


def test_slope_is_the_derivative_of_the_free_energy():
    model, X = make(), data(7)
    numeric = central(lambda: model.free_energy(X).sum(), X)
    assert distance(numeric, model.slope(X)) < 1e-9


def test_gradient_is_that_of_data_minus_chains():
    """The chains after the update, and the data, give the contrast that is descended, times the rates."""
    model, X = make(leapfrog=2), data(7)
    _, grads = model.gradient(X, Step(0, 3))
    V = model.state["chains"]
    for name, value in model.params.items():
        numeric = central(lambda: model.free_energy(X).mean() - model.free_energy(V).mean(), value)
        assert distance(PUBLISHED[name] * numeric, grads[name]) < 1e-9, name


def test_fh_is_frozen_and_then_penalised_with_vf():
    penalised, plain, X = make(freeze=2, factor_l1=0.1), make(freeze=2), data(7)
    for number in range(3):
        (_, grads), (_, plain_grads) = (model.gradient(X, Step(number, 3)) for model in (penalised, plain))
        for name in grads:
            l1 = 0.1 * (number == 2) * (name in ("VF", "FH"))
            expected = plain_grads[name] + l1 * PUBLISHED[name] * np.sign(plain.params[name])
            np.testing.assert_allclose(grads[name], expected, atol=1e-15)
        assert grads["FH"].any() == (number == 2)
    assert not plain.gradient(X, Step(9, 3, begun=8))[1]["FH"].any()  # where other phases came before


def test_steps_of_paths_differ_in_length(monkeypatch):
    """By up to JITTER either way: a path that is half a turn of some direction is none at the next update."""
    model, V, sizes = make(), data(7), []
    monkeypatch.setattr(hmc, "leapfrog", lambda slope, V, P, size, steps: (sizes.append(size), (V, P))[1])
    for number in range(200):
        model.propose(V, Step(number, 3))
    shares = np.array(sizes) / float(model.state["step_size"][0])
    assert JITTER == 0.2
    assert 0.8 <= shares.min() < 0.81
    assert 1.19 < shares.max() <= 1.2
    assert abs(shares.mean() - 1) < 0.03  # a standard error of .008


def test_leapfrog_goes_back_and_keeps_its_energy():
    V, P = data(7), np.random.default_rng(2).normal(size=(7, D))

    def change(steps):
        model, size = make(), 0.2 / steps
        V1, P1 = leapfrog(model.slope, V, P, size, steps)
        back, minus = leapfrog(model.slope, V1, -P1, size, steps)
        np.testing.assert_allclose(back, V, atol=1e-12)
        np.testing.assert_allclose(minus, -P, atol=1e-12)
        assert np.abs(V1 - V).max() > 0.1
        return np.abs(
            model.free_energy(V1) + (P1**2).sum(1) / 2 - model.free_energy(V) - (P**2).sum(1) / 2
        ).sum()

    errors = [change(steps) for steps in (20, 40, 80)]
    assert errors[2] < 0.01
    ratios = [a / b for a, b in itertools.pairwise(errors)]
    np.testing.assert_allclose(ratios, 4, rtol=0.1)  # the integrator is of second order


def test_samples_have_the_moments_of_the_density():
    model = make(n_visible=2, hidden=2, hidden_cov=3, factors=3, seed=2, leapfrog=5)
    model.params["VF"] *= 2
    model.params["d"] += 2
    axis = np.linspace(-8, 8, 401)
    grid = np.array(np.meshgrid(axis, axis)).reshape(2, -1).T
    p = np.exp(-free_energy(model.params, grid))
    p /= p.sum()
    mean = p @ grid
    covariance = ((grid - mean) * p[:, None]).T @ (grid - mean)
    fourth = p @ (grid - mean) ** 4
    assert (fourth / np.diag(covariance) ** 2).min() > 3.5, "a Gaussian would test little"
    model.state["step_size"][...] = 0.3
    V, seen, rejected = data(1000, 2), [], []
    for number in range(60):
        V, share = model.propose(V, Step(number, 5))
        if number >= 20:
            seen.append(V)
            rejected.append(share)
    assert 0.1 < np.mean(rejected) < 0.2
    S = np.concatenate(seen)  # 40,000 states, nearly independent
    tolerance = 5 / np.sqrt(len(S) / 2)
    np.testing.assert_allclose(S.mean(0), mean, atol=tolerance * np.sqrt(covariance.max()))
    np.testing.assert_allclose(np.cov(S.T), covariance, atol=tolerance * np.sqrt(fourth.max()))
    means, states = model.chain(V, Step(7, 5))
    assert means is states
    assert 0.8 < np.mean(np.any(states != V, axis=1)) < 0.95


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("start", [0.0005, 0.2])
def test_step_size_follows_the_wanted_rejection(start, dtype):
    model, X = make(dtype, n_visible=20, chains=50, leapfrog=5), data(5, 20, dtype)
    model.params["VF"] *= 1.5
    model.params["d"] += 3
    model.state["step_size"][...] = start
    history = [model.gradient(X, Step(number, 1))[0] for number in range(900)]
    assert np.mean([row["rejection"] for row in history[-200:]]) == pytest.approx(0.1, abs=0.03)
    sizes = [row["step_size"] for row in history]
    assert 0.01 < sizes[-1] < 0.25
    ratios = [b / a if b > a else a / b for a, b in itertools.pairwise(sizes) if max(a, b) < 0.249]
    np.testing.assert_allclose(ratios, 1.01, rtol=1e-5)


def test_project_puts_the_parameters_back():
    model = make()
    FH, VF = (model.params[name] for name in ("FH", "VF"))
    FH -= 0.4
    FH[:, 1] = -1
    norms = np.linalg.norm(VF, axis=0)
    before = model.state["norm"].copy()
    direction = VF / np.linalg.norm(VF, axis=0)
    model.project()
    assert FH is model.params["FH"]
    assert (FH >= 0).all()
    np.testing.assert_allclose(FH.sum(0), [1, 0, 1, 1], atol=1e-15)
    np.testing.assert_allclose(model.state["norm"], 0.95 * before + 0.05 * norms.mean(), rtol=1e-12)
    np.testing.assert_allclose(VF, direction * model.state["norm"], atol=1e-15)
    again = copy.deepcopy(model.params)
    model.project()
    for name in again:
        np.testing.assert_allclose(model.params[name], again[name], atol=1e-15)


@pytest.mark.parametrize(("factors", "hidden_cov"), [(7, 3), (3, 7), (4, 4)])
def test_initial_values(factors, hidden_cov):
    model = MeanCovarianceRBM(MeanCovarianceRBM.Config(factors=factors, hidden_cov=hidden_cov))
    model.init(400, Random(0))
    FH = model.params["FH"]
    np.testing.assert_allclose(FH.sum(0), 1, rtol=1e-6)
    assert ((FH > 0).sum(1 if factors >= hidden_cov else 0) == 1).all()
    assert (FH.sum(1) > 0).all()
    assert model.params["VF"].std() == pytest.approx(0.02, rel=0.1)
    assert model.params["W"].std() == pytest.approx(0.05, rel=0.1)
    assert {name: set(model.params[name].tolist()) for name in "bcd"} == {"b": {0.0}, "c": {-2.0}, "d": {2.0}}
    assert {value.dtype for value in (*model.params.values(), *model.state.values())} == {
        np.dtype(np.float32)
    }
    assert model.filters().shape == (factors, 400)


@pytest.mark.parametrize("dtype", DTYPES)
def test_decode_solves_the_linear_system(dtype):
    model = make(dtype, n_visible=12)
    model.params["VF"] *= 5
    H = np.random.default_rng(2).random((20, 7)).astype(dtype)
    p = {name: value.astype(np.float64) for name, value in model.params.items()}
    precision = [
        np.eye(12) + p["VF"] @ np.diag(p["FH"] @ h[3:]) @ p["VF"].T / 1.5 for h in H.astype(np.float64)
    ]
    expected = [np.linalg.solve(A, p["b"] + p["W"] @ h[:3]) for A, h in zip(precision, H, strict=True)]
    assert np.linalg.cond(precision).min() > 100
    np.testing.assert_allclose(model.decode(H), expected, atol=2e-4 if dtype == "float32" else 1e-11)
    model.params["b"][...] = 0
    assert not model.decode(np.zeros((3, 7), dtype)).any()
    assert model.decode(H[:0]).shape == (0, 12)


def test_plain_pixels_are_refused():
    with pytest.raises(ConfigError, match=r"the data lie in 0\.\.1, .* --whiten"):
        MeanCovarianceRBM.resolve(MeanCovarianceRBM.Config(), DataSummary(6, 0.0, 1.0))


@pytest.mark.parametrize(("ratio", "refused"), [(1.4, False), (1.6, True)])
def test_data_that_are_mostly_mean_are_refused(ratio, refused):
    data = DataSummary(D, -np.inf, np.inf, variance=2.0, square=2.0 * (1 + ratio**2))
    config = MeanCovarianceRBM.Config()
    if not refused:
        assert MeanCovarianceRBM.resolve(config, data) == config
        return
    with pytest.raises(ConfigError, match=r"mean row is 1\.6 times .* --normalize standardize"):
        MeanCovarianceRBM.resolve(config, data)
