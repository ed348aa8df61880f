"""Nets of few labels: evaluate --finetune against finetune on data sets of the rows of each draw."""

import json

import numpy as np
import pytest

import featlearn
from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.files.model import read_model
from featlearn.jobs import training_run
from featlearn.models.base import Step
from featlearn.models.network import Network
from featlearn.patches.fitter import Fitter
from featlearn.patches.settings import PreprocessSpec
from featlearn.random import Random
from featlearn.rows import mixed
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
    X = 0.4 * rng.random((n, 4, 4))
    for i in range(n):
        X[i, at[i] if kind[i] == 0 else slice(None), at[i] if kind[i] == 2 else slice(None)] += 0.5 * (
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
    (place / "twin.h5").write_bytes((place / "rbm.h5").read_bytes())
    line = ("evaluate", place / "rbm.h5", place / "twin.h5", place / "pca.h5", place / "test.h5")
    line += ("--train", place / "train.h5", "--per-class", 4, "--draws", 2, "--finetune", "--random", "relu")
    first, second, third = json.loads(ok(run_here(*line, "--epochs", 1, "--json")).out)["models"]
    assert first | {"model": "", "advice": []} == second | {"model": "", "advice": []}
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
        assert f">{name}</text>" in text


def test_labelled_and_unlabelled_rows_are_mixed_evenly():
    order = mixed(10, 4000, 0.2)
    assert np.bincount(order)[10:].tolist() == 4000 * [1]
    assert np.bincount(order)[:10].tolist() == 10 * [100]
    for start in range(0, len(order) - 50, 50):
        assert 9 <= np.count_nonzero(order[start : start + 50] < 10) <= 11
    assert sorted(mixed(50, 20, 0.2).tolist()) == list(range(70)), "of many each once"


def some_net(**options):
    """A net with random parameters, rows (12, 7), their classes as t (12, 4) and the likeliest ones as t."""
    net, rng = (
        Network(Network.Config(hidden=(6, 5), classes=4, **options), np.float64),
        np.random.default_rng(0),
    )
    net.init(7, Random(0))
    for w in net.params.values():
        w += 0.5 * rng.normal(size=w.shape)
    X = rng.random((12, 7))
    return net, X, np.eye(4)[rng.integers(0, 4, 12)], np.eye(4)[net.probabilities(X).argmax(axis=1)]


@pytest.mark.parametrize("options", [{"input_dropout": 0.2, "hidden_dropout": 0.5}, {"label_smoothing": 0.1}])
def test_unlabelled_rows_learn_the_classes_of_the_net_without_dropout(options):
    """As many as labelled ones and of the same weight: as if all were labelled so, but for a factor."""
    net, X, t, likeliest = some_net(pseudo_labels=True, **options)
    plain = some_net(**options)[0]
    known = np.arange(12)[:, None] % 2 == 0
    step = Step(4, 1, progress=0.5)
    metrics, found = net.gradient(np.hstack([X, t * known]), step)
    wanted = plain.gradient(np.hstack([X, np.where(known, t, likeliest)]), step)
    assert metrics["loss"] == pytest.approx(2 * wanted[0]["loss"], rel=1e-12)
    for name, w in wanted[1].items():
        np.testing.assert_allclose(found[name], 2 * w, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.3, 0.6), (0.5, 1.0), (0.9, 1.0)])
def test_the_gradient_is_that_of_both_means_by_differences(progress, share):
    net, X, t, likeliest = some_net(pseudo_labels=True)
    known = np.arange(12) < 5
    target = np.where(known[:, None], t, likeliest)

    def loss():
        each = -(target * np.log(net.probabilities(X))).sum(axis=1)
        return each[known].mean() + share * each[~known].mean()

    metrics, found = net.gradient(np.hstack([X, t * known[:, None]]), Step(4, 1, progress=progress))
    assert metrics["loss"] == pytest.approx(loss(), rel=1e-12)
    wrong = net.probabilities(X).argmax(axis=1) != t.argmax(axis=1)
    assert metrics["error_rate"] == wrong[known].mean()
    for name, w in net.params.items():
        for place in [(0,) * w.ndim, (-1,) * w.ndim]:
            kept = w[place]
            w[place] = kept + 1e-6
            above = loss()
            w[place] = kept - 1e-6
            below = loss()
            w[place] = kept
            assert found[name][place] == pytest.approx((above - below) / 2e-6, abs=1e-8)


@pytest.fixture(scope="module")
def few(place):
    """Three labelled rows of each class."""
    X, y = bars(400, 0)
    index = drawn(y, 3, 0, 0)
    write(place / "nine.h5", X[index], y[index])
    write(place / "unlabelled.h5", X, None)
    return place


def params(path):
    return {name: value.tobytes() for name, value in read_model(str(path)).params.items()}


