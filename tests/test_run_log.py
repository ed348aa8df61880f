"""The learning curve for other programs: train --log while it is learned, info --history afterwards."""

import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import featlearn
from featlearn import signals
from featlearn.files.model import read_model
from featlearn.jobs import run_log
from featlearn.jobs.history import as_rows
from featlearn.models.rbm import RBM
from helpers import ok, refused

TRAIN = ("train", "p.h5", "--model", "rbm", "--hidden", 12, "--epochs", 4, "--batch-size", 100)
UPDATES = 6  # of an epoch


@pytest.fixture
def here(work, monkeypatch, tmp_path):
    """A folder that has p.h5, 600 rows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.h5").write_bytes(work.patches.read_bytes())
    monkeypatch.setattr(signals, "_noted", None)
    return tmp_path


@pytest.fixture(scope="module")
def whole(work, tmp_path_factory):
    """The log of the run TRAIN, in bytes."""
    folder = tmp_path_factory.mktemp("whole")
    log = folder / "run.jsonl"
    settings = {"model": "rbm", "hidden": 12, "epochs": 4, "batch_size": 100}
    featlearn.train(work.patches, folder / "m.h5", log=log, **settings)
    return log.read_bytes()


def assert_log_is_history(log, model):
    """Each line holds what the history has of its epoch, by the history's names; no number is left out."""
    history = read_model(str(model)).history
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(rows) == len(history["epoch"])
    for i, row in enumerate(rows):
        assert list(row)[:3] == ["epoch", "phase", "step"]
        wanted = {name: column[i] for name, column in history.items() if np.isfinite(column[i])}
        assert row == wanted
        assert all(type(row[name]) is int for name in ("epoch", "phase", "step"))


@pytest.mark.parametrize("options", [(), ("--refine", 3), ("--validation", 0.2, "--patience", 2)])
def test_a_line_an_epoch(options, here, run_here):
    ok(run_here(*TRAIN, *options, "--log", "run.jsonl", "-o", "m.h5"))
    assert_log_is_history(here / "run.jsonl", "m.h5")
    shown = ok(run_here("info", "m.h5", "--history", "json")).out
    rows = [json.loads(line) for line in (here / "run.jsonl").read_text().splitlines()]
    assert json.loads(shown) == rows
    assert json.loads(ok(run_here("info", "m.h5", "--history", "json", "--json")).out) == {"history": rows}
    (here / "h.csv").write_text(ok(run_here("info", "m.h5", "--history", "csv")).out)
    columns = np.genfromtxt(here / "h.csv", delimiter=",", names=True)
    history = read_model("m.h5").history
    assert set(columns.dtype.names) == set(history)
    for name, column in history.items():
        assert np.array_equal(columns[name], column, equal_nan=True)


def test_what_an_epoch_has_not_measured_is_left_out():
    """JSON has no NaN; whole numbers of the place stay whole where a column holds floats."""
    history = {"rmse": [0.5, math.nan, 1.0], "loss": [math.nan, math.inf, 2], "step": [6.0, 12.0, 18.0]}
    rows = as_rows(history | {"epoch": np.array([1, 2, 3])}, first=1)
    assert json.dumps(rows) == (
        '[{"epoch": 2, "step": 12}, {"epoch": 3, "step": 18, "loss": 2.0, "rmse": 1.0}]'
    )


def test_a_log_changes_nothing_of_what_is_learned(here, run_here):
    ok(run_here(*TRAIN, "--log", "run.jsonl", "-o", "a.h5"))
    ok(run_here(*TRAIN, "-o", "b.h5"))
    assert read_model("a.h5").content_hash == read_model("b.h5").content_hash
    shown = ok(run_here(*TRAIN, "--show-config", "--log", "other.jsonl")).out
    assert 'log = "other.jsonl"' in shown
    assert not (here / "other.jsonl").exists()


