"""featlearn export: what other programs make of its files is what featlearn encode makes."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors import safe_open

from featlearn.errors import ConfigError
from featlearn.files.dataset import DatasetWriter
from featlearn.files.model import ModelFile, write_model
from featlearn.jobs import export as exporting
from featlearn.jobs.dataset import load_dataset
from featlearn.jobs.store import load_model
from featlearn.models import model_class
from featlearn.models.base import DataSummary, Model
from featlearn.patches.fitter import Fitter
from featlearn.patches.settings import PreprocessSpec
from featlearn.random import Random
from featlearn.settings import to_dict
from helpers import SINGLE, ok, refused

PAGE = (Path(__file__).parents[1] / "docs" / "elsewhere.md").read_text("utf-8")
SHAPE = (4, 3, 1)
VARIANTS = [(id, name) for id in SINGLE for name in model_class(id).variants()]
TYPED = [(*one, np.float32) for one in VARIANTS]
TYPED += [(id, next(iter(model_class(id).variants())), np.float64) for id in SINGLE]
SUFFIXES = ("onnx", "npz", "safetensors")


@pytest.fixture(scope="module")
def page():
    """The functions of docs/elsewhere.md: those of the blocks that define any."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    program = "".join(block for block in blocks if "\ndef " in block or block.startswith("def "))
    names = {"np": np}
    exec(re.sub(r"^print\(.*$", "", program, flags=re.MULTILINE), names)
    return names


@pytest.fixture(scope="module")
def data(tmp_path_factory, rng):
    """A data set of 200 small images of bytes, and its pixels in 0..1."""
    path = tmp_path_factory.mktemp("data") / "data.h5"
    patches = rng.integers(0, 256, (200, 12), dtype=np.uint8)
    fitter = Fitter(PreprocessSpec("none", "none"), 12, np.uint8)
    fitter.update(patches)
    with DatasetWriter(str(path), 200, SHAPE, np.uint8, False) as writer:
        writer.append(patches, np.zeros((200, 3), np.int64))
        writer.finish(fitter.finish().to_dict(), ["an image"], None, {})
    return path


def write_variant(path, data, id, name, dtype):
    """Write a model of random parameters, of pixels as they are, or whitened where it wants other data."""
    cls, rng, patches = model_class(id), np.random.default_rng(1), load_dataset(str(data)).raw[:]
    summary = DataSummary(12, 0.0, 1.0, 200, variance=12.0, square=12.0, classes=3)
    spec = PreprocessSpec("none", "none")
    try:
        config = cls.resolve(cls.variants()[name], summary)
    except ConfigError:
        config = cls.resolve(cls.variants()[name], replace(summary, low=-np.inf, high=np.inf))
        spec = PreprocessSpec("center", "zca")
    fitter = Fitter(spec, 12, np.uint8)
    fitter.update(patches)
    preprocess = fitter.finish().divided(0.5)
    model = cls(config, dtype)
    model.init(12, Random(0))
    for value in (*model.params.values(), *model.state.values()):
        if value.dtype.kind == "f":
            value += rng.normal(0, 0.5, value.shape).astype(dtype)
    file = ModelFile(
        model=id, config=to_dict(config), training={"dtype": np.dtype(dtype).name}, seed=0, shape=SHAPE,
        params=model.params, preprocess=preprocess.to_dict(), state=model.state,
        classes=["a", "b", "c"] if cls.labelled else None,
    )  # fmt: skip
    write_model(str(path), file)


def exported(run_here, page, model, pixels, folder):
    """The codes of pixels (n, height, width, channels) in 0..1 by each export of a model."""
    for suffix in SUFFIXES:
        ok(run_here("export", model, "-o", folder / f"m.{suffix}"))
    session = onnxruntime.InferenceSession(folder / "m.onnx", providers=["CPUExecutionProvider"])
    with safe_open(folder / "m.safetensors", "numpy") as file:
        m = {name: file.get_tensor(name) for name in file.keys()} | file.metadata()  # noqa: SIM118
    return {
        "onnx": session.run(["codes"], {"pixels": pixels.astype(np.float32)})[0],
        "npz": page["encode"](np.load(folder / "m.npz"), pixels),
        "safetensors": page["encode"](m, pixels),
    }


def assert_equal(found, wanted):
    assert len(np.unique(wanted, axis=0)) > 4
    for suffix, codes in found.items():
        assert codes.shape == wanted.shape, suffix
        np.testing.assert_allclose(
            codes, wanted, rtol=0, atol=1e-5 * max(1, np.abs(wanted).max()), err_msg=suffix
        )


@pytest.mark.parametrize(("id", "name", "dtype"), TYPED)
def test_codes_of_every_variant(id, name, dtype, data, page, run_here, tmp_path):
    write_variant(tmp_path / "model.h5", data, id, name, dtype)
    ok(run_here("encode", tmp_path / "model.h5", data, "-o", tmp_path / "codes.npy"))
    pixels = load_dataset(str(data)).pixels / 255
    assert_equal(
        exported(run_here, page, tmp_path / "model.h5", pixels, tmp_path), np.load(tmp_path / "codes.npy")
    )


