"""Hessian-free optimisation and Newton's method, on losses whose minimum is known."""

import dataclasses
import re

import numpy as np
import pytest

from featlearn.errors import ConfigError
from featlearn.models.autoencoder import Autoencoder
from featlearn.models.base import DataSummary
from featlearn.models.deep_autoencoder import DeepAutoencoder
from featlearn.models.k_sparse import KSparse
from featlearn.models.network import Network
from featlearn.models.softmax import SoftmaxRegression
from featlearn.ops.activations import ACTIVATIONS
from featlearn.ops.cholesky import cholesky, solve
from featlearn.random import Random
from featlearn.training.config import TrainConfig
from featlearn.training.optim import HessianFree, Newton, UpdateSettings
from featlearn.training.train import Training
from helpers import ByProducts, Rows
from test_optim import data, sparse

CURVED = {"hessian-free": HessianFree, "newton": Newton}
by_curvature = pytest.mark.parametrize("optimizer", CURVED)


@pytest.mark.parametrize("n", [1, 5, 64, 65, 150])
def test_cholesky_is_that_of_lapack(n):
    rng = np.random.default_rng(n)
    A = rng.normal(size=(n, n))
    A, b = A @ A.T + 0.1 * np.eye(n), rng.normal(size=n)
    L = cholesky(A - 0.05 * np.eye(n), 0.05)
    np.testing.assert_allclose(L, np.linalg.cholesky(A), atol=1e-10)
    np.testing.assert_allclose(A @ solve(L, b), b, atol=1e-8)
    assert cholesky(A, -1.01 * np.linalg.eigvalsh(A)[0]) is None


@by_curvature
def test_a_parabola_is_left_at_its_minimum(optimizer):
    """Which the damping, as it falls, no longer hides."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(12, 12))
    A, g = A @ A.T + 0.5 * np.eye(12), rng.normal(size=12)
    params = {"W": np.zeros(12)}

    def evaluate():
        w = params["W"]
        return {"loss": w @ A @ w / 2 + g @ w}, {"W": A @ w + g}

    made = CURVED[optimizer]()
    settings = UpdateSettings(0, curvature=lambda: ByProducts(lambda v: {"W": A @ v["W"]}))
    for _ in range(20):
        made.step(params, evaluate, settings)
    np.testing.assert_allclose(params["W"], -np.linalg.solve(A, g), atol=1e-6)


def steps_of_newton(count, params, loss, gradient, hessian):
    """The losses after each step, on functions of W (n,)."""
    made, losses = Newton(), []
    curvature = ByProducts(lambda v: {"W": hessian(params["W"]) @ v["W"]})
    for _ in range(count):
        made.step(
            params,
            lambda: ({"loss": loss(params["W"])}, {"W": gradient(params["W"])}),
            UpdateSettings(0, curvature=lambda: curvature),
        )
        losses.append(loss(params["W"]))
    return losses


def test_newton_goes_down_where_the_loss_bends_down():
    """From beside the saddle (0, 0) of x^4 / 4 - x^2 / 2 + y^2 / 2, where Newton's bare steps would end."""
    params = {"W": np.array([0.01, 1.0])}
    losses = steps_of_newton(
        12,
        params,
        lambda w: w[0] ** 4 / 4 - w[0] ** 2 / 2 + w[1] ** 2 / 2,
        lambda w: np.array([w[0] ** 3 - w[0], w[1]]),
        lambda w: np.diag([3 * w[0] ** 2 - 1, 1]),
    )
    assert losses == sorted(losses, reverse=True)
    np.testing.assert_allclose(params["W"], [1, 0], atol=1e-6)


def test_newton_doubles_a_step_as_long_as_the_loss_falls():
    """A damping of .1 makes the step 1 / 11 of that to the minimum of .01 w^2 / 2; 8 of these are best."""
    params = {"W": np.ones(1)}
    steps_of_newton(1, params, lambda w: 0.005 * w[0] ** 2, lambda w: 0.01 * w, lambda w: np.array([[0.01]]))
    np.testing.assert_allclose(params["W"], [1 - 8 / 11], atol=1e-12)


@by_curvature
def test_a_convex_loss_ends_where_that_of_lbfgs_does(optimizer):
    """Softmax regression with decay, whose minimum is one."""
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(90, 5)), np.eye(3)[rng.integers(0, 3, 90)]])
    losses = {}
    for name, epochs in ((optimizer, 25), ("lbfgs", 200)):
        model = SoftmaxRegression(SoftmaxRegression.Config(classes=3), np.float64)
        model.init(5, Random(0))
        config = TrainConfig(optimizer=name, epochs=epochs, decay="l2", decay_weight=0.01)
        training = Training(model, Rows(X), config)
        training.run()
        losses[name] = training.history["loss"]
    assert losses[optimizer][-1] == pytest.approx(losses["lbfgs"][-1], abs=1e-10)
    assert len(losses[optimizer]) < len(losses["lbfgs"])


