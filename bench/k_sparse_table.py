"""Table 1 of the k-sparse paper: logistic regression on the codes of 1000 units, on MNIST.

    python bench/k_sparse_table.py FOLDER [--work FOLDER] [--only dropout k25 ...] [--epochs N] [--threads N]

FOLDER holds the four files of MNIST. A. Makhzani, B. Frey, k-Sparse autoencoders, arXiv 1312.5663: each line
is the published error on the test set in percent, ours, and the minutes that it took; wanted is .3 points
from the published figure. All autoencoders have one set of weights. The paper trains for 5000 epochs, here
each row has its own number, or --epochs. The settings were chosen on the last 10,000 training digits; the
models of the table learn from all 60,000. What is in --work already, models and errors by these settings, is
not made again.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from cli import featlearn, figure, finish
from deep import Bench

NEAR = 0.3  # percentage points
RELU: tuple[object, ...] = ("--activation", "relu", "--output-units", "linear", "--loss", "squared")
RELU += ("--data-scale", 1, "--visible-bias", "data", "--optimizer", "adam", "--lr", 0.003)
RELU += ("--lr-schedule", "linear", "--warm-up", 1000)
NOISE = ("--model", "denoising", "--corruption", "masking", "--noise", 0.2, "--batch-size", 100)
SPARSE = ("--model", "k-sparse", "--k-ramp", 0.1)

ROWS: dict[str, tuple[float, int, tuple[object, ...]]] = {
    "rbm": (1.81, 20, ("--model", "rbm", "--lr", 0.05, "--momentum", 0.9)),
    "dropout": (1.80, 12, ("--model", "autoencoder", *RELU, "--hidden-dropout", 0.5)),
    "denoising": (1.95, 12, (*NOISE, *RELU)),
    "both": (1.60, 12, (*NOISE, *RELU, "--hidden-dropout", 0.5)),
    "k40": (1.54, 20, (*SPARSE, "--k", "4%")),
    "k25": (1.35, 20, (*SPARSE, "--k", "2.5%")),
    "k10": (2.10, 20, (*SPARSE, "--k", "1%")),
}
"""Published error, epochs, options."""
PIXELS = 7.20


def measured(bench: Bench, names: list[str], epochs: int | None) -> dict[str, dict[str, Any]]:
    """Train and evaluate models, what of it is not done yet. -> of each its measures, and all its "minutes"

    They are evaluated together: so the classifier learns the pixels once.
    """
    found = {name: trained(bench, name, epochs or ROWS[name][1]) for name in names}
    left = [name for name in names if "classifier_error" not in found[name]]
    if left:
        files = [f"{name}.h5" for name in left]
        told = featlearn("evaluate", *files, "test.h5", "--train", "train.h5", *bench.more, cwd=bench.cwd)
        for name, row in zip(left, told["models"], strict=True):
            found[name] |= {key: row[key] for key in ("classifier_error", "raw_error")}
            found[name]["minutes"] += told["wall"] / 60 / len(left)
            keep(bench, name, found[name])
    return found


def trained(bench: Bench, name: str, epochs: int) -> dict[str, Any]:
    """Train a model, unless that was done with these options. -> what is known of it"""
    options = list(map(str, ("--hidden", 1000, "--epochs", epochs, *ROWS[name][2])))
    kept = Path(bench.cwd, f"{name}.json")
    found: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    if found.get("options") == options:
        return found
    told = featlearn("train", "train.h5", *options, *bench.more, "-o", f"{name}.h5", "--force", cwd=bench.cwd)
    found = {"options": options, "minutes": told["wall"] / 60}
    keep(bench, name, found)
    return found


def keep(bench: Bench, name: str, found: dict[str, Any]) -> None:
    """Write down what is known of a model."""
    Path(bench.cwd, f"{name}.json").write_text(json.dumps(found), "utf-8")


def line(name: str, published: float, ours: float, minutes: float) -> None:
    """Print a published figure, ours and the minutes."""
    good = abs(ours - published) <= NEAR or ours < published
    figure(f"{name}, error in % ({minutes:.1f} minutes)", ours, f"{published:g} +- {NEAR:g}, or less", good)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mnist", metavar="FOLDER")
    parser.add_argument("--work", help="where files are kept (default: nowhere)")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--epochs", type=int, help="of each row (default: its own number)")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as nowhere:
        bench = Bench(args.mnist, args.work or nowhere, args.threads)
        found = measured(bench, args.only, args.epochs)
        for name, row in found.items():
            line(name, ROWS[name][0], 100 * row["classifier_error"], row["minutes"])
        line("pixels", PIXELS, 100 * row["raw_error"], 0.0)
    finish()


if __name__ == "__main__":
    main()
