"""Data sets and models: what is written is read, by us and by plain h5py; the same contents are the same
bytes."""

import dataclasses
import os
import random
import time

import h5py
import numpy as np
import pytest

from featlearn.errors import DataError
from featlearn.files import header
from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.files.header import file_kind
from featlearn.files.model import ModelFile, read_model, write_model
from featlearn.files.paths import size_words
from featlearn.files.stored import Stored

PREPROCESS = {
    "mean": np.linspace(0, 1, 12),
    "normalize": "center",
    "epsilon": 0.1,
    "n_pixels": 12,
    "unit": True,
}
IMAGES = ["a.png", "sub/b\udcff.jpg", "c\u00fc.tif"]  # a name need not be UTF-8


def patches_of(dtype, n=100, d=12):
    return (np.random.default_rng(1).random((n, d)) * 255).astype(dtype)


def origin_of(n):
    return np.add.outer(np.arange(n), np.arange(3)) % 3


def write_dataset(path, dtype="uint8", n=100, labelled=True, force=False, **changes):
    origin = origin_of(n)
    patches = patches_of(dtype, n)
    rest = {"preprocess": PREPROCESS, "images": IMAGES, "label_names": ["cat", "dog"] if labelled else None}
    with DatasetWriter(str(path), n, (2, 2, 3), dtype, labelled, force) as writer:
        for start in range(0, n, 33):
            part = slice(start, start + 33)
            writer.append(patches[part], origin[part], (np.arange(n) % 2)[part] if labelled else None)
        return writer.finish(**(rest | {"provenance": {"argv": ["featlearn"], "seed": 3}} | changes))


def a_model(**changes):
    rng = np.random.default_rng(0)
    values = {
        "model": "rbm",
        "config": {"hidden": 3, "visible": "gaussian", "sparsity_target": None},
        "training": {"lr": 0.1, "decay": "l1"},
        "seed": 2**64 - 1,
        "shape": (2, 2, 3),
        "params": {
            "W": rng.random((12, 3), np.float32),
            "b": np.zeros(12, np.float32),
            "c": np.ones(3, np.float32),
        },
        "preprocess": PREPROCESS,
        "history": {"epoch": np.arange(4), "val_rmse": np.array([1.0, np.nan, 0.5, 0.25])},
        "state": {"chain": rng.random((2, 3)), "count": np.array(7)},
        "optimizer": {"velocity.W": np.zeros((12, 3))},
        "progress": {"epoch": 4, "finished": True, "best": None},
        "provenance": {"argv": ["featlearn", "train"]},
        "version": "0.1.0",
    }
    return ModelFile(**(values | changes))


def assert_same(a, b):
    """Equal values, equal types, arrays of equal dtype."""
    assert sorted(a) == sorted(b)
    for name, value in a.items():
        if isinstance(value, np.ndarray):
            assert value.dtype == b[name].dtype, name
            np.testing.assert_array_equal(value, b[name])
        else:
            assert value == b[name], name


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("labelled", [True, False])
def test_dataset_comes_back(tmp_path, dtype, labelled):
    digest = write_dataset(tmp_path / "d.h5", dtype, labelled=labelled)
    data = read_dataset(str(tmp_path / "d.h5"), verify=True)
    np.testing.assert_array_equal(data.patches, patches_of(dtype))
    np.testing.assert_array_equal(data.origin, origin_of(100))
    assert data.patches.dtype == dtype
    assert data.shape == (2, 2, 3)
    assert data.images == IMAGES
    assert data.digest == digest
    assert data.provenance == {"argv": ["featlearn"], "seed": 3}
    assert_same(data.preprocess, PREPROCESS)
    if labelled:
        np.testing.assert_array_equal(data.labels, np.arange(100) % 2)
        assert data.label_names == ["cat", "dog"]
    else:
        assert data.labels is data.label_names is None
    assert os.listdir(tmp_path) == ["d.h5"]


