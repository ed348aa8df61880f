"""featlearn encode into matrices: .npy, .npz and .csv hold what the data set of codes holds."""

import json
import tracemalloc

import numpy as np
import pytest

from featlearn.errors import DataError
from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.files.matrix import Matrix, write_matrix
from featlearn.models.rbm import RBM
from featlearn.patches.fitter import Fitter
from featlearn.patches.settings import PreprocessSpec
from helpers import ok, refused

SUFFIXES = (".npy", ".npz", ".csv")


def write_data_set(path, n, labels=None, label_names=None):
    patches = np.random.default_rng(0).integers(0, 256, (n, 64), dtype=np.uint8)
    fitter = Fitter(PreprocessSpec("none", "none"), 64, np.uint8)
    fitter.update(patches)
    with DatasetWriter(str(path), n, (8, 8, 1), np.uint8, labels is not None) as writer:
        writer.append(patches, np.zeros((n, 3), np.int64), labels)
        writer.finish(fitter.finish().to_dict(), ["an image"], label_names, {})


@pytest.fixture(scope="module")
def made(work, run_here, tmp_path_factory):
    """Codes of 5000 labelled rows in every format, and what was reported of them."""
    folder, reports = tmp_path_factory.mktemp("made"), {}
    write_data_set(folder / "d.h5", 5000, np.arange(5000) % 3, ["cat", "dog", "emu"])
    for suffix in (".h5", *SUFFIXES):
        ran = ok(run_here("encode", work.model, folder / "d.h5", "-o", folder / f"c{suffix}", "--json"))
        reports[suffix] = json.loads(ran.out)
        assert ("next:" in ran.err) == (suffix == ".h5")
    return folder, reports


def test_the_same_codes(made):
    folder, reports = made
    wanted = np.asarray(read_dataset(str(folder / "c.h5")).patches)
    npy, npz = np.load(folder / "c.npy"), np.load(folder / "c.npz")
    csv = np.loadtxt(folder / "c.csv", delimiter=",", skiprows=1, dtype=np.float64)
    for codes in (npy, npz["codes"]):
        assert codes.dtype == np.float32
        assert np.array_equal(codes, wanted)
    assert np.array_equal(csv[:, :-1].astype(np.float32), wanted)
    assert np.load(folder / "c.npy", mmap_mode="r").shape == (5000, 12)
    for suffix, report in reports.items():
        path = folder / f"c{suffix}"
        wanted_report = {"output": str(path), "codes": 5000, "units": 12, "bytes": path.stat().st_size}
        assert report == wanted_report | {"low": wanted.min(), "high": wanted.max()}


def test_the_labels(made):
    folder, _ = made
    npz = np.load(folder / "c.npz")
    assert npz["labels"].dtype == np.int64
    assert np.array_equal(npz["labels"], np.arange(5000) % 3)
    assert npz["label_names"].tolist() == ["cat", "dog", "emu"]
    lines = (folder / "c.csv").read_text().splitlines()
    assert lines[0] == ",".join([*(f"h{i}" for i in range(12)), "label"])
    assert [line.rpartition(",")[2] for line in lines[1:]] == [str(i % 3) for i in range(5000)]


def test_no_labels_no_column(work, run_here, tmp_path):
    for suffix in SUFFIXES:
        ok(run_here("encode", work.model, work.patches, "-o", tmp_path / f"c{suffix}"))
    assert np.load(tmp_path / "c.npz").files == ["codes"]
    assert (tmp_path / "c.csv").read_text().partition("\n")[0].split(",")[-1] == "h11"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_bytes_again(suffix, made, work, run_here, tmp_path):
    ok(run_here("encode", work.model, made[0] / "d.h5", "-o", tmp_path / f"c{suffix}"))
    assert (tmp_path / f"c{suffix}").read_bytes() == (made[0] / f"c{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_what_is_written_is_data_again(suffix, made, run_here, tmp_path):
    ok(run_here("extract-patches", made[0] / f"c{suffix}", "-o", tmp_path / "again.h5"))
    found = np.asarray(read_dataset(str(tmp_path / "again.h5")).patches)
    assert np.array_equal(found[:, :12], np.load(made[0] / "c.npy"))


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-30, 3.4e38, -1.5, 0.0, 16777217.0, np.float32(2.0**-149)])
def test_numbers_in_a_csv_are_read_back_exactly(value, tmp_path):
    write_matrix(str(tmp_path / "c.csv"), ".csv", Matrix((1, 1), [np.array([[value]], np.float32)]))
    _, number = (tmp_path / "c.csv").read_text().splitlines()
    assert np.float32(number) == np.float32(value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_is_bounded(suffix, tmp_path):
    """2.4 MB of codes pass through a buffer of 1 MiB and a little more."""
    block = np.zeros((100, 20), np.float32)
    tracemalloc.start()
    try:
        write_matrix(str(tmp_path / "c"), suffix, Matrix((30_000, 20), (block for _ in range(300))))
        assert tracemalloc.get_traced_memory()[1] < 1.5e6
    finally:
        tracemalloc.stop()
    assert (tmp_path / "c").stat().st_size >= 2.4e6


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_error_on_the_way_leaves_nothing(suffix, tmp_path):
    def blocks():
        yield np.zeros((500, 100), np.float32)
        raise DataError("row 500 holds NaN")

    path = tmp_path / "c"
    path.write_text("before")
    with pytest.raises(DataError, match="row 500"):
        write_matrix(str(path), suffix, Matrix((1000, 100), blocks()), force=True)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("c", "before")]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rubbish(suffix, work, run_here, tmp_path):
    out = tmp_path / f"c{suffix}"
    out.write_text("mine")
    refused(run_here("encode", work.model, work.patches, "-o", out), "exists", "--force")
    assert out.read_text() == "mine"
    ok(run_here("encode", work.model, work.patches, "-o", out, "--force"))
    out.unlink()
    refused(run_here("encode", work.patches, work.patches, "-o", out), "data set", "wanted a model")
    refused(run_here("encode", work.model, work.model, "-o", out), "wanted a data set")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["c.json", "c.csv.gz", "c.mat", "c.txt", "c.safetensors"])
def test_other_formats_are_refused_with_the_list(name, work, run_here, tmp_path):
    ran = run_here("encode", work.model, work.patches, "-o", tmp_path / name)
    refused(ran, name, ".h5, .npy, .npz or .csv", code=2)


def test_codes_that_are_all_one_value_are_refused(work, run_here, tmp_path, monkeypatch):
    monkeypatch.setattr(RBM, "encode", lambda self, X: np.full((len(X), 12), 0.5, np.float32))
    for suffix in SUFFIXES:
        refused(
            run_here("encode", work.model, work.patches, "-o", tmp_path / f"c{suffix}"), "nothing to learn"
        )
    assert list(tmp_path.iterdir()) == []
