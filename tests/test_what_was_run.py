"""Files say what was run: every setting resolved and kept, no clock, and the same meaning under other
defaults."""

import contextlib
import dataclasses
import importlib
import json
from itertools import product

import h5py
import numpy as np
import pytest

from featlearn.errors import ConfigError
from featlearn.jobs.store import load_model
from featlearn.models import model_class
from featlearn.models.base import DataSummary
from featlearn.settings import from_dict, in_words, setting, to_dict, unresolved
from featlearn.training.config import TrainConfig
from featlearn.training.optim import OPTIMIZERS
from helpers import SINGLE, label, pair

N_VISIBLE = 20
RANGES = [(0.0, 1.0), (-3.0, 3.0), (-np.inf, np.inf)]


def resolve(cls, config):
    """The config resolved for the first range of data that the model takes."""
    for low, high in RANGES:
        try:
            return cls.resolve(config, DataSummary(N_VISIBLE, low, high, classes=3))
        except ConfigError:
            pass
    raise AssertionError(f"{cls.id} fits no data")


def configs(cls):
    """The default, every variant, and each setting that is off by default switched on."""
    yield cls.Config()
    yield from cls.variants().values()
    for field in dataclasses.fields(cls.Config):
        for value in (0.5, 3, True, "2,4"):
            with contextlib.suppress(ConfigError):
                yield cls.Config(**{field.name: value})


def extra(id):
    """Options with which a small model of that id is trained."""
    own = {
        "pca": [],
        "sparse-pca": [],
        "k-means": [],
        "untied-dbn": ["--hidden", "12,6", "--epochs", 2],
        "k-sparse": ["--k", 2, "--epochs", 2],
    }
    offered = {field.name for field in dataclasses.fields(model_class(id).Config)}
    sizes = ["--hidden", 12] if "hidden" in offered else []
    return [*sizes, *own.get(id, ["--epochs", 2])]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, run_here):
    """By id, a model trained on data that it takes, and that data set."""
    folder = tmp_path_factory.mktemp("trained")
    for name, how in {"pixels": [], "white": ["--whiten", "zca"]}.items():
        options = [
            "--images",
            2,
            "--size",
            6,
            "--count",
            300,
            "--normalize",
            "none" if not how else "center",
            *how,
        ]
        assert run_here("extract-patches", "dead-leaves", *options, "-o", folder / f"{name}.h5").code == 0
    label(folder / "pixels.h5", folder / "labelled.h5")
    pair(folder / "pixels.h5", folder / "paired.h5")
    made = {}
    for id in SINGLE:
        data, out = folder / ("white.h5" if id == "mcrbm" else "pixels.h5"), folder / f"{id}.h5"
        data = folder / "labelled.h5" if model_class(id).labelled else data
        data = folder / "paired.h5" if model_class(id).of_pairs else data
        ran = run_here("train", data, "--model", id, *extra(id), "-o", out)
        assert ran.code == 0, ran.err
        made[id] = out, data
    return made


@pytest.mark.parametrize("id", SINGLE)
def test_resolve_leaves_nothing_open(id):
    cls, seen = model_class(id), 0
    for config in configs(cls):
        try:
            resolved = resolve(cls, config)
        except AssertionError:  # more components than values
            continue
        seen += 1
        assert not unresolved(resolved)
        assert "auto" not in to_dict(resolved).values()
        assert cls.resolve(resolved, DataSummary(N_VISIBLE)) == resolved
        assert from_dict(cls.Config, json.loads(json.dumps(to_dict(resolved)))) == resolved
    assert seen > 0


@pytest.mark.parametrize("id", SINGLE)
def test_training_is_resolved_for_every_optimizer_and_decay(id):
    for optimizer, decay in product(OPTIMIZERS, ("none", "l1", "l2")):
        try:
            config = TrainConfig(optimizer=optimizer, decay=decay)
        except ConfigError:
            continue
        cls, data = model_class(id), DataSummary(N_VISIBLE, -3, 3, n_rows=57)
        settings = resolve(cls, cls.Config())
        resolved = config.resolve(cls, settings, data)
        assert not unresolved(resolved)
        assert resolved.resolve(cls, settings, DataSummary(N_VISIBLE, 0, 1, 5, 1.0, 2.0)) == resolved
        assert (resolved.decay_weight is None) == (decay == "none")


def test_a_setting_may_stay_open_only_where_that_means_something():
    @dataclasses.dataclass(frozen=True)
    class Config:
        a: int | None = setting(None, "a")
        b: int | None = setting(None, "b", off="never")

    assert unresolved(Config()) == ["a"]
    assert in_words(Config, {"a": None, "b": None, "c": 3}) == {"a": None, "b": "never", "c": 3}


