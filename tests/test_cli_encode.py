"""featlearn encode, and what stands on codes: a second stage, and its filters drawn through the first."""

import json
import os
import shutil

import numpy as np
import pytest

from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.files.model import read_model, write_model
from featlearn.jobs import encode as encoding
from featlearn.jobs.store import load_model, load_rows
from featlearn.patches.fitter import Fitter
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import PreprocessSpec
from featlearn.pictures.mosaic import mosaic
from helpers import ok, refused


@pytest.fixture(scope="module")
def stages(work, run_here, tmp_path_factory):
    """codes.h5 of the shared model's patches; two models upon each other that have learned from them."""
    folder = tmp_path_factory.mktemp("stages")
    ok(run_here("encode", work.model, work.patches, "-o", folder / "codes.h5"))
    ok(
        run_here(
            "train",
            folder / "codes.h5",
            "--model",
            "rbm",
            "--hidden",
            7,
            "--epochs",
            1,
            "-o",
            folder / "two.h5",
        )
    )
    ok(run_here("encode", folder / "two.h5", folder / "codes.h5", "-o", folder / "codes2.h5"))
    pca = ("--model", "pca", "--hidden", 5)
    ok(run_here("train", folder / "codes2.h5", *pca, "-o", folder / "three.h5"))
    return folder


def test_codes_are_the_models_to_the_byte(work, stages):
    learned, data = load_model(str(work.model)), read_dataset(str(stages / "codes.h5"), verify=True)
    X = load_rows(str(work.patches), like=learned, say=print)[0].block(0, 600)
    assert np.asarray(data.patches).tobytes() == learned.model.encode(X).tobytes()
    assert (data.shape, data.patches.dtype) == ((1, 12, 1), np.float32)


def test_codes_are_used_as_they_are(stages):
    data = read_dataset(str(stages / "codes.h5"))
    preprocess = Preprocess.from_dict(data.preprocess)
    assert preprocess.spec == PreprocessSpec("none")
    assert (preprocess.low, preprocess.high) == (data.patches[:].min(), data.patches[:].max())
    assert preprocess.apply(data.patches[:9]).tobytes() == np.asarray(data.patches[:9]).tobytes()
    fitter = Fitter(PreprocessSpec("none"), 12, np.float32)
    fitter.update(data.patches[:])
    assert fitter.finish().to_dict() == data.preprocess
    assert read_model(str(stages / "two.h5")).config["visible"] == "bernoulli"


def test_origin_and_images_are_carried_over(work, stages):
    data, codes = read_dataset(str(work.patches)), read_dataset(str(stages / "codes.h5"))
    assert np.array_equal(codes.origin, data.origin)
    assert (codes.images, codes.labels, codes.label_names) == (data.images, None, None)


def own_data_set(path, patches, shape, label_names=None, labels=None, spec=None):
    fitter = Fitter(spec or PreprocessSpec("none"), patches.shape[1], patches.dtype)
    fitter.update(patches)
    n = len(patches)
    with DatasetWriter(str(path), n, shape, patches.dtype, labels is not None) as writer:
        writer.append(patches, np.zeros((n, 3), np.int64), labels)
        writer.finish(fitter.finish().to_dict(), ["an image"], label_names, {})


def test_labels_are_carried_over(work, run_here, tmp_path, rng):
    patches = rng.integers(0, 256, (5000, 64), dtype=np.uint8)
    own_data_set(tmp_path / "d.h5", patches, (8, 8, 1), ["cat", "dog"], rng.integers(0, 2, 5000))
    ran = ok(run_here("encode", work.model, tmp_path / "d.h5", "-o", tmp_path / "c.h5"))
    data, codes = read_dataset(str(tmp_path / "d.h5")), read_dataset(str(tmp_path / "c.h5"))
    assert np.array_equal(codes.labels, data.labels)
    assert codes.label_names == ["cat", "dog"]
    assert ran.err.splitlines()[-1] == f"next: featlearn train {tmp_path / 'c.h5'} --model rbm"
    two = ("train", tmp_path / "c.h5", "--model", "pca", "--hidden", 3, "-o", tmp_path / "two.h5")
    ok(run_here(*two))
    args = ("evaluate", tmp_path / "two.h5", tmp_path / "c.h5", "--train", tmp_path / "c.h5", "--json")
    assert "classifier_error" in json.loads(ok(run_here(*args)).out)["models"][0]


