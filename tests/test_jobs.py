"""The jobs in Python: the same bytes as the command line, from any thread, and nothing of the caller."""

import inspect
import io
import json
import os
import subprocess
import sys
import threading

import click
import numpy as np
import pytest

import featlearn
from featlearn.cli.main import cli
from featlearn.errors import ConfigError, DataError
from featlearn.files.dataset import read_dataset
from featlearn.files.model import read_model
from featlearn.models import model_class

CUT = {"size": 8, "count": 600, "normalize": "standardize", "seed": 3}
LEARN = {"model": "rbm", "hidden": 12, "epochs": 2, "lr": 0.02, "seed": 1}


def as_arguments(options):
    """size=8 -> --size 8"""
    return [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]


def in_a_thread(call):
    """Call in a thread, as a notebook or a server may, and hand on what came of it."""
    found = []

    def work():
        try:
            found.append((call(), None))
        except BaseException as error:
            found.append((None, error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    value, error = found[0]
    if error is not None:
        raise error
    return value


def content(path):
    """All of a data set but its provenance, and what follows from that."""
    data = read_dataset(str(path))
    arrays = {name: np.asarray(getattr(data, name)[:]) for name in ("patches", "origin")}
    more = {name: getattr(data, name) for name in ("shape", "labels", "label_names", "images")}
    return str((more, sorted(data.preprocess.items()))), {k: v.tobytes() for k, v in arrays.items()}


def learned(path):
    """All of a model file but its provenance and the data set's digest, which counts provenance, too."""
    file = read_model(str(path))
    groups = ("params", "history", "state")
    arrays = {f"{g}/{k}": np.asarray(v).tobytes() for g in groups for k, v in getattr(file, g).items()}
    run = {key: value for key, value in file.progress.items() if key != "data"}
    return file.content_hash, arrays, file.config, file.training, file.seed, run


@pytest.fixture(scope="module")
def made(work, run_here, tmp_path_factory):
    """A folder with what the command line made, and one with what Python made of the same, twice."""
    folders = [tmp_path_factory.mktemp(name) for name in ("command", "first", "second")]
    before = os.getcwd()
    try:
        os.chdir(folders[0])
        for line in (
            ["extract-patches", work.photos, "-o", "p.h5", *as_arguments(CUT)],
            ["train", "p.h5", *as_arguments(LEARN), "-o", "m.h5"],
            ["encode", "m.h5", "p.h5", "-o", "c.h5"],
            ["visualize", "m.h5", "--columns", 3, "-o", "filters.png"],
            ["visualize", "m.h5", "--what", "curve", "-o", "curve.pdf"],
            ["reconstruct", "m.h5", "p.h5", "--count", 5, "-o", "pairs.png"],
            ["sample", "m.h5", "--count", 4, "--steps", 3, "-o", "samples.png"],
        ):
            ran = run_here(*line)
            assert ran.code == 0, ran.err
        argv, sys.argv = sys.argv, ["caller", "--secret-token", "abc"]
        for folder in folders[1:]:
            os.chdir(folder)
            in_a_thread(lambda: featlearn.extract_patches(work.photos, "p.h5", **CUT))
            in_a_thread(lambda: featlearn.train("p.h5", "m.h5", **LEARN))
            in_a_thread(lambda: featlearn.encode("m.h5", "p.h5", "c.h5"))
            in_a_thread(lambda: featlearn.visualize("m.h5", "filters.png", columns=3))
            in_a_thread(lambda: featlearn.visualize("m.h5", "curve.pdf", what="curve"))
            in_a_thread(lambda: featlearn.reconstruct("m.h5", "p.h5", "pairs.png", count=5))
            in_a_thread(lambda: featlearn.sample("m.h5", "samples.png", count=4, steps=3))
        sys.argv = argv
    finally:
        os.chdir(before)
    return folders


@pytest.fixture
def place(made, monkeypatch):
    """The first of the folders that Python made, as the current one."""
    monkeypatch.chdir(made[1])
    return made[1]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("p.h5", content),
        ("m.h5", learned),
        ("c.h5", content),
        ("filters.png", lambda path: path.read_bytes()),
        ("curve.pdf", lambda path: path.read_bytes()),
        ("pairs.png", lambda path: path.read_bytes()),
        ("samples.png", lambda path: path.read_bytes()),
    ],
)
def test_a_job_in_a_thread_makes_what_the_command_makes(name, read, made):
    command, first, second = (read(folder / name) for folder in made)
    assert first == command
    assert second == command
    assert (made[1] / name).read_bytes() == (made[2] / name).read_bytes()


