"""The design, held as data: imports point down the layers, and each outside library has one door."""

import ast
from pathlib import Path

import pytest

import featlearn

PACKAGE = Path(featlearn.__file__).parent

ROOT = {"__init__", "errors", "_core"}
BELOW = {  # part of the package: what it may import besides itself
    "__init__": set(),
    "__main__": {"cli", "signals"},
    "errors": set(),
    "settings": {"errors"},
    "random": {"_core"},
    "signals": set(),
    "cgroup": set(),
    "threads": {"_core", "cgroup"},
    "rows": set(),
    "ops": {"errors", "settings", "_core", "rows", "threads"},
    "files": {"rows", "__init__", "errors", "cgroup", "signals"},
    "patches": {"errors", "settings", "random", "_core", "rows", "ops"},
    "models": {"errors", "settings", "random", "_core", "rows", "ops"},
    "training": {"errors", "settings", "random", "_core", "threads", "rows", "ops", "models.base"},
    "analysis": {"errors", "settings", "random", "_core", "rows", "ops", "models.base"},
    "pictures": {"errors", "rows"},
    "cli": {
        *("__init__", "errors", "settings", "random", "signals", "threads", "_core", "rows", "ops"),
        *("files", "patches", "models", "models.base", "training", "analysis", "pictures"),
    },
}
DOORS = {  # an outside library: the only places that import it
    "click": {"cli/"},
    "tqdm": {"cli/report.py"},
    "h5py": {"files/hdf5/"},
    "PIL": {"files/images.py", "pictures/mosaic.py"},
    "matplotlib": {"pictures/figure.py", "pictures/curve.py", "pictures/comparison.py"},
    "threadpoolctl": {"threads.py"},
    "onnx": {"files/onnx.py"},
    "numpy": {
        *(
            "rows.py",
            "ops/",
            "patches/",
            "models/",
            "files/",
            "training/",
            "analysis/",
            "pictures/",
            "cli/",
            "random.py",
        )
    },
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path):
    """The names of all modules that a file imports, also inside functions: (name, level)."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module
            deeper = [
                alias.name for alias in node.names if (PACKAGE.parent / module.replace(".", "/")).is_dir()
            ]
            yield from (f"{module}.{name}" for name in deeper) if deeper else [module]


def part(name):
    """featlearn.models.base -> models.base, featlearn.files.hdf5 -> files, featlearn.__version__ -> __init__"""
    pieces = name.split(".")[1:]
    if pieces[:2] == ["models", "base"]:
        return "models.base"
    return pieces[0] if pieces and pieces[0] in BELOW | {"_core": 0} else "__init__"


def where(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_down(path):
    own = where(path)
    allowed = BELOW[own] | {own} | ({"models.base"} if own == "models" else set())
    found = {part(name) for name in imported(path) if name.split(".")[0] == "featlearn"}
    assert found <= allowed, f"imports {found - allowed}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_one_door_for_each_library(path):
    relative = path.relative_to(PACKAGE).as_posix()
    for name in imported(path):
        for library, doors in DOORS.items():
            if name == library or name.startswith(library + "."):
                assert any(relative.startswith(door) for door in doors), f"imports {name}"


def test_every_part_stands_in_the_table():
    assert {where(path) for path in MODULES} == set(BELOW)


@pytest.mark.parametrize("path", [p for p in MODULES if where(p) == "cli"], ids=lambda path: path.name)
def test_command_bodies_are_short(path):
    """A command is words; what it does stands elsewhere and can be called without it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "command" and len(node.body) > 1:
            assert node.end_lineno - node.body[1].lineno < 15
