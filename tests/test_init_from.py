"""train --init-from: a model begins at the weights of another one, and codes as that did."""

import numpy as np
import pytest

import featlearn
from featlearn.errors import ConfigError, DataError
from featlearn.files.model import read_model
from featlearn.models import model_class
from featlearn.ops import dense
from featlearn.ops.dense import Dense
from featlearn.random import Random

VISIBLE = 7
SIGMOID = {"activation": "sigmoid", "output_units": "linear", "loss": "squared"}
LINEAR = SIGMOID | {"activation": "linear"}
RELU = SIGMOID | {"activation": "relu"}
LEAKY = SIGMOID | {"activation": "leaky-relu", "slope": 0.2}
PRELU = SIGMOID | {"activation": "prelu"}
MAXOUT = SIGMOID | {"activation": "maxout", "tied": False}
PAIRS = {
    "rbm, tied autoencoder": ("rbm", {"visible": "gaussian"}, "autoencoder", SIGMOID),
    "rbm, untied autoencoder": ("rbm", {"visible": "gaussian"}, "autoencoder", SIGMOID | {"tied": False}),
    "rbm of bits, denoising": (
        "rbm",
        {"visible": "bernoulli"},
        "denoising",
        {"activation": "sigmoid", "output_units": "sigmoid", "loss": "squared", "corruption": "masking"},
    ),
    "rbm with sigma": (
        "rbm",
        {"visible": "gaussian", "sigma": 0.6},
        "autoencoder",
        SIGMOID | {"tied": False},
    ),
    "rectified rbm, k-sparse": (
        "rbm",
        {"visible": "gaussian", "units": "rectified"},
        "k-sparse",
        {"activation": "relu"},
    ),
    "autoencoder, rbm": ("autoencoder", SIGMOID | {"tied": True}, "rbm", {"visible": "gaussian"}),
    "untied, sparse": ("autoencoder", SIGMOID | {"tied": False}, "sparse-autoencoder", SIGMOID),
    "maxout, denoising": ("autoencoder", MAXOUT, "denoising", MAXOUT | {"corruption": "gaussian"}),
    "autoencoder, k-sparse": ("autoencoder", LINEAR | {"tied": False}, "k-sparse", {"tied": False}),
    "autoencoder, k-sparse, own mean": ("autoencoder", RELU, "k-sparse", {"activation": "relu"}),
    "sigmoid autoencoder, k-sparse": ("autoencoder", SIGMOID, "k-sparse", {"activation": "sigmoid"}),
    "slopes of leaky units": ("autoencoder", LEAKY, "denoising", LEAKY | {"corruption": "gaussian"}),
    "slopes of prelu units": ("autoencoder", PRELU, "denoising", PRELU | {"corruption": "masking"}),
    "autoencoder, k-sparse, learned": ("autoencoder", LINEAR, "k-sparse", {"pre_bias": "learned"}),
    "autoencoder, k-sparse, none": ("autoencoder", LINEAR, "k-sparse", {"pre_bias": "none"}),
    "k-sparse, autoencoder": ("k-sparse", {"k": 5, "alpha": 1.0}, "autoencoder", LINEAR | {"tied": True}),
}


