"""visualize and reconstruct from the command line: the pictures show the right thing, and say what they are."""

import io
import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from featlearn.analysis.metrics import psnr
from featlearn.cli.drawing import mean_activation
from featlearn.cli.store import load_model, load_rows
from featlearn.files.images import read_image
from featlearn.pictures.mosaic import mosaic, order_filters


def ok(ran):
    assert ran.code == 0, ran.err
    return ran


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
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
    args = ("--sort", order, "--contrast", contrast, "--columns", 5, "--scale", 2, "--data", work.patches)
    ok(run_here("visualize", work.model, "-o", tmp_path / "f.png", *args))
    learned, F = load_model(str(work.model)), filters(work)
    use = learned.model.encode(load_rows(str(work.patches), like=learned)[0].block(0, 600)).mean(axis=0)
    wanted = mosaic(F[order_filters(F, order, use)], columns=5, scale=2, contrast=contrast)
    assert np.array_equal(pixels(tmp_path / "f.png"), wanted)


def test_mean_activation_does_not_depend_on_blocks(work, monkeypatch):
    learned = load_model(str(work.model))
    whole = mean_activation(learned, str(work.patches))
    monkeypatch.setattr("featlearn.cli.drawing.BLOCK", 77)
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


def test_learning_curve(work, run_here, tmp_path):
    ran = ok(run_here("visualize", work.model, "--what", "curve", "-o", tmp_path / "c.png", "--json"))
    assert json.loads(ran.out)["epochs"] == 2
    assert pixels(tmp_path / "c.png").size > 10_000


def test_a_picture_goes_to_stdout(work, tmp_path, start):
    process = start("visualize", work.model, "-o", "-", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
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
    words = [{"MODEL": work.model, "PATCHES": work.patches}.get(arg, arg) for arg in args]
    ran = run_here("visualize", *words, *([] if "-o" in args else ["-o", tmp_path / "x.png"]))
    assert ran.code == code
    assert len(ran.error_lines) == 1
    assert list(tmp_path.iterdir()) == []


def test_reconstruct_a_data_set(work, run_here, tmp_path):
    args = ("reconstruct", work.model, work.patches, "-o", tmp_path / "r.png", "--count", 6, "--json")
    report = json.loads(ok(run_here(*args)).out)
    learned = load_model(str(work.model))
    X = load_rows(str(work.patches), like=learned)[0].block(0, 600).astype(np.float64)
    Y = learned.reconstruct(X.astype(np.float32)).astype(np.float64)
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
                run_here("reconstruct", tmp_path / "m.h5", tmp_path / name, "-o", tmp_path / f"{name}.png", "--json")
            ).out
        )
        for name in ("8.png", "f.tif")
    ]
    assert reports[0]["psnr"] == pytest.approx(reports[1]["psnr"], rel=1e-4)
    assert "levels" not in reports[1]
    np.testing.assert_allclose(*(pixels(tmp_path / name).astype(int) for name in ("8.png.png", "f.tif.png")), atol=1)


def test_reconstruct_a_float_image_of_its_own_range(run_here, tmp_path):
    """Values from -50 to 150 are black to white, and so the PSNR is counted; all components give the image back."""
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
