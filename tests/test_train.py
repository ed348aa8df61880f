"""The training loop: update rules, order, schedules, stopping, and going on in the same bytes."""

import math
from dataclasses import replace

import numpy as np
import pytest

import model_bytes
from featlearn import _core
from featlearn.errors import ConfigError, DivergedError
from featlearn.models import model_class
from featlearn.models.autoencoder import Autoencoder
from featlearn.models.base import DataSummary, Layer
from featlearn.models.denoising import Denoising
from featlearn.models.k_sparse import KSparse
from featlearn.models.mcrbm import MeanCovarianceRBM
from featlearn.models.rbm import RBM
from featlearn.models.sesm import SESM
from featlearn.models.sparse_autoencoder import SparseAutoencoder
from featlearn.random import Random
from featlearn.training import order, stopping
from featlearn.training.config import TrainConfig
from featlearn.training.optim import SGD, Decay, UpdateSettings
from featlearn.training.order import BLOCK, epoch_order, moments, split_rows
from featlearn.training.schedules import learning_rate, momentum
from featlearn.training.train import Training
from helpers import Rows, go_on, same


def rows(n=230, d=12, seed=0):
    return Rows(np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32))


def rbm(d=12, **config):
    model = RBM(RBM.Config(**{"hidden": 8, "visible": "gaussian", **config}))
    model.init(d, Random(0))
    return model


class Quadratic(Layer):
    """loss = |W - a|^2 / 2: its minimum under each decay is known exactly."""

    a = np.array([[2.0, -1.0, 0.3, -0.2, 0.0]])

    def __init__(self):
        super().__init__(config=object(), dtype=np.float64)
        self.params = {"W": np.full((1, 5), 0.7)}

    def encode(self, X):
        return X

    def decode(self, H):
        return H

    def gradient(self, X, step):
        return {"error": 1.0}, {"W": self.params["W"] - self.a}


@pytest.mark.parametrize("m", [0.0, 0.5, 0.9])
def test_decay_reaches_the_minimum_of_its_objective(m):
    """L1 soft: exactly soft(a, l1), zeros exact, whatever the momentum; L2: a / (1 + l2)."""
    a = Quadratic.a
    for config, wanted in [
        ({"decay": "l1", "decay_weight": 0.25}, np.sign(a) * np.maximum(np.abs(a) - 0.25, 0)),
        ({"decay": "l2", "decay_weight": 0.25}, a / 1.25),
        ({}, a),
    ]:
        model = Quadratic()
        Training(
            model,
            Rows(np.zeros((10, 1))),
            TrainConfig(epochs=3000, batch_size=10, lr=0.02, lr_schedule="constant", momentum=m, **config),
        ).run()
        np.testing.assert_allclose(model.params["W"], wanted, atol=1e-9)
        if config.get("decay") == "l1":
            assert (model.params["W"][0, 3:] == 0).all()


def test_update_is_the_textbook_rule():
    rng = np.random.default_rng(0)
    w, v, g = (rng.normal(size=(3, 4)) for _ in range(3))
    w0, v0 = w.copy(), v.copy()
    _core.update(w, v, g, 0.1, 0.9, 0.3, 0.2, False)
    wanted = 0.9 * v0 - 0.1 * (g + 0.2 * w0 + 0.3 * np.sign(w0))
    np.testing.assert_allclose(v, wanted, atol=1e-14)
    np.testing.assert_allclose(w, w0 + wanted, atol=1e-14)


def test_decay_leaves_biases_alone():
    params = {"W": np.ones((2, 2)), "b": np.ones(2)}
    grads = {k: np.zeros_like(v) for k, v in params.items()}
    SGD().step(params, lambda: ({}, grads), UpdateSettings(0.5, decay=Decay(l2=0.1), decayed=("W",)))
    assert (params["b"] == 1).all()
    np.testing.assert_allclose(params["W"], 0.95)


