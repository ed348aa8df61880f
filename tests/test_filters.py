"""The filter measures on filters whose answers are known."""

import numpy as np
import pytest
import scipy.optimize

from featlearn.analysis.filters import filter_statistics, per_filter
from featlearn.analysis.gabor import gabor_r2, loss_and_gradient


def gabors(k=40, p=12, seed=0):
    """Oriented edges with random parameters, (k, p, p, 1)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:p, :p]
    out = []
    for _ in range(k):
        cx, cy = rng.uniform(p / 3, 2 * p / 3, 2)
        theta, phase, f = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi), rng.uniform(0.12, 0.25)
        u = (x - cx) * np.cos(theta) + (y - cy) * np.sin(theta)
        v = (y - cy) * np.cos(theta) - (x - cx) * np.sin(theta)
        out.append(np.exp(-(u**2) / 8 - v**2 / 18) * np.cos(2 * np.pi * f * u + phase))
    return np.array(out)[..., None]


def noise(k=60, p=12):
    return np.random.default_rng(0).normal(size=(k, p, p, 1))


def blobs(k=30, p=12):
    """Round spots of several widths: a Gabor of frequency 0 fits them, yet they have no orientation."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:p, :p]
    cx, cy, s = rng.uniform(3, 8, k), rng.uniform(3, 8, k), rng.uniform(0.8, 1.6, k)
    r2 = (x - cx[:, None, None]) ** 2 + (y - cy[:, None, None]) ** 2
    return np.exp(-r2 / (2 * s[:, None, None] ** 2))[..., None]


def test_gaussian_noise():
    found = filter_statistics(noise())
    assert found["edge_share"] == 0
    assert found["kurtosis"] == pytest.approx(3, abs=0.25)
    assert found["participation"] == pytest.approx(1 / 3, abs=0.03)
    assert abs(found["lag1"]) < 0.03
    assert found["orientation"] < 0.15
    assert found["gabor_r2"] < 0.35


def test_gabors_are_edges():
    found = filter_statistics(gabors())
    assert found["edge_share"] == 1
    assert found["gabor_r2"] > 0.98
    assert found["orientation"] > 0.5


def test_round_blobs_fit_a_gabor_but_are_no_edges():
    found = filter_statistics(blobs())
    assert found["gabor_r2"] > 0.85
    assert found["orientation"] < 0.2
    assert found["edge_share"] < 0.05


def test_a_single_pixel():
    F = np.zeros((3, 5, 5, 1))
    F[:, 2, 2] = [[1], [-2], [0.5]]
    found = filter_statistics(F)
    assert found["hoyer"] == pytest.approx(1)
    assert found["participation"] == pytest.approx(1 / 25)
    assert found["near_zero"] == pytest.approx(24 / 25)
    m, n = 1 / 25, 25  # weights 1, 0, ..., 0
    moment = ((1 - m) ** 4 + 24 * m**4) / n
    assert found["kurtosis"] == pytest.approx(moment / (((1 - m) ** 2 + 24 * m**2) / n) ** 2)


def test_definitions_by_plain_loops():
    """lag-1, total variation and orientation written out once more, without arrays of filters."""
    F = noise(4, 7)
    found, each = filter_statistics(F), per_filter(F)
    steps = []
    for i, w in enumerate(F[..., 0]):
        g = w - w.mean()
        products = sum(g[r, c] * g[r, c + 1] for r in range(7) for c in range(6))
        products += sum(g[r, c] * g[r + 1, c] for r in range(6) for c in range(7))
        assert each["lag1"][i] == pytest.approx(products / 2 / (g**2).sum())
        steps.append((np.abs(np.diff(w, axis=0)).mean() + np.abs(np.diff(w, axis=1)).mean()) / 2)
        power = np.abs(np.fft.fft2(g, (14, 14))) ** 2
        total = 0
        for r, fy in enumerate(np.fft.fftfreq(14)):
            for c, fx in enumerate(np.fft.fftfreq(14)):
                total += power[r, c] * np.exp(2j * np.arctan2(fy, fx))
        assert each["orientation"][i] == pytest.approx(abs(total) / power.sum())
    assert found["total_variation"] == pytest.approx(np.mean(steps) / np.abs(F).mean())


@pytest.mark.parametrize("make", [gabors, noise, blobs])
def test_scale_and_sign_do_not_matter(make):
    F = make(10)
    for factor in (-1.0, 1e-6, 1e6):
        a, b = filter_statistics(F), filter_statistics(F * factor)
        for name in a:
            assert a[name] == pytest.approx(b[name], rel=1e-3, abs=1e-3), name


