"""Rows are the same bytes from memory and made anew, in any order and number."""

import numpy as np
import pytest

from featlearn.patches.fitter import Fitter
from featlearn.patches.rows import Rows
from featlearn.patches.settings import PreprocessSpec


def patches(n=600, d=30):
    return np.random.default_rng(0).integers(0, 255, (n, d), np.uint8)


def fit(spec, rows):
    fitter = Fitter(spec, rows.shape[1], rows.dtype)
    fitter.update(rows)
    return fitter.finish()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spec", [PreprocessSpec("none"), PreprocessSpec("contrast", "zca", clip=2.0)])
def test_the_same_bytes_from_memory_and_by_the_block(tmp_path, spec, dtype):
    raw = patches()
    raw.tofile(tmp_path / "raw")
    mapped = np.memmap(tmp_path / "raw", np.uint8, "r", shape=raw.shape)
    done = fit(spec, raw)
    wanted = done.apply(raw, dtype)
    index = np.array([5, 599, 0, 5, 311])
    for memory in (2**31, 0):
        rows = Rows(mapped, done, dtype, memory)
        assert len(rows) == 600
        assert (rows.n_visible, rows.low, rows.high) == (30, done.low, done.high)
        assert rows.take(index).tobytes() == wanted[index].tobytes()
        assert rows.take(index[:1]).tobytes() == wanted[5].tobytes()
        assert rows.block(100, 137).tobytes() == wanted[100:137].tobytes()
        assert rows.block(0, 600).tobytes() == wanted.tobytes()
        assert rows.block(7, 7).shape == rows.take(index[:0]).shape == (0, 30)
        assert rows.take(index).dtype == rows.block(0, 3).dtype == dtype


@pytest.mark.parametrize("memory", [2**31, 0])
def test_what_is_handed_out_is_the_caller_s_own(memory):
    raw = patches()
    rows = Rows(raw, fit(PreprocessSpec("none"), raw), memory=memory)
    wanted = rows.block(0, 3)
    rows.block(0, 3)[:] = 7
    rows.take(np.arange(3))[:] = 7
    assert np.array_equal(rows.block(0, 3), wanted)
    assert np.array_equal(rows.take(np.arange(3)), wanted)


def test_memory_decides_by_the_size_of_the_floats():
    raw = patches()
    done = fit(PreprocessSpec("none"), raw)
    calls, apply = [], done.apply_with_stats
    done.apply_with_stats = lambda rows, *more: calls.append(len(rows)) or apply(rows, *more)
    for memory, made in ((600 * 30 * 4, [600]), (600 * 30 * 4 - 1, [2, 3])):
        calls.clear()
        rows = Rows(raw, done, memory=memory)
        rows.take(np.arange(2))
        rows.block(4, 7)
        assert calls == made
