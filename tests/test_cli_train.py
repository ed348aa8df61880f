"""featlearn train from the outside: files, checkpoints, signals, settings, and the same bytes everywhere."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from featlearn import _core
from featlearn.errors import DataError
from featlearn.jobs import plan, training_run

FEATLEARN = [sys.executable, "-m", "featlearn"]


def run(folder, *args, code=0, **env):
    done = subprocess.run(
        [*FEATLEARN, *map(str, args)],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done


def train(folder, *args, **env):
    return json.loads(run(folder, "train", *args, "--json", **env).stdout)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with p.h5: 600 patches of generated images."""
    folder = tmp_path_factory.mktemp("train")
    cut = ("--size", 8, "--count", 600, "--normalize", "standardize")
    run(folder, "extract-patches", "dead-leaves", "--images", 2, *cut, "-o", "p.h5")
    return folder


def params(path):
    with h5py.File(path) as file:
        return {name: file["params"][name][:].tobytes() for name in file["params"]}


def test_the_readmes_first_command_learns_spots(tmp_path):
    """Without a data set, in seconds; L1 decay leaves most weights exactly zero; a next command is named."""
    done = run(tmp_path, "train", "--model", "rbm", "--decay", "l1", "--json")
    report = json.loads(done.stdout)
    assert report["output"] == "rbm-l1.h5"
    assert report["zero_weights"] > 0.4
    assert "featlearn visualize rbm-l1.h5" in done.stderr
    assert "\nexpect spots; edges of the same images: featlearn train --model k-sparse\n" in done.stderr
    assert os.listdir(tmp_path) == ["rbm-l1.h5"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("rbm", "--hidden", 50), "spots"),
        (("rbm", "--decay", "l2"), "blobs"),
        (("rbm", "--init-scale", 0.1), None),
        (("k-sparse",), None),
    ],
)
def test_a_newcomer_is_told_what_generated_images_teach(options, expected, tmp_path, run_here, monkeypatch):
    """Where that are no edges; with other settings nobody knows, and where they come there is no need."""
    monkeypatch.chdir(tmp_path)
    said = run_here("train", "--model", *options, "--epochs", 1, "--show-config").err
    assert "no data set given" in said
    assert ("expect" in said) == (expected is not None)
    assert expected is None or f"expect {expected}; edges" in said


def test_what_a_newcomer_is_told_to_take_learns_edges(tmp_path, run_here, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_here("train", "--model", plan.EDGES, "--hidden", 40, "--epochs", 5, "-o", "edges.h5")
    fits = json.loads(run_here("visualize", "edges.h5", "--what", "gabor", "-o", "fits.csv", "--json").out)
    assert fits["edges"] > 30


def test_same_bytes_for_threads_and_instruction_sets(data):
    """Threads, instruction set and a second run change nothing in the learned parameters."""
    sets = {"avx512": ["avx512", "avx2", "plain"], "avx2": ["avx2", "plain"], "plain": ["plain"]}[_core.isa()]
    found = {}
    for i, (isa, threads) in enumerate([(sets[0], 1), (sets[-1], 2)]):
        name = f"same-{i}.h5"
        options = (
            "--model",
            "rbm",
            "--hidden",
            40,
            "--epochs",
            2,
            "--decay",
            "l1",
            "--sparsity-target",
            0.1,
            "--refine",
            5,
        )
        report = train(data, "p.h5", *options, "--threads", threads, "-o", name, FEATLEARN_ISA=isa)
        found[isa, threads] = report["content_hash"], params(data / name)
    assert len({content for content, _ in found.values()}) == 1
    assert all(values == found[sets[0], 1][1] for _, values in found.values())


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, -15), (signal.SIGINT, -2), (signal.SIGKILL, -9)]
)
def test_a_stopped_run_resumes_to_the_same_bytes(data, signum, code):
    """SIGTERM and SIGINT leave a checkpoint and end the run; after SIGKILL the last checkpoint serves."""
    options = (
        "train",
        "p.h5",
        "--model",
        "rbm",
        "--hidden",
        "300",
        "--epochs",
        "250",
        "--checkpoint-every",
        "0.1",
    )
    name = f"stopped-{int(signum)}.h5"
    process = subprocess.Popen(
        [*FEATLEARN, *options, "-o", name], cwd=data, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (data / (name + ".ckpt")).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signum)
    words = process.communicate(timeout=60)[1]
    assert process.returncode == code, words
    assert not (data / name).exists()
    if signum != signal.SIGKILL:
        assert "--resume" in words
    refused = run(data, *options, "-o", name, code=1)
    assert "an unfinished run" in refused.stderr
    other = run(data, *options, "-o", name, "--resume", "--lr", "0.02", code=2)
    assert "lr was 0.0089 and is now 0.02" in other.stderr
    run(data, *options, "-o", name, "--resume")
    assert sorted(p.name for p in data.glob(name + "*")) == [name]
    if not (data / "whole.h5").exists():
        run(data, *options, "-o", "whole.h5")
    assert params(data / name) == params(data / "whole.h5")
    again = run(data, *options, "-o", name, "--resume")
    assert "content_hash" in again.stdout


