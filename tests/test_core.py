"""The kernels against recomputation, and against scalar twins to the byte; random numbers:
test_core_random.py."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from featlearn import _core

DTYPES = [np.float32, np.float64]
TRANSPOSITIONS = list(product([False, True], repeat=2))


def operands(m, k, n, trans_a, trans_b, dtype, seed=0):
    rng = np.random.default_rng([seed, m, k, n])
    a = rng.standard_normal((k, m) if trans_a else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if trans_b else (k, n)).astype(dtype)
    return a, b, rng.standard_normal((m, n)).astype(dtype)


# --- gemm


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("trans_a", "trans_b"), TRANSPOSITIONS)
@pytest.mark.parametrize(
    ("m", "k", "n"),
    [
        (0, 3, 2),
        (3, 0, 2),
        (1, 1, 1),
        (7, 9, 8),
        (17, 257, 33),
        (33, 100, 65),
        (100, 784, 50),
        (520, 40, 130),
        (5, 513, 600),
    ],
)
def test_gemm(m, k, n, trans_a, trans_b, dtype, threads):
    """Close to a float64 product, and the bytes of the three loops."""
    a, b, start = operands(m, k, n, trans_a, trans_b, dtype)
    exact = (a.T if trans_a else a).astype(np.float64) @ (b.T if trans_b else b).astype(np.float64)
    size = np.abs(a.T if trans_a else a).astype(np.float64) @ np.abs(b.T if trans_b else b).astype(np.float64)
    for alpha, beta in [(1.0, 0.0), (-0.7, 1.0), (0.3, -1.7)]:
        out, twin = start.copy(), start.copy()
        _core.gemm(out, a, b, trans_a, trans_b, alpha, beta)
        _core._gemm_reference(twin, a, b, trans_a, trans_b, alpha, beta)
        assert out.tobytes() == twin.tobytes()
        bound = 300 * np.finfo(dtype).eps * (abs(alpha) * size + abs(beta * start.astype(np.float64)))
        assert (np.abs(out - (alpha * exact + beta * start.astype(np.float64))) <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gemm_reference_is_the_definition(dtype):
    """The scalar twin against exact fractions, rounded once an operation (each fma once)."""

    def rounded(fraction):
        if fraction == 0:
            return Fraction(0)
        exponent = 0
        scaled = abs(fraction)
        while scaled >= 2 ** np.finfo(dtype).nmant * 2:
            scaled, exponent = scaled / 2, exponent + 1
        while scaled < 2 ** np.finfo(dtype).nmant:
            scaled, exponent = scaled * 2, exponent - 1
        whole = round(scaled)  # half to even
        return Fraction(whole) * Fraction(2) ** exponent * (1 if fraction > 0 else -1)

    a, b, start = operands(2, 300, 2, False, False, dtype)
    alpha, beta = Fraction(float(dtype(0.3))), Fraction(float(dtype(-1.7)))
    out = start.copy()
    _core._gemm_reference(out, a, b, alpha=0.3, beta=-1.7)
    for i, j in product(range(2), range(2)):
        sums = []
        for block in (range(256), range(256, 300)):
            total = Fraction(0)
            for k in block:
                total = rounded(Fraction(float(a[i, k])) * Fraction(float(b[k, j])) + total)
            sums.append(total)
        scaled = rounded(alpha * rounded(sums[0] + sums[1]))
        wanted = rounded(scaled + rounded(beta * Fraction(float(start[i, j]))))
        assert Fraction(float(out[i, j])) == wanted


@pytest.mark.parametrize("dtype", DTYPES)
def test_gemm_does_not_read_out_without_beta(dtype):
    a, b, out = operands(9, 300, 40, False, False, dtype)
    wanted = out.copy()
    _core.gemm(wanted, a, b)
    out[:] = np.nan
    _core.gemm(out, a, b)
    assert out.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_does_not_depend_on_its_batch(dtype, threads):
    a, b, out = operands(600, 300, 70, False, True, dtype)
    _core.gemm(out, a, b, trans_b=True)
    for rows in (slice(0, 1), slice(5, 42), slice(599, 600)):
        part = np.empty_like(out[rows])
        _core.gemm(part, a[rows], b, trans_b=True)
        assert part.tobytes() == out[rows].tobytes()


# --- elementwise


def ulps(found, exact):
    spacing = np.spacing(np.abs(exact.astype(found.dtype))).astype(np.longdouble)
    return float(np.max(np.abs(found.astype(np.longdouble) - exact) / spacing))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid(dtype):
    low = -85 if dtype == np.float32 else -700
    a = np.linspace(low, 40, 40001).astype(dtype).reshape(1, -1)
    out = np.empty_like(a)
    _core.sigmoid(out, a, np.zeros(a.shape[1], dtype))
    assert ulps(out, 1 / (1 + np.exp(-a.astype(np.longdouble)))) <= 2
    assert (np.diff(out[0]) >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_at_the_ends(dtype):
    a = np.array([[-np.inf, -1e30, -1e4, 0, 1e4, 1e30, np.inf, np.nan]], dtype)
    out = np.empty_like(a)
    _core.sigmoid(out, a, np.zeros(8, dtype))
    assert (out[0, :3] >= 0).all()
    assert (out[0, :3] < 1e-37).all()
    assert out[0, 3:7].tolist() == [0.5, 1, 1, 1]
    assert np.isnan(out[0, 7])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1), (3, 7), (100, 33), (50, 1000), (3, 20000)])
def test_bias(shape, dtype, threads):
    """add_bias, sigmoid and sigmoid_sample agree with each other and with numpy, in place or not."""
    rng = np.random.default_rng(1)
    a, bias = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape[1]).astype(dtype)
    out, p, s, sampled = (np.full(shape, np.nan, dtype) for _ in range(4))
    _core.add_bias(out, a, bias)
    assert out.tobytes() == (a + bias).tobytes()
    _core.sigmoid(p, a, bias)
    np.testing.assert_allclose(
        p, 1 / (1 + np.exp(-(a + bias).astype(np.float64))), rtol=4 * np.finfo(dtype).eps
    )
    _core.bernoulli(s, p, 3, 4)
    in_place = a.copy()
    _core.sigmoid_sample(in_place, sampled, in_place, bias, 3, 4)
    assert in_place.tobytes() == p.tobytes()
    assert sampled.tobytes() == s.tobytes()
    other = a.copy()
    _core.sigmoid_sample(out, other, other, bias, 3, 4)
    assert other.tobytes() == s.tobytes()
    _core.add_bias(a, a, bias)
    _core.sigmoid(a, a, np.zeros_like(bias))
    assert a.tobytes() == p.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_bernoulli_compares_with_its_word(dtype):
    n = 10001
    words, p, s = np.empty(n, np.uint32), np.random.default_rng(0).random(n).astype(dtype), np.empty(n, dtype)
    _core.random_bits(words, 11, 12)
    _core.bernoulli(s, p, 11, 12)
    u = (words >> 8) * 2.0**-24 if dtype == np.float32 else words * 2.0**-32
    assert (s == (u < p)).all()
    _core.bernoulli(p, p, 11, 12)
    assert p.tobytes() == s.tobytes()
    for certain in (0, 1):
        p[:] = certain
        _core.bernoulli(s, p, 1, 1)
        assert (s == certain).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_drops_what_bernoulli_hits(dtype):
    """And scales the rest, so that the mean stays."""
    n = 10001
    a = np.random.default_rng(0).normal(size=n).astype(dtype)
    hit, out = np.empty(n, dtype), np.empty(n, dtype)
    for rate in (0.0, 0.2, 0.5):
        _core.bernoulli(hit, np.full(n, rate, dtype), 11, 12)
        _core.dropout(out, a, rate, 11, 12)
        assert (out == np.where(hit, 0, a * dtype(1 / (1 - rate)))).all()
    _core.dropout(a, a, 0.5, 11, 12)
    assert a.tobytes() == out.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("shape", [(0,), (1,), (33,), (7, 9), (300, 200)])
def test_update(shape, soft, dtype, threads):
    rng = np.random.default_rng(2)
    w, v, g = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    lr, momentum, l1, l2 = 0.1, 0.9, 0.2, 0.01
    W, V, G = w.astype(np.float64), v.astype(np.float64), g.astype(np.float64)
    V = momentum * V - lr * (G + l2 * W + (0 if soft else l1 * np.sign(W)))
    W = W + V
    if soft:
        W = np.sign(W) * np.maximum(np.abs(W) - lr * l1 / (1 - momentum), 0)
    _core.update(w, v, g, lr, momentum, l1, l2, soft)
    np.testing.assert_allclose(v, V, rtol=0, atol=10 * np.finfo(dtype).eps)
    np.testing.assert_allclose(w, W, rtol=0, atol=20 * np.finfo(dtype).eps)
    if soft and w.size > 1000:
        assert 0.05 < (w == 0).mean() < 0.3
        assert not np.signbit(w[w == 0]).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_update_leaves_no_denormals_and_keeps_nan(dtype):
    w, v = np.array([1e-35, -1e-35, 1, np.nan], dtype), np.array([1e-33, 0, 1e-33, 0], dtype)
    _core.update(w, v, np.zeros(4, dtype), 0.1, 0.5, 0, 0, False)
    assert w[:3].tolist() == [0, 0, 1]
    assert v[:3].tolist() == [0, 0, 0]
    assert np.isnan(w[3])


# --- sums


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (255, 7), (256, 17), (257, 33), (600, 530), (5000, 40)])
def test_colsum(shape, dtype, threads):
    a = np.random.default_rng(3).standard_normal(shape).astype(dtype)
    total = np.zeros(shape[1], dtype)
    for start in range(0, shape[0], 256):
        block = np.zeros(shape[1], dtype)
        for row in a[start : start + 256]:
            block += row
        total += block
    out = np.full(shape[1], np.nan, dtype)
    _core.colsum(out, a)
    assert out.tobytes() == total.tobytes()
    before = out.copy()
    _core.colsum(out, a, alpha=0.3, beta=-2)
    assert out.tobytes() == (dtype(0.3) * total + dtype(-2) * before).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (9, 15), (9, 16), (100, 33), (700, 784)])
def test_row_sqdist(shape, dtype, threads):
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    out = np.full(shape[0], np.nan)
    _core.row_sqdist(out, x, y)
    np.testing.assert_allclose(out, ((x.astype(np.float64) - y) ** 2).sum(axis=1), rtol=1e-14)
    alone = np.empty(1)
    for i in range(0, shape[0], 50):
        _core.row_sqdist(alone, x[i : i + 1], y[i : i + 1])
        assert alone[0] == out[i]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 0), (5, 16), (7, 255), (300, 257), (40, 2000)])
def test_row_softplus(shape, dtype, threads):
    rng = np.random.default_rng(0)
    a, bias = (rng.standard_normal(size).astype(dtype) * 8 for size in (shape, shape[1]))
    out = np.empty(shape[0])
    _core.row_softplus(out, a, bias, 0.7)
    scaled = dtype(0.7) * (a + bias)
    np.testing.assert_allclose(
        out, np.logaddexp(0, scaled.astype(float)).sum(1), rtol=8 * np.finfo(dtype).eps
    )
    for i in range(0, shape[0], 97):  # a row does not depend on its neighbours
        alone = np.empty(1)
        _core.row_softplus(alone, a[i : i + 1], bias, 0.7)
        assert alone[0] == out[i]


@pytest.mark.parametrize("dtype", DTYPES)
def test_softplus_keeps_its_digits(dtype):
    """Also far below zero, where log(1 + exp(x)) is a small number."""
    x = np.linspace(-80, 80, 40001).astype(dtype)[:, None]
    out = np.empty(len(x))
    _core.row_softplus(out, x, np.zeros(1, dtype))
    exact = np.log1p(np.exp(x[:, 0].astype(np.longdouble)))
    assert ulps(out.astype(dtype), exact) <= 4
    _core.row_softplus(out[:3], np.array([[np.inf], [1e30], [-1e30]], dtype), np.zeros(1, dtype))
    assert out[0] == np.inf
    assert out[1] == dtype(1e30)
    assert 0 <= out[2] < 1e-37
