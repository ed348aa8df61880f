"""evaluate and info from the command line: figures recomputed, pictures drawn, files described."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from featlearn import __version__, _core
from featlearn.files.dataset import read_dataset
from featlearn.files.model import read_model, write_model
from featlearn.jobs import measuring
from featlearn.jobs.store import load_model, load_rows
from featlearn.models.autoencoder import Autoencoder
from featlearn.rows import Encoded
from featlearn.training.classifier import ClassifierConfig
from featlearn.training.few_labels import errors_per_class
from helpers import class_measures, coded


def report(run_here, *args):
    ran = run_here(*args, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_evaluate_recomputed(work, run_here):
    found = report(run_here, "evaluate", work.model, work.patches)["models"]
    learned = load_model(str(work.model))
    X32 = load_rows(str(work.patches), like=learned, say=print)[0].block(0, 600)
    H = learned.model.encode(X32).astype(np.float64)
    X, Y = X32.astype(np.float64), learned.model.reconstruct(X32).astype(np.float64)
    assert len(found) == 1
    assert found[0]["model"] == str(work.model)
    assert found[0]["rmse"] == pytest.approx(np.sqrt(np.mean((X - Y) ** 2)), rel=1e-6)
    variance = np.sum((X - X.mean(axis=0)) ** 2)
    assert found[0]["explained_variance"] == pytest.approx(1 - np.sum((X - Y) ** 2) / variance, rel=1e-5)
    assert found[0]["mean_activation"] == pytest.approx(H.mean(), rel=1e-5)


@pytest.mark.parametrize("model", ["rbm", "pca", "k-sparse"])
def test_all_commands_mean_the_same_error(model, run_here, tmp_path):
    """train, reconstruct and evaluate: one definition, over all rows, of which training looks at some each
    epoch."""
    data, out = tmp_path / "d.h5", tmp_path / "m.h5"
    report(run_here, "extract-patches", "dead-leaves", "--size", 6, "--count", 2500, "-o", data)
    how = ("--model", model, "--hidden", 10)
    trained = report(run_here, "train", data, *how, "-o", out)["rmse"]
    again = report(run_here, "reconstruct", out, data, "-o", tmp_path / "r.png")["rmse"]
    measured = report(run_here, "evaluate", out, data)["models"][0]["rmse"]
    assert trained == pytest.approx(again, rel=1e-12)
    assert trained == pytest.approx(measured, rel=1e-12)
    assert float(run_here("info", out, "--get", "measured.rmse").out) == trained
    printed = [
        run_here(*args).out for args in (("train", data, *how, "-o", out, "--force"), ("evaluate", out, data))
    ]
    words = [[line.split() for line in out.splitlines()] for out in printed]
    lines = [next(line[:2] for line in one if line[:1] == ["rmse"]) for one in words]
    assert lines[0] == lines[1]


def test_several_models_are_a_column_each(work, run_here):
    ran = run_here("evaluate", work.model, work.model, work.patches)
    assert ran.code == 0
    one = [line.split() for line in run_here("evaluate", work.model, work.patches).out.splitlines()]
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["model", str(work.model), str(work.model)]
    assert lines == [[*line[:2], *line[1:]] if len(line) > 1 else line for line in one]


@pytest.fixture(scope="module")
def labelled(run_here, tmp_path_factory):
    """Noisy bars that lean either way, 300 to learn (learn.h5) and 100 to try (test.h5); two models."""
    folder, rng = tmp_path_factory.mktemp("labelled"), np.random.default_rng(0)
    y = rng.integers(0, 2, 400).astype(np.uint8)
    X = np.where(y[:, None, None] == 1, np.eye(6), np.eye(6)[::-1]) * 60 + rng.integers(0, 190, (400, 6, 6))
    for name, part in (("learn", slice(0, 300)), ("test", slice(300, 400))):
        for what, array in (("images", X[part].astype(np.uint8)), ("labels", y[part])):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            (folder / f"{name}-{what}").write_bytes(head + array.tobytes())
        source = (folder / f"{name}-images", "--labels", folder / f"{name}-labels")
        report(run_here, "extract-patches", *source, "-o", folder / f"{name}.h5")
    for seed in (0, 1):
        args = ("--model", "autoencoder", "--hidden", 10, "--epochs", 2, "--seed", seed)
        report(run_here, "train", folder / "learn.h5", *args, "-o", folder / f"m{seed}.h5")
    return folder


def test_bits_and_errors_of_quantised_codes(labelled, run_here):
    row = report(run_here, "evaluate", labelled / "m0.h5", labelled / "test.h5", "--bins", "7,3,7")["models"][
        0
    ]
    learned = load_model(str(labelled / "m0.h5"))
    rows = load_rows(str(labelled / "test.h5"), like=learned, say=print)[0]
    for coding in coded(learned.model, rows, (3, 7)):
        q = coding.bins
        assert (row[f"bits_{q}"], row[f"rmse_{q}"]) == coding[1:3]
        assert row[f"rmse_std_{q}"] == pytest.approx(coding.rmse_std, rel=1e-9)
    keys = [key for key in row if key.startswith("bits_")]
    assert keys == ["bits_7", "bits_3"]
    usual = report(run_here, "evaluate", labelled / "m0.h5", labelled / "test.h5")["models"][0]
    assert {"bits_5", "rmse_5", "rmse_std_5", "bits_256", "rmse_256", "rmse_std_256"} <= set(usual)
    assert usual["rmse_256"] == pytest.approx(usual["rmse"], rel=0.01)


def test_labels_alone_give_selectivity_and_purity(labelled, work, run_here):
    row = report(run_here, "evaluate", labelled / "m0.h5", labelled / "test.h5")["models"][0]
    learned = load_model(str(labelled / "m0.h5"))
    rows, dataset, _ = load_rows(str(labelled / "test.h5"), like=learned, say=print)
    wanted = class_measures(learned.model, rows, dataset.labels)
    assert {key: row[key] for key in wanted} == wanted
    assert "classifier_error" not in row
    assert "purity" not in report(run_here, "evaluate", work.model, work.patches)["models"][0]


@pytest.mark.parametrize("memory", [1 << 30, 1000])
def test_each_data_set_is_encoded_once_a_model_whatever_is_asked(labelled, run_here, monkeypatch, memory):
    """The row of zeros that tells a code's width is no data set; equal preprocessing is done once."""
    seen, made = {}, []

    def counted(encode):
        def inner(self, X):
            if X.any():
                seen[id(self)] = seen.get(id(self), 0) + len(X)
            return encode(self, X)

        return inner

    real = measuring.rows_like
    monkeypatch.setattr(Autoencoder, "encode", counted(Autoencoder.encode))
    monkeypatch.setattr(measuring, "rows_like", lambda data, like: made.append(data.path) or real(data, like))
    monkeypatch.setattr(Encoded.__init__, "__defaults__", (memory,))
    test, learn = labelled / "test.h5", labelled / "learn.h5"
    models = [labelled / "m0.h5", labelled / "m1.h5"]
    args = ("evaluate", *models, test, "--train", learn, "--per-class", "5", "--draws", 2)
    report(run_here, *args, "--classifier-decay", 0.1, "--bins", "3,7,256")
    sizes = [len(read_dataset(str(path)).patches) for path in (test, learn)]
    assert list(seen.values()) == [sum(sizes) + 2] * 2  # a first row of each says how wide codes are
    assert made == [str(test), str(learn)]


