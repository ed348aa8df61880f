"""Products with the curvature of losses against differences of gradients and of outputs."""

import numpy as np
import pytest

from featlearn.models import model_class
from featlearn.models.base import Step
from featlearn.random import Random
from featlearn.training.gradcheck import CLASSES, VISIBLE, _resolve

N = 8
STEP = Step(1, 0)
MODELS = ("autoencoder", "sparse-autoencoder", "deep-autoencoder", "network", "softmax")


def variants():
    for id in MODELS:
        cls = model_class(id)
        for name, config in cls.variants().items():
            resolved = _resolve(cls, config)
            if cls(resolved).phases()[0].curvature is not None and not cls(resolved).phases()[0].moving_loss:
                yield pytest.param(cls, resolved, id=f"{id}, {name}")


def problem(cls, config):
    """A float64 model at random params, rows, and a vector like its params."""
    rng, model = np.random.default_rng(0), cls(config, np.float64)
    X = rng.random((N, VISIBLE))
    model.init(VISIBLE, Random(5), X.mean(axis=0))
    if cls.labelled:
        X = np.hstack([X, np.eye(CLASSES)[np.arange(N) % CLASSES]])
    for w in model.params.values():
        w += 0.5 * rng.normal(size=w.shape)
    return model, X, {name: rng.normal(size=w.shape) for name, w in model.params.items()}


def along(model, v, function, h=1e-3):
    """The derivative of arrays along v, by differences of the sixth order."""
    kept = {name: w.copy() for name, w in model.params.items()}

    def at(share):
        for name, w in model.params.items():
            w[...] = kept[name] + share * h * v[name]
        return [np.array(value) for value in function()]

    quotients = [[(a - b) / (2 * i * h) for a, b in zip(at(i), at(-i), strict=True)] for i in (1, 2, 3)]
    at(0)
    return [1.5 * one - 0.6 * two + 0.1 * three for one, two, three in zip(*quotients, strict=True)]


def distance(a, b):
    return np.linalg.norm(a - b) / (np.linalg.norm(a) + np.linalg.norm(b))


@pytest.mark.parametrize(("cls", "config"), list(variants()))
def test_exact_products_are_those_of_differences_of_the_gradient(cls, config):
    model, X, v = problem(cls, config)
    found = model.curvature(X)(v, True)
    names = list(model.params)
    wanted = along(model, v, lambda: [model.gradient(X, STEP)[1][name] for name in names], 1e-4)
    for name, differences in zip(names, wanted, strict=True):
        assert distance(found[name], differences) < 1e-8, name


@pytest.mark.parametrize(("cls", "config"), list(variants()))
def test_gauss_newton_products_are_those_of_differences_of_the_outputs(cls, config):
    """v'Gu = the mean over rows of the loss's curvature by outputs, times both derivatives of these."""
    model, X, v = problem(cls, config)
    u = {name: np.random.default_rng(7).normal(size=w.shape) for name, w in model.params.items()}

    def outputs():
        return [model.probabilities(model.visible(X))] if cls.labelled else [model.decode(model.encode(X))]

    (Y,), (dv,), (du,) = outputs(), along(model, v, outputs, 1e-4), along(model, u, outputs, 1e-4)
    if cls.labelled:
        wanted = (dv * du / Y).sum() / N
    else:
        weight = 1 if config.loss == "squared" else 1 / (Y * (1 - Y))
        wanted = (dv * du * weight).sum() / (N * config.loss_scale)
    if cls.id == "sparse-autoencoder":
        scale = 1.0 if config.activation == "sigmoid" else 0.5

        def mean_codes():
            return [model.encode(X).mean(axis=0) * scale + (1 - scale)]

        (q,), (a,), (b,) = mean_codes(), along(model, v, mean_codes), along(model, u, mean_codes)
        rho = config.sparsity_target
        wanted += config.sparsity_weight * (a * b * (rho / q**2 + (1 - rho) / (1 - q) ** 2)).sum()
    found = model.curvature(X)(u, False)
    assert sum((v[name] * found[name]).sum() for name in v) == pytest.approx(wanted, rel=1e-7)
