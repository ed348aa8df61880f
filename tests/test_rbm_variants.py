"""What else an RBM can be: persistent, centered, sparse by Lee or Goh, rectified, with learned variances."""

import itertools

import numpy as np
import pytest

from featlearn import _core
from featlearn.analysis.partition import exact_log_z
from featlearn.errors import ConfigError
from featlearn.models.base import Step
from featlearn.models.rbm import RBM
from featlearn.ops.sparsity import ORDERS, goh_targets, lee_pull
from featlearn.random import Random


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def make(dtype=np.float64, n_visible=7, scale=0.3, **config):
    model = RBM(RBM.Config(**{"hidden": 5, "visible": "bernoulli", "init_scale": scale, **config}), dtype)
    model.init(n_visible, Random(3))
    for name in "bc":
        model.params[name][...] = np.linspace(-0.5, 0.4, model.params[name].size)
    return model


def binary(n, d, dtype=np.float64):
    return (np.random.default_rng(1).random((n, d)) < 0.4).astype(dtype)


# --- persistent chains


def test_persistent_chains_go_on_where_they_were():
    """The textbook rule in numpy with the same random numbers; the next step begins at the states of this
    one."""
    model, X = make(persistent=True, chains=30, cd=2), binary(20, 7)
    W, b, c = (model.params[k] for k in "Wbc")
    S = model.state["chains"].copy()
    assert set(np.unique(S)) == {0, 1}
    for number in range(3):
        step = Step(number, seed=9)
        for k in (1, 2):
            V, H = sigmoid(S @ W.T + b), None
            _core.bernoulli(V, V, step.seed, step.draw(2 * k + 1))
            H = sigmoid(V @ W + c)
            _core.bernoulli(S, H, step.seed, step.draw(2 * k))
        H0 = sigmoid(X @ W + c)
        _, grads = model.gradient(X, step)
        np.testing.assert_array_equal(model.state["chains"], S)
        np.testing.assert_allclose(grads["W"], V.T @ H / 30 - X.T @ H0 / 20, atol=1e-13)
        np.testing.assert_allclose(grads["b"], V.mean(0) - X.mean(0), atol=1e-13)
        np.testing.assert_allclose(grads["c"], H.mean(0) - H0.mean(0), atol=1e-13)


@pytest.mark.parametrize(
    ("visible", "chain"),
    [
        ("bernoulli", {"persistent": True, "chains": 2000}),
        ("gaussian", {"persistent": True, "chains": 2000}),
        ("gaussian", {"cd": 30}),  # where the variances are learned its chain has noise, unasked
    ],
)
def test_long_chains_give_the_likelihood_gradient(visible, chain):
    """Of every parameter, log variances included: the mean over long chains against central differences of
    log p."""
    gaussian = visible == "gaussian"
    config = {"learn_sigma": True, "sigma": 0.8, "sigma_rate": 1.0} if gaussian else {}
    model = make(n_visible=3, hidden=3, visible=visible, scale=0.6, **chain, **config)
    if gaussian:
        model.params["z"] += [-0.3, 0.0, 0.4]
    X = np.random.default_rng(0).normal(size=(500, 3)) if gaussian else 1 - binary(500, 3) * [1, 0.0, 1]

    def loss():
        return model.free_energy(X).mean() + exact_log_z(model.machines()[0])

    for k in range(50):
        model.gradient(X, Step(k, 0))
    runs = [model.gradient(X, Step(k, 0))[1] for k in range(50, 250)]
    for name, w in model.params.items():
        numeric = np.empty_like(w)
        for i in np.ndindex(w.shape):
            keep, values = w[i], []
            for h in (1e-4, -1e-4):
                w[i] = keep + h
                values.append(loss())
            w[i] = keep
            numeric[i] = (values[0] - values[1]) / 2e-4
        mean = np.mean([grads[name] for grads in runs], axis=0)
        assert np.abs(mean - numeric).max() < 0.02, name  # 400,000 correlated states
        assert np.abs(numeric).max() > 0.04, name


# --- centering


def test_centered_gradient_does_not_know_a_negative():
    """The same model of data and of 1 - data: W, b, c become -W, -b, c + W'1, and so must their gradients."""
    X = binary(20, 7)
    for centered in (True, False):
        model, mirror = make(centered=centered), make(centered=centered)
        W, b, c = (model.params[k] for k in "Wbc")
        mirror.params = {"W": -W, "b": -b, "c": c + W.sum(0)}
        if centered:
            mirror.state["mu"] = 1 - mirror.state["mu"]
        g, m = model.gradient(X, Step(0, 0))[1], mirror.gradient(1 - X, Step(0, 0))[1]
        same = all(
            np.allclose(a, b, atol=1e-12)
            for a, b in ((m["W"], -g["W"]), (m["b"], -g["b"]), (m["c"], g["c"] + g["W"].sum(0)))
        )
        assert same == centered