def test_the_report(work, run_here, tmp_path):
    out = tmp_path / "c.h5"
    report = json.loads(ok(run_here("encode", work.model, work.patches, "-o", out, "--json")).out)
    codes = read_dataset(str(out))
    wanted = {"output": str(out), "codes": 600, "units": 12, "bytes": os.path.getsize(out)}
    assert report == wanted | {"low": codes.patches[:].min(), "high": codes.patches[:].max()}
    assert run_here("encode", work.model, work.patches, "-o", out, "--force", "--quiet").err == ""


def test_the_provenance_names_model_and_data_set(work, stages):
    story = read_dataset(str(stages / "codes.h5")).provenance
    model, data = story["inputs"]
    assert (model["name"], model["digest"]) == (
        str(work.model),
        load_model(str(work.model)).file.content_hash,
    )
    assert (data["name"], data["digest"]) == (str(work.patches), read_dataset(str(work.patches)).digest)


def test_same_bytes_for_blocks_and_threads(work, stages, run_here, tmp_path, monkeypatch):
    monkeypatch.setattr("featlearn.cli.encode.invocation", dict)
    made = []
    for i, (block, *more) in enumerate(
        [(4096,), (4096,), (77,), (1,), (4096, "--threads", 1), (4096, "--threads", 2)]
    ):
        monkeypatch.setattr("featlearn.rows.BLOCK", block)
        ok(run_here("encode", work.model, work.patches, "-o", tmp_path / f"{i}.h5", *more))
        made.append((tmp_path / f"{i}.h5").read_bytes())
    assert made == [made[0]] * 6


@pytest.mark.parametrize("id", ["autoencoder", "k-sparse", "mcrbm", "pca"])
def test_codes_of_every_kind_and_of_float64(id, work, run_here, tmp_path):
    ok(
        run_here(
            "extract-patches",
            work.photos,
            "--size",
            4,
            "--count",
            300,
            "--whiten",
            "zca",
            "-o",
            tmp_path / "p.h5",
        )
    )
    more = () if id == "pca" else ("--epochs", 1)
    train = ("train", tmp_path / "p.h5", "--model", id, "--hidden", 9, *more, "--dtype", "float64")
    if id == "k-sparse":
        train += ("--k", 3)
    ok(run_here(*train, "-o", tmp_path / "m.h5"))
    ok(run_here("encode", tmp_path / "m.h5", tmp_path / "p.h5", "-o", tmp_path / "c.h5"))
    learned = load_model(str(tmp_path / "m.h5"))
    H = learned.model.encode(load_rows(str(tmp_path / "p.h5"), like=learned, say=print)[0].block(0, 300))
    codes = read_dataset(str(tmp_path / "c.h5"), verify=True).patches
    assert H.dtype == np.float64
    assert np.array_equal(codes, H.astype(np.float32))


def test_every_command_takes_codes(stages, run_here, tmp_path):
    two, codes = stages / "two.h5", stages / "codes.h5"
    for call in (
        ("info", codes, "--verify"),
        ("visualize", codes, "-o", tmp_path / "1.png"),
        ("visualize", two, "-o", tmp_path / "2.png"),
        ("reconstruct", two, codes, "-o", tmp_path / "3.png"),
        ("evaluate", two, codes),
        ("sample", two, "--steps", 3, "-o", tmp_path / "4.png"),
        ("evaluate", stages / "three.h5", stages / "codes2.h5"),
    ):
        ok(run_here(*call))


def test_a_data_set_that_does_not_say_where_it_was_cut(work, run_here, tmp_path, monkeypatch):
    """Other programs may leave that out: then a code belongs to a row of the data set."""
    real = encoding.read_dataset

    def without(path):
        data = real(path)
        data.images = None
        return data

    monkeypatch.setattr(encoding, "read_dataset", without)
    monkeypatch.setattr("featlearn.rows.BLOCK", 256)
    ok(run_here("encode", work.model, work.patches, "-o", tmp_path / "c.h5"))
    codes = real(str(tmp_path / "c.h5"))
    assert codes.images == [str(work.patches)]
    assert np.array_equal(codes.origin, [[0, i, 0] for i in range(600)])


