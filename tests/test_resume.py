"""featlearn train --resume on what stands at OUTPUT: this very run, another one, or something damaged."""

import numpy as np
import pytest

from featlearn.files.model import read_model, write_model


@pytest.fixture
def place(work, run_here, tmp_path, monkeypatch):
    """A folder with two data sets and m.h5, a finished run on the first."""
    monkeypatch.chdir(tmp_path)
    for name, seed in {"a": 0, "b": 1}.items():
        done = run_here(
            "extract-patches", work.photos, "--size", 4, "--count", 300, "--seed", seed, "-o", f"{name}.h5"
        )
        assert done.code == 0
    assert run_here(*RUN, "-o", "m.h5").code == 0
    return tmp_path


RUN = ("train", "a.h5", "--model", "rbm", "--hidden", 5, "--epochs", 3, "--lr", 0.02)


def ckpt_of(run_here, monkeypatch, *options):
    """Leave m.h5.ckpt of a run with those options, stopped half way."""
    from featlearn.jobs import training_run

    real = training_run.Training.run

    def stopped(self, on_batch):
        return real(self, lambda at: at.progress.step >= 4) and on_batch(self)

    with monkeypatch.context() as patch:
        patch.setattr(training_run, "_train", lambda training, *rest: keep(training, stopped, *rest))
        assert run_here(*options, "-o", "m.h5", "--force").code != 0


def keep(training, stopped, plan, story, place, words):
    from featlearn.jobs import training_run

    assert not stopped(training, lambda at: False)
    place.write(training_run.model_file(training, plan, story))
    raise KeyboardInterrupt


def test_the_same_command_is_already_finished(place, run_here):
    before = (place / "m.h5").read_bytes(), (place / "m.h5").stat().st_mtime_ns
    for force in ((), ("--force",)):
        ran = run_here(*RUN, "-o", "m.h5", "--resume", *force)
        assert ran.code == 0
        assert "already finished" in ran.err
        assert "content_hash" in ran.out
    assert ((place / "m.h5").read_bytes(), (place / "m.h5").stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--lr", 0.03), "lr was 0.02 and is now 0.03"),
        (("--hidden", 6), "hidden was 5 and is now 6"),
        (("--epochs", 4), "epochs was 3 and is now 4"),
        (("--seed", 1), "seed was 0 and is now 1"),
        (("--dtype", "float64"), "dtype was 'float32' and is now 'float64'"),
        (("--model", "k-sparse"), "model was 'rbm' and is now 'k-sparse'"),
        (("--decay", "l1"), "decay was 'none' and is now 'l1'"),
    ],
)
def test_another_command_is_refused_and_replaces_with_force(options, words, place, run_here):
    before = (place / "m.h5").read_bytes()
    ran = run_here(*RUN, *options, "-o", "m.h5", "--resume")
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert words in ran.err
    assert "--force" in ran.err
    assert (place / "m.h5").read_bytes() == before
    ran = run_here(*RUN, *options, "-o", "m.h5", "--resume", "--force")
    assert ran.code == 0
    assert f"to be replaced: m.h5 is of another run: {words}" in ran.err
    assert run_here(*RUN, *options, "-o", "fresh.h5").code == 0
    replaced, fresh = read_model("m.h5"), read_model("fresh.h5")
    assert replaced.content_hash == fresh.content_hash
    assert replaced.model == fresh.model


def test_other_data_are_refused_though_their_name_is_the_same(place, run_here):
    (place / "b.h5").replace(place / "a.h5")
    ran = run_here(*RUN, "-o", "m.h5", "--resume")
    assert ran.code == 2
    assert "it learned from other data" in ran.err


@pytest.mark.parametrize("saying", [(), ("--visible", "gaussian"), ("--momentum", 0.9)])
def test_a_default_that_is_said_is_the_same_run(saying, place, run_here):
    """Settings are compared as they were resolved."""
    ran = run_here(*RUN, *saying, "-o", "m.h5", "--resume")
    assert ran.code == 0
    assert "already finished" in ran.err


def test_a_checkpoint_of_this_run_goes_on_with_force_too(place, run_here, monkeypatch):
    run = (*RUN[:-1], 0.01)
    ckpt_of(run_here, monkeypatch, *run)
    assert (place / "m.h5.ckpt").exists()
    ran = run_here(*run, "-o", "m.h5", "--resume", "--force")
    assert ran.code == 0
    assert "going on with m.h5.ckpt at update 4" in ran.err
    assert run_here(*run, "-o", "whole.h5").code == 0
    assert read_model("m.h5").content_hash == read_model("whole.h5").content_hash
    assert not (place / "m.h5.ckpt").exists()