FEW = ("--per-class", "5,40", "--draws", 3, "--classifier-decay", 0.1)


def test_few_labels(labelled, run_here):
    """Means and spreads over the same draws for all models; nothing is learned from all rows."""
    args = (
        "evaluate",
        labelled / "m0.h5",
        labelled / "m1.h5",
        labelled / "test.h5",
        "--train",
        labelled / "learn.h5",
    )
    found = report(run_here, *args, *FEW)["models"]
    config = ClassifierConfig(classifier_decay=0.1, per_class=(5, 40), draws=3)
    for seed, row in enumerate(found):
        learned = load_model(str(labelled / f"m{seed}.h5"))
        (X, x, _), (T, t, _) = (
            load_rows(str(labelled / f"{name}.h5"), like=learned, say=print) for name in ("learn", "test")
        )
        y, u = x.labels.astype(np.int32), t.labels.astype(np.int32)
        codes = errors_per_class((Encoded(learned.model, X), y), (Encoded(learned.model, T), u), config, 0)
        for what, errors in (("classifier", codes), ("raw", errors_per_class((X, y), (T, u), config, 0))):
            for i, number in enumerate((5, 40)):
                assert row[f"{what}_error_{number}"] == pytest.approx(errors[i].mean(), rel=1e-12)
                assert row[f"{what}_spread_{number}"] == pytest.approx(np.std(errors[i], ddof=1), rel=1e-12)
        assert not {"classifier_error", "raw_error", "classifier_decay"} & set(row)
    assert report(run_here, *args, *FEW, "--seed", 1)["models"] != found
    assert report(run_here, *args, "--per-class", "5", "--draws", 1)["models"][0]["raw_spread_5"] == 0


