"""The up-down algorithm against the formulas written out, and the net against its layers."""

import itertools

import numpy as np
import pytest

from featlearn import _core
from featlearn.analysis.fantasies import begin, fantasies, held
from featlearn.errors import ConfigError
from featlearn.jobs.finetune import plan_finetuning
from featlearn.jobs.finetune_settings import Finetuning
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import load_model, load_rows
from featlearn.jobs.training_run import fresh
from featlearn.models.base import DataSummary, Step
from featlearn.models.label_rbm import LabelRBM
from featlearn.models.pca import PCA
from featlearn.models.rbm import RBM
from featlearn.models.stack import Stack
from featlearn.models.untied_dbn import UntiedDBN
from featlearn.random import Purpose, Random, draw_name
from featlearn.rows import Labelled
from featlearn.training.config import TrainConfig
from featlearn.training.gradcheck import check_model
from featlearn.training.train import Training
from helpers import THIRDS, Rows, copied, ok, refused, same, write_thirds

CLASSES = 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def make(hidden=(5, 4, 6), n_visible=7, **config):
    """A net whose two directions differ."""
    model = UntiedDBN(UntiedDBN.Config(hidden=hidden, classes=CLASSES, **config), np.float64)
    model.init(n_visible, Random(3))
    rng = np.random.default_rng(0)
    for value in model.params.values():
        value += rng.normal(scale=0.7, size=value.shape)
    return model


def rows(n=8, n_visible=7):
    rng = np.random.default_rng(1)
    X = (rng.random((n, n_visible)) < 0.5) * 1.0
    return np.hstack([X, np.eye(CLASSES)[rng.integers(0, CLASSES, n)]])


def drawn(P, step, layer, draw):
    S = np.empty_like(P)
    _core.bernoulli(S, P, step.seed, draw_name(Purpose.STEP, step.number * 1024 + draw, layer))
    return S


def test_the_up_down_step():
    """Of Hinton, Osindero and Teh's appendix, line by line, with the same draws."""
    model, XT, step = make(), rows(), Step(5, seed=9)
    p = model.params
    X, T = XT[:, :7].copy(), XT[:, 7:]
    h1 = drawn(sigmoid(X @ p["R1"] + p["r1"]), step, 1, 0)
    h2 = drawn(sigmoid(h1 @ p["R2"] + p["r2"]), step, 2, 0)
    top = np.hstack([h2, T])
    _, _, V, H = model.top.joint.contrast(top, step)
    s2 = V[:, :4].copy()
    assert set(np.unique(V)) <= {0, 1}
    s1 = drawn(sigmoid(s2 @ p["G2"].T + p["g2"]), step, 2, 1)
    s0 = sigmoid(s1 @ p["G1"].T + p["g1"])
    H0 = sigmoid(top @ p["W"] + p["c"])
    up = {"W": (top, H0), "G1": (X - sigmoid(h1 @ p["G1"].T + p["g1"]), h1)}
    up |= {"G2": (h1 - sigmoid(h2 @ p["G2"].T + p["g2"]), h2)}
    up |= {"R1": (s0, s1 - sigmoid(s0 @ p["R1"] + p["r1"])), "R2": (s1, s2 - sigmoid(s1 @ p["R2"] + p["r2"]))}
    wanted = {name: -(left.T @ right) / len(X) for name, (left, right) in up.items()}
    wanted["W"] += V.T @ H / len(X)
    for k in "12":
        wanted[f"g{k}"], wanted[f"r{k}"] = -up[f"G{k}"][0].mean(0), -up[f"R{k}"][1].mean(0)
    wanted |= {"b": V.mean(0) - top.mean(0), "c": H.mean(0) - H0.mean(0)}
    metrics, grads = model.gradient(XT, step)
    assert grads.keys() == wanted.keys() == p.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(grads[name], value, atol=1e-13, err_msg=name)
    assert metrics["error"] == pytest.approx(np.sqrt(np.mean(up["G1"][0] ** 2)))
    assert metrics["mean_activation"] == pytest.approx(H0.mean())


def test_the_losses_of_the_parts():
    """Each parameter is learned by one of them, down its gradient; that of the states is held."""
    model = make()
    checks = check_model(model, rows())
    assert {check.parameter: check.loss for check in checks} == (
        dict.fromkeys(("G1", "G2", "g1", "g2"), "wake")
        | dict.fromkeys(("R1", "R2", "r1", "r2"), "sleep")
        | dict.fromkeys("Wbc", "top")
    )
    assert max(check.difference for check in checks) < 1e-9