def test_nothing_of_the_callers_command_line_is_stored(made):
    for name in ("p.h5", "m.h5", "c.h5"):
        assert b"secret" not in (made[1] / name).read_bytes()
    story = read_model(str(made[1] / "m.h5")).provenance
    assert "argv" not in story
    assert story["job"] == "train"
    assert story["settings"] == LEARN
    assert [one["name"] for one in story["inputs"]] == ["p.h5"]
    assert story["inputs"][0]["provenance"]["job"] == "extract_patches"


@pytest.mark.parametrize(
    ("line", "call"),
    [
        (["info", "m.h5"], lambda: featlearn.info("m.h5")),
        (["info", "p.h5", "--verify"], lambda: featlearn.info("p.h5", verify=True)),
        (["evaluate", "m.h5", "p.h5", "--bins", "4"], lambda: featlearn.evaluate("m.h5", "p.h5", bins=4)),
        (
            ["evaluate", "m.h5", "m.h5", "p.h5", "--train", "p.h5"],
            lambda: featlearn.evaluate(["m.h5", "m.h5"], "p.h5", train="p.h5"),
        ),
        (
            ["check-gradients", "--model", "autoencoder", "--activation", "tanh", "--problems", "1"],
            lambda: featlearn.check_gradients(model="autoencoder", activation="tanh", problems=1),
        ),
        (
            ["extract-patches", "dead-leaves", "--count", "200", "-o", "new.h5", "--dry-run"],
            lambda: featlearn.extract_patches("dead-leaves", "new.h5", count=200, dry_run=True),
        ),
        (
            ["visualize", "p.h5", "-o", "x.png", "--force"],
            lambda: featlearn.visualize("p.h5", "x.png", force=True),
        ),
        (
            ["train", "p.h5", *as_arguments(LEARN), "-o", "m.h5", "--resume"],
            lambda: featlearn.train("p.h5", "m.h5", resume=True, **LEARN),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_result_reports_what_json_says(line, call, place, run_here):
    ran = run_here(*line, "--json")
    assert ran.code == 0, ran.err
    report = in_a_thread(call).report()
    assert report == json.loads(ran.out)
    assert list(report) == list(json.loads(ran.out))


def test_a_stream_takes_a_picture(place):
    stream = io.BytesIO()
    done = featlearn.visualize("m.h5", stream, columns=3)
    assert stream.getvalue() == (place / "filters.png").read_bytes()
    assert (done.output, done.filters, done.shape) == (None, 12, (8, 8, 1))


WRONG = [
    (lambda: featlearn.extract_patches("dead-leaves", "n.h5", size=0), "--size"),
    (lambda: featlearn.extract_patches("dead-leaves", "n.h5", seed=-1), "--seed"),
    (lambda: featlearn.extract_patches("dead-leaves", "n.h5", images=0), "--images"),
    (lambda: featlearn.extract_patches("dead-leaves", "n.h5", color="red"), "--color"),
    (lambda: featlearn.extract_patches("dead-leaves", "n.h5", whiten="none", epsilon=1.0), "--epsilon"),
    (lambda: featlearn.train("p.h5", "n.h5", model="rbm", hidden=0), "--hidden"),
    (lambda: featlearn.train("p.h5", "n.h5", model="rbm", lr=-1), "--lr"),
    (lambda: featlearn.train("p.h5", "n.h5", model="rbm", chains=5), "--chains"),
    (lambda: featlearn.train("p.h5", "n.h5", model="rbm", dtype="int8"), "--dtype"),
    (lambda: featlearn.train("p.h5", "n.h5", model="rbm", checkpoint_every=-1.0), "--checkpoint-every"),
    (lambda: featlearn.train("p.h5", "n.h5", model="nothing"), "--model"),
    (lambda: featlearn.train("p.h5", "n.h5", model="pca", lr=0.1), "--lr"),
    (lambda: featlearn.train("p.h5", "n.h5", model="rbm", seed=2**32), "--seed"),
    (lambda: featlearn.train("p.h5", "n.png", model="rbm"), "-o"),
    (lambda: featlearn.evaluate("m.h5", "p.h5", bins=1), "--bins"),
    (lambda: featlearn.evaluate("m.h5", "p.h5", per_class=10), "--per-class"),
    (lambda: featlearn.evaluate("m.h5", "p.h5", ais_chains=10), "--ais-chains"),
    (lambda: featlearn.evaluate("m.h5", "p.h5", seed=-1), "--seed"),
    (lambda: featlearn.visualize("m.h5", "n.png", what="curve", columns=3), "--columns"),
    (lambda: featlearn.visualize("p.h5", "n.png", sort="norm"), "--sort"),
    (lambda: featlearn.visualize("m.h5", "n.png", columns=0), "--columns"),
    (lambda: featlearn.reconstruct("m.h5", "p.h5", "n.png", stride=2), "--stride"),
    (lambda: featlearn.sample("m.h5", "n.png", steps=3, every=4), "--every"),
    (lambda: featlearn.sample("m.h5", "n.png", count=0), "--count"),
    (lambda: featlearn.check_gradients(model="rbm", tolerance=-1.0), "--tolerance"),
    (lambda: featlearn.check_gradients("m.h5", "p.h5", problems=2), "--problems"),
    # before anything is looked at
    (lambda: featlearn.extract_patches("missing", "n.h5", normalize="none", epsilon=1.0), "--epsilon"),
    (lambda: featlearn.visualize("missing", "n.png", what="curve", columns=3), "--columns"),
    (lambda: featlearn.fit("rbm", np.zeros((4, 4)), hidden=0), "--hidden"),
    (lambda: featlearn.evaluate([], "p.h5"), "no MODEL"),
    (lambda: featlearn.info("m.h5", threads=0), "--threads"),
    (lambda: featlearn.encode("m.h5", "p.h5", "n.h5", layer="2"), "--layer: got '2', must be a whole"),
    (lambda: featlearn.encode("m.h5", "p.h5", "n.h5", layer=0), "--layer: got 0, must be at least 1"),
    (lambda: featlearn.info("m.h5", max_memory="4GB"), "--max-memory"),
]


@pytest.mark.parametrize(("call", "option"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_what_does_not_do_is_refused_by_the_options_name(call, option, place):
    before = sorted(place.iterdir())
    with pytest.raises(ConfigError) as caught:
        call()
    assert str(caught.value).startswith(option)
    assert sorted(place.iterdir()) == before


def test_an_unknown_option_is_refused_with_the_nearest():
    with pytest.raises(TypeError, match="train: unknown option 'hiden'; did you mean hidden"):
        featlearn.train("p.h5", model="rbm", hiden=3)


@pytest.mark.parametrize("job", [featlearn.evaluate, featlearn.report])
@pytest.mark.parametrize("name", ["validation_data", "data_scale"])
def test_nets_of_few_labels_have_the_settings_that_the_command_line_offers(job, name):
    page = click.Context(cli.get_command(click.Context(cli), job.__name__))
    assert name not in [param.name for param in page.command.get_params(page)]
    assert name not in inspect.signature(job).parameters
    assert "patience" in inspect.signature(job).parameters
    with pytest.raises(TypeError, match=f"{job.__name__}: unknown option '{name}'"):
        job("m.h5", "p.h5", **{name: "p.h5"})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        # what a job takes from cli/, and settings as a whole
        (lambda: featlearn.fit("rbm", np.zeros((4, 4)), config={"hidden": 3}, hidden=4), "'config'"),
        (lambda: featlearn.train("p.h5", "n.h5", model="rbm", training={"lr": 1.0}, lr=0.1), "'training'"),
        (lambda: featlearn.encode("m.h5", "p.h5", "n.h5", invocation={"argv": []}), "'invocation'"),
        (lambda: featlearn.fit("rbm", np.zeros(9), None, {"hidden": 3}, hidden=4), "too many positional"),
        (lambda: featlearn.info("m.h5", "p.h5"), "too many positional"),
        (lambda: featlearn.encode("m.h5", "p.h5", "n.h5", model="o.h5"), "'model' is given twice"),
        (lambda: featlearn.fit(np.zeros((4, 4)), "rbm"), "model: got ndarray"),
        (lambda: featlearn.train(np.zeros((4, 4)), model="rbm"), "dataset: got ndarray"),
        (lambda: featlearn.evaluate(["m.h5", 3], "p.h5"), "models: got int"),
        (lambda: featlearn.encode("m.h5", None, "n.h5"), "inputs: got NoneType"),
    ],
)
def test_what_is_given_wrongly_is_refused_in_one_line(call, words, place):
    """And nothing of it is passed over in silence."""
    before = sorted(place.iterdir())
    with pytest.raises(TypeError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert sorted(place.iterdir()) == before


def test_a_run_that_shall_stop_can_go_on(place):
    """It leaves a checkpoint, and the resumed run is the whole one."""
    asked = []

    def stop():
        asked.append(1)
        return len(asked) == 5

    words = []
    stopped = featlearn.train("p.h5", "s.h5", should_stop=stop, say=words.append, **LEARN)
    assert (stopped.finished, stopped.output, stopped.updates) == (False, "s.h5.ckpt", 5)
    assert [word.partition(";")[0] for word in words] == ["stopped at update 5"]
    assert sorted(name for name in os.listdir() if name.startswith("s.h5")) == ["s.h5.ckpt"]
    whole = featlearn.train("p.h5", "s.h5", resume=True, say=words.append, **LEARN)
    assert words[1:] == ["going on with s.h5.ckpt at update 5 of 12"]
    assert whole.finished
    assert learned(place / "s.h5") == learned(place / "m.h5")
    assert not (place / "s.h5.ckpt").exists()
    (place / "s.h5").unlink()


class Bars:
    """Counts what is reported; raises after `most` units."""

    def __init__(self, most=10**9):
        self.counts, self.most = {}, most

    def __call__(self, total, unit):
        self.unit, self.total = unit, total
        self.counts[unit] = 0
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def advance(self, n=1, note=""):
        self.counts[self.unit] += n
        if self.counts[self.unit] > self.most:
            raise KeyboardInterrupt


def test_progress_is_told_and_may_end_a_job(work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bars = Bars()
    featlearn.extract_patches([work.photos], tmp_path / "p.h5", progress=bars, **CUT)
    assert bars.counts == {"images read": 4, "patches": 600}
    bars = Bars()
    featlearn.train("p.h5", "m.h5", progress=bars, **LEARN)
    assert bars.counts == {"updates": bars.total} == {"updates": 12}
    with pytest.raises(KeyboardInterrupt):
        featlearn.train("p.h5", "n.h5", progress=Bars(3), **LEARN)
    assert sorted(os.listdir()) == ["m.h5", "p.h5"]


def test_words_go_to_the_log(work, tmp_path, caplog):
    caplog.set_level("INFO", "featlearn")
    (tmp_path / "bad.png").write_bytes(b"no image")
    featlearn.extract_patches([work.photos, tmp_path / "bad.png"], tmp_path / "p.h5", **CUT)
    told = [(record.levelname, record.message.partition(":")[0]) for record in caplog.records]
    assert ("WARNING", "skipped") in told
    assert any(level == "INFO" and "600 patches 8x8x1" in text for level, text in told)


def test_a_log_of_fit_is_replaced_where_that_is_said(tmp_path):
    path, rows = tmp_path / "log.jsonl", np.random.default_rng(0).random((40, 4))
    options = {"hidden": 2, "epochs": 2, "log": path}
    featlearn.fit("rbm", rows, **options)
    lines = path.read_text()
    path.write_text("mine")
    with pytest.raises(DataError, match=r"log\.jsonl: exists; use --force to replace it"):
        featlearn.fit("rbm", rows, **options)
    assert path.read_text() == "mine"
    featlearn.fit("rbm", rows, **options, force=True)
    assert path.read_text() == lines


THREADS = """
import os
import numpy as np
import featlearn.api
from featlearn import _core

print(_core.get_threads())
_core.set_threads(3)
model = featlearn.fit("rbm", np.random.default_rng(0).random((300, 50)), hidden=200, epochs=1, threads=1)
print(_core.get_threads(), len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1)
"""


def test_python_uses_as_many_threads_as_the_command_line():
    """And a job that is told to use one starts no other."""
    env = {**os.environ, "OMP_NUM_THREADS": "5", "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", THREADS], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.split() == ["5", "3", "1"]


def test_threads_and_memory_hold_for_a_job_alone(place):
    from featlearn import _core
    from featlearn.files.budget import max_memory

    before = _core.get_threads(), max_memory()
    with pytest.raises(DataError, match="max-memory"):
        featlearn.info("m.h5", threads=1, max_memory=1000)
    assert (_core.get_threads(), max_memory()) == before


def test_what_is_offered_is_imported_when_it_is_asked_for():
    heavy = "{'numpy', 'h5py', 'click', 'logging'}"
    code = f"import sys, featlearn; print(sorted({heavy} & set(sys.modules)), featlearn.MODELS)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == f"[] {featlearn.MODELS}\n"
    assert {model_class(id).id for id in featlearn.MODELS} == set(featlearn.MODELS)
    assert set(dir(featlearn)) >= {"train", "fit", "load_model"}
    with pytest.raises(AttributeError):
        featlearn.nothing  # noqa: B018


def test_the_stub_offers_the_same():
    from pathlib import Path

    stub = Path(featlearn.__file__).with_suffix(".pyi").read_text("utf-8")
    assert {line.split()[-1] for line in stub.splitlines() if "import" in line} == set(featlearn._OFFERED)
    assert all(getattr(featlearn, name) is not None for name in featlearn._OFFERED)
