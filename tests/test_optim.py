"""Optimisers: known minima, scipy's own L-BFGS, textbook updates, and going on in the same bytes."""

import ast
import dataclasses
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize

import featlearn
from featlearn.errors import ConfigError
from featlearn.models.autoencoder import Autoencoder
from featlearn.models.base import DataSummary, Step
from featlearn.models.denoising import Denoising
from featlearn.models.rbm import RBM
from featlearn.models.sparse_autoencoder import SparseAutoencoder
from featlearn.random import Random
from featlearn.training.config import TrainConfig
from featlearn.training.optim import CG, LBFGS, OPTIMIZERS, SGD, Adam, Decay, UpdateSettings
from featlearn.training.optim.line_search import strong_wolfe
from featlearn.training.schedules import adaptation
from featlearn.training.train import Training
from helpers import Rows, commands_after, go_on, same


def data(n=400, d=16, seed=1):
    """Rows in .1..9 with something to learn: few random causes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)) @ rng.normal(size=(4, d)) + 0.3 * rng.normal(size=(n, d))
    return Rows((0.5 + 0.4 * np.clip(X / (3 * X.std()), -1, 1)).astype(np.float64))


def sparse(dtype=np.float64, d=16, seed=0, **config):
    settings = SparseAutoencoder.resolve(
        SparseAutoencoder.Config(hidden=6, sparsity_target=0.1, **config), DataSummary(d, 0.1, 0.9)
    )
    model = SparseAutoencoder(settings, dtype)
    model.init(d, Random(seed))
    return model


def minimise(optimizer, f, x, steps, decay=None):
    """f: x -> (loss, gradient). Returns the losses."""
    params, losses = {"W": x}, []

    def evaluate():
        value, gradient = f(params["W"])
        return {"loss": value + (decay or Decay()).cost(params["W"])}, {"W": gradient}

    for _ in range(steps):
        rates = UpdateSettings(0.01, 0.9, decay or Decay(), ("W",))
        losses.append(optimizer.step(params, evaluate, rates)["loss"])
    return losses


def rosenbrock(x):
    return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)


@pytest.mark.parametrize("kind", [LBFGS, CG])
def test_line_searches_find_the_minimum_of_rosenbrocks_valley(kind):
    x = np.array([-1.2, 1.0, -0.5, 0.8])
    losses = minimise(kind(), rosenbrock, x, 150)
    np.testing.assert_allclose(x, 1.0, atol=1e-5)
    assert all(b <= a for a, b in itertools.pairwise(losses))


@pytest.mark.parametrize("kind", [LBFGS, CG])
def test_a_quadratic_with_decay_has_its_minimum_where_algebra_says(kind):
    rng = np.random.default_rng(0)
    M = rng.normal(size=(12, 12))
    A, b, x = M @ M.T + np.eye(12), rng.normal(size=12), np.zeros(12)
    optimizer = kind()
    minimise(optimizer, lambda x: (x @ A @ x / 2 - b @ x, A @ x - b), x, 200, Decay(l2=0.5))
    np.testing.assert_allclose(x, np.linalg.solve(A + 0.5 * np.eye(12), b), atol=1e-6)
    assert optimizer.converged


ALONG = {
    "parabola": (lambda a: (a - 3) ** 2, lambda a: 2 * (a - 3)),
    "flat at first": (lambda a: -a / (a * a + 2), lambda a: (a * a - 2) / (a * a + 2) ** 2),
    "flat bottom": (lambda a: (a - 2) ** 4 / 16, lambda a: (a - 2) ** 3 / 4),
    "waves": (lambda a: np.cos(5 * a) / 4 - a, lambda a: -1.25 * np.sin(5 * a) - 1),
    "a wall": (
        lambda a: -np.sqrt(a + 1) if a < 0.8 else np.inf,
        lambda a: -0.5 / np.sqrt(a + 1) if a < 0.8 else np.nan,
    ),
}
"""Losses along a line and their slopes; the second is that of J. More, D. Thuente, ACM TOMS 20, 1994."""


@pytest.mark.parametrize("name", ALONG)
@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("curvature", [0.9, 0.1])
def test_the_search_meets_the_strong_wolfe_conditions(name, first, curvature):
    """Or says that it does not: among many waves, or before a wall."""
    loss, slope = ALONG[name]
    asked = []

    def along(a):
        asked.append(a)
        return float(loss(a)), float(slope(a))

    found = strong_wolfe(along, float(loss(0)), float(slope(0)), first, curvature)
    assert len(asked) <= 22
    assert found or name in ("waves", "a wall")
    a = asked[-1]
    if found and len(asked) < 10:
        assert loss(a) <= loss(0) + 1e-4 * a * slope(0)
        assert abs(slope(a)) <= curvature * abs(slope(0))


def test_a_line_that_only_falls_is_followed_far_and_one_uphill_not_at_all():
    asked = []
    assert strong_wolfe(lambda a: (asked.append(a) or -a, -1.0), 0.0, -1.0, 1.0, 0.9)
    assert asked == [2.0**i for i in range(10)]
    assert not strong_wolfe(lambda a: (a, 1.0), 0.0, 1.0, 1.0, 0.9)


@pytest.mark.parametrize("memory", [5, 20])
def test_lbfgs_keeps_as_many_pairs_as_it_says(memory, monkeypatch):
    monkeypatch.setattr(LBFGS, "kept", tuple(f"pair.{i}" for i in range(memory)))
    optimizer = LBFGS()
    x = np.linspace(-1, 1, 40)
    kept = []
    for _ in range(memory + 4):
        minimise(optimizer, rosenbrock, x, 1)
        kept.append(len([name for name in optimizer.arrays if name.startswith("pair.")]))
    assert kept == [min(i + 1, memory) for i in range(memory + 4)]


def test_lbfgs_keeps_no_pair_of_negative_curvature():
    """Of a loss that bends downwards: with such a pair the next direction would lead uphill."""
    x, optimizer = np.array([1.0, -2.0, 0.5]), LBFGS()
    losses = minimise(optimizer, lambda x: (-(x @ x) / 2, -x.copy()), x, 3)
    assert not [name for name in optimizer.arrays if name.startswith("pair.")]
    assert all(b < a for a, b in itertools.pairwise(losses))


def test_lbfgs_ends_as_low_as_scipys():
    """The sparse autoencoder of the lecture, by ours and by scipy.optimize.minimize on the same function."""
    X, model = data().X, sparse()
    names, shapes = list(model.params), [w.shape for w in model.params.values()]
    sizes = np.cumsum([w.size for w in model.params.values()])[:-1]
    decay = Decay(l2=1e-3)

    def f(x):
        for name, part, shape in zip(names, np.split(x, sizes), shapes, strict=True):
            model.params[name][...] = part.reshape(shape)
        metrics, grads = model.gradient(X, Step(0, 0))
        cost = sum(decay.cost(model.params[name]) for name in ("W", "D"))
        grads = {name: g + decay.l2 * model.params[name] * (name in ("W", "D")) for name, g in grads.items()}
        return metrics["loss"] + cost, np.concatenate([grads[name].ravel() for name in names])

    start = np.concatenate([w.ravel() for w in model.params.values()])
    theirs = scipy.optimize.minimize(
        f, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "maxcor": 20}
    )
    training = Training(
        sparse(), data(), TrainConfig(optimizer="lbfgs", epochs=300, decay="l2", decay_weight=1e-3)
    )
    training.run()
    ours = training.history["loss"]
    assert ours[-1] <= theirs.fun * 1.005
    assert all(b <= a for a, b in itertools.pairwise(ours))
    assert training.history["deviation"][-1] < 0.02


def test_adam_is_the_published_rule():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(3, 4))
    params, grads = {"W": w.copy(), "b": w[0].copy()}, [rng.normal(size=(3, 4)) for _ in range(5)]
    optimizer, m, v = Adam(), 0.0, 0.0
    for t, g in enumerate(grads, 1):
        gradients = {"W": g, "b": g[0].copy()}
        optimizer.step(
            params, lambda g=gradients: ({}, g), UpdateSettings(0.01, decay=Decay(l2=0.3), decayed=("W",))
        )
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        plain = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        w = w - 0.01 * (plain + 0.3 * w)
    np.testing.assert_allclose(params["W"], w, rtol=1e-12)
    np.testing.assert_allclose(params["b"] - params["W"][0], 0.0, atol=0.1)
    assert not np.allclose(params["b"], params["W"][0])


def test_params_of_transposed_memory_are_updated_alike():
    rng = np.random.default_rng(0)
    for kind in (SGD, Adam):
        w, g = rng.normal(size=(2, 5, 3))
        rows_first = {"W": w.copy()}
        columns_first = {"W": np.asfortranarray(w)}
        for params in (rows_first, columns_first):
            optimizer = kind()
            for _ in range(3):
                grads = {"W": np.asarray(g, order="F" if params is columns_first else "C")}
                optimizer.step(params, lambda grads=grads: ({}, grads), UpdateSettings(0.1, 0.9))
        assert np.array_equal(rows_first["W"], columns_first["W"])
        assert columns_first["W"].flags.f_contiguous


CONFIGS = {
    "adam": {"optimizer": "adam", "batch_size": 50, "epochs": 3},
    "adaptive": {"batch_size": 50, "epochs": 6, "lr": 0.5, "lr_schedule": "adaptive", "momentum": 0.0},
    "lbfgs": {"optimizer": "lbfgs", "epochs": 30, "decay": "l2", "decay_weight": 1e-3},
    "cg": {"optimizer": "cg", "epochs": 10},
    "lbfgs on batches": {"optimizer": "lbfgs", "batch_size": 100, "searches": 4, "epochs": 3},
    "hessian-free": {"optimizer": "hessian-free", "epochs": 6, "decay": "l2", "decay_weight": 1e-3},
    "hessian-free on batches": {"optimizer": "hessian-free", "batch_size": 200, "epochs": 2},
    "newton": {"optimizer": "newton", "epochs": 3},
    "tolerance": {"optimizer": "lbfgs", "epochs": 500, "tolerance": 1e-3},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_stopped_run_goes_on_in_the_same_bytes(name):
    config = TrainConfig(**CONFIGS[name])
    whole = Training(sparse(np.float32), Rows(data().X.astype(np.float32)), config)
    assert whole.run()
    stopped = Training(sparse(np.float32), Rows(data().X.astype(np.float32)), config)
    while not stopped.run(on_batch=lambda training: True):
        stopped = go_on(stopped, Training(sparse(np.float32), Rows(data().X.astype(np.float32)), config))
    assert same(whole.model.params, stopped.model.params)
    for key, column in whole.history.items():
        assert column == stopped.history[key], key


@pytest.mark.parametrize("cls", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_all_that_an_optimizer_keeps_is_in_its_layout(cls):
    """After many steps the whole of it is there, in those shapes and dtypes; taken up again it is equal."""
    params, optimizer = {"W": np.asfortranarray(np.ones((2, 3))), "b": np.ones(4)}, cls()
    rng = np.random.default_rng(0)
    slopes = {name: rng.uniform(1, 3, w.shape) for name, w in params.items()}

    def evaluate():
        loss = sum(float((slopes[name] * w * w).sum()) for name, w in params.items()) / 2
        return {"loss": loss}, {name: np.asfortranarray(slopes[name] * w) for name, w in params.items()}

    def slopes_times(v):
        return {name: slopes[name] * w for name, w in v.items()}

    found = {}
    for _ in range(12):
        settings = UpdateSettings(0.01, 0.9, curvature=lambda: lambda v, exact: slopes_times(v))
        optimizer.step(params, evaluate, settings)
        found |= {name: (w.shape, w.dtype) for name, w in optimizer.arrays.items()}
    assert found == cls.layout(params)
    again = cls()
    again.load({name: np.ascontiguousarray(w) for name, w in optimizer.arrays.items()}, params)
    assert same(again.arrays, optimizer.arrays)


def test_conjugate_gradient_begins_anew_after_a_gradient_too_small_to_square():
    cg = CG()
    cg.arrays = {"direction": np.array([-np.ones(6), np.full(6, 1e-170)])}
    assert np.isfinite(cg.direction(np.full(6, 1e-171))).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_every_optimizer_learns(name):
    training = Training(sparse(), data(), TrainConfig(**CONFIGS[name]))
    training.run()
    losses = training.history["loss"]
    assert losses[-1] < losses[0]


def test_line_searches_into_saturation_are_no_divergence():
    """Rows of few ones: without decay the outputs' weights grow without bound while the loss falls."""
    X = (np.random.default_rng(0).random((60, 16)) < 0.02).astype(float)
    model = Autoencoder(
        Autoencoder.Config(
            hidden=1, activation="sigmoid", tied=False, output_units="sigmoid", loss="squared"
        ),
        np.float64,
    )
    model.init(16, Random(0))
    training = Training(model, Rows(X), TrainConfig(optimizer="lbfgs", epochs=300))
    assert training.run()
    assert np.abs(model.params["D"]).max() > 1e3
    assert training.history["loss"] == sorted(training.history["loss"], reverse=True)


