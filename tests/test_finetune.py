"""Fine-tuning of what models have learned, and classes told by nets."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from featlearn.errors import DataError
from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.files.model import read_model, write_model
from featlearn.jobs import finetune as finetuning
from featlearn.jobs import training_run
from featlearn.jobs.finetune_settings import Finetuning
from featlearn.jobs.layers import stack_file
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import load_model, load_rows
from featlearn.patches.fitter import Fitter
from featlearn.patches.settings import PreprocessSpec
from helpers import ok, refused

SHAPE = (4, 4, 1)
NAMES = ["flat", "steep", "none"]


def write_bars(path, n, names, seed, shape=SHAPE, labelled=True, called=None):
    """Noisy bars that lie or stand, and noise alone, with the numbers that their classes have in `names`.

    The names in the file are `called` so.
    """
    rng = np.random.default_rng(seed)
    kinds = np.arange(n) % len([name for name in NAMES if name in names])
    X, at = np.zeros((n, 4, 4)), rng.integers(0, 4, n)
    for i, (kind, place) in enumerate(zip(kinds, at, strict=True)):
        X[i, place if kind == 0 else slice(None), place if kind == 1 else slice(None)] = float(kind < 2)
    pixels = (255 * np.clip(0.8 * X + 0.2 * rng.random(X.shape), 0, 1)).astype(np.uint8).reshape(n, 16)
    fitter = Fitter(PreprocessSpec("none", "none"), 16, np.uint8)
    fitter.update(pixels)
    labels = np.array([names.index(NAMES[kind]) for kind in kinds])
    with DatasetWriter(str(path), n, shape, np.uint8, labelled) as writer:
        origin = np.zeros((n, 3), np.int64)
        writer.append(pixels, origin, labels if labelled else None)
        writer.finish(fitter.finish().to_dict(), ["bars"], (called or names) if labelled else None, {})


@pytest.fixture(scope="module")
def bars(tmp_path_factory, run_here):
    """Labelled data sets and models of several kinds that have learned from them."""
    folder = tmp_path_factory.mktemp("bars")
    write_bars(folder / "train.h5", 600, NAMES, 0)
    write_bars(folder / "test.h5", 300, NAMES[::-1], 1)  # the same names, otherwise numbered
    write_bars(folder / "other.h5", 30, NAMES, 2, called=["flat", "steep", "slanting"])
    write_bars(folder / "plain.h5", 30, NAMES, 3, labelled=False)
    write_bars(folder / "wide.h5", 30, NAMES, 4, shape=(2, 8, 1))
    write_bars(folder / "one.h5", 30, ["flat"], 5)
    for name, line in {
        "rbm": "rbm --hidden 12 --epochs 5",
        "denoising": "denoising --hidden 12 --epochs 2",
        "k-sparse": "k-sparse --hidden 20 --k 2 --epochs 5",
        "pca": "pca --hidden 9",
        "sesm": "sesm --hidden 6 --epochs 1",
        "net": "network --hidden 12 --epochs 5",
    }.items():
        ok(run_here("train", folder / "train.h5", "--model", *line.split(), "-o", folder / f"{name}.h5"))
    ok(run_here("encode", folder / "rbm.h5", folder / "train.h5", "-o", folder / "codes.h5"))
    upper = ("--model", "autoencoder", "--hidden", 7, "--epochs", 2, "--data-scale", 2)
    ok(run_here("train", folder / "codes.h5", *upper, "-o", folder / "upper.h5"))
    layers = [read_model(str(folder / f"{name}.h5")) for name in ("rbm", "upper")]
    made = stack_file("stack", layers, dtype="float32", seed=0, progress={"finished": True}, provenance={})
    write_model(str(folder / "stack.h5"), made)
    return folder


def begun(bars, name, **how):
    """The loaded model and the net that goes on from it, as it is at first."""
    learned = load_model(str(bars / f"{name}.h5"))
    plan = finetuning.plan_finetuning(
        learned, str(bars / "train.h5"), finetuning=Finetuning(**how), regularization=None, training=None,
        run=RunSettings(), retry=True, given=(), say=lambda text: None,
    )  # fmt: skip
    return learned, training_run.fresh(plan)


@pytest.mark.parametrize("name", ["rbm", "denoising", "k-sparse", "pca", "net", "stack"])
def test_a_net_begins_with_the_codes_of_its_model(bars, name):
    """Of a stack whose codes are divided on the way up, too."""
    learned, run = begun(bars, name)
    X = run.model.visible(run.rows.block(0, 200))
    H = learned.model.encode(X)
    np.testing.assert_allclose(run.model.encode(X), H, rtol=1e-4, atol=1e-5 * np.abs(H).max())
    assert np.abs(run.model.params["W"]).max() < 0.06  # N(0, 0.01)


def test_the_control_begins_at_random_weights_of_the_same_shape(bars):
    _, run = begun(bars, "rbm")
    _, control = begun(bars, "rbm", random=True)
    _, relu = begun(bars, "rbm", random=True, activation="relu")
    shapes = {name: w.shape for name, w in run.model.params.items()}
    assert {name: w.shape for name, w in control.model.params.items()} == shapes
    assert not np.array_equal(control.model.params["W1"], run.model.params["W1"])
    assert not control.model.params["c1"].any()
    assert (control.model.config.activation, relu.model.config.activation) == ("sigmoid", "relu")


@pytest.mark.parametrize("name", ["rbm", "stack", "k-sparse"])
def test_it_learns_classes_through_all_layers(bars, run_here, tmp_path, name):
    begin, net = bars / f"{name}.h5", tmp_path / "net.h5"
    ran = ok(
        run_here("finetune", begin, bars / "train.h5", "-o", net, "--epochs", 60, "--lr", 0.05, "--json")
    )
    assert json.loads(ran.out)["error_rate"] < 0.02
    assert f"next: featlearn classify {net} DATASET" in ran.err.splitlines()
    ran = ok(run_here("classify", net, bars / "test.h5", "-o", tmp_path / "p.csv", "--json"))
    assert json.loads(ran.out)["error_rate"] < 0.05
    before, after = (load_model(str(path)).model for path in (begin, net))
    assert not np.array_equal(before.encoder_layers()[0].W, after.encoder_layers()[0].W)


@pytest.mark.parametrize("name", ["rbm", "denoising", "pca", "stack"])
def test_an_unrolled_model_begins_with_its_reconstructions_and_gets_better(bars, run_here, tmp_path, name):
    """Without labels; with the control of random weights, and a code of other units."""
    learned = load_model(str(bars / f"{name}.h5"))
    plan = finetuning.plan_finetuning(
        learned, str(bars / "plain.h5"), finetuning=Finetuning(unrolled=True), regularization=None,
        training=None, run=RunSettings(), retry=True, given=(), say=lambda text: None,
    )  # fmt: skip
    run = training_run.fresh(plan)
    X = run.rows.block(0, 30)
    wanted = learned.model.decode(learned.model.encode(X))
    np.testing.assert_allclose(run.model.reconstruct(X), wanted, rtol=1e-4, atol=1e-4)
    before = float(np.sqrt(np.mean((wanted - X) ** 2)))
    line = ("finetune", bars / f"{name}.h5", bars / "plain.h5", "--unrolled", "--epochs", 20, "--json")
    found = json.loads(ok(run_here(*line, "-o", tmp_path / "d.h5")).out)
    assert found["model"] == "deep-autoencoder"
    assert found["rmse"] < before
    ok(run_here(*line, "--random", "--code", "linear", "-o", tmp_path / "e.h5"))
    assert load_model(str(tmp_path / "e.h5")).model.config.code == "linear"


def test_a_stopped_run_goes_on_in_the_same_bytes(bars, run_here, monkeypatch, tmp_path):
    line = ("finetune", bars / "rbm.h5", bars / "train.h5", "--epochs", 2, "--input-dropout", 0.2)
    line += ("--hidden-dropout", 0.5, "--max-norm", 2, "--validation", 0.2, "--patience", 5)
    ok(run_here(*line, "-o", tmp_path / "whole.h5"))
    whole = training_run.Training.run

    def short(training, on_batch, on_epoch):
        return whole(training, lambda at: on_batch(at) or at.progress.step % 7 == 5, on_epoch)

    monkeypatch.setattr(training_run.Training, "run", short)
    ok(run_here(*line, "-o", tmp_path / "net.h5"))
    for _ in range(30):
        if (tmp_path / "net.h5").exists():
            break
        ok(run_here(*line, "-o", tmp_path / "net.h5", "--resume"))
    first, second = (read_model(str(tmp_path / f"{name}.h5")) for name in ("whole", "net"))
    assert second.content_hash == first.content_hash
    assert {k: v.tobytes() for k, v in second.history.items()} == {
        k: v.tobytes() for k, v in first.history.items()
    }
    monkeypatch.undo()
    other = (line[0], bars / "denoising.h5", *line[2:])
    refused(run_here(*other, "-o", tmp_path / "net.h5", "--resume"), "starting model was", code=2)
    control = run_here(*line, "--random", "-o", tmp_path / "net.h5", "--resume")
    refused(control, "starting model was", "random", code=2)


def test_a_last_run_on_all_rows(bars, run_here, monkeypatch, tmp_path):
    """For as many epochs as were best; stopped in either run it goes on in the same bytes."""
    line = ("finetune", bars / "rbm.h5", bars / "train.h5", "--epochs", 6, "--lr", 0.05)
    early = (*line, "--validation", 0.2, "--patience", 1)
    ran = ok(run_here(*early, "--refit", "-o", tmp_path / "whole.h5"))
    file = read_model(str(tmp_path / "whole.h5"))
    best = file.progress["refit"]["epochs"]
    assert f"{best} epochs were best" in ran.err
    assert len(file.history["epoch"]) == best
    assert "validation_error_rate" not in file.history
    plain = (*line[:3], "--epochs", best, "--lr", 0.05, "--batch-size", file.training["batch_size"])
    ran_plain = ok(run_here(*plain, "-o", tmp_path / "plain.h5", "--json"))
    assert json.loads(ran_plain.out)["content_hash"] == file.content_hash
    again = ok(run_here(*early, "--refit", "-o", tmp_path / "whole.h5", "--resume"))
    assert "already finished" in again.err
    whole = training_run.Training.run

    def short(training, on_batch, on_epoch):
        return whole(training, lambda at: on_batch(at) or at.progress.step % 9 == 5, on_epoch)

    monkeypatch.setattr(training_run.Training, "run", short)
    ok(run_here(*early, "--refit", "-o", tmp_path / "net.h5"))
    for _ in range(60):
        if (tmp_path / "net.h5").exists():
            break
        ok(run_here(*early, "--refit", "-o", tmp_path / "net.h5", "--resume"))
    assert read_model(str(tmp_path / "net.h5")).content_hash == file.content_hash


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        ("", "--refit", "refit was None and is now {"),
        ("--refit", "", "is now None"),
        ("--refit --epochs 5", "--refit --epochs 7", "'at most': 7"),
        ("--refit", "--refit --validation 0.3", "'validation': 0.3"),
    ],
)
def test_a_last_run_on_all_rows_is_of_its_first_one(bars, run_here, tmp_path, then, now, words):
    """What came out of another first run, or of the first run alone, is not taken for its end."""
    line = ("finetune", bars / "rbm.h5", bars / "train.h5", "-o", tmp_path / "net.h5")
    early = (*line, "--epochs", 6, "--validation", 0.2, "--patience", 1)
    ok(run_here(*early, *then.split()))
    refused(run_here(*early, *now.split(), "--resume"), "net.h5 is of another run: refit was ", words, code=2)


def test_a_stopped_last_run_goes_on_from_its_first_one_alone(bars, run_here, monkeypatch, tmp_path):
    line = ("finetune", bars / "rbm.h5", bars / "train.h5", "-o", tmp_path / "net.h5")
    early = (*line, "--validation", 0.2, "--patience", 1, "--lr", 0.05, "--refit")
    whole = training_run.Training.run

    def held(training, on_batch, on_epoch):
        last = not training.config.validation
        return whole(training, lambda at: on_batch(at) or (last and at.progress.step > 3), on_epoch)

    monkeypatch.setattr(training_run.Training, "run", held)
    ok(run_here(*early, "--epochs", 6))
    assert (tmp_path / "net.h5.ckpt").exists()
    monkeypatch.undo()
    other = run_here(*early, "--epochs", 7, "--resume")
    refused(other, "net.h5.ckpt is of another run: refit was ", "'at most': 7", code=2)
    ok(run_here(*early, "--epochs", 6, "--resume"))


@pytest.mark.parametrize(
    ("model", "data", "options", "words"),
    [
        ("sesm", "train", "", "sesm.h5: a model 'sesm' cannot be fine-tuned"),
        ("rbm", "plain", "", "plain.h5: has no labels"),
        ("rbm", "one", "", "one.h5: all its rows are of class flat"),
        ("rbm", "wide", "", "wide.h5: patches are 2x8x1"),
        ("rbm", "train", "--optimizer lbfgs --hidden-dropout 0.5", "dropout is drawn anew at every update"),
        ("rbm", "train", "--activation relu", "--activation: does nothing without --random"),
        ("sesm", "plain", "--unrolled", "sesm.h5: a model 'sesm' cannot be fine-tuned"),
        ("net", "plain", "--unrolled", "net.h5: a model 'network' cannot be unrolled"),
        ("rbm", "plain", "--unrolled --max-norm 2", "--max-norm: does nothing with --unrolled"),
        ("rbm", "train", "--refit", "--refit: wants to know how many epochs are best"),
        ("rbm", "train", "--code linear", "--code: does nothing without --unrolled"),
        ("rbm", "train", "--random --activation step", "--activation: got 'step'"),
        ("rbm", "train", "--random --activation relu,tanh", "--activation: got 2 for 1 hidden layers"),
    ],
)
def test_wrong_use_is_one_line(bars, run_here, tmp_path, model, data, options, words):
    line = ("finetune", bars / f"{model}.h5", bars / f"{data}.h5", "-o", tmp_path / "net.h5")
    ran = run_here(*line, *options.split())
    assert ran.code in (1, 2)
    assert len(ran.error_lines) == 1
    assert words in ran.error_lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["csv", "npz", "h5"])
def test_predictions_are_those_of_the_model(bars, run_here, tmp_path, suffix):
    path = tmp_path / f"p.{suffix}"
    ran = ok(run_here("classify", bars / "net.h5", bars / "test.h5", "-o", path, "--json"))
    learned = load_model(str(bars / "net.h5"))
    rows, data, _ = load_rows(str(bars / "test.h5"), like=learned, say=print)
    P = learned.model.probabilities(rows.block(0, len(rows)))
    classes = learned.file.classes
    assert classes == NAMES
    if suffix == "csv":
        head, *lines = list(csv.reader(path.read_text().splitlines()))
        assert head == ["predicted", "label", *(f"p({name})" for name in classes)]
        found = np.array([line[2:] for line in lines], np.float32)
        predicted, labels = [[line[i] for line in lines] for i in (0, 1)]
    elif suffix == "npz":
        z = np.load(path)
        assert z["classes"].tolist() == classes
        found = z["probabilities"]
        predicted, labels = ([classes[i] for i in z[name]] for name in ("predicted", "labels"))
    else:
        made = read_dataset(str(path))
        found, labels = made.patches[:], None
        predicted = [made.label_names[i] for i in made.labels]
    assert found.tobytes() == P.tobytes()
    assert predicted == [classes[i] for i in P.argmax(axis=1)]
    right = [data.label_names[i] for i in data.labels]
    assert labels in (None, right)
    told = json.loads(ran.out)
    assert told["error_rate"] == np.mean(np.array(predicted) != np.array(right))
    for name, row in told["confusion"].items():
        for other, n in zip(classes, row, strict=True):
            assert n == sum(a == name and b == other for a, b in zip(right, predicted, strict=True))


def test_what_cannot_be_classified_is_refused_in_one_line(bars, run_here, tmp_path):
    out = ("-o", tmp_path / "p.csv")
    refused(run_here("classify", bars / "net.h5", bars / "other.h5", *out), "slanting", "flat, steep, none")
    refused(run_here("classify", bars / "rbm.h5", bars / "test.h5", *out), "knows no classes", code=2)
    refused(run_here("classify", bars / "net.h5", bars / "wide.h5", *out), "patches are 2x8x1")
    refused(run_here("classify", bars / "net.h5", bars / "test.h5", "-o", tmp_path / "p.npy"), ".csv", code=2)
    assert list(tmp_path.iterdir()) == []
    ran = ok(run_here("classify", bars / "net.h5", bars / "plain.h5", *out, "--json"))
    assert "error_rate" not in json.loads(ran.out)


def test_labelled_models_refuse_data_without_classes(bars, run_here, tmp_path):
    line = ("--model", "softmax", "-o", tmp_path / "s.h5")
    refused(run_here("train", bars / "plain.h5", *line), "plain.h5: has no labels, and --model softmax")
    refused(run_here("train", bars / "one.h5", *line), "one.h5: all its rows are of class flat")
    refused(run_here("train", *line), "learns classes of labelled rows")
    refused(run_here("train", bars / "train.h5", *line, "--classes", 4), "the data set has 3", code=2)
    refused(run_here("reconstruct", bars / "net.h5", bars / "test.h5", "-o", tmp_path / "r.png"),
            "gives no rows back", code=2)  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_net_is_measured_beside_others(bars, run_here, tmp_path):
    """By its codes alone: there are no rows to be had of it."""
    line = ("evaluate", bars / "net.h5", bars / "rbm.h5", bars / "train.h5", "--train", bars / "train.h5")
    net, rbm = json.loads(ok(run_here(*line, "--json")).out)["models"]
    assert "rmse" in rbm
    assert not any(key.startswith(("rmse", "bits", "explained")) for key in net)
    assert net["classifier_error"] <= 0.1
    told = run_here("classify", bars / "net.h5", bars / "train.h5", "-o", tmp_path / "p.csv", "--json")
    assert net["error_rate"] == json.loads(ok(told).out)["error_rate"]
    ok(run_here(*line, "--plot", tmp_path / "x.png"))
    alone = ("evaluate", bars / "net.h5", bars / "train.h5", "--plot", tmp_path / "y.png")
    refused(run_here(*alone), "give no rows back; add --train and --per-class", code=2)
    few = ("--train", bars / "train.h5", "--per-class", 5, "--draws", 1)
    ok(run_here(*alone, *few))
    both = ("evaluate", bars / "net.h5", bars / "rbm.h5", bars / "train.h5", "--plot", tmp_path / "both.png")
    ok(run_here(*both, *few))
    with Image.open(tmp_path / "y.png") as one, Image.open(tmp_path / "both.png") as two:
        assert 600 < one.height < two.height / 1.5


def test_rows_of_classes_that_a_net_does_not_know_are_errors(bars, run_here, tmp_path):
    """Said in a line; where it knows none of them there is no error to tell."""
    learned = load_model(str(bars / "net.h5"))
    rows, data, _ = load_rows(str(bars / "other.h5"), like=learned, say=print)
    told = [learned.file.classes[i] for i in learned.model.probabilities(rows.block(0, 30)).argmax(axis=1)]
    names = [data.label_names[i] for i in data.labels]
    ran = ok(run_here("evaluate", bars / "net.h5", bars / "other.h5", "--json"))
    [line] = [one for one in ran.err.splitlines() if one.startswith("warning")]
    assert "class slanting, but" in line
    assert "these 10 rows count as wrong" in line
    [found] = json.loads(ran.out)["models"]
    assert found["error_rate"] == pytest.approx(np.mean([a != b for a, b in zip(told, names, strict=True)]))
    assert 1 / 3 <= found["error_rate"] < 1
    assert "loss" not in found
    write_bars(tmp_path / "all.h5", 30, NAMES, 2, called=["a", "b", "c"])
    ran = ok(run_here("evaluate", bars / "net.h5", bars / "rbm.h5", tmp_path / "all.h5", "--json"))
    assert ran.err.count("rows of class a, b, c") == ran.err.count("are left out") == 1
    net, rbm = json.loads(ran.out)["models"]
    assert not {"error_rate", "loss"} & net.keys()
    assert "rmse" in rbm


def test_classes_that_do_not_fit_the_file_are_refused(bars, tmp_path):
    file = read_model(str(bars / "net.h5"))
    for i, classes in enumerate((None, ["a", "b"], ["a", "b", "b"])):
        file.classes = classes
        write_model(str(tmp_path / f"{i}.h5"), file)
        with pytest.raises(DataError, match="do not fit together"):
            load_model(str(tmp_path / f"{i}.h5"))


@pytest.mark.parametrize("kind", ["leaky-relu", "prelu"])
def test_slopes_go_on_from_what_they_were(bars, run_here, tmp_path, kind):
    """In a net and unrolled; a net of other units has none."""
    how = ("--activation", kind, "--slope", 0.3, "--hidden", 8, "--epochs", 2)
    ok(run_here("train", bars / "train.h5", "--model", "autoencoder", *how, "-o", tmp_path / "a.h5"))
    learned = load_model(str(tmp_path / "a.h5"))
    line = ("finetune", tmp_path / "a.h5", bars / "train.h5", "--epochs", 1, "--lr", 1e-9)
    for more, name in (((), "net.h5"), (("--unrolled",), "deep.h5")):
        ok(run_here(*line, *more, "-o", tmp_path / name))
        (layer,) = load_model(str(tmp_path / name)).model.encoder_layers()
        np.testing.assert_allclose(layer.slope, learned.model.params.get("s", 0.3), rtol=1e-5)
    ok(run_here(*line, "--random", "--activation", "relu", "-o", tmp_path / "other.h5"))
    assert load_model(str(tmp_path / "other.h5")).model.config.slope is None


def test_layers_of_several_slopes_make_no_net(bars, run_here, tmp_path):
    layers = [
        f"autoencoder:hidden={n},activation=leaky-relu,slope={slope}" for n, slope in ((8, 0.1), (4, 0.2))
    ]
    words = [word for layer in layers for word in ("--layer", layer)]
    ok(
        run_here(
            "train", bars / "train.h5", "--model", "stack", *words, "--epochs", 1, "-o", tmp_path / "s.h5"
        )
    )
    ran = run_here("finetune", tmp_path / "s.h5", bars / "train.h5", "-o", tmp_path / "net.h5")
    assert ran.code in (1, 2)
    assert "--slope: the layers have several, 0.1, 0.2; train them again with one, or with prelu" in ran.err
    assert len(ran.err.splitlines()) == 1
