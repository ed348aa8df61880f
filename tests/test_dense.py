"""Dense layers and the chains of them that models are: codes, derivatives, dropout."""

import itertools

import numpy as np
import pytest

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models import model_class
from featlearn.models.base import DataSummary
from featlearn.ops import dense
from featlearn.ops.activations import ACTIVATIONS, pieces
from featlearn.ops.dense import Dense, Dropout
from featlearn.random import Random
from helpers import SINGLE, central

VARIANTS = [(id, name) for id in SINGLE for name in model_class(id).variants()]
CHAINS = {
    *("autoencoder", "deep-autoencoder", "denoising", "k-sparse", "network", "pca", "rbm", "sparse-pca"),
    "sparse-autoencoder",
}


def layers_of(sizes, activation="sigmoid", kept=0, dtype=np.float64):
    rng, found = np.random.default_rng(0), []
    for n_in, units in itertools.pairwise(sizes):
        width = units * pieces(activation)
        W, c = rng.normal(size=(n_in, width)), rng.normal(size=width)
        # slopes that are learned may come to be below zero
        slope = rng.normal(size=width).astype(dtype) if activation == "prelu" else 0.3
        found.append(Dense(W.astype(dtype), c.astype(dtype), activation, kept, slope))
    return found


FUNCTIONS = {
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "leaky-relu": lambda a: np.where(a > 0, a, 0.3 * a),
    "maxout": lambda a: a,  # of the larger of both
    "linear": lambda a: a,
}


@pytest.mark.parametrize("kept", [0, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_codes_are_those_of_the_equations(activation, kept):
    (layer,) = layers_of([6, 8], activation, kept)
    X = np.random.default_rng(1).normal(size=(50, 6))
    A = X @ layer.W + layer.c
    if activation == "maxout":
        A = np.maximum(A[:, :8], A[:, 8:])
    H = np.where(A > 0, A, layer.slope * A) if activation == "prelu" else FUNCTIONS[activation](A)
    if kept:
        least = np.sort(A, axis=1)[:, -kept, None]
        H = np.where(least <= A, H, 0)
    np.testing.assert_allclose(layer.encode(X), H, rtol=1e-12, atol=1e-14)
    assert (layer.n_in, layer.units) == (6, 8)


def test_ties_go_to_the_lowest_unit():
    layer = Dense(np.zeros((2, 4)), np.array([1.0, 3.0, 3.0, 3.0]), kept=2)
    assert layer.encode(np.ones((1, 2))).tolist() == [[0, 3, 3, 0]]


@pytest.mark.parametrize("dropout", [None, Dropout(0.3, 0.5, 3, lambda i: i)])
@pytest.mark.parametrize("kept", [0, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_of_a_chain(activation, kept, dropout):
    """By every weight and bias, of the mean over rows of a sum of what the chain gives."""
    layers = layers_of([5, 6, 4], activation, kept)
    X = np.random.default_rng(2).normal(size=(3, 5))
    V = np.random.default_rng(3).normal(size=(3, 4))

    def loss():
        return float((dense.forward(layers, X, dropout)[-1].H * V).sum()) / len(X)

    passed = dense.forward(layers, X, dropout)
    grads = dense.backward(layers, passed, V.copy(), dropout)
    for layer, found in zip(layers, grads, strict=True):
        learned = (layer.W, layer.c, layer.slope) if activation == "prelu" else (layer.W, layer.c)
        for parameter, grad in zip(learned, found, strict=True):
            np.testing.assert_allclose(grad, central(loss, parameter, h=1e-5), rtol=1e-6, atol=1e-8)


def test_dropout_drops_its_share_and_keeps_the_mean():
    X = np.ones((500, 400))
    for layer, rate in ((0, 0.2), (1, 0.5), (2, 0.5)):
        seen = Dropout(0.2, 0.5, 7, lambda i: i)(layer, X)
        assert set(np.unique(seen)) == {0, 1 / (1 - rate)}
        assert (seen == 0).mean() == pytest.approx(rate, abs=0.005)
    assert Dropout(0.0, 0.5, 7, lambda i: i)(0, X) is X


@pytest.mark.parametrize(("id", "name"), VARIANTS)
def test_codes_of_models_are_those_of_their_chains(id, name):
    """And what they decode; a model that is no chain says so in one line."""
    cls, rng = model_class(id), np.random.default_rng(0)
    X = rng.random((300, 12))
    try:
        config = cls.resolve(cls.variants()[name], DataSummary(12, 0.0, 1.0, variance=1.0, classes=3))
    except ConfigError:  # it wants other data than pixels
        config = cls.resolve(cls.variants()[name], DataSummary(12, -np.inf, np.inf, variance=16.0))
    model = cls(config, np.float64)
    model.init(12, Random(0))
    for value in model.params.values():
        value += rng.normal(0, 0.5, value.shape)
    if id not in CHAINS or getattr(config, "batch_top_k", False) or config.hidden == ():
        with pytest.raises(ConfigError, match=r"^a model '.*cannot be fine-tuned: .*; take [^\n]*$"):
            model.encoder_layers()
        return
    H = model.encode(X)
    np.testing.assert_allclose(dense.encode(model.encoder_layers(), X), H, rtol=1e-9, atol=1e-12)
    if not model.decodes:
        with pytest.raises(ConfigError, match=r"^a model '.*cannot be unrolled: [^\n]*$"):
            model.decoder_layers()
        return
    np.testing.assert_allclose(
        dense.encode(model.decoder_layers(), H), model.decode(H), rtol=1e-9, atol=1e-12
    )


def test_codes_of_plain_layers_have_the_same_bytes():
    """Where the arithmetic is the same: nothing is folded into weights or biases."""
    for id in ("autoencoder", "rbm"):
        cls = model_class(id)
        model = cls(cls.resolve(cls.Config(hidden=7), DataSummary(12, 0.0, 1.0)), np.float32)
        model.init(12, Random(0))
        X = np.random.default_rng(0).random((40, 12)).astype(np.float32)
        assert dense.encode(model.encoder_layers(), X).tobytes() == model.encode(X).tobytes()


def test_bytes_do_not_depend_on_threads(threads):
    before = _core.get_threads()
    layers = layers_of([300, 400, 200], dtype=np.float32)
    X = np.random.default_rng(2).random((150, 300)).astype(np.float32)
    dropout = Dropout(0.2, 0.5, 3, lambda i: i)

    def made():
        passed = dense.forward(layers, X, dropout)
        grads = dense.backward(layers, passed, np.ones((150, 200), np.float32), dropout)
        return [a.tobytes() for pair in grads for a in pair]

    here = made()
    _core.set_threads(1)
    assert made() == here
    _core.set_threads(before)