def test_default_decay_weights_are_the_blogs():
    def decay(**settings):
        config = RBM.resolve(RBM.Config(), DataSummary(4, 0, 1))
        return TrainConfig(**settings).resolve(RBM, config, DataSummary(4, 0, 1)).weight_decay

    assert decay(decay="l1") == Decay(l1=0.01)
    assert decay(decay="l2") == Decay(l2=0.1)
    assert decay(decay="l1", l1_method="subgradient") == Decay(l1=0.01, soft=False)
    assert decay(decay="l2", decay_weight=0.5) == Decay(l2=0.5)


@pytest.mark.parametrize("n", [1, 5, 1000, BLOCK + 17])
def test_epoch_order_is_a_permutation_of_its_own(n):
    order = epoch_order(n, Random(1), 0)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    if n > 100:
        assert (order != epoch_order(n, Random(1), 1)).any()
        assert abs(np.corrcoef(order[:1000], np.arange(1000))[0, 1]) < 0.15


def test_schedules():
    assert [learning_rate("linear", 2.0, p) for p in (0, 0.5, 1)] == [
        2.0,
        pytest.approx(1.01),
        pytest.approx(0.02),
    ]
    assert learning_rate("constant", 2.0, 0.9) == 2.0
    assert learning_rate("exponential", 2.0, 0.5) == pytest.approx(0.2)
    rates = [learning_rate("cosine", 2.0, p) for p in (0, 0.25, 0.5, 1)]
    # a quarter of the way the cosine has fallen by 1 - 1/sqrt(2) of its half height
    assert rates == pytest.approx([2.0, 0.02 + 1.98 * (2 + 2**0.5) / 4, 1.01, 0.02])
    assert [momentum(0.5, 0.9, 2, e) for e in (0, 1, 2)] == [0.5, 0.5, 0.9]


def test_the_rate_rises_over_the_updates_of_the_warm_up(monkeypatch):
    """Held against rates written down by hand; as seen by the optimiser, phase by phase."""
    seen = []
    step = SGD.step
    monkeypatch.setattr(SGD, "step", lambda self, p, e, how: seen.append(how.lr) or step(self, p, e, how))
    config = TrainConfig(epochs=2, batch_size=50, lr=0.08, lr_schedule="linear", warm_up=4)
    Training(rbm(), rows(), config).run()
    n = 2 * math.ceil(len(rows()) / 50) - 4
    falling = [0.08 * (1 - 0.99 * i / n) for i in range(n)]
    assert seen == pytest.approx([0.02, 0.04, 0.06, 0.08, *falling])


def test_a_warm_up_longer_than_the_run_only_rises(monkeypatch):
    seen = []
    step = SGD.step
    monkeypatch.setattr(SGD, "step", lambda self, p, e, how: seen.append(how.lr) or step(self, p, e, how))
    Training(rbm(), rows(), TrainConfig(epochs=1, batch_size=50, lr=1e-3, warm_up=1000)).run()
    assert seen == pytest.approx([1e-6 * (i + 1) for i in range(len(seen))])


def test_same_seed_same_bytes_other_seed_other_bytes():
    runs = []
    for seed, threads in [(0, 1), (0, 2), (1, 2)]:
        _core.set_threads(threads)
        model = rbm()
        Training(model, rows(), TrainConfig(epochs=2, batch_size=50), seed).run()
        runs.append(model.params)
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


