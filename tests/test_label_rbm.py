"""The RBM of rows and classes against enumeration of all its states, and the net with such a top."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

import featlearn
from featlearn.analysis.fantasies import fantasies, held, noise
from featlearn.errors import ConfigError
from featlearn.jobs.sample import _start
from featlearn.jobs.settings import Chains
from featlearn.jobs.store import load_model, load_rows
from featlearn.models.base import DataSummary, Step
from featlearn.models.label_rbm import LabelRBM
from featlearn.ops.categorical import one_hot
from featlearn.random import Random
from featlearn.training.gradcheck import check_model
from featlearn.training.legs import measure
from helpers import THIRDS, Rows, ok, tiles_in, write_thirds

CLASSES = 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def binary(n):
    return np.array(list(itertools.product([0.0, 1.0], repeat=n)))


def make(n_visible=4, scale=0.8, **config):
    config = LabelRBM.Config(
        **{"hidden": 3, "classes": CLASSES, "init_scale": scale, "persistent": False} | config
    )
    model = LabelRBM(config, np.float64)
    model.init(n_visible, Random(3))
    model.params["b"][...] = np.linspace(-0.6, 0.5, n_visible + CLASSES)
    model.params["c"][...] = np.linspace(-0.4, 0.3, 3)
    return model


def table(model):
    """p(v, t, h) of all states: (visible states, classes, hidden states)."""
    n = model.n_visible
    W, U, b, d, c = (*np.split(model.params["W"], [n]), *np.split(model.params["b"], [n]), model.params["c"])
    V, H = binary(n), binary(len(c))
    energy = (V @ b)[:, None, None] + d[None, :, None] + (H @ c)[None, None]
    energy = energy + (V @ W @ H.T)[:, None] + (U @ H.T)[None]
    p = np.exp(energy)
    return p / p.sum(), V, H


def rows(model, n=60):
    rng = np.random.default_rng(1)
    X = (rng.random((n, model.n_visible)) < 0.5) * 1.0
    return np.hstack([X, np.eye(CLASSES)[rng.integers(0, CLASSES, n)]])


def test_probabilities_codes_and_reconstructions_by_enumeration():
    model = make()
    p, V, H = table(model)
    joint = p.sum(axis=2)
    np.testing.assert_allclose(model.probabilities(V), joint / joint.sum(axis=1, keepdims=True), atol=1e-13)
    given = p.sum(axis=1)
    np.testing.assert_allclose(model.encode(V), given @ H / given.sum(axis=1, keepdims=True), atol=1e-13)
    given = p.sum(axis=1)
    np.testing.assert_allclose(model.decode(H), given.T @ V / given.sum(axis=0)[:, None], atol=1e-13)


def test_free_energy_is_that_of_rows_and_classes():
    """Its differences are those of log p(v, t)."""
    model = make()
    p, V, _ = table(model)
    log_p = np.log(p.sum(axis=2))
    for k in range(CLASSES):
        VT = np.hstack([V, np.tile(np.eye(CLASSES)[k], (len(V), 1))])
        F = model.joint.free_energy(VT)
        np.testing.assert_allclose(-F - log_p[:, k], (-F - log_p[:, k])[0], atol=1e-12)
        assert model.extra_metrics(VT)["free_energy"] == pytest.approx(F.mean())
    joint = p.sum(axis=2)
    for k in range(CLASSES):
        VT = np.hstack([V, np.tile(np.eye(CLASSES)[k], (len(V), 1))])
        found = measure(model, Rows(VT), np.arange(len(VT)))
        assert found["error_rate"] == np.mean(joint.argmax(axis=1) != k)
        assert found["loss"] == pytest.approx(-np.log(joint[:, k] / joint.sum(axis=1)).mean())


def test_probabilities_stay_finite_where_free_energies_are_huge():
    model = make()
    model.params["W"] *= 1e4
    P = model.probabilities(binary(4))
    assert np.isfinite(P).all()
    np.testing.assert_allclose(P.sum(axis=1), 1)


@pytest.mark.parametrize("persistent", [False, True])
def test_long_chains_give_the_likelihood_gradient(persistent):
    """Of log p(v, t), by enumeration: labels are drawn as a group."""
    model = make(cd=30, sample_visible=not persistent, persistent=persistent, chains=4000)
    XT = rows(model, 4000)
    p, V, H = table(model)
    VT = np.hstack([np.repeat(V, CLASSES, axis=0), np.tile(np.eye(CLASSES), (len(V), 1))])
    flat = p.reshape(-1, len(H))
    W, c = model.params["W"], model.params["c"]
    exact = {"W": VT.T @ flat @ H - XT.T @ sigmoid(XT @ W + c) / len(XT)}
    exact |= {"b": flat.sum(1) @ VT - XT.mean(0), "c": flat.sum(0) @ H - sigmoid(XT @ W + c).mean(0)}
    found = [model.gradient(XT, Step(i, 0))[1] for i in range(10)]
    for name, wanted in exact.items():
        mean = np.mean([grads[name] for grads in found], axis=0)
        assert np.abs(mean - wanted).max() < 0.012  # 40,000 chains: a standard error of at most .0025


@pytest.mark.parametrize("loss", ["contrast", "discriminative"])
def test_losses_at_labelled_rows(loss):
    model = make()
    checks = [check for check in check_model(model, rows(model)) if check.loss == loss]
    assert {check.parameter for check in checks} == set(model.params)
    assert max(check.difference for check in checks) < 1e-9


def test_discriminative_loss_is_the_log_of_the_probability():
    model = make()
    XT = rows(model)
    P = model.probabilities(XT[:, :4].copy())[XT[:, 4:] == 1]
    assert model.losses()["discriminative"](XT, Step(0, 0))[0]["loss"] == pytest.approx(-np.log(P).mean())


def test_the_weight_adds_the_discriminative_gradient():
    XT = rows(make())
    plain, both = make(), make(discriminative=0.7)
    part = plain.losses()["discriminative"](XT, Step(2, 0))[1]
    with_it, without = both.gradient(XT, Step(2, 0))[1], plain.gradient(XT, Step(2, 0))[1]
    for name, grad in without.items():
        np.testing.assert_allclose(with_it[name], grad + 0.7 * part[name], atol=1e-14)


@pytest.mark.parametrize("label", [None, 1])
def test_chains_come_to_the_rows_of_the_model(label):
    """4000 chains of 100 steps against p(v), and p(v | t) where the class is held."""
    model = make()
    model.params["W"][4:] *= 4  # rows of one class are unlike those of another
    p, V, _ = table(model)
    weight = p.sum(axis=(1, 2)) if label is None else p[:, label].sum(axis=1) / p[:, label].sum()
    T = None if label is None else held(model, [label], 4000)
    found = fantasies(model, noise(4000, 4, np.float64, 0, True), 100, 50, 0, T=T)
    np.testing.assert_allclose(found[-1].mean(axis=0), weight @ V, atol=0.03)
    other = p.sum(axis=(1, 2)) if label is not None else p[:, 1].sum(axis=1) / p[:, 1].sum()
    assert np.abs(found[-1].mean(axis=0) - other @ V).max() > 0.05


def test_held_classes():
    model = make()
    np.testing.assert_array_equal(held(model, [2, 0], 2), np.eye(3)[[2, 2, 0, 0]])
    np.testing.assert_array_equal(held(model, None, 1), np.eye(3))


def test_one_class_is_drawn_by_its_probability():
    P = np.tile([0.2, 0.0, 0.5, 0.3], (40_000, 1))
    T = one_hot(P, 3, 4)
    assert (T.sum(axis=1) == 1).all()
    np.testing.assert_allclose(T.mean(axis=0), P[0], atol=0.01)
    assert T[:, 1].sum() == 0
    certain = np.eye(4, dtype=np.float32)[[3, 0, 2]]
    np.testing.assert_array_equal(one_hot(certain, 0, 0), certain)


def test_settings_follow_from_the_data():
    config = LabelRBM.resolve(LabelRBM.Config(hidden=5), DataSummary(4, 0.0, 1.0, classes=7))
    assert config.classes == 7
    assert LabelRBM.resolve(config, DataSummary(4)) == config
    with pytest.raises(ConfigError, match="learns of rows with labels"):
        LabelRBM.resolve(LabelRBM.Config(), DataSummary(4, 0.0, 1.0))
    with pytest.raises(ConfigError, match=r"wanted 0\.\.1"):
        LabelRBM.resolve(LabelRBM.Config(), DataSummary(4, -1.0, 1.0, classes=7))


# --- files


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Images 6x6 of three bars, one a class, with labels and without."""
    folder = tmp_path_factory.mktemp("bars")
    write_thirds(folder / "d.h5", THIRDS)
    write_thirds(folder / "plain.h5", None)
    return folder