def test_tolerance_and_convergence_end_a_run_and_say_so():
    training = Training(sparse(), data(), TrainConfig(**CONFIGS["tolerance"]))
    training.run()
    losses = training.history["loss"]
    assert len(losses) < 500
    assert "lowered the loss by less than 0.001" in training.progress.stopped
    assert losses[-2] - losses[-1] < 1e-3 * losses[-2]
    assert losses[-3] - losses[-2] >= 1e-3 * losses[-3]
    training = Training(Flat(), Rows(np.zeros((10, 1))), TrainConfig(optimizer="lbfgs", epochs=50))
    training.run()
    assert "no step lowers the loss" in training.progress.stopped
    assert len(training.history["loss"]) < 50


class Flat(Autoencoder):
    """loss = |W|^2 / 2."""

    def __init__(self):
        super().__init__(None, np.float64)
        self.params = {"W": np.full((1, 1), 2.0)}

    def encode(self, X):
        return X

    def decode(self, H):
        return H

    def gradient(self, X, step):
        W = self.params["W"]
        return {"error": 1.0, "loss": float((W * W).sum() / 2)}, {"W": W.copy()}


def test_the_loss_in_the_history_holds_the_decay():
    runs = [
        Training(sparse(), data(), TrainConfig(epochs=1, lr=1e-12, decay="l2", decay_weight=w))
        for w in (0.0, 2.0)
    ]
    for training in runs:
        training.run()
    norms = sum(float((runs[0].model.params[name] ** 2).sum()) for name in ("W", "D"))
    assert runs[1].history["loss"][0] - runs[0].history["loss"][0] == pytest.approx(norms)