CONFIGS = {
    "plain": {},
    "all": {
        "lr_schedule": "linear",
        "initial_epochs": 1,
        "decay": "l1",
        "validation": 0.2,
        "patience": 2,
    },
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_stopped_run_goes_on_in_the_same_bytes(name):
    """Stopped after every single update, taken through plain values, restored: params, state and history
    agree."""
    config = TrainConfig(epochs=4, batch_size=50, **CONFIGS[name])
    settings = {"sparsity_target": 0.1, "refine": 7}
    whole = Training(rbm(**settings), rows(), config)
    assert whole.run()
    stopped = Training(rbm(**settings), rows(), config)
    stops = 0
    while not stopped.run(on_batch=lambda training: True):
        stops += 1
        stopped = go_on(stopped, Training(rbm(**settings), rows(), config))
    assert stops >= 10
    assert same(whole.model.params, stopped.model.params)
    assert same(whole.model.state, stopped.model.state)
    for key, column in whole.history.items():
        assert np.array(column).tobytes() == np.array(stopped.history[key]).tobytes(), key


def test_phases_and_history():
    training = Training(rbm(refine=9), rows(), TrainConfig(epochs=2, batch_size=50))
    training.run()
    assert training.total_updates == 2 * 5 + 9
    assert training.history["phase"] == [0, 0, 1, 1]
    assert training.history["step"] == [5, 10, 15, 19]
    assert all(len(column) == 4 for column in training.history.values())
    X = training.rows.X
    Y = training.model.decode(training.model.encode(X))
    assert training.history["probe_rmse"][-1] == pytest.approx(np.sqrt(np.mean((X - Y) ** 2)), rel=1e-5)


def test_rows_measured_after_each_epoch_are_spread_over_all():
    """Data come image by image: the first rows may be unlike the others."""
    data = rows(2 * order.PROBE + 1)
    data.X[order.PROBE :] *= 100
    training = Training(rbm(), data, TrainConfig(epochs=1, lr=1e-9))
    training.run()
    sample = data.X[::3].copy()
    difference = (sample - training.model.reconstruct(sample)).astype(float)
    assert training.history["probe_rmse"] == [pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-6)]
    assert training.history["probe_rmse"][0] == pytest.approx(training.progress.measured["rmse"], rel=0.05)


def test_refinement_decay_can_be_switched_off():
    norms = []
    for refine_decay in (True, False):
        model = rbm(refine=200, refine_decay=refine_decay)
        Training(model, rows(), TrainConfig(epochs=1, batch_size=50, decay="l2", decay_weight=1.0)).run()
        norms.append(np.linalg.norm(model.params["W"]))
    assert norms[0] < 0.8 * norms[1]


def test_early_stop_keeps_the_best_model():
    training = Training(
        rbm(), rows(), TrainConfig(epochs=500, batch_size=20, lr=0.05, validation=0.3, patience=3)
    )
    training.run()
    errors = training.history["validation_rmse"]
    assert len(errors) < 500
    assert len(errors) == int(np.argmin(errors)) + 1 + 3
    assert training.measure(training.validation_rows)["rmse"] == min(errors)
    assert training.progress.measured["validation_rmse"] == min(errors)
    assert training.progress.measured["rmse"] == training.measure(training.train_rows)["rmse"]


def test_early_stop_keeps_the_state_of_the_best_model():
    """The threshold of BatchTopK codes is state, and follows the parameters; also over a stop and a
    checkpoint."""
    config = TrainConfig(epochs=80, batch_size=20, lr=0.1, validation=0.3, patience=4)

    def new():
        model = KSparse(KSparse.Config(hidden=30, k=3, batch_top_k=True, loss_scale=3))
        model.init(12, Random(0))
        return Training(model, rows(), config)

    training = new()
    training.run()
    errors = training.history["validation_rmse"]
    assert len(errors) < 80
    assert training.progress.measured["validation_rmse"] == min(errors)
    stopped = new()
    assert not stopped.run(lambda at: at.progress.epochs_done == training.progress.best_epoch + 2)
    saved = stopped.checkpoint()
    saved.optimizer.pop("best_state.threshold")
    assert new().misfit(saved) == "/optimizer is not what this run keeps there"
    again = go_on(stopped, new())
    again.run()
    assert same(again.model.params, training.model.params)
    assert same(again.model.state, training.model.state)


@pytest.mark.parametrize("lr", [0.5, 1.0, 10.0, 1e6, 1e30])
def test_divergence_stops_with_a_finite_model(lr):
    training = Training(rbm(64, hidden=100), rows(2000, 64), TrainConfig(epochs=30, lr=lr))
    with pytest.raises(DivergedError, match=r"diverged at epoch \d+, update \d+: .*; lower --lr, e.g. --lr "):
        training.run()
    assert all(np.isfinite(w).all() for w in training.model.params.values())
    saved, fresh = training.checkpoint(), Training(rbm(64, hidden=100), rows(2000, 64), training.config)
    assert "of no place in this run" in fresh.misfit(saved)
    saved.progress["diverged"] = False
    assert "of no place in this run" not in fresh.misfit(saved)


