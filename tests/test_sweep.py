"""featlearn sweep: which runs it makes, that it makes none twice, and that nothing ends the others."""

import csv
import json
import math
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest

import featlearn
from featlearn.errors import ConfigError
from featlearn.files.atomic import Output
from featlearn.files.model import read_model
from featlearn.jobs import sweep_table
from featlearn.jobs.search import Between, grid, parse, samples, tries
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.sweep import _Sweeping
from featlearn.jobs.sweep_run import file_name
from featlearn.jobs.sweep_settings import Search
from featlearn.jobs.sweep_table import add_rows
from featlearn.jobs.workers import Workers
from featlearn.models import model_class
from helpers import ok, refused

KSPARSE = model_class("k-sparse")
LEARN = ("--model", "k-sparse", "--hidden", 12, "--epochs", 2)


def test_a_grid_is_each_value_with_each_other():
    found = grid(parse(KSPARSE, ["k=10,25", "lr=.1,.3", "lr=1,.1"]))
    assert [tuple(one.values()) for one in found] == [(k, lr) for k in (10, 25) for lr in (0.1, 0.3, 1.0)]
    assert [type(one["k"]) for one in found] == [int] * 6


def test_a_setting_that_takes_several_numbers_takes_one_value_a_set():
    cls = model_class("deep-autoencoder")
    assert [one["hidden"] for one in grid(parse(cls, ["hidden=9,5", "hidden=8"]))] == [(9, 5), (8,)]


def test_draws_are_uniform_in_the_logarithm_or_in_the_value():
    """Held against the distributions themselves: shares of draws below a value, within four deviations."""
    choices = parse(
        KSPARSE, ["lr=.01..1", "momentum=0..0.8:linear", "k=1..8:linear", "activation=linear,relu"]
    )
    found = samples(choices, 400, seed=3)
    assert len(found) == 400
    shares = [
        (np.mean([one["lr"] < 0.1 for one in found]), 0.5),
        (np.mean([one["lr"] < math.sqrt(0.001) for one in found]), 0.25),
        (np.mean([one["momentum"] < 0.2 for one in found]), 0.25),
        *((np.mean([one["k"] == k for one in found]), 1 / 8) for k in range(1, 9)),
        (np.mean([one["activation"] == "linear" for one in found]), 0.5),
    ]
    for share, wanted in shares:
        assert abs(share - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / 400)
    assert all(one["lr"] == float(f"{one['lr']:.3g}") for one in found)
    assert samples(choices, 50, seed=3) == found[:50]
    assert samples(choices, 50, seed=4) != found[:50]


def test_a_range_of_whole_numbers_has_both_ends():
    between = Between(10, 40, whole=True, linear=False)
    assert (between.drawn(0), between.drawn(np.nextafter(1, 0))) == (10, 40)


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({}, "nothing varies"),
        ({"set_": ("k",)}, "--set k: is not NAME=VALUE"),
        ({"set_": ("momentun=.5",)}, "did you mean momentum?"),
        ({"set_": ("seed=1,2",)}, "--seeds"),
        ({"set_": ("lr=fast",)}, "--lr: got 'fast', must be a number"),
        ({"set_": ("lr=.1,-1",)}, "--lr: got -1, must be above 0"),
        ({"set_": ("lr=.1..1",)}, "--samples"),
        ({"set_": ("lr=1...1",), "samples": 2}, "must rise"),
        ({"set_": ("momentum=0..1",), "samples": 2}, "--momentum: got 1, must be below 1"),
        ({"set_": ("momentum=0...5",), "samples": 2}, "add :linear"),
        ({"set_": ("lr=.1..1", "lr=2"), "samples": 2}, "lr has a range already"),
        ({"samples": 2, "seeds": 2}, "--samples: does nothing without --set"),
    ],
)
def test_what_cannot_be_tried_is_refused(search, words):
    with pytest.raises(ConfigError) as caught:
        tries(KSPARSE, Search(**search), RunSettings())
    assert words in str(caught.value)