def test_the_picture_of_a_comparison(labelled, run_here, tmp_path):
    args = ("evaluate", labelled / "m0.h5", labelled / "m1.h5", labelled / "test.h5")
    few, picture = ("--train", labelled / "learn.h5", *FEW), tmp_path / "c.png"
    plain, with_picture = report(run_here, *args), report(run_here, *args, "--plot", picture)
    assert plain == with_picture
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.text["Software"].startswith("featlearn ")
        low = image.height
        assert np.asarray(image.convert("L")).std() > 5
    ran = run_here(*args, *few, "--plot", picture)
    assert (ran.code, len(ran.error_lines)) == (1, 1)
    assert "--force" in ran.err
    before = picture.read_bytes()
    report(run_here, *args, *few, "--plot", picture, "--force")
    with Image.open(picture) as image:
        assert image.height > 1.5 * low
    report(run_here, *args, "--plot", picture, "--force")
    assert picture.read_bytes() == before


def test_errors_in_different_units_are_told(labelled, run_here, tmp_path):
    whitened = (labelled / "learn-images", "--whiten", "zca", "-o", tmp_path / "w.h5")
    report(run_here, "extract-patches", *whitened)
    report(
        run_here,
        "train",
        tmp_path / "w.h5",
        "--model",
        "rbm",
        "--hidden",
        5,
        "--epochs",
        1,
        "-o",
        tmp_path / "m.h5",
    )
    models = (labelled / "m0.h5", tmp_path / "m.h5")
    ran = run_here("evaluate", *models, labelled / "test.h5", "--plot", tmp_path / "c.png")
    assert (ran.code, ran.err.count("different units")) == (0, 1)
    few = (*FEW, "--train", labelled / "learn.h5")
    ran = run_here("evaluate", models[0], *models, labelled / "test.h5", *few, "--plot", tmp_path / "d.png")
    assert ran.code == 0
    ran = run_here("evaluate", *models[:1], *models[:1], labelled / "test.h5", "--plot", tmp_path / "e.png")
    assert (ran.code, ran.err.count("different units")) == (0, 0)


def test_a_model_whose_name_is_no_text_can_be_drawn(labelled, run_here, tmp_path):
    model, picture = os.path.join(tmp_path, "m\udcff.h5"), tmp_path / "c.png"
    shutil.copyfile(labelled / "m0.h5", model)
    ran = run_here("evaluate", model, labelled / "test.h5", "--plot", picture, "-q")
    assert ran.code == 0, ran.err
    assert picture.exists()


RUBBISH = {
    "--bins 1": (2, "at least 2"),
    "--bins 5,70000": (2, "at most 65,536"),
    "--bins five": (2, "5,256"),
    "--bins 5,,6": (2, "5,256"),
    "--bins 2.5": (2, "5,256"),
    "--bins 99999999999999999999999": (2, "5,256"),
    "--per-class 5": (2, "--train"),
    "--per-class 0 --train LEARN": (2, "at least 1"),
    "--per-class -5 --train LEARN": (2, "at least 1"),
    "--per-class all --train LEARN": (2, "whole numbers"),
    "--per-class 5,1000 --train LEARN": (1, "--per-class wants 1000"),
    "--per-class 5 --train BARE": (2, "bare.h5 has no labels"),
    "--draws 3 --train LEARN": (2, "--per-class"),
    "--draws 0 --per-class 5 --train LEARN": (2, "0"),
    "--force": (2, "--plot"),
    "--plot -": (2, "standard output"),
    "--plot MODEL --force": (1, "input"),
    "--plot LEARN --force --train LEARN": (1, "input"),
    "--plot no/such/folder.png": (1, "does not exist"),
    "--plot .": (1, "is a folder"),
    "--plot=": (1, "not a file name"),
    "--train= --per-class 5": (1, "not a file name"),
}


