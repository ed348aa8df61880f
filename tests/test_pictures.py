"""Sheets and curves: what stands where, in which tone, and the same bytes for the same picture."""

import io
import itertools
import os
import xml.dom.minidom

import numpy as np
import pytest
from PIL import Image

from featlearn.pictures import curve as curves
from featlearn.pictures import figure
from featlearn.pictures.comparison import Curve, Errors, Labels, comparison
from featlearn.pictures.curve import curve, panels
from featlearn.pictures.mosaic import (
    FORMATS,
    GAP,
    GREY,
    mosaic,
    order_filters,
    pairs,
    picture_bytes,
    sheet_of_pixels,
)


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


def test_pixels_are_black_at_zero_and_white_at_one():
    P = np.zeros((2, 1, 3, 1))
    P[0, 0, :, 0] = [0.2, 0.6, 1.0]
    sheet = sheet_of_pixels(P, columns=1, scale=1)
    assert sheet[1, 1:4].tolist() == [51, 153, 255]
    assert sheet[3, 1:4].tolist() == [0, 0, 0]
    assert sheet_of_pixels(200 * P, columns=1, scale=1, tones=(0, 200))[1, 1:4].tolist() == [51, 153, 255]
    assert pairs(P[:1], P[1:], scale=1, tones=(-1, 1))[:, 1:4].tolist() == [
        [GAP] * 3,
        [153, 204, 255],
        [GAP] * 3,
        [128] * 3,
        [GAP] * 3,
    ]


@pytest.mark.parametrize("format", sorted(set(FORMATS.values())))
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_a_picture_can_be_read_again(shape, format):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    text = {"Software": "featlearn", "Description": "test", "Content": "5"}
    data = picture_bytes(picture, format, text)
    image = Image.open(io.BytesIO(data))
    assert image.format == format
    np.testing.assert_array_equal(np.asarray(image), picture.squeeze())
    if format == "PNG":
        assert image.text == text
    else:
        assert image.tag_v2[305] == "featlearn"
        assert image.tag_v2[270] == "Description: test; Content: 5"
    assert data == picture_bytes(picture, format, text)


MAGIC = {"PNG": b"\x89PNG\r\n", "TIFF": b"II*\0", "PDF": b"%PDF-1.", "SVG": b"<?xml "}


@pytest.mark.parametrize("epoch", [None, "1", "1700000000", "no number"])
@pytest.mark.parametrize("format", sorted(set(figure.FORMATS.values())))
def test_a_figure_has_the_same_bytes_at_any_time(format, epoch, monkeypatch):
    """No date, whatever SOURCE_DATE_EPOCH holds; ids of an SVG that are counted from its contents."""
    text = {"Software": "featlearn", "Description": "a test", "Content": "55aa"}
    history = {"epoch": np.arange(1.0, 4), "phase": np.zeros(3), "probe_rmse": np.array([3.0, 2.0, 1.0])}
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    first = curve(history, "rbm", format, text)
    if epoch is not None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    data = curve(history, "rbm", format, text)
    assert data == first
    assert data.startswith(MAGIC[format])
    assert os.environ.get("SOURCE_DATE_EPOCH") == epoch
    if format in ("PDF", "SVG"):
        assert all(words.encode() in data for words in text.values())
        assert b"date" not in data.lower()
        assert b"Type3" not in data, "fonts that journals refuse"