def test_unlabelled_rows_help_and_their_classes_are_not_told(few, run_here, tmp_path):
    """The same net comes of a data set with labels; they are not looked at."""
    line = ("finetune", few / "rbm.h5", few / "nine.h5")
    ok(run_here(*line, "-o", tmp_path / "alone.h5"))
    line += ("--batch-size", 20, "--epochs", 40, "--lr", 0.01, "--unlabelled")
    told = ok(run_here(*line, few / "unlabelled.h5", "-o", tmp_path / "net.h5", "--json"))
    ok(run_here(*line, few / "train.h5", "-o", tmp_path / "same.h5"))
    assert params(tmp_path / "net.h5") == params(tmp_path / "same.h5")
    errors = {}
    for name in ("alone", "net"):
        line = (
            "classify",
            tmp_path / f"{name}.h5",
            few / "test.h5",
            "-o",
            tmp_path / f"{name}.csv",
            "--json",
        )
        errors[name] = json.loads(ok(run_here(*line)).out)["error_rate"]
    assert errors["net"] < errors["alone"] - 0.05
    nine = ("classify", tmp_path / "net.h5", few / "nine.h5", "-o", tmp_path / "9.csv", "--json")
    assert json.loads(told.out)["error_rate"] == json.loads(ok(run_here(*nine)).out)["error_rate"]


def test_beside_unlabelled_rows_a_run_goes_on_in_the_same_bytes(few, run_here, monkeypatch, tmp_path):
    line = ("finetune", few / "rbm.h5", few / "nine.h5", "--unlabelled", few / "unlabelled.h5", "--epochs", 2)
    line += ("--hidden-dropout", 0.3, "--batch-size", 50)
    for threads in (1, 2):
        ok(run_here(*line, "--threads", threads, "-o", tmp_path / f"{threads}.h5"))
    assert params(tmp_path / "1.h5") == params(tmp_path / "2.h5")
    whole = training_run.Training.run

    def short(training, on_batch, on_epoch):
        return whole(training, lambda at: on_batch(at) or at.progress.step % 7 == 5, on_epoch)

    monkeypatch.setattr(training_run.Training, "run", short)
    ok(run_here(*line, "-o", tmp_path / "net.h5"))
    assert not (tmp_path / "net.h5").exists()
    for _ in range(9):
        if not (tmp_path / "net.h5").exists():
            ok(run_here(*line, "-o", tmp_path / "net.h5", "--resume"))
    monkeypatch.undo()
    assert params(tmp_path / "net.h5") == params(tmp_path / "1.h5")
    other = [few / "plain.h5" if word == few / "unlabelled.h5" else word for word in line]
    refused(run_here(*other, "-o", tmp_path / "net.h5", "--resume"), "learned from other data", code=2)


def test_pseudo_labels_of_draws_are_those_of_finetune(few, run_here, tmp_path):
    how = ("--epochs", 3, "--batch-size", 20)
    row = evaluated(run_here, few, "--per-class", 3, "--draws", 1, "--finetune", "--pseudo-labels", *how)
    line = ("finetune", few / "rbm.h5", few / "nine.h5", "--unlabelled", few / "train.h5", *how)
    ok(run_here(*line, "-o", tmp_path / "net.h5"))
    told = ok(run_here("classify", tmp_path / "net.h5", few / "test.h5", "-o", tmp_path / "p.csv", "--json"))
    assert row["finetuned_error_3"] == json.loads(told.out)["error_rate"]


UNLABELLED = {
    "--unlabelled unlabelled.h5 --unrolled": (2, "--unlabelled: does nothing with --unrolled"),
    "--unlabelled unlabelled.h5 --up-down": (2, "--unlabelled: does nothing with --up-down"),
    "--unlabelled unlabelled.h5 --validation 0.2": (2, "--validation: labelled rows come again"),
    "--unlabelled unlabelled.h5 --optimizer lbfgs": (2, "pseudo-labels are those of the net at every update"),
    "--unlabelled none.h5": (1, "none.h5"),
    "--unlabelled rbm.h5": (1, "rbm.h5"),
}


@pytest.mark.parametrize("options", UNLABELLED)
def test_wrong_use_of_unlabelled_rows_is_one_line(options, few, run_here, monkeypatch, tmp_path):
    monkeypatch.chdir(few)
    code, words = UNLABELLED[options]
    ran = run_here("finetune", "rbm.h5", "nine.h5", *options.split(), "-o", tmp_path / "net.h5")
    refused(ran, words, code=code)
    assert list(tmp_path.iterdir()) == []


WRONG = {
    "--per-class 4 --pseudo-labels": (2, "--pseudo-labels: does nothing without --finetune"),
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
    monkeypatch.setattr("featlearn.jobs.measuring.measured_in_one_pass", None)
    line = ("evaluate", place / "rbm.h5", place / "test.h5", "--train", place / "train.h5", *options.split())
    code, words = WRONG[options]
    refused(run_here(*line), words, code=code)


def test_a_model_that_cannot_be_fine_tuned_is_named(place, run_here, monkeypatch):
    monkeypatch.setattr("featlearn.jobs.measuring.measured_in_one_pass", None)
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