def test_patches_stay_in_the_file_that_was_opened(tmp_path):
    write_dataset(tmp_path / "d.h5", "float32")
    data = read_dataset(str(tmp_path / "d.h5"))
    assert isinstance(data.patches, Stored)
    assert isinstance(data.origin, Stored)
    data.patches[:10][:] = 7  # what is read is the caller's own
    kept = data.patches
    del data
    write_dataset(tmp_path / "d.h5", "uint8", force=True)  # who reads the old file goes on reading it
    np.testing.assert_array_equal(kept, patches_of("float32"))


def test_model_comes_back(tmp_path):
    model = a_model()
    write_model(str(tmp_path / "m.h5"), model)
    back = read_model(str(tmp_path / "m.h5"))
    for field in dataclasses.fields(ModelFile):
        a, b = getattr(model, field.name), getattr(back, field.name)
        assert_same(a, b) if isinstance(a, dict) else pytest.approx(a) == b
    assert back.seed == 2**64 - 1
    assert back.content_hash == model.content_hash
    assert back.state["count"].shape == ()
    assert os.listdir(tmp_path) == ["m.h5"]


@pytest.mark.parametrize("dtype", ["i1", "u2", ">i4", "u8", "f2", ">f4", "<f8"])
def test_every_number_type_is_stored_little_endian_and_read_native(tmp_path, dtype):
    values = np.arange(6).reshape(2, 3).astype(dtype)
    write_model(str(tmp_path / "m.h5"), a_model(state={"x": values, "fortran": np.asfortranarray(values)}))
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["state/x"].dtype == values.dtype.newbyteorder("<")
    for back in read_model(str(tmp_path / "m.h5")).state.values():
        assert back.dtype == values.dtype.newbyteorder("=")
        np.testing.assert_array_equal(back, values)


def test_same_contents_same_bytes(tmp_path):
    for path in (tmp_path / "1", tmp_path / "2"):
        write_dataset(path)
        write_model(f"{path}m", a_model())
        time.sleep(1.1)  # HDF5 would note the second of creation
    shuffled = a_model(
        **{name: dict(reversed(getattr(a_model(), name).items())) for name in ("params", "config")}
    )
    write_model(str(tmp_path / "3m"), shuffled)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert (tmp_path / "1m").read_bytes() == (tmp_path / "2m").read_bytes() == (tmp_path / "3m").read_bytes()


def test_content_hash_is_of_the_result_alone():
    base = a_model().content_hash
    assert (
        a_model(provenance={}, progress={"seconds": 3}, history={}, version="9", seed=1).content_hash == base
    )
    W = a_model().params["W"]
    others = [
        a_model(model="sesm"),
        a_model(config={"hidden": 4}),
        a_model(preprocess={}),
        a_model(params={"W": W}),
        a_model(params={"V": W, "b": np.zeros(12, np.float32), "c": np.ones(3, np.float32)}),
        a_model(params=a_model().params | {"W": W.astype(np.float64)}),
        a_model(params=a_model().params | {"W": W.reshape(3, 12)}),
        a_model(params=a_model().params | {"W": np.nextafter(W, np.float32(2))}),
    ]
    assert len({base, *(model.content_hash for model in others)}) == 1 + len(others)
    big_endian = a_model(params={name: value.astype(">f4") for name, value in a_model().params.items()})
    assert big_endian.content_hash == base


