"""evaluate, the metrics and whole photographs against numpy."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from featlearn.analysis.advice import judge
from featlearn.analysis.metrics import psnr
from featlearn.analysis.photo import reconstruct_photo
from featlearn.jobs.classification import preprocess_key
from featlearn.models.rbm import RBM
from featlearn.ops.reduce import rmse
from featlearn.patches.fitter import Fitter
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import PreprocessSpec
from featlearn.random import Random
from helpers import Rows, class_measures, evaluate


class Half:
    """A 'model' whose reconstruction is half of the input."""

    dtype = np.dtype(np.float32)

    def reconstruct(self, X):
        return X / 2


def model(hidden=6):
    made = RBM(RBM.Config(hidden=hidden, visible="gaussian", init_scale=0.5))
    made.init(16, Random(0))
    return made


def test_metrics_by_their_definitions():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(50, 7)), rng.normal(size=(50, 7))
    assert rmse(X, Y) == pytest.approx(np.sqrt(np.mean((X - Y) ** 2)))
    assert psnr(np.zeros(4), np.full(4, 0.1)) == pytest.approx(20)
    assert psnr(X, X) == math.inf


def test_evaluate_equals_numpy_over_several_blocks():
    X = np.random.default_rng(0).normal(1, 2, (5000, 16)).astype(np.float32)
    m = model()
    found = evaluate(m, X)
    H = m.encode(X).astype(float)
    R = X - m.decode(m.encode(X)).astype(float)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(R**2)), rel=1e-5)
    assert found["explained_variance"] == pytest.approx(
        1 - (R**2).sum() / ((X - X.mean(0)) ** 2).sum(), rel=1e-4
    )
    assert found["mean_activation"] == pytest.approx(H.mean(), rel=1e-6)
    lifetime = (1 - H.mean(0) ** 2 / (H**2).mean(0)) / (1 - 1 / 5000)
    assert found["lifetime_sparsity"] == pytest.approx(lifetime.mean(), rel=1e-6)
    population = (1 - H.mean(1) ** 2 / (H**2).mean(1)) / (1 - 1 / 6)
    assert found["population_sparsity"] == pytest.approx(population.mean(), rel=1e-6)
    assert found["dead_units"] == found["saturated_units"] == 0
    assert "edge_share" in found


def test_dead_and_saturated_units_are_counted():
    m = model(10)
    m.params["W"][:, :3] = 0
    m.params["c"][:2], m.params["c"][2] = -20, 20
    found = evaluate(m, np.zeros((30, 16), np.float32) + 0.1)
    assert found["dead_units"] == 0.2
    assert found["saturated_units"] == 0.1


class Straight(RBM):
    """Codes are the rows themselves."""

    def encode(self, X):
        return X

    def decode(self, H):
        return H


def test_the_bounds_of_dead_and_saturated_units():
    """Dead: within +-.01 for all rows; saturated: above .99 for all rows."""
    m = Straight(RBM.Config(hidden=16, visible="gaussian"))
    m.init(16, Random(0))
    highest = np.array(
        [0.005, -0.005, 0.015, -0.015, 0.05, -0.05, 0.2, -0.2, 0.95, 0.985, 0.995, 1.0, 0, 0, 0, 0]
    )
    X = np.zeros((3, 16), np.float32)
    X[1] = highest
    found = evaluate(m, X)
    assert found["dead_units"] == 6 / 16  # two that move little, four that do not
    assert found["saturated_units"] == 0
    X[[0, 2]] = highest
    assert evaluate(m, X)["saturated_units"] == 2 / 16
    X[2, 10] = 0.98
    assert evaluate(m, X)["saturated_units"] == 1 / 16


def test_a_model_that_explains_nothing_is_found():
    m = model()
    m.params["W"][...] = 0
    X = np.random.default_rng(0).normal(size=(100, 16)).astype(np.float32)
    assert judge(evaluate(m, X)) == ["nothing"]


@pytest.mark.parametrize(("stride", "channels"), [(1, 1), (3, 1), (5, 3)])
def test_photo_covers_every_pixel(stride, channels):
    """A model that keeps half of what a patch has beyond its mean: averaged patches have a closed form per
    pixel."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (23, 31, channels), np.uint8)
    fitter = Fitter(PreprocessSpec(normalize="center"), 36 * channels, np.uint8)
    fitter.update(rng.integers(0, 256, (100, 36 * channels), np.uint8))
    again, ratio = reconstruct_photo(Half(), fitter.finish(), image, (6, 6, channels), stride)
    total, count = np.zeros(image.shape), np.zeros(image.shape)
    places = [sorted({*range(0, n - 5, stride), n - 6}) for n in image.shape[:2]]
    for y in places[0]:
        for x in places[1]:
            patch = image[y : y + 6, x : x + 6] / 255
            total[y : y + 6, x : x + 6] += patch.mean() + (patch - patch.mean()) / 2
            count[y : y + 6, x : x + 6] += 1
    assert count.min() > 0
    np.testing.assert_allclose(again, total / count, atol=1e-6)
    assert ratio == pytest.approx(psnr(image / 255, total / count), rel=1e-4)