@pytest.mark.parametrize("id", [id for id in SINGLE if model_class(id).labelled])
def test_probabilities_of_classes(id, data, run_here, tmp_path):
    """They come first, agree with featlearn classify, and the metadata name the classes."""
    write_variant(tmp_path / "model.h5", data, id, next(iter(model_class(id).variants())), np.float32)
    ok(run_here("classify", tmp_path / "model.h5", data, "-o", tmp_path / "told.npz"))
    told = np.load(tmp_path / "told.npz")
    for suffix in SUFFIXES:
        ok(run_here("export", tmp_path / "model.h5", "-o", tmp_path / f"m.{suffix}"))
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    pixels = (load_dataset(str(data)).pixels / 255).astype(np.float32)
    probabilities, codes = session.run(None, {"pixels": pixels})
    assert [(one.name, one.shape[1]) for one in session.get_outputs()] == [
        ("probabilities", 3),
        ("codes", codes.shape[1]),
    ]
    assert len(np.unique(told["probabilities"], axis=0)) > 100
    np.testing.assert_allclose(probabilities, told["probabilities"], rtol=0, atol=1e-5)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["a", "b", "c"]
    assert json.loads(str(np.load(tmp_path / "m.npz")["classes"])) == ["a", "b", "c"]


PREPROCESSINGS = {
    "nothing": "--normalize none",
    "threshold": "--threshold 0.4",
    "threshold of a grey": "--threshold 0.2",
    "center": "--normalize center",
    "center, zca": "--normalize center --whiten zca",
    "pca": "--normalize none --whiten pca --epsilon 0.01",
    "contrast, pca": "--normalize contrast --whiten pca",
    "contrast": "--normalize contrast",
    "standardize, clip": "--normalize standardize --clip 1.5",
    "standardize-patch": "--normalize standardize-patch",
    "global, clip": "--normalize global --clip 1.5",
    "mapped": "--normalize center --clip 2 --to 0.1,0.9",
    "mapped, zca": "--normalize standardize --whiten zca --clip 1 --to=-1,1",
}


@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_rows_of_every_preprocessing(name, work, page, run_here, tmp_path):
    cut = ("--size", "4x3", "--count", 400, *PREPROCESSINGS[name].split())
    ok(run_here("extract-patches", work.photos, "-o", tmp_path / "p.h5", *cut))
    train = ("train", tmp_path / "p.h5", "--model", "pca", "--hidden", 5, "-o", tmp_path / "model.h5")
    ok(run_here(*train, "--data-scale", 3) if name == "center" else run_here(*train))
    ok(run_here("encode", tmp_path / "model.h5", tmp_path / "p.h5", "-o", tmp_path / "codes.npy"))
    pixels = load_dataset(str(tmp_path / "p.h5")).pixels / 255
    assert_equal(
        exported(run_here, page, tmp_path / "model.h5", pixels, tmp_path), np.load(tmp_path / "codes.npy")
    )


@pytest.mark.parametrize(("id", "name"), VARIANTS)
def test_state_that_is_not_exported_is_not_needed(id, name, data, tmp_path):
    write_variant(tmp_path / "model.h5", data, id, name, np.float32)
    model = load_model(str(tmp_path / "model.h5")).model
    X = np.random.default_rng(0).random((50, 12)).astype(np.float32)
    wanted = model.encode(X)
    model.state = {key: model.state[key] for key in model.encode_state if key in model.state}
    assert model.encode(X).tobytes() == wanted.tobytes()


@pytest.fixture(scope="module")
def exports(work, run_here, tmp_path_factory):
    """Every export of the shared model, and its report."""
    folder, reports = tmp_path_factory.mktemp("exports"), {}
    for suffix in (*SUFFIXES, "csv"):
        ran = ok(run_here("export", work.model, "-o", folder / f"m.{suffix}", "--json"))
        reports[suffix] = json.loads(ran.out)
    return folder, reports