@pytest.mark.parametrize("id", SINGLE)
def test_info_says_every_setting(id, trained, run_here):
    path, _ = trained[id]
    cls = model_class(id)
    for part, settings in {"config": cls.Config, "training": TrainConfig}.items():
        for field in dataclasses.fields(settings):
            shown = run_here("info", path, "--get", f"{part}.{field.name}")
            assert shown.code == 0
            assert shown.out.strip() not in ("null", "", "auto"), field.name


def test_what_is_learned_exactly_searches_no_learning_rate(trained, run_here):
    assert run_here("info", trained["pca"][0], "--get", "training.lr").out.strip() == "no learning rate"


@pytest.mark.parametrize(
    ("id", "settings", "words"),
    [
        ("k-sparse", {"alpha": None, "k_start": None}, "k_start: is not said"),
        ("k-sparse", {"alpha": None}, "alpha: is not said"),
        ("rbm", {"visible": "auto"}, "--visible: auto"),
        ("autoencoder", {"loss": "auto"}, "loss: is not said"),
    ],
)
def test_an_open_setting_in_a_file_is_refused(id, settings, words, trained, tmp_path):
    """Also one that may be off, where beside the other settings it cannot be."""
    from featlearn.errors import DataError
    from featlearn.files.model import read_model, write_model

    file = read_model(str(trained[id][0]))
    file.config |= settings
    path = str(tmp_path / "open.h5")
    write_model(path, file)
    with pytest.raises(DataError, match=rf"open\.h5: .*{words}"):
        load_model(path)


@pytest.mark.parametrize("id", SINGLE)
def test_a_file_means_the_same_under_other_defaults(id, trained, monkeypatch):
    """All defaults of the code are changed, constants and fields alike: codes and hash of the file stay."""
    path, _ = trained[id]

    def codes():
        learned = load_model(str(path))
        X = np.linspace(0, 1, 5 * learned.preprocess.n_visible, dtype="float32").reshape(5, -1)
        H = learned.model.encode(X)
        Y = learned.model.reconstruct(X).tobytes() if learned.model.decodes else b""
        return H.tobytes(), Y, learned.file.content_hash

    before = codes()
    cls = model_class(id)
    for c in cls.Config.__mro__[:-1]:
        defaults = c.__init__.__defaults__ or ()
        monkeypatch.setattr(c.__init__, "__defaults__", tuple(other(value) for value in defaults))
    for name in ("ALPHA", "RAMP", "AUX_WEIGHT", "INIT_SCALE", "START", "WIDEST", "MOST"):
        for module in (
            importlib.import_module(cls.__module__),
            importlib.import_module(cls.Config.__module__),
            importlib.import_module("featlearn.training.config"),
        ):
            if isinstance(getattr(module, name, None), int | float) and (id, name) != ("pca", "WIDEST"):
                monkeypatch.setattr(module, name, getattr(module, name) * 0.5)
    d = cls.defaults
    doubled = {name: {k: 2 * v for k, v in getattr(d, name).items()} for name in ("rates", "decay_weights")}
    monkeypatch.setattr(cls, "defaults", dataclasses.replace(d, batch_size=2 * d.batch_size, **doubled))
    assert codes() == before


