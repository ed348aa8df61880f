"""SESM against the paper's equations in plain numpy, and what it learns from data whose parts are known."""

import dataclasses

import numpy as np
import pytest

from featlearn.analysis.filters import filter_statistics
from featlearn.models.base import Step
from featlearn.models.sesm import SESM
from featlearn.patches.dead_leaves import Generated
from featlearn.patches.fitter import Fitter
from featlearn.patches.rows import Rows
from featlearn.patches.settings import Extraction, PreprocessSpec
from featlearn.patches.survey import survey
from featlearn.random import Random
from featlearn.training.config import TrainConfig
from featlearn.training.train import Training

CONFIG = SESM.Config(hidden=9, sparsity_weight=0.6, code_error=0.8, gain=4.0)


def make(config=CONFIG, visible=14, dtype=np.float64, seed=0):
    """A model with weights of a size to matter."""
    model = SESM(config, dtype)
    model.init(visible, Random(seed), np.linspace(0, 1, visible))
    rng = np.random.default_rng(seed)
    for value in model.params.values():
        value += 0.3 * rng.normal(size=value.shape).astype(dtype)
    return model


def rows(n, visible=14, dtype=np.float64):
    return np.random.default_rng(7).random((n, visible)).astype(dtype)


def loss(model, X, Z):
    """(n,) L of the paper without a_r |W|, by numpy."""
    config, (W, b, c) = model.config, (model.params[name] for name in ("W", "b", "c"))
    D = model.params.get("D", W)
    L = 1 / (1 + np.exp(-config.gain * Z))
    return (
        config.code_error * np.square(Z - (X @ W + c)).sum(axis=1)
        + np.square(X - (L @ D.T + b)).sum(axis=1)
        + config.sparsity_weight * np.log(1 + L**2).sum(axis=1)
    )


UNTIED = dataclasses.replace(CONFIG, tied=False)


@pytest.mark.parametrize("config", [CONFIG, UNTIED], ids=["tied", "untied"])
def test_gradient_by_the_code(config):
    """dL/dz at any z, by central differences of numpy's L."""
    model, X = make(config), rows(3)
    Z = np.random.default_rng(3).normal(size=(3, 9)) / 2
    slope = model.relax(X, Z, 0).slope
    worst = 0.0
    for i, j in np.ndindex(*Z.shape):
        at = np.repeat(Z[i : i + 1], 6, axis=0)
        at[:, j] += np.array([-3, -2, -1, 1, 2, 3]) * 5e-3
        v = loss(model, X[i], at)
        difference = (45 * (v[3] - v[2]) - 9 * (v[4] - v[1]) + (v[5] - v[0])) / 0.3
        worst = max(worst, abs(difference - slope[i, j]) / (abs(difference) + abs(slope[i, j])))
    assert worst < 1e-9


# with 100 visible units: few rows are relaxed by W, many by W'W
WIDE = dataclasses.replace(CONFIG, hidden=90)


@pytest.mark.parametrize("n", [2, 200])
@pytest.mark.parametrize("tied", [True, False])
def test_loss_never_rises_over_a_relaxation(n, tied):
    """Also with steps that are much too long; and it is the whole of L that falls, not E alone."""
    model, X = make(dataclasses.replace(WIDE, relax_step=2.0, tied=tied), 100), rows(n, 100)
    losses = [loss(model, X, model.relax(X, None, steps).Z) for steps in range(25)]
    rises = np.diff(losses, axis=0)
    assert rises.max() < 1e-10
    assert (rises < 0).mean() > 0.3
    assert (losses[-1] < losses[0] - 0.1).mean() > 0.9


def test_relaxation_starts_at_the_encoder_and_ends_at_rest():
    model, X = make(), rows(5)
    W, c = model.params["W"], model.params["c"]
    start = model.relax(X, None, 0)
    np.testing.assert_allclose(start.Z, X @ W + c, rtol=1e-12)
    end = model.relax(X, None, 3000)
    assert np.abs(end.slope).max() < 1e-6
    np.testing.assert_allclose(end.Y, end.L @ W.T + model.params["b"], rtol=1e-12)


