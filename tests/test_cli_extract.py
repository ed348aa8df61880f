"""extract-patches from the command line: what is asked for, what is decided, what is announced, what is refused."""

import gzip
import json
import subprocess

import numpy as np
import pytest
from PIL import Image

from featlearn.cli import store
from featlearn.files.dataset import read_dataset
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows


def extract(run_here, *args):
    ran = run_here("extract-patches", *args, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def settings(path):
    return read_dataset(str(path)).preprocess


def idx(path, array):
    """An IDX file as MNIST is distributed, gzipped."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture(scope="module")
def digits(tmp_path_factory, rng):
    folder = tmp_path_factory.mktemp("digits")
    idx(folder / "images.gz", rng.integers(0, 256, (30, 6, 5)))
    idx(folder / "labels.gz", rng.integers(0, 10, 30))
    return folder


def test_defaults(work, run_here, tmp_path):
    report = extract(run_here, work.photos, "-o", tmp_path / "p.h5")
    assert (report["patches"], report["shape"], report["dtype"]) == (10_000, [16, 16, 1], "uint8")
    assert (report["images"], report["skipped"], report["visible"]) == (4, 0, "gaussian")
    assert settings(tmp_path / "p.h5")["normalize"] == "standardize"


def test_the_size_is_announced_and_the_next_command_named(work, run_here, tmp_path):
    ran = run_here("extract-patches", work.photos, "-o", tmp_path / "p.h5", "--size", "8x12", "--count", 1000)
    data = read_dataset(str(tmp_path / "p.h5"))
    assert data.shape == (8, 12, 1)
    assert f"1,000 patches 8x12x1, {1000 * (96 + 24) / 1e6:.1f} MB" in ran.err
    assert ran.err.splitlines()[-1] == f"next: featlearn train {tmp_path / 'p.h5'} --model rbm"


def test_whitening_brings_its_recipe(work, run_here, tmp_path):
    extract(run_here, work.photos, "-o", tmp_path / "p.h5", "--size", 6, "--count", 500, "--whiten", "zca")
    found = settings(tmp_path / "p.h5")
    assert (found["normalize"], found["whiten"], found["epsilon"]) == ("center", "zca", 0.1)
    plain = tmp_path / "plain.h5"
    extract(run_here, work.photos, "-o", plain, "--size", 6, "--count", 500, "--drop-flat", 0)
    kept, all_ = (read_dataset(str(p)).patches.var(axis=1).min() for p in (tmp_path / "p.h5", plain))
    assert kept >= all_


def test_settings_are_taken_as_given(work, run_here, tmp_path):
    args = ("--size", 4, "--count", 50, "--normalize", "contrast", "--clip", 3, "--to", "0.1,0.9")
    report = extract(run_here, work.photos, "-o", tmp_path / "p.h5", *args)
    assert (report["low"], report["high"], report["visible"]) == (0.1, 0.9, "bernoulli")
    assert settings(tmp_path / "p.h5")["normalize"] == "contrast"


def test_grid(work, run_here, tmp_path):
    report = extract(run_here, work.photos, "-o", tmp_path / "p.h5", "--size", 16, "--stride", 16)
    assert report["patches"] == 4 * 16


def test_idx_images_are_taken_whole(digits, run_here, tmp_path):
    args = (digits / "images.gz", "--labels", digits / "labels.gz", "-o", tmp_path / "p.h5")
    report = extract(run_here, *args)
    assert (report["patches"], report["shape"], report["visible"]) == (30, [6, 5, 1], "bernoulli")
    data = read_dataset(str(tmp_path / "p.h5"))
    assert data.labels.shape == (30,)
    assert settings(tmp_path / "p.h5")["normalize"] == "none"


def test_first_images(digits, work, run_here, tmp_path):
    """Of all inputs together, labels with them; labels are counted before."""
    path, images = tmp_path / "d.h5", digits / "images.gz"
    labels = ("--labels", digits / "labels.gz")
    everything = extract(run_here, images, *labels, "-o", tmp_path / "all.h5")
    report = extract(run_here, images, *labels, "--first", 7, "-o", path)
    assert (everything["patches"], report["patches"], report["images"]) == (30, 7, 7)
    data, whole = read_dataset(str(path)), read_dataset(str(tmp_path / "all.h5"))
    assert np.array_equal(data.patches, whole.patches[:7])
    assert np.array_equal(data.labels, whole.labels[:7])
    assert extract(run_here, images, images, "--first", 33, "-o", tmp_path / "two.h5")["patches"] == 33
    names = sorted(work.photos.iterdir())[:2]
    extract(run_here, work.photos, "--first", 2, "--size", 8, "--count", 20, "-o", tmp_path / "p.h5")
    assert read_dataset(str(tmp_path / "p.h5")).images == [str(name) for name in names]
    ran = run_here("extract-patches", images, "--first", 31, "-o", tmp_path / "more.h5")
    assert ran.code == 1
    assert ran.error_lines == ["featlearn: error: --first 31: there are only 30 images; take that many or fewer"]
    assert not (tmp_path / "more.h5").exists()


def test_folders_name_labels(work, run_here, tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.new("L", (8, 8), 100 + len(list((tmp_path / "in").iterdir()))).save(tmp_path / "in" / name / "a.png")
    args = (tmp_path / "in", "--labels", "folders", "--size", 4, "--stride", 4, "-o", tmp_path / "p.h5")
    extract(run_here, *args, "--normalize", "none")
    data = read_dataset(str(tmp_path / "p.h5"))
    assert data.label_names == ["cats", "dogs"]
    assert data.labels.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("name", ["dead-leaves", "dead-leaves-photo", "pink-noise"])
def test_generated_images(name, run_here, tmp_path):
    report = extract(run_here, name, "--images", 2, "--count", 20, "-o", tmp_path / "p.h5")
    assert report["images"] == 2


def test_how_many_images_are_generated_grows_with_the_count(run_here, tmp_path):
    for count, images in ((10, 8), (9000, 9)):
        args = ("--size", 2, "--count", count, "--dry-run", "-o", tmp_path / "p.h5")
        assert extract(run_here, "pink-noise", *args)["images"] == images


def test_dry_run_writes_nothing(work, run_here, tmp_path):
    report = extract(run_here, work.photos, "-o", tmp_path / "p.h5", "--dry-run")
    assert report["bytes"] == 10_000 * (256 + 24)
    assert list(tmp_path.iterdir()) == []


def test_like_takes_size_and_fit(work, run_here, tmp_path):
    """Of a data set and of the model that was trained on it: the same rows."""
    stored = []
    for i, like in enumerate((work.patches, work.model)):
        path = tmp_path / f"{i}.h5"
        extract(run_here, work.photos, "--like", like, "--count", 40, "--seed", 5, "-o", path)
        data = read_dataset(str(path))
        assert data.shape == (8, 8, 1)
        stored.append(Rows(data.patches, Preprocess.from_dict(data.preprocess)).block(0, 40))
    assert stored[0].tobytes() == stored[1].tobytes()
    fitted = Preprocess.from_dict(read_dataset(str(work.patches)).preprocess)
    assert stored[0].tobytes() == fitted.apply(data.patches).tobytes()


def test_same_command_same_bytes(work, run_here, tmp_path):
    """Also with another number of threads; --seed makes others."""
    found = []
    for i, more in enumerate([(), ("--threads", 1), ("--threads", 2), ("--seed", 1)]):
        path = tmp_path / f"{i}.h5"
        extract(run_here, work.photos, "--size", 5, "--count", 300, "--whiten", "zca", "-o", path, *more)
        data = read_dataset(str(path))
        found.append((data.patches.tobytes(), data.preprocess["whitening"].tobytes()))
    assert found[0] == found[1] == found[2]
    assert found[0] != found[3]


def test_files_from_find(work, tmp_path, start):
    names = sorted(str(path) for path in work.photos.iterdir())[:3]
    for separator, more in (("\n", ()), ("\0", ("-0",))):
        args = ("extract-patches", "--files-from", "-", *more, "--size", 8, "--count", 20, "-o", "p.h5", "--force")
        process = start(*args, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert process.communicate(separator.join([*names, ""]).encode())[1] is not None
        assert process.returncode == 0
        assert len(read_dataset(str(tmp_path / "p.h5")).images) == 3


def test_bad_images_are_named_counted_and_skipped(work, run_here, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    good = (work.photos / "photo0.png").read_bytes()
    (folder / "good.png").write_bytes(good)
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "text.png").write_text("no picture")
    Image.new("L", (5, 5)).save(folder / "small.png")
    args = ("extract-patches", folder, "--size", 8, "--count", 20, "-o", tmp_path / "p.h5")
    ran = run_here(*args, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["skipped"] == 3
    for name in ("cut.png", "text.png", "small.png"):
        assert name in ran.err
    assert "good.png" not in ran.err
    strict = run_here(*args, "--strict", "--force")
    assert strict.code == 1
    assert len(strict.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("PHOTOS", "--count", "5", "--stride", "2"),
        ("PHOTOS", "--size", "whole", "--count", "5"),
        ("PHOTOS", "--size", "0"),
        ("PHOTOS", "--size", "4x4x4"),
        ("PHOTOS", "--stride", "2", "--drop-flat", "0.5"),
        ("PHOTOS", "--like", "PATCHES", "--size", "8"),
        ("PHOTOS", "--like", "PATCHES", "--whiten", "zca"),
        ("PHOTOS", "--to", "0,1"),
        ("PHOTOS", "--images", "4"),
        ("PHOTOS", "-0"),
        ("dead-leaves", "--color", "rgb"),
    ],
)
def test_contradictions_are_wrong_usage(args, work, run_here, tmp_path):
    places = {"PHOTOS": str(work.photos), "PATCHES": str(work.patches)}
    ran = run_here("extract-patches", *(places.get(arg, arg) for arg in args), "-o", tmp_path / "p.h5")
    assert ran.code == 2
    assert len(ran.error_lines) == 1
    assert list(tmp_path.iterdir()) == []


def test_provenance_holds_command_seed_versions_and_inputs(work, run_here, tmp_path, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    args = ("extract-patches", work.photos, "--like", work.patches, "--count", 9, "--seed", 4, "-o", tmp_path / "p.h5")
    monkeypatch.setattr("sys.argv", ["featlearn", *map(str, args)])
    assert run_here(*args).code == 0
    story = read_dataset(str(tmp_path / "p.h5")).provenance
    assert story["argv"] == ["featlearn", *map(str, args)]
    assert story["seed"] == 4
    assert "time" not in story
    assert story["versions"]["numpy"] == np.__version__
    photos, like = story["inputs"]
    assert photos == {"name": str(work.photos)}
    assert like["digest"] == read_dataset(str(work.patches)).digest
    assert like["provenance"]["argv"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert run_here(*args, "--force").code == 0
    assert read_dataset(str(tmp_path / "p.h5")).provenance["time"] == "1970-01-02T00:00:00+00:00"


def test_provenance_is_bounded(monkeypatch):
    """Names beyond the twentieth are counted; what inputs say of their own inputs is left out where it grows long."""
    told = {"argv": 15_000 * "x"}
    monkeypatch.setattr(store, "_input", lambda path: {"name": path, "digest": "d", "provenance": told})
    short = store.provenance(["train"], inputs=["a", "b"])
    assert [one["provenance"] for one in short["inputs"]] == [told, told]
    long = store.provenance(["extract-patches", *map(str, range(100))], inputs=[f"{i}.png" for i in range(50)])
    assert len(json.dumps(long)) < 10_000
    assert long["argv"][-2:] == ["17", "... and 82 more"]
    assert long["inputs"][-2:] == [{"name": "19.png", "digest": "d"}, {"name": "... and 30 more"}]