def test_a_checkpoint_of_another_run_is_refused_and_with_force_left(place, run_here, monkeypatch):
    ckpt_of(run_here, monkeypatch, *RUN[:-1], 0.01)
    (place / "m.h5").unlink()
    ran = run_here(*RUN, "-o", "m.h5", "--resume")
    assert ran.code == 2
    assert "lr was 0.01 and is now 0.02; start again with --resume --force" in ran.err
    ran = run_here(*RUN, "-o", "m.h5", "--resume", "--force")
    assert ran.code == 0
    assert "starting anew" in ran.err
    assert run_here(*RUN, "-o", "whole.h5").code == 0
    assert np.array_equal(read_model("m.h5").params["W"], read_model("whole.h5").params["W"])


def test_damage_is_refused_and_with_force_replaced(place, run_here, monkeypatch):
    whole, content = (place / "m.h5").read_bytes(), read_model("m.h5").content_hash
    for name in ("m.h5", "m.h5.ckpt"):
        (place / "m.h5").unlink(missing_ok=True)
        (place / name).write_bytes(whole[:2000])
        ran = run_here(*RUN, "-o", "m.h5", "--resume")
        assert ran.code == 1
        assert ran.err.count("\n") == 1
        ran = run_here(*RUN, "-o", "m.h5", "--resume", "--force")
        assert ran.code == 0
        assert ("to be replaced: m.h5: " if name == "m.h5" else "starting anew: m.h5.ckpt: ") in ran.err
        assert read_model("m.h5").content_hash == content


def test_an_output_of_another_run_stands_in_the_way_of_its_checkpoint(place, run_here, monkeypatch):
    """A finished model of other settings is not replaced by going on, unless --force says so."""
    run = (*RUN[:-1], 0.01)
    ckpt_of(run_here, monkeypatch, *run)
    before = (place / "m.h5").read_bytes()
    ran = run_here(*run, "-o", "m.h5", "--resume")
    assert ran.code == 2
    assert "lr was 0.02 and is now 0.01" in ran.err
    assert (place / "m.h5").read_bytes() == before


EDITS = {
    "unfinished": lambda file: file.progress.update(finished=False),
    "no place": lambda file: file.progress.update(run="x"),
    "an unfinished place": lambda file: file.progress["run"].update(finished=False),
    "half a place": lambda file: file.progress.update(run={}),
    "no measures": lambda file: file.progress["run"].update(measured=5),
    "no history": lambda file: file.history.clear(),
    "no steps": lambda file: file.history.pop("step"),
    "steps that are no numbers": lambda file: file.history.update(step=np.full(3, np.nan)),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_unfinished_model_under_the_final_name_is_not_taken_for_finished(edit, place, run_here):
    file = read_model("m.h5")
    edit(file)
    write_model("m.h5", file, force=True)
    ran = run_here(*RUN, "-o", "m.h5", "--resume")
    assert ran.code == 2
    assert "it is not finished" in ran.err


@pytest.mark.parametrize("again", ["--force", "--resume"])
def test_a_data_set_of_the_checkpoints_name_is_not_removed(again, place, run_here):
    before = (place / "a.h5").read_bytes()
    (place / "n.h5.ckpt").write_bytes(before)
    ran = run_here(RUN[0], "n.h5.ckpt", *RUN[2:], "-o", "n.h5", again)
    assert ran.code == 1
    assert "n.h5.ckpt: is also an input" in ran.err
    assert (place / "n.h5.ckpt").read_bytes() == before


def test_a_folder_of_the_checkpoints_name_is_found_before_the_run(place, run_here):
    (place / "n.h5.ckpt").mkdir()
    for again in ("--resume", "--force"):
        ran = run_here(*RUN, "-o", "n.h5", again)
        assert ran.code == 1
        assert "n.h5.ckpt: is a folder" in ran.err
    assert not (place / "n.h5").exists()


@pytest.mark.parametrize("column", ["epoch", "phase", "step"])
def test_a_checkpoint_whose_history_lacks_a_column_is_refused(column, place, run_here, monkeypatch):
    run = (*RUN[:-1], 0.01)
    ckpt_of(run_here, monkeypatch, *run)
    file = read_model("m.h5.ckpt")
    assert file.history.pop(column) is not None
    if column == "epoch":  # which the reader wants where there is any
        file.history.clear()
    write_model("m.h5.ckpt", file, force=True)
    (place / "m.h5").unlink()
    ran = run_here(*run, "-o", "m.h5", "--resume")
    assert ran.code == 1
    assert "progress and history are of no place in this run" in ran.err
