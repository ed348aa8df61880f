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
from featlearn.files.model import read_model, write_model
from featlearn.jobs.filter_pictures import drive
from featlearn.jobs.store import load_model, load_rows
from featlearn.models import model_class
from featlearn.pictures.mosaic import Sheet, mosaic, norms, order_filters, place
from helpers import SINGLE, label, pair, tiles_in


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
    use = learned.model.encode(load_rows(str(work.patches), like=learned, say=print)[0].block(0, 600)).mean(
        axis=0
    )
    by = {"trained": None, "norm": norms(F), "use": use}[order]
    wanted = mosaic(F[order_filters(F, by)][:7], columns=5, scale=2, contrast=contrast)
    sheet = pixels(tmp_path / "f.png")
    if contrast == "common":  # above its bar, in the middle of a column
        assert sheet.shape[0] > wanted.shape[0] + 40
        left = (sheet.shape[1] - wanted.shape[1]) // 2
        sheet = sheet[: wanted.shape[0], left : left + wanted.shape[1]]
    assert np.array_equal(sheet, wanted)


def test_mean_activation_does_not_depend_on_blocks(work, monkeypatch):
    learned = load_model(str(work.model))
    whole = drive(learned, str(work.patches), print).units.mean
    monkeypatch.setattr("featlearn.rows.BLOCK", 77)
    np.testing.assert_allclose(drive(learned, str(work.patches), print).units.mean, whole, rtol=1e-12)


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
MAGIC = {"CSV": b"unit,r2,", "PNG": b"\x89PNG", "TIFF": b"II*\0", "PDF": b"%PDF", "SVG": b"<?xml"}
DRAWN = {  # every command that draws: the option that names the picture, and the formats that it can have
    "filters": (("visualize", "MODEL", "-o"), FIGURES),
    "patches": (("visualize", "PATCHES", "-o"), FIGURES),
    "top-patches": (("visualize", "MODEL", "--what", "top-patches", "--data", "PATCHES", "-o"), FIGURES),
    "activations": (("visualize", "MODEL", "--what", "activations", "--data", "PATCHES", "-o"), FIGURES),
    "gabor": (("visualize", "MODEL", "--units", "0-7", "--what", "gabor", "-o"), FIGURES | {".csv": "CSV"}),
    "curve": (("visualize", "MODEL", "--what", "curve", "-o"), FIGURES),
    "pairs": (("reconstruct", "MODEL", "PATCHES", "-o"), FIGURES),
    "photo": (("reconstruct", "MODEL", "PHOTO", "--stride", 8, "-o"), FIGURES),
    "alone": (("reconstruct", "MODEL", "PHOTO", "--stride", 8, "--alone", "-o"), SHEETS),
    "samples": (("sample", "MODEL", "--count", 4, "--steps", 2, "-o"), FIGURES),
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
        assert (tmp_path / f"picture.{one.lower()}").stat().st_size > 1000


@drawn
def test_a_suffix_of_no_format_is_refused_before_any_work(
    call, formats, work, run_here, tmp_path, monkeypatch
):
    def started(*args):
        raise AssertionError("a model was read")

    for module in ("visualize", "filter_pictures", "unit_pictures", "sample", "reconstruct", "measuring"):
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
    X = load_rows(str(tmp_path / "d.h5"), say=print)[0].block(0, 1).reshape(8, 8)
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
    ok(run_here("reconstruct", model, data, "-o", tmp_path / "r.png", "--no-labels"))
    before, after = tiles_in(pixels(tmp_path / "r.png"), (5, 2, 1, 2, 4))[0][:, 0]
    assert np.array_equal(before, rows[0])
    assert np.abs(after - rows[0]).max() < 9, "it is no reconstruction"


def test_samples_are_drawn_with_the_tones_of_their_data(work, run_here, tmp_path):
    """A model that has learned values in .1..0.9 draws its samples within them."""
    mapped = ("--size", 8, "--count", 300, "--normalize", "center", "--clip", 3, "--to", "0.1,0.9")
    ok(run_here("extract-patches", work.photos, *mapped, "-o", tmp_path / "d.h5"))
    ok(run_here("train", tmp_path / "d.h5", "--model", "rbm", "--epochs", 1, "-o", tmp_path / "m.h5"))
    ok(run_here("sample", tmp_path / "m.h5", "-o", tmp_path / "s.png", "--count", 9, "--steps", 1))
    learned = load_model(str(tmp_path / "m.h5"))
    V = noise(9, 64, learned.model.dtype, 0, learned.model.bernoulli)
    X = fantasies(learned.model, V, 1, 1, 0)[0].reshape(9, 8, 8)
    shown = tiles_in(pixels(tmp_path / "s.png"), (9, 1, 1, 8, 8))[:, 0, 0]
    assert np.array_equal(shown, np.rint(X * 255))


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
    ("visualize", "PATCHES", "--units", "0-3"),
    ("visualize", "MODEL", "--what", "curve", "--data", "PATCHES"),
    ("visualize", "MODEL", "--what", "curve", "--labels"),
    ("visualize", "MODEL", "--panels", "loss"),
    ("visualize", "MODEL", "--top", 3),
    ("visualize", "MODEL", "--what", "gabor", "--sort", "edge"),
    ("visualize", "MODEL", "--what", "activations", "--data", "PATCHES", "--count", 3),
    ("visualize", "MODEL", "--what", "top-patches", "--data", "PATCHES", "--contrast", "common"),
    ("reconstruct", "MODEL", "PATCHES", "--alone"),
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
    name = "x.h5" if call[0] == "extract-patches" else "x.png"
    out = () if call[0] in ("evaluate", "info") else ("-o", tmp_path / name)
    ran = run_here(*named(call, work), *out)
    assert (ran.code, len(ran.error_lines)) == (2, 1)
    idle = next(str(word) for word in reversed(call) if str(word).startswith("-"))
    assert f"{ {'-0': '--null'}.get(idle, idle) }: does nothing without" in ran.error_lines[0]
    assert list(tmp_path.iterdir()) == []


def test_reconstruct_a_data_set(work, run_here, tmp_path):
    args = ("reconstruct", work.model, work.patches, "-o", tmp_path / "r.png", "--count", 6, "--json")
    report = json.loads(ok(run_here(*args)).out)
    learned = load_model(str(work.model))
    X = load_rows(str(work.patches), like=learned, say=print)[0].block(0, 600).astype(np.float64)
    Y = learned.model.reconstruct(X.astype(np.float32)).astype(np.float64)
    assert report["rmse"] == pytest.approx(np.sqrt(np.mean((X - Y) ** 2)), rel=1e-6)
    assert report["patches"] == 600
    assert pixels(tmp_path / "r.png").std() > 0


@pytest.mark.parametrize("stride", [1, 5])
def test_reconstruct_a_photograph(stride, work, run_here, tmp_path):
    photo = work.photos / "photo0.png"
    args = (
        "reconstruct",
        work.model,
        photo,
        "-o",
        tmp_path / "r.png",
        "--alone",
        "--stride",
        stride,
        "--json",
    )
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
                    "--alone",
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
    args = (
        "reconstruct",
        tmp_path / "m.h5",
        tmp_path / "x.tif",
        "-o",
        tmp_path / "r.png",
        "--alone",
        "--json",
    )
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
    args = ("reconstruct", tmp_path / "m.h5", photo, "-o", tmp_path / "r.png", "--alone", "--json")
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


@pytest.mark.parametrize(
    ("what", "order"),
    [
        *(("filters", order) for order in (None, "norm", "use", "edge", "error")),
        *((what, None) for what in ("curve", "patches", "top-patches", "activations", "gabor")),
    ],
)
def test_every_model_can_be_drawn_or_says_why_not(what, order, learned, run_here, tmp_path):
    """Of every kind of model everything that there is to draw, in every order."""
    model, data = learned
    of_data = order in ("use", "error") or what in ("top-patches", "activations")
    args = ("--what", what) + ("--sort", order) * bool(order) + ("--data", data) * of_data
    ran = run_here("visualize", model, *args, "-o", tmp_path / "x.png", "--json")
    answer = json.loads(ran.out)
    drawn, made = load_model(str(model)), (tmp_path / "x.png").exists()
    F = drawn.model.filters()
    if what == "patches":
        assert (ran.code, made) == (1, False)
    elif (order in ("use", "error") or what == "top-patches") and len(F) != drawn.units:
        assert (ran.code, made) == (2, False)
        assert "--sort norm" in answer["error"]
    elif order == "error" and not drawn.model.decodes:
        assert (ran.code, made) == (2, False)
        assert "gives no rows back" in answer["error"]
    else:
        assert (ran.code, made) == (0, True), ran.err
        assert answer.get("filters", len(F)) == (min(16, len(F)) if what == "top-patches" else len(F))
    assert "internal" not in ran.err


def test_titles_and_dots_are_refused_where_they_do_nothing(work, run_here, tmp_path):
    curve = ("visualize", work.model, "--what", "curve", "-o")
    for call, name, option in (
        (curve, "c.svg", ("--dpi", 200)),
        (("visualize", work.model, "--what", "gabor", "-o"), "c.csv", ("--title", "x")),
        (("reconstruct", work.model, work.photos / "photo0.png", "--alone", "-o"), "c.png", ("--title", "x")),
        (("evaluate", work.model, work.patches, "--plot"), "c.pdf", ("--dpi", 200)),
    ):
        ran = run_here(*call, tmp_path / name, *option)
        assert (ran.code, len(ran.error_lines)) == (2, 1)
        assert f"{option[0]}: does nothing in such a" in ran.error_lines[0]
    assert list(tmp_path.iterdir()) == []
    sizes = {}
    for dpi in (100, 300):
        ok(run_here(*curve, tmp_path / f"{dpi}.png", "--dpi", dpi, "--title", "A title"))
        with Image.open(tmp_path / f"{dpi}.png") as image:
            assert round(image.info["dpi"][0]) == dpi
            sizes[dpi] = image.width
    assert sizes[300] == pytest.approx(3 * sizes[100], abs=3)


@pytest.mark.parametrize(
    ("units", "numbers"),
    [("0-3", [0, 1, 2, 3]), ("5,2", [5, 2]), (" 7 , 0-1 ", [7, 0, 1]), ("3,3,2-3", [3, 2])],
)
def test_units_are_picked(units, numbers, work, run_here, tmp_path):
    ok(run_here("visualize", work.model, "--units", units, "-o", tmp_path / "f.png"))
    assert np.array_equal(pixels(tmp_path / "f.png"), mosaic(filters(work)[numbers]))


@pytest.mark.parametrize("units", ["", "a", "3-", "-3", "5-2", "1,,2", "0-9999999999", "\u0663"])
def test_units_that_are_none_are_refused(units, work, run_here, tmp_path):
    ran = run_here("visualize", work.model, f"--units={units}", "-o", tmp_path / "f.png")
    assert (ran.code, len(ran.error_lines)) == (2, 1)
    assert "--units" in ran.error_lines[0]
    ran = run_here("visualize", work.model, "--units", f"0-{len(filters(work))}", "-o", tmp_path / "f.png")
    assert ran.code == 2
    assert f"has {len(filters(work))} units" in ran.error_lines[0]


def test_top_patches_are_those_of_the_largest_codes(work, run_here, tmp_path):
    """Found here by sorting all codes at once; the first tile is the filter."""
    args = (
        "--what",
        "top-patches",
        "--data",
        work.patches,
        "--top",
        3,
        "--units",
        "2,0",
        "--sort",
        "trained",
    )
    ok(run_here("visualize", work.model, *args, "-o", tmp_path / "t.png", "--scale", 2))
    learned = load_model(str(work.model))
    X = load_rows(str(work.patches), like=learned, say=print)[0].block(0, 600)
    H = learned.model.encode(X)
    sheet = pixels(tmp_path / "t.png")
    tile = 8 * 2 + 2
    for line, unit in enumerate((2, 0)):
        y = line * (tile + 2 + 4)
        best = np.argsort(-H[:, unit], kind="stable")[:3]
        wanted = [filters(work)[unit], *X[best].reshape(3, 8, 8, 1)]
        for i, one in enumerate(wanted):
            x = i * tile + 4 * (i > 0)
            ours = mosaic(one[None], scale=2)
            assert np.array_equal(sheet[y : y + tile + 2, x : x + tile + 2], ours), (unit, i)


def test_what_needs_a_data_set_says_so(work, run_here, tmp_path):
    for what in ("top-patches", "activations"):
        ran = run_here("visualize", work.model, "--what", what, "-o", tmp_path / "x.png")
        assert (ran.code, len(ran.error_lines)) == (2, 1)
        assert "--data DATASET" in ran.error_lines[0]


def test_several_files_are_for_curves(work, run_here, tmp_path):
    both = ("visualize", work.model, work.model)
    for more, words in (
        ((), "--what curve draws several"),
        (("--what", "curve"), "give -o PATH"),
        (
            ("--what", "curve", "-o", tmp_path / "c.png", "--panels", "rmse,nothing"),
            "--panels: got 'nothing'",
        ),
    ):
        ran = run_here(*both, *more)
        assert (ran.code, len(ran.error_lines)) == (2, 1)
        assert words in ran.error_lines[0]
    shutil.copy(work.model, tmp_path / "other.h5")
    more = ("--what", "curve", "-o", tmp_path / "c.svg", "--json")
    report = json.loads(ok(run_here("visualize", work.model, tmp_path / "other.h5", *more)).out)
    assert (report["runs"], report["epochs"]) == (2, 2)
    assert ">other</text>" in (tmp_path / "c.svg").read_text()


def test_a_photograph_in_colour_stays_so(work, run_here, tmp_path):
    """Beside what a model of grey patches makes of its channels; alone as each channel alone would be."""
    rgb = read_image(str(work.photos / "photo0.png")) * np.ones(3)
    rgb = (rgb * [1.0, 0.6, 0.3]).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "c.png")
    Image.fromarray(rgb[:, :, 1]).save(tmp_path / "green.png")
    for name in ("c", "green"):
        for how in ((), ("--alone",)):
            out = tmp_path / f"{name}{len(how)}.png"
            ok(run_here("reconstruct", work.model, tmp_path / f"{name}.png", *how, "--stride", 4, "-o", out))
    alone, green = pixels(tmp_path / "c1.png"), pixels(tmp_path / "green1.png")
    assert alone.shape == rgb.shape
    assert np.array_equal(alone[:, :, 1], green)
    beside = pixels(tmp_path / "c0.png")
    for part in (rgb, alone):
        colours = set(map(tuple, part[::7, ::7].reshape(-1, 3).tolist()))
        assert colours <= set(map(tuple, beside.reshape(-1, 3).tolist()))


def test_dead_units_are_crossed_out(work, run_here, tmp_path):
    """Flat filters always, units that never leave rest with a data set."""
    file = read_model(str(work.model))
    file.params["W"] = np.array(file.params["W"])
    file.params["W"][:, 3] = 0
    write_model(str(tmp_path / "m.h5"), file)
    report = json.loads(ok(run_here("visualize", tmp_path / "m.h5", "-o", tmp_path / "f.png", "--json")).out)
    assert report["dead"] == 1
    F = filters(work)
    F[3] = 0
    sheet, bare = pixels(tmp_path / "f.png"), mosaic(F)
    differ = np.argwhere(sheet != bare)
    placed = place(Sheet(np.zeros((len(F), 1, 1, 8, 8, 1), np.uint8)))
    corner = np.array([placed.y[3], placed.x[3]])
    assert len(differ) > 50
    assert (differ >= corner).all()
    assert (differ < corner + placed.cell).all()
