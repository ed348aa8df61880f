"""Data sets that change, are damaged or poisoned while commands use them: one line names them."""

import hashlib
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from featlearn.files import dataset, header
from featlearn.files.dataset import DatasetWriter
from featlearn.jobs import encode as encoding
from featlearn.jobs import measuring
from featlearn.patches.fitter import Fitter
from featlearn.patches.settings import PreprocessSpec


@pytest.fixture
def floats(tmp_path):
    """A data set of floats as another program may write it: the checksum fits, whatever is in it."""
    rows = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    fitter = Fitter(PreprocessSpec("standardize"), 64, rows.dtype)
    fitter.update(rows)
    path = tmp_path / "floats.h5"
    with DatasetWriter(str(path), 300, (8, 8, 1), "float32", False) as writer:
        writer.append(rows, np.zeros((300, 3), np.int64))
        writer.finish(fitter.finish().to_dict(), ["x"], None, {})

    def change(key, where, value):
        with h5py.File(path, "r+") as file:
            file[key][where] = value
        data = path.read_bytes()
        path.write_bytes(header.make(header.DATASET, hashlib.sha256(data[512:]).hexdigest()) + data[512:])
        return path

    return change


@pytest.fixture
def cut(work, tmp_path, monkeypatch):
    """A copy of the data set that is cut once it was opened and verified; none of it is kept in memory."""
    monkeypatch.setattr(dataset, "KEPT", 0)
    path = tmp_path / "cut.h5"
    path.write_bytes(work.patches.read_bytes())

    def shorten(*args, **more):
        os.truncate(path, 10_000)

    monkeypatch.setattr(encoding, "refuse_other_patches", shorten)
    monkeypatch.setattr(measuring, "refuse_other_patches", shorten)
    return path


def test_a_data_set_cut_in_use_is_named_and_not_the_output(work, run_here, cut, tmp_path):
    for args in (("encode", work.model, cut, "-o", tmp_path / "codes.h5"), ("evaluate", work.model, cut)):
        cut.write_bytes(work.patches.read_bytes())
        ran = run_here(*args)
        assert ran.code == 1
        wanted = (
            f"featlearn: error: {cut}: has become shorter while it was read; use a copy that stays as it is"
        )
        assert ran.error_lines == [wanted]
    assert sorted(os.listdir(tmp_path)) == ["cut.h5"]


def test_every_command_names_the_row_that_is_not_finite(work, run_here, floats, tmp_path):
    path = floats("patches", (211, 5), np.nan)
    out = tmp_path / "out.h5"
    for args in (
        ("train", path, "--model", "rbm", "--hidden", 3, "-o", out),
        ("encode", work.model, path, "-o", out),
        ("evaluate", work.model, path),
        ("visualize", path, "-o", tmp_path / "x.png", "--count", 300),
        ("visualize", work.model, "--sort", "use", "--data", path, "-o", tmp_path / "x.png"),
        ("reconstruct", work.model, path, "-o", tmp_path / "x.png"),
        ("sample", work.model, "--data", path, "--count", 300, "-o", tmp_path / "x.png"),
        ("info", path, "--verify"),
    ):
        ran = run_here(*args)
        assert ran.code == 1
        assert len(ran.err.splitlines()) == 1, ran.err
        assert ran.err.startswith(f"featlearn: error: {path}: "), ran.err
        assert " 211 holds NaN or infinity" in ran.err, ran.err
    assert sorted(os.listdir(tmp_path)) == ["floats.h5"]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("preprocess/scale", 0, "'scale' is 0 at a pixel, wanted above 0"),
        ("preprocess/mean", np.nan, "preprocess/mean: 1 of 64 values are not finite"),
        ("preprocess/scale", 1e-300, "row 0 is not finite once it is preprocessed"),
    ],
)
def test_preprocessing_that_no_fit_makes(run_here, floats, tmp_path, key, value, words):
    path = floats(key, 3, value)
    for args in (("train", path, "--model", "pca", "-o", tmp_path / "o.h5"), ("visualize", path, "-o", "-")):
        ran = run_here(*args)
        assert (ran.code, len(ran.err.splitlines())) == (1, 1)
        assert words in ran.err


def test_training_reads_no_damaged_bytes(work, run_here, tmp_path):
    data = bytearray(work.patches.read_bytes())
    data[len(data) // 2] ^= 16
    (tmp_path / "d.h5").write_bytes(data)
    ran = run_here("train", tmp_path / "d.h5", "--model", "rbm", "-o", tmp_path / "o.h5")
    assert (ran.code, ran.out) == (1, "")
    assert "d.h5: does not match its SHA-256: damaged since it was written; make it again" in ran.err
    assert sorted(os.listdir(tmp_path)) == ["d.h5"]
    assert run_here("info", tmp_path / "d.h5").code == 0  # who only looks reads the rest


def test_the_memory_limit_can_be_raised_for_one_command(run_here, tmp_path):
    rows = np.zeros((300, 400, 400), np.uint8)
    rows[:, 0, 0] = 255
    np.savez_compressed(tmp_path / "x.npz", x=rows)
    dry = ("extract-patches", tmp_path / "x.npz", "-o", tmp_path / "o.h5", "--dry-run", "--size", 8)
    ran = run_here(*dry, "--max-memory", "40MB")
    assert (ran.code, ran.out) == (1, "")
    assert "x.npz: its contents would take 48.0 MB of memory, 40.0 MB are allowed" in ran.err
    assert "give --max-memory 49MB" in ran.err
    assert run_here(*dry, "--max-memory", "49MB").code == 0
    assert run_here(*dry).code == 0
    for bad in ("much", "1XB", "4iB", "-1GB", ""):
        assert run_here(*dry, "--max-memory", bad).code == 2


def test_one_grey_image_in_a_matrix_is_told_how_to_be_saved(run_here, tmp_path):
    np.save(tmp_path / "x.npy", np.arange(1024, dtype=np.uint8).reshape(32, 32))
    cut = ("extract-patches", tmp_path / "x.npy", "-o", tmp_path / "o.h5", "--size", 8)
    ran = run_here(*cut)
    assert ran.code == 1
    assert "; an array that is one grey image is saved as (1, h, w)" in ran.err
    np.save(tmp_path / "x.npy", np.load(tmp_path / "x.npy")[None])
    assert run_here(*cut).code == 0


def test_strides_beyond_any_image_are_refused(work, run_here, tmp_path):
    ran = run_here("extract-patches", work.photos, "-o", tmp_path / "o.h5", "--stride", 2**63)
    assert (ran.code, "Traceback" in ran.err, "internal" in ran.err) == (2, False, False)


def test_a_curve_of_any_history(run_here, tmp_path):
    """The golden file's has no column of phases; another may have nothing to draw."""
    golden = Path(__file__).parent / "golden" / "v1" / "model.h5"
    assert run_here("visualize", golden, "--what", "curve", "-o", tmp_path / "x.png").code == 0
    path = tmp_path / "m.h5"
    path.write_bytes(golden.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["history/probe_rmse"]
    data = path.read_bytes()
    path.write_bytes(header.make(header.MODEL, hashlib.sha256(data[512:]).hexdigest()) + data[512:])
    ran = run_here("visualize", path, "--what", "curve", "-o", tmp_path / "y.png")
    assert (ran.code, ran.err) == (1, f"featlearn: error: {path}: has no history to draw\n")
