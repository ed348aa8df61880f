"""How images are read before anything is cut out of them: size, light, what is left out; and that data sets
and models remember it."""

import json

import numpy as np
import pytest
from PIL import Image

import featlearn
from featlearn.errors import ConfigError, DataError
from featlearn.files.color import LINEAR, to_levels, to_light
from featlearn.files.dataset import read_dataset
from featlearn.files.folders import Excluded, find_images
from featlearn.files.resize import shrink
from featlearn.files.scale import parse_scale
from featlearn.files.treatment import Treatment
from featlearn.jobs.store import load_model
from helpers import ok, refused

RNG = np.random.default_rng(0)


def areas(n, parts):
    """(parts, n) the share of each of n pixels in each of the equal parts of a line."""
    edges = np.arange(parts + 1) * n / parts
    low, high = np.maximum.outer(edges[:-1], np.arange(n)), np.minimum.outer(edges[1:], np.arange(1, n + 1))
    return np.maximum(high - low, 0) * parts / n


SHAPES = [((12, 8), (6, 4)), ((12, 8), (5, 3)), ((7, 9), (7, 4)), ((13, 1), (1, 1)), ((31, 17), (30, 16))]


@pytest.mark.parametrize("stripe", [10, 1 << 18])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("before", "after"), SHAPES)
def test_a_pixel_is_the_mean_of_the_area_that_it_covers(before, after, dtype, stripe, monkeypatch):
    monkeypatch.setattr("featlearn.files.resize.STRIPE", stripe)
    high = 1 if dtype == np.float32 else np.iinfo(dtype).max + 1
    image = (RNG.random((*before, 3)) * high).astype(dtype)
    rows, columns = areas(before[0], after[0]), areas(before[1], after[1])
    wanted = np.einsum("ij,jkc,lk->ilc", rows, image.astype(np.float64), columns)
    found = shrink(image, *after)
    assert (found.shape, found.dtype) == ((*after, 3), dtype)
    assert np.abs(found - wanted).max() < (1e-6 if dtype == np.float32 else 0.5 + 1e-9)


