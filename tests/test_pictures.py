"""Sheets and curves: what stands where, in which tone, and the same bytes for the same picture."""

import io
import itertools
import os
import xml.dom.minidom
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from featlearn.pictures import curve as curves
from featlearn.pictures import figure as figures
from featlearn.pictures.comparison import Curve, Errors, Labels, comparison
from featlearn.pictures.curve import Run, curve, panels
from featlearn.pictures.figure import Look, line_look
from featlearn.pictures.mosaic import (
    FORMATS,
    GAP,
    GREY,
    WHITE,
    Sheet,
    mosaic,
    norms,
    order_filters,
    pairs,
    picture_bytes,
    pixel_bytes,
    place,
    weight_bytes,
)
from featlearn.pictures.sheet import sheet_bytes

SVG = "{http://www.w3.org/2000/svg}"


def drawn(history, name="rbm", phases=(), format="PNG", text=None, look=None):
    """The picture of one run's history."""
    return curve([Run(name, history, phases)], panels(history), look or Look(), format, text or {})


def test_tiles_stand_row_by_row_on_mid_grey():
    F = np.zeros((5, 3, 4, 1))
    F[0, 0, 0], F[1, 2, 3], F[4, 1, 1] = 2.0, -0.5, 1.0
    sheet = mosaic(F, columns=2, scale=1)
    assert sheet.shape == (3 * 4 + 1, 2 * 5 + 1)
    assert sheet[1, 1] == 255
    assert sheet[3, 9] == 1
    assert sheet[1 + 8 + 1, 1 + 1] == 255
    assert sheet[0, 0] == sheet[12, 5] == GAP
    assert (sheet[9:, 6:] == WHITE).all(), "no tile is there"
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
    placed = place(replace(pairs(X, 1 - X), columns=2, scale=1))
    sheet = placed.pixels()
    tiles = [
        [int(sheet[y + 1 + 3 * r, x + 1]) for r in range(2)] for y, x in zip(placed.y, placed.x, strict=True)
    ]
    assert tiles == [[0, 255], [128, 128], [255, 0]]
    assert len(set(placed.y)) == len(set(placed.x)) == 2


def test_order():
    F = np.array([1.0, -3.0, 2.0])[:, None, None, None] * np.ones((3, 2, 2, 1))
    assert order_filters(F).tolist() == [0, 1, 2]
    assert order_filters(F, norms(F)).tolist() == [1, 2, 0]
    assert order_filters(F, np.array([0.1, 0.5, 0.5])).tolist() == [1, 2, 0]


def test_pixels_are_black_at_zero_and_white_at_one():
    P = np.array([0.2, 0.6, 1.0, -1, 2])
    assert pixel_bytes(P).tolist() == [51, 153, 255, 0, 255]
    assert pixel_bytes(200 * P, (0, 200)).tolist() == [51, 153, 255, 0, 255]
    assert pixel_bytes(P, (-1, 1)).tolist() == [153, 204, 255, 0, 255]


def test_a_sheet_fits_into_a_column_and_its_frames_stay_thin():
    for k, size in ((1, 8), (100, 12), (196, 28), (1000, 28)):
        placed = place(Sheet(np.zeros((k, 1, 1, size, size, 1), np.uint8)))
        assert 400 < placed.width <= 85 / 25.4 * 300
        frame = min(placed.scale, 4)
        assert (placed.pixels()[:frame, :frame] == GAP).all()
        assert placed.pixels()[frame, frame] == 0


def test_words_stay_off_the_tiles():
    """And what is asked for in words is there: the tiles of a sheet with them are those of one without."""
    tiles = np.random.default_rng(0).integers(0, 256, (7, 1, 1, 5, 5, 1), np.uint8)
    sheet = Sheet(tiles, columns=4, scale=9, captions=["0\nabc"] * 7, white=2.0, note="a note")
    data = sheet_bytes(sheet, Look("Title " * 30), "PNG", {})
    image = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    placed = place(sheet, 85 / 25.4 * 300, 25)
    at = placed.x[0]
    first = placed.pixels()[: placed.cell[0], at : at + placed.cell[1]]
    found = [
        (y, x)
        for y, x in zip(*np.nonzero(image == GAP), strict=True)
        if np.array_equal(image[y : y + first.shape[0], x : x + first.shape[1]], first)
    ]
    assert len(found) == 1
    (y, x), (h, w) = (found[0][0], found[0][1] - placed.x[0]), placed.cell
    for i in range(7):
        at = slice(y + placed.y[i], y + placed.y[i] + h), slice(x + placed.x[i], x + placed.x[i] + w)
        own = slice(placed.y[i], placed.y[i] + h), slice(placed.x[i], placed.x[i] + w)
        assert np.array_equal(image[at], placed.pixels()[own])
        assert (image[at[0].stop : at[0].stop + 40, at[1]] < 100).any(), "no caption"


