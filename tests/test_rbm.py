"""The RBM against independent numpy, exact enumeration and central differences."""

import itertools

import numpy as np
import pytest

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import Step
from featlearn.models.rbm import RBM
from featlearn.random import Random


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def make(dtype=np.float64, n_visible=7, scale=0.3, **config):
    model = RBM(RBM.Config(**{"hidden": 5, "visible": "gaussian", "init_scale": scale, **config}), dtype)
    model.init(n_visible, Random(3))
    for name in "bc":
        model.params[name][...] = np.linspace(-0.5, 0.4, model.params[name].size)
    return model


def data(n, d, kind="gaussian", dtype=np.float64):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, d)) if kind == "gaussian" else (rng.random((n, d)) < 0.4) * 1.0
    return X.astype(dtype)


@pytest.mark.parametrize("visible", ["gaussian", "bernoulli"])
def test_encode_and_decode_are_the_conditional_means(visible):
    model, X = make(visible=visible), data(11, 7)
    W, b, c = (model.params[k] for k in "Wbc")
    H = model.encode(X)
    np.testing.assert_allclose(H, sigmoid(X @ W + c), atol=1e-14)
    V = H @ W.T + b
    np.testing.assert_allclose(model.decode(H), sigmoid(V) if visible == "bernoulli" else V, atol=1e-14)


@pytest.mark.parametrize("visible", ["gaussian", "bernoulli"])
@pytest.mark.parametrize(("cd", "chain"), [(1, False), (3, False), (3, True)])
def test_gradient_is_cd_k_given_its_samples(visible, cd, chain):
    """The same random numbers, the textbook rule in numpy."""
    model, X, step = make(visible=visible, cd=cd, sample_visible=chain), data(20, 7, visible), Step(4, seed=9)
    W, b, c = (model.params[k] for k in "Wbc")

    def sample(P, draw):
        S = np.empty_like(P)
        _core.bernoulli(S, np.ascontiguousarray(P), step.seed, step.draw(draw))
        return S

    def noisy(V, draw):
        Z = np.empty_like(V)
        _core.normal(Z, step.seed, step.draw(draw))
        return sample(V, draw) if visible == "bernoulli" else V + Z

    H0 = sigmoid(X @ W + c)
    V = H = None
    for k in range(cd):
        S = sample(H0 if k == 0 else H, 2 * k)
        V = S @ W.T + b
        V = sigmoid(V) if visible == "bernoulli" else V
        if k == 0:
            error = np.sqrt(np.mean((V - X) ** 2))
        V = noisy(V, 2 * k + 1) if chain else V
        H = sigmoid(V @ W + c)
    metrics, grads = model.gradient(X, step)
    np.testing.assert_allclose(grads["W"], (V.T @ H - X.T @ H0) / 20, atol=1e-13)
    np.testing.assert_allclose(grads["b"], V.mean(0) - X.mean(0), atol=1e-13)
    np.testing.assert_allclose(grads["c"], H.mean(0) - H0.mean(0), atol=1e-13)
    assert metrics["error"] == pytest.approx(error)
    assert metrics["mean_activation"] == pytest.approx(H0.mean())


def test_long_chains_give_the_likelihood_gradient():
    """CD-k tends to the exact gradient of log p(v), which a 4 x 3 RBM gives by enumeration."""
    model = make(n_visible=4, hidden=3, visible="bernoulli", cd=50, scale=0.8, sample_visible=True)
    W, b, c = (model.params[k] for k in "Wbc")
    X = data(4000, 4, "bernoulli")
    states = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    log_p = states @ b + np.log1p(np.exp(states @ W + c)).sum(1)
    p = np.exp(log_p - np.logaddexp.reduce(log_p))
    model_vh = (states * p[:, None]).T @ sigmoid(states @ W + c)
    exact = model_vh - X.T @ sigmoid(X @ W + c) / len(X)
    mean = np.mean([model.gradient(X, Step(i, 0))[1]["W"] for i in range(10)], axis=0)
    assert np.abs(mean - exact).max() < 0.01  # 40,000 chains: a standard error of at most .0025
    biased = make(n_visible=4, hidden=3, visible="bernoulli", cd=1, scale=0.8, sample_visible=True)
    biased.params = model.params
    cd1 = np.mean([biased.gradient(X, Step(i, 0))[1]["W"] for i in range(10)], axis=0)
    assert np.abs(cd1 - exact).max() > 2 * np.abs(mean - exact).max()


