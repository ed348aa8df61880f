"""The relaxation of codes against numpy that spells it out, on all threads, by both ways of its products."""

import numpy as np
import pytest

from featlearn import _core

SETTINGS = {"gain": 3.0, "code": 0.7, "sparsity": 0.4}
SIZES = [(1, 1, 1), (1, 5, 3), (4, 20, 16), (7, 20, 17), (13, 33, 47), (11, 40, 200), (3, 0, 5)]


def problem(n, d, h, dtype=np.float64, seed=0):
    """(f, q, m) of moderate size."""
    rng = np.random.default_rng(seed)
    f, q, m = rng.normal(size=(n, h)), rng.normal(size=(n, h)), rng.normal(size=(d, h)) / np.sqrt(d + 1)
    return f.astype(dtype), q.astype(dtype), m.astype(dtype)


def relax(z, f, q, m, gram=False, step=0.1, steps=10):
    """(z, L, slope, cost) of the kernel."""
    z = z.copy()
    L, slope, cost = np.full_like(z, 77), np.full_like(z, 77), np.full(len(z), 77.0)
    y = None if gram else np.full((len(z), len(m)), 77, z.dtype)
    _core.relax(z, L, slope, cost, y, f, q, m, *SETTINGS.values(), step, steps)
    if y is not None:
        np.testing.assert_allclose(y, L @ m.T, rtol=1e-4, atol=1e-5)
    return z, L, slope, cost


def energy(z, f, q, m):
    """(energy, L, slope, cost) by numpy."""
    g, code, sparsity = SETTINGS.values()
    L = 1 / (1 + np.exp(-g * z))
    cost = code * np.square(z - f).sum(axis=1) + sparsity * np.log1p(L * L).sum(axis=1)
    by_l = 2 * (L @ m.T @ m - q) + sparsity * 2 * L / (1 + L * L)
    total = cost + np.square(L @ m.T).sum(axis=1) - 2 * (q * L).sum(axis=1)
    return total, L, 2 * code * (z - f) + g * L * (1 - L) * by_l, cost


def descend(z, f, q, m, step, steps):
    """(z, L, slope, cost) row by row, and the energies on the way."""
    z, sizes = z.copy(), np.full(len(z), step)
    total, L, slope, cost = energy(z, f, q, m)
    seen = [total]
    for _ in range(steps):
        found = energy(z - sizes[:, None] * slope, f, q, m)
        better = found[0] <= total
        z = np.where(better[:, None], z - sizes[:, None] * slope, z)
        L, slope = (np.where(better[:, None], new, old) for new, old in ((found[1], L), (found[2], slope)))
        total, cost = np.where(better, found[0], total), np.where(better, found[3], cost)
        sizes = np.where(better, sizes, sizes / 2)
        seen.append(total)
    return (z, L, slope, cost), np.array(seen)


@pytest.mark.parametrize(("n", "d", "h"), SIZES)
@pytest.mark.parametrize("step", [0.1, 3.0])
def test_against_numpy(n, d, h, step, threads):
    """Also with steps so long that many have to be halved, and with m'm in place of m."""
    f, q, m = problem(n, d, h)
    z = np.random.default_rng(1).normal(size=f.shape)
    wanted, seen = descend(z, f, q, m, step, 10)
    assert (np.diff(seen, axis=0) <= 0).all()
    if step > 1 and d > 1:
        assert (np.diff(seen, axis=0) == 0).any(), "no step was refused: the test does not see the halving"
    for found in (relax(z, f, q, m, False, step), relax(z, f, q, m.T @ m, True, step)):
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("n", "d", "h"), SIZES)
def test_single_precision(n, d, h):
    f, q, m = problem(n, d, h, np.float32)
    wanted = descend(f.astype(float), f, q, m.astype(float), 0.05, 3)[0]
    for found in (relax(f, f, q, m, False, 0.05, 3), relax(f, f, q, m.T @ m, True, 0.05, 3)):
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gram", [False, True])
def test_energy_never_rises(dtype, gram):
    """From far away, over many steps, by the energy that numpy finds."""
    f, q, m = problem(50, 60, 70, dtype, 3)
    z = 3 * np.random.default_rng(2).normal(size=f.shape).astype(dtype)
    by = m.T @ m if gram else m
    energies = [
        energy(relax(z, f, q, by, gram, 0.5, steps)[0].astype(float), f, q, m.astype(float))[0]
        for steps in range(30)
    ]
    rises = np.diff(energies, axis=0).max()
    assert rises <= (0 if dtype is np.float64 else 1e-3), "beyond the rounding of float32"
    assert np.mean(energies[-1]) < np.mean(energies[0]) - 10


