"""extract-patches from the command line: what is asked for, what is decided, what is announced, what is
refused."""

import errno
import gzip
import json
import shlex
import struct
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image, ImageFile

from featlearn.files.dataset import read_dataset
from featlearn.files.model import read_model
from featlearn.jobs import store
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
    assert (report["patches"], report["shape"], report["dtype"]) == (40_000, [12, 12, 1], "uint8")
    assert (report["images"], report["skipped"], report["visible"]) == (4, 0, "gaussian")
    found = settings(tmp_path / "p.h5")
    assert (found["normalize"], found["whiten"], found["epsilon"]) == ("center", "zca", 0.1)


WHITENED = "patches cut out of images: centred and ZCA-whitened, so that models find edges; "
KEPT = "their pixels stay as they are, in 0..1; --whiten zca whitens them"
WHOLE = f"images taken whole: {KEPT}"
SMALL = f"small images of one size taken whole: {KEPT}, --count 40000 cuts patches out of them"
ROWS = "rows taken whole: their values stay as they are; --whiten zca whitens them"
CENTRED = "patches cut out of images: centred, but not whitened: "


@pytest.mark.parametrize(
    ("args", "normalize", "whiten", "reason"),
    [
        ("photos", "center", "zca", WHITENED),
        ("dead-leaves --images 2", "center", "zca", WHITENED),
        ("stack.npy", "center", "zca", WHITENED),
        ("photos --stride 6", "center", "zca", WHITENED),
        ("photos --epsilon 0.01", "center", "zca", WHITENED),
        ("photos --clip 3", "center", "zca", WHITENED),
        (
            "photos --clip 3 --to 0.1,0.9",
            "center",
            "none",
            "patches cut out of images: centred, for --to, and not",
        ),
        ("photos --clip 3 --to 0.1,0.9 --whiten zca", "center", "zca", None),
        ("digits.gz --size 4 --stride 1", "center", "zca", WHITENED),
        (
            "photos --count 359",
            "center",
            "none",
            CENTRED + "359 patches are too few for 36 pixels; take at least 360",
        ),
        (
            "photos --stride 7",
            "center",
            "none",
            CENTRED + "324 patches are too few for 36 pixels; take at least 360",
        ),
        ("photos --count 360", "center", "zca", WHITENED),
        ("photos --size whole", "none", "none", WHOLE),
        ("photos --size whole --clip 3 --to 0,1", "none", "none", WHOLE),
        ("digits.gz", "none", "none", SMALL),
        ("numbers.npy", "none", "none", ROWS),
        ("photos --normalize none", "none", "none", None),
        ("photos --normalize center", "center", "none", None),
        ("photos --normalize standardize", "standardize", "none", None),
        ("photos --normalize contrast --whiten pca", "contrast", "pca", None),
        ("photos --whiten pca", "center", "pca", None),
        ("photos --whiten none", "center", "none", None),
        ("photos --threshold 0.5", "none", "none", None),
        ("photos --threshold 0.5 --whiten zca", "center", "zca", None),
        ("photos --size whole --whiten none", "none", "none", None),
        ("digits.gz --whiten zca", "center", "zca", None),
        ("photos --count 40 --whiten zca", "center", "zca", None),
    ],
)
def test_what_is_not_said_of_the_preprocessing_is_decided(
    args, normalize, whiten, reason, work, digits, rng, run_here, tmp_path, monkeypatch
):
    """What was chosen and why is one line on stderr, is in the results and in the data set; the user's word
    wins."""
    monkeypatch.chdir(tmp_path)
    np.save("stack.npy", rng.normal(size=(3, 30, 30)))
    np.save("numbers.npy", rng.normal(size=(50, 5)))
    (tmp_path / "photos").symlink_to(work.photos)
    (tmp_path / "digits.gz").symlink_to(digits / "images.gz")
    cut = args.startswith(("photos", "dead", "stack")) and "whole" not in args
    random = cut and "--stride" not in args
    size = ["--size", "6"] if cut else []
    count = ["--count", "500"] if random and "--count" not in args else []
    ran = run_here("extract-patches", *args.split(), *size, *count, "-o", "p.h5", "--json")
    assert ran.code == 0, ran.err
    report, data = json.loads(ran.out), read_dataset("p.h5")
    said = [line for line in ran.err.splitlines() if line.startswith("patches cut") or "taken whole" in line]
    assert said == ([] if report["preprocess_reason"] is None else [report["preprocess_reason"]])
    assert str(report["preprocess_reason"]).startswith(str(reason))
    assert (report["normalize"], report["whiten"]) == (normalize, whiten)
    assert (data.preprocess["normalize"], data.preprocess["whiten"]) == (normalize, whiten)
    asked = dict(zip(args.split()[1::2], args.split()[2::2], strict=True))
    assert data.preprocess["epsilon"] == float(asked.get("--epsilon", 0.1))
    extraction = data.provenance["extraction"]
    assert extraction["preprocess_reason"] == report["preprocess_reason"]
    assert extraction["drop_flat"] == (0.2 if random and whiten != "none" else 0)
    shown = json.loads(run_here("info", "p.h5", "--json").out)
    assert shown["provenance"]["extraction"]["preprocess_reason"] == report["preprocess_reason"]


