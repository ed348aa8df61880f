"""The documentation cannot rot: its commands are run, its links lead somewhere, its command-line page is
fresh."""

import gzip
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featlearn
from featlearn.cli.main import COMMANDS
from featlearn.patches.dead_leaves import generate

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))
SET_UP = [
    "pip install . && featlearn train --model rbm --decay l1\n",
    'pip install ".[test]" && pytest\n',
]
SMALLER = {
    "photos -o": "photos --count 1500 -o",
    "--count 5000": "--count 500",
    "--count 40000": "--count 1500",
    "--count 100000": "--count 1500",
    "--count 400000": "--count 1500",
    "--count 10000": "--count 1500",
    "recipe run": "recipe show",
    "--first 20000": "--first 150",
    "--first 50000": "--first 150",
    "--first 10000": "--first 150",
    "--first 1000": "--first 150",
    "--epochs 200": "--epochs 1",
    "--epochs 10": "--epochs 1",
    "--epochs 15": "--epochs 1",
    "--epochs 20": "--epochs 1",
    "--epochs 30": "--epochs 1",
    "--epochs 6": "--epochs 1",
    ",epochs=10": ",epochs=1",
    ",epochs=20": ",epochs=1",
    ",epochs=30": ",epochs=1",
    "hidden=500": "hidden=40",
    "hidden=2000": "hidden=50",
    "--updates 500": "--updates 5",
    "--class all": "--class all --steps 20",
    "--hidden 1000": "--hidden 50",
    "--hidden 500": "--hidden 40",
    "--hidden 400": "--hidden 20",
    "--hidden 200": "--hidden 20",
    "--k 25": "--k 5",
    "--k 70": "--k 7",
    "--model mcrbm": "--model mcrbm --epochs 1",
    "--per-class 10,100,1000": "--per-class 2 --draws 1",
    "--per-class 10,100 --draws 3": "--per-class 2 --draws 1",
    "--per-class 10,100 --draws 5": "--per-class 2 --draws 1 --epochs 2",
    "--likelihood ais": "--likelihood ais --ais-betas 100 --burn-in 10",
    "--likelihood auto": "--likelihood auto --ais-betas 100 --burn-in 10",
}
"""What makes a documented command quick enough for a test."""
BOUND = "--epochs|--updates|--model pca|--model sparse-pca|--model k-means"
UNBOUND = rf"^(featlearn (?:train|sweep|finetune) (?!.*({BOUND})).*)$"
"""A training that is not told how long to learn."""


