"""The kernels in a program: instruction sets, threads, forks, signals, and what they refuse."""

import hashlib
import mmap
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from featlearn import _core

BYTES = """
import hashlib, sys
import numpy as np
from featlearn import _core

digest = hashlib.sha256()
for threads in (1, 2):
    _core.set_threads(threads)
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        x, bias = rng.standard_normal((61, 301)).astype(dtype) * 9, rng.standard_normal(301).astype(dtype)
        y, w = rng.standard_normal((301, 53)).astype(dtype), rng.standard_normal((61, 301)).astype(dtype)
        arrays = [np.empty_like(x) for _ in range(5)]
        _core.sigmoid(arrays[0], x, bias)
        _core.sigmoid_sample(arrays[1], arrays[2], x, bias, 1, 2)
        _core.normal(arrays[3], 1, 2)
        _core.uniform(arrays[4], 1, 2)
        products = [np.zeros(shape, dtype) for shape in ((61, 53), (301, 301), (61, 61))]
        _core.gemm(products[0], x, y, alpha=0.3)
        _core.gemm(products[1], x, w, trans_a=True, alpha=0.3, beta=0.7)
        _core.gemm(products[2], x, w, trans_b=True)
        sums, distances = np.zeros(301, dtype), np.zeros(61)
        _core.colsum(sums, x)
        _core.row_sqdist(distances, x, w)
        _core.update(w, x, arrays[3], 0.1, 0.9, 0.3, 0.2, True)
        _core.update(w, x, arrays[3], 0.1, 0.9, 0.3, 0.2, False)
        layer = [x.copy() for _ in range(5)]
        for out, kind in zip(list(layer), ("linear", "sigmoid", "tanh", "relu")):
            _core.activate(out, x, bias, kind)
            delta, error = w.copy(), np.empty(61)
            _core.backward(delta, out, kind, bias)
            _core.output_error(delta, error, delta, out, kind, w)
            layer += [delta, error]
        leaky, slopes = [w.copy(), w.copy()], np.linspace(-1, 2, 301).astype(dtype)
        _core.leaky(leaky[0], x, bias, slopes)
        _core.leaky_backward(leaky[1], x, bias, slopes)
        layer += leaky
        entropy, loss, labels = np.empty(61), np.empty(61), np.arange(61, dtype=np.int32)
        _core.cross_entropy(entropy, x, bias, arrays[0], arrays[4])
        _core.softmax(layer[0], loss, x, bias, labels)
        m, v = np.zeros_like(w), np.zeros_like(w)
        _core.adam(layer[1], m, v, x, 0.1, 0.9, 0.99, 1e-8, 3, 0.3, 0.2, True)
        codes = [np.ascontiguousarray(w[:, :53]) for _ in range(4)]
        for codes_by in (y / 9, np.ascontiguousarray(y[:53] + y[:53].T)):
            made = None if len(codes_by) == 53 else np.empty_like(x)
            around = codes[3], np.ascontiguousarray(x[:, :53]), codes_by
            _core.relax(*codes[:3], entropy, made, *around, 3.0, 1.0, 0.3, 0.1, 4)
            layer += [code.copy() for code in codes[:3]] + [entropy if made is None else made]
        for array in (*arrays, *products, sums, distances, w, x, *layer, entropy, loss, m, v):
            digest.update(array.tobytes())
    bits = np.empty(1001, np.uint32)
    _core.random_bits(bits, 1, 2)
    digest.update(bits.tobytes())
print(_core.isa(), digest.hexdigest())
"""


def run(isa, code=BYTES):
    environment = os.environ | {"FEATLEARN_ISA": isa}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100
    )


def test_instruction_sets_give_the_same_bytes():
    found = [run(isa) for isa in _core._isas()]
    assert [result.stdout.split()[0] for result in found] == _core._isas()
    assert len({result.stdout.split()[1] for result in found}) == 1


def test_unknown_instruction_set():
    result = run("mmx", "import featlearn._core")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: FEATLEARN_ISA is 'mmx'")
    assert all(isa in last for isa in _core._isas())


