"""train straight from images: patches in memory, as extract-patches cuts them, and the model of them."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import featlearn
from featlearn.errors import ConfigError, DataError
from featlearn.files.model import read_model
from helpers import ok, refused, same

CUT = {"size": 8, "count": 400}
LEARN = {"model": "k-sparse", "hidden": 9, "epochs": 2, "seed": 3, "say": print}


def both(folder, images, cut, **learn):
    """The models of images, and of the data set that extract-patches makes of them, by the same options."""
    featlearn.extract_patches(images, folder / "p.h5", **cut, seed=learn["seed"], say=print)
    featlearn.train(folder / "p.h5", folder / "b.h5", **learn)
    featlearn.train(images, folder / "a.h5", **cut, **learn)
    return [read_model(str(folder / name)) for name in ("a.h5", "b.h5")]


def digits(path, n=30):
    pixels = np.random.default_rng(0).integers(0, 256, (n, 6, 6), dtype=np.uint8)
    head = np.array([0x803, n, 6, 6], ">i4").tobytes()
    (path / "images.idx").write_bytes(head + pixels.tobytes())
    (path / "labels.idx").write_bytes(
        np.array([0x801, n], ">i4").tobytes() + (np.arange(n) % 3).astype(np.uint8).tobytes()
    )
    return path / "images.idx"


@pytest.mark.parametrize("kind", ["folder", "picture", "array", "whole digits", "generated"])
def test_the_model_is_that_of_extracted_patches(kind, work, tmp_path):
    images, cut = work.photos, CUT | {"whiten": "zca", "drop_flat": 0.1}
    if kind == "picture":
        images, cut = (
            next(work.photos.iterdir()),
            CUT | {"linear": True, "resize": "0.5", "normalize": "center"},
        )
    elif kind == "array":
        images, cut = tmp_path / "rows.npy", {"normalize": "standardize"}
        np.save(images, np.random.default_rng(1).normal(size=(60, 7)).astype(np.float32))
    elif kind == "whole digits":
        images, cut = digits(tmp_path), {}
    elif kind == "generated":
        images, cut = "pink-noise", CUT | {"images": 2}
    direct, of_file = both(tmp_path, images, cut, **LEARN)
    assert same(direct.params, of_file.params)
    assert same(*({name: np.asarray(v[:]) for name, v in one.history.items()} for one in (direct, of_file)))
    assert direct.content_hash == of_file.content_hash
    assert direct.preprocess.keys() == of_file.preprocess.keys()
    before = of_file.provenance["inputs"][0]["provenance"]["extraction"]
    assert direct.provenance["extraction"] == before
    assert direct.provenance["settings"] == {**cut, **{k: v for k, v in LEARN.items() if k != "say"}}
    assert direct.provenance["inputs"][0]["name"] == str(images)


def test_labels_of_images_are_classes(tmp_path):
    learn = {"model": "softmax", "epochs": 2, "seed": 0, "say": print}
    images = digits(tmp_path)
    direct, of_file = both(tmp_path, images, {"labels": tmp_path / "labels.idx"}, **learn)
    assert direct.classes == of_file.classes == ["0", "1", "2"]
    assert direct.content_hash == of_file.content_hash
    assert [one["name"] for one in direct.provenance["inputs"]] == [str(images), str(tmp_path / "labels.idx")]
    with pytest.raises(DataError, match="has no labels, and --model softmax learns classes"):
        featlearn.train(images, tmp_path / "c.h5", **learn)


def test_resume_compares_the_images(work, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(work.photos, photos)
    whole = featlearn.train(photos, tmp_path / "whole.h5", **CUT, **LEARN)
    ticks = iter(range(5))
    path = tmp_path / "m.h5"
    stopped = featlearn.train(photos, path, **CUT, **LEARN, should_stop=lambda: next(ticks, None) is None)
    assert not stopped.finished
    for options in ({"size": 8, "count": 401}, {**CUT, "normalize": "standardize"}, {**CUT, "linear": True}):
        with pytest.raises(ConfigError, match="it learned from other data"):
            featlearn.train(photos, path, resume=True, **options, **LEARN)
    done = featlearn.train(photos, path, resume=True, **CUT, **LEARN)
    assert done.content_hash == whole.content_hash
    name = next(photos.iterdir())
    pixels = 255 - np.asarray(Image.open(name))
    Image.fromarray(pixels).save(name)
    with pytest.raises(ConfigError, match="it learned from other data"):
        featlearn.train(photos, path, resume=True, **CUT, **LEARN)


def test_a_model_goes_on_with_images_read_as_its_own(work, tmp_path):
    """As a data set that is cut out of them with --like."""
    cut = CUT | {"linear": True, "normalize": "center"}
    first, other = tmp_path / "first.h5", tmp_path / "like.h5"
    featlearn.train(work.photos, first, **cut, **LEARN)
    featlearn.extract_patches(work.photos, other, like=first, count=50, seed=3, say=print)
    begin = {**LEARN, "init_from": first}
    featlearn.train(other, tmp_path / "b.h5", **begin)
    featlearn.train(work.photos, tmp_path / "a.h5", count=50, **begin)
    direct, of_file = (read_model(str(tmp_path / name)) for name in ("a.h5", "b.h5"))
    assert direct.content_hash == of_file.content_hash
    assert direct.preprocess["linear"] == 1
    with pytest.raises(ConfigError, match="--init-from takes size and preprocessing from that file"):
        featlearn.train(work.photos, tmp_path / "c.h5", size=6, **begin)


def test_too_much_is_refused_before_it_is_cut(work, run_here, tmp_path):
    train = ("train", work.photos, "--model", "rbm", "--count", "10000000", "--size", 16)
    words = "write them with featlearn extract-patches", "-o patches.h5", "2.80 GB of memory, 100 MB are"
    refused(run_here(*train, "--max-memory", "100MB", "-q", "-o", tmp_path / "m.h5"), *words)
    assert not [*tmp_path.iterdir()]


REFUSED = {
    "a data set": (lambda work: work.patches, ("--size", 6), "patches.h5 is a file of patches; leave it out"),
    "no data": (
        lambda work: None,
        ("--whiten", "zca"),
        "--whiten: says how images are read and cut, and none",
    ),
    "idle": (
        lambda work: work.photos,
        ("--whiten", "none", "--epsilon", 1),
        "--epsilon: does nothing without",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_do_nothing_are_refused(case, work, run_here, tmp_path):
    data, options, words = REFUSED[case]
    name = [one for one in (data(work),) if one]
    for command in (("train", "-o", tmp_path / "m.h5"), ("sweep", "-o", tmp_path / "runs", "--seeds", 2)):
        if name or command[0] == "train":
            ran = run_here(command[0], *name, *command[1:], "--model", "pca", "--hidden", 2, "-q", *options)
            refused(ran, words, code=2)


def test_missing_data_are_still_missing_data(run_here, tmp_path):
    ran = run_here("train", tmp_path / "nothing.h5", "--model", "rbm", "--size", 8, "-o", tmp_path / "m.h5")
    refused(ran, "nothing.h5: no such file")


def test_settings_go_to_a_file_and_back(work, run_here, tmp_path):
    train = ("train", work.photos, "--model", "k-sparse", "--hidden", 9, "--epochs", 1)
    cut = ("--size", "8x6", "--count", 300, "--clip", 3, "--to", "0.1,0.9", "--exclude", "*.jpg", "--seed", 3)
    shown = ok(run_here(*train, *cut, "--show-config")).out
    assert 'size = [8, 6]\ncount = 300\ndrop_flat = 0.0\nnormalize = "center"\nwhiten = "none"' in shown
    (tmp_path / "c.toml").write_text(shown)
    ok(run_here(*train, *cut, "-o", tmp_path / "a.h5"))
    ok(run_here("train", work.photos, "--config", tmp_path / "c.toml", "-o", tmp_path / "b.h5"))
    ok(run_here("extract-patches", work.photos, *cut, "-o", tmp_path / "p.h5"))
    ok(run_here("train", tmp_path / "p.h5", *train[2:], "--seed", 3, "-o", tmp_path / "c.h5"))
    names = ("a.h5", "b.h5", "c.h5")
    assert len({read_model(str(tmp_path / name)).content_hash for name in names}) == 1
    plain = ok(run_here("train", work.patches, *train[2:], "--show-config")).out
    assert "size" not in plain.replace("batch_size", "")
    assert "max_pixels" not in plain


@pytest.mark.parametrize("kind", ["like a model", "a model's whole images", "generated pairs"])
def test_settings_of_what_is_cut_alike_go_to_a_file_and_back(kind, work, run_here, tmp_path):
    """What comes from a model, or from how pairs are generated, is not said again beside it."""
    words = ("train", work.photos, "--init-from", work.model, "--model", "rbm", "--count", 300, "--epochs", 1)
    if kind == "generated pairs":
        words = ("train", "shifted-dots", "--model", "gated-rbm", "--size", 6, "--count", 200, "--epochs", 1)
    elif kind == "a model's whole images":
        begun = ("train", work.photos, "--size", "whole", "--model", "rbm", "--hidden", 3, "--epochs", 1)
        ok(run_here(*begun, "-o", tmp_path / "whole.h5"))
        words = (*words[:2], "--init-from", tmp_path / "whole.h5", *words[4:6], "--size", "whole", *words[8:])
    shown = ok(run_here(*words, "--show-config")).out
    (tmp_path / "c.toml").write_text(shown)
    again = ("train", words[1], "--config", tmp_path / "c.toml")
    assert ok(run_here(*again, "--show-config")).out == shown
    ok(run_here(*words, "-o", tmp_path / "a.h5"))
    ok(run_here(*again, "-o", tmp_path / "b.h5"))
    models = [read_model(str(tmp_path / name)) for name in ("a.h5", "b.h5")]
    assert models[0].content_hash == models[1].content_hash


def test_help_shows_how_images_are_cut_where_some_are_named(work, run_here):
    for command in ("train", "sweep"):
        for data, shown in ((work.photos, True), (work.patches, False), ("dead-leaves", True)):
            page = ok(run_here(command, data, "--model", "rbm", "--hidden", 5, "--help")).out
            assert ("--drop-flat" in page) is shown
            assert ("Preprocessing:" in page) is shown
        assert "--drop-flat" not in ok(run_here(command, "--help")).out


def test_a_model_s_own_option_of_that_name_is_its_own(work, tmp_path):
    """--labels of a deep belief net is whether its top learns classes."""
    learn = {"model": "dbn", "hidden": (5, 4), "epochs": 1, "say": print}
    featlearn.train(work.labelled, tmp_path / "m.h5", labels=True, **learn)
    assert read_model(str(tmp_path / "m.h5")).classes is not None


def test_a_sweep_cuts_the_same_patches_for_all_runs(work, run_here, tmp_path):
    sweep = ("sweep", work.photos, "--model", "pca", "--set", "hidden=2,3", "--seeds", 2, "--jobs", 1)
    cut = ("--size", 8, "--count", 200, "--normalize", "center", "--seed", 5)
    done = json.loads(ok(run_here(*sweep, *cut, "-o", tmp_path / "runs", "--json")).out)
    files = [read_model(str(path)) for path in (tmp_path / "runs").glob("*.h5")]
    assert len(files) == done["runs"] == 4
    assert len({file.progress["data"] for file in files}) == 1
    ok(run_here("extract-patches", work.photos, *cut, "-o", tmp_path / "p.h5"))
    ok(run_here("train", tmp_path / "p.h5", "--model", "pca", "--hidden", 2, "-o", tmp_path / "one.h5"))
    wanted = read_model(str(tmp_path / "one.h5")).content_hash
    assert wanted in {file.content_hash for file in files}
    assert files[0].provenance["settings"]["size"] == [8, 8]
    again = json.loads(ok(run_here(*sweep, *cut, "-o", tmp_path / "runs", "--json")).out)
    assert again["ranking"] == done["ranking"]


def test_a_sweep_begins_at_a_model(work, run_here, tmp_path):
    sweep = ("sweep", work.patches, "--model", "rbm", "--init-from", work.model, "--epochs", 1, "--jobs", 1)
    ok(run_here(*sweep, "--set", "lr=1e-12,1e-3", "-o", tmp_path / "runs"))
    start = read_model(str(work.model))
    files = [read_model(str(path)) for path in (tmp_path / "runs").glob("*.h5")]
    assert [file.progress["start"] for file in files] == 2 * [start.content_hash]
    still = next(file for file in files if file.training["lr"] == 1e-12)
    np.testing.assert_allclose(still.params["W"], start.params["W"], atol=1e-7)
    assert [one["name"] for one in still.provenance["inputs"]] == [str(work.patches), str(work.model)]
    one = ("--init-from", work.model, "--model", "rbm", "--epochs", 1, "--lr", 1e-3, "-o", tmp_path / "m.h5")
    ok(run_here("train", work.patches, *one))
    assert read_model(str(tmp_path / "m.h5")).content_hash in {file.content_hash for file in files}
