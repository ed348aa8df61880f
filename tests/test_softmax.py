"""Softmax regression against central differences, scipy and algebra; choosing its decay."""

import numpy as np
import pytest
import scipy.optimize
from scipy.special import log_softmax

from featlearn.ops.softmax import Softmax
from featlearn.rows import Encoded
from featlearn.training.classifier import (
    STRENGTHS,
    ClassifierConfig,
    Standardized,
    classification_error,
    train_classifier,
)
from helpers import Rows


def problem(n=300, d=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return rng.normal(size=(n, d)) + rng.normal(size=(classes, d))[y], y.astype(np.int32)


def test_loss_and_gradient_are_those_of_the_equations():
    X, y = problem(40)
    model = Softmax(5, 3, np.float64)
    for i, value in enumerate(model.params.values()):
        value += np.random.default_rng(i).normal(size=value.shape)

    def loss():
        return model.gradient([(X[:17], y[:17], None), (X[17:], y[17:], None)], 40)[0]["loss"]

    log_p = log_softmax(X @ model.params["W"] + model.params["b"], axis=1)
    assert loss() == pytest.approx(-log_p[np.arange(40), y].mean(), rel=1e-12)
    np.testing.assert_allclose(model.probabilities(X), np.exp(log_p), rtol=1e-12)
    assert np.array_equal(model.predict(X), log_p.argmax(axis=1))
    _, grads = model.gradient([(X, y, None)], 40)
    for name, w in model.params.items():
        differences = np.empty_like(w)
        for i in np.ndindex(*w.shape):
            kept = w[i]
            w[i] = kept + 1e-5
            up = loss()
            w[i] = kept - 1e-5
            differences[i] = (up - loss()) / 2e-5
            w[i] = kept
        np.testing.assert_allclose(grads[name], differences, atol=1e-9)


def test_rows_that_do_not_count_change_nothing():
    X, y = problem(40)
    model = Softmax(5, 3, np.float64)
    model.params["W"] += np.random.default_rng(0).normal(size=(5, 3))
    counted = np.ones((40, 1))
    counted[30:] = 0
    some, few = model.gradient([(X, y, counted)], 30), model.gradient([(X[:30], y[:30], None)], 30)
    assert some[0]["loss"] == pytest.approx(few[0]["loss"], rel=1e-12)
    for name in some[1]:
        np.testing.assert_allclose(some[1][name], few[1][name], rtol=1e-12)


def test_classifiers_side_by_side_are_those_alone():
    X, y = problem(40)
    both, rng = Softmax(5, 3, np.float64, count=2), np.random.default_rng(1)
    both.params["W"] += rng.normal(size=(5, 6))
    both.params["b"] += rng.normal(size=6)
    counted = (rng.random((40, 2)) < 0.6).astype(float)
    loss, grads = both.gradient(
        [(X[:9], y[:9], counted[:9]), (X[9:], y[9:], counted[9:])], counted.sum(axis=0)
    )
    losses = []
    for i in range(2):
        alone, own, these = Softmax(5, 3, np.float64), slice(3 * i, 3 * i + 3), counted[:, i] > 0
        alone.params = {name: np.ascontiguousarray(value[..., own]) for name, value in both.params.items()}
        metrics, wanted = alone.gradient([(X[these], y[these], None)], np.count_nonzero(these))
        losses.append(metrics["loss"])
        np.testing.assert_allclose(both.scores(X)[:, own], alone.scores(X), rtol=1e-12)
        for name in wanted:
            np.testing.assert_allclose(grads[name][..., own], wanted[name], atol=1e-14)
    assert loss["loss"] == pytest.approx(sum(losses), rel=1e-12)


def test_training_ends_where_scipy_does():
    X, y = problem()
    codes = Standardized(Rows(X))
    Z = (X - X.mean(axis=0)) / codes.scale
    config = ClassifierConfig(classifier_decay=0.01, classifier_iterations=300)
    model, used = train_classifier(codes, y, 3, config)
    assert used == 0.01

    def f(x):
        W, b = x[:15].reshape(5, 3), x[15:]
        return -log_softmax(Z @ W + b, axis=1)[np.arange(len(y)), y].mean() + 0.005 * (W**2).sum()

    theirs = scipy.optimize.minimize(
        f, np.zeros(18), method="L-BFGS-B", options={"maxiter": 1000, "ftol": 1e-14}
    )
    ours = np.concatenate([model.params["W"].ravel(), model.params["b"]])
    assert f(ours) <= theirs.fun + 1e-8


def test_classes_told_by_columns_of_little_variance_want_a_weak_decay():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 6000).astype(np.int32)
    told = rng.normal(size=(6000, 5)) + rng.normal(size=(3, 5))[y]
    codes = Standardized(Rows(np.hstack([0.02 * told, rng.normal(size=(6000, 20))])))
    assert train_classifier(codes, y, 3, ClassifierConfig())[1] <= 1e-4