def test_it_begins_at_the_layers():
    """Codes, rows and classes are those of the layers, one after the other."""
    rng = Random(4)
    layers = [RBM(RBM.Config(hidden=n, visible="bernoulli", init_scale=0.6), np.float64) for n in (5, 4)]
    layers.append(LabelRBM(LabelRBM.Config(hidden=6, classes=CLASSES, init_scale=0.6, chains=7), np.float64))
    for layer, below in zip(layers, (7, 5, 4), strict=True):
        layer.init(below, rng)
    model = UntiedDBN(UntiedDBN.Config(hidden=(5, 4, 6), classes=CLASSES), np.float64)
    model.init(7, Random(0))
    model.params = UntiedDBN.beginning(layers)
    X = rows()[:, :7].copy()
    one, two, top = layers
    below = two.encode(one.encode(X))
    stack = Stack.of(layers, (1.0, 1.0, 1.0))
    V, T = begin(stack, None, 9, 0), held(stack, None, 3)
    np.testing.assert_array_equal(V, begin(model, None, 9, 0))
    np.testing.assert_array_equal(begin(stack, X, 5, 0), begin(model, X, 5, 0))
    for classes in (T, None):
        found = fantasies(stack, V, 4, 2, 0, T=classes)
        assert found.shape == (2, 9, 7)
        np.testing.assert_array_equal(found, fantasies(model, V, 4, 2, 0, T=classes))
    np.testing.assert_array_equal(model.encode(X), top.encode(below))
    np.testing.assert_array_equal(model.probabilities(X), top.probabilities(below))
    H = top.encode(below)
    np.testing.assert_array_equal(model.decode(H), one.decode(two.decode(top.decode(H))))
    assert model.shapes(7) == {name: value.shape for name, value in model.params.items()}
    before = [copied(layer.params) for layer in layers]
    for value in model.params.values():
        value += 1
    assert all(same(layer.params, then) for layer, then in zip(layers, before, strict=True))


def test_samples_go_down_by_the_generative_weights():
    model = make(hidden=(5, 3, 4), n_visible=6)
    p = model.params
    T = held(model, [2], 4000)
    found = fantasies(model, begin(model, None, 4000, 0), 60, 60, 0, T=T)[-1]
    V = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    VT = np.hstack([V, np.tile([0.0, 0.0, 1.0], (8, 1))])
    weight = np.exp(VT @ p["b"] + np.logaddexp(0, VT @ p["W"] + p["c"]).sum(axis=1))
    below = sigmoid(VT @ p["W"] + p["c"])  # the means that the chain shows are those after a hidden state
    H = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    q = np.exp(np.log(below) @ H.T + np.log(1 - below) @ (1 - H).T) * (weight / weight.sum())[:, None]
    seen = sigmoid(H @ p["W"][:3].T + p["b"][:3])
    X = sigmoid(sigmoid(seen @ p["G2"].T + p["g2"]) @ p["G1"].T + p["g1"])
    np.testing.assert_allclose(found.mean(axis=0), q.sum(axis=0) @ X, atol=0.02)
    Z = rows(5, 6)[:, :6].copy()
    up = sigmoid(sigmoid(Z @ p["R1"] + p["r1"]) @ p["R2"] + p["r2"])
    np.testing.assert_allclose(model.to_chain(Z), up, atol=1e-14)
    assert set(np.unique(begin(model, Z, 5, 0))) <= {0, 1}


def test_it_learns_to_make_and_to_tell_its_data():
    """Two bars, each with a class: from random weights, by wake and sleep."""
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 400)
    X = np.where(y[:, None] == (np.arange(8) < 4), 0.95, 0.05)
    X = (rng.random(X.shape) < X) * 1.0
    model = UntiedDBN(UntiedDBN.Config(hidden=(6, 4, 5), classes=2), np.float64)
    model.init(8, Random(1), X.mean(axis=0))
    found = Training(model, Labelled(Rows(X), y, 2), TrainConfig(epochs=80, batch_size=20, momentum=0.5), 0)
    assert found.run()
    assert (model.probabilities(X).argmax(axis=1) == y).mean() > 0.97
    T = held(model, None, 200)
    made = fantasies(model, begin(model, None, 400, 0), 50, 50, 0, T=T)[-1]
    bars = made[:, :4].mean(axis=1) - made[:, 4:].mean(axis=1)
    assert bars[:200].mean() < -0.2
    assert bars[200:].mean() > 0.2


def test_a_stack_is_asked_for_what_its_top_can():
    layers = [RBM(RBM.Config(hidden=5, visible="bernoulli")), RBM(RBM.Config(hidden=4, visible="bernoulli"))]
    for layer, below in zip(layers, (7, 5), strict=True):
        layer.init(below, Random(0))
    stack = Stack.of(layers, (1.0, 1.0))
    with pytest.raises(ConfigError, match="--class: the chains of this stack model know of no classes"):
        held(stack, [1], 3)
    assert [machine.W.shape for machine in stack.machines()] == [(7, 5), (5, 4)]
    assert Stack.of(layers, (1.0, 2.0)).machines() == ()
    layers[1] = PCA(PCA.Config(hidden=2))
    layers[1].init(5, Random(0))
    stack = Stack.of(layers, (1.0, 1.0))
    assert stack.machines() == ()
    with pytest.raises(ConfigError, match="a stack with 'pca' on top has no Markov chain"):
        begin(stack, None, 3, 0)


def test_a_net_of_one_layer_is_refused():
    with pytest.raises(ConfigError, match="two hidden layers or more"):
        UntiedDBN.resolve(UntiedDBN.Config(hidden=(5,)), DataSummary(7, 0.0, 1.0, classes=3))


