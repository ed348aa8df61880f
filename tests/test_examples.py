"""The files of examples/, run on pictures that are made here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = {
    "FEATLEARN": f"{sys.executable} -m featlearn",
    "EXTRACT": "--size 4 --count 60 --whiten none -q",
    "K_SPARSE": "--hidden 8 --epochs 1 -q",
    "RBM": "--hidden 8 --epochs 1 -q",
}


def photograph(folder, name, seed):
    folder.mkdir(exist_ok=True)
    noise = np.random.default_rng(seed).normal(size=(24, 24)).cumsum(0).cumsum(1)
    span = noise.max() - noise.min()
    Image.fromarray(((noise - noise.min()) / span * 255).astype(np.uint8)).save(folder / name)


@pytest.fixture
def here(tmp_path):
    for seed in range(2):
        photograph(tmp_path / "photos", f"{seed}.png", seed)
    return tmp_path


def make(here, *words):
    """Run make; the commands of featlearn that it ran, by name."""
    settings = [f"{name}={value}" for name, value in SMALL.items()]
    ran = subprocess.run(["make", *settings, *words], cwd=here, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    lines = [line for line in ran.stdout.splitlines() if line.startswith(SMALL["FEATLEARN"])]
    return sorted(line.removeprefix(SMALL["FEATLEARN"]).split()[0] for line in lines)


def test_the_makefile_makes_what_is_missing_and_no_more(here):
    shutil.copy(EXAMPLES / "Makefile", here)
    assert make(here, "-j2", "k-sparse.png", "rbm-curve.pdf", "compared.png") == [
        *("evaluate", "extract-patches", "train", "train", "visualize", "visualize"),
    ]
    assert (here / "rbm-curve.pdf").read_bytes().startswith(b"%PDF")
    assert make(here, "k-sparse.png", "rbm-curve.pdf", "compared.png") == []
    before = (here / "k-sparse.h5").read_bytes()
    photograph(here / "photos", "2.png", 2)
    assert make(here, "k-sparse.png") == ["extract-patches", "train", "visualize"]
    assert (here / "k-sparse.h5").read_bytes() != before
    # the data are new again, and the same: the model stays, and the next time nothing is to be done
    kept = (here / "k-sparse.h5").read_bytes()
    (here / "photos" / "2.png").touch()
    assert make(here, "k-sparse.h5") == ["extract-patches", "train"]
    assert (here / "k-sparse.h5").read_bytes() == kept
    assert make(here, "k-sparse.h5") == []


QUICK = {
    "count=40_000": "count=300",
    "epochs=20": "epochs=2",
    "hidden=200": "hidden=30",
    "hidden=144": "hidden=10",
}
"""What makes the notebook quick enough for a test."""


def test_the_cells_of_the_notebook_run(here, monkeypatch, capsys):
    """One after another, as Jupyter runs them; what a cell ends in can be shown; nothing is printed yet."""
    notebook = json.loads((EXAMPLES / "featlearn.ipynb").read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    monkeypatch.chdir(here)
    names = {}
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            for long, short in QUICK.items():
                source = source.replace(long, short)
            exec(source, names)
            *_, last = source.splitlines()
            assert not last.isidentifier() or names[last]._repr_png_().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "300 patches of (12, 12, 1)" in printed
    assert "(300, 30) at work" in printed
    assert (here / "top-patches.pdf").read_bytes().startswith(b"%PDF")
    assert "k-sparse" in (here / "report.html").read_text("utf-8")