def test_errors_that_began_with_rounding_are_not_divergence():
    """Of data reproduced at once, such as rows that are all alike, the next errors may be any multiple."""
    training = Training(rbm(), rows(), TrainConfig())
    for error in (0.0, 3e-16, 7e-6):
        assert stopping.diverged_metrics(training.progress, {"error": error}) == ""
    assert stopping.diverged_metrics(training.progress, {"error": 0.1}) == "error 0.1 (began at 0)"


def test_weights_are_judged_by_what_they_began_with():
    """A bias that starts at the data's mean, above any limit for weights, has not diverged; one that grew
    has."""
    data = Rows(rows().X + np.float32(5000))
    model = rbm()
    model.init(12, Random(0), moments(data, np.arange(230))[0])
    training = Training(model, data, TrainConfig(epochs=2, batch_size=50, lr=1e-6))
    assert training.run()
    assert model.params["b"] == pytest.approx(5000, rel=0.01)
    for name, value in (("b", 6e4), ("W", 2e3)):
        training = Training(model, data, TrainConfig(epochs=1, batch_size=50))
        model.params[name].flat[3] = value
        with pytest.raises(DivergedError, match=f"largest value of {name} is"):
            training._check_params()


class Answering(Quadratic):
    """Of its ten units `stuck` answer all rows alike, its error is `worse` times that of the mean row: from
    1st update.

    Before, `began` are stuck.
    """

    def __init__(self, X=None, stuck=0, worse=0.0, began=0):
        super().__init__()
        self.mean = 0 if X is None else X.mean(axis=0)
        self.stuck, self.worse, self.now = stuck, worse, began

    def encode(self, X):
        return np.where(np.arange(10) < self.now, 0.5, X[:, :1])

    def reconstruct(self, X):
        return X + self.worse * (X - self.mean)

    def gradient(self, X, step):
        self.now = self.stuck
        return {"error": 1.0}, {"W": np.zeros_like(self.params["W"])}


@pytest.mark.parametrize(
    ("stuck", "worse", "began", "words"),
    [
        (10, 0.9, 0, None),
        (10, 1.05, 0, None),
        (5, 1.2, 0, None),
        (6, 1.2, 0, "6 of 10 units answer all rows alike, error 1.2"),
        (9, 1.2, 8, None),
        (10, 1.2, 8, "2 of 2 units answer all rows alike"),
        (0, 9.0, 0, None),
        (0, 11.0, 0, r"error 11 \(began at 1\)"),
    ],
)
def test_errors_above_the_mean_rows_are_divergence_where_far_or_units_are_stuck(stuck, worse, began, words):
    data = rows()
    data.X /= data.X.std(axis=0).mean()
    training = Training(
        Answering(data.X, stuck, worse, began), data, TrainConfig(epochs=3, batch_size=50, lr=0.1)
    )
    assert training.legs[0].deviation == pytest.approx(np.sqrt(np.mean(data.X.var(axis=0))), rel=1e-6)
    if words is None:
        assert training.run()
        return
    with pytest.raises(DivergedError, match=f"diverged at epoch 1, update 5: {words}"):
        training.run()


def test_a_rate_so_high_that_bounded_units_are_stuck():
    """Outputs lie in 0..1, so no error can grow.

    A rate that is only too low learns nothing either, but goes on.
    """
    X = np.random.default_rng(0).random((400, 12)).astype(np.float32) ** 3
    for lr, diverges in ((1e3, True), (1e-6, False)):
        model = Autoencoder(
            Autoencoder.Config(
                hidden=20, activation="sigmoid", tied=False, output_units="sigmoid", loss="squared"
            )
        )
        model.init(12, Random(0))
        training = Training(model, Rows(X), TrainConfig(epochs=2, lr=lr))
        if diverges:
            with pytest.raises(DivergedError, match=r"units answer all rows alike"):
                training.run()
        else:
            assert training.run()
            assert training.history["probe_rmse"][-1] > 1.1 * training.legs[0].deviation


