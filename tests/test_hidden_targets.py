"""Wanted activities of hidden units: each row's own, from any file of numbers, in the right share."""

import numpy as np
import pytest

from featlearn.files.dataset import read_dataset
from featlearn.files.model import read_model
from featlearn.models.base import Step
from featlearn.models.rbm import RBM
from featlearn.random import Random
from featlearn.training.config import TrainConfig
from featlearn.training.train import Training
from helpers import Rows, ok, refused, same

N, HIDDEN = 600, 3
"""Rows of work.patches."""


def rbm(**config):
    settings = {"hidden": HIDDEN, "visible": "bernoulli", "hidden_targets": "a file", **config}
    model = RBM(RBM.Config(**settings), "float64")
    model.init(5, Random(3))
    return model


def test_targets_stand_for_activities_in_the_statistics_of_the_data():
    rng = np.random.default_rng(0)
    X, T, rows = rng.random((4, 5)), rng.random((9, HIDDEN)), np.array([7, 2, 2, 8])
    model = rbm(blend=0.3)
    model.params["W"] += rng.normal(size=(5, HIDDEN))
    H = model.encode(X)
    _, plain = model.gradient(X, Step(1, 0, rows=rows))
    model.hidden_targets = T
    _, grads = model.gradient(X, Step(1, 0, rows=rows))
    more = 0.3 * (T[rows] - H)
    np.testing.assert_allclose(grads["W"] - plain["W"], -X.T @ more / 4, atol=1e-12)
    np.testing.assert_allclose(grads["c"] - plain["c"], -more.mean(0), atol=1e-12)
    np.testing.assert_array_equal(grads["b"], plain["b"])


@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_the_targets_of_a_row_follow_it_through_shuffling(validation):
    """Each row is known by its first value; the rows held out are never learned from."""
    X = np.random.default_rng(1).random((50, 5))
    X[:, 0] = np.arange(50) / 50
    model = rbm()
    model.hidden_targets = np.repeat(X[:, :1], HIDDEN, axis=1)
    seen = []

    def gradient(rows, step):
        assert np.array_equal(model.hidden_targets[step.rows][:, 0], rows[:, 0])
        seen.append(rows[:, 0])
        return RBM.gradient(model, rows, step)

    model.gradient = gradient
    config = TrainConfig(epochs=2, batch_size=7, validation=validation)
    assert Training(model, Rows(X), config, seed=5).run()
    orders = np.split(np.concatenate(seen), 2)
    assert len(orders[0]) == 50 * (1 - validation)
    assert not np.array_equal(*orders)
    assert np.array_equal(*map(np.sort, orders))


@pytest.fixture(scope="module")
def targets(tmp_path_factory, work):
    """A file of targets that the rows tell: the signs of three projections."""
    patches = np.asarray(read_dataset(str(work.patches)).patches[:], float)
    X = (patches - patches.mean(0)) / patches.std(0)
    T = (X @ np.random.default_rng(0).normal(size=(64, HIDDEN)) > 0).astype(np.float64)
    path = tmp_path_factory.mktemp("targets") / "targets.npy"
    np.save(path, T)
    return path, T


def trained(run_here, work, path, out, *more):
    fast = ("--epochs", 30, "--lr", 0.05, "--hidden", HIDDEN, "--batch-size", 50, "--force")
    train = ("train", work.patches, "--model", "rbm", *fast, "--hidden-targets", path, *more)
    ok(run_here(*train, "-o", out))
    return read_model(str(out))


def test_units_learn_the_targets_of_their_rows(run_here, work, targets, tmp_path):
    path, T = targets
    np.save(tmp_path / "other.npy", 1 - T[:, ::-1])
    for name, wanted in ((path, T), (tmp_path / "other.npy", 1 - T[:, ::-1])):
        trained(run_here, work, name, tmp_path / "m.h5", "--blend", 1)
        ok(run_here("encode", tmp_path / "m.h5", work.patches, "-o", tmp_path / "h.npy", "--force"))
        assert (((np.load(tmp_path / "h.npy") > 0.5) == wanted).mean(0) > 0.85).all()