def test_no_steps_tell_the_slope():
    """The derivative by each z, by central differences."""
    f, q, m = problem(3, 9, 5)
    z = np.random.default_rng(4).normal(size=f.shape)
    same, L, slope, cost = relax(z, f, q, m, steps=0)
    assert same.tobytes() == z.tobytes()
    np.testing.assert_allclose(L, 1 / (1 + np.exp(-3 * z)), rtol=1e-14)
    np.testing.assert_allclose(cost, energy(z, f, q, m)[3], rtol=1e-13)
    for i, j in np.ndindex(*z.shape):
        at = np.repeat(z[i : i + 1], 4, axis=0)
        at[:, j] += np.array([-2, -1, 1, 2]) * 1e-3
        v = energy(at, f[i], q[i], m)[0]
        assert slope[i, j] == pytest.approx((8 * (v[2] - v[1]) - (v[3] - v[0])) / 12e-3, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("gram", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_do_not_depend_on_each_other(gram, dtype, threads):
    f, q, m = problem(23, 30, 37, dtype)
    m = m.T @ m if gram else m
    alone = [relax(f[i : i + 1], f[i : i + 1], q[i : i + 1], m, gram) for i in range(23)]
    together = relax(f, f, q, m, gram)
    for k in range(4):
        assert b"".join(one[k].tobytes() for one in alone) == together[k].tobytes()


def test_what_is_no_number_stays_where_it_is():
    f, q, m = problem(7, 9, 5, np.float32)
    f[2, 1], f[5, 0] = np.nan, np.inf
    z, L, _, cost = relax(f, f, q, m)
    fine = [0, 1, 3, 4, 6]
    assert np.isfinite(z[fine]).all()
    assert np.isfinite(L[fine]).all()
    assert not np.isfinite(cost[[2, 5]]).any()


def test_no_rows():
    f, q, m = problem(0, 9, 5)
    assert relax(f, f, q, m)[0].shape == (0, 5)


def test_wrong_use():
    f, q, m = problem(4, 9, 5)
    z = [np.zeros_like(f) for _ in range(3)]
    cost, y, how = np.zeros(4), np.zeros((4, 9)), (3.0, 1.0, 0.1, 0.1)
    with pytest.raises(ValueError, match=r"relax: m has shape \(9, 5\), wanted \(5, 5\)"):
        _core.relax(*z, cost, None, f, q, m, *how, 1)
    with pytest.raises(ValueError, match="relax: steps is -1, wanted at least 0"):
        _core.relax(*z, cost, y, f, q, m, *how, -1)
    with pytest.raises(ValueError, match="relax: z shares memory with l"):
        _core.relax(z[0], z[0], z[2], cost, y, f, q, m, *how, 1)
    with pytest.raises(ValueError, match="relax: slope shares memory with f"):
        _core.relax(z[0], z[1], f, cost, y, f, q, m, *how, 1)
    with pytest.raises(ValueError, match=r"relax: cost has shape \(3,\), wanted \(4,\)"):
        _core.relax(*z, cost[:3], y, f, q, m, *how, 1)
    with pytest.raises(ValueError, match=r"relax: y has shape \(9, 4\), wanted \(4, 9\)"):
        _core.relax(*z, cost, np.zeros((9, 4)), f, q, m, *how, 1)
    with pytest.raises(ValueError, match=r"relax: q has shape \(3, 5\), wanted \(4, 5\)"):
        _core.relax(*z, cost, y, f, q[:3], m, *how, 1)
    with pytest.raises(ValueError, match="relax: q is float32"):
        _core.relax(*z, cost, y, f, q.astype(np.float32), m, *how, 1)