def sh_blocks(path):
    return re.findall(r"^```sh\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def runnable(path):
    """The blocks that a test can run: not what installs, that is .ci/run's."""
    return [block for block in sh_blocks(path) if "pip install" not in block and "ruff" not in block]


PROGRAMS = [page for page in PAGES if "```python" in page.read_text("utf-8")]
"""Pages that are run as a whole, in a folder of their own."""


def idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the documents take for granted: photographs, and the files of MNIST (small ones)."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("photos", "more-photos"):
        (folder / name).mkdir()
        for i in range(3):
            Image.fromarray(generate("dead-leaves", i, 64, len(name))[:, :, 0]).save(
                folder / name / f"{i}.png"
            )
    rng = np.random.default_rng(0)
    for name, n in (("train", 200), ("t10k", 50)):
        idx(folder / f"{name}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 28, 28)))
        idx(folder / f"{name}-labels-idx1-ubyte.gz", rng.integers(0, 10, n))
    (folder / "bin").mkdir()
    (folder / "bin" / "featlearn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m featlearn "$@"\n')
    (folder / "bin" / "featlearn").chmod(0o755)
    return folder


def smaller(text):
    for long, short in SMALLER.items():
        text = text.replace(long, short)
    return re.sub(UNBOUND, r"\1 --epochs 2", text, flags=re.MULTILINE)


def run_sh(block, folder, here):
    """Run a block with the command of the reader's folder."""
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    words = ["sh", "-e", "-c", smaller(block)]
    run = subprocess.run(words, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_documented_commands_run(folder):
    """The blocks of all pages run one after another in one folder, as a reader would."""
    for page in PAGES:
        for block in runnable(page) if page not in PROGRAMS else []:
            run_sh(block, folder, folder)


IN_PYTHON = {"count=40_000": "count=1500", "epochs=15": "epochs=1", "hidden=200": "hidden=20"}
"""What makes documented programs quick enough for a test."""


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.name)
def test_documented_programs_run(page, folder, tmp_path):
    """After a page's commands its blocks of Python are one program, which prints what its comments say."""
    program = "".join(
        re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )
    for long, short in IN_PYTHON.items():
        program = program.replace(long, short)
    shutil.copytree(folder / "photos", tmp_path / "photos")
    for block in runnable(page):
        run_sh(block, folder, tmp_path)
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    printed = iter(run.stdout.splitlines())
    for said in re.findall(r"^print\(.*\) +# (.*)$", program, re.MULTILINE):
        assert said in printed, run.stdout


EXAMPLES = {
    "--model rbm ": "--model rbm --epochs 1 ",
    "--set k=10,25,40 --set lr=.1,.3 --seeds 3": "--epochs 1 --set k=3,5",
    "--samples 20": "--samples 2",
    "--steps 1000 --every 100": "--steps 4 --every 2",
    "finetune ": "finetune --epochs 1 ",
    "--per-class 10,100 ": "--per-class 2 --draws 1 ",
}
"""What makes the examples of help pages quick, besides."""


@pytest.fixture(scope="module")
def examples(folder, tmp_path_factory, run_here):
    """Every file that an example names: photographs, patches of them, labelled digits, and models of both."""
    made = tmp_path_factory.mktemp("examples")
    for name in ("photos", "more-photos"):
        shutil.copytree(folder / name, made / name)
    shutil.copy(folder / "photos" / "0.png", made / "photo.png")
    Image.open(made / "photo.png").save(made / "photo.jpg")
    rng = np.random.default_rng(0)
    idx(made / "images", rng.integers(0, 256, (120, 8, 8)))
    idx(made / "labels", np.arange(120) % 4)

    def run(*args):
        ran = run_here(*args)
        assert ran.code == 0, ran.err

    def train(data, name, kind="rbm", hidden=9):
        epochs = () if kind == "pca" else ("--epochs", 1)
        run("train", made / data, "--model", kind, "--hidden", hidden, *epochs, "-o", made / name)

    run("extract-patches", made / "photos", "--size", 8, "--count", 200, "-o", made / "patches.h5")
    for name in ("digits.h5", "test.h5"):
        run("extract-patches", made / "images", "--labels", made / "labels", "-o", made / name)
    for name in ("rbm-l1.h5", "edges.h5", "none.h5", "l1.h5", "l2.h5", "first.h5"):
        train("patches.h5", name)
    for name in ("rbm.h5", "a.h5", "b.h5"):
        train("digits.h5", name)
    train("digits.h5", "pca.h5", "pca")
    train("patches.h5", "model.h5", "autoencoder")
    run("encode", made / "first.h5", made / "patches.h5", "-o", made / "codes.h5")
    train("codes.h5", "second.h5")
    run("encode", made / "second.h5", made / "codes.h5", "-o", made / "second-codes.h5")
    train("second-codes.h5", "third.h5")
    short = ("--hidden", "9,8,7", "--epochs", 1)
    run("train", made / "digits.h5", "--model", "dbn", *short, "-o", made / "dbn.h5")
    run("train", made / "digits.h5", "--model", "dbn", "--labels", *short, "-o", made / "labelled-dbn.h5")
    run("finetune", made / "dbn.h5", made / "digits.h5", "--epochs", 1, "-o", made / "net.h5")
    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_help_pages_run(name, examples, tmp_path, run_here, monkeypatch):
    """One after another in one folder, as they stand but shorter."""
    shutil.copytree(examples, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    page = run_here(name, "--help").out
    for line in re.search(r"Examples?:\n((?:    .*\n)+)", page)[1].splitlines():
        words = smaller(line + " ")
        for long, short in EXAMPLES.items():
            words = words.replace(long, short)
        writes = "--output" in page and name != "recipe"
        force = ["--force"] if writes else []  # the files of the other examples are there
        ran = run_here(*shlex.split(words)[1:], *force)
        assert ran.code == 0, (line, ran.err)


def test_the_set_up_is_two_commands():
    assert sh_blocks(ROOT / "README.md")[:2] == SET_UP


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name):
    assert f"| `{name}` |" in (ROOT / "README.md").read_text("utf-8")
    assert f"## featlearn {name}\n" in (ROOT / "docs" / "cli.md").read_text("utf-8")


def test_the_command_line_page_is_fresh():
    made = runpy.run_path(str(ROOT / "tests" / "make_cli_docs.py"))["page"]()
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == made, "run python tests/make_cli_docs.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)\)", prose):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page):
    """Modules, scripts and pages that the text names."""
    for name in re.findall(
        r"\b((?:docs|tests|bench|csrc|featlearn)/[\w/.-]+\.\w+)\b", page.read_text("utf-8")
    ):
        assert (ROOT / name).exists(), name


def test_the_changes_name_the_version():
    assert re.search(
        rf"^## {re.escape(featlearn.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
