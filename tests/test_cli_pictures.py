"""visualize and reconstruct from the command line: what the pictures show, and what is said of them."""

import io
import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from featlearn.analysis.fantasies import fantasies, noise
from featlearn.analysis.metrics import psnr
from featlearn.files.images import read_image
from featlearn.jobs.store import load_model, load_rows
from featlearn.jobs.visualize import mean_activation
from featlearn.models import model_class
from featlearn.pictures.mosaic import mosaic, order_filters
from helpers import SINGLE, label, pair


def ok(ran):
    assert ran.code == 0, ran.err
    return ran


def pixels(path, format="PNG"):
    with Image.open(path) as image:
        assert image.format == format
        return np.asarray(image)


def filters(work):
    learned = load_model(str(work.model))
    return learned.preprocess.to_pixels(learned.model.filters()).reshape(-1, *learned.shape)


def test_filters_of_a_model_go_beside_it(work, run_here, tmp_path):
    shutil.copy(work.model, tmp_path / "mine.h5")
    ran = ok(run_here("visualize", tmp_path / "mine.h5"))
    assert "mine.png" in ran.out
    assert np.array_equal(pixels(tmp_path / "mine.png"), mosaic(filters(work)))


def test_the_picture_says_what_it_is(work, run_here, tmp_path):
    ok(run_here("visualize", work.model, "-o", tmp_path / "f.png", "--contrast", "common", "--sort", "norm"))
    with Image.open(tmp_path / "f.png") as image:
        assert image.text["Software"].startswith("featlearn ")
        assert image.text["Content"] == load_model(str(work.model)).file.content_hash
        assert "one scale" in image.text["Description"]
        assert "norm" in image.text["Description"]


@pytest.mark.parametrize("contrast", ["filter", "common"])
@pytest.mark.parametrize("order", ["trained", "norm", "use"])
def test_order_contrast_columns_and_scale(order, contrast, work, run_here, tmp_path):
    args = ("--sort", order, "--contrast", contrast, "--columns", 5, "--scale", 2, "--count", 7)
    data = ("--data", work.patches) if order == "use" else ()
    ok(run_here("visualize", work.model, "-o", tmp_path / "f.png", *args, *data))
    learned, F = load_model(str(work.model)), filters(work)
    use = learned.model.encode(load_rows(str(work.patches), like=learned)[0].block(0, 600)).mean(axis=0)
    wanted = mosaic(F[order_filters(F, order, use)][:7], columns=5, scale=2, contrast=contrast)
    assert np.array_equal(pixels(tmp_path / "f.png"), wanted)


def test_mean_activation_does_not_depend_on_blocks(work, monkeypatch):
    learned = load_model(str(work.model))
    whole = mean_activation(learned, str(work.patches))
    monkeypatch.setattr("featlearn.rows.BLOCK", 77)
    np.testing.assert_allclose(mean_activation(learned, str(work.patches)), whole, rtol=1e-12)


def test_patches_of_a_data_set(work, run_here, tmp_path):
    ran = ok(run_here("visualize", work.patches, "-o", tmp_path / "p.png", "--count", 9, "--json"))
    assert json.loads(ran.out) == {
        "output": str(tmp_path / "p.png"),
        "what": "patches",
        "patches": 9,
        "shape": [8, 8, 1],
    }
    assert pixels(tmp_path / "p.png").std() > 0


SHEETS = {".png": "PNG", ".PNG": "PNG", ".tif": "TIFF", ".Tiff": "TIFF"}
FIGURES = SHEETS | {".pdf": "PDF", ".svg": "SVG"}
MAGIC = {"PNG": b"\x89PNG", "TIFF": b"II*\0", "PDF": b"%PDF", "SVG": b"<?xml"}
DRAWN = {  # every command that draws: the option that names the picture, and the formats that it can have
    "filters": (("visualize", "MODEL", "-o"), SHEETS),
    "patches": (("visualize", "PATCHES", "-o"), SHEETS),
    "curve": (("visualize", "MODEL", "--what", "curve", "-o"), FIGURES),
    "pairs": (("reconstruct", "MODEL", "PATCHES", "-o"), SHEETS),
    "photo": (("reconstruct", "MODEL", "PHOTO", "--stride", 8, "-o"), SHEETS),
    "samples": (("sample", "MODEL", "--count", 4, "--steps", 2, "-o"), SHEETS),
    "comparison": (("evaluate", "MODEL", "PATCHES", "--plot"), FIGURES),
}
drawn = pytest.mark.parametrize(("call", "formats"), DRAWN.values(), ids=DRAWN.keys())


