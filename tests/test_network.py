"""Nets that tell classes: what they begin with, what they descend, and when their training ends."""

import numpy as np
import pytest

from featlearn.errors import ConfigError, DivergedError
from featlearn.models.base import DataSummary, Step
from featlearn.models.network import Network, shorten
from featlearn.models.softmax import SoftmaxRegression
from featlearn.ops.softmax import cross_entropy
from featlearn.random import Random
from featlearn.rows import Labelled
from featlearn.training.config import TrainConfig
from featlearn.training.gradcheck import check_gradients
from featlearn.training.train import Training
from helpers import Rows

CLASSES = 3


def data(n=120, d=10, seed=0):
    """Rows that a linear layer can tell, [x | t]."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, n)
    return Labelled(Rows(rng.random((n, d)) + np.eye(CLASSES, d)[y]), y, CLASSES)


def net(cls=Network, **config):
    model = cls(cls.Config(classes=CLASSES, **config), np.float64)
    model.init(10, Random(1))
    return model


def test_the_loss_and_probabilities_are_those_of_the_equations():
    """Of a relu net with smoothed targets, by numpy."""
    model, XT = net(hidden=(7, 5), label_smoothing=0.2), data().block(0, 50)
    x, t = model.visible(XT), model.targets(XT)
    H = np.maximum(x @ model.params["W1"] + model.params["c1"], 0)
    H = np.maximum(H @ model.params["W2"] + model.params["c2"], 0)
    P = np.exp(H @ model.params["W"] + model.params["b"])
    P /= P.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.probabilities(x), P, rtol=1e-12)
    np.testing.assert_allclose(model.encode(x), H, rtol=1e-12)
    metrics, _ = model.gradient(XT, Step(0, 0))
    loss = -((0.8 * t + 0.2 / CLASSES) * np.log(P)).sum(axis=1).mean()
    assert metrics["loss"] == pytest.approx(loss, rel=1e-12)
    assert metrics["error_rate"] == np.mean(P.argmax(axis=1) != t.argmax(axis=1))


def test_the_loss_of_certain_classes_is_exact():
    """Where p is as good as 1, too."""
    Z = np.array([[80.0, 0.0, -80.0], [0.0, 1e-3, 0.0]])
    losses, _ = cross_entropy(Z, np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
    assert losses.tolist() == pytest.approx([80.0, np.log(2 + np.exp(1e-3)) - 1e-3], rel=1e-12)


@pytest.mark.parametrize(
    ("activation", "deviation"), [("relu", (2 / 400) ** 0.5), ("sigmoid", (2 / 700) ** 0.5)]
)
def test_weights_begin_by_he_and_glorot(activation, deviation):
    model = Network(Network.Config(hidden=(300,), classes=40, activation=activation))
    model.init(400, Random(0))
    assert model.params["W1"].std() == pytest.approx(deviation, rel=0.02)
    assert model.params["W"].std() == pytest.approx(0.01, rel=0.05)
    assert not any(model.params[name].any() for name in ("c1", "b"))


def test_long_weights_are_shortened():
    W = np.array([[3.0, 0.3, 0.0], [4.0, 0.4, 0.0]])
    shorten(W, 2.0)
    np.testing.assert_allclose(W, [[1.2, 0.3, 0], [1.6, 0.4, 0]], rtol=1e-12)
    run = Training(net(max_norm=0.5, hidden=(8,)), data(), TrainConfig(optimizer="sgd", lr=1.0, epochs=2))
    assert run.run()
    assert np.sqrt((run.model.params["W1"] ** 2).sum(axis=0)).max() <= 0.5 + 1e-12


def test_of_equal_shares_of_wrong_rows_the_loss_decides():
    """Steps so small that no row changes its class lower the loss all the same."""
    small = {"optimizer": "sgd", "lr": 1e-6, "lr_schedule": "constant", "validation": 0.3, "patience": 2}
    run = Training(net(SoftmaxRegression), data(), TrainConfig(epochs=6, **small), seed=2)
    assert run.run()
    assert len(set(run.history["validation_error_rate"])) == 1
    assert run.progress.best_epoch == run.progress.epochs_done == 6
    assert run.progress.best_error == run.history["validation_error_rate"][-1]


def test_patience_goes_by_the_share_of_wrong_rows():
    run = Training(net(hidden=(9,)), data(), TrainConfig(lr=0.05, epochs=60, validation=0.3, patience=5))
    assert run.run()
    column = run.history["validation_error_rate"]
    assert "the validation error has not fallen for 5 epochs" in run.progress.stopped
    assert run.progress.best_error == min(column)
    assert run.progress.measured["validation_error_rate"] == pytest.approx(min(column))
    assert {"error_rate", "loss", "validation_loss"} <= run.progress.measured.keys()
    assert not any("rmse" in key for key in {*run.history, *run.progress.measured})


def test_a_rate_that_loses_the_classes_is_noticed():
    run = Training(net(hidden=(9, 9)), data(), TrainConfig(optimizer="sgd", lr=100.0, epochs=20))
    with pytest.raises(DivergedError, match="lower --lr"):
        run.run()


def test_a_loss_far_above_that_of_the_shares_has_diverged():
    """Also where weights and metrics are still numbers."""
    run = Training(net(hidden=(9,)), data(), TrainConfig(epochs=1))
    shares = run.model.targets(run.rows.take(run.probe_rows)).mean(axis=0)
    chance = -float((shares * np.log(shares)).sum())
    assert run.leg.deviation == pytest.approx(chance, rel=1e-12)
    assert run.leg.diverged(run.progress, {"probe_loss": 9 * chance}) == ""
    assert "of the classes' shares: " in run.leg.diverged(run.progress, {"probe_loss": 11 * chance})


def test_line_searches_learn_classes_and_refuse_dropout():
    for optimizer in ("lbfgs", "cg"):
        run = Training(net(hidden=(6,)), data(), TrainConfig(optimizer=optimizer, epochs=40))
        assert run.run()
        assert run.progress.measured["error_rate"] < 0.02
        with pytest.raises(ConfigError, match="dropout is drawn anew at every update"):
            Training(net(hidden_dropout=0.5), data(), TrainConfig(optimizer=optimizer))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"activation": "relu,step"}, "got 'step'"),
        ({"activation": "relu,tanh,relu"}, "got 3 for 2 hidden layers"),
        ({"kept": (600, 1)}, "more than the 500 units"),
        ({"hidden_dropout": 1.0}, "below 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(config, words):
    with pytest.raises(ConfigError, match=words):
        Network.Config(**config)


def test_epochs_and_minibatches_follow_from_the_number_of_rows():
    found = {}
    for n in (100, 1000, 60_000):
        resolved = TrainConfig().resolve(Network, Network.Config(), DataSummary(10, n_rows=n))
        found[n] = resolved.epochs, resolved.batch_size
    assert found == {100: (100, 20), 1000: (50, 51), 60_000: (15, 100)}


def test_a_kink_at_an_element_is_no_wrong_gradient():
    """Differences of all widths agree on the mean of two slopes where one turns into the other just there."""
    found = check_gradients(Network, Network.variants()["three layers"])
    assert max(check.difference for check in found) < 1e-9
    assert sum(check.elements for check in found) > 250
