"""Wrong input: one line, exit code 1, and no output left behind."""

import os
import shlex
import shutil
import subprocess

import h5py
import numpy as np
import pytest
from PIL import Image

from featlearn.errors import DataError
from featlearn.files.model import read_model, write_model
from featlearn.jobs import training_run


@pytest.fixture
def place(tmp_path):
    """An empty folder for outputs, compared after the command."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def refused(ran, *words):
    assert ran.code == 1, ran.err
    assert ran.out == ""
    assert len(ran.err.strip().splitlines()) == 1, ran.err
    assert ran.err.startswith("featlearn: error: ")
    for word in words:
        assert word in ran.err


def output_of(call):
    """A name for what a command writes."""
    return "out.h5" if call[0] in ("extract-patches", "train", "encode") else "out.png"


def nothing_in(folder):
    return os.listdir(folder) == []


BAD_INPUTS = {
    "missing file": ("no/such/file.png", "no such file"),
    "empty folder": ("empty", "no image"),
    "text file": ("text.png", "text.png"),
    "truncated JPEG": ("cut.jpg", "cut.jpg"),
    "too small": ("small.png", "size"),
    "NaN": ("nan.npy", "nan.npy"),
    "infinite": ("inf.npz", "inf.npz"),
    "pickle": ("pickle.npy", "pickle.npy"),
    "model": ("model.h5", "model.h5"),
    "fifo": ("fifo.png", "fifo.png"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, work):
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "empty").mkdir()
    (folder / "text.png").write_text("no picture\n")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(
        folder / "whole.jpg"
    )
    jpeg = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    Image.new("L", (8, 8)).save(folder / "small.png")
    images = np.random.default_rng(0).random((3, 20, 20))
    images[1, 4, 4] = np.nan
    np.save(folder / "nan.npy", images)
    images[1, 4, 4] = np.inf
    np.savez(folder / "inf.npz", images=images)
    np.save(folder / "pickle.npy", np.array([object()]), allow_pickle=True)
    shutil.copy(work.model, folder / "model.h5")
    os.mkfifo(folder / "fifo.png")
    return folder


@pytest.mark.parametrize(("name", "word"), BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_images(name, word, inputs, place, run_here):
    ran = run_here("extract-patches", inputs / name, "-o", place / "p.h5", "--strict")
    refused(ran, word)
    assert nothing_in(place)


@pytest.mark.parametrize("name", ["text.png", "cut.jpg", "small.png"])
def test_all_images_bad_without_strict(name, inputs, place, run_here):
    ran = run_here("extract-patches", inputs / name, "-o", place / "p.h5", "--quiet")
    refused(ran)
    assert nothing_in(place)


def test_flat_images_hold_nothing_to_learn(place, tmp_path, run_here):
    Image.new("L", (32, 32), 77).save(tmp_path / "flat.png")
    refused(run_here("extract-patches", tmp_path / "flat.png", "-o", place / "p.h5", "--quiet"))
    assert nothing_in(place)


WRITERS = {  # every way of writing an output; names of files stand for those of the fixtures
    "extract-patches": ("extract-patches", "PHOTOS", "--count", "20"),
    "train": ("train", "PATCHES", "--model", "rbm", "--epochs", "1"),
    "visualize": ("visualize", "MODEL"),
    "curve": ("visualize", "MODEL", "--what", "curve"),
    "patches": ("visualize", "PATCHES"),
    "reconstruct": ("reconstruct", "MODEL", "PATCHES"),
    "photo": ("reconstruct", "MODEL", "PHOTO", "--stride", "8"),
    "encode": ("encode", "MODEL", "PATCHES"),
}
writers = pytest.mark.parametrize("call", WRITERS.values(), ids=WRITERS.keys())


def filled(call, work):
    places = {
        "PHOTOS": work.photos,
        "PHOTO": work.photos / "photo0.png",
        "PATCHES": work.patches,
        "MODEL": work.model,
    }
    return [str(places.get(word, word)) for word in call]


@writers
def test_an_output_that_exists_is_kept(call, work, place, run_here):
    out = place / output_of(call)
    out.write_text("precious")
    refused(run_here(*filled(call, work), "-o", out), "exists", "--force")
    assert out.read_text() == "precious"
    assert run_here(*filled(call, work), "-o", out, "--force").code == 0
    assert out.read_bytes() != b"precious"
    assert os.listdir(place) == [out.name]


@writers
def test_an_input_is_never_the_output(call, work, place, tmp_path, run_here):
    args = filled(call, work)
    if not os.path.isfile(args[1]):
        args[1] = str(work.photos / "photo0.png")
    victim = tmp_path / ("victim.h5" if args[1].endswith(".h5") else "victim")
    shutil.copy(args[1], victim)
    args[1] = str(victim)
    before = victim.read_bytes()
    refused(run_here(*args, "-o", victim, "--force"), "input")
    assert victim.read_bytes() == before


@writers
def test_a_missing_folder(call, work, place, run_here):
    refused(run_here(*filled(call, work), "-o", place / "no" / output_of(call)), "does not exist")
    assert nothing_in(place)


@writers
def test_a_folder_that_cannot_be_written(call, work, run_here):
    """The process information folder takes no files, not even from root."""
    refused(run_here(*filled(call, work), "-o", f"/proc/{output_of(call)}", "-q"))


@writers
def test_a_folder_as_output(call, work, place, run_here):
    refused(run_here(*filled(call, work), "-o", place, "--force"), "is a folder")
    assert nothing_in(place)


@pytest.mark.parametrize("name", ["extract-patches", "train", "encode"])
def test_hdf5_cannot_go_to_stdout(name, work, place, run_here, monkeypatch):
    monkeypatch.chdir(place)
    refused(run_here(*filled(WRITERS[name], work), "-o", "-"), "standard output")
    assert nothing_in(place)


@writers
def test_a_full_disk(call, work, place, start):
    """A limit on the size of files answers as a full disk does."""
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2, 2))

    pipe = subprocess.PIPE
    process = start(
        *filled(call, work),
        "-o",
        place / output_of(call),
        "-q",
        cwd=place,
        stdout=pipe,
        stderr=pipe,
        preexec_fn=limit,
    )
    out, err = process.communicate()
    assert process.returncode == 1, err
    assert out == b""
    assert len(err.splitlines()) == 1, err
    assert b"Traceback" not in err
    assert nothing_in(place)


READERS = {
    "train": ("train", "FILE", "--model", "rbm", "-o", "OUT"),
    "visualize": ("visualize", "FILE", "-o", "OUT"),
    "reconstruct model": ("reconstruct", "FILE", "PATCHES", "-o", "OUT"),
    "reconstruct data": ("reconstruct", "MODEL", "FILE", "-o", "OUT"),
    "evaluate model": ("evaluate", "FILE", "PATCHES"),
    "evaluate data": ("evaluate", "MODEL", "FILE"),
    "info": ("info", "FILE"),
    "encode model": ("encode", "FILE", "PATCHES", "-o", "OUT"),
    "encode data": ("encode", "MODEL", "FILE", "-o", "OUT"),
    "like": ("extract-patches", "PHOTOS", "--like", "FILE", "-o", "OUT"),
}
readers = pytest.mark.parametrize("call", READERS.values(), ids=READERS.keys())


def read(call, work, place, file, run_here):
    words = [{"FILE": str(file), "OUT": str(place / output_of(call))}.get(word, word) for word in call]
    return run_here(*filled(words, work))


def bad_file(kind, folder, work):
    """A file that is not what a command wants."""
    path = folder / f"{kind}.h5"
    if kind == "text":
        path.write_text("no data")
    elif kind == "foreign":
        with h5py.File(path, "w") as file:
            file["x"] = np.arange(3)
    elif kind == "truncated":
        path.write_bytes(work.model.read_bytes()[:5000])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind == "damaged":
        data = bytearray(work.model.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    return path


@readers
@pytest.mark.parametrize("kind", ["missing", "text", "foreign", "truncated", "empty", "folder", "damaged"])
def test_files_that_are_none_of_ours(call, kind, work, place, tmp_path, run_here):
    file = bad_file(kind, tmp_path, work)
    ran = read(call, work, place, file, run_here)
    refused(ran, file.name)
    assert nothing_in(place)


@pytest.mark.parametrize("name", ["train", "reconstruct data", "evaluate data", "encode data"])
def test_a_model_given_as_data_set(name, work, place, run_here):
    refused(read(READERS[name], work, place, work.model, run_here), "is a featlearn model", "extract-patches")
    assert nothing_in(place)


@pytest.mark.parametrize("name", ["reconstruct model", "evaluate model", "encode model"])
def test_a_data_set_given_as_model(name, work, place, run_here):
    refused(read(READERS[name], work, place, work.patches, run_here), "is a featlearn data set", "train")
    assert nothing_in(place)


@pytest.mark.parametrize("name", ["reconstruct data", "evaluate data", "encode data"])
def test_a_data_set_of_another_patch_size(name, work, place, tmp_path, run_here):
    other = tmp_path / "other.h5"
    assert run_here("extract-patches", work.photos, "--size", 5, "--count", 30, "-o", other).code == 0
    refused(read(READERS[name], work, place, other, run_here), "5x5x1", "8x8x1", "--like")
    assert nothing_in(place)


def test_a_photograph_smaller_than_a_patch(work, place, tmp_path, run_here):
    Image.new("L", (7, 30), 9).save(tmp_path / "small.png")
    refused(run_here("reconstruct", work.model, tmp_path / "small.png", "-o", place / "out.png"), "8x8")
    assert nothing_in(place)


def test_a_model_whose_config_holds_an_unknown_key(work, place, tmp_path, run_here):
    file = read_model(str(work.model))
    file.config["wizardry"] = 1
    write_model(str(tmp_path / "m.h5"), file)
    refused(run_here("evaluate", tmp_path / "m.h5", work.patches), "wizardry", "m.h5")


def test_names_are_never_printed_raw(place, tmp_path, run_here):
    name = tmp_path / "evil\x1b[2J\nname.h5"
    name.write_text("no data")
    ran = run_here("info", name)
    refused(ran, "name.h5")
    assert "\x1b" not in ran.err


NAMES = {  # names in messages: as they are, or quoted where they could not be printed
    "plain.h5": "plain.h5",
    "with a space, it's.h5": "with a space, it's.h5",
    "two\nlines.h5": r"'two\nlines.h5'",
}
NAMING = {
    **READERS,
    "config": ("train", "PATCHES", "--model", "rbm", "--config", "FILE", "-o", "OUT"),
    "list": ("extract-patches", "--files-from", "FILE", "-o", "OUT"),
    "images": ("extract-patches", "FILE", "-o", "OUT"),
    "labels": ("extract-patches", "PHOTOS", "--labels", "FILE", "-o", "OUT"),
}


@pytest.mark.parametrize("call", NAMING.values(), ids=NAMING.keys())
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_are_quoted_only_where_they_must_be(name, call, work, place, run_here, monkeypatch):
    monkeypatch.chdir(place)
    ran = read(call, work, place, name, run_here)
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert ran.err.startswith(
        ("featlearn: error: " + NAMES[name] + ":", f"featlearn: error: --config {NAMES[name]}:")
    )


def test_names_of_unfinished_runs_are_not_quoted(work, place, run_here, monkeypatch):
    monkeypatch.chdir(place)
    (place / "m.h5.ckpt").write_text("no model")
    train = ("train", work.patches, "--model", "rbm", "-o", "m.h5")
    refused(run_here(*train), "error: m.h5.ckpt: an unfinished run")
    assert run_here(*train, "--force", "--epochs", 1, "--quiet").code == 0
    ran = run_here(*train, "--resume", "--epochs", 2, "--quiet")
    assert (ran.code, len(ran.error_lines)) == (2, 1)
    assert "--resume: m.h5 is of another run" in ran.err


def test_names_of_options_and_arguments_are_not_quoted(work, run_here):
    for call, place in (
        (("visualize", work.model, "--count", "abc"), "--count: 'abc'"),
        (("train", work.patches), "option --model."),
        (("evaluate",), "argument MODEL."),
    ):
        ran = run_here(*call)
        assert (ran.code, len(ran.error_lines)) == (2, 1)
        assert place in ran.err


@pytest.mark.parametrize("name", sorted(READERS.keys() - {"encode data"}))  # it slides over images
def test_a_folder_of_images_is_to_be_extracted_first(name, work, place, run_here, monkeypatch, tmp_path):
    folder = tmp_path / "my photos"
    folder.symlink_to(work.photos)
    ran = read(READERS[name], work, place, folder, run_here)
    refused(ran, "is a folder")
    command = ran.err.partition("run featlearn ")[2].partition(" first")[0]
    monkeypatch.chdir(place)
    assert run_here(*shlex.split(command), "--count", 5).code == 0


def test_training_on_the_wrong_range_teaches(work, place, run_here):
    ran = run_here("train", work.patches, "--model", "rbm", "--visible", "bernoulli", "-o", place / "out.h5")
    assert ran.code == 2
    assert "--visible gaussian" in ran.err
    assert "normalized and whitened data have no bounds, wanted 0..1" in ran.err
    assert nothing_in(place)


def test_holding_out_all_rows_teaches(work, place, run_here):
    held_out = ("--validation", 0.9999, "--batch-size", 1)
    ran = run_here("train", work.patches, "--model", "rbm", *held_out, "-o", place / "out.h5")
    assert (ran.code, len(ran.error_lines)) == (2, 1)
    assert "--validation" in ran.err
    assert nothing_in(place)


IDLE = {
    "--sparsity-method lee": "--sparsity-target",
    "--sparsity-method goh": "--sparsity-target",
    "--sample-visible --persistent": "--persistent",
    "--sparsity-weight 0.1": "--sparsity-target",
    "--sparsity-memory 0.9 --sparsity-target 0.1 --sparsity-method lee": "--sparsity-method hinton",
    "--sparsity-order sparse --sparsity-target 0.1": "--sparsity-method goh",
    "--chains 100": "--persistent",
    "--offset-rate 0.1": "--centered",
    "--sigma-rate 0.1": "--learn-sigma",
    "--refine-lr 0.1": "--refine",
    "--no-refine-decay": "--refine",
    "--initial-momentum 0.1": "--initial-epochs",
    "--initial-epochs 3 --optimizer adam": "--optimizer sgd",
    "--l1-method subgradient --decay l2": "--decay l1",
    "--ais-chains 10": "--likelihood auto or ais",
    "--ais-betas 14500 --likelihood exact": "--likelihood auto or ais",
    "--burn-in 10": "--likelihood auto or ais",
}


@pytest.mark.parametrize(("options", "remedy"), IDLE.items(), ids=IDLE.keys())
def test_options_that_would_do_nothing_are_refused(options, remedy, work, place, run_here):
    """Also where they say what is so anyway."""
    train = ("train", work.patches, "--model", "rbm", "-o", place / "out.h5")
    command = ("evaluate", work.model, work.patches) if "likelihood" in remedy else train
    ran = run_here(*command, *options.split())
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert f"{options.split()[0].replace('--no-', '--')}: does nothing with" in ran.err
    assert remedy in ran.err
    assert nothing_in(place)


def test_settings_that_do_nothing_may_stand_in_a_file(work, tmp_path, run_here, monkeypatch):
    """--show-config prints all settings; and the command line may turn off what a file turned on."""
    file, command = tmp_path / "run.toml", ("train", work.patches, "-o", tmp_path / "m.h5", "--force")
    on = ("--persistent", "--chains", 7, "--epochs", 1)
    shown = run_here(*command, "--model", "rbm", *on, "--show-config")
    file.write_text(shown.out)
    assert "chains = 7\n" in shown.out
    monkeypatch.setenv("FEATLEARN_TRAIN_OFFSET_RATE", "0.5")
    for off in ((), ("--no-persistent",), ("--no-sample-visible",)):
        ran = run_here(*command, "--config", file, *off)
        assert ran.code == 0, ran.err


def test_a_checkpoint_without_its_chains_is_refused(work, run_here, tmp_path):
    """/state may be missing in a model that is used, not in a run that goes on."""
    options = ("--model", "rbm", "--hidden", 5, "--epochs", 1, "--persistent", "-o", tmp_path / "m.h5")
    assert run_here("train", work.patches, *options).code == 0
    file = read_model(str(tmp_path / "m.h5"))
    del file.state["chains"]
    write_model(str(tmp_path / "m.h5.ckpt"), file)
    (tmp_path / "m.h5").unlink()
    ran = run_here("train", work.patches, *options, "--resume")
    assert (ran.code, len(ran.error_lines)) == (1, 1)
    assert "/state" in ran.err


HAND_EDITED = {
    "chains that are not finite": ("state", "chains", lambda w: w * np.nan),
    "velocity of another shape": ("optimizer", "optimizer.velocity.W", lambda w: w[:3].copy()),
    "velocity that is not finite": ("optimizer", "optimizer.velocity.W", lambda w: w * np.inf),
    "velocity of another precision": ("optimizer", "optimizer.velocity.W", lambda w: w.astype(np.float64)),
    "velocity of no parameter": ("optimizer", "optimizer.velocity.Q", lambda w: np.zeros(3)),
    "best of one alone": ("optimizer", "best.W", lambda w: np.zeros(3)),
    "a key without a dot": ("optimizer", "junk", lambda w: np.zeros(3)),
}


@pytest.mark.parametrize(("group", "key", "edit"), HAND_EDITED.values(), ids=HAND_EDITED.keys())
def test_a_checkpoint_edited_by_hand_is_refused(group, key, edit, stopped, run_here):
    path, command = stopped
    file = read_model(path)
    values = getattr(file, group)
    values[key] = edit(values.get(key))
    setattr(file, group, {name: value for name, value in values.items() if value is not None})
    write_model(path, file, force=True)
    refused(run_here(*command, "--resume"), f"/{group}", "--force")


EDITED_CONFIG = {
    "a text for a number": ("hidden", "5", "a whole number"),
    "a fraction of a unit": ("hidden", 2.5, "a whole number"),
    "nothing for a number": ("hidden", None, "a whole number"),
    "true for a number": ("init_scale", True, "a number"),
    "a list for a number": ("init_scale", [1], "a number"),
    "a number for a choice": ("visible", 1, "a text"),
    "a text for yes or no": ("persistent", "no", "true or false"),
    "no float is so large": ("init_scale", 10**400, "a number"),
    "no array is so large": ("hidden", 10**400, "a whole number"),
}


@pytest.mark.parametrize(("key", "value", "words"), EDITED_CONFIG.values(), ids=EDITED_CONFIG.keys())
def test_a_model_with_settings_of_other_types_is_refused(key, value, words, work, run_here, tmp_path):
    file = read_model(str(work.model))
    assert key in file.config
    file.config[key] = value
    write_model(str(tmp_path / "m.h5"), file)
    refused(
        run_here("evaluate", tmp_path / "m.h5", work.patches),
        f"--{key.replace('_', '-')}",
        f"must be {words}",
    )


EDITED_PROGRESS = {
    "no run": None,
    "a list": [1],
    "an unknown key": {"junk": 1},
    "a text for a number": {"epoch": "1"},
    "a fraction of an epoch": {"epoch": 0.5},
    "true for a number": {"phase": True},
    "a phase too far": {"phase": 1},
    "a phase before the first": {"phase": -1},
    "a batch beyond the epoch": {"batch": 10**6},
    "a huge epoch": {"epoch": 10**400, "epochs_done": 10**400},
    "a huge step": {"step": 10**40},
    "more epochs than history": {"epochs_done": 1},
    "no number in the errors": {"first_errors": [None]},
    "no number in the sums": {"sums": {"error": "1"}},
    "no rate": {"rate": 0.0},
    "finished at its beginning": {"finished": True},
}


@pytest.mark.parametrize("edit", EDITED_PROGRESS.values(), ids=EDITED_PROGRESS.keys())
def test_a_progress_edited_by_hand_is_refused(edit, stopped, run_here):
    path, command = stopped
    file = read_model(path)
    file.progress["run"] = file.progress["run"] | edit if isinstance(edit, dict) else edit
    write_model(path, file, force=True)
    refused(run_here(*command, "--resume"), "progress", "--force")


def test_a_progress_with_other_sums_does_no_harm(stopped, run_here):
    """Only the averages of that epoch are others."""
    path, command = stopped
    file = read_model(path)
    file.progress["run"]["sums"] = {"junk": 1.0}
    write_model(path, file, force=True)
    assert run_here(*command, "--resume").code == 0


def test_a_history_edited_by_hand(stopped, run_here):
    """With other columns it does no harm, the others are no numbers there; a column too long is refused."""
    path, command = stopped
    file = read_model(path)
    file.progress["run"] |= {"epochs_done": 1, "epoch": 1, "batch": 0}
    place = dict.fromkeys(("epoch", "phase", "step"), np.ones(1, np.int64))
    file.history = place | {"rmse": np.ones(1)}
    write_model(path, file, force=True)
    assert run_here(*command, "--resume").code == 0
    history = read_model(path.removesuffix(".ckpt")).history
    assert np.isnan(history["probe_rmse"]).tolist() == [True, False]
    assert np.isnan(history["rmse"]).tolist() == [False, True]
    file.history = {name: np.repeat(column, 2) for name, column in file.history.items()}
    write_model(path, file)
    os.remove(path.removesuffix(".ckpt"))
    refused(run_here(*command, "--resume"), "history", "--force")


@pytest.fixture
def stopped(work, run_here, tmp_path, monkeypatch):
    """The checkpoint of a run that was stopped at its third update, and the command that goes on with it."""
    command = ("train", work.patches, "--model", "rbm", "--hidden", 5, "--epochs", 2, "--persistent")
    command += ("--checkpoint-every", 0, "-o", tmp_path / "m.h5")

    def write(path, file, force):
        write_model(path, file, force)
        if file.progress["run"]["step"] == 3:
            raise DataError("stopped")

    monkeypatch.setattr(training_run, "write_model", write)
    refused(run_here(*command), "stopped")
    monkeypatch.undo()
    return str(tmp_path / "m.h5.ckpt"), command


def test_a_run_that_was_stopped_goes_on(stopped, run_here):
    assert run_here(*stopped[1], "--resume").code == 0


def test_a_model_without_a_usable_state_can_be_sampled(work, run_here, tmp_path):
    options = ("--model", "mcrbm", "--hidden", 5, "--hidden-cov", 6, "--factors", 6, "--epochs", 1)
    assert run_here("train", work.patches, *options, "-o", tmp_path / "m.h5").code == 0
    file = read_model(str(tmp_path / "m.h5"))
    pictures = set()
    for state in (
        {},
        {"step_size": np.zeros((2, 2))},
        {"step_size": np.zeros(0)},
        {"step_size": np.array([np.nan])},
    ):
        file.state = state
        write_model(str(tmp_path / "m.h5"), file, force=True)
        assert (
            run_here("sample", tmp_path / "m.h5", "--steps", 3, "-o", tmp_path / "s.png", "--force").code == 0
        )
        pictures.add((tmp_path / "s.png").read_bytes())
    assert len(pictures) == 1


@pytest.mark.parametrize("suffix", [".csv", ".PNG", ".npy", ".mat", ".onnx", ".safetensors"])
def test_no_output_has_the_name_of_another_format(suffix, work, run_here, tmp_path):
    """What these commands write is HDF5."""
    out = tmp_path / f"x{suffix}"
    for args in (
        ("extract-patches", work.photos),
        ("train", work.patches, "--model", "pca"),
    ):
        ran = run_here(*args, "-o", out)
        assert (ran.code, ran.out) == (2, "")
        assert (
            ran.err
            == f"featlearn: error: -o {out}: would be HDF5 under a name of another format; end it in .h5\n"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("train", "--model", "rbm"), "--checkpoint-every"),
        (("check-gradients", "--model", "rbm"), "--tolerance"),
        (("check-gradients", "--model", "rbm"), "--epsilon"),
    ],
)
def test_nan_is_no_number(command, option, run_here):
    """It lies within all bounds, and no comparison with it is ever true."""
    ran = run_here(*command, option, "nan")
    assert ran.code == 2
    assert ran.error_lines == [f"Error: Invalid value for {option}: 'nan' is not a number"]
