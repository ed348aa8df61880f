"""Sparse components against the data that they are of: the optimality of each, and the best decoder."""

import numpy as np
import pytest

from featlearn.models.pca import PCA
from featlearn.models.sparse_pca import SparsePCA, component
from featlearn.random import Random
from featlearn.training.config import TrainConfig
from featlearn.training.order import moments
from featlearn.training.train import Training
from helpers import Rows, refused


def rows(n=300, d=12, seed=0):
    """Correlated rows far from zero, with a value that never varies."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 0.7 ** np.arange(d) @ rng.normal(size=(d, d)) + rng.normal(scale=9, size=d)
    X[:, 5] = 3.25
    return X


def learn(X, cls=SparsePCA, dtype="float64", **settings):
    model, data = cls(cls.Config(**settings), dtype), Rows(X.astype(dtype))
    model.init(X.shape[1], Random(0), moments(data, np.arange(len(X)))[0])
    assert Training(model, data, TrainConfig(epochs=1, batch_size=70), 0).run()
    return model


def test_without_a_penalty_they_are_the_principal_components():
    X = rows()
    model, pca = learn(X, hidden=8, l1=0.0), learn(X, PCA, hidden=8)
    signs = np.sign((model.params["W"] * pca.params["W"]).sum(0))
    np.testing.assert_allclose(model.params["W"] * signs, pca.params["W"], atol=1e-7)
    np.testing.assert_allclose(model.params["D"] * signs, pca.params["W"], atol=1e-7)
    np.testing.assert_allclose(model.state["variance"], pca.state["variance"], rtol=1e-9)
    np.testing.assert_allclose(model.reconstruct(X), pca.reconstruct(X), atol=1e-7)


@pytest.mark.parametrize("l1", [0.3, 0.9])
def test_each_component_is_optimal_for_what_is_left_of_the_rows(l1):
    """By the subgradient of J over v, u being the best for v, on the rows themselves."""
    X = rows()
    model = learn(X, hidden=5, l1=l1)
    R = X - X.mean(axis=0)
    d = X.shape[1]
    zeros = 0
    for w in model.params["W"].T:
        largest = np.linalg.eigvalsh(np.cov(R.T, bias=True))[-1]
        p = l1 * np.sqrt(largest / d)
        u = R @ w / np.sqrt(np.mean((R @ w) ** 2))
        v = w * (w @ (R.T @ u / len(u)) - p * np.abs(w).sum())  # the best of this direction
        slope = v - R.T @ u / len(u)
        on = w != 0
        np.testing.assert_allclose(slope[on], -p * np.sign(v[on]), atol=1e-8)
        assert (np.abs(slope[~on]) <= p + 1e-8).all()
        first = np.linalg.svd(R, full_matrices=False)[2][0]
        begun = R @ first / np.sqrt(np.mean((R @ first) ** 2))
        start = first * np.sqrt(largest)

        def cost(u, v, R=R, p=p):
            return np.square(R - np.outer(u, v)).sum(axis=1).mean() + 2 * p * np.abs(v).sum()

        assert cost(u, v) < cost(begun, start)
        R = R - np.outer(u, v)
        zeros += np.count_nonzero(~on)
    assert zeros > 5 + 5 * (l1 > 0.5)
    np.testing.assert_allclose(np.linalg.norm(model.params["W"], axis=0), 1, rtol=1e-12)


def test_the_decoder_is_the_best_one_of_the_codes():
    X = rows()
    model = learn(X, hidden=4, l1=0.8)
    H = model.encode(X)
    wanted, *_ = np.linalg.lstsq(H, X - X.mean(axis=0), rcond=None)
    np.testing.assert_allclose(model.params["D"].T, wanted, atol=1e-8)
    np.testing.assert_allclose(model.reconstruct(X), H @ wanted + X.mean(axis=0), atol=1e-8)
    np.testing.assert_allclose(model.state["variance"], (H**2).mean(axis=0), rtol=1e-9)
    (encoder,), (decoder,) = model.encoder_layers(), model.decoder_layers()
    np.testing.assert_allclose(decoder.encode(encoder.encode(X)), model.reconstruct(X), atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_strong_penalty_leaves_components_without_loadings(dtype):
    model = learn(rows(), dtype=dtype, hidden=6, l1=50.0)
    assert not model.params["W"].any()
    assert not model.params["D"].any()
    np.testing.assert_allclose(model.reconstruct(rows().astype(dtype))[0], model.params["b"])


def test_a_component_of_which_nothing_is_left_is_zero():
    v, Cv = component(np.eye(3), 1.0, np.eye(3)[:, :1], 50.0)
    assert not v.any()
    assert not Cv.any()


def test_a_wrong_penalty_is_refused(work, run_here, tmp_path):
    train = ("train", work.patches, "--model", "sparse-pca", "-o", tmp_path / "m.h5")
    ran = run_here(*train, "--l1", -1)
    assert ran.code == 2
    assert "--l1: got -1, must be at least 0" in ran.err
    refused(run_here(*train, "--hidden", 65), "no more than 64 components", code=2)
