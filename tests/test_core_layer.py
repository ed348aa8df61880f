"""The kernels of layers against plain float64 lines: activations, errors of outputs, softmax, Adam."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from featlearn import _core

DTYPES = [np.float32, np.float64]
KINDS = ("linear", "sigmoid", "tanh", "relu")
SHAPES = [(0, 3), (3, 0), (1, 1), (7, 9), (61, 301), (200, 784)]
FUNCTIONS = {
    "linear": lambda a: a,
    "sigmoid": expit,
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
}
SLOPES = {
    "linear": np.ones_like,
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: (1 - y) * (1 + y),
    "relu": lambda y: 1.0 * (y > 0),
}


def numbers(shape, dtype, seed=0, scale=3.0):
    return (scale * np.random.default_rng([seed, *shape]).standard_normal(shape)).astype(dtype)


def wide(*arrays):
    return (a.astype(np.float64) for a in arrays)


def close(found, wanted, dtype, ulps=8):
    np.testing.assert_allclose(
        found, wanted, rtol=ulps * np.finfo(dtype).eps, atol=ulps * np.finfo(dtype).eps / 8
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_activations_and_their_derivatives(shape, kind, dtype, threads):
    a, bias = numbers(shape, dtype), numbers(shape[1:], dtype, 1)
    out = np.empty_like(a)
    _core.activate(out, a, bias, kind)
    total = (a + bias).astype(np.float64)
    close(out, FUNCTIONS[kind](total), dtype)
    in_place = a.copy()
    _core.activate(in_place, in_place, bias, kind)
    assert in_place.tobytes() == out.tobytes()

    delta, row = numbers(shape, dtype, 2), numbers(shape[1:], dtype, 3)
    for r in (None, row):
        found = delta.copy()
        _core.backward(found, out, kind, r)
        wanted = (delta if r is None else delta + r).astype(np.float64) * SLOPES[kind](out.astype(np.float64))
        close(found, wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_leaky_units_and_their_derivatives(shape, dtype, threads):
    """With slopes of either sign, to the byte: there is one product."""
    a, bias, leak = numbers(shape, dtype), numbers(shape[1:], dtype, 1), numbers(shape[1:], dtype, 4)
    out = np.empty_like(a)
    _core.leaky(out, a, bias, leak)
    x = a + bias
    assert out.tobytes() == np.where(x < 0, leak * x, x).tobytes()
    in_place = a.copy()
    _core.leaky(in_place, in_place, bias, leak)
    assert in_place.tobytes() == out.tobytes()
    delta = numbers(shape, dtype, 2)
    total = delta + bias
    _core.leaky_backward(delta, x, bias, leak)
    assert delta.tobytes() == np.where(x > 0, total, leak * total).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_keeps_its_digits_near_zero_and_its_limits(dtype):
    x = np.concatenate([[0.0], 10.0 ** np.arange(-30, 3, 0.01), [1e4, 1e30, np.inf]])
    a = np.concatenate([-x[::-1], x]).astype(dtype)[:, None]
    out = np.empty_like(a)
    _core.activate(out, a, np.zeros(1, dtype), "tanh")
    np.testing.assert_allclose(out, np.tanh(a.astype(np.float64)), rtol=5 * np.finfo(dtype).eps)
    assert np.abs(out).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_not_a_number_is_not_hidden(kind):
    a = np.array([[np.nan, 1.0]])
    out = np.empty_like(a)
    _core.activate(out, a, np.zeros(2), kind)
    assert np.isnan(out[0, 0])
    assert np.isfinite(out[0, 1])
    loss = np.empty(1)
    _core.output_error(out, loss, out, np.zeros((1, 2)), kind)
    assert np.isnan(loss[0])
    _core.cross_entropy(loss, a, np.zeros(2), np.zeros((1, 2)))
    assert np.isnan(loss[0])
    _core.softmax(out, loss, a, np.zeros(2), np.zeros(1, np.int32))
    assert np.isnan(out).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_errors_of_outputs(shape, kind, dtype, threads):
    y, x = FUNCTIONS[kind](numbers(shape, dtype)).astype(dtype), numbers(shape, dtype, 1)
    for weight in (None, np.abs(numbers(shape, dtype, 2))):
        delta, loss = np.empty_like(y), np.empty(len(y))
        _core.output_error(delta, loss, y, x, kind, weight)
        Y, X = wide(y, x)
        w = 1 if weight is None else weight.astype(np.float64)
        np.testing.assert_allclose(loss, (w * (Y - X) ** 2).sum(axis=1), rtol=1e-13, atol=1e-300)
        close(delta, w * (y - x).astype(np.float64) * SLOPES[kind](Y), dtype, 16)
        in_place, again = y.copy(), np.empty_like(loss)
        _core.output_error(in_place, again, in_place, x, kind, weight)
        assert in_place.tobytes() == delta.tobytes()
        assert again.tobytes() == loss.tobytes()
    plain = np.empty_like(loss)
    _core.output_error(delta, loss, y, x, kind)
    _core.row_sqdist(plain, y, x)
    assert loss.tobytes() == plain.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy(shape, dtype, threads):
    a, bias = numbers(shape, dtype), numbers(shape[1:], dtype, 1)
    x = np.random.default_rng(0).random(shape).astype(dtype)
    for weight in (None, np.abs(numbers(shape, dtype, 2))):
        loss = np.empty(len(a))
        _core.cross_entropy(loss, a, bias, x, weight)
        z, X = wide(a + bias, x)
        terms = np.logaddexp(0, z) - X * z
        terms = terms if weight is None else terms * weight
        np.testing.assert_allclose(loss, terms.sum(axis=1), rtol=30 * np.finfo(dtype).eps)


def test_cross_entropy_of_certain_outputs():
    """Where the sigmoid is 0 or 1 in any precision: no logarithm of zero."""
    a = np.array([[1e4, -1e4, 1e4, -1e4]], np.float32)
    x, loss = np.array([[1, 0, 0, 1]], np.float32), np.empty(1)
    _core.cross_entropy(loss, a, np.zeros(4, np.float32), x)
    assert loss[0] == 2e4


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 10), (3000, 26)])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_softmax(shape, scale, dtype, threads):
    a, bias = numbers(shape, dtype, scale=scale), numbers(shape[1:], dtype, 1)
    labels = np.random.default_rng(0).integers(0, shape[1], shape[0]).astype(np.int32)
    p, loss = np.empty_like(a), np.empty(len(a))
    _core.softmax(p, loss, a, bias, labels)
    z = (a + bias).astype(np.float64)
    tiny = 4 * float(np.finfo(dtype).tiny)  # what should be nothing at all
    np.testing.assert_allclose(p, softmax(z, axis=1), rtol=100 * np.finfo(dtype).eps, atol=tiny)
    wanted = -log_softmax(z, axis=1)[np.arange(len(z)), labels]
    np.testing.assert_allclose(loss, wanted, rtol=4 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)
    in_place = a.copy()
    _core.softmax(in_place, None, in_place, bias, None)
    assert in_place.tobytes() == p.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("soft", [False, True])
def test_adam(dtype, soft, threads):
    shape = (211, 97)
    w, m, v = numbers(shape, dtype), np.zeros(shape, dtype), np.zeros(shape, dtype)
    W, M, V = wide(w, m, v)
    for step in range(1, 5):
        g = numbers(shape, dtype, step)
        _core.adam(w, m, v, g, 0.01, 0.9, 0.99, 1e-8, step, 0.3, 0.2, soft)
        G = g.astype(np.float64)
        M, V = 0.9 * M + 0.1 * G, 0.99 * V + 0.01 * G * G
        decay = 0.2 * W + (0 if soft else 0.3 * np.sign(W))
        W = W - 0.01 * (M / (1 - 0.9**step) / (np.sqrt(V / (1 - 0.99**step)) + 1e-8) + decay)
        W = np.sign(W) * np.maximum(np.abs(W) - 0.003, 0) if soft else W
        np.testing.assert_allclose(w, W, atol=200 * np.finfo(dtype).eps)
        np.testing.assert_allclose(m, M, atol=50 * np.finfo(dtype).eps)
        np.testing.assert_allclose(v, V, rtol=50 * np.finfo(dtype).eps)


def test_adams_small_numbers_become_zero():
    w, m, v = (np.full(3, x, np.float32) for x in (1e-31, 1e-31, 1e-38))
    _core.adam(w, m, v, np.zeros(3, np.float32), 0.0, 0.9, 0.999, 1e-8, 1, 0.0, 0.0, True)
    assert not w.any()
    assert not m.any()
    assert not v.any()


REFUSED = {
    "another kind": (
        lambda a: _core.activate(a, a, a[0].copy(), "softplus"),
        "kind is 'softplus', wanted one of linear",
    ),
    "bias": (
        lambda a: _core.activate(a, a, a[0, :2].copy(), "tanh"),
        r"bias has shape \(2,\), wanted \(3,\)",
    ),
    "row": (lambda a: _core.backward(a, a.copy(), "tanh", a[0, :2].copy()), r"row has shape \(2,\)"),
    "leak": (
        lambda a: _core.leaky(a, a, a[0].copy(), a[0, :2].copy()),
        r"leak has shape \(2,\), wanted \(3,\)",
    ),
    "leak back": (
        lambda a: _core.leaky_backward(a, a.copy(), a[0].copy(), a[0, :2].copy()),
        r"leak has shape \(2,\), wanted \(3,\)",
    ),
    "shared leak": (lambda a: _core.leaky_backward(a, a.copy(), a[0].copy(), a[0]), "shares memory"),
    "shared": (lambda a: _core.backward(a, a, "tanh"), "shares memory"),
    "loss": (
        lambda a: _core.output_error(a, np.empty(5), a, a.copy(), "tanh"),
        r"loss has shape \(5,\), wanted \(4,\)",
    ),
    "float32 loss": (
        lambda a: _core.cross_entropy(np.empty(4, "f"), a, a[0], a),
        "loss is float32, wanted float64",
    ),
    "weight": (lambda a: _core.cross_entropy(np.empty(4), a, a[0], a, a[:2].copy()), "weight has shape"),
    "label": (
        lambda a: _core.softmax(a, np.empty(4), a, np.zeros(3), np.array([0, 1, 2, 3], np.int32)),
        "label 3 is 3, wanted 0 to 2",
    ),
    "negative label": (
        lambda a: _core.softmax(a, np.empty(4), a, np.zeros(3), np.array([0, -1, 2, 0], np.int32)),
        "label 1 is -1",
    ),
    "labels alone": (lambda a: _core.softmax(a, None, a, np.zeros(3), np.zeros(4, np.int32)), "both or none"),
    "no classes": (
        lambda a: _core.softmax(a[:, :0].copy(), None, a[:, :0].copy(), np.zeros(0), None),
        "one column",
    ),
    "step": (lambda a: adam(a, step=0), "step is 0, wanted at least 1"),
    "beta": (lambda a: adam(a, beta=1.0), "wanted 0 <= beta < 1"),
    "moments": (
        lambda a: _core.adam(a, a, a.copy(), a.copy(), 1, 0.9, 0.9, 1, 1, 0, 0, True),
        "shares memory",
    ),
}


def adam(a, step=1, beta=0.9):
    _core.adam(a, a.copy(), a.copy(), a.copy(), 0.1, beta, 0.99, 1e-8, step, 0, 0, True)


@pytest.mark.parametrize(("call", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_arguments_are_refused_in_one_line(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call(numbers((4, 3), np.float64))
    assert "\n" not in str(caught.value)
