"""The end of a run: exit codes, one-line errors, JSON on failure, signals, closed pipes, full disks."""

import json
import os
import signal
import subprocess
import sys
import time

import click
import pytest

from featlearn.cli.process import Interrupted
from featlearn.errors import ConfigError, DataError, DivergedError

ENDS = [
    (DataError("a.h5: broken; make it again"), 1, "a.h5: broken; make it again"),
    (ConfigError("--lr: got -1"), 2, "--lr: got -1"),
    (DivergedError("diverged at epoch 3"), 3, "diverged at epoch 3"),
    (DataError("two\nlines"), 1, "two lines"),
    (MemoryError(), 1, "out of memory"),
    (FileNotFoundError(2, "No such file or directory", "x.h5"), 1, "x.h5: No such file or directory"),
    (
        ZeroDivisionError("division by zero"),
        1,
        "internal error: ZeroDivisionError: division by zero; run with --debug",
    ),
    (KeyboardInterrupt(), 130, "stopped by SIGINT"),
    (Interrupted(signal.SIGTERM), 143, "stopped by SIGTERM"),
    (Interrupted(signal.SIGINT), 130, "stopped by SIGINT"),
]


@pytest.mark.parametrize(("error", "code", "words"), ENDS, ids=lambda value: type(value).__name__)
def test_an_error_is_one_line_and_an_exit_code(error, code, words, failing, run_here):
    failing(error)
    ran = run_here("fails")
    assert (ran.code, ran.out) == (code, "")
    lines = ran.err.strip().splitlines()
    assert lines[-1].startswith(f"featlearn: error: {words}")
    assert len(lines) == 1


@pytest.mark.parametrize(("error", "code", "words"), ENDS, ids=lambda value: type(value).__name__)
def test_json_reports_failure_as_one_object(error, code, words, failing, run_here):
    failing(error)
    ran = run_here("fails", "--json")
    found = json.loads(ran.out)
    assert ran.code == found["exit_code"] == code
    assert found["error"].startswith(words)


def test_json_reports_wrong_usage(run_here):
    ran = run_here("info", "--json", "--no-such-option")
    assert ran.code == 2
    assert json.loads(ran.out)["exit_code"] == 2
    assert json.loads(ran.out)["error"].startswith("--no-such-option: no such option")
    assert ran.err == f"featlearn: error: {json.loads(ran.out)['error']}\n"


@pytest.mark.parametrize("how", ["option", "environment"])
def test_debug_shows_a_traceback(how, failing, run_here, monkeypatch):
    failing(DataError("broken"))
    if how == "environment":
        monkeypatch.setenv("FEATLEARN_DEBUG", "1")
    ran = run_here(*(["--debug"] if how == "option" else []), "fails")
    assert ran.code == 1
    assert ran.err.startswith("Traceback")
    assert ran.err.strip().endswith("featlearn: error: broken")


def test_options_come_from_the_environment(run_here, monkeypatch):
    monkeypatch.setenv("FEATLEARN_INFO_JSON", "1")
    assert "threads" in json.loads(run_here("info").out)


def test_near_misses_are_suggested(run_here):
    ran = run_here("info", "--verfy")
    assert ran.code == 2
    assert "--verify" in ran.err


def test_help_imports_click_alone(tmp_path, start):
    """`featlearn --help` has to be quick: no numeric library is loaded for it."""
    script = (
        "import sys, featlearn.cli.process as r\n"
        "assert r.run(['--help']) == 0\n"
        "heavy = {'numpy', 'scipy', 'h5py', 'matplotlib', 'PIL', 'tqdm', 'threadpoolctl'}\n"
        "heavy.add('featlearn._core')\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    process = start("--version", cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.communicate()[0].startswith(b"featlearn ")
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


def test_closed_pipe_ends_quietly(tmp_path, start):
    read, write = os.pipe()
    os.close(read)
    process = start("info", "--json", cwd=tmp_path, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert process.communicate()[1] == b""
    assert process.returncode == 141


def test_closed_pipe_at_help_ends_quietly(tmp_path, start):
    read, write = os.pipe()
    os.close(read)
    process = start("--help", cwd=tmp_path, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert process.communicate()[1] == b""
    assert process.returncode == 141


@pytest.mark.parametrize("args", [["info"], ["info", "--json"], ["--help"]])
def test_stdout_on_a_full_disk_is_one_line(args, tmp_path, start):
    with open("/dev/full", "wb") as full:
        process = start(*args, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
        err = process.communicate()[1].decode()
    assert process.returncode == 1
    assert err == "featlearn: error: standard output: No space left on device\n"


def wait_for_temporary(folder, process):
    """Until the command has begun to write."""
    deadline = time.monotonic() + 60
    while not any(name.name.startswith((".out.h5", "out.h5")) for name in folder.iterdir()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cleans_up_and_then_kills(signum, tmp_path, start):
    """The shell sees a death by that signal (130, 143); neither output nor temporary file is left."""
    args = ("extract-patches", "pink-noise", "--images", 8, "--count", 1_000_000, "--size", 8, "-o", "out.h5")
    process = start(*args, cwd=tmp_path, stderr=subprocess.PIPE)
    wait_for_temporary(tmp_path, process)
    process.send_signal(signum)
    err = process.communicate(timeout=30)[1].decode()
    assert process.returncode == -signum
    assert err.strip().splitlines()[-1] == f"featlearn: error: stopped by {signum.name}"
    assert list(tmp_path.iterdir()) == []


def test_what_the_shell_ignores_stays_ignored(tmp_path, start):
    args = ("extract-patches", "pink-noise", "--images", 1, "--count", 100_000, "--size", 8, "-o", "out.h5")
    process = start(
        *args,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    wait_for_temporary(tmp_path, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0


def test_click_errors_keep_their_words(failing, run_here):
    failing(click.UsageError("too many"))
    ran = run_here("fails")
    assert ran.code == 2
    assert "featlearn: error: too many" in ran.err