def test_plain_h5py_reads_both(tmp_path):
    write_dataset(tmp_path / "d.h5")
    write_model(str(tmp_path / "m.h5"), a_model())
    with h5py.File(tmp_path / "d.h5") as file:
        assert file.userblock_size == header.SIZE
        assert file.attrs["format"] == b"featlearn-dataset"
        assert file.attrs["format_version"] == 1
        assert file["patches"].chunks is None
        assert file["patches"].compression is None
        np.testing.assert_array_equal(file["patches"][()], patches_of("uint8"))
        assert file["images"][2].decode() == IMAGES[2]
        assert file["preprocess"].attrs["unit"] == 1
    with h5py.File(tmp_path / "m.h5") as file:
        assert sorted(file) == ["history", "optimizer", "params", "preprocess", "provenance", "state"]
        for group in ("params", "history", "state", "optimizer"):
            assert all(item.dtype.kind in "iuf" for item in file[group].values())
        assert h5py.check_string_dtype(file["provenance"].dtype).length is not None
    assert (tmp_path / "m.h5").read_bytes().startswith(b"featlearn-model 1\nsha256 ")


def test_every_flipped_bit_of_a_model_is_refused(tmp_path):
    write_model(str(tmp_path / "m.h5"), a_model())
    data = (tmp_path / "m.h5").read_bytes()
    rng = random.Random(0)
    places = [*range(0, 130), *(rng.randrange(len(data)) for _ in range(400)), len(data) - 1]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        (tmp_path / "x.h5").write_bytes(damaged)
        with pytest.raises(DataError):
            read_model(str(tmp_path / "x.h5"))
    for cut in (1, 100, 511, 512, 600, len(data) - 1):
        (tmp_path / "x.h5").write_bytes(data[:cut])
        with pytest.raises(DataError):
            read_model(str(tmp_path / "x.h5"))
    (tmp_path / "x.h5").write_bytes(data + b"\0")
    with pytest.raises(DataError, match="does not match its SHA-256"):
        read_model(str(tmp_path / "x.h5"))


def test_every_flipped_bit_of_a_data_set_is_found_by_verify(tmp_path):
    write_dataset(tmp_path / "d.h5")
    data, rng = (tmp_path / "d.h5").read_bytes(), random.Random(0)
    for place in [*range(0, 100), *(rng.randrange(len(data)) for _ in range(200))]:
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        (tmp_path / "x.h5").write_bytes(damaged)
        with pytest.raises(DataError):
            read_dataset(str(tmp_path / "x.h5"), verify=True)


def test_mix_ups_are_explained(tmp_path):
    write_dataset(tmp_path / "d.h5")
    write_model(str(tmp_path / "m.h5"), a_model())
    assert file_kind(str(tmp_path / "d.h5")) == "featlearn-dataset"
    assert file_kind(str(tmp_path / "m.h5")) == "featlearn-model"
    newer = bytearray((tmp_path / "d.h5").read_bytes())
    newer[:19] = b"featlearn-dataset 2"
    others = {
        "empty": b"",
        "text": b"no, this is text\n",
        "newer": bytes(newer),
        "image.png": b"\x89PNG\r\n\x1a\n" + bytes(600),
        "array.npy": b"\x93NUMPY" + bytes(600),
        "cut.h5": bytes(newer[:40]).replace(b" 2", b" 1"),
    }
    for name, data in others.items():
        (tmp_path / name).write_bytes(data)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["patches"] = np.zeros((2, 3))
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name, message in {
        "m.h5": "is a featlearn model, wanted a data set (featlearn extract-patches makes one)",
        "empty": "is empty, wanted a data set",
        "text": "is not an HDF5 file, wanted a data set",
        "newer": "has format version 2, this featlearn reads up to 1; upgrade featlearn",
        "image.png": "is a PNG image, wanted a data set",
        "array.npy": "is a .npy file, wanted a data set",
        "cut.h5": "first 512 bytes are damaged or cut off",
        "foreign.h5": "is an HDF5 file that featlearn did not write",
        "fifo": "is a device, pipe or socket, wanted a regular file",
        "dangling": "broken symbolic link",
        "missing": "no such file or folder",
        ".": "is a folder, wanted a file",
    }.items():
        with pytest.raises(DataError) as caught:
            read_dataset(str(tmp_path / name))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="is a featlearn data set, wanted a model"):
        read_model(str(tmp_path / "d.h5"))