def test_the_adaptive_rate_rises_while_the_loss_falls_and_drops_when_it_rises():
    assert [adaptation(1.0, after) for after in (0.9, 1.03, 1.05)] == [1.05, 1.0, 0.7]
    training = Training(
        sparse(), data(), TrainConfig(lr=0.01, lr_schedule="adaptive", epochs=5, momentum=0.0)
    )
    seen = []
    training.run(on_epoch=lambda at: seen.append(at.progress.rate))
    assert seen[:4] == pytest.approx([1.0, 1.05, 1.05**2, 1.05**3])


def test_line_searches_are_refused_where_the_loss_moves():
    denoising = Denoising(Denoising.resolve(Denoising.Config(), DataSummary(16, 0, 1)), np.float64)
    denoising.init(16, Random(0))
    rbm = RBM(RBM.Config(hidden=8, visible="gaussian"), np.float64)
    rbm.init(16, Random(0))
    for model in (denoising, rbm):
        with pytest.raises(
            ConfigError, match=r"--optimizer lbfgs: .* at every update; use --optimizer sgd or adam"
        ):
            Training(model, data(), TrainConfig(optimizer="lbfgs"))
    still = Denoising(Denoising.resolve(Denoising.Config(noise=0), DataSummary(16, 0, 1)), np.float64)
    still.init(16, Random(0))
    Training(still, data(), TrainConfig(optimizer="lbfgs", epochs=2)).run()
    with pytest.raises(ConfigError, match="no gradient at 0"):
        TrainConfig(optimizer="cg", decay="l1")