def test_cells_that_are_crossed_out_or_absent():
    tiles = np.full((2, 1, 3, 12, 12, 1), GREY, np.uint8)
    gone = np.zeros((2, 1, 3), bool)
    gone[0, 0, 2] = True
    sheet = Sheet(tiles, 1, 2, crossed=np.array([False, True]), absent=gone, apart=True)
    placed = place(sheet)
    upper, lower = (placed.pixels()[y : y + placed.cell[0]] for y in placed.y)
    assert set(np.unique(upper[:, :28])) == {GREY, GAP}
    assert upper[14, 14] == GREY
    assert lower[14, 14] == WHITE
    assert lower[4, 14] == GREY
    assert (upper[:, -26:] == WHITE).all()
    assert (lower[3:-3, -26:-2] == GREY).all(), "only the first tile of a cell is crossed out"


def test_lines_differ_without_their_colour():
    looks = [line_look(i) for i in range(28)]
    assert len({(look["linestyle"], look["marker"]) for look in looks}) == 28


def test_a_sheet_is_one_image_and_its_words_are_text():
    tiles, white = weight_bytes(np.random.default_rng(0).normal(size=(9, 4, 4, 1)), "common")
    sheet = Sheet(tiles[:, None, None], captions=list("abcdefghi"), note="a note")
    svg = sheet_bytes(sheet, Look("The $x$ of a & b"), "SVG", {}).decode()
    assert svg.count("<image") == 1
    words = ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert words == ["The $x$ of a & b", *"abcdefghi", "a note"]
    pdf = sheet_bytes(sheet, Look("The $x$ of a & b"), "PDF", {})
    assert pdf.count(b"/Subtype /Image") == 1
    bar = sheet_bytes(replace(sheet, white=white), Look(), "SVG", {}).decode()
    assert bar.count("<image") == 2
    assert f">{white:.3g}<" in bar


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
@pytest.mark.parametrize("format", sorted(set(figures.FORMATS.values())))
def test_a_figure_has_the_same_bytes_at_any_time(format, epoch, monkeypatch):
    """No date, whatever SOURCE_DATE_EPOCH holds; ids of an SVG that are counted from its contents."""
    text = {"Software": "featlearn", "Description": "a test", "Content": "55aa"}
    history = {"epoch": np.arange(1.0, 4), "phase": np.zeros(3), "probe_rmse": np.array([3.0, 2.0, 1.0])}
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    first = drawn(history, format=format, text=text)
    if epoch is not None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    data = drawn(history, format=format, text=text)
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
    data = drawn(history)
    assert data == drawn(history)
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
    data = drawn(history, phases=("layer 0", "layer 1", "search"), format="SVG")
    found = [
        data.count(f">{name}</text>".encode()) for name in ("layer 0", "layer 1", "search", "refinement")
    ]
    assert found == [2, 2, 2, 0]  # in each panel; a fourth has no name


@pytest.mark.parametrize("lengths", [(50, 1, 50), (50, 1, 1, 40), (3, 3, 3), (99, 1), (1, 1), (1, 200, 1)])
def test_names_of_phases_stand_where_these_begin_and_hide_none(lengths, monkeypatch):
    seen = []

    def keep(paint, height, look, format, text):
        def painted(figure):
            seen.append(figure)
            paint(figure)

        return figures.draw_plot(painted, height, look, format, text)

    monkeypatch.setattr(curves, "draw_plot", keep)
    n = sum(lengths)
    phase = np.repeat(np.arange(len(lengths)), lengths)
    names = [f"layer {k}" for k in range(len(lengths))]
    names[-1] += ", refinement"
    history = {"epoch": np.arange(1.0, n + 1), "phase": phase, "probe_rmse": np.ones(n)}
    curve([Run("m", history, names)], ["rmse"], Look(), "PNG", {})
    [figure] = seen
    [axes] = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == names
    for begin, box in zip(np.cumsum([0, *lengths]), boxes, strict=False):
        assert 0 < box.x0 - axes.transData.transform((begin + 0.5, 0))[0] < 10
        assert box.x1 < axes.bbox.x1
        assert axes.bbox.y0 < box.y0 < box.y1 < axes.bbox.y1
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_a_point_that_no_line_reaches_is_marked():
    column = np.full(40, np.nan)
    column[[3, 4, 5, 20]] = 1.0
    for i in range(7):
        assert 20 in curves._marked(column, i)
    assert len(curves._marked(np.ones(40), 0)) == 8


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
    data = comparison(curves, labels, Look(), "PNG", {"Software": "test"})
    assert data == comparison(curves, labels, Look(), "PNG", {"Software": "test"})
    image = Image.open(io.BytesIO(data))
    assert image.text == {"Software": "test"}
    assert image.width == int(85 / 25.4 * 300)
    assert image.height > 700 * count
    assert np.asarray(image.convert("L")).std() > 5