@by_curvature
def test_the_sparse_autoencoder_ends_as_low_as_by_lbfgs(optimizer):
    found = {}
    for name, epochs in ((optimizer, 25), ("lbfgs", 300)):
        config = TrainConfig(optimizer=name, epochs=epochs, decay="l2", decay_weight=1e-3)
        training = Training(sparse(), data(), config)
        training.run()
        found[name] = training.history["loss"]
        assert found[name] == sorted(found[name], reverse=True)
    assert found[optimizer][-1] < 1.02 * found["lbfgs"][-1]


def begun(model, optimizer, d=16):
    model.init(d, Random(0))
    return Training(model, Rows(np.random.default_rng(0).random((9, d))), TrainConfig(optimizer=optimizer))


@by_curvature
@pytest.mark.parametrize("odd", ["maxout", "prelu"])
def test_a_refusal_of_units_without_curvature_names_those_that_have_one(optimizer, odd):
    config = DeepAutoencoder.Config(hidden=(4, 3), activation=odd, output_units="sigmoid", loss="squared")
    with pytest.raises(ConfigError, match=f": {odd} units have no such curvature, ") as refused:
        begun(DeepAutoencoder(config), optimizer)
    units = re.search(f"{odd} units have no such curvature, (.*) units have;", str(refused.value))[1]
    named = units.replace(" and ", ", ").split(", ")
    assert len(named) == 5
    for kind in named:
        begun(DeepAutoencoder(dataclasses.replace(config, activation=kind)), optimizer)
    for kind in set(ACTIVATIONS) - {*named, odd}:
        with pytest.raises(ConfigError):
            begun(DeepAutoencoder(dataclasses.replace(config, activation=kind)), optimizer)
    few = dataclasses.replace(config, activation="tanh", kept=(2,))
    with pytest.raises(ConfigError, match="leave --kept out; use --optimizer sgd or "):
        begun(DeepAutoencoder(few), optimizer)


@by_curvature
def test_models_without_products_are_refused(optimizer):
    bounded = {"output_units": "sigmoid", "loss": "squared"}
    for model in (
        Autoencoder(Autoencoder.Config(hidden=3, activation="maxout", **bounded)),
        DeepAutoencoder(DeepAutoencoder.Config(hidden=(4, 3), kept=(2,), **bounded)),
    ):
        with pytest.raises(ConfigError, match=f"^--optimizer {optimizer}: this model gives no products"):
            begun(model, optimizer)
    with pytest.raises(ConfigError, match=f"^--optimizer {optimizer}: searches along a loss that must stand"):
        begun(KSparse(KSparse.Config(hidden=9, k=2)), optimizer)


def test_newton_refuses_many_parameters_and_says_how_many():
    settings = {"activation": "tanh", "output_units": "linear", "loss": "squared"}
    model = Autoencoder(Autoencoder.Config(hidden=495, tied=True, **settings))
    with pytest.raises(ConfigError, match=r"^--optimizer newton: 99,695 parameters, at most 5,000 "):
        begun(model, "newton", 200)
    assert begun(model, "hessian-free", 200).total_updates == 40


def test_how_long_a_run_is_by_the_worth_of_a_step():
    config = Network.Config(classes=2)
    epochs = {
        name: TrainConfig(optimizer=name).resolve(Network, config, DataSummary(4, n_rows=10_000)).epochs
        for name in ("lbfgs", "hessian-free", "newton")
    }
    assert epochs == {"lbfgs": 400, "hessian-free": 40, "newton": 40}


@by_curvature
def test_a_curvature_that_is_no_number_ends_the_run(optimizer):
    params, made = {"W": np.ones(2)}, CURVED[optimizer]()
    settings = UpdateSettings(0, curvature=lambda: ByProducts(lambda v: {"W": np.nan * v["W"]}))
    made.step(params, lambda: ({"loss": 1.0}, {"W": np.ones(2)}), settings)
    assert made.converged
    assert (params["W"] == 1).all()


@by_curvature
def test_where_nothing_lowers_the_loss_it_stays_and_says_so(optimizer):
    """The gradient points the wrong way. Products are asked for at the start, not where a step has ended."""
    params, seen = {"W": np.ones(3)}, []

    def curvature():
        def product(v):
            seen.append(params["W"].copy())
            return v

        return ByProducts(product)

    made = CURVED[optimizer]()
    for _ in range(2):
        made.step(
            params,
            lambda: ({"loss": params["W"].sum()}, {"W": -np.ones(3)}),
            UpdateSettings(0, curvature=curvature),
        )
    assert made.converged
    assert len(seen) > 3
    assert (np.array(seen) == 1).all()
    assert (params["W"] == 1).all()
