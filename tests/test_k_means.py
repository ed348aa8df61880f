"""k-means against numpy that spells it out, and against what its papers say of it."""

from dataclasses import replace

import numpy as np
import pytest

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models import k_means
from featlearn.models.base import Step
from featlearn.models.k_means import KMeans
from featlearn.random import Random
from featlearn.training.config import TrainConfig
from featlearn.training.order import moments
from featlearn.training.train import Training
from helpers import Rows


def run_of(X, seed=7, batch_size=50, dtype="float64", **config):
    """A run that has not begun."""
    model, rows = KMeans(KMeans.Config(**config), dtype), Rows(X.astype(dtype))
    model.init(X.shape[1], Random(seed), moments(rows, np.arange(len(X)))[0])
    return Training(model, rows, TrainConfig(batch_size=min(batch_size, len(X))), seed=seed)


def blobs(n=400, d=5, count=12):
    """Rows (n, d) about points far from 0."""
    rng = np.random.default_rng(3)
    return rng.normal(100, 3, (count, d))[rng.integers(0, count, n)] + rng.normal(0, 1, (n, d))


def distances(X, C):
    """(n, count) by the definition."""
    return np.sqrt(np.square(X[:, None] - C).sum(axis=2))


@pytest.mark.parametrize(("n", "d", "h"), [(1, 1, 1), (3, 17, 16), (7, 5, 33), (300, 40, 100), (2, 0, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_triangle_kernel(n, d, h, dtype, threads):
    rng = np.random.default_rng(0)
    X, C = rng.normal(size=(n, d)), rng.normal(size=(h, d))
    z = distances(X, C)
    wanted = np.maximum(z.mean(axis=1, keepdims=True) - z, 0)
    found = (X @ C.T).astype(dtype)
    _core.triangle(found, X.astype(dtype), np.square(C).sum(axis=1).astype(dtype))
    np.testing.assert_allclose(found, wanted, atol=2e-5 if dtype == "float32" else 1e-12)
    alone = (X[-1:] @ C.T).astype(dtype)
    _core.triangle(alone, X[-1:].astype(dtype), np.square(C).sum(axis=1).astype(dtype))
    assert alone.tobytes() == found[-1:].tobytes() or (X @ C.T)[-1].tobytes() != (X[-1:] @ C.T).tobytes()


def test_a_distance_of_nothing_and_what_is_no_number():
    """Rounding below 0 is 0; NaN is not hidden."""
    z = np.array([[2.0, 0.0], [np.nan, 0.0]])
    _core.triangle(z, np.array([[1.0], [1.0]]), np.array([1.0, 1.0]))
    assert z[0].tolist() == [np.sqrt(2) / 2, 0]
    assert np.isnan(z[1]).all()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (((2, 3), (3, 4), (3,)), r"triangle: x has shape \(3, 4\), wanted \(2, any\)"),
        (((2, 3), (2, 4), (4,)), r"triangle: squares has shape \(4,\), wanted \(3,\)"),
        (((2, 0), (2, 4), (0,)), "wanted at least one column"),
    ],
)
def test_wrong_arguments_of_the_kernel(args, words):
    with pytest.raises(ValueError, match=words):
        _core.triangle(*map(np.zeros, args))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_codes(dtype):
    """Also of rows far from 0, whose squares would lose the distances."""
    X = blobs()
    run = run_of(X, hidden=12, dtype=dtype)
    run.run()
    model, C = run.model, run.model.filters().astype(float)
    z = distances(X.astype(dtype).astype(float), C)
    close = {"rtol": 0, "atol": 1e-4 if dtype == "float32" else 1e-9}
    H = model.encode(X.astype(dtype))
    np.testing.assert_allclose(H, np.maximum(z.mean(axis=1, keepdims=True) - z, 0), **close)
    hard = KMeans(replace(model.config, code="hard"), dtype)
    hard.params = model.params
    one = hard.encode(X.astype(dtype))
    assert np.array_equal(one, np.eye(12)[z.argmin(axis=1)])
    np.testing.assert_allclose(hard.decode(one), C[z.argmin(axis=1)], **close)
    np.testing.assert_allclose(model.reconstruct(X.astype(dtype)), C[z.argmin(axis=1)], **close)
    np.testing.assert_allclose(model.decode(H), H @ C / H.sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(model.decode(np.zeros((1, 12), dtype))[0], X.mean(axis=0), rtol=1e-6)


def test_equal_distances_go_to_the_first():
    model = KMeans(KMeans.Config(hidden=3, code="hard"), "float64")
    model.params = {"W": np.array([[1.0, -1.0, 1.0]]), "b": np.zeros(1)}
    assert model.encode(np.array([[0.0], [2.0], [-2.0]])).argmax(axis=1).tolist() == [0, 0, 1]


def test_it_is_lloyds_iteration():
    """From the rows of the start, each pass makes what numpy makes, whatever the minibatches."""
    X = blobs()
    ends = []
    for batch_size in (50, 400):
        seen = []
        run = run_of(X, hidden=12, iterations=8, batch_size=batch_size)
        run.run(on_epoch=lambda at, seen=seen: seen.append(at.model.filters()))
        C = seen[0]
        assert all((np.abs(X - c).max(axis=1) < 1e-9).any() for c in C), "a start that is no row"
        for found, loss in zip(seen[1:], run.history["loss"][1:], strict=True):
            z = distances(X, C)
            assert loss == pytest.approx(np.square(z.min(axis=1)).mean(), rel=1e-12)
            C = np.array([X[z.argmin(axis=1) == j].mean(axis=0) for j in range(12)])
            np.testing.assert_allclose(found, C, rtol=1e-12)
        ends.append(len(seen))
    assert min(ends) > 2


def test_it_ends_where_no_assignment_changes():
    X = blobs()
    run = run_of(X, hidden=12)
    run.run()
    z, C = distances(X, run.model.filters()), run.model.filters()
    assert len(run.history["epoch"]) < 51
    assert run.progress.stopped == "no assignment changed"
    for j in range(12):
        np.testing.assert_allclose(C[j], X[z.argmin(axis=1) == j].mean(axis=0), rtol=1e-12)
    assert run.history["loss"][-1] == pytest.approx(np.square(z.min(axis=1)).mean(), rel=1e-12)
    assert all(np.diff(run.history["loss"]) <= 1e-12)
    assert run.model.state == {}


def test_empty_centroids_begin_anew():
    """Nearly all rows are one and the same, so nearly all centroids begin there."""
    X = np.zeros((300, 4))
    X[::30] = 10 * np.eye(4)[np.arange(10) % 4] + np.arange(10)[:, None]
    distinct = len(np.unique(X, axis=0))
    run = run_of(X, hidden=distinct, iterations=40)
    run.run()
    assert len(np.unique(run.model.filters().round(6), axis=0)) == distinct
    assert run.history["probe_rmse"][-1] < 1e-6
    more = run_of(X, hidden=distinct + 3)  # some must stay without rows
    more.run()
    assert more.history["probe_rmse"][-1] < 1e-6
    assert more.progress.stopped == "no assignment changed"


def test_rows_are_drawn_in_proportion_to_their_weights():
    """The first of them; over many draws, whose frequencies lie within four standard deviations."""
    model = KMeans(KMeans.Config(hidden=2), "float64")
    model.init(1, Random(0))
    weight, times = np.array([0.0, 1.0, 2.0, 5.0]), 4000
    first = np.zeros(4)
    for number in range(times):
        model.state["keys"].fill(-1)
        for part in (slice(0, 2), slice(2, 4)):  # as minibatches come
            step = Step(2 * number + part.start // 2, 5)
            model._draw(np.arange(4.0)[part, None], weight[part], step, 2)
        first[int(model.state["drawn"][model.state["keys"].argmax(), 0])] += 1
    share = weight / weight.sum()
    assert first[0] == 0
    assert (abs(first / times - share) <= 4 * np.sqrt(share * (1 - share) / times)).all()


def test_the_start_has_different_rows():
    """As many as there are rows: each of them once."""
    X = np.arange(30.0)[:, None]
    run = run_of(X, hidden=30, batch_size=7)
    run.run()
    assert sorted(run.model.filters()[:, 0].round(9)) == list(range(30))


def test_more_centroids_than_rows_are_refused():
    with pytest.raises(ConfigError, match="--hidden 31: 30 training rows cannot have more than 30 centroids"):
        KMeans.resolve(KMeans.Config(hidden=31), k_means.DataSummary(3, n_rows=30))
    assert KMeans.resolve(KMeans.Config(), k_means.DataSummary(3, n_rows=30)).hidden == 30


def test_the_command(work, run_here, tmp_path):
    path = tmp_path / "m.h5"
    ran = run_here("train", work.patches, "--model", "k-means", "--hidden", 9, "--iterations", 60, "-o", path)
    assert ran.code == 0, ran.err
    assert "epochs: no assignment changed" in ran.err
    again = run_here(
        "train", work.patches, "--model", "k-means", "--hidden", 9, "--iterations", 60, "-o", path, "--resume"
    )
    assert "already finished" in again.err
    ran = run_here("train", work.patches, "--model", "k-means", "--epochs", 3, "-o", tmp_path / "n.h5")
    assert ran.code == 2
    assert "--epochs: does nothing with --model k-means" in ran.err