def test_an_unfinished_model_is_used_with_a_warning(work, run_here, tmp_path):
    file = read_model(str(work.model))
    file.progress["finished"] = False
    write_model(str(tmp_path / "m.h5.ckpt"), file)
    ran = ok(run_here("encode", tmp_path / "m.h5.ckpt", work.patches, "-o", tmp_path / "c.h5"))
    assert "warning: " in ran.err
    assert "training is not finished" in ran.err


def broken(work, path, change):
    file = read_model(str(work.model))
    change(file)
    write_model(str(path), file)
    return path


def test_codes_that_are_not_finite_are_refused(run_here, tmp_path):
    """float64 codes beyond the range of float32; the row is named."""
    patches = np.ones((5000, 4), np.float32)
    patches[4500] = 1e38
    own_data_set(tmp_path / "d.h5", patches, (2, 2, 1))
    args = (
        "train",
        tmp_path / "d.h5",
        "--model",
        "pca",
        "--hidden",
        1,
        "--dtype",
        "float64",
        "-o",
        tmp_path / "m.h5",
    )
    ok(run_here(*args))
    file = read_model(str(tmp_path / "m.h5"))
    file.params["W"] *= 100
    write_model(str(tmp_path / "m.h5"), file, force=True)
    before = sorted(os.listdir(tmp_path))
    refused(
        run_here("encode", tmp_path / "m.h5", tmp_path / "d.h5", "-o", tmp_path / "c.h5", "-q"),
        "row 4500",
        "m.h5",
    )
    assert sorted(os.listdir(tmp_path)) == before


def test_codes_that_are_all_alike_are_refused(work, run_here, tmp_path):
    def flat(file):
        file.params["W"] *= 0
        file.params["c"] *= 0

    path = broken(work, tmp_path / "flat.h5", flat)
    refused(
        run_here("encode", path, work.patches, "-o", tmp_path / "c.h5", "-q"),
        "gives 0.5 for every unit",
        "flat.h5",
    )
    assert os.listdir(tmp_path) == ["flat.h5"]


def test_codes_of_other_patches_are_refused(work, stages, run_here, tmp_path):
    out = tmp_path / "c.h5"
    refused(run_here("encode", work.model, stages / "codes.h5", "-o", out), "1x12x1", "8x8x1")
    refused(run_here("encode", stages / "two.h5", work.patches, "-o", out), "8x8x1", "1x12x1")
    refused(run_here("encode", stages / "two.h5", stages / "codes2.h5", "-o", out), "1x7x1", "1x12x1")
    refused(run_here("train", stages / "codes.h5", "--model", "mcrbm", "-o", out), "mcrbm", code=2)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("victim", ["model.h5", "patches.h5"])
def test_an_input_is_never_the_output(victim, work, run_here, tmp_path):
    for path in (work.model, work.patches):
        shutil.copy(path, tmp_path)
    before = (tmp_path / victim).read_bytes()
    args = ("encode", tmp_path / "model.h5", tmp_path / "patches.h5", "-o", tmp_path / victim, "--force")
    refused(run_here(*args), "is also an input")
    assert (tmp_path / victim).read_bytes() == before


# Drawn through the models below.


def pixels(path):
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)


def W(path):
    return load_model(str(path)).model.params["W"].astype(np.float64)


def test_filters_of_codes_are_sums_of_filters(work, stages, run_here, tmp_path):
    for file, through, F in (
        ("two.h5", ["one"], W(work.model) @ W(stages / "two.h5")),
        ("three.h5", ["two", "one"], W(work.model) @ W(stages / "two.h5") @ W(stages / "three.h5")),
    ):
        below = {"one": work.model, "two": stages / "two.h5"}
        out = tmp_path / f"{file}.png"
        args = [word for name in through for word in ("--through", below[name])]
        report = json.loads(ok(run_here("visualize", stages / file, *args, "-o", out, "--json")).out)
        assert (report["filters"], report["shape"]) == (F.shape[1], [8, 8, 1])
        wanted = mosaic(F.T.reshape(-1, 8, 8, 1))
        assert np.abs(pixels(out).astype(int) - wanted).max() <= 1