LION = """
import numpy as np
from featlearn.training import optim

class Lion(optim.Stepper):
    id, title, rate, reads, kinds = "lion", "Lion", 1e-3, ("lr", "lr_schedule"), ("mean",)

    def step(self, params, evaluate, settings):
        metrics, grads = evaluate()
        for name, w in params.items():
            (m,) = self.kept(name, w)
            w -= settings.lr * np.sign(0.9 * m + 0.1 * grads[name]).astype(w.dtype)
            m[...] = 0.99 * m + 0.01 * grads[name]
        return metrics
"""


def test_an_optimizer_is_one_class(work, tmp_path):
    """Offered and explained in the help; with its own learning rate or another; a run of it goes on."""
    train = f"train {work.patches} --model autoencoder --epochs 3 --json --force -o m.h5 --optimizer"
    lines = [
        "train --model k-sparse --help",
        *(f"{train} lion{lr}" for lr in ("", " --lr 1e-3", " --lr 1e-4")),
        f"{train} lion --momentum 0.5",
        f"{train} lion --searches 2",
        f"{train} lbfgs --lr 0.1",
        f"{train} lion --lr 1e-4 --resume",
    ]
    help, usual, given, slow, momentum, searches, lbfgs, again = commands_after(
        LION, lines=lines, cwd=tmp_path
    )
    text = " ".join(help[1].split())
    assert "sgd|adam|lbfgs|cg|hessian-free|newton|lion" in text
    assert "Newton's method, Lion" in text
    assert "lion 0.001" in text
    assert [one[0] for one in (usual, given, slow, again)] == [0, 0, 0, 0], usual[2]
    usual, given, slow = (json.loads(one[1]) for one in (usual, given, slow))
    assert usual["content_hash"] == given["content_hash"]
    assert usual["loss"] < slow["loss"]
    for ran, words in (
        (momentum, "--momentum: does nothing without --optimizer sgd"),
        (searches, "--searches: does nothing without --optimizer lbfgs or cg or hessian-free or newton"),
        (lbfgs, "--lr: does nothing without --optimizer sgd or adam or lion"),
    ):
        assert ran[0] == 2
        assert words in ran[2]
    assert "already finished" in again[2]


@pytest.mark.parametrize("cls", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizer_says_what_it_reads(cls):
    """A rate where it reads one; names that are settings; and no other model's rates than of what has one."""
    assert (cls.rate is not None) == ("lr" in cls.reads) == (not cls.searches)
    assert set(cls.reads) <= {field.name for field in dataclasses.fields(TrainConfig)}


def test_names_of_optimizers_stand_in_the_registry_alone():
    """But for what a model says of its own: rates and defaults."""
    package = Path(featlearn.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent.name in ("optim", "models") or path.parent.parent.name == "models":
            continue
        words = {
            node.value
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Constant)
        }
        text = " ".join(word for word in words if isinstance(word, str))
        assert not re.search(rf"\b({'|'.join(OPTIMIZERS)})\b", text), path