def test_first_updates_that_lose_the_weights_are_no_measure_of_later_errors():
    """Adam's steps are bounded: with a rate far too high all errors but the first are large, and stay so."""
    settings = {"activation": "sigmoid", "output_units": "linear", "loss": "squared", "corruption": "masking"}
    model = Denoising(Denoising.Config(hidden=20, **settings))
    model.init(12, Random(0))
    training = Training(model, rows(2000), TrainConfig(epochs=3, batch_size=100, optimizer="adam", lr=10.0))
    with pytest.raises(DivergedError, match=r"diverged at epoch 1, update 20: error 1\d\.\d \(began at 0\.9"):
        training.run()


@pytest.mark.parametrize(
    ("batch_size", "epochs", "done", "step", "early"),
    [
        (1, 2, 0, 230, True),  # the first epoch
        (1, 2, 1, 231, False),
        (1, 20, 2, 460, True),  # a tenth of 4600
        (1, 20, 2, 461, False),
        (50, 40, 19, 100, True),  # so few updates cost nothing
        (50, 40, 20, 101, False),
    ],
)
def test_divergence_is_early_where_little_is_lost(batch_size, epochs, done, step, early):
    training = Training(rbm(refine=7), rows(), TrainConfig(epochs=epochs, batch_size=batch_size))
    training.progress.epochs_done, training.progress.step = done, step
    assert training.early is early
    training.progress.phase = 1  # its rate is its own
    assert not training.early


def test_settings_that_contradict_the_data():
    with pytest.raises(ConfigError, match="230 training rows"):
        Training(rbm(), rows(), TrainConfig(batch_size=231))
    with pytest.raises(ConfigError, match="--validation"):
        TrainConfig(patience=3)
    with pytest.raises(ConfigError, match="--decay"):
        TrainConfig(decay_weight=0.1)
    with pytest.raises(ConfigError, match="holds out none"):
        Training(rbm(), rows(), TrainConfig(validation=0.001))
    with pytest.raises(ConfigError, match=r"only 0 training rows .*smaller --validation"):
        split_rows(230, TrainConfig(validation=0.999, batch_size=1), seed=0)


def test_mean_row_and_split(monkeypatch):
    data = rows(230)
    train_rows, held_out = split_rows(230, TrainConfig(validation=0.2, batch_size=10), seed=3)
    assert sorted([*train_rows, *held_out]) == list(range(230))
    assert len(held_out) == 46
    np.testing.assert_allclose(
        moments(data, train_rows)[0], data.X[train_rows].mean(axis=0, dtype=float), atol=1e-12
    )
    monkeypatch.setattr(order, "MEAN_ROWS", 100)
    every_other = data.X[train_rows[::2]]
    np.testing.assert_allclose(
        moments(data, train_rows)[0], every_other.mean(axis=0, dtype=float), atol=1e-12
    )
    training = Training(rbm(), data, TrainConfig(validation=0.2, batch_size=10), seed=3)
    assert np.array_equal(training.train_rows, train_rows)
    assert np.array_equal(training.validation_rows, held_out)


class Bounded(Quadratic):
    """Its weights may not pass .5, and it reports a number of its own."""

    def project(self):
        np.clip(self.params["W"], -0.5, 0.5, out=self.params["W"])

    def extra_metrics(self, X):
        return {"mean_of_first": float(X[:, 0].mean())}


def test_models_are_projected_after_each_update_and_heard():
    data, model = rows(2500, 5), Bounded()
    model.dtype = np.dtype(np.float32)
    seen = []
    training = Training(model, data, TrainConfig(epochs=3, lr=0.5, momentum=0.0, validation=0.5))
    training.run(on_batch=lambda at: seen.append(np.abs(at.model.params["W"]).max()))
    assert max(seen) == 0.5
    wanted = data.X[training.validation_rows, 0].mean()
    assert training.history["validation_mean_of_first"] == pytest.approx([wanted] * 3, abs=1e-6)


def test_moments_are_exact_where_the_mean_is_far_from_zero():
    """In float64 about a shift: the plain sum of squares would have lost the variance of the first column."""
    X = np.random.default_rng(0).normal(size=(500, 3)) * [1e-3, 1.0, 50.0] + [1e6, 0.0, -300.0]
    mean, variances = moments(Rows(X), np.arange(500))
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(variances, X.var(axis=0), rtol=1e-8)
    assert not moments(Rows(np.full((5, 2), 7.0)), np.arange(5))[1].any()


