"""A new model is one file: options, help, training, saving and the contract's tests follow from it."""

import importlib
import inspect
import json
import sys

import pytest

import featlearn.models
import test_contract
import test_sklearn
from helpers import commands_after

CONTRACTIVE = '''"""Contractive autoencoder: codes change as little as they can where the data are.

    h = s(W'x + c)      y = W h + b      J = <|y - x|^2 / 2> + penalty <sum_ij (dh_j / dx_i)^2>

S. Rifai, P. Vincent, X. Muller, X. Glorot, Y. Bengio, Contractive auto-encoders, ICML 2011.
"""

from dataclasses import dataclass

import numpy as np

from featlearn.models.base import Defaults, Layer
from featlearn.ops.activations import sigmoid
from featlearn.ops.arrays import add_bias, product, row_distances, row_sum, sum_columns
from featlearn.ops.reduce import column_mean, grand_mean, mean, outer_mean, rmse
from featlearn.random import Purpose
from featlearn.settings import check, setting


class Contractive(Layer):
    """params: W (visible, hidden), b (visible,), c (hidden,)."""

    id = "contractive"
    defaults = Defaults(rates={"sgd": 0.1}, training={"momentum": 0.5})

    @dataclass(frozen=True)
    class Config:
        hidden: int = setting(100, "number of hidden units", low=1)
        penalty: float = setting(0.1, "strength of the contraction", low=0)

        def __post_init__(self):
            check(self)

    def init(self, n_visible, rng, mean=None):
        shape = (n_visible, self.config.hidden)
        self.params = {
            "W": 0.1 * rng.normal(shape, self.dtype, Purpose.INIT),
            "b": np.zeros(n_visible, self.dtype),
            "c": np.zeros(self.config.hidden, self.dtype),
        }

    def shapes(self, n_visible):
        return {"W": (n_visible, self.config.hidden), "b": (n_visible,), "c": (self.config.hidden,)}

    def encode(self, X):
        return sigmoid(product(X, self.params["W"]), self.params["c"])

    def decode(self, H):
        return add_bias(product(H, self.params["W"], trans_b=True), self.params["b"])

    def gradient(self, X, step):
        W, penalty = self.params["W"], self.config.penalty
        H = self.encode(X)
        Y = self.decode(H)
        slope, squares = H * (1 - H), sum_columns(np.square(W))
        delta = slope * (product(Y - X, W) + 2 * penalty * slope * (1 - 2 * H) * squares)
        dW = outer_mean(X, delta, out=outer_mean(Y - X, H)) + 2 * penalty * W * column_mean(np.square(slope))
        loss = mean(row_distances(Y, X)) / 2 + penalty * mean(row_sum(np.square(slope) * squares))
        metrics = {"error": rmse(X, Y), "mean_activation": grand_mean(H), "loss": loss}
        return metrics, {"W": dW, "b": column_mean(Y - X), "c": column_mean(delta)}
'''
RIGHT, WRONG = "+ 2 * penalty * slope", "- 2 * penalty * slope"
PROGRAM = """
import featlearn.models
featlearn.models.__path__.append(sys.argv[1])
"""


def contract():
    """The tests that walk the registry in this process, as (function, names of what they take)."""
    tests = inspect.getmembers(test_contract, inspect.isfunction)
    for name, function in tests + inspect.getmembers(test_sklearn, inspect.isfunction):
        wanted = list(inspect.signature(function).parameters)
        if name.startswith("test_") and "id" in wanted and set(wanted) <= {"id", "dtype", "tmp_path"}:
            yield function, wanted


def installed(text, folder, monkeypatch):
    """Put the file among the models of this process."""
    folder.mkdir()
    (folder / "contractive.py").write_text(text)
    monkeypatch.setattr(featlearn.models, "__path__", [*featlearn.models.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, "featlearn.models.contractive", raising=False)
    importlib.invalidate_caches()


def test_the_contract_is_asked_of_a_new_model(tmp_path, monkeypatch):
    installed(CONTRACTIVE, tmp_path / "models", monkeypatch)
    assert "contractive" in featlearn.models.model_ids()
    fitting = {"normalize": "standardize"}  # its rate is no match for rows about 100
    monkeypatch.setitem(test_sklearn.FITTING, "contractive", fitting)
    asked = 0
    for function, wanted in contract():
        for dtype in test_contract.DTYPES if "dtype" in wanted else (None,):
            (tmp_path / f"{asked}").mkdir()
            given = {"id": "contractive", "dtype": dtype, "tmp_path": tmp_path / f"{asked}"}
            function(**{name: given[name] for name in wanted})
            asked += 1
    assert asked >= 19
    monkeypatch.delitem(sys.modules, "featlearn.models.contractive")


def test_a_wrong_sign_fails_the_contract(tmp_path, monkeypatch):
    """And nothing but its test of gradients sees it."""
    assert CONTRACTIVE.count(RIGHT) == 1
    installed(CONTRACTIVE.replace(RIGHT, WRONG), tmp_path / "models", monkeypatch)
    with pytest.raises(AssertionError, match="parameter='W'"):
        test_contract.test_gradients_are_those_of_the_losses("contractive")
    test_contract.test_bytes_do_not_depend_on_threads("contractive")
    monkeypatch.delitem(sys.modules, "featlearn.models.contractive")


def test_the_command_line_follows(work, tmp_path):
    """Options, help, training, a run that goes on, codes, checked gradients."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "contractive.py").write_text(CONTRACTIVE)
    train = f"train {work.patches} --model contractive --hidden 7 --epochs 2"
    commands = [
        "train --model contractive --help",
        f"{train} --penalty 0.2 -o m.h5 --json",
        f"{train} --penalty 0.2 -o m.h5 --resume",
        f"{train} --penalty -1 -o n.h5",
        f"encode m.h5 {work.patches} -o codes.h5",
        "info m.h5 --json",
        f"check-gradients m.h5 {work.patches} --epsilon 1e-3",
        "check-gradients --model contractive --penalty 0.3",
    ]
    found = commands_after(PROGRAM, tmp_path / "models", lines=commands, cwd=tmp_path)
    help, trained, resumed, refused, *others = found
    assert "--penalty X Strength of the contraction. [default: 0.1; x>=0]" in " ".join(help[1].split())
    assert "sgd 0.1; adam 0.001" in " ".join(help[1].split())
    assert trained[0] == 0, trained
    assert "already finished" in resumed[2]
    assert refused[0] == 2
    assert "--penalty" in refused[2]
    assert [code for code, *_ in others] == [0, 0, 0, 0], others
    config = json.loads(others[1][1])["config"]
    assert (config["penalty"], config["hidden"]) == (0.2, 7)