def test_non_finite_numbers_are_refused(tmp_path):
    bad = np.array([1.0, np.nan, np.inf])
    for changes, message in (
        ({"params": {"W": bad}}, "params/W: 2 of 3 values are not finite"),
        ({"preprocess": {"mean": bad}}, "preprocess/mean: 2 of 3"),
        ({"preprocess": {"low": float("-inf")}}, "preprocess/low: 1 of 1"),
        ({"progress": {"best": float("nan")}}, "progress: cannot be stored as JSON"),
        ({"provenance": {"argv": "x" * 70_000}}, "at most 64,000 fit"),
    ):
        with pytest.raises(DataError, match=message):
            write_model(str(tmp_path / "m.h5"), a_model(**changes))
    with DatasetWriter(str(tmp_path / "d.h5"), 4, (1, 3, 1), "float32", False) as writer:
        good = np.zeros((2, 3), np.float32)
        writer.append(good, np.zeros((2, 3), np.int64))
        with pytest.raises(DataError, match=r"patch 3 holds NaN or infinity \(1 such"):
            writer.append(np.stack([good[0], bad.astype(np.float32)]), np.zeros((2, 3), np.int64))
    assert os.listdir(tmp_path) == []


def test_what_a_file_cannot_hold_is_a_mistake_of_the_program(tmp_path):
    for changes in (
        {"params": {"W": np.array([1j])}},
        {"params": {"a/b": np.zeros(2)}},
        {"state": {"x": np.array([True])}},
        {"preprocess": {"x": [1, 2]}},
        {"history": {"a": np.zeros(2), "b": np.zeros(3)}},
    ):
        with pytest.raises((TypeError, ValueError)):
            write_model(str(tmp_path / "m.h5"), a_model(**changes))
    assert os.listdir(tmp_path) == []


def test_data_set_left_unfinished_leaves_nothing(tmp_path):
    rows, origin = np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.int64)
    with DatasetWriter(str(tmp_path / "d.h5"), 4, (1, 3, 1), "uint8", False) as writer:
        writer.append(rows, origin)
        with pytest.raises(ValueError, match="2 of 4 rows"):
            writer.finish({}, ["a"], None, {})
        for wrong in (rows.astype(np.int16), rows[:, :2], np.zeros((3, 3), np.uint8)):
            with pytest.raises(ValueError, match="do not fit"):
                writer.append(wrong, origin)
        with pytest.raises(ValueError, match="do not fit"):
            writer.append(rows, origin, np.zeros(2, np.int64))
    assert os.listdir(tmp_path) == []
    with (
        pytest.raises(DataError, match="no patches"),
        DatasetWriter(str(tmp_path / "d"), 0, (1, 3, 1), "uint8", False),
    ):
        pass


def test_data_set_larger_than_the_disk_is_refused_before_any_work(tmp_path):
    huge = DatasetWriter(str(tmp_path / "d.h5"), 1 << 45, (32, 32, 3), "float32", True)
    with pytest.raises(DataError, match="disk full, the file needs about"), huge:
        pass
    assert os.listdir(tmp_path) == []


def test_indices_are_held_against_the_names(tmp_path):
    for changes, message in (
        ({"images": IMAGES[:2]}, "origin: index 0..2"),
        ({"label_names": ["cat"]}, "labels: index"),
    ):
        write_dataset(tmp_path / "d.h5", force=True, **changes)
        with pytest.raises(DataError, match=message):
            read_dataset(str(tmp_path / "d.h5"))


@pytest.mark.parametrize(
    ("n", "words"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (4_715_000, "4.71 MB"), (99_960_000, "100 MB")),
        *((999_499_999, "999 MB"), (999_500_000, "1.00 GB"), (28 * 10**9, "28.0 GB"), (2**60, "1.15 EB")),
    ],
)
def test_sizes_have_three_digits_and_a_unit(n, words):
    assert size_words(n) == words