@pytest.mark.parametrize("units", ["binary", "rectified"])
@pytest.mark.parametrize("visible", ["gaussian", "bernoulli"])
def test_refinement_gradient_by_central_differences(visible, units):
    model, X = make(visible=visible, units=units, refine=1), data(9, 7, visible)

    def loss():
        Y = model.decode(model.encode(X))
        if visible == "gaussian":
            return ((Y - X) ** 2).sum() / 2 / len(X)
        return -(X * np.log(Y) + (1 - X) * np.log(1 - Y)).sum() / len(X)

    _, grads = model.refinement(X, Step(0, 0))
    for name, w in model.params.items():
        numeric = np.empty_like(w)
        for i in np.ndindex(w.shape):
            keep, h, values = w[i], 1e-3, {}
            for k in (-2, -1, 1, 2):  # the five-point formula: its error is of the order of h^4
                w[i] = keep + k * h
                values[k] = loss()
            w[i] = keep
            numeric[i] = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h)
        difference = np.linalg.norm(numeric - grads[name]) / np.linalg.norm(numeric + grads[name])
        assert difference < 1e-9, name


def test_sparsity_target_pulls_total_input():
    """q takes in the batch mean; q - target joins the bias gradient and, times mean inputs, the weights'."""
    X, step = data(50, 7), Step(0, 0)
    plain = make(hidden_bias=0.0)
    target = make(hidden_bias=0.0, sparsity_target=0.1, sparsity_weight=2.0, sparsity_memory=0.9)
    grads, pulled = plain.gradient(X, step)[1], target.gradient(X, step)[1]
    q = 0.9 * 0.5 + 0.1 * target.encode(X).mean(0)
    np.testing.assert_allclose(target.state["q"], q, atol=1e-14)
    np.testing.assert_allclose(pulled["c"] - grads["c"], 2 * (q - 0.1), atol=1e-13)
    np.testing.assert_allclose(pulled["W"] - grads["W"], np.outer(X.mean(0), 2 * (q - 0.1)), atol=1e-13)
    np.testing.assert_array_equal(pulled["b"], grads["b"])


def test_initial_values():
    model = RBM(RBM.Config(hidden=6, visible="gaussian", init="identity", sparsity_target=0.02))
    model.init(4, Random(0))
    np.testing.assert_array_equal(model.params["W"], 0.5 * np.hstack([np.eye(4), np.eye(4)[:, :2]]))
    np.testing.assert_allclose(sigmoid(model.params["c"].astype(float)), 0.02, rtol=1e-5)
    assert {w.dtype for w in model.params.values()} == {np.dtype(np.float32)}
    model = RBM(RBM.Config(hidden=300, visible="gaussian", hidden_bias=-4))
    model.init(200, Random(0))
    assert model.params["W"].std() == pytest.approx(0.01, rel=0.02)
    assert set(model.params["c"]) == {-4}


def test_config_refuses_what_it_cannot_do():
    for bad in (
        {"hidden": 0},
        {"sparsity_target": 1.0},
        {"visible": "binary"},
        {"cd": 0},
        {"refine_lr": float("nan")},
    ):
        with pytest.raises(ConfigError, match="--"):
            RBM.Config(**bad)
    with pytest.raises(ConfigError, match="auto"):
        RBM().init(4, Random(0))
