"""Autoencoders from the command line: every optimizer, checked gradients, classifiers on codes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from featlearn.files.model import read_model
from featlearn.jobs.store import load_model, load_rows
from featlearn.models.autoencoder import Autoencoder
from featlearn.training import gradcheck
from featlearn.training.classifier import STRENGTHS

FEATLEARN = [sys.executable, "-m", "featlearn"]
MODELS = ("autoencoder", "sparse-autoencoder", "k-sparse", "denoising")


def report(run_here, *args):
    ran = run_here(*args, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


@pytest.fixture(scope="module")
def folder(work, run_here, tmp_path_factory):
    """Patches for sigmoid outputs (p.h5), whitened ones (w.h5), and labelled bars that lean either way."""
    folder = tmp_path_factory.mktemp("autoencoder")
    cut = ("--size", 8, "--count", 800)
    to = ("--normalize", "center", "--clip", 3, "--to", "0.1,0.9")
    report(run_here, "extract-patches", work.photos, *cut, *to, "-o", folder / "p.h5")
    report(run_here, "extract-patches", work.photos, *cut, "--whiten", "zca", "-o", folder / "w.h5")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600).astype(np.uint8)
    X = np.where(y[:, None, None] == 1, np.eye(6), np.eye(6)[::-1]) * 200 + rng.integers(0, 120, (600, 6, 6))
    for name, half in (("learn", slice(0, 400)), ("test", slice(400, 600))):
        write_idx(folder / f"{name}-images", np.minimum(X[half], 255).astype(np.uint8))
        write_idx(folder / f"{name}-labels", y[half])
        source = (folder / f"{name}-images", "--labels", folder / f"{name}-labels")
        report(run_here, "extract-patches", *source, "-o", folder / f"{name}.h5")
    return folder


def write_idx(path, array):
    path.write_bytes(
        bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()
    )


def test_the_lectures_sparse_autoencoder(folder, run_here):
    """By L-BFGS unless told otherwise: the mean activations meet rho, and the history holds the cost."""
    found = report(
        run_here,
        *(
            "train",
            folder / "p.h5",
            "--model",
            "sparse-autoencoder",
            "--sparsity-target",
            0.05,
            "--sparsity-weight",
            3,
            "--loss-scale",
            1,
        ),
        *("-o", folder / "s.h5"),
    )
    assert found["epochs"] <= 400
    assert found["deviation"] < 0.02
    file = read_model(str(folder / "s.h5"))
    assert (file.training["optimizer"], file.training["decay"]) == ("lbfgs", "l2")
    learned = load_model(str(folder / "s.h5"))
    X = load_rows(str(folder / "p.h5"), like=learned, say=print)[0].block(0, 800)
    assert (X.min(), X.max()) == pytest.approx((0.1, 0.9), abs=1e-6)
    q = learned.model.encode(X).mean(axis=0)
    assert np.abs(q - 0.05).max() == pytest.approx(found["deviation"], abs=2e-3)
    params = learned.model.params
    norms = sum(float(np.square(params[name], dtype=np.float64).sum()) for name in ("W", "D"))
    kl = (0.05 * np.log(0.05 / q) + 0.95 * np.log(0.95 / (1 - q))).sum()
    error = np.square(learned.model.reconstruct(X) - X, dtype=np.float64).sum() / (2 * len(X))
    assert found["loss"] == pytest.approx(error + 1e-4 / 2 * norms + 3 * kl, rel=1e-4)


@pytest.mark.parametrize(
    "options", [("sgd",), ("adam",), ("cg",), ("lbfgs", "--batch-size", "200")], ids=lambda o: o[0]
)
@pytest.mark.parametrize("model", ["autoencoder", "sparse-autoencoder"])
def test_every_optimizer(model, options, folder, run_here, tmp_path):
    found = report(
        run_here,
        "train",
        folder / "p.h5",
        "--model",
        model,
        "--optimizer",
        *options,
        "--epochs",
        8,
        "-o",
        tmp_path / "m.h5",
    )
    losses = read_model(str(tmp_path / "m.h5")).history["loss"]
    assert len(losses) == found["epochs"] == 8
    assert losses[-1] < losses[0]


def test_a_stopped_run_resumes_to_the_same_bytes(folder):
    """By L-BFGS, whose many arrays go through the file."""
    command = ["train", "p.h5", "--model", "sparse-autoencoder", "--epochs", "300"]
    name = "stopped.h5"
    slow = [*FEATLEARN, *command, "--checkpoint-every", "0", "-o", name]
    process = subprocess.Popen(slow, cwd=folder, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (folder / (name + ".ckpt")).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    words = process.communicate(timeout=60)[1]
    assert process.returncode == -15, words
    for out in (name, "whole.h5"):
        done = subprocess.run(
            [*FEATLEARN, *command, "-o", out, "--resume"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
    stopped, whole = (read_model(str(folder / out)) for out in (name, "whole.h5"))
    assert stopped.content_hash == whole.content_hash
    assert all(np.array_equal(stopped.params[key], whole.params[key]) for key in whole.params)


DIVERGING = {
    "loss": ("--model", "denoising", "--lr", 1e38),
    "loss with Adam": ("--model", "denoising", "--optimizer", "adam", "--lr", 1e38),
    "parameters": ("--model", "denoising", "--optimizer", "adam", "--lr", 1e38, "--loss", "squared"),
    "float64": ("--model", "sparse-autoencoder", "--optimizer", "sgd", "--lr", 1e300, "--dtype", "float64"),
}


@pytest.mark.parametrize("options", DIVERGING.values(), ids=DIVERGING.keys())
def test_bounded_outputs_do_not_hide_that_a_run_diverged(options, folder, run_here, tmp_path):
    """Their error is finite whatever the weights are; the checkpoint that is left is readable."""
    command = ("train", folder / "p.h5", *options, "--checkpoint-every", 0, "-o", tmp_path / "m.h5")
    ran = run_here(*command)
    assert ran.code == 3, ran.err
    assert "diverged at epoch 1" in ran.err
    assert read_model(str(tmp_path / "m.h5.ckpt")).progress["run"]["diverged"]
    assert run_here(*command, "--resume").code == 2


def test_tolerance_stops_and_says_why(folder, run_here, tmp_path):
    ran = run_here(
        "train",
        folder / "p.h5",
        "--model",
        "sparse-autoencoder",
        "--tolerance",
        0.01,
        "-o",
        tmp_path / "m.h5",
    )
    assert ran.code == 0
    assert "epochs: an epoch lowered the loss by less than 0.01 of it" in ran.err


@pytest.mark.parametrize("model", MODELS)
def test_a_classifier_on_codes(model, folder, run_here):
    """Bars that lean either way: easy for codes, and for pixels."""
    path = folder / f"classified-{model}.h5"
    epochs = ("--epochs", 30) if model != "denoising" else ("--epochs", 5)
    report(run_here, "train", folder / "learn.h5", "--model", model, "--hidden", 30, *epochs, "-o", path)
    row = report(run_here, "evaluate", path, folder / "test.h5", "--train", folder / "learn.h5")["models"][0]
    assert row["classifier_error"] <= 0.05
    assert row["raw_error"] <= 0.05
    assert row["classifier_decay"] in STRENGTHS
    assert 0 < row["coherence"] <= 1
    assert row["l0"] == (15 if model == "k-sparse" else 30)


def test_a_classifier_needs_labels_and_two_classes(folder, run_here):
    report(
        run_here, "train", folder / "p.h5", "--model", "autoencoder", "--epochs", 1, "-o", folder / "plain.h5"
    )
    ran = run_here("evaluate", folder / "plain.h5", folder / "p.h5", "--train", folder / "p.h5")
    assert (ran.code, len(ran.error_lines)) == (2, 1)
    assert "a classifier needs labels" in ran.err
    write_idx(folder / "ones", np.ones(400, np.uint8))
    source = (folder / "learn-images", "--labels", folder / "ones")
    report(run_here, "extract-patches", *source, "-o", folder / "one-class.h5")
    report(
        run_here,
        "train",
        folder / "learn.h5",
        "--model",
        "autoencoder",
        "--epochs",
        1,
        "-o",
        folder / "bars.h5",
    )
    ran = run_here("evaluate", folder / "bars.h5", folder / "test.h5", "--train", folder / "one-class.h5")
    assert (ran.code, len(ran.error_lines)) == (1, 1)
    assert "all its rows have one label" in ran.err


def test_check_gradients_of_one_variant_and_a_wrong_one(run_here, monkeypatch):
    found = report(
        run_here, "check-gradients", "--model", "autoencoder", "--activation", "relu", "--tied", "--hidden", 4
    )
    assert [row["parameter"] for row in found["checks"]] == ["W", "b", "c"]
    right = Autoencoder.gradient

    def wrong(self, X, step):
        metrics, grads = right(self, X, step)
        return metrics, grads | {"c": -grads["c"]}

    monkeypatch.setattr(Autoencoder, "gradient", wrong)
    monkeypatch.setattr(gradcheck, "TRIES", 20)
    ran = run_here("check-gradients", "--model", "autoencoder", "--no-tied", "--hidden", 4)
    assert ran.code == 1
    assert "1 of 4 gradients differ by more than 1e-07" in ran.err
    assert [line.split()[-1] for line in ran.out.splitlines()[1:]] == ["ok", "ok", "ok", "WRONG"]


def test_check_gradients_of_a_file_and_a_wrong_one(folder, run_here, tmp_path, monkeypatch):
    """At its own parameters and rows: kinks of ReLU are left out, of which a smaller step meets fewer."""
    model, data = tmp_path / "relu.h5", folder / "p.h5"
    report(
        run_here,
        "train",
        data,
        "--model",
        "autoencoder",
        "--activation",
        "relu",
        "--no-tied",
        "--epochs",
        1,
        "-o",
        model,
    )
    found = {
        eps: report(run_here, "check-gradients", model, data, "--epsilon", eps)["checks"]
        for eps in (4e-3, 1e-4)
    }
    for checks in found.values():
        assert [row["parameter"] for row in checks] == ["D", "W", "b", "c"]
        assert max(row["difference"] for row in checks) < 1e-8
    assert sum(row["elements"] for row in found[4e-3]) < sum(row["elements"] for row in found[1e-4])
    seen, right = [], Autoencoder.gradient

    def wrong(self, X, step):
        metrics, grads = right(self, X, step)
        seen.append((self.dtype, X.shape, {name: w.shape for name, w in self.params.items()}))
        return metrics, grads | {"b": 1.001 * grads["b"]}

    monkeypatch.setattr(Autoencoder, "gradient", wrong)
    ran = run_here("check-gradients", model, data)
    assert ran.code == 1
    assert [line.split()[-1] for line in ran.out.splitlines()[1:]] == ["ok", "ok", "WRONG", "ok"]
    assert seen[0] == (np.float64, (20, 64), {"D": (64, 100), "W": (64, 100), "b": (64,), "c": (100,)})


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "give --model NAME, or MODEL.h5 DATASET.h5"),
        (("MODEL", "DATA", "--model", "rbm"), "give --model NAME, or MODEL.h5 DATASET.h5"),
        (("MODEL",), "needs a data set to be checked on"),
        (("MODEL", "DATA", "--problems", 2), "--problems: does nothing with a model file"),
        (("--model", "pca"), "no loss that is descended"),
    ],
)
def test_check_gradients_of_nothing_is_refused(args, words, work, run_here):
    ran = run_here(
        "check-gradients", *({"MODEL": work.model, "DATA": work.patches}.get(one, one) for one in args)
    )
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert words in ran.err


def test_check_gradients_is_small_unless_sizes_are_given(run_here):
    """And every unit is checked that can be, of many a hundred."""
    for options, wanted in (((), {"W": 30, "b": 6, "c": 5}), (("--hidden", 40), {"W": 100, "b": 6, "c": 40})):
        args = ("--model", "autoencoder", "--activation", "relu", "--tied", "--problems", 1, *options)
        found = report(run_here, "check-gradients", *args)["checks"]
        assert all(
            0.6 * wanted[row["parameter"]] <= row["elements"] <= wanted[row["parameter"]] for row in found
        )


WRONG = {
    "k above hidden": (("w.h5", "--model", "k-sparse", "--hidden", 10, "--k", 11), "--k 11"),
    "rho of 1": (("p.h5", "--model", "sparse-autoencoder", "--sparsity-target", 1), "--sparsity-target"),
    "rho of 0": (("p.h5", "--model", "sparse-autoencoder", "--sparsity-target", 0), "--sparsity-target"),
    "cross-entropy of whitened data": (
        ("w.h5", "--model", "autoencoder", "--loss", "cross-entropy"),
        "wanted 0..1",
    ),
    "line searches with noise": (
        ("p.h5", "--model", "denoising", "--optimizer", "lbfgs"),
        "use --optimizer sgd or adam",
    ),
    "line searches with a support": (
        ("w.h5", "--model", "k-sparse", "--optimizer", "cg"),
        "use --optimizer sgd or adam",
    ),
    "line searches of an RBM": (
        ("p.h5", "--model", "rbm", "--optimizer", "lbfgs"),
        "use --optimizer sgd or adam",
    ),
    "salt and pepper on whitened data": (
        ("w.h5", "--model", "denoising", "--corruption", "salt-and-pepper"),
        "--corruption salt-and-pepper",
    ),
    "rate of lbfgs": (("p.h5", "--model", "sparse-autoencoder", "--lr", 0.1), "--lr: does nothing without"),
    "searches of sgd": (("p.h5", "--model", "autoencoder", "--searches", 5), "--searches"),
    "weights that are no numbers": (
        ("p.h5", "--model", "autoencoder", "--init-scale", 1e308),
        "--init-scale",
    ),
    "features that are no numbers": (("w.h5", "--model", "k-sparse", "--init-scale", 1e308), "--init-scale"),
    "RBM that is no numbers": (("p.h5", "--model", "rbm", "--init-scale", 1e308), "--init-scale"),
    "RBM whose biases are no numbers": (("p.h5", "--model", "rbm", "--hidden-bias", 1e308), "--hidden-bias"),
    "searches on all rows": (
        ("p.h5", "--model", "sparse-autoencoder", "--searches", 5),
        "--searches: does nothing without --batch-size",
    ),
}


@pytest.mark.parametrize(("options", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_use_is_answered_in_one_line(options, words, folder, run_here, tmp_path):
    ran = run_here("train", folder / options[0], *options[1:], "-o", tmp_path / "m.h5")
    assert ran.code in (1, 2)
    assert words in ran.err
    assert (
        len([line for line in ran.err.splitlines() if line.strip() and not line.startswith(("Usage", "Try"))])
        == 1
    )
    assert os.listdir(tmp_path) == []