def test_words_and_names(work, exports):
    folder, reports = exports
    learned = load_model(str(work.model))
    with safe_open(folder / "m.safetensors", "numpy") as file:
        found = {"safetensors": file.metadata()}
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    npz = np.load(folder / "m.npz")
    found["npz"] = {name: str(npz[name]) for name in found["safetensors"]}
    session = onnxruntime.InferenceSession(folder / "m.onnx", providers=["CPUExecutionProvider"])
    found["onnx"] = session.get_modelmeta().custom_metadata_map
    for words in found.values():
        assert (words["model"], words["content_hash"]) == ("rbm", learned.file.content_hash)
        assert json.loads(words["config"]) == learned.file.config
        assert json.loads(words["shape"]) == [8, 8, 1]
    assert json.loads(found["npz"]["preprocess"])["normalize"] == "standardize"
    wanted = {f"params.{name}": value for name, value in learned.model.params.items()}
    wanted |= {f"preprocess.{name}": getattr(learned.preprocess, name) for name in ("mean", "scale")}
    assert arrays.keys() == wanted.keys() == set(npz.files) - found["npz"].keys()
    for name, value in wanted.items():
        assert arrays[name].dtype == npz[name].dtype == value.dtype
        assert np.array_equal(arrays[name], value)
        assert np.array_equal(npz[name], value)
    [pixels], [codes] = session.get_inputs(), session.get_outputs()
    assert (pixels.name, pixels.shape, pixels.type) == ("pixels", ["n", 8, 8, 1], "tensor(float)")
    assert (codes.name, codes.shape, codes.type) == ("codes", ["n", 12], "tensor(float)")
    for suffix, report in reports.items():
        size = (folder / f"m.{suffix}").stat().st_size
        assert report == {
            "output": str(folder / f"m.{suffix}"), "format": suffix, "bytes": size, "model": "rbm",
            "content_hash": learned.file.content_hash,
        }  # fmt: skip


def test_the_history_as_csv(work, exports):
    columns = np.genfromtxt(exports[0] / "m.csv", delimiter=",", names=True)
    history = load_model(str(work.model)).file.history
    assert columns.dtype.names[:3] == ("epoch", "phase", "step")
    assert set(columns.dtype.names) == set(history)
    for name, column in history.items():
        assert np.array_equal(columns[name], column)


@pytest.mark.parametrize("suffix", [*SUFFIXES, "csv"])
def test_the_bytes_of_an_export_stay_the_same(suffix, work, exports, start, tmp_path):
    """In another process, with another order of the elements of sets."""
    out = tmp_path / f"again.{suffix}"
    process = start("export", work.model, "-o", out, "-q", cwd=tmp_path, env={"PYTHONHASHSEED": "7"})
    assert process.wait(60) == 0
    assert out.read_bytes() == (exports[0] / f"m.{suffix}").read_bytes()


def test_a_model_that_is_not_finished_is_exported_with_a_warning(work, run_here, tmp_path):
    file = load_model(str(work.model)).file
    file.progress["finished"] = False
    write_model(str(tmp_path / "m.h5"), file)
    ran = ok(run_here("export", tmp_path / "m.h5", "-o", tmp_path / "m.npz"))
    assert "warning" in ran.err
    assert "not finished" in ran.err


@pytest.mark.parametrize("name", ["m", "m.h5", "m.txt", "m.npz.gz", "-.onnx.bak"])
def test_another_suffix_is_refused_with_the_list(name, work, run_here, tmp_path):
    ran = run_here("export", work.model, "-o", tmp_path / name)
    refused(ran, name, ".onnx, .npz, .safetensors or .csv", code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [*SUFFIXES, "csv"])
def test_rubbish(suffix, work, run_here, tmp_path):
    out = tmp_path / f"m.{suffix}"
    out.write_text("mine")
    refused(run_here("export", work.model, "-o", out), "exists", "--force")
    assert out.read_text() == "mine"
    ok(run_here("export", work.model, "-o", out, "--force"))
    out.unlink()
    (tmp_path / "none.h5").write_text("no model")
    refused(run_here("export", tmp_path / "none.h5", "-o", out), "none.h5", "not an HDF5 file")
    refused(run_here("export", work.patches, "-o", out), "data set", "wanted a model")
    refused(run_here("export", tmp_path / "missing.h5", "-o", out), "missing.h5", "no such file")
    refused(run_here("export", work.model, "-o", tmp_path / "no" / out.name), "does not exist")
    assert [one.name for one in tmp_path.iterdir()] == ["none.h5"]


def test_a_missing_library(work, run_here, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "featlearn.files.onnx", raising=False)
    refused(run_here("export", work.model, "-o", tmp_path / "m.onnx"), 'pip install "featlearn[export]"')
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for suffix in ("npz", "safetensors", "csv"):
        ok(run_here("export", work.model, "-o", tmp_path / f"m.{suffix}"))


def test_a_model_without_operations(work, run_here, tmp_path, monkeypatch):
    monkeypatch.setattr(model_class("rbm"), "portable", Model.portable)
    refused(run_here("export", work.model, "-o", tmp_path / "m.onnx"), "'rbm'", ".safetensors", code=2)
    ok(run_here("export", work.model, "-o", tmp_path / "m.npz"))


def test_a_model_beyond_what_onnx_holds(work, run_here, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "LARGEST", 1000)
    refused(run_here("export", work.model, "-o", tmp_path / "m.onnx"), "do not fit", ".safetensors")


def test_no_epoch_no_curve(work, run_here, tmp_path):
    file = load_model(str(work.model)).file
    file.history = {}
    write_model(str(tmp_path / "m.h5"), file)
    refused(run_here("export", tmp_path / "m.h5", "-o", tmp_path / "m.csv"), "has no history")
    refused(run_here("info", tmp_path / "m.h5", "--history", "csv"), "has no history")
