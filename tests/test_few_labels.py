"""Draws of few labelled rows, the choice of a decay by folds, and errors against scipy."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.optimize
from scipy.special import log_softmax

from featlearn.rows import Encoded, Selected
from featlearn.training import classifier
from featlearn.training.classifier import STRENGTHS, ClassifierConfig, Standardized, train_classifier
from featlearn.training.few_labels import drawn_rows, errors_per_class
from helpers import Rows


class Doubled:
    """A model whose codes are twice the rows."""

    def encode(self, X):
        return 2 * X


def problem(n=900, d=5, classes=3, seed=0, apart=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n).astype(np.int32)
    return rng.normal(size=(n, d)) + apart * np.random.default_rng(1).normal(size=(classes, d))[y], y


def scipy_softmax(Z, y, classes, decay):
    """(W, b) at the minimum of the decayed loss."""
    d = Z.shape[1]

    def f(x):
        W, b = x[: d * classes].reshape(d, classes), x[d * classes :]
        log_p = log_softmax(Z @ W + b, axis=1)
        P = np.exp(log_p)
        P[np.arange(len(y)), y] -= 1
        gradient = np.concatenate([(Z.T @ P / len(y) + decay * W).ravel(), P.mean(axis=0)])
        return -log_p[np.arange(len(y)), y].mean() + decay / 2 * (W**2).sum(), gradient

    x = scipy.optimize.minimize(f, np.zeros((d + 1) * classes), jac=True, method="L-BFGS-B", tol=1e-14).x
    return x[: d * classes].reshape(d, classes), x[d * classes :]


def test_a_draw_has_so_many_rows_of_each_class_in_mixed_order():
    y = np.sort(problem()[1])
    index = drawn_rows(y, 20, seed=3, draw=1)
    assert np.bincount(y[index]).tolist() == [20, 20, 20]
    assert len(set(index.tolist())) == 60
    assert (np.diff(y[index]) < 0).sum() > 10
    assert np.array_equal(index, drawn_rows(y, 20, seed=3, draw=1))
    assert not np.array_equal(index, drawn_rows(y, 20, seed=3, draw=2))
    assert not np.array_equal(index, drawn_rows(y, 20, seed=4, draw=1))


def test_a_small_draw_is_part_of_the_larger_one():
    y = problem()[1]
    few, more = drawn_rows(y, 5, 0, 0), drawn_rows(y, 50, 0, 0)
    assert set(few.tolist()) < set(more.tolist())


def test_codes_are_the_same_in_memory_and_in_a_file(monkeypatch):
    monkeypatch.setattr("featlearn.rows.BLOCK", 77)
    X, _ = problem()
    kept, anew = Encoded(Doubled(), Rows(X)), Encoded(Doubled(), Rows(X), memory=0)
    index = np.array([7, 3, 899, 3])
    for encoded in (kept, anew, Encoded(Doubled(), Rows(X.astype(np.float32)), memory=0)):
        assert len(encoded) == 900
        codes = (2 * X).astype(encoded.block(0, 1).dtype)
        assert np.array_equal(encoded.block(5, 900), codes[5:])
        assert np.array_equal(encoded.take(index), codes[index])
        assert np.array_equal(Selected(encoded, index).block(1, 3), codes[index[1:3]])


def test_a_full_disk_is_said_in_words():
    """A limit on the size of files answers as a full disk does."""
    code = (
        "import resource, signal, numpy as np; from featlearn.rows import Encoded\n"
        "class Same:\n    encode = staticmethod(lambda X: X)\n"
        "class Rows:\n    __len__ = lambda self: 900\n    block = lambda self, a, b: np.ones((b - a, 50))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "Encoded(Same(), Rows(), memory=0).extent()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    wanted = "DataError: a temporary file for the codes of 900 rows, 0.00036 GB: File too large; set TMPDIR"
    assert wanted in ran.stderr.splitlines()[-1]


def test_errors_equal_those_of_scipy():
    (X, y), (T, t) = problem(), problem(seed=5)
    config = ClassifierConfig(classifier_decay=0.03, classifier_iterations=500, per_class=(4, 30), draws=3)
    heard = []
    found = errors_per_class((Rows(X), y), (Rows(T), t), config, 0, heard.append)
    assert found.shape == (2, 3)
    assert heard == [1] * 6
    for i, number in enumerate((4, 30)):
        for draw in range(3):
            index = drawn_rows(y, number, 0, draw)
            mean = X[index].mean(axis=0)
            scale = np.sqrt(np.mean((X[index] - mean) ** 2))
            W, b = scipy_softmax((X[index] - mean) / scale, y[index], 3, 0.03)
            wanted = np.mean(((T - mean) / scale @ W + b).argmax(axis=1) != t)
            assert found[i, draw] == pytest.approx(wanted, abs=1e-12)


def test_rows_of_unknown_classes_are_errors():
    (X, y), (T, t) = problem(), problem(seed=5)
    t[:450] = -1
    config = ClassifierConfig(classifier_decay=0.1, per_class=(30,), draws=1)
    assert 0.5 <= errors_per_class((Rows(X), y), (Rows(T), t), config, 0)[0, 0] < 1


def test_of_few_rows_each_is_held_out_once_of_many_a_sixth():
    y = problem(100)[1]
    few = classifier._folds(y)
    assert len(few) == 6
    assert np.array_equal(np.sum(few, axis=0), np.ones(100))
    for k in range(3):
        sizes = [np.count_nonzero(y[fold] == k) for fold in few]
        assert max(sizes) - min(sizes) <= 1
    (many,) = classifier._folds(problem(6000)[1])
    assert abs(int(many.sum()) - 1000) <= 3
    assert len(classifier._folds(np.arange(3, dtype=np.int32))) == 3
    assert len(classifier._folds(np.zeros(3, np.int32))) == 3


@pytest.mark.parametrize("by_class", [False, True])
def test_runs_are_held_out_of_each_class_and_not_single_rows(by_class):
    y = problem(30_000)[1]
    y = np.sort(y) if by_class else y
    (held_out,) = classifier._folds(y)
    starts = []
    for k in range(3):
        of_class = held_out[y == k]
        assert np.mean(of_class) == pytest.approx(1 / 6, abs=0.01)
        edges = np.flatnonzero(np.diff(of_class.astype(int))) + 1
        assert (np.diff(edges) >= classifier.RUN).all()
        starts.append(int(edges[0]))
        assert len(edges) >= 14  # eight runs, spread over all rows
    assert len({start // classifier.RUN for start in starts}) == 3, "other runs of other classes"


def least_loss(scores, y):
    """Of softmax(t scores) over t, by scipy."""

    def loss(log_t):
        return -log_softmax(np.exp(log_t) * scores, axis=1)[np.arange(len(y)), y].mean()

    return scipy.optimize.minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9}).fun


def test_the_loss_at_the_best_scale():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 500).astype(np.int32)
    for size in (0.1, 1.0, 50.0):
        scores = size * (rng.normal(size=(500, 4)) + 1.5 * np.eye(4)[y])
        found = classifier._loss_at_best_scale(scores, y)
        assert found == pytest.approx(least_loss(scores, y), rel=1e-4)
        assert found == pytest.approx(classifier._loss_at_best_scale(2 * scores + 7, y), rel=1e-4)
    assert classifier._loss_at_best_scale(1000.0 * np.eye(4)[y], y) == 0
    assert classifier._loss_at_best_scale(np.zeros((500, 4)), y) == pytest.approx(np.log(4))


def test_the_decay_is_that_of_the_least_loss_over_all_folds(monkeypatch):
    """At the best scale of the weights; by errors, or by the loss at the scale that the decay leaves, it is
    another."""
    monkeypatch.setattr(classifier, "STRENGTHS", STRENGTHS[:3])
    rng = np.random.default_rng(7)
    X, y = problem(150, apart=0.8, seed=7)
    codes = Standardized(Rows(np.hstack([X, rng.normal(size=(150, 20))])))
    Z, losses, others = codes.block(0, 150), [], []
    for decay in STRENGTHS[:3]:
        scores = np.empty((150, 3))
        for held_out in classifier._folds(y):
            W, b = scipy_softmax(Z[~held_out], y[~held_out], 3, decay)
            scores[held_out] = Z[held_out] @ W + b
        losses.append(least_loss(scores, y))
        others.append(
            (np.mean(scores.argmax(axis=1) != y), -log_softmax(scores, axis=1)[np.arange(150), y].mean())
        )
    config = ClassifierConfig(classifier_iterations=1000)
    chosen = STRENGTHS[int(np.argmin(losses))]
    assert train_classifier(codes, y, 3, config)[1] == chosen
    assert chosen not in [STRENGTHS[i] for i in np.argmin(others, axis=0)]


def test_of_equal_decays_the_strongest_is_taken():
    X, y = problem(60, apart=50)
    assert train_classifier(Standardized(Rows(X)), y, 3, ClassifierConfig())[1] == STRENGTHS[0]


def test_codes_that_say_nothing_and_classes_of_one_row_are_learned_somehow():
    for y in (np.arange(2), np.arange(40) % 2, np.arange(3)):
        codes = Standardized(Rows(np.zeros((len(y), 4))))
        softmax, _ = train_classifier(codes, y.astype(np.int32), 3, ClassifierConfig())
        assert all(np.isfinite(w).all() for w in softmax.params.values())


def test_rows_that_come_class_by_class_are_learned():
    X, y = problem(120, apart=3)
    order = np.argsort(y, kind="stable")
    codes = Standardized(Rows(X[order]))
    softmax, _ = train_classifier(codes, y[order], 3, ClassifierConfig())
    assert classifier.classification_error(softmax, codes, y[order]) < 0.1


def test_steps_are_those_that_are_reported():
    X, y = problem(60)
    for decay in (None, 0.1):
        config, heard = ClassifierConfig(classifier_decay=decay), []
        train_classifier(Standardized(Rows(X)), y, 3, config, heard.append)
        assert sum(heard) == classifier.classifier_steps(config)


def test_the_same_number_of_labels_is_tried_once():
    assert ClassifierConfig(per_class=(5, 40, 5)).per_class == (5, 40)
