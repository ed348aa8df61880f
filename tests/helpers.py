"""What several tests are made of."""

import json
import subprocess
import sys

import numpy as np

from featlearn.analysis.coding import Extent, codings
from featlearn.analysis.measures import Activity, OwnMetrics, Reconstruction, measure, of_filters
from featlearn.analysis.selectivity import Selectivity
from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.models import model_class, model_ids
from featlearn.patches.fitter import Fitter
from featlearn.patches.settings import PreprocessSpec
from featlearn.pictures.mosaic import Sheet, place
from featlearn.rows import Encoded

COMMANDS = """
import contextlib, io, json
from featlearn.cli.process import run

found = []
for line in json.loads(sys.argv[-1]):
    out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(line.split())
    texts = [stream.flush() or stream.buffer.getvalue().decode() for stream in (out, err)]
    found.append([code, *texts])
print(json.dumps(found))
"""


def commands_after(program, *args, lines, cwd):
    """Return [exit code, stdout, stderr] of commands, all in one process that has run a program before."""
    whole = [sys.executable, "-c", f"import sys\n{program}\n{COMMANDS}", *map(str, args), json.dumps(lines)]
    ran = subprocess.run(whole, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def ok(ran):
    """Return a command that has to end well."""
    assert ran.code == 0, ran.err
    return ran


def refused(ran, *words, code=1):
    """Hold a command to end with one line that says these words."""
    assert (ran.code, len(ran.err.strip().splitlines())) == (code, 1), ran.err
    for word in words:
        assert str(word) in ran.err


class Rows:
    """Rows (n, visible) as what models learn from and are judged by."""

    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def block(self, start, stop):
        return self.X[start:stop].copy()

    def take(self, index):
        return self.X[index]


LABELS = ["bark", "leaf", "moss"]


def label(patches, labelled):
    """Write a data set again, its rows of three classes in turn."""
    data = read_dataset(str(patches))
    origin = np.asarray(data.origin[:])
    with DatasetWriter(str(labelled), len(origin), data.shape, data.patches.dtype, True) as writer:
        writer.append(np.asarray(data.patches[:]), origin, np.arange(len(origin)) % len(LABELS))
        writer.finish(data.preprocess, data.images, LABELS, data.provenance)


def pair(patches, paired):
    """Write a data set of grey patches again, as pairs of half their height, whose values alternate."""
    data = read_dataset(str(patches))
    height, width, _ = data.shape
    origin = np.asarray(data.origin[:])
    with DatasetWriter(
        str(paired), len(origin), (height // 2, width, 2), data.patches.dtype, False
    ) as writer:
        writer.append(np.asarray(data.patches[:]), origin)
        writer.finish(data.preprocess, data.images, None, data.provenance)


def same(a, b):
    """Whether two dicts of arrays have the same names and bytes."""
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def go_on(stopped, fresh):
    """Return the fresh run, gone on to where another one stopped, by what a file holds of it."""
    saved = stopped.checkpoint()
    arrays = {part: copied(getattr(saved, part)) for part in ("params", "state", "optimizer", "history")}
    saved = saved._replace(progress=json.loads(json.dumps(saved.progress)), **arrays)
    assert fresh.misfit(saved) == ""
    fresh.restore(saved)
    return fresh


def copied(arrays):
    """As a file gives them back."""
    return {name: np.array(value, order="C") for name, value in arrays.items()}


def central(function, at, h=1e-3):
    """Derivatives of the number function() by each element of `at`, changed in place; exact for polynomials
    of degree four, else the error is of order h^4."""
    out = np.empty_like(at)
    for i in np.ndindex(at.shape):
        keep, values = at[i], {}
        for k in (-2, -1, 1, 2):
            at[i] = keep + k * h
            values[k] = function()
        at[i] = keep
        out[i] = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h)
    return out


class ByProducts:
    """The curvature of a loss whose Hessian times a vector is `times`."""

    def __init__(self, times):
        self.times = times

    def __call__(self, v, exact):
        return self.times(v)

    def hessian(self, like):
        return hessian_by_products(self, like)


def hessian_by_products(curvature, like):
    """The Hessian by the entries of `like`, a column by each product with a unit vector."""
    columns = []
    for name, w in like.items():
        for i in range(w.size):
            unit = {key: np.zeros_like(value) for key, value in like.items()}
            unit[name].flat[i] = 1
            product = curvature(unit, True)
            columns.append(np.concatenate([product[key].ravel() for key in like]))
    return np.stack(columns, axis=1)


class Same:
    """Preprocessing that changes nothing."""

    def to_pixels(self, F):
        return F


def evaluate(model, X, shape=(4, 4, 1)):
    """All measures of a model on rows X that need no labels."""
    codes = Encoded(model, Rows(X))
    found = measure(codes, [Reconstruction(model), Activity(model, codes.width), OwnMetrics(model)])
    return found | of_filters(model, shape, Same())


def coded(model, rows, bins):
    """The codings of rows with so many levels; the variance is numpy's."""
    codes, extent = Encoded(model, rows), Extent()
    measure(codes, [extent])
    X = rows.block(0, len(rows)).astype(float)
    variance = float(((X - X.mean(axis=0)) ** 2).sum())
    return codings(model, codes, extent, variance, bins)


def class_measures(model, rows, labels):
    """Selectivity and purity of the codes of labelled rows."""
    codes = Encoded(model, rows)
    return measure(codes, [Selectivity(codes.width, labels)], labels)


SINGLE = [id for id in model_ids() if not model_class(id).layered()]
"""The models that are learned by one run each."""


THIRDS = ("top", "middle", "bottom")


def write_thirds(path, names, n=600, seed=0):
    """Write images 6x6, dark but for a third: it is the class, numbered as in `names`; None: no labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = rng.random((n, 6, 6)) * 0.2 + 0.7 * (np.arange(6)[:, None] // 2 == y[:, None, None])
    patches = (X.reshape(n, 36) * 255).astype(np.uint8)
    fitter = Fitter(PreprocessSpec("none"), 36, np.uint8)
    fitter.update(patches)
    labels = None if names is None else np.array([names.index(THIRDS[k]) for k in y])
    with DatasetWriter(str(path), n, (6, 6, 1), np.uint8, names is not None) as writer:
        writer.append(patches, np.zeros((n, 3), np.int64), labels)
        writer.finish(fitter.finish().to_dict(), ["thirds"], None if names is None else list(names), {})


def tiles_in(sheet, shape, columns=None):
    """The tiles (k, p, q, h, w) of a sheet without words, in pixels of their own."""
    k, p, q, h, w = shape
    placed = place(Sheet(np.zeros((*shape, 1), np.uint8), columns))
    assert sheet.shape == (placed.height, placed.width)
    s, frame = placed.scale, min(placed.scale, 4)
    found = np.empty(shape, np.uint8)
    for i, row, column in np.ndindex(k, p, q):
        y, x = placed.y[i] + row * (h * s + frame) + frame, placed.x[i] + column * (w * s + frame) + frame
        found[i, row, column] = sheet[y : y + h * s : s, x : x + w * s : s]
    return found
