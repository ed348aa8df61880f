"""Counted random numbers: the published vectors, the formulas, moments and independence."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from featlearn import _core

DTYPES = [np.float32, np.float64]


def test_philox_known_answers():
    """The vectors of Random123 that random_bits can name: counter (element // 4, draw), key seed."""
    words = np.empty(4, np.uint32)
    _core.random_bits(words, 0, 0)
    assert [f"{w:08x}" for w in words] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


def philox(element, seed, draw):
    """Philox4x32-10 in Python integers, written from the paper."""
    x = [element // 4 & 0xFFFFFFFF, element // 4 >> 32, draw & 0xFFFFFFFF, draw >> 32]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        first, second = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [
            second >> 32 ^ x[1] ^ key[0],
            second & 0xFFFFFFFF,
            first >> 32 ^ x[3] ^ key[1],
            first & 0xFFFFFFFF,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return x[element % 4]


def test_philox_twin_gives_the_known_answers():
    ones, digits = 0xFFFFFFFFFFFFFFFF, (0x85A308D3243F6A88, 0x0370734413198A2E, 0x299F31D0A4093822)
    assert [f"{philox(4 * ones + i, ones, ones):08x}" for i in range(4)] == [
        "408f276d",
        "41c83b0e",
        "a20bc7c6",
        "6d5451fd",
    ]
    words = [f"{philox(4 * digits[0] + i, digits[2], digits[1]):08x}" for i in range(4)]
    assert words == ["d16cfe09", "94fdcceb", "5001e420", "24126ea1"]


@pytest.mark.parametrize(
    ("seed", "draw"), [(0, 1), (1, 0), (2**64 - 1, 2**64 - 1), (0x123456789ABCDEF0, 5 << 48)]
)
def test_random_bits(seed, draw, threads):
    whole = np.empty(40000, np.uint32)
    _core.random_bits(whole, seed, draw)
    for e in [*range(70), 2047, 2048, 8191, 8192, 39999]:
        assert whole[e] == philox(e, seed, draw)
    for n in (0, 1, 7, 33, 2049):
        part = np.empty(n, np.uint32)
        _core.random_bits(part, seed, draw)
        assert part.tobytes() == whole[:n].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform(dtype, threads):
    n = 400001
    u, words = np.empty(n, dtype), np.empty(2 * n, np.uint32)
    _core.uniform(u, 5, 6)
    _core.random_bits(words, 5, 6)
    if dtype == np.float32:
        assert (u == (words[:n] >> 8) * 2.0**-24).all()
    else:
        assert (u == ((words[::2].astype(np.uint64) << 32 | words[1::2]) >> 12) * 2.0**-52).all()
    assert 0 <= u.min() < 1e-4
    assert 0.9999 < u.max() < 1
    bins = np.bincount((u * 64).astype(int), minlength=64)
    assert ((bins - n / 64) ** 2 / (n / 64)).sum() < 63 + 5 * np.sqrt(2 * 63)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normal(dtype, threads):
    """Box and Muller's formula in higher precision, and the moments and independence of what comes out."""
    n = 400001
    z, u = np.empty(n, dtype), np.empty(n + 1, dtype)
    _core.normal(z, 7, 8)
    _core.uniform(u, 7, 8)
    radius = np.sqrt(-2 * np.log(1 - u[::2].astype(np.longdouble)))
    angle = 2 * np.longdouble("3.14159265358979323846264338") * u[1::2]
    exact = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()[:n]
    assert np.abs(z - exact).max() < 8 * np.finfo(dtype).eps
    x = z.astype(np.float64)
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((x**power).mean() - moment) < 5 * np.sqrt(variance / n)
    for lag in (1, 2, 3, 4, 2048):
        assert abs((x[lag:] * x[:-lag]).mean()) < 5 / np.sqrt(n)
        assert abs((x[lag:] ** 2 * x[:-lag] ** 2).mean() - 1) < 5 * np.sqrt(8 / n)
    other = np.empty(n, dtype)
    for seed, draw in ((8, 8), (7, 9)):
        _core.normal(other, seed, draw)
        assert abs((x * other).mean()) < 5 / np.sqrt(n)
    part = np.empty(7001, dtype)
    _core.normal(part, 7, 8)
    assert part.tobytes() == z[:7001].tobytes()


def draw(kernel, n, dtype, seed, number, offset, part=slice(None)):
    """n elements drawn by `kernel`, one array or two; `part` of what else it takes."""
    out, other = np.empty(n, dtype), np.empty(n, dtype)
    p = np.linspace(0, 1, 9001).astype(dtype)[part]
    if kernel == "random_bits":
        out = np.empty(n, np.uint32)
        _core.random_bits(out, seed, number, offset)
    elif kernel == "bernoulli":
        _core.bernoulli(out, p, seed, number, offset)
    elif kernel == "dropout":
        _core.dropout(out, p, 0.3, seed, number, offset)
    elif kernel == "sigmoid_sample":
        bias = np.full(1, -0.5, dtype)
        _core.sigmoid_sample(other[:, None], out[:, None], p[:, None], bias, seed, number, offset)
    else:
        getattr(_core, kernel)(out, seed, number, offset)
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "kernel", ["random_bits", "bernoulli", "dropout", "sigmoid_sample", "uniform", "normal"]
)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    offset=st.one_of(st.integers(0, 9000), st.integers(0, 2**64 - 9001)),
    cuts=st.lists(st.integers(0, 9000), max_size=4),
)
@example(offset=0, cuts=[1, 2, 3, 2049])
@example(offset=2**64 - 9001, cuts=[4500])
def test_parts_have_the_bytes_of_the_whole(kernel, dtype, offset, cuts):
    """Drawn in parts, each from its own first element on, an array is the same as drawn at once."""
    n = 9001
    whole = draw(kernel, n, dtype, 3, 4, offset)
    ends = [0, *sorted(cuts), n]
    for lo, hi in itertools.pairwise(ends):
        part = draw(kernel, hi - lo, dtype, 3, 4, offset + lo, slice(lo, hi))
        assert part.tobytes() == whole[lo:hi].tobytes()


def test_offsets_are_numbers_of_elements():
    """Word e of the whole sequence, by the definition in Python integers."""
    for offset in (1, 6, 2**40 + 3, 2**64 - 5):
        words = np.empty(5, np.uint32)
        _core.random_bits(words, 5, 6, offset)
        assert words.tolist() == [philox(offset + i, 5, 6) for i in range(5)]


@pytest.mark.parametrize("offset", [-1, 2**64, 2**64 - 4])
def test_an_offset_past_the_last_element_is_refused(offset):
    with pytest.raises(ValueError, match=r"^uniform: offset is -?\d+.*, wanted"):
        _core.uniform(np.empty(5), 0, 0, offset)