def test_flat_filters_are_no_edges_and_do_not_disturb():
    F = np.concatenate([gabors(10), np.zeros((5, 12, 12, 1)), np.ones((5, 12, 12, 1))])
    found = filter_statistics(F)
    assert found["edge_share"] == 0.5
    assert found["gabor_r2"] == pytest.approx(filter_statistics(gabors(10))["gabor_r2"], abs=0.01)
    dead = filter_statistics(np.zeros((3, 8, 8, 1)))
    assert dead["edge_share"] == 0
    assert dead["near_zero"] == 1


@pytest.mark.parametrize(
    "shape", [(1, 5, 5, 1), (3, 5, 9, 1), (2, 16, 11, 3), (0, 8, 8, 1), (2, 33, 40, 1), (2, 1, 6, 1)]
)
def test_any_size(shape):
    F = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = filter_statistics(F)
    assert set(found) >= {
        "kurtosis",
        "hoyer",
        "near_zero",
        "participation",
        "lag1",
        "orientation",
        "edge_share",
    }
    if shape[0]:
        assert all(np.isfinite(value) for value in found.values()), found


def test_colour_is_judged_by_its_strongest_channel():
    F = np.concatenate([0.1 * noise(40), gabors(40), 0.1 * noise(40)], axis=3)
    assert filter_statistics(F)["edge_share"] == 1


def test_gabor_gradient_by_central_differences():
    rng = np.random.default_rng(0)
    y, x = (g.ravel().astype(float) for g in np.mgrid[:9, :9])
    targets = rng.normal(size=(5, 81))
    p = np.column_stack(
        [
            rng.uniform(2, 6, (5, 2)),
            rng.uniform(0.3, 1, (5, 2)),
            rng.uniform(0, 3, 5),
            *rng.uniform(0.05, 0.2, (2, 5)),
        ]
    )
    gradient = loss_and_gradient(p, targets, x, y)[1]
    for i in range(7):
        h = np.zeros(7)
        h[i] = 1e-5
        numeric = (
            loss_and_gradient(p + h, targets, x, y)[0] - loss_and_gradient(p - h, targets, x, y)[0]
        ) / 2e-5
        np.testing.assert_allclose(gradient[:, i], numeric, rtol=1e-4, atol=1e-4)


def best_r2(F, start, tries=12):
    """The share that the best Gabor explains, by scipy's least squares in all nine parameters, from about
    `start`."""
    h, w = F.shape
    y, x = (g.ravel() for g in np.mgrid[:h, :w])
    target = F.ravel() - F.mean()
    rng, lowest = np.random.default_rng(0), np.inf

    def residual(q):
        cx, cy, su, sv, phi, fx, fy, a, b = q
        u = (x - cx) * np.cos(phi) + (y - cy) * np.sin(phi)
        v = (y - cy) * np.cos(phi) - (x - cx) * np.sin(phi)
        psi = 2 * np.pi * (fx * x + fy * y)
        envelope = np.exp(-(u**2) / (2 * np.exp(2 * su)) - v**2 / (2 * np.exp(2 * sv)))
        return envelope * (a * np.cos(psi) + b * np.sin(psi)) - target

    for _ in range(tries):
        begin = start + rng.normal(size=9) * [0.5, 0.5, 0.2, 0.2, 0.2, 0.02, 0.02, 0.3, 0.3]
        lowest = min(lowest, 2 * scipy.optimize.least_squares(residual, begin).cost)
    return 1 - lowest / (target @ target)


def test_gabor_fit_ends_where_scipy_does():
    """On Gabors whose parameters are known, under noise."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:12, :12]
    F, wanted = [], []
    for _ in range(6):
        cx, cy = rng.uniform(4, 7, 2)
        phi, f, a, b = rng.uniform(0, np.pi), rng.uniform(0.12, 0.22), *rng.normal(size=2)
        u = (x - cx) * np.cos(phi) + (y - cy) * np.sin(phi)
        v = (y - cy) * np.cos(phi) - (x - cx) * np.sin(phi)
        fx, fy = f * np.cos(phi), f * np.sin(phi)
        psi = 2 * np.pi * (fx * x + fy * y)
        clean = np.exp(-(u**2) / 8 - v**2 / 18) * (a * np.cos(psi) + b * np.sin(psi))
        F.append(clean + 0.3 * clean.std() * rng.normal(size=clean.shape))
        wanted.append(best_r2(F[-1], np.array([cx, cy, np.log(2), np.log(3), phi, fx, fy, a, b])))
    np.testing.assert_allclose(gabor_r2(np.array(F)), wanted, atol=1e-6)
    assert 0.7 < min(wanted) < max(wanted) < 0.98


def test_gabor_fit_is_deterministic():
    F = noise(7)[..., 0]
    assert gabor_r2(F).tobytes() == gabor_r2(F).tobytes()
