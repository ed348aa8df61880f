"""Every model on every kind of data with no options: one Markdown table, and the pictures in a folder.

    python bench/defaults.py MNIST-FOLDER PHOTOS IMAGES.mat FOLDER [--only RUN/DATA] [--jobs 2]

A cell is one run on one kind of data: `featlearn train DATA --model M`, and what `featlearn evaluate` finds.
A cell is kept as FOLDER/cells/RUN/DATA.json, beside its model and its picture, and is not run again; delete
it for that. Words in FOLDER/seen.json, as {"RUN/DATA": "edges"}, become the column of what the picture shows.
RBMs that learn edges need the options that the advice names; a few models are also run with 500 units on
digits. --also NAME=DATA.h5[,TEST.h5] adds a data set made by extract-patches. --prepare stops before the
first run, --table runs nothing, --grid adds the neighbours of the default rates.
"""

import argparse
import fnmatch
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from cli import attempt, featlearn

ZCA = ("--normalize", "center", "--whiten", "zca")
RAW = ("--normalize", "none", "--whiten", "none")
MANY = ("--count", 40_000, "--drop-flat", 0.2)
EDGES = ("--sparsity-target", 0.02, "--lr", 0.1, "--lr-schedule", "linear")
DIGITS = ("digits",)
PHOTOGRAPHS = (
    "photos-standardized",
    "photos-zca",
    "photos-contrast",
    "photos-coates",
    "olshausen",
    "leaves",
    "colour",
)


@dataclass(frozen=True)
class Run:
    """A model with its options and the kinds of data that it is tried on; none: all."""

    model: str
    options: tuple[object, ...] = ()
    kinds: tuple[str, ...] = ()


MODELS = ("k-sparse", "rbm", "pca", "autoencoder", "denoising", "sesm", "sparse-autoencoder", "mcrbm")
LARGER = ("k-sparse", "rbm", "autoencoder", "denoising", "sesm", "sparse-autoencoder")
RUNS = (
    {name: Run(name) for name in MODELS}
    | {"rbm-edges": Run("rbm", EDGES, PHOTOGRAPHS)}
    | {f"{name}-500": Run(name, ("--hidden", 500), DIGITS) for name in LARGER}
)

GRID = {
    "k-sparse": ("--lr 0.15", "--lr 1.5"),
    "rbm": ("--lr 0.01", "--lr 0.03", "--lr 0.1"),
    "autoencoder": ("--lr 0.003", "--lr 0.03", "--optimizer sgd"),
    "denoising": ("--lr 0.001", "--lr 0.01", "--optimizer sgd"),
    "sesm": ("--lr 0.03", "--lr 0.3"),
}
"""The neighbours of each default, run with --grid: a row is named by its model and options."""


def neighbours() -> dict[str, Run]:
    given = ((model, options) for model, some in GRID.items() for options in some)
    return {f"{model} {options}": Run(model, tuple(options.split())) for model, options in given}


def matrix(tame: bool) -> np.ndarray:
    """5000 rows of 40 columns: 8 Laplacian factors and noise; not tame: scales from .01 to 1000, means far
    from 0."""
    rng = np.random.default_rng(0)
    X = rng.laplace(size=(5000, 8)) @ rng.normal(size=(8, 40)) / 4 + 0.5 * rng.normal(size=(5000, 40))
    if tame:
        return X
    scale = rng.permutation(np.logspace(-2, 3, 40))
    return (X + 10 * rng.choice((-1, 1), 40)) * scale