SUMMARY = DataSummary(50, -math.inf, math.inf, n_rows=8000, variance=50.0, square=200.0)


def test_defaults_follow_from_the_data():
    """The lengths are those of the help page; the rates those of the docstring of `usual_rates`."""
    config = RBM.resolve(RBM.Config(hidden=10), SUMMARY)
    resolved = TrainConfig().resolve(RBM, config, SUMMARY)
    assert (resolved.epochs, resolved.batch_size, resolved.lr, resolved.data_scale) == (
        125,
        100,
        4 / 200,
        1.0,
    )
    wide = TrainConfig().resolve(RBM, RBM.resolve(RBM.Config(hidden=400), SUMMARY), SUMMARY)
    assert wide.lr == pytest.approx(4 / 600, rel=0.05)
    pixels = replace(SUMMARY, low=0.0, high=1.0, square=3.0)
    assert TrainConfig().resolve(RBM, RBM.resolve(RBM.Config(hidden=400), pixels), pixels).lr == 0.1
    few, many = replace(SUMMARY, n_rows=30), replace(SUMMARY, n_rows=10**7)
    for model, batch in ((RBM, 30), (Denoising, 20), (MeanCovarianceRBM, 30)):
        usual = TrainConfig(lr=0.1)
        assert usual.resolve(model, config, few).batch_size == batch
        assert usual.resolve(model, config, replace(few, n_rows=7)).batch_size == 7
    assert TrainConfig().resolve(RBM, config, few).epochs == 10_000
    assert TrainConfig().resolve(RBM, config, many).epochs == 5
    lengths = {20_000: 400, 40_000: 200, 10**7: 100}
    for n, epochs in lengths.items():
        rows = replace(SUMMARY, n_rows=n)
        assert TrainConfig(optimizer="lbfgs").resolve(KSparse, KSparse.Config(), rows).epochs == epochs
    assert TrainConfig(epochs=3, batch_size=7, lr=2.0).resolve(RBM, config, many).lr == 2.0


def test_the_rate_of_gaussian_units_is_in_units_of_their_deviation():
    """E(v, h) stays where v, b, W and sigma grow s-fold; so do the steps of W at s^2 times the rate."""
    unit = RBM.usual_rates(RBM.resolve(RBM.Config(hidden=10), SUMMARY), SUMMARY)["sgd"]
    for s in (0.1, 10.0):
        for data in (SUMMARY, replace(SUMMARY, square=None)):
            data = data.divided(1 / s)
            config = RBM.resolve(RBM.Config(hidden=10, sigma=s), data)
            wanted = s**2 * (unit if data.square else 4 / SUMMARY.n_visible)
            assert RBM.usual_rates(config, data)["sgd"] == pytest.approx(wanted, rel=0.05)


def test_data_far_from_what_a_model_wants_are_divided():
    wild = SUMMARY.divided(1e-3)
    assert wild.spread == pytest.approx(1000)
    assert wild.square == pytest.approx(2e8)
    assert TrainConfig().scale(RBM, RBM.Config(), wild) == 1000
    assert TrainConfig(data_scale=5.0).scale(RBM, RBM.Config(), wild) == 5
    assert TrainConfig().scale(RBM, RBM.Config(sigma=3.0), wild) == 1
    assert TrainConfig().scale(RBM, RBM.Config(), SUMMARY) == 1
    assert TrainConfig().scale(RBM, RBM.Config(), replace(wild, low=0.0, high=1.0)) == 1
    assert TrainConfig().scale(RBM, RBM.Config(), replace(SUMMARY, variance=0.0)) == 1


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_a_scale_whose_square_no_float_holds_is_refused(scale):
    with pytest.raises(ConfigError, match="--data-scale"):
        TrainConfig(data_scale=scale)