LAYERS = ("--layer", "rbm:hidden=12,epochs=40", "--layer", "label-rbm:hidden=20,epochs=400")


@pytest.fixture(scope="module")
def stack(digits, run_here):
    ok(run_here("train", digits / "d.h5", "--model", "stack", *LAYERS, "-o", digits / "s.h5"))
    return digits / "s.h5"


def test_a_stack_with_classes_on_top_tells_them(stack, digits):
    learned = load_model(str(stack))
    assert learned.file.classes == ["top", "middle", "bottom"]
    rows, data, _ = load_rows(str(digits / "d.h5"), like=learned, say=print)
    P = learned.model.probabilities(rows.block(0, 600))
    assert (P.argmax(axis=1) == data.labels).mean() > 0.98


def test_samples_of_classes(stack, run_here, tmp_path):
    """Each line of the picture has bars of its class."""

    def sheet(*args):
        ok(run_here("sample", stack, *args, "--steps", 100, "-o", tmp_path / "s.png", "--force"))
        with Image.open(tmp_path / "s.png") as image:
            return np.asarray(image)

    whole = sheet("--class", "all", "--count", 5)
    tiles = tiles_in(whole, (15, 1, 1, 6, 6), columns=5).reshape(3, 5, 6, 6)
    for k in range(3):
        assert tiles[k].reshape(5, 3, -1).mean(axis=(0, 2)).argmax() == k
    assert sheet("--class", "bottom,top", "--count", 5).shape[1] == whole.shape[1]
    assert ok(run_here("sample", stack, "--class", "middle", "-o", tmp_path / "m.png", "--steps", 1))