def test_any_file_of_numbers_will_do(run_here, work, targets, tmp_path):
    """Also codes in a data set; one row is that of all."""
    path, T = targets
    short = ("--epochs", 1)
    wanted = trained(run_here, work, path, tmp_path / "a.h5", *short).params
    np.savetxt(tmp_path / "t.csv", T, delimiter=",", fmt="%g")
    assert same(trained(run_here, work, tmp_path / "t.csv", tmp_path / "b.h5", *short).params, wanted)
    ok(run_here("encode", tmp_path / "a.h5", work.patches, "-o", tmp_path / "codes.h5"))
    ok(run_here("encode", tmp_path / "a.h5", work.patches, "-o", tmp_path / "codes.npy"))
    both = [
        trained(run_here, work, tmp_path / f"codes.{s}", tmp_path / "c.h5", *short) for s in ("h5", "npy")
    ]
    assert same(both[0].params, both[1].params)
    np.save(tmp_path / "one.npy", T[:1])
    np.save(tmp_path / "all.npy", np.repeat(T[:1], N, axis=0))
    both = [trained(run_here, work, tmp_path / f"{s}.npy", tmp_path / "d.h5", *short) for s in ("one", "all")]
    assert same(both[0].params, both[1].params)
    assert not same(both[0].params, wanted)


def test_wrong_targets_are_refused_in_one_line(run_here, work, targets, tmp_path):
    _, T = targets
    nan = T.copy()
    nan[5, 1] = np.nan
    made = {
        "short": T[:-1],
        "narrow": T[:, :2],
        "large": 2 * T,
        "nan": nan,
        "stack": np.zeros((N, HIDDEN, 2)),
    }
    said = {
        "short": "599 rows of 3 values, wanted 600 rows, as the data have, or 1, of 3 values",
        "narrow": "600 rows of 2 values",
        "large": "has values beyond 0..1",
        "nan": "row 5 holds NaN",
        "stack": "wanted one matrix of numbers",
    }
    train = ("train", work.patches, "--model", "rbm", "--hidden", HIDDEN, "-o", tmp_path / "m.h5")
    for name, words in said.items():
        np.save(tmp_path / f"{name}.npy", made[name])
        refused(run_here(*train, "--hidden-targets", tmp_path / f"{name}.npy"), f"{name}.npy", words)
    refused(run_here(*train, "--hidden-targets", tmp_path / "none.npy"), "none.npy: no such file")
    refused(run_here(*train, "--blend", 0.2), "--blend: does nothing without --hidden-targets", code=2)
    assert run_here(*train, "--hidden-targets", tmp_path / "nan.npy", "--blend", 2).code == 2
    assert not (tmp_path / "m.h5").exists()


def test_other_targets_make_another_run(run_here, work, targets, tmp_path):
    _, T = targets
    path, out = tmp_path / "t.npy", tmp_path / "m.h5"
    np.save(path, T)
    trained(run_here, work, path, out, "--epochs", 1)
    resume = ("train", work.patches, "--model", "rbm", "--epochs", 1, "--lr", 0.05, "--hidden", HIDDEN)
    resume += ("--batch-size", 50, "--hidden-targets", path, "--resume", "-o", out)
    assert "already finished" in ok(run_here(*resume)).err
    np.save(path, 1 - T)
    refused(run_here(*resume), "content of --hidden-targets was", code=2)


def test_the_targets_are_an_input_of_the_model(run_here, work, targets, tmp_path):
    """It says where they came from, and cannot take their place."""
    file = trained(run_here, work, targets[0], tmp_path / "m.h5", "--epochs", 1)
    assert str(targets[0]) in str(file.provenance)
    ok(run_here("encode", tmp_path / "m.h5", work.patches, "-o", tmp_path / "codes.h5"))
    before = (tmp_path / "codes.h5").read_bytes()
    train = ("train", work.patches, "--model", "rbm", "--hidden", HIDDEN, "--epochs", 1, "--force")
    codes = tmp_path / "codes.h5"
    refused(run_here(*train, "--hidden-targets", codes, "-o", codes), "codes.h5", "input")
    assert codes.read_bytes() == before