def test_centered_statistics():
    """dW is the difference of <(v - mu)(h - lambda)'>; the biases move so that the offsets do not matter to
    them."""
    model, plain, X, step = make(centered=True, offset_rate=0.1), make(), binary(20, 7), Step(0, 0)
    H0, S = plain.sample_hidden(X, step, 0)
    V = plain.decode(S)
    H = plain.encode(V)
    mu, offset = 0.9 * 0.5 + 0.1 * X.mean(0), 0.9 * 0.5 + 0.1 * H0.mean(0)
    grads = model.gradient(X, step)[1]
    W = (V - mu).T @ (H - offset) / 20 - (X - mu).T @ (H0 - offset) / 20
    np.testing.assert_allclose(grads["W"], W, atol=1e-13)
    np.testing.assert_allclose(grads["b"], V.mean(0) - X.mean(0) - W @ offset, atol=1e-13)
    np.testing.assert_allclose(grads["c"], H.mean(0) - H0.mean(0) - mu @ W, atol=1e-13)


# --- sparsity


def test_lee_pull_is_the_derivative_of_its_penalty():
    model, X, p, h = make(), binary(30, 7), 0.1, 1e-5
    numeric = np.empty(5)
    for j in range(5):
        values = []
        for sign in (1, -1):
            model.params["c"][j] += sign * h
            values.append(3 * np.sum((p - model.encode(X).mean(0)) ** 2))
            model.params["c"][j] -= sign * h
        numeric[j] = (values[0] - values[1]) / (2 * h)
    np.testing.assert_allclose(lee_pull(model.encode(X), p, 3.0), numeric, atol=1e-9)
    lee = make(sparsity_method="lee", sparsity_target=p, sparsity_weight=3.0)
    plain = model.gradient(X, Step(0, 0))[1]
    pulled = lee.gradient(X, Step(0, 0))[1]
    np.testing.assert_allclose(pulled["c"] - plain["c"], numeric, atol=1e-9)
    np.testing.assert_allclose(pulled["W"], plain["W"], atol=1e-15)


@pytest.mark.parametrize("order", ORDERS)
def test_goh_targets(order):
    H = np.random.default_rng(0).random((40, 25))
    T = goh_targets(H, 0.1, order)
    last = {"selective": 0, "sparse": 1}[order.split("-")[-1]]
    np.testing.assert_allclose(T.mean(axis=last), 0.1, rtol=1e-12)
    lines = np.moveaxis(np.sort(T, axis=last), last, 1)
    assert (lines == lines[:1]).all()  # every line holds the same values
    if "-" not in order:
        assert (np.argsort(T, axis=last) == np.argsort(H, axis=last)).all()
        n = H.shape[last]
        ranks = np.argsort(np.argsort(H, axis=last), axis=last)
        value = ((ranks + 0.5) / n) ** 9
        np.testing.assert_allclose(T, value / value.mean(axis=last, keepdims=True) * 0.1, rtol=1e-12)


def test_goh_targets_are_never_too_small():
    """Half a rank to the power of 1e5 is nothing, of which no mean can be made."""
    T = goh_targets(np.random.default_rng(0).random((2, 25)), 1e-5, "selective")
    np.testing.assert_allclose(T.mean(axis=0), 1e-5, rtol=1e-12)


def test_goh_blends_targets_into_the_data_statistics():
    X, step = binary(30, 7), Step(0, 0)
    plain, goh = (
        make(),
        make(sparsity_method="goh", sparsity_target=0.2, sparsity_weight=0.3, sparsity_order="selective"),
    )
    H0 = plain.encode(X)
    shift = 0.3 * (goh_targets(H0, 0.2, "selective") - H0)
    grads, biased = plain.gradient(X, step)[1], goh.gradient(X, step)[1]
    np.testing.assert_allclose(biased["W"] - grads["W"], -X.T @ shift / 30, atol=1e-13)
    np.testing.assert_allclose(biased["c"] - grads["c"], -shift.mean(0), atol=1e-13)
    np.testing.assert_array_equal(biased["b"], grads["b"])


# --- units