def test_codes_are_the_same_alone_and_together():
    """One row is relaxed by W and W', many by W'W: the same but for rounding."""
    model, X = make(WIDE, 100), rows(100, 100)
    together = model.relax(X).Z
    alone = np.concatenate([model.relax(X[i : i + 1]).Z for i in range(100)])
    assert 0 < np.abs(together - alone).max() < 1e-9


@pytest.mark.parametrize("config", [CONFIG, UNTIED], ids=["tied", "untied"])
def test_gradient_by_the_parameters(config):
    """The paper's dL/dW, dL/db, dL/dc at the relaxed codes; the metrics are those of L."""
    model, X = make(config), rows(6)
    Z, (W, b, c) = model.relax(X).Z, (model.params[name] for name in ("W", "b", "c"))
    L = 1 / (1 + np.exp(-4 * Z))
    R, E = L @ model.params.get("D", W).T + b - X, Z - (X @ W + c)
    metrics, grads = model.gradient(X, Step(0, 0))
    by_decoder, by_encoder = 2 / 6 * R.T @ L, -2 / 6 * 0.8 * X.T @ E
    if config.tied:
        np.testing.assert_allclose(grads["W"], by_decoder + by_encoder, rtol=1e-9, atol=1e-12)
    else:
        np.testing.assert_allclose(grads["W"], by_encoder, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(grads["D"], by_decoder, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(grads["b"], 2 * R.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(grads["c"], -1.6 * E.mean(axis=0), rtol=1e-9, atol=1e-12)
    assert metrics["loss"] == pytest.approx(loss(model, X, Z).mean(), rel=1e-12)
    assert metrics["error"] == pytest.approx(np.sqrt(np.square(R).mean()), rel=1e-12)
    assert metrics["code_error"] == pytest.approx(np.sqrt(np.square(E).mean()), rel=1e-9)
    assert metrics["mean_activation"] == pytest.approx(L.mean(), rel=1e-12)


def test_code_for_use_is_the_encoders():
    model, X = make(), rows(6)
    W, b, c = (model.params[name] for name in ("W", "b", "c"))
    H = 1 / (1 + np.exp(-4 * (X @ W + c)))
    np.testing.assert_allclose(model.encode(X), H, rtol=1e-12)
    np.testing.assert_allclose(model.decode(H), H @ W.T + b, rtol=1e-12)


def test_the_norms_of_the_decoders_columns_are_told():
    for config, name in ((CONFIG, "W"), (UNTIED, "D")):
        model = make(config)
        norms = np.linalg.norm(model.params[name], axis=0)
        told = model.extra_metrics(rows(2))
        assert list(told.values()) == pytest.approx([norms.min(), norms.mean(), norms.max()], rel=1e-12)


def test_the_sparsifying_logistic_is_that_of_the_paper_of_2006():
    """Over rows one by one: v(k) = eta exp(beta z) + (1 - eta) v(k - 1), code eta exp(beta z) / v(k)."""
    eta, beta = 0.3, 1.7
    config = SESM.Config(
        hidden=9, logistic="sparsifying", eta=eta, gain=beta, tied=False, sparsity_weight=0.2
    )
    model, X = make(config), rows(40)
    W, c = (model.params[name] for name in ("W", "c"))
    v = mean_v = eta / (1 - eta) * np.exp(model.state["threshold"])
    for x in X[:, None]:
        threshold = model.state["threshold"]
        at = model.relax(x)
        z = at.Z[0] + threshold / beta
        np.testing.assert_allclose(at.F[0] + threshold / beta, (x @ W + c)[0], rtol=1e-12)
        v = eta * np.exp(beta * z) + (1 - eta) * v
        np.testing.assert_allclose(at.L[0], eta * np.exp(beta * z) / v, rtol=1e-12)
        mean_v = mean_v + (v - mean_v) / 1000
        model.gradient(x, Step(0, 0))
    for name, wanted in (("threshold", v), ("mean_threshold", mean_v)):
        np.testing.assert_allclose(model.state[name], np.log((1 - eta) / eta * wanted), rtol=1e-12)
    H = 1 / (1 + np.exp(-beta * (X @ W + c)) * (1 - eta) / eta * mean_v)
    np.testing.assert_allclose(model.encode(X), H, rtol=1e-12)


def test_thresholds_see_the_rows_of_a_minibatch_in_order():
    config = SESM.Config(hidden=9, logistic="sparsifying", eta=0.3, sparsity_weight=0.2)
    model, X = make(config), rows(6)
    z = model.relax(X).Z + model.state["threshold"]
    v = 0.3 / 0.7 * np.exp(model.state["threshold"])
    model.gradient(X, Step(0, 0))
    for row in z:
        v = 0.3 * np.exp(row) + 0.7 * v
    np.testing.assert_allclose(model.state["threshold"], np.log(0.7 / 0.3 * v), rtol=1e-12)


class Plain:
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def take(self, index):
        return self.X[index]


def bars(n, side=6, seed=0):
    """(n, side^2) images of rows and columns, each there with probability .2 (P. Foeldiak, 1990)."""
    on = np.random.default_rng(seed).random((n, 2 * side)) < 0.2
    return np.maximum(on[:, :side, None], on[:, None, side:]).astype(np.float32).reshape(n, -1)


def bars_found(**settings):
    """(bars that some filter has learned, of 12; units never above 1/2)."""
    X = bars(3000)
    model = SESM(SESM.Config(hidden=20, sparsity_weight=0.7, **settings))
    model.init(36, Random(0), X.mean(axis=0))

    how = TrainConfig(epochs=15, batch_size=10, momentum=0.0, decay="l1", lr_schedule="linear", lr=0.1)
    Training(model, Plain(X), how).run()
    alone = np.array([np.eye(6)[[i]].T @ np.ones((1, 6)) for i in range(6)])
    wanted = np.concatenate([alone, alone.transpose(0, 2, 1)]).reshape(12, 36)
    found = np.corrcoef(np.concatenate([wanted, model.filters()]))[:12, 12:].max(axis=1) > 0.9
    return found.sum(), (model.encode(bars(1000, seed=1)).max(axis=0) < 0.5).sum()


def test_bars():
    """Each bar has a unit of its own, and units that are not needed stay off."""
    found, unused = bars_found()
    assert found == 12
    assert 6 <= unused <= 8


def test_without_relaxation_no_bar_is_found():
    """The control: what the codes are relaxed for."""
    assert bars_found(relax_steps=0)[0] <= 2


def edge_share(kind):
    plan = survey([Generated(kind, 10, seed=0)], Extraction((8, 8), count=8000))
    patches = np.concatenate([block.patches for block in plan.blocks()])
    spec = PreprocessSpec(normalize="center", whiten="zca", clip=3.0, to=(-0.9, 0.9))
    fitter = Fitter(spec, patches.shape[1], patches.dtype)
    fitter.update(patches)
    data = Rows(patches, fitter.finish())
    model = SESM(SESM.Config())
    model.init(64, Random(0), np.zeros(64))
    how = TrainConfig(epochs=20, batch_size=10, momentum=0.0, decay="l1", lr_schedule="linear")
    Training(model, data, how).run()
    return filter_statistics(model.filters().reshape(-1, 8, 8, 1))["edge_share"]


def test_edges_from_images_and_none_from_noise():
    assert edge_share("dead-leaves") >= 0.6
    assert edge_share("pink-noise") <= 0.1


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--optimizer", "lbfgs", "--decay", "none"), 2, "codes are relaxed anew"),
        (
            ("--relax-steps", "0", "--relax-step", "0.3"),
            2,
            "--relax-step: does nothing without --relax-steps",
        ),
        (("--eta", "0.1"), 2, "--eta: does nothing without --logistic sparsifying"),
        (("--gain", "0"), 2, "--gain"),
        (("--sparsity-weight", "-1"), 2, "--sparsity-weight"),
        (("--lr", "5"), 3, "diverged"),
    ],
)
def test_wrong_use(options, code, words, run_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run_here("train", "--model", "sesm", *options)
    assert ran.code == code
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "sesm.h5").exists()


def test_file_is_called_by_the_model_where_the_decay_is_its_own(run_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_here("train", "--model", "sesm", "--epochs", "1", "-q").code == 0
    assert run_here("train", "--model", "sesm", "--epochs", "1", "-q", "--decay", "l2").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sesm-l2.h5", "sesm.h5"]
