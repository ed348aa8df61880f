"""A default learning rate that diverges early: half of it, from the start again; as if that rate had been
given."""

import json
import signal

import pytest

from featlearn import signals
from featlearn.files.model import read_model, write_model
from featlearn.jobs.history import as_rows
from featlearn.models.rbm import RBM
from featlearn.training.train import Training
from helpers import same

TRAIN = ("train", "p.h5", "--model", "rbm", "--hidden", 12, "--epochs", 3)
HOLDS = 0.8
TWICE = 4 * HOLDS  # diverges, and so does its half


@pytest.fixture
def rate(work, monkeypatch, tmp_path):
    """Sets the default learning rate, in a folder that has p.h5."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.h5").write_bytes(work.patches.read_bytes())
    monkeypatch.setattr(signals, "_noted", None)
    return lambda lr: monkeypatch.setattr(RBM, "usual_rates", lambda config, data: {"sgd": lr})


def beginnings(ran):
    """The lines that tell of a new beginning."""
    return [line for line in ran.err.splitlines() if "beginning again" in line]


def whole(run_here, *options):
    """The file of the run whose rate is given."""
    assert run_here(*TRAIN, "--lr", HOLDS, *options, "-o", "given.h5", "--force").code == 0
    return read_model("given.h5")


def assert_same_run(found, wanted):
    assert found.content_hash == wanted.content_hash
    assert found.training == wanted.training
    assert found.training["lr"] == HOLDS
    assert same(found.params, wanted.params)
    assert same(found.history, wanted.history)


OPTIONS = {
    "plain": (),
    "patience": ("--validation", 0.2, "--patience", 1),
    "adaptive": ("--lr-schedule", "adaptive"),
    "refinement": ("--refine", 5),
    "centered": ("--centered",),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_the_model_is_that_of_the_final_rate(options, rate, run_here):
    rate(TWICE)
    ran = run_here(*TRAIN, *options, "-o", "m.h5", "--json")
    assert ran.code == 0
    first, second = beginnings(ran)
    assert first.startswith("diverged at update ")
    assert first.endswith(f" with --lr {TWICE}: beginning again with --lr {TWICE / 2}")
    assert second.endswith(f" with --lr {TWICE / 2}: beginning again with --lr {HOLDS}")
    report = json.loads(ran.out)
    assert (report["restarts"], report["lr"]) == (2, HOLDS)
    assert_same_run(read_model("m.h5"), whole(run_here, *options))


def test_a_rate_that_holds_is_not_touched(rate, run_here):
    rate(HOLDS)
    ran = run_here(*TRAIN, "-o", "m.h5", "--json")
    assert not beginnings(ran)
    assert "restarts" not in json.loads(ran.out)
    assert_same_run(read_model("m.h5"), whole(run_here))


def test_a_third_divergence_is_the_end(rate, run_here):
    rate(16 * HOLDS)
    ran = run_here(*TRAIN, "-o", "m.h5")
    assert ran.code == 3
    assert len(beginnings(ran)) == 2
    assert ran.err.splitlines()[-1].endswith(
        f"; lower --lr, e.g. --lr {4 * HOLDS / 10:g}; the last good model is kept in m.h5.ckpt"
    )
    assert len(ran.err.splitlines()) == 3
    kept = read_model("m.h5.ckpt")
    assert kept.training["lr"] == 4 * HOLDS
    assert kept.progress["run"]["diverged"]
    ran = run_here(*TRAIN, "-o", "m.h5", "--resume")
    assert ran.code == 2
    assert "that run diverged; take a lower --lr" in ran.err


def test_a_rate_that_was_given_is_not_halved(rate, run_here, monkeypatch, tmp_path):
    """On the command line, in a settings file or in the environment; nor with --no-retry."""
    rate(TWICE)
    (tmp_path / "lr.toml").write_text(f"lr = {TWICE}\n")
    (tmp_path / "no.toml").write_text("no_retry = true\n")
    for options in (("--lr", TWICE), ("--config", "lr.toml"), ("--config", "no.toml"), ("--no-retry",)):
        ran = run_here(*TRAIN, *options, "-o", "m.h5", "--force")
        assert ran.code == 3
        assert len(ran.err.splitlines()) == 1
    monkeypatch.setenv("FEATLEARN_TRAIN_LR", str(TWICE))
    ran = run_here(*TRAIN, "-o", "m.h5", "--force")
    assert ran.code == 3
    assert not beginnings(ran)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "rbm", "--lr", 0.1), "does nothing with --lr"),
        (("--model", "sparse-autoencoder"), "does nothing without --optimizer sgd or adam"),
        (("--model", "pca"), "does nothing with --model pca"),
    ],
)
def test_no_retry_is_refused_where_nothing_would_be_retried(options, words, run_here):
    ran = run_here("train", "--no-retry", *options)
    assert ran.code == 2
    assert f"--no-retry: {words}" in ran.err


def stopped_at(attempt, step, run_here, monkeypatch, *options):
    """Send the run SIGTERM at that update of that attempt."""
    real, attempts = Training.run, []

    def run(training, on_batch, on_epoch):
        attempts.append(training)

        def hook(at):
            if (len(attempts), at.progress.step) == (attempt, step):
                signals._noted = signal.SIGTERM
            return on_batch(at)

        return real(training, hook, on_epoch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "run", run)
        ran = run_here(*TRAIN, *options, "-o", "m.h5")
    assert ran.code == 128 + signal.SIGTERM
    assert len(beginnings(ran)) == attempt - 1
    signals._noted = None


@pytest.mark.parametrize("again", [("--resume",), ("--resume", "--force")])
@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_run_stopped_in_any_attempt_goes_on_in_the_same_bytes(attempt, again, rate, run_here, monkeypatch):
    rate(TWICE)
    log = ("--log", "run.jsonl")
    stopped_at(attempt, 2, run_here, monkeypatch, *log)
    assert read_model("m.h5.ckpt").training["lr"] == TWICE / 2 ** (attempt - 1)
    ran = run_here(*TRAIN, "-o", "m.h5", *log, *again, "--json")
    assert ran.code == 0
    assert "going on with m.h5.ckpt at update 2 of" in ran.err
    assert len(beginnings(ran)) == 3 - attempt
    assert json.loads(ran.out)["restarts"] == 2
    assert_same_run(read_model("m.h5"), whole(run_here))
    with open("run.jsonl") as lines:
        assert [json.loads(line) for line in lines] == as_rows(read_model("m.h5").history)


@pytest.mark.parametrize("options", [("--no-retry",), ("--lr", TWICE)])
def test_a_checkpoint_after_a_restart_is_not_of_a_run_without(options, rate, run_here, monkeypatch):
    rate(TWICE)
    stopped_at(2, 2, run_here, monkeypatch)
    ran = run_here(*TRAIN, *options, "-o", "m.h5", "--resume")
    assert ran.code == 2
    assert f"lr was {TWICE / 2} and is now {TWICE}; start again with --resume --force" in ran.err


def test_a_finished_run_is_what_the_same_command_makes(rate, run_here):
    rate(TWICE)
    assert run_here(*TRAIN, "-o", "m.h5").code == 0
    for again in ((), ("--force",)):
        ran = run_here(*TRAIN, "-o", "m.h5", "--resume", *again, "--json")
        assert ran.code == 0
        assert "already finished" in ran.err
        assert json.loads(ran.out)["restarts"] == 2
    ran = run_here(*TRAIN, "--lr", HOLDS, "-o", "m.h5", "--resume", "--json")
    assert "already finished" in ran.err
    assert json.loads(ran.out)["lr"] == HOLDS
    ran = run_here(*TRAIN, "--no-retry", "-o", "m.h5", "--resume")
    assert ran.code == 2
    assert f"lr was {HOLDS} and is now {TWICE}" in ran.err


def test_half_a_rate_that_was_given_is_no_restart(rate, run_here):
    """Of the default rate, which holds here, the command makes another model."""
    rate(HOLDS)
    assert run_here(*TRAIN, "--lr", HOLDS / 2, "-o", "m.h5").code == 0
    ran = run_here(*TRAIN, "-o", "m.h5", "--resume")
    assert ran.code == 2
    assert f"lr was {HOLDS / 2} and is now {HOLDS}" in ran.err


@pytest.mark.parametrize("restarts", [-1, 3, 1.5, "1", None, [1], True, 10**30])
def test_restarts_that_no_run_has_do_no_harm(restarts, rate, run_here):
    rate(HOLDS)
    assert run_here(*TRAIN, "-o", "m.h5").code == 0
    file = read_model("m.h5")
    file.progress["restarts"] = restarts
    write_model("m.h5", file, force=True)
    ran = run_here(*TRAIN, "-o", "m.h5", "--resume")
    assert ran.code == (2 if restarts is True else 0)


def test_settings_are_shown_before_any_restart(rate, run_here):
    rate(TWICE)
    shown = run_here(*TRAIN, "--show-config").out.splitlines()
    assert f"lr = {TWICE}" in shown
    assert "no_retry = false" in shown


def test_late_divergence_is_the_end(rate, run_here, monkeypatch):
    rate(0.02)
    real = Training._stop_if
    for step, restarts in ((100, 1), (101, 0)):

        def check(training, words, step=step):
            at_it = (training.progress.step, training.config.lr) == (step, 0.02)
            real(training, "so be it" if at_it else words)

        monkeypatch.setattr(Training, "_stop_if", check)
        ran = run_here(*TRAIN[:-1], 20, "-o", "m.h5", "--force")
        assert ran.code == (0 if restarts else 3)
        assert len(beginnings(ran)) == restarts


def test_a_refinement_that_diverges_is_not_begun_again(rate, run_here):
    """Its rate is --refine-lr, and the training before it was good."""
    rate(HOLDS)
    ran = run_here(*TRAIN[:-1], 1, "--refine", 500, "--refine-lr", 1e4, "-o", "m.h5")
    assert ran.code == 3
    assert not beginnings(ran)
    assert "lower --refine-lr" in ran.err
