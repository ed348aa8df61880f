"""The documentation cannot rot: its commands are run, its links lead somewhere, its command-line page is fresh."""

import gzip
import os
import re
import runpy
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
    "--count 40000": "--count 3000",
    "--epochs 10": "--epochs 1",
    "--hidden 500": "--hidden 40",
    "--first 20000": "--first 150",
    "--count 100000": "--count 3000",
    "--epochs 200": "--epochs 1",
    "--model mcrbm": "--model mcrbm --epochs 1",
    "--per-class 10,100,1000": "--per-class 2,5 --draws 2",
    "--likelihood ais": "--likelihood ais --ais-betas 100 --burn-in 10",
}
"""What makes a documented command quick enough for a test."""


def sh_blocks(path):
    return re.findall(r"^```sh\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def runnable(path):
    """The blocks that a test can run: not what installs, that is .ci/run's."""
    return [block for block in sh_blocks(path) if "pip install" not in block and "ruff" not in block]


BLOCKS = [
    pytest.param(page, i, id=f"{page.relative_to(ROOT)}-{i}") for page in PAGES for i in range(len(runnable(page)))
]


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
            Image.fromarray(generate("dead-leaves", i, 64, len(name))[:, :, 0]).save(folder / name / f"{i}.png")
    rng = np.random.default_rng(0)
    for name, n in (("train", 200), ("t10k", 50)):
        idx(folder / f"{name}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 28, 28)))
        idx(folder / f"{name}-labels-idx1-ubyte.gz", rng.integers(0, 10, n))
    (folder / "bin").mkdir()
    (folder / "bin" / "featlearn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m featlearn "$@"\n')
    (folder / "bin" / "featlearn").chmod(0o755)
    return folder


@pytest.mark.parametrize(("page", "i"), BLOCKS)
def test_documented_commands_run(page, i, folder):
    """The blocks of a page run one after another in one folder, as a reader would."""
    block = runnable(page)[i]
    for long, short in SMALLER.items():
        block = block.replace(long, short)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run(
        ["sh", "-e", "-c", block], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


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
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page):
    """Modules, scripts and pages that the text names."""
    for name in re.findall(r"\b((?:docs|tests|bench|csrc|featlearn)/[\w/.-]+\.\w+)\b", page.read_text("utf-8")):
        assert (ROOT / name).exists(), name


def test_the_changes_name_the_version():
    assert re.search(rf"^## {re.escape(featlearn.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
