"""What the trials of faults share: a folder with every command's inputs and old outputs, and ways to run in
it.

`pytest tests/faults` tries a few moments and operations; with --thorough all of them, which takes hours.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featlearn
from featlearn.cli.process import run
from featlearn.files.dataset import read_dataset
from featlearn.files.header import file_kind
from featlearn.files.model import read_model

HERE = Path(__file__).parent
COMMANDS = {
    "extract-patches": "photos -o out.h5 --size 6 --count 200 --whiten zca",
    "train": "p.h5 --model rbm --hidden 8 --epochs 2 --checkpoint-every 0 -o out.h5",
    "encode": "m.h5 p.h5 -o out.h5",
    "evaluate": "m.h5 p.h5 --plot out.png",
    "visualize": "m.h5 -o out.png",
    "reconstruct": "m.h5 p.h5 -o out.png",
    "sample": "m.h5 -o out.png --steps 20",
    "check-gradients": "--model rbm --hidden 4",
    "info": "p.h5 --verify",
}
WRITING = tuple(name for name, args in COMMANDS.items() if " -o " in args or "--plot" in args)


@dataclass(frozen=True)
class Case:
    """A command, its inputs and what stands at its output before; `good` stands there after success."""

    name: str
    args: list[str]
    site: Path
    good: str | None

    @property
    def output(self):
        return next((word for word in self.args if word.startswith("out.")), None)


@dataclass(frozen=True)
class Ended:
    """How a command ended, in which folder, with which operations on the files there."""

    case: Case
    folder: Path
    code: int
    out: str
    err: str
    operations: list[tuple[str, str]]

    def wrong(self, codes=(0, 1), removed=True, told=True):
        """What is not as it must be after any fault, in words.

        `removed`: files could be removed; `told`: stderr could be written.
        """
        found = []
        if self.code not in codes:
            found.append(f"exit code {self.code}")
        if any(word in self.err + self.out for word in ("Traceback", "internal error", "Exception ignored")):
            found.append("words of a programming error")
        lines = [line for line in self.err.splitlines() if line.startswith(("featlearn: error:", "Error:"))]
        if told and len(lines) not in {0: (0,), 1: (1,)}.get(self.code, (0, 1)):
            found.append(f"{len(lines)} lines of error")
        inputs = {path.relative_to(self.case.site) for path in self.case.site.rglob("*") if path.is_file()}
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder)
            if path.is_dir() or name.name == self.case.output:
                continue
            if not removed and re.search(r"\.(lock|ckpt|tmp-[0-9a-f]{8})$", name.name):
                continue
            if name.name == f"{self.case.output}.ckpt" and self.code:
                file_contents(path)
                continue
            if name not in inputs:
                found.append(f"left behind: {name}")
            elif path.read_bytes() != (self.case.site / name).read_bytes():
                found.append(f"input changed: {name}")
        if self.case.output:
            now, old = (file_contents(folder / self.case.output) for folder in (self.folder, self.case.site))
            if now != self.case.good and (now != old or self.code == 0):
                found.append(
                    "the output is neither the old nor the new one" if self.code else "exit 0, output wrong"
                )
        return found and [*found, f"exit {self.code}", self.err]


def file_contents(path):
    """What a file holds, as a text that equal contents have in common; reading it verifies it."""
    data = path.read_bytes()
    if path.suffix != ".h5" and ".h5" not in path.suffixes:
        return data.hex()
    if file_kind(str(path)) == "featlearn-model":  # the seconds that a run took differ
        return read_model(str(path)).content_hash
    return read_dataset(str(path), verify=True).digest


@pytest.fixture(params=WRITING)
def command(request):
    return request.param


@pytest.fixture(scope="session")
def thorough(request):
    return request.config.getoption("--thorough")


@pytest.fixture(scope="session")
def report(request):
    """Says a line past pytest's capture, with --thorough."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    return lambda line: terminal.write_line(line) if request.config.getoption("--thorough") else None


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    """Name -> Case, one folder for all."""
    site = tmp_path_factory.mktemp("site")
    (site / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 24, 24), np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(site / "photos" / f"{i}.png")
        (site / "kinds" / f"{i}").mkdir(parents=True)
        Image.fromarray(image).save(site / "kinds" / f"{i}" / "one.png")
    here = os.getcwd()
    os.chdir(site)
    try:
        for line in (
            "extract-patches photos --size 6 --count 100 -o p.h5",
            "extract-patches kinds --size 6 --count 100 --labels folders -o labelled.h5",
            "train p.h5 --model rbm --hidden 4 -o m.h5",
        ):
            assert run([*line.split(), "-q"]) == 0
    finally:
        os.chdir(here)
    shutil.copy(site / "p.h5", site / "out.h5")
    (site / "out.png").write_bytes(b"old")
    found = {}
    for name, line in COMMANDS.items():
        args = [name, *line.split(), *(["--force"] if name in WRITING else [])]
        found[name] = Case(name, args, site, None)
    return found


