"""What the tests of the command line share: photographs, a data set, models, and a way to run a command."""

import contextlib
import io
import os
import subprocess
import sys
import types
import unittest.mock
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featlearn
from featlearn import _core
from featlearn.cli import main
from featlearn.cli.options import as_json, command_named
from featlearn.cli.process import run
from featlearn.models import model_class
from featlearn.patches.dead_leaves import generate
from featlearn.training import config
from helpers import label, pair

# Processes that tests start find the same featlearn, not the sources beside them, which may not be built.
os.environ["PYTHONPATH"] = str(Path(featlearn.__file__).parents[1])
os.environ["PYTHONSAFEPATH"] = "1"
ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "error"}


def pytest_addoption(parser):
    parser.addoption(
        "--thorough", action="store_true", help="tests/faults: every moment and operation, for hours"
    )


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def error_lines(self):
        """What is on stderr without warnings and progress."""
        return [
            line
            for line in self.err.splitlines()
            if line.startswith(("featlearn: error:", "Error:", "Usage:", "Traceback"))
        ]


def run_here(*args):
    """Run a command in this process; a training that is not told how long learns for a fiftieth of the usual
    time."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    shorter = unittest.mock.patch.object(config, "SHOWN", config.SHOWN // 50)
    with shorter, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(arg) for arg in args])
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8", "replace"))
    return Ran(code, *texts)


def start(*args, cwd, **kwargs):
    """Start a command as a process of its own."""
    command = [sys.executable, "-m", "featlearn", *map(str, args)]
    return subprocess.Popen(command, cwd=cwd, env={**ENVIRONMENT, **kwargs.pop("env", {})}, **kwargs)


@pytest.fixture(scope="session", name="run_here")
def _run_here():
    return run_here


@pytest.fixture(scope="session", name="start")
def _start():
    return start


@pytest.fixture
def failing(monkeypatch):
    """Makes `featlearn fails`, which ends in the given error."""

    def install(error):
        @command_named("fails")
        @as_json
        def command(results):
            raise error

        monkeypatch.setitem(main.COMMANDS, "fails", "Fails.")
        monkeypatch.setitem(sys.modules, "featlearn.cli.fails", types.SimpleNamespace(command=command))

    return install


@dataclass(frozen=True)
class Work:
    """A folder of photographs, what was cut out of it, and what was learned from that."""

    photos: Path
    patches: Path
    model: Path
    labelled: Path
    """The patches again, of three classes in turn."""
    paired: Path
    """The patches again, as pairs."""

    def data(self, id):
        """What a model can learn from."""
        cls = model_class(id)
        return self.labelled if cls.labelled else self.paired if cls.of_pairs else self.patches


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    photos = folder / "photos"
    photos.mkdir()
    for i in range(4):
        Image.fromarray(generate("dead-leaves", i, 64, 7)[:, :, 0]).save(photos / f"photo{i}.png")
    names = ("patches.h5", "model.h5", "labelled.h5", "paired.h5")
    made = Work(photos, *(folder / name for name in names))
    cut = ("--size", 8, "--count", 600, "--normalize", "standardize")
    ran = run_here("extract-patches", photos, "-o", made.patches, *cut)
    assert ran.code == 0, ran.err
    label(made.patches, made.labelled)
    pair(made.patches, made.paired)
    ran = run_here("train", made.patches, "--model", "rbm", "--hidden", 12, "--epochs", 2, "-o", made.model)
    assert ran.code == 0, ran.err
    return made


@pytest.fixture(scope="session")
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    """So many threads for the kernels; a test that asks for it runs with each number."""
    before = _core.get_threads()
    _core.set_threads(request.param)
    yield request.param
    _core.set_threads(before)