def test_denoising_is_made_for_the_data():
    """Pixels are masked; what has no bounds gets noise beside which only large values speak."""
    centred = replace(SUMMARY, square=50.0)
    white, pixels = replace(centred, whitened=True), replace(SUMMARY, low=0.0, high=1.0)
    found = {}
    for name, data in (
        ("white", white),
        ("plain", centred),
        ("bounded", replace(SUMMARY, high=9.0)),
        ("pixels", pixels),
    ):
        c = Denoising.resolve(Denoising.Config(), data)
        found[name] = (
            c.activation,
            c.corruption,
            c.noise,
            c.hidden_bias,
            Denoising.usual_rates(c, data)["sgd"],
        )
    assert found == {
        "white": ("relu", "gaussian", 2.0, -3.0, 2.0),
        "plain": ("relu", "gaussian", 2.0, -2.0, 1.0),
        "bounded": ("relu", "gaussian", 2.0, 0.0, 0.45),
        "pixels": ("sigmoid", "masking", 0.25, 0.0, 4.5),
    }
    for settings in ({"hidden": 1000}, {"noise": 0.1}, {"init": "normal"}, {"init_scale": 0.5}):
        c = Denoising.resolve(Denoising.Config(**settings), white)
        model = Denoising(c)
        model.init(50, Random(0))
        X = np.random.default_rng(0).normal(0, math.hypot(1, c.noise), (2000, 50)).astype(np.float32)
        assert c.hidden_bias == pytest.approx(-1.65 * (X @ model.params["W"]).std(), rel=0.1)
    assert (
        Denoising.resolve(Denoising.Config(emphasis=1.0, clean_weight=0.5), SUMMARY).corruption == "masking"
    )
    assert Denoising.resolve(Denoising.Config(noise=0.3), SUMMARY).noise == 0.3


def test_sparse_models_are_sparser_on_whitened_data():
    white = replace(SUMMARY, whitened=True)
    assert [SESM.resolve(SESM.Config(), data).sparsity_weight for data in (SUMMARY, white)] == [0.5, 3.0]
    found = [
        SparseAutoencoder.resolve(SparseAutoencoder.Config(), data).sparsity_target
        for data in (SUMMARY, white)
    ]
    assert found == [0.1, 0.02]


def test_outputs_that_have_a_range_keep_it():
    """Else values of another scale are brought to what each model wants."""
    pixels = replace(SUMMARY, low=0.0, high=1.0).divided(100)
    pixels = replace(pixels, low=0.0, high=1.0)
    found = {
        cls.id: TrainConfig().scale(cls, cls.Config(), pixels)
        for cls in (Autoencoder, Denoising, SESM, KSparse, RBM)
    }
    assert found == {"autoencoder": 1, "denoising": 1, "sesm": 0.033, "k-sparse": 0.018, "rbm": 1}
    for outputs in ("sigmoid", "tanh"):
        assert (
            TrainConfig().scale(Autoencoder, Autoencoder.Config(output_units=outputs), SUMMARY.divided(100))
            == 1
        )
    assert TrainConfig().scale(Autoencoder, Autoencoder.Config(), SUMMARY.divided(100)) == 0.01


def test_autoencoders_take_smaller_steps_where_the_mean_row_is_long():
    """Of dark digits, variance 50 and square 80, it is 5/8 of the rate; of bright pictures less."""
    dark = replace(SUMMARY, low=0.0, high=1.0, square=80.0)
    bright = replace(SUMMARY, low=0.0, high=1.0, square=250.0)
    config = Autoencoder.resolve(Autoencoder.Config(), dark)
    assert [Autoencoder.usual_rates(config, data)["adam"] for data in (dark, bright)] == [0.0031, 0.001]
    assert Autoencoder.usual_rates(config, replace(SUMMARY, square=None))["adam"] == 0.005
    config = Denoising.resolve(Denoising.Config(), dark)
    assert [Denoising.usual_rates(config, data)["sgd"] for data in (dark, bright)] == [10.0, 3.6]


def averaged(**settings):
    """A small run whose weights are averaged, of models whose arrays are of either memory order."""
    for id in ("autoencoder", "k-sparse"):
        config = model_bytes.configs(model_class(id))["usual"]
        yield lambda id=id, config=config: model_bytes.fresh(
            id, config, "float64", optimizer="adam", average=0.9, **settings
        )