def made(id, seed, **config):
    cls = model_class(id)
    whole = {"k": 5, "alpha": 1.0} if id == "k-sparse" else {}  # every entry stays
    model = cls(cls.Config(**{"hidden": 5} | whole | config), np.float64)
    model.init(VISIBLE, Random(seed), np.linspace(0.1, 0.7, VISIBLE))
    for i, w in enumerate(model.params.values()):
        w += 0.5 * np.random.default_rng(seed + i).normal(size=w.shape)
    return model


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_it_codes_as_the_other_model_did(pair):
    source, settings, target, others = pair
    first, second = made(source, 1, **settings), made(target, 9, **others)
    (encoder,), (decoder,) = first.encoder_layers(), first.decoder_layers()
    like = second.settings_like(encoder, decoder)
    assert all(getattr(second.config, name) == value for name, value in like.items())
    second.begin_as(encoder, decoder)
    X = np.random.default_rng(3).random((20, VISIBLE))
    H = first.encode(X)
    np.testing.assert_allclose(second.encode(X), H, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(second.decode(H), first.decode(H), rtol=1e-12, atol=1e-12)
    # as its own layers say, too, from which another one may begin
    np.testing.assert_allclose(dense.encode(second.encoder_layers(), X), H, rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init-from")
    images = np.random.default_rng(0).normal(size=(120, 12)).astype(np.float32)
    np.save(folder / "rows.npy", images)
    np.save(folder / "others.npy", images[:, :9])
    for name in ("rows", "others"):
        featlearn.extract_patches(
            str(folder / f"{name}.npy"), str(folder / f"{name}.h5"), normalize="standardize", say=print
        )
    featlearn.extract_patches(
        str(folder / "rows.npy"), str(folder / "raw.h5"), normalize="none", whiten="none", say=print
    )
    featlearn.train(
        str(folder / "rows.h5"), str(folder / "rbm.h5"), model="rbm", hidden=5, updates=30, say=print
    )
    return folder


def begin(work, output="begun.h5", data="rows.h5", **options):
    options = {"model": "autoencoder", "init_from": str(work / "rbm.h5"), "updates": 1, "lr": 1e-12} | options
    return featlearn.train(str(work / data), str(work / output), force=True, say=print, **options)


def test_units_are_those_of_the_model_and_the_file_says_so(work):
    begin(work)
    start, file = read_model(str(work / "rbm.h5")), read_model(str(work / "begun.h5"))
    for name in "Wbc":
        np.testing.assert_allclose(file.params[name], start.params[name], atol=1e-9)
    assert (file.config["hidden"], file.config["activation"]) == (5, "sigmoid")
    assert file.progress["start"] == start.content_hash
    assert file.provenance["inputs"][1]["digest"] == start.content_hash
    begin(work, tied=False)
    assert np.array_equal(*(read_model(str(work / "begun.h5")).params[name].round(9) for name in "WD"))


def test_rows_are_preprocessed_as_the_model_has_learned_from_them(work):
    begin(work, data="raw.h5")
    start, file = (read_model(str(work / name)).preprocess for name in ("rbm.h5", "begun.h5"))
    assert {key for key, value in start.items() if isinstance(value, np.ndarray)} >= {"mean", "scale"}
    for key, value in start.items():
        assert np.array_equal(file[key], value), key


def test_a_stopped_run_goes_on(work):
    begin(work, "whole.h5", updates=9, lr=0.01, tied=False)
    ticks = iter(range(4))
    stopped = begin(
        work, "stopped.h5", updates=9, lr=0.01, tied=False, should_stop=lambda: next(ticks, None) is None
    )
    assert not stopped.finished
    options = {"model": "autoencoder", "updates": 9, "lr": 0.01, "tied": False}
    with pytest.raises(ConfigError, match="starting model was"):
        featlearn.train(str(work / "rows.h5"), str(work / "stopped.h5"), resume=True, say=print, **options)
    begin(work, "stopped.h5", updates=9, lr=0.01, tied=False, resume=True)
    assert (
        read_model(str(work / "stopped.h5")).content_hash == read_model(str(work / "whole.h5")).content_hash
    )


REFUSED = {
    "hidden": ({"hidden": 6}, "rbm.h5: its hidden is 5, not 6; leave --hidden out"),
    "the usual, said": ({"hidden": 100}, "rbm.h5: its hidden is 5, not 100"),
    "activation": ({"activation": "tanh"}, "its activation is sigmoid, not tanh"),
    "first weights": ({"init_scale": 0.1}, "--init-scale: does nothing with --init-from"),
    "a scale": ({"data_scale": 2.0}, "--data-scale: rows are divided as the model has learned"),
    "no such start": ({"model": "mcrbm"}, "'mcrbm' does not begin as another"),
    "a stack": ({"model": "dbn"}, "'dbn' does not begin as another"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(work, options, words):
    with pytest.raises(ConfigError) as found:
        begin(work, **options)
    assert words in str(found.value)
    assert "\n" not in str(found.value)


def test_a_k_sparse_model_does_not_begin_as_leaky_units():
    encoder, decoder = made("autoencoder", 1, **LEAKY).encoder_layers(), Dense(np.eye(5), np.zeros(5))
    with pytest.raises(
        ConfigError, match="its units are leaky-relu, its outputs linear; those of a k-sparse"
    ):
        model_class("k-sparse").settings_like(encoder[0], decoder)


def test_other_rows_and_other_shapes_are_refused(work):
    with pytest.raises(DataError, match=r"others\.h5: .* but .*rbm\.h5 was trained on"):
        begin(work, data="others.h5")
    begin(work, "untied.h5", tied=False, updates=5, lr=0.01)
    with pytest.raises(ConfigError, match="its tied is False, not True; leave --tied out"):
        begin(work, init_from=str(work / "untied.h5"), tied=True)
    with pytest.raises(ConfigError, match="an RBM has one set"):
        begin(work, init_from=str(work / "untied.h5"), model="rbm")
    with pytest.raises(ConfigError, match="give the data set, too"):
        featlearn.train(output=str(work / "x.h5"), model="autoencoder", init_from=str(work / "rbm.h5"))


KINDS = {  # by model: settings to learn with, and others to go on with
    "sesm": ({"hidden": 6}, {"sparsity_weight": 0.4}),
    "mcrbm": ({"factors": 6, "hidden": 4, "hidden_cov": 3}, {"leapfrog": 4, "chains": 8}),
    "k-sparse": ({"hidden": 6, "k": 4, "tied": False}, {"dead_after": 500}),
    "rbm": ({"hidden": 6, "sigma": 0.7}, {"persistent": True}),
}


@pytest.mark.parametrize("id", KINDS)
def test_a_model_goes_on_as_itself_with_other_settings(work, id):
    """Its parameters are taken as they are, and its settings where no others are given."""
    settings, others = KINDS[id]
    small = {"updates": 1, "lr": 1e-12, "model": id, "say": print, "force": True}
    data, first, second = (str(work / name) for name in ("rows.h5", "first.h5", "second.h5"))
    featlearn.train(data, first, **small | {"lr": 1e-3, "updates": 5}, **settings)
    featlearn.train(data, second, **small, **others, init_from=first)
    before, after = read_model(first), read_model(second)
    assert before.params.keys() == after.params.keys()
    for name, value in before.params.items():
        np.testing.assert_allclose(after.params[name], value, atol=1e-6)
    assert {**before.config, **others} == after.config
    with pytest.raises(ConfigError, match=r"hidden|nor do these settings make parameters"):
        featlearn.train(data, second, **small, init_from=first, hidden=5)