@pytest.mark.parametrize("n", [1, 5, 60])
def test_curve_is_a_picture_with_the_same_bytes(n):
    history = {
        "epoch": np.arange(1.0, n + 1),
        "phase": (np.arange(n) > n // 2) * 1.0,
        "probe_rmse": np.geomspace(1, 1e-3, n),
        "validation_rmse": np.geomspace(1.1, 1e-2, n),
    }
    data = curve(history, "run.h5", "PNG", {})
    assert data == curve(history, "run.h5", "PNG", {})
    image = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert image.shape[1] > 600
    assert image.std() > 5


def test_each_phase_begins_under_its_name():
    """And what a phase has not measured is left out."""
    history = {
        "epoch": np.arange(1, 9),
        "phase": np.array([0, 0, 0, 1, 1, 2, 2, 3]),
        "probe_rmse": np.linspace(2, 1, 8),
        "probe_free_energy": np.array([3.0, 2.0, 1.0, *(5 * [np.nan])]),
    }
    data = curve(history, "stack", "SVG", {}, ("layer 0", "layer 1", "search"))
    found = [
        data.count(f"<!-- {name} -->".encode()) for name in ("layer 0", "layer 1", "search", "refinement")
    ]
    assert found == [2, 2, 2, 0]  # in each panel; a fourth has no name


@pytest.mark.parametrize("lengths", [(50, 1, 50), (50, 1, 1, 40), (3, 3, 3), (99, 1), (1, 1), (1, 200, 1)])
def test_names_of_phases_stand_where_these_begin_and_hide_none(lengths, monkeypatch):
    seen = []
    monkeypatch.setattr(curves, "figure_bytes", lambda figure, *rest: seen.append(figure))
    n = sum(lengths)
    phase = np.repeat(np.arange(len(lengths)), lengths)
    names = [f"layer {k}" for k in range(len(lengths))]
    names[-1] += ", refinement"
    curve({"epoch": np.arange(1.0, n + 1), "phase": phase, "probe_rmse": np.ones(n)}, "m", "PNG", {}, names)
    [drawn] = seen
    drawn.canvas.draw()
    [axes] = drawn.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == names
    for begin, box in zip(np.cumsum([0, *lengths]), boxes, strict=False):
        assert 0 < box.x0 - axes.transData.transform((begin + 0.5, 0))[0] < 10
        assert box.x1 < axes.bbox.x1
        assert axes.bbox.y0 < box.y0 < box.y1 < axes.bbox.y1
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_what_there_are_curves_of():
    whole = {
        "epoch": np.arange(2),
        "phase": np.zeros(2),
        "probe_rmse": np.ones(2),
        "probe_free_energy": np.ones(2),
    }
    assert panels(whole) == ["rmse", "free_energy"]
    for key, left in (("epoch", []), ("probe_rmse", ["free_energy"]), ("probe_free_energy", ["rmse"])):
        assert panels({name: column for name, column in whole.items() if name != key}) == left
    assert panels({name: whole[name] for name in ("epoch", "probe_rmse")}) == ["rmse"], (
        "a file may leave out phases"
    )
    assert panels({name: column[:0] for name, column in whole.items()}) == []


@pytest.mark.parametrize("count", [1, 2])
def test_a_comparison_is_a_picture_with_the_same_bytes(count):
    """Also of more models than there are colours, and of errors far apart."""
    curves = [Curve(f"m{i}", [(2, 0.1, 1.0 + i), (5, 0.3, 0.02), (256, 1.0, 0.01)], (5,)) for i in range(13)]
    errors = [Errors(f"m{i}", [(10, 0.2, 0.01), (1000, 0.05, 0.0)]) for i in range(13)]
    raw = [Errors("raw inputs", [(10, 0.3, 0.01), (1000, 0.1, 0.0)])]
    labels = Labels(errors, [], raw) if count == 2 else None
    data = comparison(curves, labels, "PNG", {"Software": "test"})
    assert data == comparison(curves, labels, "PNG", {"Software": "test"})
    image = Image.open(io.BytesIO(data))
    assert image.text == {"Software": "test"}
    assert image.width > 600 * count
    assert np.asarray(image.convert("L")).std() > 5


def test_nets_of_few_labels_have_lines_of_their_own():
    """In the legend, too, and a model without rows to be had is in the panel of errors alone."""
    curves = [Curve("dbn", [(2, 0.1, 1.0), (5, 0.3, 0.02)]), Curve("net", [])]
    points = [(10, 0.2, 0.01), (100, 0.05, 0.0)]
    linear, others = [Errors(name, points) for name in ("dbn", "net")], [Errors("raw inputs", points)]
    nets = [Errors(f"{name}, fine-tuned", points) for name in ("dbn", "net")]
    random = [Errors("random relu", points), Errors("random sigmoid", points)]
    found = [
        comparison(curves, labels, "SVG", {})
        for labels in (Labels(linear, [], others), Labels(linear, nets, others + random))
    ]
    for name, counts in {
        "dbn": (1, 1),
        "net": (1, 1),
        "dbn, fine-tuned": (0, 1),
        "random relu": (0, 1),
    }.items():
        assert tuple(data.count(f"<!-- {name} -->".encode()) for data in found) == counts
    alone = comparison([Curve("dbn", []), Curve("net", [])], Labels(linear, nets, others), "SVG", {})
    for name in ("dbn", "net", "dbn, fine-tuned"):
        assert alone.count(f"<!-- {name} -->".encode()) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$\\foo$", "_m", "a\nb\tc\x01", "\u6a21\u578b", "x" * 500])
def test_any_name_can_be_in_a_comparison(name):
    """No formula; it leaves room for the others; and a file of another format can still be read."""
    curves = [Curve(one, [(2, 0.1, 1.0), (5, 0.3, 0.5)]) for one in (name, "other" * 8)]
    data = [comparison(shown, None, "PNG", {}) for shown in (curves, curves[1:])]
    both, other = (np.asarray(Image.open(io.BytesIO(one)).convert("L")) for one in data)
    assert both.shape == other.shape
    legend = both[-60:]
    assert (legend[:, 5:-5] < 128).any()
    assert (legend[:, [0, 1, 2, -3, -2, -1]] > 128).all(), "it goes beyond the picture"
    xml.dom.minidom.parseString(comparison(curves, None, "SVG", {}))
    assert comparison(curves, None, "PDF", {}).rstrip().endswith(b"%%EOF")


@pytest.mark.parametrize(
    ("rmse", "scale"),
    [([1.0, 0.3, 0.009], "log"), ([1.0, 0.3, 0.011], "linear"), ([1.0, 0.3, 0.0], "linear")],
)
def test_an_error_that_falls_a_hundredfold_is_drawn_on_a_log_axis(rmse, scale, monkeypatch):
    seen = []
    monkeypatch.setattr(
        curves, "figure_bytes", lambda figure, *rest: seen.append(figure.axes[0].get_yscale())
    )
    curve(
        {"epoch": np.arange(1.0, 4.0), "phase": np.zeros(3), "probe_rmse": np.array(rmse)},
        "run.h5",
        "PNG",
        {},
    )
    assert seen == [scale]


def test_lines_end_where_a_layer_of_a_stack_does(monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, "figure_bytes", lambda made, *_: drawn.append(made) or b"")
    history = {"epoch": np.arange(1, 6), "probe_rmse": np.array([5.0, 4, 1, 0.5, 0.3])}
    curve(history, "a stack", "PNG", {}, layers=[2])
    x, y = drawn[0].axes[0].lines[0].get_data()
    np.testing.assert_array_equal(x, [1, 2, np.nan, 3, 4, 5])
    np.testing.assert_array_equal(y, [5, 4, np.nan, 1, 0.5, 0.3])
