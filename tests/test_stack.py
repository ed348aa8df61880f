"""Stacks: layers that each learn the codes of the one below, in one command or put together of files."""

import itertools
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import featlearn
from featlearn.analysis.maximize import maximizers
from featlearn.errors import ConfigError
from featlearn.files.model import read_model
from featlearn.jobs import layers
from featlearn.jobs.store import load_model
from featlearn.jobs.train import plan_training
from featlearn.jobs.train_settings import LayersTraining
from featlearn.models import model_class
from featlearn.models.stack import Stack, layer_of
from featlearn.ops.dense import Dense, encode
from featlearn.random import Random
from featlearn.rows import Encoded
from featlearn.settings import from_dict
from featlearn.training.config import TrainConfig
from featlearn.training.order import moments
from featlearn.training.train import Training
from helpers import Rows, ok, refused, same

N, SIDE = 200, 6
LAYERS = ("rbm:hidden=12,lr=0.1,epochs=2", "k-sparse:hidden=10,k=3,epochs=3", "pca:hidden=4")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A labelled data set data.h5 in the working folder: grey images."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    causes = rng.random((N, 3)) @ rng.random((3, SIDE * SIDE)) / 3
    np.savez("data.npz", images=(255 * causes).astype(np.uint8).reshape(N, SIDE, SIDE))
    featlearn.extract_patches("data.npz", "data.h5", size="whole")
    return "data.h5"


def inputs():
    """The rows of data.h5 as a model of it sees them."""
    return (featlearn.load_dataset("data.h5").raw[:] / 255).astype(np.float32)


def train(output, data="data.h5", model="stack", **options):
    usual = {"layer": LAYERS} if model == "stack" else {}
    return featlearn.train(data, output, model=model, batch_size=50, **{**usual, **options})


def test_each_layer_is_what_its_model_learns_of_the_codes_below(data):
    train("deep.h5")
    file, X = (
        read_model("deep.h5"),
        load_model("deep.h5").preprocess.apply(featlearn.load_dataset(data).raw[:]),
    )
    for i, layer in enumerate(file.layers):
        cls = model_class(layer.model)
        model, rows = (
            cls(from_dict(cls.Config, layer.config)),
            Rows(X / np.float32(layer.preprocess.get("divisor", 1))),
        )
        model.init(X.shape[1], Random(0, i), moments(rows, np.arange(N))[0])
        settings = {name: value for name, value in layer.training.items() if name != "dtype"}
        training = Training(model, rows, TrainConfig(**settings), seed=0, stream=i)
        training.run()
        assert same(model.params, layer.params), i
        X = model.encode(rows.X)
    assert read_model("deep.h5").layers[1].preprocess.get("divisor", 1) != 1  # one of them is put to use


def test_the_lowest_layer_is_the_model_alone(data):
    train("deep.h5")
    featlearn.train(data, "alone.h5", model="rbm", hidden=12, lr=0.1, epochs=2, batch_size=50)
    alone, lowest = read_model("alone.h5"), read_model("deep.h5").layers[0]
    assert alone.content_hash == lowest.content_hash
    assert alone.training == lowest.training


@pytest.mark.parametrize("model", ["stack", "dbn", "stacked-autoencoder"])
@pytest.mark.parametrize("every", [6, 9])
def test_a_stopped_run_goes_on_in_the_same_bytes(model, every, data):
    """In each layer, and between them: codes are made anew, which asks twice for each layer below."""
    options = {} if model == "stack" else {"hidden": (8, 5, 4), "epochs": 2}
    options |= {"layer": "k-sparse:k=2"} if model == "stacked-autoencoder" else {}
    train("whole.h5", model=model, **options)
    stops, done = 0, None
    while done is None or not done.finished:
        asked = itertools.count(1)
        done = train(
            "deep.h5", model=model, resume=True, should_stop=lambda a=asked: next(a) > every, **options
        )
        stops += 1
    assert stops > 3
    whole, deep = read_model("whole.h5"), read_model("deep.h5")
    assert whole.content_hash == deep.content_hash
    assert {name: c.tobytes() for name, c in whole.history.items()} == {
        name: c.tobytes() for name, c in deep.history.items()
    }
    again = train("deep.h5", model=model, resume=True, **options)
    assert again.seconds is None
    assert again.content_hash == whole.content_hash


def test_a_checkpoint_of_another_run_is_refused(data):
    train("deep.h5", should_stop=lambda: True)
    with pytest.raises(ConfigError, match=r"deep.h5.ckpt is of another run: seed was 0 and is now 1"):
        train("deep.h5", seed=1, resume=True)
    assert train("deep.h5", seed=1, resume=True, force=True).finished
    with pytest.raises(ConfigError, match=r"deep.h5 is of another run: layer was .* and is now"):
        train("deep.h5", layer=LAYERS[:2], seed=1, resume=True)