def commands(mnist: str, photos: str, images: str, all_digits: bool) -> dict[str, list[tuple[object, ...]]]:
    """The arguments of extract-patches for each kind of data, and for its test set where there is one."""

    def idx(part: str) -> tuple[object, ...]:
        found, labels = (
            os.path.join(mnist, f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
        )
        return found, "--labels", labels, *RAW

    small, large = ("--size", 12, *MANY), ("--size", 16, "--count", 10_000)
    return {
        "digits": [idx("train") + (() if all_digits else ("--first", 20_000)), idx("t10k")[:3]],
        "photos-standardized": [(photos, *large, "--normalize", "standardize", "--whiten", "none")],
        "photos-zca": [(photos, *small, *ZCA)],
        "photos-contrast": [(photos, *small, "--normalize", "contrast", "--whiten", "none")],
        "photos-coates": [(photos, *small, "--normalize", "contrast", "--whiten", "zca")],
        "olshausen": [(images, "--size", 12, "--count", 10_000, *ZCA)],
        "leaves": [("dead-leaves", *small, *ZCA)],
        "colour": [(photos, "--size", 8, "--color", "rgb", *MANY, *ZCA)],
        "matrix": [("matrix.npy", *RAW)],
        "matrix-tame": [("matrix-tame.npy", *RAW)],
    }


@dataclass(frozen=True)
class Bench:
    """A folder of cells, the test set of each kind of data, and the runs."""

    folder: Path
    tests: dict[str, str | None]
    runs: dict[str, Run]
    lock: Lock = field(default_factory=Lock)

    def prepare(self, made: dict[str, list[tuple[object, ...]]]) -> None:
        for name, tame in (("matrix", False), ("matrix-tame", True)):
            np.save(self.folder / f"{name}.npy", matrix(tame))
        for kind, (train, *test) in made.items():
            self._extract(f"{kind}.h5", train)
            for args in test:
                self._extract(f"{kind}-test.h5", (*args, "--like", f"{kind}.h5"))

    def _extract(self, name: str, args: tuple[object, ...]) -> None:
        if not (self.folder / name).exists():
            featlearn("extract-patches", *args, "-o", name, cwd=str(self.folder))

    def cells(self) -> Iterator[tuple[str, str]]:
        for kind in self.tests:
            for name, run in self.runs.items():
                if not run.kinds or kind in run.kinds:
                    yield name, kind

    def result(self, name: str, kind: str) -> dict[str, Any] | None:
        path = self._place(name, kind, "json")
        return dict(json.loads(path.read_text())) if path.exists() else None

    def keep(self, name: str, kind: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the result of a cell, which is worked out if it is not there."""
        found = self.result(name, kind)
        if found is None:
            self._place(name, kind, "json").parent.mkdir(parents=True, exist_ok=True)
            found = work()
            self._place(name, kind, "json").write_text(json.dumps(found, indent=1) + "\n")
        return found

    def measure(self, name: str, kind: str) -> dict[str, Any]:
        run = self.runs[name]
        model, data = str(self._place(name, kind, "h5")), f"{kind}.h5"
        args = ("--model", run.model, *run.options, "-o", model, "--force", "--threads", 1)
        trained, code, said = attempt("train", data, *args, cwd=str(self.folder))
        row = trained | {"exit": code, "said": _spoken(said, model, data)}
        if code:
            return row
        config = self._run("info", model)
        row |= self._evaluated(model, kind) | {
            "hidden": config["config"]["hidden"],
            "dims": _size(config["shape"]),
        }
        row["dead_units"] = max(row["dead_units"], config["last_epoch"].get("dead_share", 0))
        if config["config"].get("sparsity_target") is not None:
            row["deviation"] = abs(row["mean_activation"] - config["config"]["sparsity_target"])
        if row["hidden"] < row["dims"]:
            # by shares, since a model may divide the data by a number of its own
            row["ratio"] = ((1 - row["explained_variance"]) / (1 - self._pca(kind, row["hidden"]))) ** 0.5
        if config["shape"][0] > 1:
            picture = str(self._place(name, kind, "png"))
            featlearn("visualize", model, "-o", picture, "--force", cwd=str(self.folder))
        else:
            del row["edge_share"]
        return row

    def _pca(self, kind: str, hidden: int) -> float:
        """Return the share of the variance that so many principal components explain, of the same data."""

        def work() -> dict[str, Any]:
            model = str(self._place(f"pca-{hidden}", kind, "h5"))
            args = ("--model", "pca", "--hidden", hidden, "-o", model, "--force", "--threads", 1)
            self._run("train", f"{kind}.h5", *args)
            return dict(self._run("evaluate", model, self.tests[kind] or f"{kind}.h5")["models"][0])

        with self.lock:  # two cells may want the same one
            return float(self.keep(f"pca-{hidden}", kind, work)["explained_variance"])

    def _evaluated(self, model: str, kind: str) -> dict[str, Any]:
        """Measures on the test set where there is one, else on the data that were learned."""
        test = self.tests[kind]
        train = ("--train", f"{kind}.h5") if test else ()
        found = self._run("evaluate", model, test or f"{kind}.h5", *train, "--threads", 1)
        return {k: v for k, v in found["models"][0].items() if k not in ("model", "wall")}

    def _run(self, *args: object) -> dict[str, Any]:
        return featlearn(*args, cwd=str(self.folder))

    def _place(self, name: str, kind: str, suffix: str) -> Path:
        return self.folder / "cells" / name.replace(" ", "_") / f"{kind}.{suffix}"


def _size(shape: list[int]) -> int:
    return shape[0] * shape[1] * shape[2]


def _spoken(said: str, model: str, data: str) -> list[str]:
    """Lines of stderr without names of files, hints of what to do next, and lines of progress."""
    lines = (line.replace(model, "MODEL.h5").replace(data, "DATA.h5").strip() for line in said.splitlines())
    return [line for line in lines if line and not re.match(r"next: |[\d,]+ of [\d,]+ updates", line)]


def _number(row: dict[str, Any], key: str, form: str = "{:.2f}") -> str:
    value = row.get(key)
    return (
        "" if value is None else form.format(value).replace("0.", ".", 1) if value < 1 else form.format(value)
    )


def _error(row: dict[str, Any]) -> str:
    if row.get("classifier_error") is None:
        return ""
    return f"{100 * row['classifier_error']:.1f} / {100 * row['raw_error']:.1f}"


COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "s": lambda row: _number(row, "seconds", "{:.0f}"),
    "updates": lambda row: f"{row['updates']:,}" if "updates" in row else "",
    "RMSE / PCA's": lambda row: _number(row, "ratio"),
    "explained": lambda row: _number(row, "explained_variance"),
    "dead": lambda row: _number(row, "dead_units"),
    "saturated": lambda row: _number(row, "saturated_units"),
    "edges": lambda row: _number(row, "edge_share"),
    "error / pixels'": _error,
    "off target": lambda row: _number(row, "deviation", "{:.4f}"),
}


def table(bench: Bench, cells: list[tuple[str, str]]) -> str:
    path = bench.folder / "seen.json"
    seen = dict(json.loads(path.read_text())) if path.exists() else {}
    notes: dict[str, int] = {}
    lines = [f"| data | run | {' | '.join(COLUMNS)} | shows | said |", "|---" * (len(COLUMNS) + 4) + "|"]
    for name, kind in cells:
        row = bench.result(name, kind)
        if row is None:
            continue
        plain = (re.sub(r" \([^)]*\)", "", line) for line in row["said"])
        said = " ".join(f"({notes.setdefault(line, len(notes) + 1)})" for line in plain)
        shows = seen.get(f"{name}/{kind}", "") if not row["exit"] else f"**exit {row['exit']}**"
        lines.append(
            f"| {kind} | {name} | {' | '.join(f(row) for f in COLUMNS.values())} | {shows} | {said} |"
        )
    return "\n".join([*lines, "", *(f"{i}. {line}" for line, i in notes.items())])


def main(given: argparse.Namespace) -> None:
    folder = Path(given.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    made = commands(
        *(str(Path(p).resolve()) for p in (given.mnist, given.photos, given.images)), given.all_digits
    )
    tests = {kind: f"{kind}-test.h5" if len(args) > 1 else None for kind, args in made.items()}
    for kind, paths in (also.split("=", 1) for also in given.also):
        for i, path in enumerate(paths.split(",")):
            link = folder / f"{kind}{'-test' * i}.h5"
            link.unlink(missing_ok=True)
            link.symlink_to(Path(path).resolve())
        tests[kind] = f"{kind}-test.h5" if "," in paths else None
    bench = Bench(folder, tests, RUNS | neighbours() if given.grid else RUNS)
    bench.prepare(made)
    if given.prepare:
        return
    cells = [cell for cell in bench.cells() if fnmatch.fnmatch("/".join(cell), given.only)]

    def one(cell: tuple[str, str]) -> None:
        row = bench.keep(*cell, lambda: bench.measure(*cell))
        print(f"{'/'.join(cell)}: exit {row['exit']}, {row['wall']:.0f} s", file=sys.stderr, flush=True)

    if given.table:
        print(table(bench, cells))
        return
    with ThreadPoolExecutor(given.jobs) as pool:  # what is quick or asked of all models first
        list(pool.map(one, sorted(cells, key=lambda cell: bench.runs[cell[0]].kinds == DIGITS)))
    print(table(bench, cells))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("mnist", "photos", "images", "folder"):
        parser.add_argument(name)
    parser.add_argument("--only", default="*", metavar="RUN/DATA", help="pattern of cells, as of file names")
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time, each with one thread")
    parser.add_argument("--all-digits", action="store_true", help="60,000 digits, not 20,000")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=DATA.h5[,TEST.h5]")
    parser.add_argument("--prepare", action="store_true", help="make the data sets and stop")
    parser.add_argument("--grid", action="store_true", help="the neighbours of the default rates, too")
    parser.add_argument("--table", action="store_true", help="print the table of the cells that are there")
    main(parser.parse_args())