def writers(hands, rows, seed):
    """Rows in the order of the hands that wrote them, each hand one class: the class moves the first five
    columns by little, the hand all of 150 by much. (rows, classes)"""
    rng = np.random.default_rng(seed)
    y = np.repeat(rng.integers(0, 3, hands), rows).astype(np.int32)
    X = np.repeat(rng.normal(size=(hands, 150)), rows, axis=0) + 0.3 * rng.normal(size=(hands * rows, 150))
    X[:, :5] += np.random.default_rng(9).normal(size=(3, 5))[y]
    return X, y


@pytest.mark.parametrize("by_class", [False, True])
def test_neighbours_do_not_judge_each_other(by_class):
    """Single rows held out, beside others by the same hand, want a weak decay; hands not seen before a strong
    one."""
    X, y = writers(250, 20, 0)
    if by_class:
        order = np.argsort(y, kind="stable")
        X, y = X[order], y[order]
    codes, (T, t) = Standardized(Rows(X)), writers(3000, 1, 1)
    errors = {}
    for decay in STRENGTHS:
        model, _ = train_classifier(codes, y, 3, ClassifierConfig(classifier_decay=decay))
        errors[decay] = classification_error(model, Standardized(Rows(T), codes), t)
    chosen = train_classifier(codes, y, 3, ClassifierConfig())[1]
    assert chosen >= 0.1
    assert errors[chosen] <= min(errors.values()) + 0.02
    assert errors[1e-3] > min(errors.values()) + 0.04


class Doubled:
    """A model whose codes are twice the rows."""

    def encode(self, X):
        return 2 * X


def test_codes_are_centred_and_scaled_whether_kept_or_made_anew():
    X, y = problem(5000, 7)
    kept = Standardized(Encoded(Doubled(), Rows(X)))
    anew = Standardized(Encoded(Doubled(), Rows(X)), memory=0)
    Z = 2 * X - 2 * X.mean(axis=0)
    assert kept.scale == anew.scale == pytest.approx(np.sqrt(np.mean(Z * Z)))
    for a, b in kept.edges():
        assert np.array_equal(kept.block(a, b), anew.block(a, b))
        np.testing.assert_allclose(kept.block(a, b), Z[a:b] / kept.scale, atol=1e-12)
    few = Standardized(Encoded(Doubled(), Rows(X[:10] + 1)), kept)
    np.testing.assert_allclose(few.block(0, 10), (Z[:10] + 2) / kept.scale, atol=1e-12)
    model = Softmax(7, 3, np.float64)
    model.params["W"][0, 1] = 1
    wrong = np.where(Z[:, 0] > 0, 1, 0) != y
    assert classification_error(model, kept, y) == np.mean(wrong)


def test_all_zero_codes_do_not_divide_by_zero():
    codes = Standardized(Rows(np.zeros((10, 3))))
    assert np.array_equal(codes.block(0, 10), np.zeros((10, 3)))
