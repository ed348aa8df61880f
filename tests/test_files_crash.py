"""Killed, interrupted or out of disk in the middle of saving: the old file or the new one, never anything
else."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import featlearn
from featlearn.errors import DataError
from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.files.model import ModelFile, read_model, write_model

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(featlearn.__file__).parents[1]),
    "PYTHONWARNINGS": "error",
}

SAVES = """
import itertools, sys
import numpy as np
from featlearn.errors import DataError
from featlearn.files.dataset import DatasetWriter
from featlearn.files.model import ModelFile, write_model


def save_model(path, k):
    params = {"W": np.full((200, 200), k, np.float32), "b": np.full(200, k, np.float32)}
    write_model(path, ModelFile("rbm", {}, {}, 0, (1, 1, 1), params), force=True)


def save_dataset(path, k):
    with DatasetWriter(path, 4000, (1, 50, 1), "uint16", False, force=True) as writer:
        for _ in range(4):
            writer.append(np.full((1000, 50), k, np.uint16), np.zeros((1000, 3), np.int64))
        writer.finish({"mean": np.full(50, float(k))}, ["a"], None, {})


save = {"model": save_model, "dataset": save_dataset}[sys.argv[1]]
path = sys.argv[2]
"""


def run(program, *arguments, **options):
    return subprocess.run([sys.executable, "-c", SAVES + program, *arguments],
                          env=ENVIRONMENT, capture_output=True, text=True, timeout=60, **options)  # fmt: skip


def value_in(kind, path):
    """The one number that a whole file holds everywhere."""
    if kind == "model":
        model = read_model(str(path))
        values = np.concatenate([model.params["W"].ravel(), model.params["b"]])
    else:
        data = read_dataset(str(path), verify=True)
        values = np.concatenate([data.patches[:].ravel(), data.preprocess["mean"]])
    assert len(set(values.tolist())) == 1
    return values[0]


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_killed_at_any_moment(tmp_path, kind):
    path, rng = tmp_path / "x.h5", random.Random(1)
    loop = "\nfor k in itertools.count(1):\n    save(path, k)\n    print(k, flush=True)\n"
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", SAVES + loop, kind, str(path)],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdout.readline() == "1\n"
            time.sleep(rng.random() / 20)
            child.kill()
            saved = int(["1", *child.stdout.read().split()][-1])
        assert value_in(kind, path) in (saved, saved + 1)
        # what one dead run can leave: its temporary file and its lock
        assert len(list(tmp_path.iterdir())) <= 3
    assert run("save(path, 7)", kind, str(path)).returncode == 0
    assert value_in(kind, path) == 7
    assert os.listdir(tmp_path) == ["x.h5"]


@pytest.mark.parametrize("kind", ["model", "dataset"])
@pytest.mark.parametrize("limit", [0, 300, 600, 5_000, 100_000])
def test_file_size_limit(tmp_path, kind, limit):
    """The kernel itself says EFBIG, at different moments of the saving."""
    path = tmp_path / "x.h5"
    assert run("save(path, 1)", kind, str(path)).returncode == 0
    ran = run(
        f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "try:\n    save(path, 2)\nexcept DataError as error:\n    print(error)\n",
        kind, str(path),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert ran.stdout.startswith(f"{path}: file size limit reached (ulimit -f)")
    assert ran.stdout.count("\n") == 1
    assert value_in(kind, path) == 1
    assert os.listdir(tmp_path) == ["x.h5"]


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_interrupted_by_exceptions_of_signal_handlers(tmp_path, kind):
    """A handler that raises strikes anywhere, HDF5's calls into our code among it: no crash, no half file."""
    ran = run(
        "import os, random, signal\n"
        "class Interrupted(BaseException): pass\n"
        "def raise_interrupted(*_): raise Interrupted\n"
        "signal.signal(signal.SIGALRM, raise_interrupted)\n"
        "rng, struck = random.Random(2), 0\n"
        "save(path, 0)\n"
        "for k in range(1, 150):\n"
        "    try:\n"
        "        signal.setitimer(signal.ITIMER_REAL, 1e-4 + rng.random() * 6e-3)\n"
        "        save(path, k)\n"
        "        signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "    except Interrupted:\n"
        "        struck += 1\n"
        "signal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
        "save(path, 500)\n"
        "print(struck)\n",
        kind, str(path := tmp_path / "x.h5"),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 10
    assert value_in(kind, path) == 500
    assert os.listdir(tmp_path) == ["x.h5"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("sticky", [True, False])
@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_write_error_at_every_write(tmp_path, monkeypatch, kind, sticky, number):
    path = tmp_path / "x.h5"
    rows, origin = np.ones((5, 6), np.uint8), np.zeros((5, 3), np.int64)

    def save():
        if kind == "model":
            write_model(
                str(path), ModelFile("rbm", {}, {}, 0, (1, 1, 1), {"W": np.ones((200, 200))}), force=True
            )
            return
        with DatasetWriter(str(path), 10, (2, 3, 1), "uint8", True, force=True) as writer:
            writer.append(rows, origin, origin[:, 0])
            writer.append(rows, origin, origin[:, 0])
            writer.finish({}, ["a"], ["b"], {})

    save()
    good, true_pwrite = path.read_bytes(), os.pwrite
    for n in range(100):
        calls = iter(range(10_000))

        def fail(fd, data, at, n=n, calls=calls):
            k = next(calls)
            if k == n or (sticky and k > n):
                raise OSError(number, os.strerror(number))
            return true_pwrite(fd, data, at)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", fail)
            try:
                save()
            except DataError:
                failed = True
            else:
                failed = False
        assert path.read_bytes() == good
        assert os.listdir(tmp_path) == ["x.h5"]
        if not failed:
            assert n > 4
            return
    pytest.fail("never came through")


def test_reader_beside_a_writer_never_sees_half_a_file(tmp_path):
    path = tmp_path / "x.h5"
    assert run("save(path, 1)", "dataset", str(path)).returncode == 0
    child = subprocess.Popen(
        [sys.executable, "-c", SAVES + "\nfor k in range(2, 60):\n    save(path, k)\n", "dataset", str(path)],
        env=ENVIRONMENT,
    )
    seen = set()
    with child:
        while child.poll() is None:
            seen.add(value_in("dataset", path))
    assert child.returncode == 0
    seen.add(value_in("dataset", path))
    assert max(seen) == 59
    assert len(seen) > 3


@pytest.mark.parametrize("signum", [signal.SIGINT])
def test_control_c_leaves_nothing(tmp_path, signum):
    program = (
        "import os, signal, time\nwith DatasetWriter(path, 10, (1, 1, 1), 'uint8', False) as writer:\n"
        f"    os.kill(os.getpid(), {int(signum)})\n    time.sleep(10)\n"
    )
    ran = run(program, "dataset", str(tmp_path / "x.h5"))
    assert ran.returncode != 0
    assert "KeyboardInterrupt" in ran.stderr
    assert os.listdir(tmp_path) == []
