"""Small runs of every model and their bytes; as a program, the digests of all models as JSON, wherever it is
run."""

import functools
import hashlib
import json

import numpy as np

from featlearn.errors import ConfigError
from featlearn.models import model_class
from featlearn.models.base import DataSummary, IsClassifier
from featlearn.random import Random
from featlearn.training.config import TrainConfig
from featlearn.training.order import moments
from featlearn.training.train import Training
from helpers import LABELS, SINGLE, Rows

N_VISIBLE = 20
N = 230  # rows, no multiple of any minibatch
CLASSES = len(LABELS)


def span(cls):
    """What the data lie in: 0..1 like pixels, or where these are refused like whitened ones."""
    try:
        cls.resolve(cls.Config(), DataSummary(N_VISIBLE, 0.0, 1.0, classes=CLASSES))
    except ConfigError:
        return -3.0, 3.0
    return 0.0, 1.0


def configs(cls):
    """All variants, and the usual settings with a few more units, by name."""
    usual = cls.Config(**larger(cls.small))
    summary = DataSummary(N_VISIBLE, *span(cls), n_rows=N, variance=2.5, square=5.0, classes=CLASSES)
    return {
        name: cls.resolve(config, summary) for name, config in (cls.variants() | {"usual": usual}).items()
    }


def larger(sizes):
    """Three times the sizes, of each layer where there are several."""
    return {
        name: tuple(3 * one for one in size) if isinstance(size, tuple) else 3 * size
        for name, size in sizes.items()
    }


def labelled(X):
    """Rows [x | t] of rows X, the classes in turn."""
    return np.hstack([X, np.eye(CLASSES, dtype=X.dtype)[np.arange(len(X)) % CLASSES]])


def learned_from(cls, X):
    """What a model learns from: rows X, with classes where it wants them."""
    return labelled(X) if cls.labelled else X


@functools.cache
def data(cls, dtype="float32"):
    """Rows (N, N_VISIBLE) of few causes, made of integers, whose sums have no order."""
    low, high = span(cls)
    rng = np.random.default_rng(5)
    causes, fields = rng.integers(-3, 4, (N, 4)), rng.integers(-3, 4, (4, N_VISIBLE))
    X = causes @ fields + rng.integers(-20, 21, (N, N_VISIBLE))
    X = (low + (high - low) * ((X - X.min()) / (X.max() - X.min()))).astype(dtype)
    return Rows(learned_from(cls, X))


def fresh(id, config, dtype="float32", **training):
    """A run of a model that has not begun, by its own training settings but of few epochs."""
    cls = model_class(id)
    settings = cls.defaults.training | ({"epochs": 3} if cls.descends() else {}) | training
    model, rows = cls(config, dtype), data(cls, dtype)
    model.init(N_VISIBLE, Random(3), moments(rows, np.arange(N))[0][:N_VISIBLE])
    return Training(model, rows, TrainConfig(**settings), seed=7)


def trained(id, config, dtype="float32", **training):
    """The same at its end."""
    run = fresh(id, config, dtype, **training)
    assert run.run()
    return run


def digest(run):
    """Of all that a run leaves behind, and of what the model makes of rows."""
    sha, model = hashlib.sha256(), run.model
    X = model.visible(run.rows.X)
    H = model.encode(X)
    made = {"H": H, "F": model.filters()}
    if model.decodes:
        made |= {"Y": model.decode(H), "Z": model.reconstruct(X)}
    if isinstance(model, IsClassifier):
        made["P"] = model.probabilities(X)
    arrays = model.params | model.state | made
    for name in sorted(arrays):
        sha.update(np.ascontiguousarray(arrays[name]).tobytes())
    sha.update(repr(run.history).encode())
    return sha.hexdigest()[:16]


def digests(id):
    """By variant and dtype."""
    cls = model_class(id)
    found = {name: digest(trained(id, config)) for name, config in configs(cls).items()}
    found["float64"] = digest(trained(id, configs(cls)["usual"], "float64"))
    return found


def line_searches():
    """Digests of the optimizers that want a loss that stands still, by name and dtype."""
    id = "sparse-autoencoder"
    config = configs(model_class(id))["usual"]
    return {
        f"{optimizer} {dtype}": digest(trained(id, config, dtype, optimizer=optimizer, epochs=epochs))
        for optimizer, epochs in (("lbfgs", 40), ("cg", 40), ("hessian-free", 8), ("newton", 4))
        for dtype in ("float32", "float64")
    }


if __name__ == "__main__":
    print(json.dumps({id: digests(id) for id in SINGLE} | {"line searches": line_searches()}))
