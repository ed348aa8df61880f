"""Sums over the rows of a minibatch against numpy, and their order."""

import numpy as np
import pytest

from featlearn.ops.arrays import mirror
from featlearn.ops.reduce import column_mean, gram_sum, grand_mean, mean, outer_mean, outer_means, rmse


def arrays(n, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 5)).astype(dtype), rng.normal(size=(n, 3)).astype(dtype)


def test_means_are_those_of_numpy():
    X, H = arrays(700)
    np.testing.assert_allclose(outer_mean(X, H, -2), -2 * X.T @ H / 700, rtol=1e-12)
    begun = np.ones((5, 3))
    assert outer_mean(X, H, out=begun) is begun
    np.testing.assert_allclose(begun, 1 + X.T @ H / 700, rtol=1e-12)
    np.testing.assert_allclose(column_mean(X, 3), 3 * X.mean(axis=0), rtol=1e-12)
    assert mean(X[:, 0]) == pytest.approx(X[:, 0].mean(), rel=1e-12)
    assert grand_mean(X) == pytest.approx(X.mean(), rel=1e-12)
    assert rmse(X, 2 * X) == pytest.approx(np.sqrt((X**2).mean()), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (256, 256), (257, 300), (700, 100), (100, 700)])
def test_a_sum_of_means_equals_numpy_whatever_the_rows(n, m):
    (X, H), (V, G) = arrays(n), arrays(m, seed=1)
    wanted = 2 * V.T @ G / m - X.T @ H / n
    np.testing.assert_allclose(outer_means((X, H, -1), (V, G, 2)), wanted, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sum_of_means_goes_block_by_block(dtype):
    """Of both pairs at a time: the sum of parts of 256 rows in order, to the byte."""
    (X, H), (V, G) = arrays(600, dtype), arrays(300, dtype, 1)
    whole = outer_means((X, H, -1), (V, G, 1))
    parts = []
    for i in range(0, 600, 256):
        part = outer_mean(X[i : i + 256], H[i : i + 256], -len(X[i : i + 256]) / 600)
        if i < 300:
            part = outer_mean(V[i : i + 256], G[i : i + 256], len(V[i : i + 256]) / 300, out=part)
        parts.append(part)
    assert np.array_equal(whole, (parts[0] + parts[1]) + parts[2])
    assert np.array_equal(outer_means((X[:256], H[:256], 1)), outer_mean(X[:256], H[:256]))


@pytest.mark.parametrize(("n", "d"), [(5, 3), (300, 257), (17_000, 130)])  # one strip; three; panels of rows
def test_a_sum_of_squares_is_the_whole_outer_sum(n, d):
    X = np.random.default_rng(0).integers(-9, 9, (n, d)).astype(np.float64)
    made = np.ones((d, d))
    gram_sum(X, made)
    mirror(made)
    np.testing.assert_array_equal(made, X.T @ X + 1)