def named(call, work):
    places = {"MODEL": work.model, "PATCHES": work.patches, "PHOTO": work.photos / "photo0.png"}
    return [places.get(word, word) for word in call]


@drawn
def test_the_suffix_decides_the_format(call, formats, work, run_here, tmp_path):
    for suffix, format in formats.items():
        path = tmp_path / f"picture{suffix}"
        ok(run_here(*named(call, work), path))
        assert path.read_bytes().startswith(MAGIC[format])
    for suffix in (".png", ".tif"):
        with Image.open(tmp_path / f"picture{suffix}") as image:
            assert np.asarray(image).std() > 5
    for one in {"PDF", "SVG"} & set(formats.values()):
        assert (tmp_path / f"picture.{one.lower()}").stat().st_size > 5000


@drawn
def test_a_suffix_of_no_format_is_refused_before_any_work(
    call, formats, work, run_here, tmp_path, monkeypatch
):
    def started(*args):
        raise AssertionError("a model was read")

    for module in ("visualize", "sample", "reconstruct", "evaluate"):
        monkeypatch.setattr(f"featlearn.jobs.{module}.load_model", started)
    for name in ("x.jpg", "x.eps", "x", "x.h5", ".png", *({"x.pdf", "x.svg"} if formats is SHEETS else ())):
        ran = run_here(*named(call, work), tmp_path / name)
        assert (ran.code, len(ran.error_lines)) == (2, 1)
        for suffix in formats:
            assert suffix.lower() in ran.error_lines[0]
    assert list(tmp_path.iterdir()) == []


def grey_digits(folder):
    """A data set of dark images of 2x4 pixels, one of them bright."""
    rows = np.full((5, 2, 4), 51, np.uint8)
    rows[:, 0, 0] = 255
    rows[1, 1, 2] = 0
    np.save(folder / "digits.npy", rows)
    return rows


@pytest.mark.parametrize("more", [(), ("--clip", 5), ("--threshold", 0.5)])
def test_pixels_are_drawn_as_pixels(more, run_here, tmp_path):
    rows = grey_digits(tmp_path)
    data = tmp_path / "d.h5"
    ok(
        run_here(
            "extract-patches",
            tmp_path / "digits.npy",
            "-o",
            data,
            "--size",
            "whole",
            "--normalize",
            "none",
            *more,
        )
    )
    ok(run_here("visualize", data, "-o", tmp_path / "d.png", "--columns", 5, "--scale", 1))
    sheet = pixels(tmp_path / "d.png")
    wanted = np.where(rows > 128, 255, 0) if "--threshold" in more else rows
    for i in range(5):
        assert np.array_equal(sheet[1:3, 1 + 5 * i : 5 + 5 * i], wanted[i])
    ran = run_here("visualize", data, "-o", tmp_path / "e.png", "--contrast", "common")
    assert (ran.code, len(ran.error_lines)) == (2, 1)