def test_codes_in_a_file_give_the_same_bytes(data, monkeypatch):
    train("kept.h5")
    monkeypatch.setattr(layers, "Encoded", partial(Encoded, memory=0))
    train("streamed.h5")
    assert read_model("kept.h5").content_hash == read_model("streamed.h5").content_hash


def test_use_is_the_layers_one_after_another(data):
    train("deep.h5")
    learned = load_model("deep.h5")
    X = inputs()
    first, second, third = learned.model.layers
    by = learned.model.divisors[1:]
    H = third.encode(second.encode(first.encode(X) / by[0]) / by[1])
    np.testing.assert_allclose(learned.model.encode(X), H, rtol=1e-6)
    V = first.decode(second.decode(third.decode(H) * by[1]) * by[0])
    np.testing.assert_allclose(learned.model.decode(H), V, rtol=1e-5)
    Y = third.reconstruct(second.encode(first.encode(X) / by[0]) / by[1])
    np.testing.assert_allclose(
        learned.model.reconstruct(X), first.decode(second.decode(Y * by[1]) * by[0]), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(encode(learned.model.encoder_layers(), X), H, rtol=1e-3, atol=1e-5)
    found = featlearn.load_model("deep.h5")
    assert found.encode(featlearn.load_dataset(data)).tobytes() == learned.model.encode(X).tobytes()
    assert [type(config).__qualname__ for config in found.config] == [
        type(layer.config).__qualname__ for layer in learned.model.layers
    ]
    np.testing.assert_allclose(
        learned.model.filters(), third.filters() @ second.filters() @ first.filters(), rtol=1e-4, atol=1e-6
    )


def test_decoders_unroll(data):
    train("deep.h5", layer=("rbm:hidden=8", "k-sparse:hidden=6,k=2"), data_scale=1.0, epochs=1)
    model = load_model("deep.h5").model
    H = np.random.default_rng(1).random((5, 6), np.float32)
    np.testing.assert_allclose(encode(model.decoder_layers(), H), model.decode(H), rtol=1e-4)


def test_a_stack_of_files(data, run_here):
    featlearn.train(data, "a.h5", model="rbm", hidden=12, lr=0.1, epochs=2)
    featlearn.encode("a.h5", data, "codes.h5")
    featlearn.train("codes.h5", "b.h5", model="k-sparse", hidden=10, k=3, epochs=2)
    featlearn.train("codes.h5", "other.h5", model="pca", hidden=3)
    featlearn.encode("other.h5", "codes.h5", "more.h5")
    featlearn.train("more.h5", "c.h5", model="pca", hidden=2)
    ran = run_here("stack", "a.h5", "b.h5", "-o", "deep.h5")
    assert ran.code == 0
    a, b, deep = (load_model(f"{name}.h5").model for name in ("a", "b", "deep"))
    X = inputs()
    H = load_model("b.h5").preprocess.apply(a.encode(X))
    assert deep.encode(X).tobytes() == b.encode(H).tobytes()
    assert featlearn.stack(["a.h5", "other.h5"], "two.h5").layers == 2
    assert featlearn.stack(["two.h5", "c.h5"], "three.h5").layers == 3


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (("a.h5",), "stack: give two models or more, the lowest one first"),
        (("a.h5", "a.h5"), "a.h5: its file does not say that it learned from codes of a.h5"),
        (("b.h5", "a.h5"), "a.h5: its file does not say that it learned from codes of b.h5"),
        (("a.h5", "data.h5"), "data.h5: is a featlearn data set, wanted a model"),
    ],
)
def test_files_of_other_parents_are_refused(models, words, data, run_here):
    featlearn.train(data, "a.h5", model="pca", hidden=5)
    featlearn.encode("a.h5", data, "codes.h5")
    featlearn.train("codes.h5", "b.h5", model="pca", hidden=3)
    ran = run_here("stack", *models, "-o", "deep.h5")
    assert ran.code in (1, 2)
    assert ran.err.startswith(f"featlearn: error: {words}"), ran.err
    assert ran.err.count("\n") == 1


def test_a_layer_that_gives_no_rows_back(tmp_path):
    """Codes of a net of classes can be learned from; there is no reconstruction through it to measure."""
    X, y = np.random.default_rng(0).random((60, 6)), np.arange(60) % 3
    layers = ["network:hidden=5,epochs=2", "rbm:hidden=3,epochs=2"]
    made = featlearn.fit("stack", X, y, layer=layers)
    made.save(tmp_path / "stack.h5")
    assert featlearn.load_model(tmp_path / "stack.h5").encode(X).shape == (60, 3)
    assert "rmse" not in made.measured


