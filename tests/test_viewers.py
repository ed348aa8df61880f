"""Files as a viewer of HDF5 and NeXus sees them: what it opens on, and how axes are named."""

import h5py
import numpy as np
import pytest
from PIL import Image

import featlearn
from featlearn.jobs.pictures import SHEET, patches_inside
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import PreprocessSpec


def opened_on(path):
    """The data set that a viewer opens a file on, by NeXus's rules, and its attributes."""
    with h5py.File(path) as file:
        assert file.attrs["NX_class"] == b"NXdata"
        signal = file[file.attrs["signal"].decode()]
        attributes = {
            name: value.decode() for name, value in signal.attrs.items() if name != "DIMENSION_LABELS"
        }
        return signal.name, signal[()], attributes, [axis.label for axis in signal.dims]


def labels(path, key):
    with h5py.File(path) as file:
        return [axis.label for axis in file[key].dims]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_here):
    """Grey and coloured patches, a model, a stack, codes."""
    at = tmp_path_factory.mktemp("viewers")
    random = np.random.default_rng(0)
    np.save(at / "grey.npy", random.random((150, 4, 5)))
    np.save(at / "rgb.npy", random.integers(0, 256, (20, 4, 5, 3), np.uint8))
    commands = [
        ("extract-patches", "grey.npy", "--size", "whole", "-o", "p.h5"),
        (
            "extract-patches",
            "rgb.npy",
            "--size",
            "whole",
            "--color",
            "rgb",
            "--normalize",
            "none",
            "-o",
            "rgb.h5",
        ),
        ("train", "p.h5", "--model", "rbm", "--hidden", 6, "--epochs", 1, "-o", "m.h5"),
        ("train", "p.h5", "--model", "dbn", "--hidden", "6,3", "--epochs", 1, "-o", "s.h5"),
        ("encode", "m.h5", "p.h5", "-o", "c.h5"),
    ]
    for command in commands:
        words = [at / word if str(word).endswith((".h5", ".npy")) else word for word in command]
        report = run_here(*words)
        assert report.code == 0, report.err
    return at


@pytest.mark.parametrize("name", ["p", "rgb", "m", "s"])
def test_a_viewer_opens_on_what_visualize_draws(folder, tmp_path, run_here, name):
    key, sheet, attributes, axes = opened_on(folder / f"{name}.h5")
    assert run_here("visualize", folder / f"{name}.h5", "--scale", 1, "-o", tmp_path / "x.png").code == 0
    assert key == "/sheet"
    np.testing.assert_array_equal(sheet, np.asarray(Image.open(tmp_path / "x.png")))
    colour = name == "rgb"
    assert attributes == {
        "CLASS": "IMAGE",
        "IMAGE_VERSION": "1.2",
        "IMAGE_SUBCLASS": "IMAGE_TRUECOLOR" if colour else "IMAGE_GRAYSCALE",
        "interpretation": "rgb-image" if colour else "image",
    } | ({"INTERLACE_MODE": "INTERLACE_PIXEL"} if colour else {})
    assert axes == ["row", "column", "channel"][: sheet.ndim]


def test_axes_have_names(folder):
    assert labels(folder / "p.h5", "patches") == ["patch", "pixel"]
    assert labels(folder / "p.h5", "origin") == ["patch", "image, row, column"]
    assert labels(folder / "c.h5", "patches") == ["patch", "unit"]
    assert labels(folder / "m.h5", "params/W") == ["visible", "hidden"]
    assert labels(folder / "m.h5", "params/b") == ["visible"]
    assert labels(folder / "s.h5", "layer_2/params/c") == ["hidden"]


def test_codes_open_as_a_matrix(folder):
    key, codes, attributes, _ = opened_on(folder / "c.h5")
    assert (key, codes.shape, attributes) == ("/patches", (150, 6), {})


def test_a_saved_model_has_its_sheet(folder, tmp_path):
    featlearn.load_model(folder / "m.h5").save(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (folder / "m.h5").read_bytes()


def test_the_sheet_stays_small(folder):
    preprocess = Preprocess(PreprocessSpec("none"), 700 * 700, low=0.0, high=1.0)
    patches = np.zeros((9, 700 * 700), np.uint8)
    sheet = patches_inside(patches, preprocess, (700, 700, 1), "x")
    assert sheet is not None
    assert SHEET / 2 < sheet.size < SHEET * 1.01
    large = Preprocess(PreprocessSpec("none"), 1500 * 1500, low=0.0, high=1.0)
    assert patches_inside(np.zeros((1, 1500 * 1500), np.uint8), large, (1500, 1500, 1), "x") is None
