"""evaluate and info from the command line: figures recomputed, files described."""

import json

import numpy as np
import pytest

from featlearn import __version__, _core
from featlearn.cli.store import load_model, load_rows
from featlearn.files.dataset import read_dataset
from featlearn.files.model import read_model, write_model


def report(run_here, *args):
    ran = run_here(*args, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_evaluate_recomputed(work, run_here):
    found = report(run_here, "evaluate", work.model, work.patches)["models"]
    learned = load_model(str(work.model))
    X32 = load_rows(str(work.patches), like=learned)[0].block(0, 600)
    H = learned.model.encode(X32).astype(np.float64)
    X, Y = X32.astype(np.float64), learned.reconstruct(X32).astype(np.float64)
    assert len(found) == 1
    assert found[0]["model"] == str(work.model)
    assert found[0]["rmse"] == pytest.approx(np.sqrt(np.mean((X - Y) ** 2)), rel=1e-6)
    variance = np.sum((X - X.mean(axis=0)) ** 2)
    assert found[0]["explained_variance"] == pytest.approx(1 - np.sum((X - Y) ** 2) / variance, rel=1e-5)
    assert found[0]["mean_activation"] == pytest.approx(H.mean(), rel=1e-5)


def test_all_commands_mean_the_same_error(work, run_here, tmp_path):
    """train, reconstruct and evaluate: one definition."""
    trained = report(run_here, "train", work.patches, "--model", "rbm", "--epochs", 2, "-o", tmp_path / "m.h5")["rmse"]
    again = report(run_here, "reconstruct", tmp_path / "m.h5", work.patches, "-o", tmp_path / "r.png")["rmse"]
    measured = report(run_here, "evaluate", tmp_path / "m.h5", work.patches)["models"][0]["rmse"]
    assert trained == pytest.approx(again, rel=1e-6)
    assert trained == pytest.approx(measured, rel=1e-6)


def test_several_models_are_a_column_each(work, run_here):
    ran = run_here("evaluate", work.model, work.model, work.patches)
    assert ran.code == 0
    one = run_here("evaluate", work.model, work.patches).out.splitlines()
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["model", str(work.model), str(work.model)]
    assert lines == [[key, value, value] for key, value in map(str.split, one)]


def test_an_unfinished_model_is_told(work, run_here, tmp_path):
    file = read_model(str(work.model))
    file.progress["finished"] = False
    write_model(str(tmp_path / "m.h5"), file)
    ran = run_here("evaluate", tmp_path / "m.h5", work.patches)
    assert ran.code == 0
    assert "not finished" in ran.err
    assert run_here("evaluate", tmp_path / "m.h5", work.patches, "--quiet").err == ""
    assert report(run_here, "info", tmp_path / "m.h5")["finished"] is False


def test_info_without_a_file_is_about_the_build(run_here):
    found = report(run_here, "info", "--threads", 1)
    assert found["featlearn"] == __version__
    assert found["instruction_set"] == _core.isa()
    assert found["multithreaded"] == _core.has_threads()
    assert found["threads"] == 1
    assert found["versions"]["numpy"] == np.__version__


def test_info_of_a_data_set(work, run_here):
    found = report(run_here, "info", work.patches, "--verify")
    assert (found["format"], found["patches"], found["shape"]) == ("featlearn-dataset", 600, [8, 8, 1])
    assert found["digest"] == read_dataset(str(work.patches)).digest
    assert found["verified"] is True
    assert found["preprocess"]["normalize"] == "standardize"
    assert found["preprocess"]["mean"] == [64]
    assert found["bytes"] == work.patches.stat().st_size


def test_verify_finds_damage(work, run_here, tmp_path):
    data = bytearray(work.patches.read_bytes())
    where = data.find(read_dataset(str(work.patches)).patches.tobytes())
    data[where + 1000] ^= 1
    (tmp_path / "p.h5").write_bytes(bytes(data))
    assert run_here("info", tmp_path / "p.h5").code == 0
    ran = run_here("info", tmp_path / "p.h5", "--verify")
    assert ran.code == 1
    assert "p.h5" in ran.err


def test_info_of_a_model(work, run_here):
    found = report(run_here, "info", work.model)
    assert (found["format"], found["model"], found["finished"]) == ("featlearn-model", "rbm", True)
    assert found["config"]["hidden"] == 12
    assert found["params"]["W"] == "64x12 float32"
    assert found["content_hash"] == read_model(str(work.model)).content_hash
    assert found["provenance"]["inputs"][0]["provenance"]["versions"]["featlearn"] == __version__


@pytest.mark.parametrize(
    ("key", "value"), [("config.hidden", "12"), ("model", "rbm"), ("shape", "[8, 8, 1]"), ("shape.0", "8")]
)
def test_get_prints_one_value(key, value, work, run_here):
    ran = run_here("info", work.model, "--get", key)
    assert (ran.code, ran.out) == (0, f"{value}\n")
    assert report(run_here, "info", work.model, "--get", key) == {key: json.loads(value) if value != "rbm" else value}


def test_get_of_an_unknown_key_lists_the_known(work, run_here):
    ran = run_here("info", work.model, "--get", "config.hiden")
    assert ran.code == 2
    assert "config.hidden" in ran.err