def test_codes_of_another_layer_or_pooled_ones_are_refused(data, run_here):
    """They are as wide as those of the top, but other ones."""
    ok(run_here("train", data, "--model", "stack", "--layer", "pca", "--hidden", "5,5", "-o", "low.h5"))
    for layer, code in ((1, 1), (2, 0)):
        featlearn.encode("low.h5", data, f"codes-{layer}.h5", layer=layer)
        featlearn.train(f"codes-{layer}.h5", f"top-{layer}.h5", model="pca", hidden=3)
        ran = run_here("stack", "low.h5", f"top-{layer}.h5", "-o", f"deep-{layer}.h5")
        assert (ran.code, "does not say that it learned from codes of low.h5" in ran.err) == (code, code == 1)
    np.save("images.npy", np.random.default_rng(0).random((20, 9, 9)))
    featlearn.extract_patches("images.npy", "patches.h5", size=4, count=100)
    featlearn.train("patches.h5", "means.h5", model="k-means", hidden=5)
    featlearn.encode("means.h5", "images.npy", "pooled.h5", pool=(1, 1))
    featlearn.train("pooled.h5", "top.h5", model="pca", hidden=3)
    refused(run_here("stack", "means.h5", "top.h5", "-o", "deep.h5"), "learned from codes of means.h5")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "stack", "--layer", "rbm:hidden=x"), "--hidden: got 'x', must be a whole number"),
        (("--model", "stack", "--layer", "foo"), "layer 1: --layer foo: unknown model 'foo'; known: "),
        (("--model", "stack", "--layer", "rbm", "--layer", "rbm:lr=x"), "layer 2: --layer rbm: --lr: got"),
        (("--model", "stack", "--layer", "dbn"), "--layer dbn: dbn is no single layer"),
        (("--model", "stack", "--layer", "rbm:epoch=3"), "unknown setting 'epoch'; did you mean epochs?"),
        (("--model", "stack", "--layer", "rbm:hidden"), "'hidden' is no SETTING=VALUE"),
        (("--model", "stack", "--layer", "rbm:hidden=3", "--hidden", "3,4"), "hidden is said twice"),
        (("--model", "stack", "--layer", "pca", "--layer", "pca", "--hidden", "3,4,5"), "3 numbers for 2"),
        (("--model", "stack", "--layer", "pca:lr=3"), "--lr: does nothing with --model pca"),
        (("--model", "stack", "--layer", "pca", "--lr", "3"), "--lr: does nothing with --model pca"),
        (("--model", "stack", "--layer", "rbm:searches=3"), "--searches: does nothing without --optimizer"),
        (("--model", "dbn", "--searches", "3"), "--searches: does nothing without --optimizer"),
        (("--model", "stacked-autoencoder", "--layer", "rbm"), "layer 1: --layer rbm: is no autoencoder"),
        (("--model", "stack", "--layer", "rbm", "--layer", "softmax", "--hidden", "3,4"), "has no hidden"),
        (("--model", "dbn", "--hidden", "0,4"), "--hidden: got 0, must be at least 1"),
    ],
)  # fmt: skip
def test_wrong_layers_are_refused_in_one_line(options, words, data, run_here):
    ran = run_here("train", data, *options, "-o", "deep.h5")
    assert ran.code == 2
    assert words in ran.err, ran.err
    assert ran.err.count("\n") == 1


def test_a_layer_that_does_not_fit_the_codes_is_named(data, run_here):
    """What its data are is known when the layers below have been learned."""
    layers = ("--layer", "rbm:hidden=4,epochs=1", "--layer", "mcrbm")
    ran = run_here("train", data, "--model", "stack", *layers, "-o", "deep.h5")
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith("featlearn: error: layer 2 (mcrbm): ")


def test_settings_of_a_layer_may_hold_commas():
    layer = layer_of("k-sparse:hidden=8,k=2,matryoshka=2,4,lr=0.5,optimizer=sgd")
    assert (layer.config.hidden, layer.config.matryoshka, layer.config.k) == (8, "2,4", 2)
    assert layer.training == {"lr": "0.5", "optimizer": "sgd"}


def test_words_for_all_layers_yield_to_those_for_one(data):
    config = Stack.Config(("rbm:hidden=5,epochs=1", "denoising:hidden=4", "pca:hidden=2"))
    plan = plan_training(data, model="stack", config=config, training=LayersTraining(epochs=2, lr=0.05))
    assert [layer.training.epochs for layer in plan.layers] == [1, 2, None]
    assert [layer.training.lr for layer in plan.layers] == [0.05, 0.05, None]
    assert [layer.training.momentum for layer in plan.layers][:2] == [0.9, 0.0]  # each model's own