GOLDEN = {
    "content": "5d0c6a5ffd4707c211296b22db056c9a9039fc18089005b1c8855e281b4497da",
    "params": "1cc5e8501b249281c067817cd8671564b272faf7455623c1e36e93188c58712d",
}
"""Of the run below.

The parameters stay for ever; the content hash also changes with a new setting of the model.
"""


def test_the_golden_run(data):
    """From generated images to a refined sparse RBM: on every machine these bytes."""
    options = (
        "--hidden",
        30,
        "--epochs",
        5,
        "--decay",
        "l1",
        "--decay-weight",
        0.002,
        "--sparsity-target",
        0.1,
        "--refine",
        20,
    )
    options += ("--visible-bias", "zero", "--lr", 0.01, "--refine-lr", 0.01)
    report = train(data, "p.h5", "--model", "rbm", *options, "--seed", 7, "-o", "golden.h5")
    digest = hashlib.sha256()
    for name, value in sorted(params(data / "golden.h5").items()):
        digest.update(name.encode() + value)
    assert {"content": report["content_hash"], "params": digest.hexdigest()} == GOLDEN


def test_divergence_keeps_the_last_good_model(data):
    done = run(data, "train", "p.h5", "--model", "rbm", "--lr", "30", "-o", "wild.h5", code=3)
    assert done.stderr.count("\n") == 1
    assert "diverged at epoch 1" in done.stderr
    assert "lower --lr" in done.stderr
    assert not (data / "wild.h5").exists()
    with h5py.File(data / "wild.h5.ckpt") as file:
        assert all(np.isfinite(value[:]).all() for value in file["params"].values())
    assert (
        "diverged"
        in run(
            data, "train", "p.h5", "--model", "rbm", "--lr", "30", "-o", "wild.h5", "--resume", code=2
        ).stderr
    )


def test_divergence_on_a_full_disk_tells_both(data, run_here, monkeypatch):
    monkeypatch.chdir(data)

    def refuse(*_, **__):
        raise DataError("full.h5.ckpt: disk full")

    monkeypatch.setattr(training_run, "write_model", refuse)
    done = run_here("train", "p.h5", "--model", "rbm", "--lr", "30", "-o", "full.h5", "-q")
    assert done.code == 3
    assert done.err.count("\n") == 1
    assert "diverged at epoch 1" in done.err
    assert done.err.endswith("; the last good model is lost: full.h5.ckpt: disk full\n")


def test_settings_from_toml_and_environment(data):
    """Command line over environment over file over default; --show-config prints what the file takes."""
    (data / "run.toml").write_text('model = "rbm"\nepochs = 1\nhidden = 7\nlr = 0.5\nmomentum = 0.25\n')
    env = {"FEATLEARN_TRAIN_LR": "0.25"}
    shown = run(data, "train", "--config", "run.toml", "--momentum", "0.75", "--show-config", **env).stdout
    assert {"lr = 0.25", "hidden = 7", "momentum = 0.75", "epochs = 1", 'optimizer = "sgd"'} <= set(
        shown.split("\n")
    )
    (data / "again.toml").write_text(shown)
    assert run(data, "train", "--config", "again.toml", "--show-config").stdout == shown
    (data / "bad.toml").write_text("hiden = 7\n")
    done = run(data, "train", "--model", "rbm", "--config", "bad.toml", code=2)
    assert "'hiden'; did you mean hidden?" in done.stderr


def test_visible_units_follow_the_range(data):
    run(
        data,
        "extract-patches",
        "dead-leaves",
        "--images",
        1,
        "--count",
        200,
        "--normalize",
        "none",
        "-o",
        "unit.h5",
    )
    for name, kind in (("p.h5", "gaussian"), ("unit.h5", "bernoulli")):
        out = f"visible-{name}"
        run(data, "train", name, "--model", "rbm", "--epochs", 1, "-o", out)
        assert json.loads(run(data, "info", out, "--json").stdout)["config"]["visible"] == kind
    done = run(data, "train", "p.h5", "--model", "rbm", "--visible", "bernoulli", "-o", "no.h5", code=2)
    assert "use --visible gaussian" in done.stderr


def test_a_finished_output_is_not_touched(data):
    run(data, "train", "p.h5", "--model", "rbm", "--epochs", 1, "-o", "kept.h5")
    before = (data / "kept.h5").read_bytes()
    done = run(data, "train", "p.h5", "--model", "rbm", "--epochs", 2, "-o", "kept.h5", code=1)
    assert "--force" in done.stderr
    assert (
        run(data, "train", "p.h5", "--model", "rbm", "-o", "p.h5", "--force", code=1).stderr.count("\n") == 1
    )
    assert (data / "kept.h5").read_bytes() == before