def test_means_of_whole_pixels_are_exact():
    image = RNG.integers(0, 65536, (64, 64, 1)).astype(np.uint16)
    sums = image.reshape(32, 2, 32, 2).sum(axis=(1, 3), dtype=np.int64)
    assert np.array_equal(shrink(image, 32, 32)[:, :, 0], (sums + 2) // 4)
    white = np.full((37, 41, 1), 65535, np.uint16)
    assert (shrink(white, 5, 7) == 65535).all()


def test_as_pillow_s_box_filter_where_sizes_divide():
    """Elsewhere it counts whole pixels by their centres, and rounds between the two directions."""
    image = RNG.integers(0, 256, (32, 45)).astype(np.uint8)
    pillow = np.asarray(Image.fromarray(image).resize((15, 8), Image.Resampling.BOX))
    assert np.abs(shrink(image[..., None], 8, 15)[:, :, 0].astype(int) - pillow).max() <= 1


@pytest.mark.parametrize(
    ("text", "of"),
    [("16x12", (12, 16)), ("0.5", (20, 30)), (".01", (1, 1)), (0.25, (10, 15)), ("1x1", (1, 1))],
)
def test_sizes_are_width_by_height_or_a_factor(text, of):
    assert parse_scale(text).of(40, 60) == of


@pytest.mark.parametrize("text", ["16", "1", "0", "-0.5", "2", "x", "0x4", "4x0", "99999x1", "nan", "1e999"])
def test_what_is_no_size(text, run_here, tmp_path):
    with pytest.raises(ConfigError, match=r"--resize: got .* must be WIDTHxHEIGHT, e.g. 16x16, or a factor"):
        parse_scale(text)


def test_light_is_that_of_srgb():
    """The published values of its curve: grey 188 is half of the light, 119 about 18 % (IEC 61966-2-1)."""
    levels = np.array([[[0] * 3, [10] * 3, [118] * 3, [188] * 3, [255] * 3]], np.uint8)
    light = to_light(levels, "gray")[0, :, 0] / 65535
    assert np.allclose(light, [0, 10 / 255 / 12.92, 0.1812, 0.5029, 1], atol=6e-5)
    primary = to_light(np.eye(3, dtype=np.uint8)[None] * np.uint8(255), "gray")[0, :, 0] / 65535
    assert np.allclose(primary, [0.2126, 0.7152, 0.0722], atol=2e-5)
    assert sum(LINEAR) == 65536
    deep = to_light(levels.astype(np.uint16) * 257, "rgb")
    assert np.array_equal(deep, to_light(levels, "rgb"))


def test_a_screen_gets_the_levels_back():
    levels = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    seen = to_levels(to_light(levels, "rgb") / 65535)
    assert np.array_equal(np.rint(seen * 255), levels)
    assert np.allclose(to_levels(np.array([-0.1, 1.1])), [0, 1], atol=1e-12)


def test_floats_have_no_gamma_to_undo():
    with pytest.raises(DataError, match=r"x\.tif: holds floats"):
        Treatment("gray", True).of(np.zeros((4, 4, 3), np.float32), lambda: "x.tif")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Colour photographs of 40x30 pixels, smooth enough to learn from."""
    folder = tmp_path_factory.mktemp("treated") / "photos"
    (folder / "more").mkdir(parents=True)
    for i in range(6):
        pixels = RNG.random((5, 5, 3)).repeat(8, axis=0).repeat(8, axis=1)[:30] * 255
        Image.fromarray(np.rint(pixels).astype(np.uint8)).save(folder / ("more" * (i > 3)) / f"{i}.png")
    return folder


def extract(run_here, *args):
    return json.loads(ok(run_here("extract-patches", *args, "--json")).out)


def pixels(path):
    data = read_dataset(str(path))
    return np.asarray(data.patches[:]).reshape(-1, *data.shape)


def test_patches_are_cut_out_of_shrunk_images(photos, run_here, tmp_path):
    args = (photos, "--resize", "16x12", "--size", "whole", "--color", "rgb", "-o", tmp_path / "p.h5")
    assert extract(run_here, *args)["shape"] == [12, 16, 3]
    names = sorted(photos.glob("*.png")) + sorted((photos / "more").iterdir())
    for row, name in zip(pixels(tmp_path / "p.h5"), names, strict=True):
        assert np.array_equal(row, shrink(np.asarray(Image.open(name)), 12, 16))
    cut = ("--resize", 0.5, "--size", 8, "--stride", 7)
    assert extract(run_here, photos, *cut, "-o", tmp_path / "q.h5")["shape"] == [8, 8, 1]
    origin = np.asarray(read_dataset(str(tmp_path / "q.h5")).origin)
    assert origin[:, 1:].max(axis=0).tolist() == [7, 7]  # of 15x20 pixels


def test_a_model_reads_other_images_as_its_own(photos, run_here, tmp_path):
    """Codes of images are those of a data set made like the model's, and so is a reconstruction."""
    how = ("--resize", "0.5", "--linear", "--size", 8)
    extract(run_here, photos, *how, "--count", 200, "--normalize", "center", "-o", tmp_path / "p.h5")
    assert read_dataset(str(tmp_path / "p.h5")).patches.dtype == np.uint16
    train = ("train", tmp_path / "p.h5", "--model", "pca", "--hidden", 3, "-o", tmp_path / "m.h5")
    ok(run_here(*train))
    learned = load_model(str(tmp_path / "m.h5"))
    assert (learned.preprocess.resize, learned.preprocess.linear) == ("0.5", True)
    for like in ("p.h5", "m.h5"):
        extract(run_here, photos, "--like", tmp_path / like, "--stride", 1, "-o", tmp_path / f"like-{like}")
        found = read_dataset(str(tmp_path / f"like-{like}"))
        assert (found.preprocess["resize"], found.preprocess["linear"]) == ("0.5", 1)
    ok(run_here("encode", tmp_path / "m.h5", tmp_path / "like-m.h5", "-o", tmp_path / "rows.npy"))
    ok(run_here("encode", tmp_path / "m.h5", photos, "--pool", "none", "-o", tmp_path / "maps.npy"))
    rows, maps = np.load(tmp_path / "rows.npy"), np.load(tmp_path / "maps.npy")
    assert rows.shape == (6 * 8 * 13, 3)
    assert np.array_equal(maps.reshape(-1, 3), rows)
    photo = photos / "0.png"
    ran = ok(run_here("reconstruct", tmp_path / "m.h5", photo, "-o", tmp_path / "r.png", "--json"))
    assert json.loads(ran.out)["shape"] == [15, 20, 1]
    for said in (("--resize", "0.25"), ("--resize", "8x8")):
        args = ("extract-patches", photos, "--like", tmp_path / "m.h5", *said, "-o", tmp_path / "no.h5")
        refused(run_here(*args), "was made with --resize 0.5; leave out --resize", code=2)


def test_a_model_of_light_draws_what_a_screen_shows(photos, run_here, tmp_path):
    """All components give the photograph back: its own levels, not those of the light."""
    how = ("--linear", "--color", "rgb", "--size", 4, "--count", 300, "--normalize", "center")
    extract(run_here, photos, *how, "-o", tmp_path / "p.h5")
    ok(run_here("train", tmp_path / "p.h5", "--model", "pca", "--hidden", 48, "-o", tmp_path / "m.h5"))
    again = ("reconstruct", tmp_path / "m.h5")
    ok(run_here(*again, photos / "0.png", "--alone", "-o", tmp_path / "photo.png"))
    wanted = np.asarray(Image.open(photos / "0.png")).astype(int)
    assert np.abs(np.asarray(Image.open(tmp_path / "photo.png")) - wanted).max() <= 2
    out = ("--count", 1, "--no-labels", "-o", tmp_path / "pair.png")
    ok(run_here(*again, tmp_path / "p.h5", *out))
    data = read_dataset(str(tmp_path / "p.h5"))
    _, y, x = np.asarray(data.origin[0])
    names = sorted(photos.glob("*.png")) + sorted((photos / "more").iterdir())
    photo = np.asarray(Image.open(names[int(data.origin[0][0])]))
    drawn = np.asarray(Image.open(tmp_path / "pair.png")).astype(int)
    assert drawn.shape == (524, 264, 3)  # 64 screen pixels to a pixel, frames of 4
    for top in (4, 264):
        tile = drawn[top + 32 : top + 256 : 64, 36:260:64]
        assert np.abs(tile - photo[y : y + 4, x : x + 4]).max() <= 2


def other(run_here, photos, tmp_path, name, *how):
    out = tmp_path / f"{name}.h5"
    extract(run_here, photos, *how, "--normalize", "center", "-o", out)
    return out


def test_data_read_in_another_way_are_refused(photos, run_here, tmp_path):
    """By every command that gives a model a data set."""
    cut = ("--size", 8, "--count", 200)
    plain = other(run_here, photos, tmp_path, "plain", *cut)
    light = other(run_here, photos, tmp_path, "light", *cut, "--linear")
    half = other(run_here, photos, tmp_path, "half", *cut, "--linear", "--resize", "0.5")
    for name, data in (("of-light", light), ("of-levels", plain)):
        ok(run_here("train", data, "--model", "pca", "--hidden", 3, "-o", tmp_path / f"{name}.h5"))
    model = tmp_path / "of-light.h5"
    out = ("-o", tmp_path / "no.png")
    words = "plain.h5: images were read as they are, but", "was trained on images read with --linear; extract"
    for command in (
        ("encode", model, plain, "-o", tmp_path / "no.h5"),
        ("evaluate", model, plain),
        ("reconstruct", model, plain, *out),
        ("visualize", model, "--what", "activations", "--data", plain, *out),
        ("train", plain, "--model", "pca", "--init-from", model, "-o", tmp_path / "no.h5"),
    ):
        refused(run_here(*command), *words, f"--like {model}")
    refused(run_here("evaluate", tmp_path / "of-levels.h5", light), "read with --linear, but", "as they are;")
    refused(run_here("evaluate", model, half), "half.h5", "with --linear and with --resize 0.5, but")
    learned = featlearn.load_model(model)
    with pytest.raises(DataError, match="read as they are"):
        learned.encode(featlearn.load_dataset(plain))
    learned.encode(featlearn.load_dataset(light))
    whole = other(run_here, photos, tmp_path, "whole", "--size", "whole")
    refused(run_here("encode", model, whole, "-o", tmp_path / "no.h5"), "whole.h5", "on patches of images")
    assert not [*tmp_path.glob("no.*")]


def test_what_is_as_the_model_s_whatever_was_done_is_taken(photos, run_here, tmp_path):
    """Whole images of the size to which others are shrunk; floats may be light, which a warning says."""
    small = other(run_here, photos, tmp_path, "small", "--resize", "20x15", "--size", "whole")
    np.save(tmp_path / "native.npy", RNG.random((30, 15, 20)))
    native = other(run_here, tmp_path / "native.npy", tmp_path, "native", "--size", "whole")
    for data in (small, native):
        ok(run_here("train", data, "--model", "pca", "--hidden", 2, "-o", tmp_path / "m.h5", "--force"))
        for given in (small, native):
            assert "images were read" not in ok(run_here("evaluate", tmp_path / "m.h5", given)).err
    light = other(run_here, photos, tmp_path, "light", "--linear", "--size", "whole")
    ok(run_here("train", light, "--model", "pca", "--hidden", 2, "-o", tmp_path / "m.h5", "--force"))
    np.save(tmp_path / "floats.npy", RNG.random((30, 30, 40)))
    floats = other(run_here, tmp_path / "floats.npy", tmp_path, "floats", "--size", "whole")
    ran = ok(run_here("evaluate", tmp_path / "m.h5", floats))
    assert "warning: " in ran.err
    assert "only if these floats are proportional to light" in ran.err


def test_what_has_no_size_or_no_gamma(photos, work, run_here, tmp_path):
    np.save(tmp_path / "rows.npy", RNG.random((20, 9)))
    np.save(tmp_path / "floats.npy", RNG.random((20, 9, 9)))
    out = ("-o", tmp_path / "p.h5")
    refused(
        run_here("extract-patches", tmp_path / "rows.npy", "--resize", 0.5, *out), "holds rows of numbers"
    )
    ran = run_here("extract-patches", photos, "--resize", "41x30", "--size", "whole", "-q", *out)
    refused(ran, "none of 6 images can be read", "has 40x30 pixels, --resize 41x30 would enlarge it")
    ran = run_here("extract-patches", tmp_path / "floats.npy", "--linear", "-q", *out)
    refused(ran, "floats.npy[0]: holds floats")
    refused(run_here("extract-patches", "dead-leaves", "--linear", *out), "no gamma to undo", code=2)
    refused(run_here("extract-patches", photos, "--resize", "2", *out), "images are shrunk", code=2)
    ran = run_here("extract-patches", photos, "--linear", "--like", work.patches, *out)
    refused(ran, "was made without it", code=2)
    assert not (tmp_path / "p.h5").exists()


def test_patterns_leave_files_and_folders_out(photos, run_here, tmp_path):
    def names(*patterns):
        excluded = Excluded(patterns)
        return [path[len(str(photos)) + 1 :] for path in find_images(str(photos), [".png"], excluded)[0]]

    assert names("[0-2].png") == ["3.png", "more/4.png", "more/5.png"]
    assert names("more") == names("more/*") == names("*/*.png") == ["0.png", "1.png", "2.png", "3.png"]
    assert names("more/4.*", "?.jpg", "[0-3]*") == ["more/5.png"]
    args = (photos, "--exclude", "more", "--exclude", "0*", "--size", "whole", "-o", tmp_path / "p.h5")
    assert extract(run_here, *args)["images"] == 3
    ran = run_here("extract-patches", photos, "--exclude", "*.jpg", "--size", 4, "-o", tmp_path / "q.h5")
    assert "warning: --exclude '*.jpg': leaves nothing out" in ok(ran).err
    ran = run_here("extract-patches", photos, "--exclude", "*", "-o", tmp_path / "r.h5")
    refused(ran, "no image in this folder", "5 left out by --exclude")
    one = sorted(photos.glob("*.png"))
    refused(
        run_here("extract-patches", *one, "--exclude", "*.png", "-o", tmp_path / "r.h5"), "all of 4 inputs"
    )
    assert (
        extract(run_here, *one, "--exclude", "0.*", "--size", 4, "--force", "-o", tmp_path / "q.h5")["images"]
        == 3
    )


READERS = {
    "evaluate": ("evaluate", "m.h5", "floats.h5"),
    "reconstruct": ("reconstruct", "m.h5", "floats.h5", "-o", "r.png"),
    "encode": ("encode", "m.h5", "floats.h5", "-o", "codes.h5"),
    "classify": ("classify", "net.h5", "floats.h5", "-o", "c.csv"),
    "filters": ("visualize", "m.h5", "--sort", "use", "--data", "floats.h5", "-o", "u.png"),
    "top-patches": ("visualize", "m.h5", "--what", "top-patches", "--data", "floats.h5", "-o", "t.png"),
    "activations": ("visualize", "m.h5", "--what", "activations", "--data", "floats.h5", "-o", "a.png"),
    "sample": ("sample", "m.h5", "--data", "floats.h5", "--steps", 1, "-o", "s.png"),
    "check-gradients": ("check-gradients", "m.h5", "floats.h5", "--tolerance", 1),
}


@pytest.fixture(scope="module")
def of_light(run_here, tmp_path_factory):
    """A folder with models that were learned from light, and a data set of floats that may be light."""
    folder = tmp_path_factory.mktemp("light")
    np.save(folder / "pixels.npy", RNG.integers(0, 256, (30, 6, 6), dtype=np.uint8))
    labels = np.array([0x801, 30], ">i4").tobytes() + (np.arange(30) % 3).astype(np.uint8).tobytes()
    (folder / "labels.idx").write_bytes(labels)
    cut = ("--size", "whole", "--labels", folder / "labels.idx")
    ok(run_here("extract-patches", folder / "pixels.npy", "--linear", *cut, "-o", folder / "light.h5"))
    np.save(folder / "floats.npy", RNG.random((30, 6, 6)))
    ok(run_here("extract-patches", folder / "floats.npy", *cut, "-o", folder / "floats.h5"))
    learn = ("train", folder / "light.h5", "--epochs", 1, "--hidden", 3, "--model")
    ok(run_here(*learn, "rbm", "-o", folder / "m.h5"))
    ok(run_here("finetune", folder / "m.h5", folder / "light.h5", "--epochs", 1, "-o", folder / "net.h5"))
    return folder


@pytest.mark.parametrize("name", READERS)
def test_every_command_that_reads_other_images_warns_unless_it_is_quiet(
    name, of_light, run_here, tmp_path, caplog
):
    words = READERS[name]
    folders = [tmp_path if i and words[i - 1] == "-o" else of_light for i in range(len(words))]
    words = [folder / word if "." in str(word) else word for folder, word in zip(folders, words, strict=True)]
    assert "warning: " in ok(run_here(*words)).err
    words = [*words, "--quiet", *(["--force"] if "-o" in words else [])]
    assert ok(run_here(*words)).err == ""
    assert not caplog.records