def test_a_run_is_found_by_what_decides_it(tmp_path):
    identity = {"lr": 0.1, "seed": 0}
    name = file_name(str(tmp_path), "lr=0.1_seed=0", identity)
    assert name.startswith("lr=0.1_seed=0_")
    (tmp_path / f"{name}.ckpt").touch()
    assert file_name(str(tmp_path), "k=5_lr=0.1_seed=0", identity) == name
    assert file_name(str(tmp_path), "lr=0.1_seed=0", {"lr": 0.2, "seed": 0}) != name


def row(name, **measures):
    settings = {"k": name.partition("=")[2]}
    more = {"model": "k-sparse", "data set": "d", "seed": 0, "advice": [], "content_hash": "c"}
    return {"file": name, "settings": settings, "measures": measures} | more


def test_a_table_is_of_all_that_write_to_it_at_once(tmp_path):
    names = [f"k={k}" for k in range(16)]
    for name in names:
        (tmp_path / name).touch()
    parts = [
        threading.Thread(
            target=lambda own: [add_rows(str(tmp_path), [row(n)], print) for n in own], args=(own,)
        )
        for own in (names[::2], names[1::2], names[::2])
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    (tmp_path / "k=3").unlink()
    add_rows(str(tmp_path), [], print)
    with open(tmp_path / "table.csv", newline="") as stream:
        assert [one["file"] for one in csv.DictReader(stream)] == [name for name in names if name != "k=3"]
    assert sorted(os.listdir(tmp_path)) == sorted({*names, "table.csv", "table.json"} - {"k=3"})


def test_a_run_is_in_the_table_though_its_folder_does_not_show_it_yet(tmp_path, monkeypatch):
    """As a network disk does with what another machine has written."""
    monkeypatch.setattr(sweep_table.os, "listdir", lambda path: [])
    add_rows(str(tmp_path), [row("k=1", rmse=0.5)], print)
    assert "k=1" in (tmp_path / "table.csv").read_text()


def test_a_page_has_the_runs_and_their_measure_by_each_setting_that_is_a_number(monkeypatch):
    def run(k, activation, rmse):
        return row(f"k={k}", rmse=rmse) | {"settings": {"k": k, "activation": activation, "lr": 0.1}}

    drawn = []
    real = sweep_table.by_settings
    monkeypatch.setattr(
        sweep_table, "by_settings", lambda panels, *rest: drawn.append(panels) or real(panels, *rest)
    )
    rows = [run(2, "relu", 0.5), run(4, "relu", 0.25), run(4, "linear", 0.75), run(8, "linear", None)]
    made = sweep_table.as_page(rows, "rmse").decode()
    assert drawn == [[("k", [2, 4, 4], [0.5, 0.25, 0.75])]]
    assert [made.count(f'<th scope="row">k={k}</th>') for k in (2, 4, 8)] == [1, 2, 1]
    assert "image/svg+xml" in made
    assert "<h1>4 runs of k-sparse</h1>" in made
    assert "image/svg+xml" not in sweep_table.as_page(rows[1:3], "rmse").decode()


def test_a_table_that_cannot_be_read_is_made_anew(tmp_path):
    (tmp_path / "k=1").touch()
    for damaged in ("{", "[]", '{"runs": 3}', '{"runs": [{"file": 1}]}'):
        (tmp_path / "table.json").write_text(damaged)
        said = []
        add_rows(str(tmp_path), [row("k=1", rmse=0.5)], said.append)
        assert "made anew" in said[0]
        assert json.loads((tmp_path / "table.json").read_text())["runs"][0]["measures"] == {"rmse": 0.5}


def test_the_best_is_of_the_mean_over_seeds_and_of_rows_held_out():
    wanted = tries(KSPARSE, Search(("k=1,2,3",), seeds=2), RunSettings())
    sweeping = _Sweeping(wanted, [], "runs", print)
    errors = {1: (0.2, 0.6), 2: (0.3, 0.4), 3: (0.1, None)}
    for i, one in enumerate(wanted):
        error = errors[one.values["k"]][one.seed]
        sweeping.rows[i] = row(f"{one.name}=0", rmse=0.0, validation_rmse=error, psnr=error)
    found = sweeping.result(None, True)
    assert found.by == "validation_rmse"
    assert [one["k"] for one in found.ranking] == [2, 1, 3]  # a mean of what has no number is none
    assert found.ranking[0]["validation_rmse"] == pytest.approx(0.35)
    assert found.ranking[0]["deviation"] == pytest.approx(np.std([0.3, 0.4], ddof=1))
    assert found.ranking[1]["model"] == "runs/k=1_seed=0=0"
    largest = sweeping.result("psnr:max", True)
    assert [one["k"] for one in largest.ranking] == [1, 2, 3]
    assert largest.ranking[0]["model"] == "runs/k=1_seed=1=0"
    with pytest.raises(ConfigError, match="rmse, validation_rmse, psnr are there"):
        sweeping.result("error", True)


def end_of(workers):
    while True:
        heard = workers.hear(60)
        assert heard is not None
        if heard[1].keys() & {"result", "error"}:
            return heard[1]


def test_a_worker_that_dies_is_an_error_of_its_task_alone():
    with Workers(1, "featlearn.jobs.sweep_run", "run_task") as workers:
        number = workers.give({})
        os.kill(workers._processes[number].pid, signal.SIGKILL)
        assert end_of(workers) == {"error": "its process was killed by signal 9", "exit_code": 1}
        workers.give({})
        assert "KeyError" in end_of(workers)["error"]
        workers.give({})
        assert "KeyError" in end_of(workers)["error"]
        process = workers._processes[number]
    assert process.returncode == 0


@pytest.fixture(scope="module")
def swept(work, run_here, tmp_path_factory):
    """The folder of a sweep of which one setting in three is refused, and what it said."""
    folder = tmp_path_factory.mktemp("swept")
    words = (
        "sweep",
        work.patches,
        *LEARN,
        "--set",
        "k=2,4,13",
        "--seeds",
        2,
        "--jobs",
        2,
        "-o",
        folder / "runs",
    )
    return folder / "runs", words, run_here(*words, "--evaluate", work.patches)


def test_runs_are_those_of_train_and_one_that_fails_ends_no_other(swept, work, run_here, tmp_path):
    folder, _, ran = swept
    assert ran.code == 1
    assert "2 of 6 runs failed" in ran.err
    assert "failed: k=13_seed=0: --k 13" in ran.err
    with open(folder / "table.csv", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [(one["k"], one["seed"]) for one in table] == [("2", "0"), ("2", "1"), ("4", "0"), ("4", "1")]
    assert sorted(one.name for one in folder.glob("*.h5*")) == sorted(one["file"] for one in table)
    alone = run_here("train", work.patches, *LEARN, "--k", 4, "--seed", 1, "-o", tmp_path / "m.h5", "--json")
    assert table[3]["content_hash"] == json.loads(ok(alone).out)["content_hash"]
    assert table[3]["rmse"] == repr(json.loads(alone.out)["rmse"])
    tested = run_here("evaluate", tmp_path / "m.h5", work.patches, "--json")
    assert table[3]["test_rmse"] == repr(json.loads(ok(tested).out)["models"][0]["rmse"])
    assert read_model(str(folder / table[3]["file"])).provenance["settings"] == {
        **{"hidden": 12, "k": 4, "epochs": 2, "model": "k-sparse", "seed": 1}
    }
    assert ran.out.split()[:5] == ["k", "test_rmse", "deviation", "seeds", "model"]


def test_no_run_is_made_twice(swept, run_here):
    folder, words, first = swept
    batch = read_model(str(next(folder.glob("*.h5")))).training["batch_size"]  # as it was by default
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.glob("*.h5")}
    table = [(folder / f"table.{form}").read_bytes() for form in ("json", "csv", "html")]
    again = run_here(*words, "--batch-size", batch)
    assert again.err.count("was there") == 4
    assert before == {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.glob("*.h5")}
    ran = run_here(*words, "--evaluate", words[1])
    assert ran.out == first.out
    assert table == [(folder / f"table.{form}").read_bytes() for form in ("json", "csv", "html")]


def test_a_run_that_another_process_is_at_is_waited_for(swept, work, run_here):
    folder, _, _ = swept
    path = next(folder.glob("k=2_seed=0*"))
    kept = path.read_bytes()
    path.unlink()
    found, told = [], threading.Event()

    def say(text):
        if "another process is at this run" in text:
            told.set()

    def sweep():
        options = {"model": "k-sparse", "hidden": 12, "epochs": 2, "set_": "k=2", "seeds": 2, "jobs": 1}
        found.append(featlearn.sweep(work.patches, folder, **options, say=say))

    waiting = threading.Thread(target=sweep)
    with Output(str(path), force=True):
        waiting.start()
        assert told.wait(60)
    waiting.join()
    assert found[0].runs == 2
    assert read_model(str(path)).content_hash
    path.write_bytes(kept)


def test_an_error_of_all_runs_is_said_once(work, run_here, tmp_path):
    ran = run_here(
        "sweep", work.patches, "--model", "k-sparse", "--set", "k=200,300", "-q", "-o", tmp_path / "a"
    )
    assert ran.code == 1
    missing = tmp_path / "missing.h5"
    ran = run_here("sweep", missing, "--model", "k-sparse", "--set", "k=2,3", "-o", tmp_path / "a")
    refused(ran, "missing.h5: no such file")
    (tmp_path / "file").touch()
    ran = run_here("sweep", work.patches, "--model", "k-sparse", "--set", "k=2,3", "-o", tmp_path / "file")
    refused(ran, "is a file, wanted a folder")
    ran = run_here("sweep", work.model, "--model", "k-sparse", "--set", "k=2,3", "-o", tmp_path / "b")
    refused(ran.__class__(ran.code, "", ran.err.splitlines()[-1]), "model.h5")


def test_what_all_runs_read_is_looked_at_before_the_first(work, run_here, tmp_path):
    sweep = ("sweep", work.patches, "--model", "rbm", "--set", "lr=.1,.2", "-o", tmp_path / "runs")
    for option, wanted, other in (
        ("--init-from", "a model (featlearn train", work.patches),
        ("--validation-data", "a data set (featlearn extract-patches", work.model),
        ("--evaluate", "a data set (featlearn extract-patches", work.model),
    ):
        refused(run_here(*sweep, option, tmp_path / "missing.h5"), "missing.h5: no such file")
        refused(run_here(*sweep, option, other), wanted)
        refused(run_here(*sweep, option, work.photos), "photos: is a folder")
    assert not (tmp_path / "runs").exists()


def test_a_sweep_over_images_says_once_which_were_skipped(work, run_here, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(work.photos, photos)
    (photos / "broken.png").write_bytes(b"no image")
    sweep = ("sweep", photos, "--size", 6, "--count", 100, "--model", "pca", "--hidden", 2, "--seeds", 2)
    said = ok(run_here(*sweep, "--jobs", 2, "-o", tmp_path / "runs")).err.splitlines()
    assert [line for line in said if "broken.png" in line] == [
        f"warning: skipped: {photos / 'broken.png'}: is no image of a known kind "
        "(PNG, JPEG, TIFF, BMP, GIF, PPM, WEBP)"
    ]
    assert sum("100 patches 6x6x1" in line for line in said) == 1


LONG = ("--model", "k-sparse", "--hidden", 12, "--epochs", 60, "--set", "k=2,4", "--jobs", 2)


@pytest.fixture(scope="module")
def whole(work, run_here, tmp_path_factory):
    """The folder of a sweep that nothing has ended."""
    folder = tmp_path_factory.mktemp("whole")
    ok(run_here("sweep", work.patches, *LONG, "-o", folder))
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_that_is_ended_goes_on(number, work, whole, start, run_here, tmp_path):
    """SIGTERM leaves checkpoints; whatever ended it, the same command comes to the same table."""
    folder, words = tmp_path / "runs", ("sweep", work.patches, *LONG, "-o", tmp_path / "runs")
    process = start(*words, "--checkpoint-every", 0, cwd=tmp_path)  # which makes it slow, too
    until = time.monotonic() + 60
    while not list(folder.glob("*.ckpt")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) == -number
    while list(folder.glob("*.lock")) and time.monotonic() < until:
        time.sleep(0.01)  # its workers write checkpoints and end
    assert list(folder.glob("*.ckpt"))
    ok(run_here(*words))
    for name in ("table.csv", "table.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert sorted(os.listdir(folder)) == sorted(os.listdir(whole))