class Lab:
    """Starts commands with faults."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0
        self.undisturbed = {}
        shim = folder / "shim.so"
        compiler = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-Wall"]
        subprocess.run([*compiler, "-o", str(shim), str(HERE / "shim.c"), "-ldl"], check=True)
        env = {**environment(), "LD_PRELOAD": str(shim)}
        command = [sys.executable, str(HERE / "server.py")]
        self.server = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def fresh(self, case):
        """A folder of its own with the case's files."""
        self.n += 1
        return Path(shutil.copytree(case.site, self.folder / str(self.n)))

    def run(self, case, kinds="", at=-1, number=0, sticky=False, signum=0, folder=None, **others):
        """Run a case with a fault; the folder of the run before is gone then, if it is not named.

        `others`: stdin, stdout, stderr, each a file's name, "pipe" (that nobody reads) or None (closed);
        after how many seconds SIGALRM ends it; how many bytes of memory it may have (0: all).
        """
        if folder is None:
            shutil.rmtree(self.folder / str(self.n), ignore_errors=True)
            folder = self.fresh(case)
        out, err, log = (self.folder / name for name in ("stdout", "stderr", "log"))
        for path in (out, err):
            path.write_bytes(b"")
        fault = {"kinds": kinds, "at": at, "number": number, "sticky": int(sticky), "signum": int(signum)}
        trial = {"args": case.args, "folder": str(folder), "log": str(log), "fault": fault}
        trial |= {
            "seconds": 120,
            "memory": 0,
            "stdin": os.devnull,
            "stdout": str(out),
            "stderr": str(err),
        } | others
        self.server.stdin.write(json.dumps(trial) + "\n")
        self.server.stdin.flush()
        code = int(self.server.stdout.readline())
        operations = [tuple(line.split(" ", 1)) for line in log.read_text("latin-1").split("\n")[:-1]]
        return Ended(
            case, folder, code, out.read_text("latin-1"), err.read_text(errors="replace"), operations
        )

    def run_alone(self, case, after=None, **options):
        """Run a case as a process of its own, from its start on, with SIGTERM after so many seconds."""
        shutil.rmtree(self.folder / str(self.n), ignore_errors=True)
        folder = self.fresh(case)
        command = [sys.executable, "-m", "featlearn", *case.args]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, cwd=folder, env=environment(), text=True, **(streams | options))
        if after is not None:
            time.sleep(after)
            process.terminate()
        out, err = process.communicate(timeout=120)
        return Ended(case, folder, process.returncode, out or "", err or "", [])

    def whole(self, case):
        """The case with `good` filled in, and its undisturbed run (once a session)."""
        if case.name not in self.undisturbed:
            ended = self.run(case)
            assert ended.code == 0, ended.err
            case = replace(case, good=file_contents(ended.folder / case.output) if case.output else None)
            ended = replace(ended, case=case)
            assert not ended.wrong()
            self.undisturbed[case.name] = case, ended
        return self.undisturbed[case.name]


def environment():
    """For processes: the featlearn that is tested, no warnings as errors (those of locks are wanted)."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
    return {**env, "PYTHONPATH": str(Path(featlearn.__file__).parents[1]), "PYTHONSAFEPATH": "1"}


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.server.stdin.close()
    made.server.wait(timeout=60)
    made.server.stdout.close()
