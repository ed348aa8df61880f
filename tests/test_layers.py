"""The design, held as data: imports point down the layers, and each outside library has one door."""

import ast
from pathlib import Path

import pytest

import featlearn
from featlearn.cli import main

PACKAGE = Path(featlearn.__file__).parent

ROOT = {"__init__", "errors", "_core"}
BELOW = {  # part of the package: what it may import besides itself
    "__init__": set(),
    "__main__": {"cli", "signals"},
    "errors": set(),
    "numerals": set(),
    "settings": {"errors", "numerals"},
    "random": {"_core"},
    "signals": set(),
    "cgroup": set(),
    "ends": {"errors"},
    "panels": set(),
    "ranks": {"errors", "ends", "panels"},
    "threads": {"_core", "cgroup", "ranks"},
    "rows": {"errors"},
    "ops": {"errors", "settings", "_core", "panels", "ranks", "rows", "threads"},
    "files": {"rows", "__init__", "errors", "cgroup", "signals"},
    "patches": {"errors", "settings", "random", "ranks", "_core", "rows", "ops"},
    "models": {"errors", "settings", "random", "_core", "rows", "ops"},
    "training": {"errors", "settings", "random", "ranks", "_core", "threads", "rows", "ops", "models.base"},
    "analysis": {"errors", "settings", "random", "ranks", "_core", "rows", "ops", "models.base"},
    "pictures": {"errors", "rows"},
    "jobs": {
        *(
            "__init__",
            "errors",
            "settings",
            "random",
            "signals",
            "panels",
            "ranks",
            "threads",
            "_core",
            "rows",
            "ops",
        ),
        *("files", "patches", "models", "models.base", "training", "analysis", "pictures"),
    },
    "api": {"jobs", "models", "models.base", "settings"},
    "sklearn": {"errors", "settings", "threads", "rows", "models", "models.base", "jobs", "api", "__init__"},
    "cli": {"__init__", "errors", "settings", "numerals", "signals", "ends", "ranks", "models", "jobs"},
}
DOORS = {  # an outside library: the only places that import it
    "click": {"cli/"},
    "tqdm": {"cli/output.py"},
    "h5py": {"files/hdf5/"},
    "PIL": {"files/images/", "pictures/mosaic.py"},
    "matplotlib": {"pictures/figure.py", "pictures/curve.py", "pictures/comparison.py"},
    "threadpoolctl": {"threads.py"},
    "mpi4py": {"ranks.py"},
    "onnx": {"files/onnx.py"},
    "sklearn": {"sklearn.py"},
    "numpy": {
        *(
            "ends.py",
            "ranks.py",
            "rows.py",
            "ops/",
            "patches/",
            "models/",
            "files/",
            "training/",
            "analysis/",
            "pictures/",
            "jobs/",
            "random.py",
            "sklearn.py",
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
    """featlearn.models.base -> models.base, featlearn.files.hdf5 -> files, featlearn -> __init__"""
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


SUMS = {"sum", "mean", "average", "dot", "vdot", "einsum", "matmul", "var", "std", "fsum"}
OF_PARAMETERS = {  # what is added up there are parameters, or values of one row
    ("models/gated_rbm.py", "total"),
    ("models/mcrbm.py", "total"),
    ("models/sparse_autoencoder.py", "fsum"),
    ("ops/sparsity.py", "fsum"),
}
DOOR = {"ops/reduce.py", "ops/arrays.py"}
ADDING = [
    path
    for path in MODULES
    if where(path) in ("models", "ops")
    and path.relative_to(PACKAGE).as_posix() not in DOOR | {"ops/softmax.py"}
]


@pytest.mark.parametrize("path", ADDING, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_rows_are_added_up_behind_one_door(path):
    """In ops/reduce.py, where ranks will meet; by no method of numpy, and no total of ops/arrays."""
    own = path.relative_to(PACKAGE).as_posix()
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SUMS:
            found.add(node.func.attr)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            found.add("@")
        elif isinstance(node, ast.ImportFrom) and node.module == "featlearn.ops.arrays":
            found |= {alias.name for alias in node.names} & {"total", "squared_error"}
    assert {(own, name) for name in found} <= OF_PARAMETERS


LONGEST = 350  # lines of a file that a reader still keeps in mind


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_file_is_long(path):
    assert path.read_text("utf-8").count("\n") <= LONGEST


def test_every_part_stands_in_the_table():
    assert {where(path) for path in MODULES} == set(BELOW)


COMMANDS = [PACKAGE / "cli" / f"{name.replace('-', '_')}.py" for name in main.COMMANDS]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_a_command_is_words(path):
    """What it does stands in jobs/ and can be called without it."""
    text = path.read_text("utf-8")
    assert text.count("\n") <= 80
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == "command":
            assert node.end_lineno - node.body[1].lineno < 30


def names_in(path):
    """All names and attributes that a file uses, dotted: print, sys.stdout."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


BELOW_CLI = [path for path in MODULES if where(path) not in ("cli", "__main__")]


@pytest.mark.parametrize("path", BELOW_CLI, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_below_the_command_line_speaks_to_a_terminal(path):
    words = {"print", "sys.argv", "sys.stdin", "sys.stdout", "sys.stderr", "sys.exit"}
    assert not words & set(names_in(path))
    assert "FEATLEARN_" not in path.read_text("utf-8")  # variables of the environment that set options
    assert not {name.split(".")[0] for name in imported(path)} & {"click", "tqdm"}
    if where(path) != "signals":  # which handles them once the command line has asked for it
        assert "signal" not in imported(path)
        assert not {"signals.install", "signals.release", "signals.uninstall"} & set(names_in(path))


def modules_imported(path):
    """The files of this package that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        for name in names:
            place = PACKAGE.parent / name.replace(".", "/")
            if name.startswith("featlearn.") and place.with_suffix(".py").exists():
                yield place.with_suffix(".py")


def test_no_circle_of_imports():
    later = {path: set(modules_imported(path)) for path in MODULES}
    while free := [path for path, needs in later.items() if not needs & later.keys()]:
        for path in free:
            del later[path]
    assert not later, "these import each other: " + ", ".join(
        sorted(path.relative_to(PACKAGE).as_posix() for path in later)
    )