def test_the_average_of_weights_is_what_is_learned():
    """By its definition: memory 0.9, less at the beginning; updates go on from the weights themselves."""
    for make in averaged():
        run, means = make(), {}
        other = Training(make().model, run.rows, replace(run.config, average=None), run.seed)

        def follow(training, means=means):
            done = training.progress.step - 1
            share = min(0.9, (1 + done) / (10 + done))
            for name in training.leg.params if not training.progress.finished else training.model.params:
                w = training.model.params[name]
                means[name] = share * means.get(name, w.copy()) + (1 - share) * w
            return False

        assert other.run(follow)
        assert run.run()
        for name, mean in means.items():
            np.testing.assert_allclose(run.model.params[name], mean, rtol=1e-10, atol=1e-13)
        assert run.history["error"] == other.history["error"]
        assert run.history["probe_rmse"] != other.history["probe_rmse"]


def test_an_averaged_run_goes_on_in_the_same_bytes():
    for make in averaged(validation=0.2, patience=2):
        whole, stopped = make(), make()
        assert whole.run()
        while not stopped.run(on_batch=lambda training: True):
            stopped = go_on(stopped, make())
        assert same(whole.model.params, stopped.model.params)
        assert whole.history == stopped.history


UPDATES = {"batch_size": 100, "lr": 0.05, "lr_schedule": "linear", "validation": 0.1}


def trained(**config):
    training = Training(rbm(refine=2, refine_lr=0.01), rows(), TrainConfig(**UPDATES | config), seed=4)
    training.run()
    return training


def test_so_many_updates_are_as_many_as_whole_epochs_have():
    """Also under a schedule, which is over the run."""
    by_updates, by_epochs = trained(updates=9), trained(epochs=3)
    assert same(by_updates.model.params, by_epochs.model.params)
    assert by_updates.history == by_epochs.history


def test_a_run_ends_after_so_many_updates_in_the_midst_of_an_epoch():
    whole = trained(updates=7)
    assert whole.total_updates == whole.progress.step == 9  # with the refinement, which has its own
    assert whole.history["step"] == [3, 6, 7, 9]
    assert whole.history["phase"] == [0, 0, 0, 1]
    begun = Training(rbm(refine=2, refine_lr=0.01), rows(), TrainConfig(**UPDATES, updates=7), seed=4)
    stops = 0
    while not begun.run(on_batch=lambda training: True):
        again = Training(rbm(refine=2, refine_lr=0.01), rows(), TrainConfig(**UPDATES, updates=7), seed=4)
        begun, stops = go_on(begun, again), stops + 1
    assert stops == 8
    assert same(whole.model.params, begun.model.params)
    assert whole.history == begun.history


def test_epochs_and_updates_are_not_both_said():
    with pytest.raises(ConfigError, match=r"^--epochs 3, --updates 5: say one of them$"):
        TrainConfig(epochs=3, updates=5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "cg"])
def test_all_rows_are_one_minibatch(optimizer):
    def learned(batch_size):
        model = Autoencoder(
            Autoencoder.Config(hidden=4, activation="tanh", output_units="linear", loss="squared")
        )
        model.init(12, Random(0))
        config = TrainConfig(optimizer=optimizer, batch_size=batch_size, epochs=4, searches=1, lr=0.1)
        training = Training(model, rows(), config, seed=1)
        training.run()
        return training

    everything, counted = learned("all"), learned(230)
    assert everything.progress.step == 4
    assert everything.config.batch_size == "all"
    assert same(everything.model.params, counted.model.params)


def test_a_step_on_all_rows_that_is_too_long_is_noticed():
    """Line searches on all rows are trusted: they only lower the loss. Steps of a rate are not."""
    bounded = {"hidden": 4, "activation": "tanh", "output_units": "tanh", "loss": "squared"}
    model = Autoencoder(Autoencoder.Config(**bounded))
    model.init(12, Random(0))
    config = TrainConfig(optimizer="sgd", batch_size="all", lr=2000.0, epochs=9)
    with pytest.raises(DivergedError, match="largest value of"):
        Training(model, rows(), config, seed=1).run()


@pytest.mark.parametrize("value", ["most", "", 0, 1.5])
def test_a_batch_is_a_number_of_rows_or_all(value):
    with pytest.raises(ConfigError, match=r"^--batch-size: got "):
        TrainConfig(batch_size=value)