def test_colours_are_drawn_as_they_were(run_here, tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    whole = ("--size", "whole", "--normalize", "none", "--color", "rgb")
    ok(run_here("extract-patches", tmp_path / "photo.png", *whole, "-o", tmp_path / "d.h5"))
    ok(run_here("visualize", tmp_path / "d.h5", "-o", tmp_path / "d.tif", "--scale", 1))
    assert np.array_equal(pixels(tmp_path / "d.tif", "TIFF")[1:7, 1:7], photo)


def test_values_mapped_above_zero_have_their_middle_in_mid_grey(work, run_here, tmp_path):
    """Patches without their mean, mapped to .1..0.9: an unusual range, but no value has a sign."""
    mapped = ("--size", 8, "--count", 50, "--normalize", "center", "--clip", 3, "--to", "0.1,0.9")
    ok(run_here("extract-patches", work.photos, *mapped, "-o", tmp_path / "d.h5"))
    ok(run_here("visualize", tmp_path / "d.h5", "-o", tmp_path / "d.png", "--scale", 1, "--count", 1))
    X = load_rows(str(tmp_path / "d.h5"))[0].block(0, 1).reshape(8, 8)
    assert np.array_equal(pixels(tmp_path / "d.png")[1:9, 1:9], np.rint(X * 255))


def test_images_beyond_one_are_white_at_their_brightest(run_here, tmp_path):
    """Floats of other programs, in 0..255; and reconstructions of them."""
    rows = grey_digits(tmp_path).astype(np.float32)
    np.save(tmp_path / "floats.npy", rows)
    data, model = tmp_path / "d.h5", tmp_path / "m.h5"
    ok(
        run_here(
            "extract-patches", tmp_path / "floats.npy", "-o", data, "--size", "whole", "--normalize", "none"
        )
    )
    ok(run_here("visualize", data, "-o", tmp_path / "d.png", "--columns", 5, "--scale", 1))
    assert np.array_equal(pixels(tmp_path / "d.png")[1:3, 1:5], rows[0])
    ok(run_here("train", data, "--model", "pca", "--hidden", 2, "--batch-size", 5, "-o", model))
    ok(run_here("reconstruct", model, data, "-o", tmp_path / "r.png"))
    sheet = pixels(tmp_path / "r.png")
    scale = sheet.shape[0] // 13
    inputs = sheet[scale // 2 :: scale, scale // 2 :: scale]
    assert np.array_equal(inputs[1:3, 1:5], rows[0])
    assert np.abs(inputs[4:6, 1:5] - rows[0]).max() < 9, "it is no reconstruction"


def test_samples_are_drawn_with_the_tones_of_their_data(work, run_here, tmp_path):
    """A model that has learned values in .1..0.9 draws its samples within them."""
    mapped = ("--size", 8, "--count", 300, "--normalize", "center", "--clip", 3, "--to", "0.1,0.9")
    ok(run_here("extract-patches", work.photos, *mapped, "-o", tmp_path / "d.h5"))
    ok(run_here("train", tmp_path / "d.h5", "--model", "rbm", "--epochs", 1, "-o", tmp_path / "m.h5"))
    ok(run_here("sample", tmp_path / "m.h5", "-o", tmp_path / "s.png", "--count", 9, "--steps", 1))
    learned = load_model(str(tmp_path / "m.h5"))
    V = noise(9, 64, learned.model.dtype, 0, learned.model.bernoulli)
    X = fantasies(learned.model, V, 1, 1, 0)[0].reshape(9, 8, 8)
    sheet = pixels(tmp_path / "s.png")
    scale = sheet.shape[1] // 28
    shown = sheet[scale // 2 :: scale, scale // 2 :: scale]
    assert np.array_equal(shown[1:9, 1:9], np.rint(X[0] * 255))


def test_learning_curve(work, run_here, tmp_path):
    ran = ok(run_here("visualize", work.model, "--what", "curve", "-o", tmp_path / "c.png", "--json"))
    assert json.loads(ran.out)["epochs"] == 2
    assert pixels(tmp_path / "c.png").size > 10_000


def test_a_picture_goes_to_stdout(work, tmp_path, start):
    process = start(
        "visualize", work.model, "-o", "-", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, _ = process.communicate()
    assert process.returncode == 0
    assert np.array_equal(pixels(io.BytesIO(out)), mosaic(filters(work)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("MODEL", "--sort", "use"), 2),
        (("MODEL", "-o", "-", "--json"), 2),
        (("MODEL", "--what", "patches"), 1),
        (("PATCHES", "--what", "filters"), 1),
        (("PATCHES", "--what", "curve"), 1),
    ],
)
def test_what_makes_no_sense_is_refused(args, code, work, run_here, tmp_path):
    ran = run_here("visualize", *named(args, work), *([] if "-o" in args else ["-o", tmp_path / "x.png"]))
    assert ran.code == code
    assert len(ran.error_lines) == 1
    assert list(tmp_path.iterdir()) == []


IDLE = [  # the option that does nothing stands last
    ("visualize", "MODEL", "--what", "curve", "--columns", 3),
    ("visualize", "MODEL", "--what", "curve", "--scale", 3),
    ("visualize", "MODEL", "--what", "curve", "--count", 3),
    ("visualize", "MODEL", "--what", "curve", "--contrast", "common"),
    ("visualize", "MODEL", "--what", "curve", "--sort", "norm"),
    ("visualize", "MODEL", "--what", "curve", "--through", "MODEL"),
    ("visualize", "PATCHES", "--sort", "norm"),
    ("visualize", "PATCHES", "--through", "MODEL"),
    ("visualize", "MODEL", "--data", "PATCHES"),
    ("visualize", "MODEL", "--sort", "norm", "--data", "PATCHES"),
    ("reconstruct", "MODEL", "PATCHES", "--stride", 2),
    ("reconstruct", "MODEL", "PHOTO", "--count", 2),
    ("evaluate", "MODEL", "PATCHES", "--force"),
    ("evaluate", "MODEL", "PATCHES", "--per-class", 5),
    ("evaluate", "MODEL", "PATCHES", "--draws", 5),
    ("evaluate", "MODEL", "PATCHES", "--classifier-decay", 0.1),
    ("evaluate", "MODEL", "PATCHES", "--classifier-iterations", 5),
    ("evaluate", "MODEL", "PATCHES", "--burn-in", 5),
    ("info", "--verify"),
    ("extract-patches", "PHOTO", "--normalize", "center", "--epsilon", 0.2),
    ("extract-patches", "PHOTO", "-0"),
]


@pytest.mark.parametrize("call", IDLE, ids=lambda call: " ".join(map(str, call)))
def test_an_option_that_does_nothing_is_refused(call, work, run_here, tmp_path):
    out = () if call[0] in ("evaluate", "info") else ("-o", tmp_path / "x.png")
    ran = run_here(*named(call, work), *out)
    assert (ran.code, len(ran.error_lines)) == (2, 1)
    idle = next(str(word) for word in reversed(call) if str(word).startswith("-"))
    assert f"{ {'-0': '--null'}.get(idle, idle) }: does nothing without" in ran.error_lines[0]
    assert list(tmp_path.iterdir()) == []


def test_reconstruct_a_data_set(work, run_here, tmp_path):
    args = ("reconstruct", work.model, work.patches, "-o", tmp_path / "r.png", "--count", 6, "--json")
    report = json.loads(ok(run_here(*args)).out)
    learned = load_model(str(work.model))
    X = load_rows(str(work.patches), like=learned)[0].block(0, 600).astype(np.float64)
    Y = learned.model.reconstruct(X.astype(np.float32)).astype(np.float64)
    assert report["rmse"] == pytest.approx(np.sqrt(np.mean((X - Y) ** 2)), rel=1e-6)
    assert report["patches"] == 600
    assert pixels(tmp_path / "r.png").std() > 0


@pytest.mark.parametrize("stride", [1, 5])
def test_reconstruct_a_photograph(stride, work, run_here, tmp_path):
    photo = work.photos / "photo0.png"
    args = ("reconstruct", work.model, photo, "-o", tmp_path / "r.png", "--stride", stride, "--json")
    report = json.loads(ok(run_here(*args)).out)
    before, after = read_image(str(photo), "gray")[:, :, 0] / 255, pixels(tmp_path / "r.png") / 255
    assert after.shape == before.shape
    assert report["psnr"] == pytest.approx(psnr(before, after), abs=0.1)
    assert report["psnr"] > psnr(before, np.full_like(before, before.mean()))


@pytest.mark.parametrize("threshold", [(), ("--threshold", 0.4)])
def test_reconstruct_a_float_image(threshold, work, run_here, tmp_path):
    """Floats from 0 to 1 give the picture that integers of the same greys give."""
    cut = ("--size", 6, "--count", 300, *threshold, "--normalize", "none", "-o", tmp_path / "p.h5")
    ok(run_here("extract-patches", work.photos, *cut))
    ok(run_here("train", tmp_path / "p.h5", "--model", "rbm", "--epochs", 1, "-o", tmp_path / "m.h5"))
    grey = read_image(str(work.photos / "photo0.png"))[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray((grey / 255).astype(np.float32)).save(tmp_path / "f.tif")
    reports = [
        json.loads(
            ok(
                run_here(
                    "reconstruct",
                    tmp_path / "m.h5",
                    tmp_path / name,
                    "-o",
                    tmp_path / f"{name}.png",
                    "--json",
                )
            ).out
        )
        for name in ("8.png", "f.tif")
    ]
    assert reports[0]["psnr"] == pytest.approx(reports[1]["psnr"], rel=1e-4)
    assert "levels" not in reports[1]
    np.testing.assert_allclose(
        *(pixels(tmp_path / name).astype(int) for name in ("8.png.png", "f.tif.png")), atol=1
    )


def test_reconstruct_a_float_image_of_its_own_range(run_here, tmp_path):
    """Values from -50 to 150 are black to white, and so the PSNR is counted; all components give the image
    back."""
    values = np.random.default_rng(0).uniform(-50, 150, (12, 12)).astype(np.float32)
    values[0, :2] = -50, 150
    Image.fromarray(values).save(tmp_path / "x.tif")
    cut = ("--size", 2, "--stride", 1, "--normalize", "none", "-o", tmp_path / "p.h5")
    ok(run_here("extract-patches", tmp_path / "x.tif", *cut))
    ok(run_here("train", tmp_path / "p.h5", "--model", "pca", "--hidden", 4, "-o", tmp_path / "m.h5"))
    args = ("reconstruct", tmp_path / "m.h5", tmp_path / "x.tif", "-o", tmp_path / "r.png", "--json")
    report = json.loads(ok(run_here(*args)).out)
    assert report["levels"] == [-50, 150]
    assert report["psnr"] > 90
    np.testing.assert_allclose(pixels(tmp_path / "r.png"), (values + 50) / 200 * 255, atol=0.6)


def test_reconstruct_refuses_more_pixels_than_allowed(work, run_here, tmp_path):
    args = ("reconstruct", work.model, work.photos / "photo0.png", "-o", tmp_path / "r.png", "--max-pixels")
    ran = run_here(*args, 4095)
    assert ran.code == 1
    assert "has 4,096 pixels, more than 4,095; raise --max-pixels" in ran.error_lines[0]
    assert run_here(*args, 4096).code == 0


def test_a_photograph_is_compared_as_its_model_sees_it(work, run_here, tmp_path):
    """Black and white, where the model was trained on thresholded pixels."""
    cut = ("--size", 6, "--count", 300, "--threshold", 0.4, "--normalize", "none", "-o", tmp_path / "p.h5")
    ok(run_here("extract-patches", work.photos, *cut))
    ok(run_here("train", tmp_path / "p.h5", "--model", "rbm", "--epochs", 2, "-o", tmp_path / "m.h5"))
    photo = work.photos / "photo0.png"
    args = ("reconstruct", tmp_path / "m.h5", photo, "-o", tmp_path / "r.png", "--json")
    report = json.loads(ok(run_here(*args)).out)
    seen = read_image(str(photo), "gray")[:, :, 0] > 0.4 * 255
    assert report["psnr"] == pytest.approx(psnr(seen, pixels(tmp_path / "r.png") / 255), abs=0.1)


def test_same_command_same_picture(work, run_here, tmp_path):
    for call in (("visualize", work.model), ("visualize", work.model, "--what", "curve")):
        made = []
        for name in ("a.png", "b.png"):
            ok(run_here(*call, "-o", tmp_path / name, "--force"))
            made.append((tmp_path / name).read_bytes())
        assert made[0] == made[1]


@pytest.fixture(scope="module", params=SINGLE)
def learned(request, work, run_here, tmp_path_factory):
    """A model file of each kind, and the data set that it has learned from."""
    folder = tmp_path_factory.mktemp(request.param)
    data, model = folder / "data.h5", folder / "model.h5"
    cls = model_class(request.param)
    raw = cls.labelled or cls.of_pairs
    usual = [("normalize", "none")] if raw else cls.defaults.patches.items()
    cut = [word for key, value in usual for word in (f"--{key.replace('_', '-')}", _typed(value))]
    ok(run_here("extract-patches", work.photos, "--count", 200, *cut, "-o", data))
    if cls.labelled:
        label(data, folder / "labelled.h5")
        data = folder / "labelled.h5"
    if cls.of_pairs:
        pair(data, folder / "paired.h5")
        data = folder / "paired.h5"
    once = () if not cls.descends() else ("--epochs", 1)
    ok(run_here("train", data, "--model", cls.id, *once, "-o", model))
    return model, data


def _typed(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


@pytest.mark.parametrize("what", ["filters", "curve", "patches"])
@pytest.mark.parametrize("order", [None, "trained", "norm", "use"])
def test_every_model_can_be_drawn_or_says_why_not(what, order, learned, run_here, tmp_path):
    """Of every kind of model everything that there is to draw, in every order."""
    model, data = learned
    args = ("--what", what) + ("--sort", order) * bool(order) + ("--data", data) * (order == "use")
    ran = run_here("visualize", model, *args, "-o", tmp_path / "x.png", "--json")
    answer = json.loads(ran.out)
    drawn, made = load_model(str(model)), (tmp_path / "x.png").exists()
    F = drawn.model.filters()
    if what == "patches" or (what == "curve" and order):
        assert (ran.code, made) == ((2, False) if order else (1, False))
    elif order == "use" and len(F) != drawn.units:
        assert (ran.code, made) == (2, False)
        assert "--sort norm" in answer["error"]
    else:
        assert (ran.code, made) == (0, True), ran.err
        assert answer.get("filters", len(F)) == len(F)
    assert "internal" not in ran.err