@pytest.mark.parametrize(("options", "refusal"), RUBBISH.items(), ids=RUBBISH.keys())
def test_rubbish_is_refused_before_any_work(options, refusal, labelled, run_here, tmp_path, monkeypatch):
    def started(*args):
        raise AssertionError("a measurement began")

    monkeypatch.setattr("featlearn.jobs.measuring.measured_in_one_pass", started)
    monkeypatch.chdir(tmp_path)
    shutil.copy(labelled / "m0.h5", "m.h5")
    report(run_here, "extract-patches", labelled / "learn-images", "-o", "bare.h5")
    names = {"MODEL": "m.h5", "LEARN": labelled / "learn.h5", "BARE": "bare.h5"}
    ran = run_here(
        "evaluate", "m.h5", labelled / "test.h5", *(names.get(word, word) for word in options.split())
    )
    assert (ran.code, ran.out, len(ran.error_lines)) == (refusal[0], "", 1)
    assert refusal[1] in ran.error_lines[0]


def test_an_unfinished_model_is_told(work, run_here, tmp_path):
    file = read_model(str(work.model))
    file.progress["finished"] = False
    write_model(str(tmp_path / "m.h5"), file)
    ran = run_here("evaluate", tmp_path / "m.h5", work.patches)
    assert ran.code == 0
    assert "not finished" in ran.err
    assert run_here("evaluate", tmp_path / "m.h5", work.patches, "--quiet").err == ""
    assert report(run_here, "info", tmp_path / "m.h5")["finished"] is False


def test_info_without_a_file_is_about_the_build(run_here):
    found = report(run_here, "info", "--threads", 1)
    assert found["featlearn"] == __version__
    assert found["instruction_set"] == _core.isa()
    assert found["multithreaded"] == _core.has_threads()
    assert found["threads"] == 1
    assert found["versions"]["numpy"] == np.__version__


def test_info_of_a_data_set(work, run_here):
    found = report(run_here, "info", work.patches, "--verify")
    assert (found["format"], found["patches"], found["shape"]) == ("featlearn-dataset", 600, [8, 8, 1])
    assert found["digest"] == read_dataset(str(work.patches)).digest
    assert found["verified"] is True
    assert found["preprocess"]["normalize"] == "standardize"
    assert found["preprocess"]["mean"] == [64]
    assert found["bytes"] == work.patches.stat().st_size


def test_verify_finds_damage(work, run_here, tmp_path):
    data = bytearray(work.patches.read_bytes())
    where = data.find(read_dataset(str(work.patches)).patches[:].tobytes())
    data[where + 1000] ^= 1
    (tmp_path / "p.h5").write_bytes(bytes(data))
    assert run_here("info", tmp_path / "p.h5").code == 0
    ran = run_here("info", tmp_path / "p.h5", "--verify")
    assert ran.code == 1
    assert "p.h5" in ran.err


def test_info_of_a_model(work, run_here):
    found = report(run_here, "info", work.model)
    assert (found["format"], found["model"], found["finished"]) == ("featlearn-model", "rbm", True)
    assert found["config"]["hidden"] == 12
    assert found["params"]["W"] == "64x12 float32"
    assert found["content_hash"] == read_model(str(work.model)).content_hash
    assert found["provenance"]["inputs"][0]["provenance"]["versions"]["featlearn"] == __version__


@pytest.mark.parametrize(
    ("key", "value"), [("config.hidden", "12"), ("model", "rbm"), ("shape", "[8, 8, 1]"), ("shape.0", "8")]
)
def test_get_prints_one_value(key, value, work, run_here):
    ran = run_here("info", work.model, "--get", key)
    assert (ran.code, ran.out) == (0, f"{value}\n")
    assert report(run_here, "info", work.model, "--get", key) == {
        key: json.loads(value) if value != "rbm" else value
    }


@pytest.mark.parametrize(
    ("key", "near"), [("config.hiden", "config.hidden"), ("rmse", "measured.rmse"), ("lr", "training.lr")]
)
def test_get_of_an_unknown_key_names_the_nearest(key, near, work, run_here):
    ran = run_here("info", work.model, "--get", key)
    assert (ran.code, ran.out, len(ran.error_lines)) == (2, "", 1)
    assert f"the nearest are {near}, " in ran.err
    assert len(ran.err) < 300
    assert run_here("info", work.model, "--get", near).code == 0