def test_data_in_other_units_make_the_same_model(tmp_path, run_here):
    """They are divided before learning, in one line, and by every command that uses the model."""
    X = np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)
    for name, factor in (("one", 1.0), ("large", 1000.0)):
        np.save(tmp_path / f"{name}.npy", X * np.float32(factor))
        assert run_here("extract-patches", tmp_path / f"{name}.npy", "-o", tmp_path / f"{name}.h5").code == 0
    args = ("--model", "rbm", "--hidden", 4, "--epochs", 2, "--lr", 0.05, "--json")
    one = run_here("train", tmp_path / "one.h5", *args, "-o", tmp_path / "a.h5")
    large = run_here("train", tmp_path / "large.h5", *args, "--data-scale", 1000, "-o", tmp_path / "b.h5")
    auto = run_here("train", tmp_path / "large.h5", *args, "-o", tmp_path / "c.h5")
    assert (one.code, large.code, auto.code) == (0, 0, 0)
    assert "values are divided by" not in one.err + large.err
    assert auto.err.count("values are divided by 990, which suits --model rbm; --data-scale 1 leaves") == 1
    rmse = json.loads(one.out)["rmse"]
    assert json.loads(large.out)["rmse"] == pytest.approx(rmse, rel=1e-4)
    measured = run_here("evaluate", tmp_path / "b.h5", tmp_path / "large.h5", "--json")
    assert json.loads(measured.out)["models"][0]["rmse"] == pytest.approx(rmse, rel=1e-4)


def test_data_where_one_value_or_the_mean_is_most_are_named(tmp_path, run_here):
    X = np.random.default_rng(0).normal(size=(200, 6))
    short = ("--epochs", 1, "-o", tmp_path / "m.h5", "--force")
    for name, rows, words in (
        ("one", X * [1, 1, 9, 1, 1, 1], "warning: value 3 of 6 has 9"),
        ("mean", X + 300, "warning: the mean row is 3.1e+02 times as long as rows are far from it"),
        ("good", X + 3, None),
    ):
        np.save(tmp_path / f"{name}.npy", rows)
        assert run_here("extract-patches", tmp_path / f"{name}.npy", "-o", tmp_path / f"{name}.h5").code == 0
        ran = run_here("train", tmp_path / f"{name}.h5", "--model", "rbm", *short)
        assert ran.code == 0
        assert ("warning" in ran.err) == (words is not None)
        assert words is None or words in ran.err
    for model in (("k-sparse",), ("pca",)):  # which take the mean off
        ran = run_here(
            "train", tmp_path / "mean.h5", "--model", *model, *short[2 if model == ("pca",) else 0 :]
        )
        assert (ran.code, "warning" in ran.err) == (0, False)


@pytest.mark.parametrize("model", ["rbm", "autoencoder", "denoising", "sparse-autoencoder", "sesm"])
def test_rows_that_hardly_differ_from_a_long_mean_row_are_refused(model, tmp_path, run_here):
    """The remedies that are named work."""
    data, out = tmp_path / "far.h5", tmp_path / "m.h5"
    np.save(tmp_path / "far.npy", 1e6 + np.random.default_rng(0).normal(scale=0.5, size=(200, 6)))
    assert run_here("extract-patches", tmp_path / "far.npy", "-o", data).code == 0
    short = ("-o", out, "--epochs", 1)
    ran = run_here("train", data, "--model", model, *short)
    assert (ran.code, len(ran.error_lines)) == (1, 1)
    assert "times as long as rows are far from it" in ran.err
    assert ran.err.rstrip().endswith(
        "extract with --normalize standardize to take it off, or use --model k-sparse"
    )
    assert not out.exists()
    np.save(tmp_path / "codes.npy", 0.5 + np.random.default_rng(0).normal(scale=1e-4, size=(200, 6)))
    assert run_here("extract-patches", tmp_path / "codes.npy", "-o", tmp_path / "codes.h5").code == 0
    # within 0..1 nothing is so far away
    ran = run_here("train", tmp_path / "codes.h5", "--model", model, *short)
    assert (ran.code, "warning: the mean row is 5" in ran.err) == (0, True)
    out.unlink()
    assert run_here("train", data, "--model", "k-sparse", *short).code == 0
    assert (
        run_here(
            "extract-patches", tmp_path / "far.npy", "--normalize", "standardize", "-o", data, "--force"
        ).code
        == 0
    )
    ran = run_here("train", data, "--model", model, *short, "--force")
    assert (ran.code, "warning" in ran.err) == (0, False)


def test_a_sigma_far_above_the_data_is_named(data, run_here, tmp_path):
    """They have a standard deviation of 1."""
    for sigma, warned in ((1, False), (2, False), (3, True), (0.5, False)):
        ran = run_here(
            "train",
            data / "p.h5",
            "--model",
            "rbm",
            "--sigma",
            sigma,
            "--epochs",
            1,
            "-o",
            tmp_path / "m.h5",
            "--force",
        )
        assert (ran.code, "warning" in ran.err) == (0, warned)
        assert not warned or "warning: --sigma 3 is 3 times the data's standard deviation" in ran.err
    learned = ("--sigma", 3, "--learn-sigma", "--epochs", 1, "-o", tmp_path / "m.h5", "--force")
    assert "warning" not in run_here("train", data / "p.h5", "--model", "rbm", *learned).err