def test_nets_of_few_labels_have_lines_of_their_own():
    """In the legend, too, and a model without rows to be had is in the panel of errors alone."""
    curves = [Curve("dbn", [(2, 0.1, 1.0), (5, 0.3, 0.02)]), Curve("net", [])]
    points = [(10, 0.2, 0.01), (100, 0.05, 0.0)]
    linear, others = [Errors(name, points) for name in ("dbn", "net")], [Errors("raw inputs", points)]
    nets = [Errors(f"{name}, fine-tuned", points) for name in ("dbn", "net")]
    random = [Errors("random relu", points), Errors("random sigmoid", points)]
    found = [
        comparison(curves, labels, Look(), "SVG", {})
        for labels in (Labels(linear, [], others), Labels(linear, nets, others + random))
    ]
    for name, counts in {
        "dbn": (1, 1),
        "net": (1, 1),
        "dbn, fine-tuned": (0, 1),
        "random relu": (0, 1),
    }.items():
        assert tuple(data.count(f">{name}</text>".encode()) for data in found) == counts
    alone = comparison([Curve("dbn", []), Curve("net", [])], Labels(linear, nets, others), Look(), "SVG", {})
    for name in ("dbn", "net", "dbn, fine-tuned"):
        assert alone.count(f">{name}</text>".encode()) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$\\foo$", "_m", "a\nb\tc\x01", "\u6a21\u578b", "x" * 500])
def test_any_name_can_be_in_a_comparison(name):
    """No formula; it leaves room for the others; and a file of another format can still be read."""
    curves = [Curve(one, [(2, 0.1, 1.0), (5, 0.3, 0.5)]) for one in (name, "other" * 8)]
    data = [comparison(shown, None, Look(), "PNG", {}) for shown in (curves, curves[1:])]
    both, other = (np.asarray(Image.open(io.BytesIO(one)).convert("L")) for one in data)
    assert both.shape[1] == other.shape[1]
    legend = both[-90:]
    assert (legend[:, 5:-5] < 128).any()
    assert (legend[:, [0, 1, 2, -3, -2, -1]] > 128).all(), "it goes beyond the picture"
    xml.dom.minidom.parseString(comparison(curves, None, Look(), "SVG", {}))
    assert comparison(curves, None, Look(), "PDF", {}).rstrip().endswith(b"%%EOF")


@pytest.mark.parametrize(
    ("rmse", "scale"),
    [([1.0, 0.3, 0.009], "log"), ([1.0, 0.3, 0.011], "linear"), ([1.0, 0.3, 0.0], "linear")],
)
def test_an_error_that_falls_a_hundredfold_is_drawn_on_a_log_axis(rmse, scale, monkeypatch):
    seen = []

    def look_at(paint, *rest):
        shown = Figure()
        paint(shown)
        seen.append(shown.axes[0].get_yscale())

    monkeypatch.setattr(curves, "draw_plot", look_at)
    drawn({"epoch": np.arange(1.0, 4.0), "phase": np.zeros(3), "probe_rmse": np.array(rmse)})
    assert seen == [scale]


def test_runs_over_each_other_have_a_panel_for_each_measure_and_one_for_held_out_rows(monkeypatch):
    seen = {}

    def look_at(paint, *rest):
        shown = Figure()
        paint(shown)
        for axes in shown.axes:
            seen[axes.get_ylabel().replace("\n", " ")] = [
                (line.get_label(), line.get_ydata().tolist()) for line in axes.lines
            ]

    monkeypatch.setattr(curves, "draw_plot", look_at)
    epochs = {"epoch": np.arange(1, 3), "phase": np.zeros(2)}
    a = epochs | {"probe_rmse": np.array([3.0, 2]), "validation_rmse": np.array([3.5, 3]), "loss": np.ones(2)}
    b = epochs | {"probe_rmse": np.array([5.0, 4]), "dead_share": np.zeros(2)}
    runs = [Run("a", a), Run("b", b)]
    curve(runs, ["rmse", "loss", "dead"], Look(), "PNG", {})
    rmse = "RMSE (units of the preprocessed data)"
    assert seen == {
        rmse: [("a", [3, 2]), ("b", [5, 4])],
        f"validation rows: {rmse}": [("a", [3.5, 3])],
        "loss": [("a", [1, 1])],
        "share of dead units": [("b", [0, 0])],
    }


def test_lines_end_where_a_layer_of_a_stack_does(monkeypatch):
    drawn = []

    def look_at(paint, *rest):
        drawn.append(Figure())
        paint(drawn[0])

    monkeypatch.setattr(curves, "draw_plot", look_at)
    history = {"epoch": np.arange(1, 6), "probe_rmse": np.array([5.0, 4, 1, 0.5, 0.3])}
    curve([Run("a stack", history, breaks=[2])], ["rmse"], Look(), "PNG", {})
    x, y = drawn[0].axes[0].lines[0].get_data()
    np.testing.assert_array_equal(x, [1, 2, np.nan, 3, 4, 5])
    np.testing.assert_array_equal(y, [5, 4, np.nan, 1, 0.5, 0.3])