def test_a_dbn_of_photographs_has_gaussian_units_below_alone(data):
    featlearn.extract_patches("data.npz", "white.h5", size=4, count=300, normalize="standardize")
    train("deep.h5", "white.h5", model="dbn", hidden=(6, 5), epochs=1)
    assert [layer.config["visible"] for layer in read_model("deep.h5").layers] == ["gaussian", "bernoulli"]


def test_info_says_what_is_in_each_layer(data, run_here):
    train("deep.h5")
    info = json.loads(run_here("info", "deep.h5", "--json").out)
    assert [info["layers"][str(i)]["model"] for i in (1, 2, 3)] == ["rbm", "k-sparse", "pca"]
    assert info["layers"]["2"]["config"]["k"] == 3
    assert run_here("info", "deep.h5", "--get", "layers.1.training.lr").out == "0.1\n"
    history = json.loads(run_here("info", "deep.h5", "--history", "json").out)
    assert [row["epoch"] for row in history] == list(range(1, 7))
    assert [row["phase"] for row in history] == [0, 0, 1, 1, 1, 2]


def test_a_log_has_the_epochs_of_all_layers(data):
    """Also of a run that goes on, whose file may hold epochs that came after the checkpoint."""
    train("deep.h5", log="whole.jsonl")
    whole = [json.loads(line) for line in Path("whole.jsonl").read_text("utf-8").splitlines()]
    assert [row["epoch"] for row in whole] == list(range(1, 7))
    asked = itertools.count(1)
    train("two.h5", log="two.jsonl", should_stop=lambda: next(asked) > 14)
    train("two.h5", log="two.jsonl", resume=True)
    assert Path("two.jsonl").read_text("utf-8") == Path("whole.jsonl").read_text("utf-8")


def test_pictures_of_layers(data, run_here):
    train("deep.h5")
    for options in ((), ("--layer", 1), ("--layer", 3, "--maximize"), ("--what", "curve")):
        ran = run_here("visualize", "deep.h5", *options, "-o", "a.png", "--force")
        assert ran.code == 0, ran.err
    ran = run_here("visualize", "deep.h5", "--layer", 4, "-o", "b.png")
    assert (ran.code, ran.err) == (
        2,
        "featlearn: error: --layer 4: deep.h5 has 3 layers, of which 1 is the lowest\n",
    )


def test_codes_of_a_layer(data, run_here):
    train("deep.h5")
    assert run_here("encode", "deep.h5", data, "--layer", 2, "-o", "codes.npy").code == 0
    first, second, _ = load_model("deep.h5").model.layers
    by = load_model("deep.h5").model.divisors[1]
    np.testing.assert_allclose(np.load("codes.npy"), second.encode(first.encode(inputs()) / by), rtol=1e-6)
    for model, layer, words in (
        ("deep.h5", 9, "--layer 9: deep.h5 has 3 layers"),
        ("a.h5", 1, "is a pca model"),
    ):
        featlearn.train(data, "a.h5", model="pca", hidden=2, force=True)
        ran = run_here("encode", model, data, "--layer", layer, "-o", "no.npy")
        assert ran.code == 2
        assert words in ran.err


def test_the_row_that_most_activates_a_linear_unit_is_its_weights():
    W = np.random.default_rng(2).normal(size=(9, 4))
    X = maximizers([Dense(W, np.zeros(4))], 3, 2.0, -np.inf, np.inf)
    np.testing.assert_allclose(X, 2 * (W / np.linalg.norm(W, axis=0)).T[:3], atol=0.02)
    boxed = maximizers([Dense(W, np.zeros(4))], 4, 100.0, -1.0, 2.0)
    np.testing.assert_allclose(boxed, np.where(W.T > 0, 2.0, -1.0))


def test_a_stack_of_one_divides_nothing():
    model = model_class("pca")(model_class("pca").Config(hidden=2))
    model.init(5, Random(0))
    stack = Stack.of([model], [3.0])
    X = np.random.default_rng(0).random((4, 5), np.float32)
    assert stack.encode(X).tobytes() == model.encode(X).tobytes()


@pytest.mark.parametrize(("number", "model"), [(1, "sesm"), (2, "mcrbm"), (3, "sesm")])
def test_a_layer_that_is_no_chain_is_named_by_its_number(number, model):
    layers = [model_class("rbm")(model_class("rbm").Config(visible="bernoulli")) for _ in range(3)]
    layers[number - 1] = model_class(model)()
    for layer in layers:
        layer.params = {"W": np.zeros((100, 100), np.float32), "b": np.zeros(100), "c": np.zeros(100)}
    stack = Stack.of(layers, (1.0, 1.0, 1.0))
    for chain in (stack.encoder_layers, stack.decoder_layers):
        with pytest.raises(ConfigError, match=f"^layer {number}: a model '{model}' cannot be "):
            chain()