def test_lines_come_at_once(here):
    """After each update there are as many whole lines as epochs are over."""
    seen = []

    def look():
        text = (here / "run.jsonl").read_text()
        seen.append((text.count("\n"), text.endswith("\n") or not text))
        return False

    featlearn.train(
        "p.h5", "m.h5", model="rbm", hidden=12, epochs=4, batch_size=100, log="run.jsonl", should_stop=look
    )
    assert seen == [((i + 1) // UPDATES, True) for i in range(4 * UPDATES)]


def stop_after(updates, **options):
    """Stop the run TRAIN after so many updates, with a checkpoint."""
    count = iter(range(updates - 1))
    done = featlearn.train(
        "p.h5", "m.h5", model="rbm", hidden=12, epochs=4, batch_size=100, log="run.jsonl",
        should_stop=lambda: next(count, None) is None, **options,
    )  # fmt: skip
    assert not done.finished
    return Path("run.jsonl").read_bytes()


RESUME = (*TRAIN, "--log", "run.jsonl", "-o", "m.h5", "--resume")


@pytest.mark.parametrize("updates", [2, UPDATES, 2 * UPDATES + 1])
def test_a_resumed_run_goes_on_in_its_log(updates, here, run_here, whole):
    lines = updates // UPDATES
    assert stop_after(updates) == b"".join(whole.splitlines(True)[:lines])
    ok(run_here(*RESUME))
    assert (here / "run.jsonl").read_bytes() == whole


@pytest.mark.parametrize("updates", [2, 2 * UPDATES + 1])
@pytest.mark.parametrize("cut", [0, 1, 40])
def test_epochs_after_the_checkpoint_are_not_there_twice(updates, cut, here, run_here, whole):
    """As a run leaves them that is killed long after its checkpoint, in the middle of a line."""
    stop_after(updates)
    (here / "run.jsonl").write_bytes(whole[: len(whole) - cut])
    ok(run_here(*RESUME))
    assert (here / "run.jsonl").read_bytes() == whole


@pytest.mark.parametrize("left", [None, b"", b'{"epoch": 1, "ph'])
def test_lines_that_are_missing_are_made_up_for(left, here, run_here, whole):
    stop_after(2 * UPDATES + 1)
    if left is None:
        (here / "run.jsonl").unlink()
    else:
        (here / "run.jsonl").write_bytes(left)
    ok(run_here(*RESUME))
    assert (here / "run.jsonl").read_bytes() == whole


def test_a_killed_run_leaves_its_lines(here, start, run_here, whole):
    """By SIGKILL, while it waits: every line but the last is there, and the run goes on."""
    options = ("--log", "run.jsonl", "-o", "m.h5", "--checkpoint-every", 0)
    long = [100_000 if one == 4 else one for one in TRAIN]
    process = start(*long, *options, "--threads", 1, "-q", cwd=here)
    until = time.monotonic() + 60
    while not (here / "run.jsonl").exists() or (here / "run.jsonl").read_bytes().count(b"\n") < 3:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    rows = [json.loads(line) for line in (here / "run.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(read_model("m.h5.ckpt").history["epoch"]) in (len(rows), len(rows) - 1)


def test_another_runs_log_is_refused(here, run_here, whole):
    stop_after(2 * UPDATES + 1)
    for other in (whole.replace(b'"error": 0.', b'"error": 1.'), b"notes\n", b"notes", b"\n"):
        (here / "run.jsonl").write_bytes(other)
        refused(run_here(*RESUME, "-q"), "run.jsonl", "holds other epochs", "--force")
        assert (here / "run.jsonl").read_bytes() == other
    ok(run_here(*RESUME, "--force"))
    assert (here / "run.jsonl").read_bytes() == whole


def test_a_run_that_begins_does_not_replace_a_log(here, run_here, whole):
    """Nor does one that would go on, where there is nothing to go on with."""
    (here / "run.jsonl").write_bytes(whole)
    refused(run_here(*RESUME[:-1]), "run.jsonl", "exists", "--force")
    refused(run_here(*RESUME), "run.jsonl", "holds other epochs", "--force")
    assert not (here / "m.h5").exists()
    assert (here / "run.jsonl").read_bytes() == whole
    ok(run_here(*RESUME, "--force"))
    assert (here / "run.jsonl").read_bytes() == whole


def test_a_finished_run_leaves_its_log_alone(here, run_here, whole):
    ok(run_here(*RESUME))
    before = os.stat("run.jsonl")
    assert "already finished" in ok(run_here(*RESUME)).err
    assert os.stat("run.jsonl") == before
    assert (here / "run.jsonl").read_bytes() == whole


def test_a_run_that_begins_again_begins_its_log_again(here, run_here, monkeypatch):
    monkeypatch.setattr(RBM, "usual_rates", lambda config, data: {"sgd": 1.6})
    ran = ok(run_here(*TRAIN, "--log", "run.jsonl", "-o", "m.h5"))
    assert "beginning again" in ran.err
    assert_log_is_history(here / "run.jsonl", "m.h5")


def test_a_full_disk_ends_the_log_not_the_run(here, run_here, monkeypatch):
    write, calls = os.write, []

    def full(fd, data):
        if bytes(data).startswith(b'{"epoch"'):
            calls.append(data)
            if len(calls) > 1:
                raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(run_log.os, "write", full)
    ran = ok(run_here(*TRAIN, "--log", "run.jsonl", "-o", "m.h5"))
    assert "warning: run.jsonl: No space left on device" in ran.err
    assert len(calls) == 2  # later lines would come after a gap
    assert len(read_model("m.h5").history["epoch"]) == 4


@pytest.mark.parametrize(
    ("log", "words", "code"),
    [
        ("m.h5", "another file of this run", 2),
        ("m.h5.ckpt", "another file of this run", 2),
        ("p.h5", "another file of this run", 2),
        ("sub/../p.h5", "another file of this run", 2),
        ("no/run.jsonl", "does not exist", 1),
        (".", "folder", 1),
        ("", "not a file name", 1),
    ],
)
def test_rubbish(log, words, code, here, run_here):
    (here / "sub").mkdir()
    before = (here / "p.h5").read_bytes()
    for more in ((), ("--force",), ("--resume", "--force")):
        refused(run_here(*TRAIN, "--log", log, "-o", "m.h5", *more), words, code=code)
    assert sorted(one.name for one in here.iterdir()) == ["p.h5", "sub"]
    assert (here / "p.h5").read_bytes() == before


def test_fit_writes_a_log_too(here, whole):
    X = np.random.default_rng(0).random((300, 16))
    model = featlearn.fit("rbm", X, hidden=5, epochs=3, log="run.jsonl")
    model.save("m.h5")
    assert_log_is_history(here / "run.jsonl", "m.h5")


def test_wrong_uses_of_history(work, run_here):
    refused(run_here("info", work.patches, "--history", "csv"), "data set", "wanted a model")
    refused(run_here("info", "--history", "csv"), "--history", "FILE", code=2)
    refused(run_here("info", work.model, "--history", "csv", "--get", "model"), "--get", code=2)
    refused(run_here("info", work.model, "--history", "csv", "--json"), "--history json", code=2)
    assert run_here("info", work.model, "--history", "xml").code == 2
