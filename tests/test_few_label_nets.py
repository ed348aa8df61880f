"""Nets of few labels: evaluate --finetune against finetune on data sets of the rows of each draw."""

import json

import numpy as np
import pytest

import featlearn
from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.files.model import read_model
from featlearn.patches.fitter import Fitter
from featlearn.patches.settings import PreprocessSpec
from helpers import ok, refused

SHARED = ("--epochs", 8, "--batch-size", 10, "--hidden-dropout", 0.3, "--max-norm", 3, "--lr", 0.02)


def write(path, pixels, labels, called=("flat", "none", "steep")):
    """Write a data set of images (n, 4, 4), with labels unless these are None."""
    n = len(pixels)
    fitter = Fitter(PreprocessSpec("none", "none"), 16, np.uint8)
    fitter.update(pixels.reshape(n, 16))
    with DatasetWriter(str(path), n, (4, 4, 1), np.uint8, labels is not None) as writer:
        writer.append(pixels.reshape(n, 16), np.zeros((n, 3), np.int64), labels)
        names = None if labels is None else list(called)
        writer.finish(fitter.finish().to_dict(), ["bars"], names, {})


def bars(n, seed):
    """Bars that lie or stand, or noise alone: (n, 4, 4) pixels and their labels, which are 0, 5 and 7."""
    rng = np.random.default_rng(seed)
    kind, at = rng.integers(0, 3, n), rng.integers(0, 4, n)
    X = 0.6 * rng.random((n, 4, 4))
    for i in range(n):
        X[i, at[i] if kind[i] == 0 else slice(None), at[i] if kind[i] == 2 else slice(None)] += 0.4 * (
            kind[i] != 1
        )
    return (255 * X).astype(np.uint8), kind


@pytest.fixture(scope="module")
def place(tmp_path_factory, run_here):
    folder = tmp_path_factory.mktemp("few")
    for name, n, seed in (("train", 400, 0), ("test", 200, 1), ("other", 60, 2)):
        write(folder / f"{name}.h5", *bars(n, seed))
    write(folder / "plain.h5", bars(50, 3)[0], None)
    for model, line in {"rbm": "rbm --hidden 12", "pca": "pca --hidden 9", "sesm": "sesm --hidden 6"}.items():
        few = () if model == "pca" else ("--epochs", 3)
        ok(
            run_here(
                "train", folder / "train.h5", "--model", *line.split(), *few, "-o", folder / f"{model}.h5"
            )
        )
    return folder


def evaluated(run_here, place, *args):
    ran = ok(
        run_here(
            "evaluate", place / "rbm.h5", place / "test.h5", "--train", place / "train.h5", *args, "--json"
        )
    )
    return json.loads(ran.out)["models"][0]


def drawn(labels, per_class, seed, draw):
    """The first so many rows of each class in the order of Philox's bits, in that order."""
    from featlearn.random import Purpose, Random

    keys = Random(seed).bits(len(labels), Purpose.LABELS, draw)
    left = dict.fromkeys(sorted(set(labels.tolist())), per_class)
    found = []
    for i in sorted(range(len(labels)), key=lambda i: keys[i]):
        if left[labels[i]]:
            left[labels[i]] -= 1
            found.append(i)
    return np.array(found)


def test_errors_are_those_of_finetune_on_the_rows_of_each_draw(place, run_here, tmp_path):
    """Also those of nets from random weights; draw i learns by the seed + i."""
    row = evaluated(
        run_here, place, "--per-class", "4,20", "--draws", 2, "--seed", 3, *SHARED,
        "--finetune", "--random", "relu,leaky-relu",
    )  # fmt: skip
    train = read_dataset(str(place / "train.h5"))
    X, y = train.patches[:].reshape(-1, 4, 4), np.asarray(train.labels)
    beginnings = {
        "finetuned": (),
        "random_relu": ("--random", "--activation", "relu"),
        "random_leaky_relu": ("--random", "--activation", "leaky-relu"),
    }
    for what, options in beginnings.items():
        for number in (4, 20):
            errors = []
            for draw in (0, 1):
                index = drawn(y, number, 3, draw)
                write(tmp_path / "rows.h5", X[index], y[index])
                net = tmp_path / "net.h5"
                line = (
                    "finetune",
                    place / "rbm.h5",
                    tmp_path / "rows.h5",
                    *options,
                    *SHARED,
                    "--seed",
                    3 + draw,
                )
                ok(run_here(*line, "-o", net, "--force"))
                told = ok(
                    run_here(
                        "classify", net, place / "test.h5", "-o", tmp_path / "p.csv", "--force", "--json"
                    )
                )
                errors.append(json.loads(told.out)["error_rate"])
                (tmp_path / "rows.h5").unlink()
            assert row[f"{what}_error_{number}"] == pytest.approx(np.mean(errors), rel=1e-12)
            assert row[f"{what}_spread_{number}"] == pytest.approx(
                np.std(errors, ddof=1), rel=1e-12, abs=1e-12
            )
    assert "classifier_error_4" in row


def test_models_of_one_shape_have_one_control(place, run_here, monkeypatch):
    """Nets from random weights know nothing of the model; each of them is learned once."""
    from featlearn.jobs import few_labels

    learned = []
    whole = few_labels.train_with_restarts

    def counted(plan, *args):
        learned.append(plan.start.digest.startswith("random"))
        return whole(plan, *args)

    monkeypatch.setattr(few_labels, "train_with_restarts", counted)
    line = ("evaluate", place / "rbm.h5", place / "rbm.h5", place / "pca.h5", place / "test.h5")
    line += ("--train", place / "train.h5", "--per-class", 4, "--draws", 2, "--finetune", "--random", "relu")
    first, second, third = json.loads(ok(run_here(*line, "--epochs", 1, "--json")).out)["models"]
    assert first == second
    assert third["random_relu_error_4"] != first["random_relu_error_4"]
    assert learned.count(True) == 4  # for 12 and for 9 units


