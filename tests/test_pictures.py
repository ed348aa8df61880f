"""Sheets and curves: what stands where, in which tone, and the same bytes for the same picture."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from featlearn.pictures.comparison import Curve, Errors, comparison_png
from featlearn.pictures.curve import curve_png
from featlearn.pictures.mosaic import GAP, GREY, mosaic, order_filters, pairs, png_bytes


def test_tiles_stand_row_by_row_on_mid_grey():
    F = np.zeros((5, 3, 4, 1))
    F[0, 0, 0], F[1, 2, 3], F[4, 1, 1] = 2.0, -0.5, 1.0
    sheet = mosaic(F, columns=2, scale=1)
    assert sheet.shape == (3 * 4 + 1, 2 * 5 + 1)
    assert sheet[1, 1] == 255
    assert sheet[3, 9] == 1
    assert sheet[1 + 8 + 1, 1 + 1] == 255
    assert sheet[0, 0] == sheet[12, 10] == GAP
    assert (sheet[5:8, 1:5] == GREY).all()


def test_the_gap_is_no_tone_of_a_filter():
    assert 1 < GAP < GREY


def test_common_contrast_keeps_the_sizes():
    F = np.zeros((2, 2, 2, 1))
    F[0, 0, 0], F[1, 0, 0] = 1.0, -0.5
    sheet = mosaic(F, columns=2, scale=1, contrast="common")
    assert sheet[1, 1] == 255
    assert sheet[1, 4] == round(GREY - 0.5 * (GREY - 1))


def test_scale_and_colour():
    F = np.zeros((1, 2, 2, 3))
    F[0, 0, 0] = [1, 0, -1]
    sheet = mosaic(F, scale=3)
    assert sheet.shape == (12, 12, 3)
    np.testing.assert_array_equal(sheet[3:6, 3:6].reshape(-1, 3), [[255, 128, 1]] * 9)
    assert 600 < mosaic(np.ones((100, 16, 16, 1))).shape[1] < 1200


def test_pairs_put_inputs_above_reconstructions():
    X = np.arange(3)[:, None, None, None] * np.ones((3, 2, 2, 1)) / 2
    sheet = pairs(X, 1 - X, columns=2, scale=1)
    tiles = [[sheet[1 + 3 * r, 1 + 3 * c] for c in range(2)] for r in range(4)]
    assert tiles[:3] == [[0, 128], [255, 128], [255, GAP]]
    assert tiles[3] == [0, GAP]


def test_order():
    F = np.array([1.0, -3.0, 2.0])[:, None, None, None] * np.ones((3, 2, 2, 1))
    assert order_filters(F).tolist() == [0, 1, 2]
    assert order_filters(F, "norm").tolist() == [1, 2, 0]
    assert order_filters(F, "use", np.array([0.1, 0.5, 0.9])).tolist() == [2, 1, 0]


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_png_round_trip(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    data = png_bytes(picture, {"Description": "test"})
    image = Image.open(io.BytesIO(data))
    np.testing.assert_array_equal(np.asarray(image), picture.squeeze())
    assert image.text == {"Description": "test"}
    assert data == png_bytes(picture, {"Description": "test"})


@pytest.mark.parametrize("n", [1, 5, 60])
def test_curve_is_a_picture_with_the_same_bytes(n):
    history = {
        "epoch": np.arange(1.0, n + 1),
        "phase": (np.arange(n) > n // 2) * 1.0,
        "rmse": np.geomspace(1, 1e-3, n),
        "validation_rmse": np.geomspace(1.1, 1e-2, n),
    }
    data = curve_png(history, "run.h5")
    assert data == curve_png(history, "run.h5")
    image = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert image.shape[1] > 600
    assert image.std() > 5


@pytest.mark.parametrize("panels", [1, 2])
def test_a_comparison_is_a_picture_with_the_same_bytes(panels):
    """Also of more models than there are colours, and of errors far apart."""
    curves = [Curve(f"m{i}", [(2, 0.1, 1.0 + i), (5, 0.3, 0.02), (256, 1.0, 0.01)], (5,)) for i in range(13)]
    errors = [Errors(f"m{i}", [(10, 0.2, 0.01), (1000, 0.05, 0.0)]) for i in range(13)] if panels == 2 else []
    raw = [Errors("raw inputs", [(10, 0.3, 0.01), (1000, 0.1, 0.0)])] if panels == 2 else []
    data = comparison_png(curves, errors, raw, {"Software": "test"})
    assert data == comparison_png(curves, errors, raw, {"Software": "test"})
    image = Image.open(io.BytesIO(data))
    assert image.text == {"Software": "test"}
    assert image.width > 600 * panels
    assert np.asarray(image.convert("L")).std() > 5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$\\foo$", "_m", "a\nb\tc\x01", "\u6a21\u578b", "x" * 500])
def test_any_name_can_be_in_a_comparison(name):
    """No formula; and it leaves room for the others."""
    curves = [Curve(one, [(2, 0.1, 1.0), (5, 0.3, 0.5)]) for one in (name, "other" * 8)]
    data = [comparison_png(shown, [], [], {}) for shown in (curves, curves[1:])]
    both, other = (np.asarray(Image.open(io.BytesIO(one)).convert("L")) for one in data)
    assert both.shape == other.shape
    legend = both[-60:]
    assert (legend[:, 5:-5] < 128).any()
    assert (legend[:, [0, 1, 2, -3, -2, -1]] > 128).all(), "it goes beyond the picture"


@pytest.mark.parametrize(
    ("rmse", "scale"), [([1.0, 0.3, 0.009], "log"), ([1.0, 0.3, 0.011], "linear"), ([1.0, 0.3, 0.0], "linear")]
)
def test_an_error_that_falls_a_hundredfold_is_drawn_on_a_log_axis(rmse, scale, monkeypatch):
    seen = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **kwargs: seen.append(figure.axes[0].get_yscale()))
    curve_png({"epoch": np.arange(1.0, 4.0), "phase": np.zeros(3), "rmse": np.array(rmse)}, "run.h5")
    assert seen == [scale]
