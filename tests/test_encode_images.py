"""Codes of whole images against codes of their patches, cut out and pooled one by one."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

import featlearn
from featlearn import _core
from featlearn.files.dataset import read_dataset
from featlearn.files.model import write_model
from featlearn.jobs.store import load_model
from featlearn.patches import sliding
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.sliding import Slide, codes_of_images, stacks_of
from helpers import ok, refused

SIZE = (4, 5)


def pixels(n, height, width, channels, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def models(run_here, tmp_path_factory):
    """Folder of a grey and a colour model of patches of SIZE, contrast-normalized and whitened."""
    folder = tmp_path_factory.mktemp("models")
    for name, channels in (("gray", 1), ("rgb", 3)):
        np.save(folder / f"{name}.npy", pixels(20, 24, 26, channels))
        cut = (
            "--size",
            "4x5",
            "--count",
            1500,
            "--color",
            name,
            "--normalize",
            "contrast",
            "--whiten",
            "zca",
        )
        ok(run_here("extract-patches", folder / f"{name}.npy", *cut, "-o", folder / f"{name}-patches.h5"))
        train = ("--model", "k-means", "--hidden", 7, "--iterations", 3, "-o", folder / f"{name}.h5")
        ok(run_here("train", folder / f"{name}-patches.h5", *train))
    return folder


def patch_codes(learned, image, stride):
    """(rows, columns, units): the codes of all places, each patch cut out and encoded by itself."""
    h, w, _ = learned.shape
    rows = []
    for i in range(0, image.shape[0] - h + 1, stride):
        patches = [image[i : i + h, j : j + w] for j in range(0, image.shape[1] - w + 1, stride)]
        X = learned.preprocess.apply(np.stack(patches).reshape(len(patches), -1), learned.model.dtype)
        rows.append(learned.model.encode(X))
    return np.stack(rows)


def pooled(maps, grid, pooling):
    """(grid rows, grid columns, units) of maps, cell by cell."""
    function = {"sum": np.sum, "mean": np.mean, "max": np.max}[pooling]
    rows, columns = (np.arange(g + 1) * n // g for g, n in zip(grid, maps.shape, strict=False))
    return np.array(
        [
            [function(maps[a:b, c:d].astype(float), axis=(0, 1)) for c, d in pairwise(columns)]
            for a, b in pairwise(rows)
        ]
    )


def codes_of(learned, images, slide):
    stacks = stacks_of(images, slide)
    return [
        one
        for H in codes_of_images(stacks, slide, learned.model, learned.preprocess, learned.model.dtype, "x")
        for one in H
    ]


@pytest.mark.parametrize("color", ["gray", "rgb"])
@pytest.mark.parametrize(("stride", "grid"), [(1, (2, 2)), (2, (3, 1)), (3, (1, 2)), (1, (9, 4))])
@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
def test_they_are_the_pooled_codes_of_patches(models, color, stride, grid, pooling, monkeypatch):
    """Of images of several sizes and types, whose cells are made in pieces."""
    monkeypatch.setattr(sliding, "PIECE", 100)
    learned = load_model(str(models / f"{color}.h5"))
    channels = learned.shape[2]
    images = [*pixels(3, 33, 20, channels), *pixels(2, 28, 31, channels), *pixels(1, 50, 60, channels)]
    images.insert(0, images[0].astype(np.uint16) * 257)
    slide = Slide(learned.shape, stride, grid, pooling)
    found = codes_of(learned, images, slide)
    for image, codes in zip(images, found, strict=True):
        wanted = pooled(patch_codes(learned, image, stride), grid, pooling)
        np.testing.assert_allclose(codes, wanted, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("color", ["gray", "rgb"])
@pytest.mark.parametrize("stride", [1, 3])
def test_maps_are_the_codes_of_patches_to_the_byte(models, color, stride):
    learned = load_model(str(models / f"{color}.h5"))
    images = pixels(5, 17, 20, learned.shape[2])
    found = codes_of(learned, images, Slide(learned.shape, stride, None))
    for image, maps in zip(images, found, strict=True):
        assert maps.tobytes() == patch_codes(learned, image, stride).tobytes()


def test_bytes_do_not_depend_on_neighbours_or_threads(models, monkeypatch, threads):
    learned = load_model(str(models / "rgb.h5"))
    images = [*pixels(4, 30, 22, 3), *pixels(1, 80, 90, 3), *pixels(3, 30, 22, 3, seed=1)]
    slide = Slide(learned.shape)
    together = codes_of(learned, images, slide)
    monkeypatch.setattr(sliding, "PLACES", 300)
    for image, codes in zip(images, together, strict=True):
        (alone,) = codes_of(learned, [image], slide)
        assert alone.tobytes() == codes.tobytes()
    _core.set_threads(1)
    for codes, again in zip(together, codes_of(learned, images, slide), strict=True):
        assert codes.tobytes() == again.tobytes()


def test_cells_share_out_all_places():
    """Whatever the sizes, each place lies in one cell, and pieces are no larger than they may be."""
    for height in range(4, 14):
        for grid in [(1, 1), (2, 2), (3, 2)]:
            slide = Slide((4, 5, 1), 1, grid)
            if not slide.fits((height, 9, 1)):
                continue
            rows, columns = slide.places(height, 9)
            seen = np.zeros((rows, columns), int)
            for strip in slide.strips(height, 9):
                seen[strip.top : strip.bottom, strip.left : strip.right] += 1
            assert (seen == 1).all()
    wide = list(Slide((4, 5, 1), 1, (1, 1)).strips(203, 104))
    assert [strip.places for strip in wide] == [4000] * 5
    assert [strip.begins for strip in wide] == [True, False, False, False, False]


# --- the command


def idx(path, images, labels=None):
    """Write IDX files of images and, beside them, labels."""
    path.write_bytes(b"\0\0\x08\x03" + np.array(images.shape, ">u4").tobytes() + images.tobytes())
    if labels is not None:
        head = b"\0\0\x08\x01" + np.array([len(labels)], ">u4").tobytes()
        path.with_suffix(".labels").write_bytes(head + bytes(labels))


def test_images_with_labels(models, run_here, tmp_path):
    """In IDX, and as a data set of whole images: the same codes, which a classifier learns from."""
    images = pixels(40, 12, 13, 1)
    images[::2] //= 4
    idx(tmp_path / "x.idx", images[..., 0], [i % 2 for i in range(40)])
    labels = ("--labels", tmp_path / "x.labels")
    model, out = models / "gray.h5", tmp_path / "codes.h5"
    ran = ok(run_here("encode", model, tmp_path / "x.idx", *labels, "-o", out, "--json"))
    report = json.loads(ran.out)
    assert (report["codes"], report["units"], report["shape"], report["skipped"]) == (40, 28, [2, 2, 7], 0)
    assert "40 images of 12x13: 9x9 places in each, the sum of the codes over each of 2x2 cells" in ran.err
    codes = read_dataset(str(out), verify=True)
    learned = load_model(str(model))
    wanted = np.stack([pooled(patch_codes(learned, image, 1), (2, 2), "sum") for image in images])
    np.testing.assert_allclose(codes.patches[:], wanted.reshape(40, -1), rtol=2e-5, atol=1e-5)
    assert codes.labels.tolist() == [i % 2 for i in range(40)]
    assert codes.origin[:].tolist() == [[i, 0, 0] for i in range(40)]
    assert len(codes.images) == 40
    assert codes.provenance["sliding"] == {"stride": 1, "pool": [2, 2], "pooling": "sum", "normalize": "none"}

    ok(run_here("extract-patches", tmp_path / "x.idx", *labels, "-o", tmp_path / "whole.h5"))
    ok(run_here("encode", model, tmp_path / "whole.h5", "-o", tmp_path / "again.h5"))
    again = read_dataset(str(tmp_path / "again.h5"))
    assert np.asarray(again.patches[:]).tobytes() == np.asarray(codes.patches[:]).tobytes()
    assert again.labels.tolist() == codes.labels.tolist()

    model = featlearn.load_model(model)
    assert model.encode_images(images[..., 0]).tobytes() == np.asarray(codes.patches[:]).tobytes()
    assert model.encode_images(images, pool="none").shape == (40, 9, 9, 7)

    ok(run_here("train", out, "--model", "pca", "--hidden", 3, "-o", tmp_path / "two.h5"))
    args = ("evaluate", tmp_path / "two.h5", out, "--train", out, "--json")
    assert "raw_error" in json.loads(ok(run_here(*args)).out)["models"][0]
    for file in (out, tmp_path / "two.h5"):
        ok(run_here("visualize", file, "-o", tmp_path / "sheet.png", "--force"))


def test_folders_of_photographs_of_any_size(models, run_here, tmp_path):
    """Classes by folder; an image that is too small is skipped, and named."""
    images = {"cat/a.png": pixels(1, 12, 30, 3)[0], "dog/b.png": pixels(1, 20, 9, 3)[0]}
    images["dog/small.png"] = pixels(1, 5, 9, 3)[0]
    for name, image in images.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "photos" / name)
    how = ("--labels", "folders", "--pool", "3x2", "--pooling", "mean", "-o", tmp_path / "c.npz")
    ran = ok(run_here("encode", models / "rgb.h5", tmp_path / "photos", *how))
    assert "small.png: 5x9 pixels, wanted at least 6x6" in ran.err
    found = np.load(tmp_path / "c.npz")
    learned = load_model(str(models / "rgb.h5"))
    wanted = [
        pooled(patch_codes(learned, images[name], 1), (3, 2), "mean").ravel() for name in list(images)[:2]
    ]
    np.testing.assert_allclose(found["codes"], wanted, rtol=2e-5, atol=1e-5)
    assert found["labels"].tolist() == [0, 1]
    assert found["label_names"].tolist() == ["cat", "dog"]
    strict = run_here("encode", models / "rgb.h5", tmp_path / "photos", *how, "--force", "--strict")
    refused(strict, "small.png: 5x9 pixels, wanted at least 6x6")


def test_batches_of_cifar(models, run_here, tmp_path):
    """Colours and labels, from the binary format to a data set that is drawn and learned from."""
    images = pixels(6, 32, 32, 3)
    images[0] = (255, 0, 0)
    rows = np.hstack(
        [np.array([[3], [1], [4], [1], [5], [9]], np.uint8), images.transpose(0, 3, 1, 2).reshape(6, -1)]
    )
    (tmp_path / "data_batch_1.bin").write_bytes(rows.tobytes())
    (tmp_path / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    ok(
        run_here(
            "encode", models / "rgb.h5", tmp_path / "data_batch_1.bin", "--first", 5, "-o", tmp_path / "c.h5"
        )
    )
    codes = read_dataset(str(tmp_path / "c.h5"))
    assert codes.labels.tolist() == [3, 1, 4, 1, 5]
    assert codes.label_names == list("abcdefghij")
    learned = load_model(str(models / "rgb.h5"))
    wanted = [pooled(patch_codes(learned, image, 1), (2, 2), "sum").ravel() for image in images[:5]]
    np.testing.assert_allclose(codes.patches[:], wanted, rtol=2e-5, atol=1e-5)


def test_feature_maps(models, run_here, tmp_path):
    """A grey tile for each unit of each image; images of another size are skipped."""
    np.save(tmp_path / "x.npy", pixels(3, 11, 15, 1))
    np.save(tmp_path / "y.npy", pixels(1, 12, 15, 1))
    files = (tmp_path / "x.npy", tmp_path / "y.npy")
    ran = ok(run_here("encode", models / "gray.h5", *files, "--pool", "none", "-o", tmp_path / "m.h5"))
    assert "3 images of 11x15: 8x11 places in each, the codes of all" in ran.err
    assert "wanted of 11x15 as most images are" in ran.err
    data = read_dataset(str(tmp_path / "m.h5"))
    assert data.shape == (8, 11, 7)
    maps = np.asarray(data.patches[:2]).reshape(2, 8, 11, 7)
    sheet = ("-o", tmp_path / "m.png", "--count", 2, "--columns", 7, "--scale", 1)
    ok(run_here("visualize", tmp_path / "m.h5", *sheet))
    drawn = np.asarray(Image.open(tmp_path / "m.png"))
    assert drawn.shape == (2 * 9 + 1, 7 * 12 + 1)
    high = Preprocess.from_dict(data.preprocess).high
    for i in range(2):
        for unit in range(7):
            tile = drawn[1 + 9 * i : 9 + 9 * i, 1 + 12 * unit : 12 + 12 * unit]
            assert np.array_equal(tile, np.rint(maps[i, :, :, unit] / max(high, 1) * 255))


def test_standardized_codes(models, run_here, tmp_path):
    """They stay as they are in the file, and are standardized when they are read."""
    np.save(tmp_path / "x.npy", pixels(30, 11, 12, 1))
    run = ("encode", models / "gray.h5", tmp_path / "x.npy", "--force")
    ok(run_here(*run, "-o", tmp_path / "a.h5"))
    ok(run_here(*run, "-o", tmp_path / "b.h5", "--normalize", "standardize"))
    a, b = (read_dataset(str(tmp_path / name)) for name in ("a.h5", "b.h5"))
    assert np.array_equal(a.patches[:], b.patches[:])
    X = Preprocess.from_dict(b.preprocess).apply(b.patches[:])
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(X.std(axis=0), 1, rtol=1e-4)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("gray.h5",), 2, "no INPUT: give a data set, image files or folders"),
        (("gray.h5", "none.png"), 1, "none.png"),
        (
            ("gray.h5", "gray.npy", "--pool", "30x30"),
            1,
            "^featlearn: error: the images: are small, the highest of 24 and the widest of 26 pixels; "
            "wanted 33x34x1 or more, for 30x30 cells",
        ),
        (("gray.h5", "gray.npy", "--pool", "2y2"), 2, "'2y2' is not a size"),
        (("gray.h5", "gray.npy", "gray-patches.h5"), 2, "several INPUTs are images"),
        (("gray.h5", "gray.h5"), 1, "is a featlearn model, wanted a data set"),
        (
            ("gray.h5", "gray-patches.h5", "--pool", "2x2"),
            2,
            "--pool: does nothing without a larger image as INPUT",
        ),
        (("gray.h5", "gray-patches.h5", "--stride", "2"), 2, "--stride: does nothing without a larger image"),
        (("gray.h5", "gray-patches.h5", "--first", "2"), 2, "--first: does nothing with a data set as INPUT"),
        (("gray.h5", "rgb-patches.h5"), 1, "patches are 4x5x3, but .* was trained on 4x5x1"),
        (("codes-model.h5", "codes.h5"), 1, "was trained on 1x3x1"),
        (("codes-model.h5", "gray.npy"), 1, "has learned from rows"),
    ],
)
def test_wrong_use_is_refused_in_one_line(args, code, words, models, run_here, tmp_path):
    folder = models
    if not (folder / "codes.h5").exists():
        ok(run_here("encode", folder / "gray.h5", folder / "gray-patches.h5", "-o", folder / "codes.h5"))
        np.save(folder / "rows.npy", np.random.default_rng(0).random((50, 3), np.float32))
        ok(run_here("extract-patches", folder / "rows.npy", "-o", folder / "rows.h5"))
        ok(run_here("train", folder / "rows.h5", "--model", "pca", "-o", folder / "codes-model.h5"))
    files = [folder / word if "." in word else word for word in args]
    ran = run_here("encode", *files, "-o", tmp_path / "out.h5")
    assert ran.code == code, ran.err
    assert re.search(words, ran.err), ran.err
    assert len(ran.error_lines) == 1
    assert list(tmp_path.iterdir()) == []


def test_one_bad_value_is_named(models, run_here, tmp_path):
    X = np.random.default_rng(0).random((4, 12, 12, 1), np.float32)
    file = load_model(str(models / "gray.h5")).file
    file.params["b"] = np.full_like(file.params["b"], 3e38)
    write_model(str(tmp_path / "bad.h5"), file)
    np.save(tmp_path / "x.npy", X)
    ran = run_here("encode", tmp_path / "bad.h5", tmp_path / "x.npy", "-o", tmp_path / "c.h5")
    assert ran.code == 1
    assert [
        line for line in ran.error_lines if "its code of image 0 of" in line and "NaN or infinity" in line
    ]
    assert not (tmp_path / "c.h5").exists()