def other(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return value + "x" if isinstance(value, str) else value


@pytest.mark.parametrize("id", SINGLE)
@pytest.mark.parametrize("epoch", [None, "1700000000"])
def test_equal_runs_make_equal_files(id, epoch, trained, run_here, monkeypatch, tmp_path):
    """Byte for byte, whatever the clock says."""
    if epoch is not None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    _, data = trained[id]
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert run_here("train", data, "--model", id, *extra(id), "-o", "m.h5").code == 0
        contents.append((tmp_path / name / "m.h5").read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("id", SINGLE)
def test_shown_settings_make_the_same_model(id, trained, run_here, tmp_path):
    """--show-config prints all that was resolved; as a settings file it repeats the run."""
    path, data = trained[id]
    shown = run_here("train", data, "--model", id, *extra(id), "--show-config")
    assert shown.code == 0, shown.err
    (tmp_path / "run.toml").write_text(shown.out)
    again = run_here("train", data, "--config", tmp_path / "run.toml", "-o", tmp_path / "again.h5")
    assert again.code == 0, again.err
    first, second = load_model(str(path)).file, load_model(str(tmp_path / "again.h5")).file
    assert second.content_hash == first.content_hash
    assert second.training == first.training
    said = {line.partition(" = ")[0] for line in shown.out.splitlines()}
    fields = (*dataclasses.fields(model_class(id).Config), *dataclasses.fields(TrainConfig))
    settings = {field.name for field in fields if field.metadata}
    known = first.config | first.training
    offered = {key for key, value in known.items() if value is not None and key in {*settings, "dtype"}}
    idle = set() if model_class(id).descends() else {field.name for field in dataclasses.fields(TrainConfig)}
    assert offered - idle <= said


def test_provenance_keeps_the_settings_file_and_the_environment(work, run_here, monkeypatch, tmp_path):
    (tmp_path / "run.toml").write_text('model = "rbm"\nhidden = 7\n')
    monkeypatch.setenv("FEATLEARN_TRAIN_EPOCHS", "1")
    monkeypatch.setenv("FEATLEARN_TRAIN_MOMENTUM", "0.25")
    options = [
        "train",
        work.patches,
        "--config",
        tmp_path / "run.toml",
        "--momentum",
        0.5,
        "-o",
        tmp_path / "m.h5",
    ]
    assert run_here(*options).code == 0
    story = load_model(str(tmp_path / "m.h5")).file.provenance
    assert story["argv"] == ["featlearn", *map(str, options)]
    assert story["config"] == {"model": "rbm", "hidden": 7}
    assert story["environment"] == {"FEATLEARN_TRAIN_EPOCHS": "1"}, "the momentum stands on the command line"
    assert "config" not in load_model(str(work.model)).file.provenance


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lr = [0.1, 0.2]", "lr: got [0.1, 0.2], wanted a number"),
        ("lr = 2026-11-21", "lr: got datetime.date(2026, 11, 21), wanted a number"),
        ("lr = true", "lr: got True, wanted a number"),
        ("hidden = true", "hidden: got True, wanted a whole number"),
        ("epochs = 1.5", "epochs: got 1.5, wanted a whole number"),
        ("epochs = inf", "epochs: got inf, wanted a whole number"),
        ("decay = 1", "decay: got 1, wanted a text"),
        ("persistent = 1", "persistent: got 1, wanted true or false"),
        ("[hidden]\nx = 1", "hidden: got {'x': 1}, wanted a whole number"),
        ("matryoshka = [16]", "unknown key 'matryoshka'"),
        ("lr = " + 50_000 * "[", "not a TOML file"),
        ("hidden = " + 400 * "9", "wanted a whole number up to 2^53"),
        ("lr = " + 400 * "9", "wanted a number"),
        ("lr = " + 5000 * "9", "not a TOML file"),
    ],
)
def test_values_of_another_type_in_a_settings_file(line, words, work, run_here, tmp_path):
    """One line each, also for what Click would silently round (1.5 epochs) or count (true units)."""
    (tmp_path / "run.toml").write_text(f'model = "rbm"\n{line}\n')
    ran = run_here("train", work.patches, "--config", tmp_path / "run.toml", "-o", tmp_path / "m.h5")
    assert ran.code in (1, 2)
    assert ran.err.count("\n") == 1
    assert words in ran.err
    assert "internal error" not in ran.err


def test_the_environment_names_the_settings_file(work, run_here, monkeypatch, tmp_path):
    for name, hidden in {"one": 7, "other": 9}.items():
        (tmp_path / f"{name}.toml").write_text(f'model = "rbm"\nhidden = {hidden}\n')
    monkeypatch.setenv("FEATLEARN_TRAIN_CONFIG", str(tmp_path / "one.toml"))
    assert "hidden = 7\n" in run_here("train", work.patches, "--show-config").out
    shown = run_here("train", work.patches, "--config", tmp_path / "other.toml", "--show-config").out
    assert "hidden = 9\n" in shown, "the command line wins"
    assert run_here("train", work.patches, "-o", tmp_path / "m.h5", "--epochs", 1).code == 0
    story = load_model(str(tmp_path / "m.h5")).file.provenance
    assert story["config"] == {"model": "rbm", "hidden": 7}
    assert story["environment"].keys() == {"FEATLEARN_TRAIN_CONFIG"}


def test_shown_settings_are_toml_whatever_they_are(work, run_here, tmp_path):
    options = ("--model", "rbm", "--checkpoint-every", "inf", "--lr", 1e-7, "--show-config")
    shown = run_here("train", work.patches, *options).out
    (tmp_path / "run.toml").write_text(shown)
    assert run_here("train", work.patches, "--config", tmp_path / "run.toml", "--show-config").out == shown


def test_the_history_holds_no_clock(trained):
    with h5py.File(trained["rbm"][0]) as file:
        assert not [name for name in file["history"] if "second" in name or "time" in name]