def test_rectified_units():
    model = make(units="rectified", hidden=4)
    X = np.tile(binary(1, 7), (200_000, 1))
    a = X[:1] @ model.params["W"] + model.params["c"]
    P, S = model.sample_hidden(X, Step(0, 0), 0)
    np.testing.assert_allclose(P[0], np.maximum(a[0], 0), atol=1e-14)
    noise = np.random.default_rng(0).normal(size=(200_000, 4))
    wanted = np.maximum(a + np.sqrt(sigmoid(a)) * noise, 0)
    np.testing.assert_allclose(S.mean(0), wanted.mean(0), atol=0.01)
    np.testing.assert_allclose(S.std(0), wanted.std(0), atol=0.01)
    assert model.machines() == ()
    assert model.extra_metrics(X[:3]) == {}


def test_learned_sigma_scales_what_hidden_units_see():
    model = make(visible="gaussian", learn_sigma=True, sigma=2.0, dtype=np.float32)
    np.testing.assert_allclose(model.variance, 4, rtol=1e-6)
    model.params["z"][:] = np.linspace(-6, 6, 7)
    s2 = np.exp(np.linspace(-6, 6, 7))
    np.testing.assert_allclose(model.variance, s2, rtol=2e-6)
    X = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    W, c = model.params["W"], model.params["c"]
    np.testing.assert_allclose(model.encode(X), sigmoid((X / s2) @ W + c), rtol=1e-4, atol=1e-12)
    fixed = make(visible="gaussian", sigma=2.0)
    step = Step(0, 0)
    noise = fixed.sample_visible(np.zeros((40_000, 7)), step, 0)
    np.testing.assert_allclose(noise.std(0), 2, rtol=0.02)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_free_energy_sums_out_the_hidden_units(visible):
    model = make(visible=visible, sigma=1.5 if visible == "gaussian" else 1.0)
    W, b, c = (model.params[k] for k in "Wbc")
    X = binary(6, 7)
    s2 = 1.5**2
    H = np.array(list(itertools.product([0.0, 1.0], repeat=5)))
    if visible == "bernoulli":
        minus_energy = (X @ b)[:, None] + H @ c + X @ W @ H.T
    else:
        minus_energy = -((X - b) ** 2).sum(1)[:, None] / (2 * s2) + H @ c + X @ W @ H.T / s2
    np.testing.assert_allclose(model.free_energy(X), -np.logaddexp.reduce(minus_energy, axis=1), atol=1e-12)


def test_data_are_drawn_anew_at_each_update():
    X = np.full((500, 7), 0.25)
    model, plain = make(sample_data=True), make()
    first, second = (model.gradient(X, Step(k, 0))[1] for k in (0, 1))
    assert not np.array_equal(first["b"], second["b"])
    drawn = np.empty_like(X)
    _core.bernoulli(drawn, X, 0, Step(0, 0).draw(1023))
    np.testing.assert_array_equal(first["W"], plain.gradient(drawn, Step(0, 0))[1]["W"])
    assert (X == 0.25).all()


def test_initial_visible_bias():
    mean = np.array([0.0, 0.2, 0.5, 1.0])
    model = RBM(RBM.Config(hidden=3, visible="bernoulli"))
    model.init(4, Random(0), mean)
    np.testing.assert_allclose(
        sigmoid(model.params["b"].astype(float)), [1e-4, 0.2, 0.5, 1 - 1e-4], rtol=1e-4
    )
    model = RBM(RBM.Config(hidden=3, visible="gaussian"))
    model.init(4, Random(0), mean)
    np.testing.assert_allclose(model.params["b"], mean, rtol=1e-6)
    model = RBM(RBM.Config(hidden=3, visible="gaussian", visible_bias="zero"))
    model.init(4, Random(0), mean)
    assert not model.params["b"].any()


@pytest.mark.parametrize(("units", "c"), [("binary", np.log(0.1 / 0.9)), ("rectified", 0.0)])
def test_initial_hidden_bias_with_a_target(units, c):
    model = RBM(RBM.Config(hidden=3, visible="gaussian", sparsity_target=0.1, units=units))
    model.init(4, Random(0))
    np.testing.assert_allclose(model.params["c"], c, rtol=1e-6)


def test_contradictions_are_refused():
    for bad, word in (
        ({"visible": "bernoulli", "learn_sigma": True}, "--learn-sigma"),
        ({"visible": "bernoulli", "sigma": 2.0}, "--sigma"),
        ({"visible": "gaussian", "sample_data": True}, "--sample-data"),
        ({"sparsity_method": "goh", "sparsity_target": 0.1, "sparsity_weight": 2.0}, "--sparsity-weight"),
        ({"sparsity_method": "lee", "sparsity_target": 0.1, "units": "rectified"}, "--sparsity-method lee"),
        ({"sparsity_method": "goh", "sparsity_target": 0.1, "units": "rectified"}, "--sparsity-method goh"),
    ):
        with pytest.raises(ConfigError, match=word):
            RBM.Config(**bad)
