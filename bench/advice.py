"""Forty runs, good and bad, and what advice each of them gets.

    python bench/advice.py PHOTOS MNIST [FOLDER]

PHOTOS is a folder of photographs, MNIST one with the four IDX files. A run is called good or bad by something
else than the advice's own measures: good filters of photographs and dead leaves by their edge share (Gabor
fits), good codes of digits by a classifier that errs less on them than on the pixels, or an rmse within 1.15
times that of as many principal components; bad runs by the same or by what was done to them. docs/advice.md
shows the table. Takes about ten minutes; models stay in FOLDER.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cli import at_least, at_most, evaluate, featlearn, finish

WHITE = ("--count", 20_000, "--normalize", "center", "--whiten", "zca")
LECTURE = ("--normalize", "center", "--whiten", "none", "--clip", 3, "--to", "0.1,0.9")
SIGMOID, RELU = ("--activation", "sigmoid", "--no-tied"), ("--activation", "relu", "--no-tied")
TAUGHT = (
    "--loss-scale",
    1,
    "--hidden",
    25,
    "--sparsity-target",
    0.01,
    "--sparsity-weight",
    3,
)  # as in the lecture
EDGES = ("--sparsity-target", 0.02, "--lr", 0.1, "--lr-schedule", "linear")
MEASURES = (
    *(
        "explained_variance",
        "dead_units",
        "unlearned_units",
        "saturated_units",
        "relative_activity",
        "orientation_gain",
    ),
    *("orientation", "kurtosis", "lag1", "fall", "validation_excess", "classifier_error"),
)


@dataclass(frozen=True)
class Run:
    """A training run: data, options, and what should be said of it, "" for nothing."""

    data: str
    model: str
    options: tuple[Any, ...] = ()
    wanted: str = ""
    judged_by: str = ""


GOOD = [
    Run("zca12", "k-sparse", (), "", "edges"),
    Run("zca8", "k-sparse", ("--validation", 0.1), "", "edges"),
    Run("rgb8", "k-sparse", (), "", "edges"),
    Run("leaves12", "k-sparse", (), "", "edges"),
    Run("contrast8", "k-sparse", (), "", "edges"),
    Run("digits", "k-sparse", (), "", "classifier"),
    Run("digits", "k-sparse", ("--hidden", 300, "--k", 15, "--epochs", 30), "", "classifier"),
    Run("matrix", "k-sparse"),
    Run("zca12", "rbm", (*EDGES, "--hidden", 144), "", "edges"),
    Run("zca8", "rbm", EDGES, "", "edges"),
    Run("leaves12", "rbm", EDGES, "", "edges"),
    Run("digits", "rbm", ("--epochs", 30, "--validation", 0.1), "", "classifier"),
    Run("matrix", "rbm"),
    Run("digits", "sesm", ("--epochs", 30), "", "classifier"),
    Run("digits", "denoising", ("--hidden", 300, "--epochs", 20), "", "classifier"),
    Run("zca8", "denoising", (), "", "edges"),
    Run("digits", "autoencoder", SIGMOID, "", "components"),
    Run("lecture8", "sparse-autoencoder", TAUGHT, "", "edges"),
    Run("zca12", "pca"),
    Run("digits", "pca"),
]
BAD = [
    Run("lecture8", "sparse-autoencoder", (), "noise", ""),
    Run("zca12", "rbm", (), "noise", "edges"),
    Run("zca8", "rbm", ("--seed", 1), "noise", "edges"),
    Run("rgb8", "rbm", (), "noise", "edges"),
    Run("leaves12", "rbm", (), "noise", "edges"),
    Run("zca12", "rbm", ("--sparsity-target", 0.02, "--lr", 0.01, "--epochs", 10), "noise", "edges"),
    Run("zca12", "autoencoder", (), "noise", "edges"),
    Run("rgb8", "autoencoder", (), "noise", "edges"),
    Run("standard16", "autoencoder", (), "noise", "edges"),
    Run("digits", "k-sparse", ("--hidden", 500, "--k", 2, "--k-start", 2, "--epochs", 10), "dead"),
    Run("digits", "autoencoder", (*RELU, "--optimizer", "sgd", "--lr", 5, "--epochs", 20), "dead"),
    Run("standard16", "k-sparse", ("--k-start", 5), "unlearned"),
    Run("zca8", "autoencoder", ("--optimizer", "sgd", "--lr", 0.001, "--epochs", 6), "unlearned"),
    Run("digits", "rbm", ("--hidden-bias", 8, "--epochs", 5), "saturated"),
    Run("zca8", "sparse-autoencoder", ("--sparsity-weight", 0.03, "--epochs", 200), "activity"),
    Run("digits", "sparse-autoencoder", ("--sparsity-weight", 0.01, "--epochs", 100), "activity"),
    Run("digits", "rbm", ("--epochs", 6), "falling"),
    Run("digits", "autoencoder", ("--epochs", 5), "falling"),
    Run("few", "autoencoder", ("--hidden", 300, "--validation", 0.8), "validation"),
    Run(
        "digits", "rbm", ("--sparsity-target", 0.05, "--lr", 0.1, "--epochs", 30), "classifier", "classifier"
    ),
    Run("digits", "k-sparse", ("--hidden", 20), "classifier", "classifier"),
]


def main(photos: str, mnist: str, folder: str) -> None:
    make_data(Path(photos).resolve(), Path(mnist).resolve(), folder)
    said = {}
    for i, run in enumerate([*GOOD, *BAD]):
        said[run] = one(i, run, folder)
    print("\nwanted       said      missed    others")
    for key in dict.fromkeys(run.wanted for run in BAD):
        bad = [run for run in BAD if run.wanted == key]
        told = sum(key in said[run] for run in bad)
        others = sum(key in said[run] for run in GOOD)
        print(f"{key:<12} {told:>4} {len(bad) - told:>10} {others:>9}")
    right = sum(run.wanted in said[run] for run in BAD) / len(BAD)
    at_most("good runs with advice", sum(bool(said[run]) for run in GOOD), 0)
    at_least("bad runs with the right line", right, 0.9)
    finish()


def one(i: int, run: Run, folder: str) -> list[str]:
    """Make a run, print its measures and its advice, and hold them against what makes it good or bad."""
    name = f"{i}-{run.data}-{run.model}"
    out = f"{name}.h5"
    trained = featlearn(
        "train", f"{run.data}.h5", "--model", run.model, *run.options, "-o", out, "--force", cwd=folder
    )
    measured = featlearn("info", out, cwd=folder)["measured"]
    said = {told["key"]: told["options"] for told in trained["advice"]}
    good = not run.wanted
    if run.judged_by == "edges":
        share = evaluate(out, f"{run.data}.h5", folder)["edge_share"]
        (at_least if good else at_most)(f"edge share, {name}", share, 0.8 if good else 0.2)
    if run.judged_by == "components":
        pca = featlearn("train", f"{run.data}.h5", "--model", "pca", "-o", "pca.h5", "--force", cwd=folder)
        at_most(f"rmse over that of PCA, {name}", trained["rmse"] / pca["rmse"], 1.15)
    if run.judged_by == "classifier":
        row = featlearn("evaluate", out, "test.h5", "--train", "digits.h5", cwd=folder)["models"][0]
        said |= {told["key"]: told["options"] for told in row["advice"]}
        measured |= {"classifier_error": row["classifier_error"]}
        (at_most if good else at_least)(f"error, {name}", row["classifier_error"], row["raw_error"])
    values = " ".join(f"{key} {measured[key]:.3g}" for key in MEASURES if key in measured)
    print(
        f"{'good' if good else run.wanted:<10} {run.data} {run.model} "
        f"{' '.join(map(str, run.options))}\n    {values}"
    )
    print(
        f"    says: {'; '.join(f'{key} ({options})' for key, options in said.items()) or 'nothing'}",
        flush=True,
    )
    return list(said)


def make_data(photos: Path, mnist: Path, folder: str) -> None:
    rng = np.random.default_rng(0)
    causes, fields = rng.laplace(size=(10_000, 10)), rng.normal(size=(10, 40))
    np.save(
        Path(folder) / "matrix.npy",
        (causes @ fields + 0.3 * rng.normal(size=(10_000, 40))).astype(np.float32),
    )
    train, test = (
        (mnist / f"{part}-images-idx3-ubyte.gz", "--labels", mnist / f"{part}-labels-idx1-ubyte.gz")
        for part in ("train", "t10k")
    )
    for name, source in {
        "zca12": (photos, "--size", 12, *WHITE),
        "zca8": (photos, "--size", 8, *WHITE),
        "rgb8": (photos, "--size", 8, *WHITE, "--color", "rgb"),
        "leaves12": ("dead-leaves", "--size", 12, *WHITE),
        "contrast8": (photos, "--size", 8, "--count", 10_000, "--normalize", "contrast", "--whiten", "none"),
        "standard16": (
            photos,
            "--size",
            16,
            "--count",
            10_000,
            "--normalize",
            "standardize",
            "--whiten",
            "none",
        ),
        "lecture8": (photos, "--size", 8, "--count", 10_000, *LECTURE),
        "digits": (*train, "--first", 10_000),
        "few": (*train, "--first", 2000),
        "test": (*test, "--like", "digits.h5"),
        "matrix": ("matrix.npy",),
    }.items():
        featlearn("extract-patches", *source, "-o", f"{name}.h5", "--force", cwd=folder)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    folder = sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp()
    Path(folder).mkdir(exist_ok=True)
    main(sys.argv[1], sys.argv[2], folder)