def test_both_preprocessings_are_undone(run_here, work, tmp_path):
    """PCA-whitened pixels below, and codes that another program has whitened above."""
    cut = ("--size", 6, "--count", 400, "--whiten", "pca", "-o", tmp_path / "p.h5")
    ok(run_here("extract-patches", work.photos, *cut))
    ok(
        run_here(
            "train",
            tmp_path / "p.h5",
            "--model",
            "rbm",
            "--hidden",
            8,
            "--epochs",
            1,
            "-o",
            tmp_path / "one.h5",
        )
    )
    ok(run_here("encode", tmp_path / "one.h5", tmp_path / "p.h5", "-o", tmp_path / "c.h5"))
    codes = np.array(read_dataset(str(tmp_path / "c.h5")).patches)
    spec = PreprocessSpec(normalize="standardize", whiten="pca")
    own_data_set(tmp_path / "white.h5", codes, (1, 8, 1), spec=spec)
    train = (
        "train",
        tmp_path / "white.h5",
        "--model",
        "rbm",
        "--hidden",
        5,
        "--epochs",
        1,
        "-o",
        tmp_path / "two.h5",
    )
    ok(run_here(*train))
    ok(run_here("visualize", tmp_path / "two.h5", "--through", tmp_path / "one.h5", "-o", tmp_path / "f.png"))

    def rotation(path):
        P = load_model(str(path)).preprocess.whitening
        return P / np.linalg.norm(P, axis=0)

    one, two = tmp_path / "one.h5", tmp_path / "two.h5"
    F = rotation(one) @ W(one) @ rotation(two) @ W(two)
    wanted = mosaic(F.T.reshape(-1, 6, 6, 1))
    assert np.abs(pixels(tmp_path / "f.png").astype(int) - wanted).max() <= 1


def test_what_cannot_be_drawn_through_is_refused(work, stages, run_here, tmp_path):
    out, two, three = tmp_path / "x.png", stages / "two.h5", stages / "three.h5"
    draw = ("visualize", "-o", out)
    refused(run_here(*draw, three, "--through", work.model), "three.h5", "7 values", "model.h5", "have 12")
    refused(
        run_here(*draw, three, "--through", work.model, "--through", two),
        "7 values",
        "have 12",
        "nearest one first",
    )
    refused(run_here(*draw, two, "--through", stages / "codes.h5"), "data set")
    refused(run_here(*draw, two, "--through", tmp_path / "none.h5"), "none.h5")
    refused(
        run_here(*draw, two, "--through", work.model, "--what", "curve"),
        "--through",
        "--what filters",
        code=2,
    )
    refused(
        run_here(*draw, stages / "codes.h5", "--through", work.model), "--through", "--what filters", code=2
    )
    assert os.listdir(tmp_path) == []
    shutil.copy(work.model, tmp_path / "one.h5")
    before = (tmp_path / "one.h5").read_bytes()
    args = ("visualize", two, "--through", tmp_path / "one.h5", "-o", tmp_path / "one.h5", "--force")
    refused(run_here(*args), "is also an input")
    assert (tmp_path / "one.h5").read_bytes() == before


def test_codes_without_a_filter_each_are_refused(work, run_here, tmp_path):
    """Maxout units have two filters each."""
    maxout = ("--activation", "maxout", "--output-units", "linear", "--hidden", 6, "--epochs", 1)
    ok(run_here("train", work.patches, "--model", "autoencoder", *maxout, "-o", tmp_path / "one.h5"))
    ok(run_here("encode", tmp_path / "one.h5", work.patches, "-o", tmp_path / "c.h5"))
    ok(run_here("train", tmp_path / "c.h5", "--model", "pca", "-o", tmp_path / "two.h5"))
    draw = ("visualize", tmp_path / "two.h5", "--through", tmp_path / "one.h5", "-o", tmp_path / "x.png")
    refused(run_here(*draw), "one.h5", "6 values", "12 filters")