def test_calls_from_several_threads_at_a_time():
    """One pool serves one call at a time; the others go on alone."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((250, 250)).astype(np.float32) for _ in range(2))
    wanted = np.empty_like(a)
    _core.gemm(wanted, a, b)
    wrong = []

    def work():
        out = np.empty_like(wanted)
        for _ in range(30):
            _core.gemm(out, a, b)
            if out.tobytes() != wanted.tobytes():
                wrong.append(1)

    before = _core.get_threads()
    _core.set_threads(2)
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    _core.set_threads(before)
    assert not wrong


def test_fork():
    """A forked child has none of its parent's threads, and can work all the same."""
    code = """
import os, numpy as np
from featlearn import _core
a, out = np.ones((300, 300), np.float32), np.empty((300, 300), np.float32)
_core.set_threads(2)
_core.gemm(out, a, a)
child = os.fork()
_core.gemm(out, a, a)
if child == 0:
    os._exit(0 if (out == 300).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    result = run("", code)
    assert result.stdout.strip() == "0", result.stderr


def test_a_long_call_answers_signals():
    """A product of some seconds is interrupted between its parts."""
    n = 6000
    a, out = np.ones((n, n)), np.empty((n, n))

    class Interrupted(Exception):
        pass

    def handler(number, frame):
        raise Interrupted

    before, threads = signal.signal(signal.SIGALRM, handler), _core.get_threads()
    _core.set_threads(1)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    start = time.perf_counter()
    try:
        with pytest.raises(Interrupted):
            _core.gemm(out, a, a)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        _core.set_threads(threads)
    assert time.perf_counter() - start < 1


# --- refusals


def f(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def frozen(*shape):
    array = f(*shape)
    array.flags.writeable = False
    return array


SHARED = f(4, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: _core.gemm(f(2, 3), f(2, 4), f(5, 3)), r"gemm: b has shape \(5, 3\), wanted \(4, 3\)"),
        (lambda: _core.gemm(f(2, 3), f(3, 4), f(4, 3)), r"gemm: a has shape \(3, 4\), wanted \(2, any\)"),
        (
            lambda: _core.gemm(f(2, 3), f(2, 4), f(4, 3), True),
            r"gemm: a has shape \(2, 4\), wanted \(any, 2\)",
        ),
        (lambda: _core.gemm(f(3), f(2, 4), f(4, 3)), r"gemm: out has shape \(3,\), wanted \(any, any\)"),
        (lambda: _core.gemm(f(2, 3), f(2, 4, dtype=float), f(4, 3)), "gemm: a is float64, wanted float32"),
        (
            lambda: _core.gemm(f(2, 3, dtype="i8"), f(2, 4), f(4, 3)),
            "gemm: out is int64, wanted float32 or float64",
        ),
        (
            lambda: _core.gemm(f(2, 3, dtype="i2"), f(2, 4), f(4, 3)),
            "gemm: out is of type 'h', wanted float32",
        ),
        (lambda: _core.gemm(f(2, 3), f(4, 2).T, f(4, 3)), "gemm: a: .*wanted a C-contiguous array"),
        (
            lambda: _core.gemm(frozen(2, 3), f(2, 4), f(4, 3)),
            "gemm: out: .*wanted a C-contiguous writable array",
        ),
        (lambda: _core.gemm(f(2, 3), [[1.0]], f(4, 3)), "gemm: a is list, wanted an array"),
        (lambda: _core.gemm(SHARED, SHARED, f(4, 4)), "gemm: out shares memory with a"),
        (lambda: _core.gemm(SHARED, f(4, 4), SHARED), "gemm: out shares memory with b"),
        (lambda: _core.gemm(SHARED[:2], SHARED[1:3], f(4, 4)), "gemm: out shares memory with a"),
        (lambda: _core.colsum(f(3), f(2, 4)), r"colsum: a has shape \(2, 4\), wanted \(any, 3\)"),
        (lambda: _core.sigmoid(f(2, 3), f(2, 3), f(2)), r"sigmoid: bias has shape \(2,\), wanted \(3,\)"),
        (lambda: _core.sigmoid(SHARED[:2], SHARED[1:3], f(4)), "sigmoid: out shares memory with a"),
        (
            lambda: _core.sigmoid_sample(SHARED, SHARED, f(4, 4), f(4), 0, 0),
            "sigmoid_sample: s shares memory with p",
        ),
        (lambda: _core.bernoulli(f(3), f(4), 0, 0), r"bernoulli: p has shape \(4,\), wanted \(3,\)"),
        (lambda: _core.dropout(f(3), f(4), 0.5, 0, 0), r"dropout: a has shape \(4,\), wanted \(3,\)"),
        (lambda: _core.dropout(f(3), f(3), 1.0, 0, 0), "dropout: rate is 1.0, wanted 0 <= rate < 1"),
        (lambda: _core.normal(f(3), -1, 0), r"normal: seed is -1, wanted an integer from 0 to 2\^64 - 1"),
        (lambda: _core.uniform(f(3), 0, 2**64), "uniform: draw is 18446744073709551616"),
        (lambda: _core.random_bits(f(3), 0, 0), "random_bits: out is float32, wanted uint32"),
        (
            lambda: _core.update(f(3), f(3), f(4), 1, 0, 0, 0, False),
            r"update: grad has shape \(4,\), wanted \(3,\)",
        ),
        (
            lambda: _core.update(f(3), f(3), f(3), 1, 1, 0, 0, True),
            "update: momentum is 1.0, wanted 0 <= momentum < 1",
        ),
        (lambda: _core.row_sqdist(f(3), f(3, 2), f(3, 2)), "row_sqdist: out is float32, wanted float64"),
        (lambda: _core.row_sqdist(f(3, dtype=float), f(3, 2), f(3, 1)), r"row_sqdist: y has shape \(3, 1\)"),
        (lambda: _core.row_softplus(f(3), f(3, 2), f(2)), "row_softplus: out is float32, wanted float64"),
        (
            lambda: _core.row_softplus(f(3, dtype=float), f(3, 2), f(3)),
            r"row_softplus: bias has shape \(3,\)",
        ),
        (lambda: _core.row_softplus(f(3, dtype=float), f(2, 2), f(2)), r"row_softplus: a has shape \(2, 2\)"),
        (lambda: _core.set_threads(0), "set_threads: n is 0, wanted at least 1"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(ValueError, match=words) as info:
        call()
    assert "\n" not in str(info.value)


def test_read_only_and_mapped_inputs(tmp_path):
    path = tmp_path / "numbers"
    numbers = np.arange(12, dtype=np.float32)
    path.write_bytes(numbers.tobytes())
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        a = np.frombuffer(mapped, np.float32).reshape(3, 4)
        out = np.empty((3, 3), np.float32)
        _core.gemm(out, a, a, trans_b=True)
        assert (out == numbers.reshape(3, 4) @ numbers.reshape(3, 4).T).all()
        p, s = np.empty_like(a), np.empty_like(a)
        _core.sigmoid_sample(p, s, a, frozen(4), 0, 0)
        _core.update(p, s, a, 0.1, 0, 0, 0, False)
        del a


def test_set_threads():
    before = _core.get_threads()
    _core.set_threads(3)
    assert _core.get_threads() == (3 if _core.has_threads() else 1)
    _core.set_threads(before)


def test_bytes_do_not_depend_on_memory_alignment():
    """The same numbers, one element off in memory."""
    digests = set()
    for offset in (0, 1):
        room = np.zeros(100 * 77 + 1, np.float32)
        x = room[offset : offset + 100 * 77].reshape(100, 77)
        x[:] = np.random.default_rng(0).standard_normal((100, 77))
        out = np.empty((100, 100), np.float32)
        _core.gemm(out, x, x, trans_b=True)
        _core.sigmoid(x, x, np.zeros(77, np.float32))
        digests.add(hashlib.sha256(out.tobytes() + x.tobytes()).hexdigest())
    assert len(digests) == 1