def test_the_bytes_do_not_depend_on_threads_and_one_bar_tells_all(place, run_here):
    how = ("--per-class", "4,8", "--draws", 2, "--finetune", "--random", "relu", "--epochs", 2)
    line = ("evaluate", place / "rbm.h5", place / "test.h5", "--train", place / "train.h5", *how, "--json")
    assert ok(run_here(*line, "--threads", 1)).out == ok(run_here(*line, "--threads", 2)).out

    told = []

    class Bar:
        def __init__(self, total, unit):
            self.total, self.unit, self.done = total, unit, 0
            told.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def advance(self, n=1, note=""):
            self.done += n

    featlearn.evaluate(
        place / "rbm.h5", place / "test.h5", train=place / "train.h5", per_class=(4, 8), draws=2,
        finetune=True, random="relu", epochs=2, progress=Bar,
    )  # fmt: skip
    (bar,) = [bar for bar in told if bar.unit == "updates"]
    assert bar.done == bar.total > 0


def test_settings_of_nets_in_python_are_those_of_the_command_line(place, run_here, tmp_path):
    """Adam by default, also beside another setting of the training."""
    how = {"per_class": 4, "draws": 2, "finetune": True, "epochs": 3, "max_norm": 2.0}
    row = featlearn.evaluate(place / "rbm.h5", place / "test.h5", train=place / "train.h5", **how).models[0]
    told = evaluated(
        run_here, place, "--per-class", 4, "--draws", 2, "--finetune", "--epochs", 3, "--max-norm", 2
    )
    assert told["finetuned_error_4"] == row["finetuned_error_4"]
    featlearn.finetune(place / "rbm.h5", place / "train.h5", tmp_path / "net.h5", epochs=1)
    assert read_model(str(tmp_path / "net.h5")).training["optimizer"] == "adam"


def test_hidden_dropout_learns_twice_as_long(place, run_here, tmp_path):
    epochs = {}
    for options in ((), ("--input-dropout", 0.2), ("--hidden-dropout", 0.5)):
        line = (
            "finetune",
            place / "rbm.h5",
            place / "other.h5",
            *options,
            "-o",
            tmp_path / "net.h5",
            "--force",
        )
        epochs[options[:1]] = json.loads(ok(run_here(*line, "--json")).out)["epochs"]
    assert epochs["--input-dropout",] == epochs[()]
    assert epochs["--hidden-dropout",] == 2 * epochs[()]


def test_they_are_in_the_picture(place, run_here, tmp_path):
    line = ("evaluate", place / "rbm.h5", place / "pca.h5", place / "test.h5", "--train", place / "train.h5")
    line += ("--per-class", "4,8", "--draws", 2, "--finetune", "--random", "relu", "--epochs", 2)
    ok(run_here(*line, "--plot", tmp_path / "x.svg"))
    text = (tmp_path / "x.svg").read_text("utf-8")
    for name in (
        "rbm, fine-tuned",
        "pca, fine-tuned",
        "random relu of rbm",
        "random relu of pca",
        "raw inputs",
    ):
        assert f"<!-- {name} -->" in text


WRONG = {
    "--finetune": (2, "--finetune: does nothing without --per-class"),
    "--per-class 4 --random relu": (2, "--random: does nothing without --finetune"),
    "--per-class 4 --epochs 3": (2, "--epochs: does nothing without --finetune"),
    "--per-class 4 --max-norm 3": (2, "--max-norm: does nothing without --finetune"),
    "--per-class 4 --finetune --random step": (2, "--random: got 'step'"),
    "--per-class 4 --finetune --batch-size 13": (2, "only 12 training rows"),
    "--per-class 4 --finetune --optimizer lbfgs --lr 0.1": (2, "--lr: does nothing without"),
    "--per-class 4 --finetune --optimizer lbfgs --hidden-dropout 0.5": (2, "dropout is drawn anew"),
    "--per-class 900 --finetune": (1, "--per-class wants 900"),
}


@pytest.mark.parametrize("options", WRONG)
def test_wrong_use_is_one_line_before_any_work(options, place, run_here, monkeypatch):
    monkeypatch.setattr("featlearn.jobs.evaluate.measured_in_one_pass", None)
    line = ("evaluate", place / "rbm.h5", place / "test.h5", "--train", place / "train.h5", *options.split())
    code, words = WRONG[options]
    refused(run_here(*line), words, code=code)


def test_a_model_that_cannot_be_fine_tuned_is_named(place, run_here, monkeypatch):
    monkeypatch.setattr("featlearn.jobs.evaluate.measured_in_one_pass", None)
    line = ("evaluate", place / "rbm.h5", place / "sesm.h5", place / "test.h5", "--train", place / "train.h5")
    refused(run_here(*line, "--per-class", 4, "--finetune"), "sesm.h5: a model 'sesm' cannot be", code=2)
    plain = ("evaluate", place / "rbm.h5", place / "test.h5", "--train", place / "plain.h5")
    refused(run_here(*plain, "--per-class", 4, "--finetune"), "plain.h5 has no labels", code=2)


def test_a_run_that_diverges_names_the_draw(place, run_here):
    line = ("evaluate", place / "rbm.h5", place / "test.h5", "--train", place / "train.h5")
    line += ("--per-class", 4, "--draws", 1, "--finetune", "--lr", 1e9, "--optimizer", "sgd")
    ran = run_here(*line)
    assert ran.code == 3
    assert "rbm.h5: draw 1 of 12 rows: diverged" in ran.error_lines[-1]