def class_measures_by_definition(A, y):
    """Selectivity and purity, one unit and one cluster at a time."""
    selectivities, pure = [], 0
    for unit in A.T:
        means = {c: unit[y == c].mean() for c in set(y.tolist())}
        best = max(means, key=means.get)
        m1, m2 = means[best], unit[y != best].mean()
        selectivities.append((m1 - m2) / (m1 + m2) if m1 > 0 else 0)
    for winner in set(A.argmax(axis=1).tolist()):
        labels = y[A.argmax(axis=1) == winner]
        pure += max(np.count_nonzero(labels == c) for c in set(labels.tolist()))
    return {"selectivity": np.mean(selectivities), "purity": pure / len(y)}


def test_class_measures_equal_their_definition_over_several_blocks():
    rng = np.random.default_rng(0)
    y = rng.choice([3, 7, 40], 5000, p=[0.5, 0.3, 0.2])
    X = (rng.normal(size=(5000, 16)) + 3 * rng.normal(size=(41, 16))[y]).astype(np.float32)
    m = model(12)
    found = class_measures(m, Rows(X), y)
    assert found == pytest.approx(class_measures_by_definition(m.encode(X).astype(float), y), rel=1e-6)
    assert 0 < found["selectivity"] < 1
    assert 0.5 < found["purity"] <= 1


class Signed:
    """Codes are the rows themselves, of either sign."""

    def encode(self, X):
        return X


def test_units_of_one_class_are_selective_and_pure_whatever_their_sign():
    y = np.arange(30) % 3
    X = np.where(np.arange(4) == y[:, None], -2.0, 0.0)  # the fourth unit is never active
    assert class_measures(Signed(), Rows(X), y) == {"selectivity": pytest.approx(0.75), "purity": 1}
    alike = class_measures(Signed(), Rows(np.ones((30, 4))), y)
    assert alike == {"selectivity": pytest.approx(0, abs=1e-15), "purity": pytest.approx(1 / 3)}


def test_one_class_alone_has_no_selectivity():
    found = class_measures(Signed(), Rows(np.ones((5, 2))), np.zeros(5, np.int64))
    assert math.isnan(found["selectivity"])
    assert found["purity"] == 1


def test_equal_numbers_of_two_steps_are_no_equal_preprocessing():
    """A threshold of 0.5 and a range of 0.5 deviations leave the same values in a file, by other names."""

    def key(**settings):
        spec = PreprocessSpec("none", "none", **settings)
        return preprocess_key(SimpleNamespace(preprocess=Preprocess(spec, 4)))

    assert key(threshold=0.5) == key(threshold=0.5)
    assert key(threshold=0.5) != key(clip=0.5)