def test_samples_of_classes_in_python(stack):
    model = featlearn.load_model(str(stack))
    X = model.sample(20, 100, classes=["bottom", "top"])
    assert X.shape == (40, 6, 6, 1)
    bars = X.reshape(40, 3, -1).mean(axis=2)
    assert (bars[:20].argmax(axis=1) == 2).mean() >= 0.75
    assert (bars[20:].argmax(axis=1) == 0).mean() >= 0.75


def test_chains_of_classes_begin_at_data(stack, digits, run_here, tmp_path):
    """Fewer rows than chains that were asked for are all there are, for each class."""
    learned = load_model(str(stack))
    chains = Chains(count=700, steps=1, data=str(digits / "d.h5"), class_="top,bottom")
    V, T = _start(chains, learned, print)
    assert len(V) == len(T) == 1200
    np.testing.assert_array_equal(T[[0, 599, 600, 1199]], np.eye(3)[[0, 0, 2, 2]])
    args = ("--class", "top", "--data", digits / "d.h5", "--count", 3, "--steps", 4, "--every", 2)
    ran = ok(run_here("sample", stack, *args, "-o", tmp_path / "s.png", "--json"))
    assert json.loads(ran.out)["times"] == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("sample", "s.h5", "--class", "left", "-o", "x.png"), ("--class left", "knows top, middle, bottom")),
        (("sample", "s.h5", "--class", "", "-o", "x.png"), ("--class ''", "knows top, middle, bottom")),
        (("train", "plain.h5", "--model", "label-rbm", "-o", "x.h5"), ("plain.h5: has no labels",)),
        (("train", "plain.h5", "--model", "stack", *LAYERS, "-o", "x.h5"), ("plain.h5: has no labels",)),
    ],
)
def test_wrong_use_is_said_in_a_line(args, words, stack, digits, run_here):
    before = sorted(digits.iterdir())
    args = [digits / arg if arg in ("s.h5", "plain.h5", "x.png", "x.h5") else arg for arg in args]
    ran = run_here(*args)
    assert ran.code in (1, 2)
    said = [line for line in ran.err.splitlines() if not line.startswith("layer ")]
    assert len(said) == 1
    for word in words:
        assert word in said[0]
    assert sorted(digits.iterdir()) == before
