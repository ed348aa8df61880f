"""Signals: noted, raised where nothing suffers from it, asked for where an exception was swallowed."""

import os
import signal
import subprocess
import sys
import time
import weakref

import pytest

from featlearn import signals
from featlearn.cli.output import Messages
from featlearn.errors import DataError
from featlearn.files.atomic import Output
from featlearn.files.model import read_model
from featlearn.jobs import training_run
from featlearn.signals import DeferredHandlers, Interrupted

NUMBERS = (*signals.STOPS, signals.SAVE)


@pytest.fixture(autouse=True)
def installed():
    before = {number: signal.getsignal(number) for number in NUMBERS}
    hook = sys.unraisablehook
    for number in NUMBERS:
        signal.signal(number, signal.SIG_DFL)  # in the background SIGINT is ignored
    signals.install()
    signals.release()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.unraisablehook = hook
    signals._noted = None


def swallowed(number):
    """Let a signal strike in the callback of a weak reference, which loses every exception."""

    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), number))
    del thing
    assert reference() is None


@pytest.mark.parametrize("number", signals.STOPS)
def test_a_signal_is_raised_where_it_strikes(number):
    with pytest.raises(Interrupted) as caught:
        os.kill(os.getpid(), number)
    assert caught.value.signum == signals.noted() == number
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # a second one kills


@pytest.mark.parametrize("number", signals.STOPS)
def test_a_swallowed_signal_is_found_at_safe_points(number, tmp_path, capfd):
    swallowed(number)
    assert signals.noted() == number
    with pytest.raises(Interrupted):
        signals.check()
    with pytest.raises(Interrupted), Messages(quiet=True).progress(1, "rows"):
        pass
    with Output(str(tmp_path / "a")) as out, pytest.raises(Interrupted):
        out.commit()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""  # no "Exception ignored in"


def test_a_step_of_progress_is_a_safe_point():
    with Messages(quiet=True).progress(2, "rows") as progress:
        progress.advance()
        swallowed(signal.SIGTERM)
        with pytest.raises(Interrupted):
            progress.advance()


def test_within_deferred_a_signal_is_only_noted():
    with signals.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        signals.check()
        assert signals.noted() == signal.SIGTERM
    with pytest.raises(Interrupted):
        signals.check()


def test_before_release_a_signal_is_only_noted():
    signals.install()
    os.kill(os.getpid(), signal.SIGHUP)
    with pytest.raises(Interrupted):
        signals.release()


def test_in_an_import_a_signal_is_only_noted(tmp_path, monkeypatch):
    (tmp_path / "signalling.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\ndone = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import signalling

    assert signalling.done
    assert signals.noted() == signal.SIGTERM


def test_an_undisturbed_block_is_over_before_a_signal_strikes():
    steps = []

    def step():
        with DeferredHandlers():
            os.kill(os.getpid(), signal.SIGTERM)
            steps.append("after")

    with pytest.raises(Interrupted):
        step()
    assert steps == ["after"]


def test_sigusr1_asks_once():
    assert not signals.save_asked()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert signals.save_asked()
    assert not signals.save_asked()


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.install()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    signals.uninstall()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("error", [DataError("of the same cause"), RuntimeError("made of it by a library")])
def test_a_noted_signal_wins_over_any_exception(error, failing, run_here):
    signals._noted = int(signal.SIGTERM)
    failing(error)
    ran = run_here("fails")
    assert (ran.code, ran.err) == (143, "featlearn: error: stopped by SIGTERM\n")


def test_a_noted_signal_wins_over_success(run_here):
    with signals.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
    assert run_here("info").code == 143


def wait_for(path, process):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_sigusr1_makes_a_training_write_a_checkpoint(work, tmp_path, start):
    """Every time, and whenever it comes; the run goes on."""
    options = ("--model", "rbm", "--epochs", 1_000_000, "--checkpoint-every", 1e9, "-o", "m.h5")
    process = start("train", work.patches, *options, cwd=tmp_path, stderr=subprocess.DEVNULL)
    wait_for(tmp_path / "m.h5.lock", process)
    for _ in range(2):
        process.send_signal(signal.SIGUSR1)
        wait_for(tmp_path / "m.h5.ckpt", process)
        (tmp_path / "m.h5.ckpt").unlink()
    process.terminate()
    assert process.wait(timeout=60) == -signal.SIGTERM
    assert os.listdir(tmp_path) == ["m.h5.ckpt"]


def test_a_training_that_is_over_is_written_before_a_signal_ends_the_run(
    work, tmp_path, run_here, monkeypatch
):
    """What has been learned by then would be lost; the run still ends by the signal."""
    monkeypatch.chdir(tmp_path)
    true_file = training_run.model_file

    def file_and_signal(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return true_file(*args)

    monkeypatch.setattr(training_run, "model_file", file_and_signal)
    ran = run_here("train", work.patches, "--model", "rbm", "--epochs", 1, "-o", "m.h5", "-q")
    assert (ran.code, ran.err) == (143, "featlearn: error: stopped by SIGTERM\n")
    assert os.listdir(tmp_path) == ["m.h5"]
    assert read_model("m.h5").progress["finished"]


def test_closing_the_terminal_ends_by_sighup(work, tmp_path):
    """The hangup comes, and then neither stdout nor stderr can be written."""
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "featlearn", "train", work.patches, "--model", "rbm", "--epochs", "100000",
         "--checkpoint-every", "0", "-o", "m.h5"],
        cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    wait_for(tmp_path / "m.h5.ckpt", process)
    os.close(master)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == -signal.SIGHUP
    assert os.listdir(tmp_path) == ["m.h5.ckpt"]
