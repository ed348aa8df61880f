"""What drives each unit, how often it is active, and which wave it looks for."""

import numpy as np
import pytest

from featlearn.analysis.driving import DrivenErrors, Histograms, TopRows, threshold
from featlearn.analysis.gabor import gabor_fits
from featlearn.analysis.units import Units


@pytest.mark.parametrize("block", [1, 7, 50])
def test_the_top_rows_are_those_that_sorting_finds(block):
    """Whatever the blocks; of equal codes the first row's."""
    H = np.random.default_rng(0).integers(0, 9, (50, 6)).astype(np.float32)
    H[:, 5] = 0
    top = TopRows(6, 4)
    for start in range(0, 50, block):
        top.add(H[start : start + block])
    order = np.argsort(-H, axis=0, kind="stable")[:4].T
    assert np.array_equal(top.rows, order)
    assert np.array_equal(top.values, np.take_along_axis(H.T, order, axis=1))


def test_fewer_rows_than_asked_for():
    top = TopRows(2, 3)
    top.add(np.array([[1.0, 4.0], [2.0, 3.0]]))
    assert top.rows.tolist() == [[1, 0, -1], [0, 1, -1]]
    assert top.values[0].tolist() == [2, 1, -np.inf]


def test_driven_errors_are_weighted_by_the_distance_from_rest():
    rng = np.random.default_rng(0)
    X, Y, H = rng.normal(size=(20, 3)), rng.normal(size=(20, 3)), rng.normal(size=(20, 4)) - 1
    H[:, 2] = -1
    errors = DrivenErrors(4, -1.0)
    errors.add(X[:9], Y[:9], H[:9])
    errors.add(X[9:], Y[9:], H[9:])
    weights = np.abs(H + 1)
    squares = np.mean((X - Y) ** 2, axis=1)
    with np.errstate(invalid="ignore"):
        wanted = np.sqrt(np.nan_to_num(weights.T @ squares / weights.sum(axis=0)))
    np.testing.assert_allclose(errors.rmse, wanted, rtol=1e-12)
    assert errors.rmse[2] == 0


def test_histograms_count_every_row_once():
    H = np.array([[0.0, 1.0], [0.24, 0.5], [0.26, -3.0], [0.0, 9.0]])
    found = Histograms(2, 0.0, 1.0, 4, 0.0, 0.1)
    found.add(H[:1])
    found.add(H[1:])
    assert found.counts.tolist() == [[3, 1, 0, 0], [1, 0, 1, 2]]
    assert found.active.tolist() == [2, 4]


def test_probabilities_are_active_above_half():
    for codes, wanted in (
        ([[0.2, 0.9]], 0.5),
        ([[0.0, 0.9]], 0.009),
        ([[0.2, 9.0]], 0.01),
        ([[-0.5, 0.9]], 0.009),
    ):
        units = Units(2)
        units.add(np.array(codes))
        assert threshold(units, 0.0) == pytest.approx(wanted)


WAVES = [  # frequency, orientation of the bars, phase, width, length, x, y
    (0.15, 90.0, 0.0, 2.5, 4.0, 8.0, 7.0),
    (0.2, 30.0, 90.0, 2.0, 3.0, 7.0, 8.5),
    (0.12, 150.0, -90.0, 3.0, 3.5, 7.5, 7.5),
    (0.2, 0.0, 180.0, 2.0, 4.0, 8.0, 8.0),
]


def wave(frequency, orientation, phase, width, length, x, y):
    """Drawn from the words alone: bars at an angle from horizontal, counter-clockwise, y upwards."""
    rows, columns = np.mgrid[:16, :16]
    right, up = columns - x, -(rows - y)
    angle = np.radians(orientation)
    along = right * np.cos(angle) + up * np.sin(angle)
    across = right * np.sin(angle) - up * np.cos(angle)
    envelope = np.exp(-(across**2) / (2 * width**2) - along**2 / (2 * length**2))
    return 3 * envelope * np.cos(2 * np.pi * frequency * across + np.radians(phase))


def test_the_table_of_fits_tells_the_waves_that_filters_were_made_of():
    F = np.stack([*(wave(*one) for one in WAVES), np.ones((16, 16))])
    table = gabor_fits(F).table()
    names = ("frequency", "orientation", "phase", "width", "length", "x", "y")
    for i, one in enumerate(WAVES):
        found = {name: table[name][i] for name in names}
        for name, value in zip(names, one, strict=True):
            turn = {"orientation": 180, "phase": 360}.get(name)
            off = abs(found[name] - value)
            off = min(off, turn - off) if turn else off
            if name == "phase":  # that of -90 and of 90 turns with the direction in which the wave is read
                off = min(off, abs(abs(found[name]) - abs(value)))
            assert off < {"orientation": 2, "phase": 6, "frequency": 0.005}.get(name, 0.2), (i, name, found)
        half = np.sqrt(2 * np.log(2)) / (2 * np.pi * one[3])
        wanted = np.log2((one[0] + half) / (one[0] - half))
        assert table["bandwidth"][i] == pytest.approx(wanted, rel=0.1)
    assert (table["r2"][:4] > 0.98).all()
    assert table["amplitude"][:4] == pytest.approx([3] * 4, rel=0.1)
    assert table["r2"][4] == 0
    assert np.isnan(table["frequency"][4])
    assert ((table["orientation"][:4] >= 0) & (table["orientation"][:4] < 180)).all()
