"""The kernels of sparse codes against numpy and loops that spell them out, on all threads and instruction
sets."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from featlearn import _core

DTYPES = [np.float32, np.float64]


# --- the twins


def top_k(a, k, bias=None):
    """By a stable sort of the numbers from the largest on."""
    a = a if bias is None else a + bias
    rank = np.where(np.isnan(a), np.inf, a)
    order = np.lexsort((-rank, ~np.isnan(a)), axis=1)  # NaN first, then by size, then by column
    index = np.sort(order[:, :k], axis=1)
    return index.astype(np.int32), np.take_along_axis(a, index, axis=1)


def found_top_k(a, k, bias=None):
    index = np.full((len(a), k), -1, np.int32)
    value = np.full((len(a), k), 77, a.dtype)
    _core.top_k(index, value, a, bias)
    return index, value


def check_top_k(a, k, bias=None):
    index, value = top_k(a, k, bias)
    found = found_top_k(a, k, bias)
    assert (found[0] == index).all()
    nan = np.isnan(value)
    assert (nan == np.isnan(found[1])).all()
    assert np.where(nan, 0, value).tobytes() == np.where(nan, 0, found[1]).tobytes()


def fma(x, y, z):
    """x y + z rounded once: float32 by way of longdouble (a product is exact there), float64 with an exact
    product."""
    if z.dtype == np.float32:
        product = x.astype(np.float64) * y.astype(np.float64)
        total = product + z.astype(np.float64)
        part = total - product
        lost = (product - (total - part)) + (z.astype(np.float64) - part)
        # Rounded to odd, so that the second rounding is as good as one.
        bits = total.view(np.int64)
        inward = (lost != 0) & ((lost < 0) != (total < 0))
        bits = np.where(lost != 0, (bits - inward) | 1, bits)
        return bits.view(np.float64).astype(np.float32)
    from fractions import Fraction

    shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
    triples = zip(*(np.broadcast_to(v, shape).ravel().tolist() for v in (x, y, z)), strict=True)
    return np.array([float(Fraction(p) * Fraction(q) + Fraction(r)) for p, q, r in triples]).reshape(shape)


def rows_of(start):
    return np.repeat(np.arange(len(start) - 1), np.diff(start))


def decode(start, index, value, F, bias=None):
    out = np.zeros((len(start) - 1, F.shape[1]), F.dtype)
    for i, e in zip(rows_of(start), range(len(index)), strict=True):
        out[i] = fma(value[e : e + 1], F[index[e]], out[i])
    return out if bias is None else out + bias


def dot(start, index, R, F):
    m, d = len(index), F.shape[1]
    padded = -(-d // 16) * 16
    A, B = np.zeros((m, padded), F.dtype), np.zeros((m, padded), F.dtype)
    A[:, :d], B[:, :d] = F[index], R[rows_of(start)]
    lanes = np.zeros((m, 16), F.dtype)
    for j in range(0, padded, 16):
        lanes = fma(A[:, j : j + 16], B[:, j : j + 16], lanes)
    for half in (8, 4, 2, 1):
        lanes = lanes[:, :half] + lanes[:, half : 2 * half]
    return lanes[:, 0]


def gradient(G, start, index, value, R, delta=None, X=None, alpha=1.0, beta=0.0):
    total, S = np.zeros_like(G), np.zeros_like(G)
    blocks = [*rows_of(start) // 256, -1]
    for i, e in zip(rows_of(start), range(len(index)), strict=True):
        f = index[e]
        S[f] = fma(value[e : e + 1], R[i], S[f])
        if delta is not None:
            S[f] = fma(delta[e : e + 1], X[i], S[f])
        if blocks[e + 1] != blocks[e]:
            total, S = total + S, np.zeros_like(G)
    t = G.dtype.type(alpha) * total
    return t if beta == 0 else t + G.dtype.type(beta) * G


def scatter(out, start, index, value, alpha=1.0, beta=0.0):
    total = np.zeros_like(out)
    for block in range(0, len(start) - 1, 256):
        entries = slice(start[block], start[min(block + 256, len(start) - 1)])
        block_sum = np.zeros_like(out)
        for f, x in zip(index[entries], value[entries], strict=True):
            block_sum[f] += x
        total += block_sum
    t = out.dtype.type(alpha) * total
    return t if beta == 0 else t + out.dtype.type(beta) * out


# --- top_k


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(
    ("n", "h", "k"),
    [
        (0, 5, 2),
        (1, 1, 1),
        (3, 2, 1),
        (9, 7, 7),
        (50, 63, 5),
        (50, 64, 1),
        (50, 65, 64),
        (40, 127, 3),
        (40, 300, 299),
        (200, 1000, 25),
        (33, 1001, 1),
        (20, 1023, 200),
        (17, 5000, 65),
        (7, 16384, 32),
        (1, 300000, 2500),
    ],
)
def test_top_k(n, h, k, with_bias, dtype, threads):
    rng = np.random.default_rng([n, h, k])
    a = rng.standard_normal((n, h)).astype(dtype)
    bias = rng.standard_normal(h).astype(dtype) if with_bias else None
    check_top_k(a, k, bias)
    check_top_k(np.round(a), k, None if bias is None else np.round(bias))  # many ties
    check_top_k(np.maximum(a - 2, 0), k, bias)  # mostly zeros
    check_top_k(-np.abs(a), k, bias)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 2, 25, 100, 700])
def test_top_k_of_awkward_rows(k, dtype):
    """Rows in order, all equal, and with one large block: candidates overflow, or a first bound is bad."""
    h = 700
    up = np.arange(h, dtype=dtype)
    zeros = np.zeros(h, dtype)
    signs = np.where(np.arange(h) % 3 == 0, dtype(-0.0), dtype(0))
    lumps = np.where(np.arange(h) % 64 == 5, dtype(9), dtype(0)) + up / 1000
    tiny = np.finfo(dtype).smallest_subnormal * (up - 300)
    largest = np.where(up % 2 == 0, np.finfo(dtype).max, -np.finfo(dtype).max)
    check_top_k(np.stack([up, -up, up[::-1] % 10, zeros, zeros - 3, signs, lumps, tiny, largest]), k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("h", [10, 700])
def test_top_k_with_nan_and_infinity(h, dtype):
    """NaN ranks above everything, whatever its sign and bits; k may be more or less than there are."""
    rng = np.random.default_rng(h)
    a = rng.standard_normal((60, h)).astype(dtype)
    nans = np.array([np.nan, -np.nan], dtype)
    for i, row in enumerate(a):
        row[rng.permutation(h)[: i * h // 80]] = nans[i % 2]
        row[rng.permutation(h)[: i * h // 160]] = np.inf
        row[rng.permutation(h)[: i * h // 160]] = -np.inf
    for k in (1, 2, 5, h // 2, h):
        check_top_k(a, k)
    for value in (np.nan, np.inf, -np.inf):
        check_top_k(np.full((2, h), value, dtype), h // 2)


def test_top_k_ties_go_to_the_lowest_column():
    a = np.array([[1, 3, 2, 3, 2, 2]], np.float32)
    assert found_top_k(a, 3)[0].tolist() == [[1, 2, 3]]
    assert found_top_k(np.array([[-0.0, 0.0, -0.0]]), 2)[0].tolist() == [[0, 1]]


@pytest.mark.parametrize("k", [1, 3000, 70000])
def test_top_k_of_one_very_long_row(k):
    """It comes in several calls."""
    rng = np.random.default_rng(k)
    a = rng.standard_normal((1, (1 << 23) + 77), dtype=np.float32)
    a[0, 100:200000] = np.sort(a[0, 100:200000])
    index, value = found_top_k(a, k)
    threshold = np.partition(a[0], -k)[-k]
    above = np.flatnonzero(a[0] > threshold)
    ties = np.flatnonzero(a[0] == threshold)[: k - len(above)]
    assert (index[0] == np.sort(np.concatenate([above, ties]))).all()
    assert (value[0] == a[0, index[0]]).all()


# --- products


def problem(n, d, h, m, dtype):
    """A CSR with rows of any length (also none), and what the kernels take."""
    rng = np.random.default_rng([n, d, h, m])
    lengths = np.bincount(rng.integers(0, n, m), minlength=n) if n else np.zeros(0, int)
    lengths = np.minimum(lengths, h)
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    chosen = [np.sort(rng.permutation(h)[:length]) for length in lengths]
    index = np.concatenate([*chosen, np.zeros(0)]).astype(np.int32)
    numbers = {
        name: rng.standard_normal(shape).astype(dtype)
        for name, shape in [
            ("value", len(index)),
            ("delta", len(index)),
            ("F", (h, d)),
            ("G", (h, d)),
            ("R", (n, d)),
            ("X", (n, d)),
            ("bias", d),
            ("out", h),
        ]
    }
    return start, index, numbers


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n", "d", "h", "m"),
    [
        (0, 3, 4, 0),
        (3, 0, 4, 5),
        (4, 5, 0, 0),
        (4, 5, 6, 0),
        (1, 1, 1, 1),
        (2, 7, 40, 66),
        (9, 16, 5, 30),
        (11, 33, 50, 100),
        (60, 100, 70, 900),
        (520, 9, 7, 900),
        (3, 2500, 30, 40),
    ],
)
def test_products(n, d, h, m, dtype, threads):
    """The bytes of the twins, which spell out each fma."""
    if dtype == np.float64 and n * d > 5000:
        n, d, m = n // 3 or 1, d // 3, m // 9  # fractions are slow
    start, index, x = problem(n, d, h, m, dtype)
    for bias in (None, x["bias"]):
        out = np.full((n, d), np.nan, dtype)
        _core.sparse_decode(out, start, index, x["value"], x["F"], bias)
        assert out.tobytes() == decode(start, index, x["value"], x["F"], bias).tobytes()

    out = np.full(len(index), np.nan, dtype)
    _core.sparse_dot(out, start, index, x["R"], x["F"])
    assert out.tobytes() == dot(start, index, x["R"], x["F"]).tobytes()

    for alpha, beta in [(1.0, 0.0), (-0.3, 0.7)]:
        for second in ((), (x["delta"], x["X"])):
            G = np.full((h, d), np.nan, dtype) if beta == 0 else x["G"].copy()
            wanted = gradient(G, start, index, x["value"], x["R"], *second, alpha=alpha, beta=beta)
            _core.sparse_gradient(G, start, index, x["value"], x["R"], *second, alpha=alpha, beta=beta)
            assert G.tobytes() == wanted.tobytes()
        out = np.full(h, np.nan, dtype) if beta == 0 else x["out"].copy()
        wanted = scatter(out, start, index, x["value"], alpha, beta)
        _core.scatter_sum(out, start, index, x["value"], alpha, beta)
        assert out.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_products(dtype, threads):
    """Against dense products in float64, and each row (or feature) against a call of its own."""
    n, d, h = 150, 784, 1000
    start, index, x = problem(n, d, h, 25 * n, dtype)
    H, D = np.zeros((n, h)), np.zeros((n, h))
    H[rows_of(start), index], D[rows_of(start), index] = x["value"], x["delta"]
    F, R, X = (x[name].astype(np.float64) for name in "FRX")
    close = {"rtol": 0, "atol": 2000 * np.finfo(dtype).eps}
    out = np.empty_like(x["R"])
    dots = np.empty_like(x["value"])
    G = np.empty_like(x["G"])
    total = np.empty(h, dtype)
    _core.sparse_decode(out, start, index, x["value"], x["F"], x["bias"])
    np.testing.assert_allclose(out, H @ F + x["bias"], **close)
    _core.sparse_dot(dots, start, index, x["R"], x["F"])
    np.testing.assert_allclose(dots, (R @ F.T)[rows_of(start), index], **close)
    _core.sparse_gradient(G, start, index, x["value"], x["R"], x["delta"], x["X"], 0.5)
    np.testing.assert_allclose(G, 0.5 * (H.T @ R + D.T @ X), **close)
    _core.scatter_sum(total, start, index, x["value"], 2.0)
    np.testing.assert_allclose(total, 2 * H.sum(0), **close)
    for i in (0, 1, 77, n - 1):
        part = slice(start[i], start[i + 1])
        alone = np.array([0, start[i + 1] - start[i]])
        row, few = np.empty((1, d), dtype), np.empty(alone[1], dtype)
        _core.sparse_decode(row, alone, index[part], x["value"][part], x["F"], x["bias"])
        assert row.tobytes() == out[i].tobytes()
        _core.sparse_dot(few, alone, index[part], x["R"][i : i + 1], x["F"])
        assert few.tobytes() == dots[part].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [256, 257, 700])
def test_the_sums_of_full_codes_are_those_of_dense_ones(n, dtype, threads):
    """Where no entry is left out, sums over rows are gemm's and colsum's to the byte."""
    d, h = 33, 21
    rng = np.random.default_rng(n)
    H, R, G = (rng.standard_normal(shape).astype(dtype) for shape in [(n, h), (n, d), (h, d)])
    start, index = h * np.arange(n + 1), np.tile(np.arange(h, dtype=np.int32), n)
    wanted = G.copy()
    _core.gemm(wanted, H, R, trans_a=True, alpha=0.3, beta=-0.7)
    _core.sparse_gradient(G, start, index, H.ravel(), R, alpha=0.3, beta=-0.7)
    assert G.tobytes() == wanted.tobytes()
    sums, found = np.ones(h, dtype), np.ones(h, dtype)
    _core.colsum(sums, H, alpha=0.3, beta=-0.7)
    _core.scatter_sum(found, start, index, H.ravel(), alpha=0.3, beta=-0.7)
    assert found.tobytes() == sums.tobytes()


def test_a_tied_step_is_the_gradient_of_its_loss():
    """The kernels together: for loss sum (H F + b - X)^2 / 2 with H = top_k(X F'), by finite differences."""
    rng = np.random.default_rng(5)
    n, d, h, k = 6, 11, 20, 4
    X, F, b = rng.standard_normal((n, d)), rng.standard_normal((h, d)), rng.standard_normal(d)
    start = k * np.arange(n + 1)
    index, value = np.empty((n, k), np.int32), np.empty((n, k))

    def forward(F):
        a, Y = np.empty((n, h)), np.empty((n, d))
        _core.gemm(a, X, F, trans_b=True)
        _core.top_k(index, value, a)
        _core.sparse_decode(Y, start, index.ravel(), value.ravel(), F, b)
        return Y - X

    R = forward(F)
    delta, G = np.empty(n * k), np.empty_like(F)
    _core.sparse_dot(delta, start, index.ravel(), R, F)
    _core.sparse_gradient(G, start, index.ravel(), value.ravel(), R, delta, X)
    before = index.copy()
    for f, j in [(index[0, 0], 0), (index[3, 2], 7), (index[5, 3], 10)]:
        losses = []
        for step in (1e-6, -1e-6):
            moved = F.copy()
            moved[f, j] += step
            losses.append((forward(moved) ** 2).sum() / 2)
            assert (index == before).all()
        np.testing.assert_allclose(G[f, j], (losses[0] - losses[1]) / 2e-6, rtol=1e-6)


# --- in a program

BYTES = """
import hashlib
import numpy as np
from featlearn import _core

digest = hashlib.sha256()
n, d, h, k = 61, 301, 403, 13
start = k * np.arange(n + 1)
for threads in (1, 2, 3):
    _core.set_threads(threads)
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        a, bias = rng.standard_normal((n, h)).astype(dtype), rng.standard_normal(h).astype(dtype)
        a[0, :99], a[1, ::2], a[2, ::3], a[3] = np.nan, np.inf, -0.0, 1
        index, value = np.empty((n, k), np.int32), np.empty((n, k), dtype)
        for c in (None, bias):
            _core.top_k(index, value, a, c)
            digest.update(index.tobytes() + np.nan_to_num(value).tobytes())
        index, value = index.ravel(), np.nan_to_num(value.ravel())
        F, R, X = (rng.standard_normal((rows, d)).astype(dtype) for rows in (h, n, n))
        Y, delta, G, total = np.empty_like(R), np.empty_like(value), np.empty_like(F), np.empty_like(bias)
        _core.sparse_decode(Y, start, index, value, F, X[0].copy())
        _core.sparse_dot(delta, start, index, R, F)
        _core.sparse_gradient(G, start, index, delta, R, delta, X, 0.3)
        _core.sparse_gradient(G, start, index, delta, R, None, None, 0.3, 0.2)
        _core.scatter_sum(total, start, index, delta, 0.3)
        for array in (Y, delta, G, total):
            digest.update(array.tobytes())
    print(threads, digest.hexdigest())
    digest = hashlib.sha256()
"""


def test_instruction_sets_and_threads_give_the_same_bytes():
    digests = set()
    for isa in _core._isas():
        environment = os.environ | {"FEATLEARN_ISA": isa}
        done = subprocess.run(
            [sys.executable, "-c", BYTES],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        lines = done.stdout.split()
        assert lines[::2] == ["1", "2", "3"]
        digests |= set(lines[1::2])
    assert len(digests) == 1


def test_a_long_top_k_answers_signals():
    a = np.broadcast_to(np.zeros(1, np.float32), (1, 1 << 24)).copy()
    index, value = np.empty((1, 10), np.int32), np.empty((1, 10), np.float32)

    class Interrupted(Exception):
        pass

    def handler(number, frame):
        raise Interrupted

    def work():
        while time.perf_counter() < start + 5:
            _core.top_k(index, value, a)

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    start = time.perf_counter()
    try:
        with pytest.raises(Interrupted):
            work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.perf_counter() - start < 1


# --- refusals


def f(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def i(*numbers):
    return np.array(numbers, np.int32)


def q(*numbers):
    return np.array(numbers, np.int64)


SHARED = f(4, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: _core.top_k(f(2, 3), f(2, 3), f(2, 4)), "top_k: index is float32, wanted int32"),
        (lambda: _core.top_k(q(0)[None], f(1, 1), f(1, 4)), "top_k: index is int64, wanted int32"),
        (
            lambda: _core.top_k(i(0)[None], f(1, 2), f(1, 4)),
            r"top_k: index has shape \(1, 1\), wanted \(1, 2\)",
        ),
        (
            lambda: _core.top_k(i(0)[None], f(1, 1), f(2, 4)),
            r"top_k: a has shape \(2, 4\), wanted \(1, any\)",
        ),
        (
            lambda: _core.top_k(i(0)[None], f(1, 1), f(1, 4), f(3)),
            r"top_k: bias has shape \(3,\), wanted \(4,\)",
        ),
        (
            lambda: _core.top_k(i(0)[None], f(1, 1), f(1, 4, dtype=float)),
            "top_k: a is float64, wanted float32",
        ),
        (
            lambda: _core.top_k(i(0, 0)[None], f(1, 2), f(1, 1)),
            "top_k: k is 2 of 1 columns, wanted 1 <= k <= columns",
        ),
        (lambda: _core.top_k(i()[None], f(1, 0), f(1, 1)), "top_k: k is 0 of 1 columns"),
        (
            lambda: _core.top_k(i(*range(4))[None], SHARED[:1], SHARED[:1]),
            "top_k: value shares memory with a",
        ),
        (
            lambda: _core.sparse_decode(f(1, 2), q(0, 1), i(3), f(1), f(3, 2)),
            "sparse_decode: index holds 3, wanted 0 to 2",
        ),
        (
            lambda: _core.sparse_decode(f(1, 2), q(0, 1), i(-1), f(1), f(3, 2)),
            "sparse_decode: index holds -1, wanted 0 to 2",
        ),
        (
            lambda: _core.sparse_decode(f(1, 2), q(0, 1), i(-(2**31)), f(1), f(3, 2)),
            "sparse_decode: index holds -2147483648",
        ),
        (
            lambda: _core.sparse_decode(f(1, 2), q(0, 1), i(0), f(1), f(0, 2)),
            "sparse_decode: index holds 0, wanted 0 to -1",
        ),
        (
            lambda: _core.sparse_decode(f(1, 2), q(0, 2), i(0), f(1), f(3, 2)),
            "start is from 0 to 2, wanted 0 to 1",
        ),
        (
            lambda: _core.sparse_decode(f(1, 2), q(1, 1), i(0), f(1), f(3, 2)),
            "start is from 1 to 1, wanted 0 to 1",
        ),
        (lambda: _core.sparse_decode(f(0, 2), q(), i(), f(0), f(3, 2)), "sparse_decode: start is empty"),
        (
            lambda: _core.sparse_decode(f(3, 2), q(0, 2, 1, 2), i(0, 1), f(2), f(3, 2)),
            "sparse_decode: start falls from 2 to 1",
        ),
        (
            lambda: _core.sparse_decode(f(3, 2), q(0, -5, 7, 2), i(0, 1), f(2), f(3, 2)),
            "sparse_decode: start falls from 0 to -5",
        ),
        (lambda: _core.sparse_decode(f(1, 2), i(0, 1), i(0), f(1), f(3, 2)), "start is int32, wanted int64"),
        (
            lambda: _core.sparse_decode(f(2, 2), q(0, 1), i(0), f(1), f(3, 2)),
            r"out has shape \(2, 2\), wanted \(1, 2\)",
        ),
        (
            lambda: _core.sparse_decode(f(1, 2), q(0, 1), i(0), f(2), f(3, 2)),
            r"value has shape \(2,\), wanted \(1,\)",
        ),
        (lambda: _core.sparse_decode(f(1, 2), q(0, 1), i(0), f(1), f(3, 2), f(3)), r"bias has shape \(3,\)"),
        (lambda: _core.sparse_decode(SHARED[:1], q(0, 1), i(0), f(1), SHARED), "out shares memory with F"),
        (lambda: _core.sparse_dot(f(1), q(0, 1), i(5), f(1, 2), f(3, 2)), "sparse_dot: index holds 5"),
        (
            lambda: _core.sparse_dot(f(2), q(0, 1), i(1), f(1, 2), f(3, 2)),
            r"sparse_dot: out has shape \(2,\)",
        ),
        (
            lambda: _core.sparse_dot(f(1), q(0, 1), i(1), f(1, 3), f(3, 2)),
            r"R has shape \(1, 3\), wanted \(1, 2\)",
        ),
        (
            lambda: _core.sparse_gradient(f(3, 2), q(0, 1), i(1), f(1), f(1, 2), f(1)),
            "sparse_gradient: one of delta and X is given, wanted both or none",
        ),
        (
            lambda: _core.sparse_gradient(f(3, 2), q(0, 1), i(3), f(1), f(1, 2)),
            "sparse_gradient: index holds 3",
        ),
        (
            lambda: _core.sparse_gradient(f(3, 2), q(0, 1), i(1), f(1), f(2, 2)),
            r"R has shape \(2, 2\), wanted \(1, 2\)",
        ),
        (
            lambda: _core.sparse_gradient(f(3, 2), q(0, 1), i(1), f(1), f(1, 2), f(1), f(1, 3)),
            r"sparse_gradient: X has shape \(1, 3\), wanted \(1, 2\)",
        ),
        (lambda: _core.scatter_sum(f(3), q(0, 1), i(3), f(1)), "scatter_sum: index holds 3, wanted 0 to 2"),
        (
            lambda: _core.scatter_sum(f(3), q(0, 1), i(2), f(2)),
            r"scatter_sum: value has shape \(2,\), wanted \(1,\)",
        ),
    ],
)
def test_refusals(call, words):
    with pytest.raises(ValueError, match=words) as info:
        call()
    assert "\n" not in str(info.value)