def test_patches_too_wide_to_whiten_are_centred(work, run_here, tmp_path, monkeypatch):
    monkeypatch.setattr("featlearn.patches.settings.WIDEST", 35)
    report = extract(run_here, work.photos, "--size", 6, "--count", 90, "-o", tmp_path / "p.h5")
    assert (report["normalize"], report["whiten"]) == ("center", "none")
    reason = CENTRED + "36 pixels are too many, at most 35 can be; take a smaller --size"
    assert report["preprocess_reason"] == reason


def test_a_test_set_is_drawn_and_whitened_as_its_training_set(work, run_here, tmp_path):
    """Without its flattest patches too; nothing is chosen anew."""
    extract(run_here, work.photos, "--size", 6, "--count", 400, "-o", tmp_path / "p.h5")
    report = extract(
        run_here, work.photos, "--count", 400, "--like", tmp_path / "p.h5", "-o", tmp_path / "q.h5"
    )
    assert (report["normalize"], report["whiten"], report["preprocess_reason"]) == ("center", "zca", None)
    p, q = (read_dataset(str(tmp_path / name)) for name in ("p.h5", "q.h5"))
    assert np.array_equal(p.patches[:], q.patches[:])
    assert q.provenance["extraction"]["drop_flat"] == 0.2


@pytest.mark.parametrize(
    "args", [("--normalize", "center"), ("--threshold", 0.5), ("--size", "whole"), ("--whiten", "none")]
)
def test_epsilon_without_whitening_is_wrong_usage(args, work, run_here, tmp_path):
    ran = run_here("extract-patches", work.photos, *args, "--epsilon", 0.2, "-o", tmp_path / "p.h5")
    assert ran.code == 2
    assert ran.error_lines == [
        "featlearn: error: --epsilon: does nothing without --whiten zca or pca; add that or leave it out"
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_announced_and_the_next_command_named(work, run_here, tmp_path):
    ran = run_here("extract-patches", work.photos, "-o", tmp_path / "p.h5", "--size", "8x12", "--count", 1000)
    data = read_dataset(str(tmp_path / "p.h5"))
    assert data.shape == (8, 12, 1)
    assert f"1,000 patches 8x12x1, {1000 * (96 + 24) / 1e3:.0f} kB" in ran.err
    assert ran.err.splitlines()[-1] == f"next: featlearn train {tmp_path / 'p.h5'} --model k-sparse"


def test_the_flattest_patches_are_left_out_of_what_is_whitened(work, run_here, tmp_path):
    """A fifth of those that are drawn."""
    patches = {}
    for name, more in {"kept": ("--count", 400), "all": ("--count", 500, "--normalize", "none")}.items():
        extract(run_here, work.photos, "--size", 6, *more, "-o", tmp_path / f"{name}.h5")
        patches[name] = read_dataset(str(tmp_path / f"{name}.h5")).patches[:]
    order = np.argsort(-patches["all"].var(axis=1), kind="stable")
    assert np.array_equal(patches["kept"], patches["all"][np.sort(order[:400])])


def test_settings_are_taken_as_given(work, run_here, tmp_path):
    args = ("--size", 4, "--count", 50, "--normalize", "contrast", "--clip", 3, "--to", "0.1,0.9")
    report = extract(run_here, work.photos, "-o", tmp_path / "p.h5", *args)
    assert (report["low"], report["high"], report["visible"]) == (0.1, 0.9, "bernoulli")
    assert settings(tmp_path / "p.h5")["normalize"] == "contrast"


def test_grid(work, run_here, tmp_path):
    report = extract(run_here, work.photos, "-o", tmp_path / "p.h5", "--size", 16, "--stride", 16)
    assert report["patches"] == 4 * 16


@pytest.mark.parametrize("kind", ["npy", "npz", "mat", "h5", "folder", "colour"])
def test_many_small_images_come_whole_from_any_container(kind, rng, run_here, tmp_path, monkeypatch):
    """One row an image, in its order, as pixels in 0..1; with their labels."""
    monkeypatch.chdir(tmp_path)
    images = rng.integers(0, 256, (100, 28, 20, 3 if kind == "colour" else 1), np.uint8)
    source = f"images.{kind}"
    labels: tuple[str, ...] = ()
    if kind == "folder":
        labels = ("--labels", "folders")
        for i, image in enumerate(images):
            Path(source, str(i // 30)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[:, :, 0]).save(f"{source}/{i // 30}/{i:03}.png")
    elif kind == "h5":
        with h5py.File(source, "w") as file:
            file["images"] = images[..., 0]
    elif kind == "mat":
        scipy.io.savemat(source, {"images": images[..., 0].transpose(1, 2, 0)})
    elif kind == "npz":
        np.savez_compressed(source, x_train=images[..., 0], y_train=np.arange(100))
    else:
        source = "images.npy"
        np.save(source, images if kind == "colour" else images[..., 0])
    color = ("--color", "rgb") if kind == "colour" else ()
    report = extract(run_here, source, *labels, *color, "-o", "p.h5")
    assert (report["normalize"], report["whiten"], report["visible"]) == ("none", "none", "bernoulli")
    assert report["preprocess_reason"] == SMALL
    data = read_dataset("p.h5")
    assert np.array_equal(data.patches[:], images.reshape(100, -1))
    assert (data.provenance["extraction"]["size"], data.provenance["extraction"]["count"]) == ("whole", None)
    if labels:
        assert np.array_equal(data.labels, np.arange(100) // 30)


def test_what_is_said_of_small_images_wins(rng, run_here, tmp_path, monkeypatch):
    """And where it is decided, the line says how to have it the other way."""
    monkeypatch.chdir(tmp_path)
    np.save("many.npy", rng.integers(0, 256, (100, 28, 28), np.uint8))
    np.save("large.npy", rng.integers(0, 256, (9, 65, 65), np.uint8))
    hint = "; --size whole takes each image whole"
    for args, shape, reason in (
        ("many.npy", [28, 28, 1], SMALL),
        ("many.npy --size whole", [28, 28, 1], WHOLE),
        ("many.npy --size 20", [20, 20, 1], WHITENED),
        ("many.npy --count 4000", [12, 12, 1], WHITENED),
        ("many.npy --stride 4", [12, 12, 1], WHITENED),
        ("many.npy --drop-flat 0.1", [12, 12, 1], WHITENED),
        ("many.npy --first 99", [12, 12, 1], WHITENED),
        ("large.npy", [12, 12, 1], WHITENED),
    ):
        report = extract(run_here, *args.split(), "-o", "p.h5", "--dry-run")
        assert (report["shape"], str(report["preprocess_reason"]).startswith(reason)) == (shape, True), args
        assert str(report["preprocess_reason"]).endswith(hint) == ("--first" in args)


def test_a_test_set_of_few_small_images_comes_whole_as_its_training_set(rng, run_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = rng.integers(0, 256, (107, 28, 28), np.uint8)
    np.save("learn.npy", images[:100])
    np.save("test.npy", images[100:])
    np.save("larger.npy", rng.integers(0, 256, (100, 32, 32), np.uint8))
    extract(run_here, "learn.npy", "-o", "learn.h5")
    extract(run_here, "test.npy", "--like", "learn.h5", "-o", "test.h5")
    assert np.array_equal(read_dataset("test.h5").patches[:], images[100:].reshape(7, -1))
    ran = run_here("extract-patches", "larger.npy", "--like", "learn.h5", "-o", "larger.h5")
    assert (ran.code, len(ran.error_lines)) == (1, 1)
    assert "has patches of 28x28x1, these images give 32x32x1; give --count or --stride" in ran.error_lines[0]


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
    assert ran.error_lines == [
        "featlearn: error: --first 31: there are only 30 images; take that many or fewer"
    ]
    assert not (tmp_path / "more.h5").exists()


def test_folders_name_labels(work, run_here, tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.new("L", (8, 8), 100 + len(list((tmp_path / "in").iterdir()))).save(
            tmp_path / "in" / name / "a.png"
        )
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
    assert report["bytes"] == 40_000 * (144 + 24)
    assert report["preprocess_reason"].startswith(WHITENED)
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


@pytest.fixture(scope="module")
def coloured(tmp_path_factory, run_here):
    """Colour images in folders of three classes, the data set of two of them, and a model of that."""
    folder, rng = tmp_path_factory.mktemp("coloured"), np.random.default_rng(0)
    for split, names in (("train", ("cat", "dog")), ("test", ("dog",)), ("more", ("ant", "dog"))):
        for name in names:
            (folder / split / name).mkdir(parents=True)
            for i in range(3):
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(
                    folder / split / name / f"{i}.png"
                )
    cut = ("--color", "rgb", "--labels", "folders", "--size", 4, "--stride", 4, "-o", folder / "data.h5")
    extract(run_here, folder / "train", *cut)
    ran = run_here(
        "train", folder / "data.h5", "--model", "pca", "--batch-size", 24, "-o", folder / "model.h5"
    )
    assert ran.code == 0, ran.err
    return folder


def test_like_of_patches_cut_out_of_digits_says_how_to_cut(run_here, tmp_path):
    """Digits come whole unless a cut is asked for; the size of --like alone asks for none."""
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(0, 256, (9, 64), np.uint8))
    (tmp_path / "x.idx").write_bytes(struct.pack(">4I", 2051, 9, 12, 12) + bytes(range(256)) * 5 + bytes(16))
    extract(run_here, tmp_path / "x.idx", "--size", 6, "--count", 50, "-o", tmp_path / "p.h5")
    args = ("extract-patches", tmp_path / "x.idx", "--like", tmp_path / "p.h5", "-o", tmp_path / "q.h5")
    ran = run_here(*args)
    assert ran.code == 1
    assert "patches of 6x6x1, these images give 12x12x1; give --count or --stride to cut patches" in ran.err
    assert run_here(*args, "--stride", 6).code == 0
    ran = run_here(
        "extract-patches", tmp_path / "rows.npy", "--like", tmp_path / "p.h5", "-o", tmp_path / "r.h5"
    )
    assert "take images of the same kind" in ran.err


@pytest.mark.parametrize("like", ["data.h5", "model.h5"])
def test_like_takes_the_color_mode(like, coloured, run_here, tmp_path):
    args = (coloured / "test", "--like", coloured / like, "--stride", 4)
    for more in ((), ("--color", "rgb")):
        report = extract(run_here, *args, *more, "-o", tmp_path / "t.h5", "--force")
        assert report["shape"] == [4, 4, 3]
    ran = run_here("extract-patches", *args, "--color", "gray", "-o", tmp_path / "no.h5")
    assert ran.code == 2
    assert ran.error_lines == [
        f"featlearn: error: --color gray: {coloured / like} was made of rgb images, patches 4x4x3; "
        "leave out --color"
    ]
    ran = run_here("extract-patches", "dead-leaves", "--like", coloured / like, "-o", tmp_path / "no.h5")
    assert ran.code == 2
    assert "wants colour, dead-leaves images are grey" in ran.error_lines[0]
    assert not (tmp_path / "no.h5").exists()


def test_like_of_grey_patches_refuses_colour(work, coloured, run_here, tmp_path):
    args = (coloured / "test", "--like", work.patches, "-o", tmp_path / "t.h5")
    ran = run_here("extract-patches", *args, "--color", "rgb")
    assert ran.code == 2
    assert "was made of gray images" in ran.error_lines[0]
    assert extract(run_here, *args)["shape"] == [8, 8, 1]


def test_like_numbers_classes_as_they_were(coloured, run_here, tmp_path):
    """Dogs are class 1 there, so they are here, though there are no cats."""
    args = ("--labels", "folders", "--like", coloured / "data.h5", "--stride", 4)
    extract(run_here, coloured / "test", *args, "-o", tmp_path / "t.h5")
    data = read_dataset(str(tmp_path / "t.h5"))
    assert data.label_names == ["cat", "dog"]
    assert set(data.labels.tolist()) == {1}
    ran = run_here("extract-patches", coloured / "more", *args, "-o", tmp_path / "no.h5")
    assert ran.code == 1
    assert len(ran.error_lines) == 1
    assert "label 'ant' is not among those of --like: 'cat' 'dog'; leave its images out" in ran.error_lines[0]


def test_same_command_same_bytes(work, run_here, tmp_path):
    """Also with another number of threads; --seed makes others."""
    found = []
    for i, more in enumerate([(), ("--threads", 1), ("--threads", 2), ("--seed", 1)]):
        path = tmp_path / f"{i}.h5"
        extract(run_here, work.photos, "--size", 5, "--count", 300, "--whiten", "zca", "-o", path, *more)
        data = read_dataset(str(path))
        found.append((data.patches[:].tobytes(), data.preprocess["whitening"].tobytes()))
    assert found[0] == found[1] == found[2]
    assert found[0] != found[3]


def test_files_from_find(work, tmp_path, start):
    names = sorted(str(path) for path in work.photos.iterdir())[:3]
    for separator, more in (("\n", ()), ("\0", ("-0",))):
        args = (
            "extract-patches",
            "--files-from",
            "-",
            *more,
            "--size",
            8,
            "--count",
            20,
            "-o",
            "p.h5",
            "--force",
        )
        process = start(
            *args, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
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


def test_links_are_followed_and_broken_ones_counted(work, run_here, tmp_path):
    """The patches are those of the files that the links lead to."""
    for name in ("links", "files"):
        (tmp_path / name).mkdir()
    for photo in sorted(work.photos.iterdir()):
        (tmp_path / "links" / photo.name).symlink_to(photo)
        (tmp_path / "files" / photo.name).write_bytes(photo.read_bytes())
    cut = ("--size", 8, "--count", 50)
    made = [
        extract(run_here, tmp_path / name, *cut, "-o", tmp_path / f"{name}.h5") for name in ("links", "files")
    ]
    assert [(report["images"], report["skipped"]) for report in made] == [(4, 0)] * 2
    patches = [read_dataset(str(tmp_path / f"{name}.h5")).patches[:].tobytes() for name in ("links", "files")]
    assert patches[0] == patches[1]
    (tmp_path / "links" / "gone.png").symlink_to("nothing")
    (tmp_path / "links" / "loop").symlink_to(".")
    args = ("extract-patches", tmp_path / "links", *cut, "-o", tmp_path / "more.h5")
    ran = run_here(*args, "--json")
    assert (json.loads(ran.out)["images"], json.loads(ran.out)["skipped"]) == (4, 2)
    assert "gone.png: broken symbolic link" in ran.err
    assert "loop: is a symbolic link to a folder that holds it, so it is not followed" in ran.err
    strict = run_here(*args, "--strict", "--force")
    assert strict.code == 1
    assert "gone.png: broken symbolic link; leave out --strict" in strict.error_lines[0]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
@pytest.mark.parametrize("readings", [2, 5])
def test_what_is_no_fault_of_an_image_ends_the_run(error, readings, work, run_here, tmp_path, monkeypatch):
    """While images are surveyed, or read again for their patches; --strict or not."""
    done = []

    def load(image):
        done.append(image)
        if len(done) > readings:
            raise error
        return original(image)

    original = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    monkeypatch.setattr("featlearn.patches.extract.CACHE", 0)
    ran = run_here("extract-patches", work.photos, "--size", 8, "--count", 50, "-o", tmp_path / "p.h5")
    assert ran.code == 1
    assert len(ran.error_lines) == 1
    assert "photo" in ran.error_lines[0]
    assert "skipped" not in ran.err
    assert list(tmp_path.iterdir()) == []


def test_larger_images_where_they_are_allowed(work, run_here, tmp_path):
    args = ("extract-patches", work.photos, "--size", 8, "--count", 50, "-o", tmp_path / "p.h5")
    ran = run_here(*args, "--max-pixels", 64 * 64 - 1)
    assert ran.code == 1
    assert (
        "has 4,096 pixels, more than 4,095; raise --max-pixels or scale the image down" in ran.error_lines[0]
    )
    assert run_here(*args, "--max-pixels", 64 * 64).code == 0


def test_damaged_exif_is_warned_of_once(run_here, tmp_path, monkeypatch):
    """Though each image is read twice."""
    monkeypatch.setattr("featlearn.patches.extract.CACHE", 0)
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "in").mkdir()
    Image.linear_gradient("L").save(tmp_path / "in" / "x.jpg", exif=exif)
    data = (tmp_path / "in" / "x.jpg").read_bytes()
    (tmp_path / "in" / "x.jpg").write_bytes(data.replace(b"MM\0*", b"MX\0*"))
    ran = run_here("extract-patches", tmp_path / "in", "--size", 8, "--count", 5, "-o", tmp_path / "p.h5")
    assert ran.code == 0
    assert ran.err.count("warning: ") == ran.err.count("do not say how it is turned") == 1


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
    args = (
        "extract-patches",
        work.photos,
        "--like",
        work.patches,
        "--count",
        9,
        "--seed",
        4,
        "-o",
        tmp_path / "p.h5",
    )
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


HINTS = {  # how the data are made: the model that suits them
    "": "k-sparse",
    "--normalize standardize": "k-sparse",
    "--normalize none": "rbm",
    "--whiten zca": "k-sparse",
    "--clip 3 --to 0.1,0.9": "sparse-autoencoder",
    "--normalize center --clip 3 --to=-0.9,0.9": "sesm",
}


@pytest.mark.parametrize(("how", "model"), HINTS.items(), ids=HINTS.keys())
def test_the_next_command_fits_the_data_and_runs(how, model, work, run_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cut = ("--size", 6, "--count", 400)
    ran = run_here("extract-patches", work.photos, *cut, *how.split(), "-o", "it's new.h5")
    hint = ran.err.splitlines()[-1].removeprefix("next: featlearn ")
    assert shlex.split(hint) == ["train", "it's new.h5", "--model", model]
    assert run_here(*shlex.split(hint), "--epochs", 1, "-o", "m.h5", "-q").code == 0


@pytest.mark.parametrize(("high", "more"), [(255, ["--data-scale", "255"]), (1, [])])
def test_after_floats_of_0_to_255_the_next_command_has_them_in_0_to_1(
    high, more, rng, run_here, tmp_path, monkeypatch
):
    """It makes the model that the same pixels as integers make."""
    monkeypatch.chdir(tmp_path)
    pixels = rng.integers(0, 256, (100, 5, 4), np.uint8)
    np.save("f.npy", pixels.astype(np.float32) * np.float32(high / 255))
    np.save("i.npy", pixels)
    hints = []
    for name in "fi":
        hints.append(
            shlex.split(run_here("extract-patches", f"{name}.npy", "-o", f"{name}.h5").err.splitlines()[-1])
        )
        assert run_here(*hints[-1][2:], "--epochs", 1, "-o", f"{name}-m.h5").code == 0
    assert hints[0] == ["next:", "featlearn", "train", "f.h5", "--model", "rbm", *more]
    for model in ("rbm", "k-sparse", "sesm"):  # one that is trained without it names it, and nothing else
        lines = run_here(
            "train", "f.h5", "--model", model, "--epochs", 1, "-o", "g-m.h5", "--force"
        ).err.splitlines()
        said = [line for line in lines if "--data-scale" in line]
        remedy = "if they are pixels, 0..255, take --data-scale 255, which makes them 0..1"
        assert [line.partition("; ")[2] for line in said] == ([remedy] if more else [])
    ours, wanted = (read_model(f"{name}-m.h5") for name in "fi")
    assert ours.config["visible"] == wanted.config["visible"] == "bernoulli"
    for name, values in wanted.params.items():
        np.testing.assert_allclose(ours.params[name], values, rtol=1e-3, atol=1e-5)


def test_after_like_the_next_command_measures(work, run_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run_here("extract-patches", work.photos, "--count", 40, "--like", work.model, "-o", "-t.h5")
    hints = ran.err.splitlines()[-2:]
    model = str(work.model)
    assert hints[0] == f"next: featlearn evaluate {model} ./-t.h5"
    assert hints[1] == f"or:   featlearn encode {model} ./-t.h5 -o codes.h5"
    for hint in hints:
        assert run_here(*shlex.split(hint)[2:], "--json").code == 0
    ran = run_here("extract-patches", work.photos, "--count", 40, "--like", work.patches, "-o", "d.h5")
    hints = ran.err.splitlines()[-2:]
    assert hints == [
        "next: featlearn evaluate MODEL d.h5",
        f"where MODEL is one that has learned from {work.patches}",
    ]
    assert run_here("evaluate", work.model, "d.h5").code == 0


GREYED = "colour images are read as grey; --color rgb keeps their colours"


@pytest.mark.parametrize("kind", ["image", "grey image of three channels", "npy", "cifar"])
@pytest.mark.parametrize("more", ["", "--color gray", "--color rgb", "--first 1"])
def test_colours_that_are_lost_are_said_once(kind, more, run_here, tmp_path, rng):
    """But not where grey was asked for, or nothing is lost."""
    images = rng.integers(0, 256, (4, 32, 32, 3), np.uint8)
    if "grey" in kind:
        images[..., 1:] = images[..., :1]
    path = tmp_path / {"npy": "x.npy", "cifar": "x.bin"}.get(kind, "images")
    if kind == "npy":
        np.save(path, images)
    elif kind == "cifar":
        rows = images.transpose(0, 3, 1, 2).reshape(4, -1)
        path.write_bytes(np.hstack([np.zeros((4, 1), np.uint8), rows]).tobytes())
    else:
        path.mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(path / f"{i}.png")
    ran = run_here(
        "extract-patches", path, "--size", 8, "--count", 20, *more.split(), "-o", tmp_path / "p.h5"
    )
    assert ran.code == 0, ran.err
    lost = "grey" not in kind and "--color" not in more
    assert ran.err.splitlines().count(GREYED) == lost
    if not more:
        assert (
            GREYED
            not in run_here("extract-patches", path, "--like", tmp_path / "p.h5", "-o", tmp_path / "q.h5").err
        )


def test_arrays_that_are_joined_are_named(run_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.zeros((4, 6, 6), np.uint8)
    images[:, ::2] = 255
    np.savez("x.npz", x_train=images, x_test=images[:1], y_train=np.arange(4))
    joined = "2 arrays are read as one set: x.npz:x_test, x.npz:x_train; give one to read it alone"
    assert (
        joined
        in run_here("extract-patches", "x.npz", "--size", "whole", "-o", "o.h5", "--dry-run").err.splitlines()
    )
    for alone in (("x.npz:x_test",), ("x.npz:x_test", "x.npz:x_train"), ("x.npz:x_train", "--first", 2)):
        ran = run_here("extract-patches", *alone, "--size", "whole", "-o", "o.h5", "--dry-run")
        assert (ran.code, "arrays are read" in ran.err) == (0, False)


def test_provenance_is_bounded(monkeypatch):
    """Names beyond the twentieth are counted; what inputs say of their own inputs is left out where it grows
    long."""
    told = {"argv": 15_000 * "x"}
    monkeypatch.setattr(store, "_input", lambda path: {"name": path, "digest": "d", "provenance": told})
    short = store.provenance({}, inputs=["a", "b"])
    assert [one["provenance"] for one in short["inputs"]] == [told, told]
    called = {"argv": ["featlearn", "train", *map(str, range(100))]}
    long = store.provenance(called, inputs=[f"{i}.png" for i in range(50)])
    assert len(json.dumps(long)) < 10_000
    assert long["argv"][-2:] == ["17", "... and 82 more"]
    assert long["inputs"][-2:] == [{"name": "19.png", "digest": "d"}, {"name": "... and 30 more"}]
