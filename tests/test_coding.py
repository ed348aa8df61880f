"""Bits and errors of quantised codes against their definition in plain numpy."""

import math

import numpy as np
import pytest

from featlearn.analysis.coding import CodingConfig
from featlearn.errors import ConfigError
from featlearn.models.rbm import RBM
from featlearn.random import Random
from helpers import Rows, coded


class Linear:
    """Codes x A, decoded by B; float64."""

    def __init__(self, A, B):
        self.A, self.B, self.n_visible = A, B, len(A)

    def encode(self, X):
        return X @ self.A

    def decode(self, H):
        return H @ self.B


def levels(low, high, q):
    """q centres: evenly from low to high, or through zero where the codes have both signs."""
    if low >= 0 or high <= 0:
        return np.linspace(low, high, q)
    m = max(-low, high)
    if q % 2:
        return np.linspace(-m, m, q)
    through_zero = np.linspace(-m, m, q + 1)
    return through_zero[1:] if high == m else through_zero[:-1]


def by_definition(H, decode, X, q):
    """Bits per pixel, RMSE, RMSE / std, from the nearest of q centres and a histogram of all units."""
    centres = levels(H.min(), H.max(), q)
    nearest = np.abs(H[:, :, None] - centres).argmin(axis=2)
    p = np.array([np.mean(nearest == i) for i in range(q)])
    entropy = -sum(x * math.log2(x) for x in p if x > 0)
    rmse = math.sqrt(np.mean((decode(centres[nearest]) - X) ** 2))
    std = math.sqrt(np.mean((X - X.mean(axis=0)) ** 2))
    return entropy * H.shape[1] / X.shape[1], rmse, rmse / std


def problem(n=5000):
    rng = np.random.default_rng(0)
    return rng.normal(1, 2, (n, 6)), Linear(rng.normal(size=(6, 4)), rng.normal(size=(4, 6)))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bins", [(2,), (3, 4, 5, 17), (256, 5)])
def test_several_blocks_equal_the_definition(bins, sign):
    """Codes of both signs, which reach further up or further down."""
    X, model = problem()
    model.A, model.B = sign * model.A, sign * model.B
    found = coded(model, Rows(X), bins)
    assert [coding.bins for coding in found] == list(bins)
    for coding in found:
        assert coding[1:4] == pytest.approx(
            by_definition(X @ model.A, model.decode, X, coding.bins), rel=1e-12
        )


def test_a_model_in_float32():
    rbm = RBM(RBM.Config(hidden=7, visible="gaussian", init_scale=0.5))
    rbm.init(16, Random(0))
    X = np.random.default_rng(0).normal(0, 1, (3000, 16)).astype(np.float32)

    def decode(H):
        return rbm.decode(H.astype(np.float32)).astype(np.float64)

    for coding in coded(rbm, Rows(X), (4, 32)):
        wanted = by_definition(rbm.encode(X).astype(np.float64), decode, X.astype(np.float64), coding.bins)
        assert coding[1:4] == pytest.approx(wanted, rel=1e-5)


def test_many_levels_lose_nothing():
    X, _ = problem()
    model = Linear(np.eye(6), np.eye(6))
    coarse, fine = coded(model, Rows(X), (2, 65536))
    assert fine.rmse < (X.max() - X.min()) / 65535
    assert fine.bits_per_pixel > coarse.bits_per_pixel
    assert coarse.bits_per_pixel <= 1


def test_evenly_used_levels_cost_their_logarithm():
    X = np.tile(np.arange(8.0), 10)[:, None]
    (found,) = coded(Linear(np.eye(1), np.eye(1)), Rows(X), (8,))
    assert found.bits_per_pixel == pytest.approx(3, rel=1e-12)
    assert found.rmse == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_codes_of_one_sign_use_their_whole_range(sign):
    X = sign * (2 + np.abs(problem()[0]))
    model = Linear(np.eye(6), np.eye(6))
    for coding in coded(model, Rows(X), (2, 5, 8)):
        assert coding[1:4] == pytest.approx(by_definition(X, model.decode, X, coding.bins), rel=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bins", [2, 3, 4, 5, 8, 256])
def test_zero_stays_zero_where_codes_have_both_signs(bins, sign):
    """Silent units cost next to nothing and add no error; the largest code value is kept exactly, too."""
    X = np.zeros((1000, 6))
    X[0, 0], X[1, 1] = sign * 7.0, sign * -0.01
    (found,) = coded(Linear(np.eye(6), np.eye(6)), Rows(X), (bins,))
    assert found.rmse == pytest.approx(0.01 / math.sqrt(6000))
    assert found.bits_per_pixel < 0.01


def test_a_mirrored_code_costs_and_keeps_the_same():
    X, model = problem()
    mirrored = Linear(-model.A, -model.B)
    for one, other in zip(
        coded(model, Rows(X), range(2, 20)), coded(mirrored, Rows(X), range(2, 20)), strict=True
    ):
        assert one[:4] == pytest.approx(other[:4], rel=1e-12)
        assert one.counts.tolist() == other.counts[::-1].tolist()
        np.testing.assert_allclose(one.levels, -other.levels[::-1], rtol=1e-12)


def test_components_of_small_variance_are_not_moved_together():
    """PCA of data with few large and many small variances: coarse levels may lose everything, but add
    nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 40)) / np.arange(1, 41) ** 2
    turn = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    X = X @ turn.T
    for coding in coded(Linear(turn, turn.T), Rows(X), (2, 3, 4, 5, 8)):
        assert coding.rmse_std <= 1.0


def test_half_way_goes_to_the_even_level():
    X = np.array([[0.0], [0.5], [1.5], [2.0]])
    (found,) = coded(Linear(np.eye(1), np.eye(1)), Rows(X), (3,))
    assert found.bits_per_pixel == pytest.approx(1)  # 0 0 2 2
    assert found.rmse == pytest.approx(math.sqrt(2 * 0.25 / 4))


def test_constant_codes_and_constant_data_divide_by_nothing():
    X, _ = problem(30)
    for coding in coded(Linear(np.zeros((6, 4)), np.zeros((4, 6))), Rows(X), (2, 256)):
        assert coding.bits_per_pixel == 0
        assert math.copysign(1, coding.bits_per_pixel) == 1
        assert coding.rmse == pytest.approx(math.sqrt(np.mean(X**2)))
    (found,) = coded(Linear(np.eye(6), np.eye(6)), Rows(np.ones((30, 6))), (5,))
    assert (found.bits_per_pixel, found.rmse) == (0, 0)
    assert math.isnan(found.rmse_std)


def test_codes_that_run_to_infinity_have_no_histogram():
    X, model = problem(30)
    model.A[0, 0] = np.inf
    with np.errstate(invalid="ignore"):
        assert all(math.isnan(value) for value in coded(model, Rows(X), (5,))[0][1:4])


@pytest.mark.parametrize("bins", [(1,), (5, 65537), (0, 5), (-3,)])
def test_levels_have_a_range(bins):
    with pytest.raises(ConfigError, match="--bins: got"):
        CodingConfig(bins)