# --- featlearn finetune --up-down


@pytest.fixture(scope="module")
def bars(tmp_path_factory, run_here):
    """Labelled data sets, the second of other numbers for the same names, and nets."""
    folder = tmp_path_factory.mktemp("bars")
    write_thirds(folder / "train.h5", THIRDS)
    write_thirds(folder / "test.h5", THIRDS[::-1], seed=1)
    write_thirds(folder / "plain.h5", None)
    net = ("--model", "dbn", "--labels", "--hidden", "16,12,30", "--epochs", 30)
    ok(run_here("train", folder / "train.h5", *net, "-o", folder / "dbn.h5"))
    ok(run_here("train", folder / "train.h5", "--model", "dbn", "--hidden", 5, "-o", folder / "plain-dbn.h5"))
    top, gaussian = "label-rbm:hidden=5,epochs=1", "rbm:hidden=9,visible=gaussian,epochs=1"
    for name, layers in {"one": (top,), "gaussian": (gaussian, top)}.items():
        words = [word for layer in layers for word in ("--layer", layer)]
        ok(run_here("train", folder / "train.h5", "--model", "stack", *words, "-o", folder / f"{name}.h5"))
    tune = ("--up-down", "--epochs", 20)
    ok(run_here("finetune", folder / "dbn.h5", folder / "test.h5", *tune, "-o", folder / "ud.h5"))
    return folder


def test_it_goes_on_from_a_greedy_net(bars):
    """Its classes are numbered as the net's, whatever their numbers in the data set are."""
    greedy, tuned = (load_model(str(bars / name)) for name in ("dbn.h5", "ud.h5"))
    assert greedy.file.classes == tuned.file.classes == list(THIRDS)
    assert tuned.file.model == "untied-dbn"
    assert tuned.file.progress["start"] == greedy.file.content_hash
    for name, numbers in (("train.h5", THIRDS), ("test.h5", THIRDS[::-1])):
        rows, data, _ = load_rows(str(bars / name), like=tuned, say=print)
        wanted = np.array([THIRDS.index(numbers[label]) for label in data.labels])
        found = tuned.model.probabilities(rows.block(0, len(rows))).argmax(axis=1)
        assert (found == wanted).mean() > 0.9
    one = greedy.model.layers[0].params["W"]
    assert 0 < np.abs(tuned.model.params["R1"] - one).max() < 2
    assert not np.array_equal(tuned.model.params["R1"], tuned.model.params["G1"])


def test_its_first_update_begins_at_the_greedy_net(bars):
    """A run that has not begun holds the parameters of the layers; one that goes on those of the net."""
    for name in ("dbn.h5", "ud.h5"):
        learned = load_model(str(bars / name))
        plan = plan_finetuning(
            learned, str(bars / "train.h5"), finetuning=Finetuning(up_down=True), regularization=None,
            training=None, run=RunSettings(), retry=True, given=(), say=print,
        )  # fmt: skip
        begun = fresh(plan).model.params
        wanted = UntiedDBN.beginning(learned.model.layers) if learned.model.layers else learned.model.params
        assert same(begun, wanted)
        assert plan.training.lr == 0.1
        assert plan.training.momentum == 0
        assert plan.training.optimizer == "sgd"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("plain-dbn.h5", "train.h5"), ("plain-dbn.h5", "a label-rbm on top", "--model dbn --labels")),
        (("one.h5", "train.h5"), ("one.h5", "a label-rbm on top")),
        (("gaussian.h5", "train.h5"), ("gaussian.h5", "layer 1, of rbm")),
        (("dbn.h5", "plain.h5"), ("plain.h5: has no labels",)),
        (("dbn.h5", "train.h5", "--random"), ("--random: does nothing with --up-down",)),
        (("dbn.h5", "train.h5", "--hidden-dropout", 0.5), ("--hidden-dropout: does nothing with --up-down",)),
    ],
)
def test_wrong_use_is_said_in_a_line(args, words, bars, run_here):
    before = sorted(bars.iterdir())
    named = [bars / arg if str(arg).endswith(".h5") else arg for arg in args]
    ran = run_here("finetune", *named, "--up-down", "-o", bars / "x.h5")
    refused(ran, *words, code=ran.code)
    assert ran.code in (1, 2)
    assert sorted(bars.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dbn.h5", ("dbn.h5: layer 3: a model 'label-rbm' cannot", "--up-down, which fine-tunes a deep")),
        ("ud.h5", ("ud.h5: a model 'untied-dbn' cannot", "--up-down, which goes on with it")),
    ],
)
def test_backpropagation_through_classes_names_up_down(name, words, bars, run_here):
    ran = run_here("finetune", bars / name, bars / "train.h5", "-o", bars / "x.h5")
    refused(ran, *words, code=2)


def test_gibbs_steps_without_up_down_are_refused(bars, run_here):
    ran = run_here("finetune", bars / "dbn.h5", bars / "train.h5", "--cd", 5, "-o", bars / "x.h5")
    refused(ran, "--cd: does nothing without --up-down", code=ran.code)
