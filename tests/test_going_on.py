"""More epochs for a finished model: the bytes of a run that was as long from the start."""

import numpy as np
import pytest

from featlearn.files.model import read_model, write_model
from featlearn.training import schedules
from helpers import ok, refused, same

RUN = ("--model", "autoencoder", "--hidden", 6, "--lr", 0.01, "--lr-schedule", "constant")
KEPT = (*RUN, "--keep-optimizer", "--resume")


def content(path):
    return read_model(str(path)).content_hash


WAYS = {
    "momentum": ("--optimizer", "sgd"),
    "adam, and the average of the weights": ("--optimizer", "adam", "--average", 0.9),
    "adaptive, the best of held-out rows": (
        "--lr-schedule",
        "adaptive",
        "--validation",
        0.2,
        "--patience",
        9,
    ),
    "chains that persist": ("--model", "rbm", "--persistent", "--cd", 1),
    "line searches": ("--optimizer", "lbfgs"),
}


@pytest.mark.parametrize("way", WAYS)
def test_more_epochs_make_the_model_of_a_longer_run(way, work, run_here, tmp_path):
    """In three parts, or at once."""
    own = KEPT[:4] + KEPT[-2:] if way == "line searches" else KEPT  # which have no rate
    words = ("train", work.patches, *own, *WAYS[way], "-o", tmp_path / "m.h5")
    for epochs in (2, 3, 6):
        ran = ok(run_here(*words, "--epochs", epochs))
    assert "going on after 3 epochs, to 6" in ran.err
    ok(run_here(*words[:-1], tmp_path / "whole.h5", "--epochs", 6))
    found, whole = read_model(str(tmp_path / "m.h5")), read_model(str(tmp_path / "whole.h5"))
    assert found.content_hash == whole.content_hash
    assert same({k: v[:] for k, v in found.history.items()}, {k: v[:] for k, v in whole.history.items()})
    assert same(found.optimizer, whole.optimizer)
    assert found.progress["run"]["measured"] == whole.progress["run"]["measured"]
    assert "already finished" in ok(run_here(*words, "--epochs", 6)).err


def test_a_longer_run_that_is_stopped_goes_on_from_its_checkpoint(work, run_here, tmp_path, monkeypatch):
    words = ("train", work.patches, *KEPT, "-o", tmp_path / "m.h5")
    ok(run_here(*words, "--epochs", 2))
    with monkeypatch.context() as patch:
        from featlearn import signals

        asked = iter([False] * 8 + [True] * 8)
        patch.setattr(signals, "noted", lambda: 2 if next(asked, False) else None)
        stopped = run_here(*words, "--epochs", 6)
    assert "stopped at update" in stopped.err
    assert (tmp_path / "m.h5.ckpt").exists()
    ran = ok(run_here(*words, "--epochs", 6))
    assert "going on with" in ran.err
    ok(run_here("train", work.patches, *RUN, "--epochs", 6, "-o", tmp_path / "whole.h5"))
    assert content(tmp_path / "m.h5") == content(tmp_path / "whole.h5")


def test_schedules_stay_where_they_ended(work, run_here, tmp_path, monkeypatch):
    """A rate that had fallen does not jump up again, and so the error does not."""
    rates, rate_of = [], schedules.learning_rate
    seen = lambda *how: rates.append(rate_of(*how)) or rates[-1]  # noqa: E731
    monkeypatch.setattr(schedules, "learning_rate", seen)
    words = ("train", work.patches, "--model", "autoencoder", "--lr", 0.01, "--hidden", 6)
    words = (*words, "--keep-optimizer", "--resume", "-o", tmp_path / "m.h5")
    ok(run_here(*words, "--epochs", 10))
    last = rates[-1]
    assert last < 0.03 * rates[0]
    rates.clear()
    ok(run_here(*words, "--epochs", 14))
    assert set(rates) == {last}
    error = np.asarray(read_model(str(tmp_path / "m.h5")).history["probe_rmse"])
    assert len(error) == 14
    steps = np.abs(np.diff(error))
    assert steps[9:].max() < 0.2 * steps[0]
    assert (np.diff(error)[9:] < 0).all()


def test_what_cannot_be_longer_says_so(work, run_here, tmp_path):
    plain = ("train", work.patches, *RUN, "-o", tmp_path / "m.h5", "--epochs")
    ok(run_here(*plain, 2))
    before = (tmp_path / "m.h5").read_bytes()
    refused(run_here(*plain, 3, "--resume"), "epochs was 2 and is now 3", "--keep-optimizer", code=2)
    other = ("--keep-optimizer", "-o", tmp_path / "n.h5")
    refine = ("train", work.patches, "--model", "rbm", "--refine", 5, *other)
    refused(run_here(*refine), "--keep-optimizer: no more epochs can follow", code=2)
    refused(run_here("train", work.patches, "--model", "pca", *other), "--keep-optimizer", code=2)
    deep = ("train", work.patches, "--model", "dbn", "--hidden", "5,4", "--epochs", 1, *other)
    refused(run_here(*deep), "--keep-optimizer: several runs in one", code=2)
    assert (tmp_path / "m.h5").read_bytes() == before
    kept = ("train", work.patches, *KEPT, "-o", tmp_path / "k.h5", "--epochs")
    ok(run_here(*kept, 3))
    refused(run_here(*kept, 2), "epochs was 3 and is now 2", code=2)
    refused(run_here(*kept, 5, "--seed", 1), "seed was 0 and is now 1", code=2)
    file = read_model(str(tmp_path / "k.h5"))
    file.optimizer = {name: value[:1] for name, value in file.optimizer.items()}
    write_model(str(tmp_path / "k.h5"), file, force=True)
    refused(run_here(*kept, 5), "/optimizer is not what this run keeps there")
