"""How well digits are told apart by the codes of RBMs: logistic regression (scikit-learn) on p(h | v) of all
of MNIST.

    python bench/digits.py MNIST-FOLDER [FOLDER]

The penalty is chosen on the last 10,000 training digits, then all 60,000 are learned; the error is of the
test set. 500 hidden units after 10 epochs with and without a sparsity target, at two rates; 1024 hidden units
after 30 epochs. Published for 1024: 1.81 to 1.83 % (120 epochs of batches of 10).
"""

import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from cli import at_most, featlearn, finish
from sklearn.linear_model import LogisticRegression

from featlearn.jobs.store import load_model, load_rows

TARGET = ("--sparsity-target", 0.05, "--sparsity-weight", 0.1)
SLOW = (
    "--hidden",
    500,
    "--epochs",
    10,
    "--lr",
    0.05,
    "--momentum",
    0.5,
    "--decay",
    "l2",
    "--decay-weight",
    2e-4,
)
FAST = (*SLOW, "--lr", 0.1, "--momentum", 0.9)
LARGE = ("--hidden", 1024, "--epochs", 30, "--lr", 0.05, "--lr-schedule", "linear", "--momentum", 0.5)


def codes(folder: str, model: str, data: str) -> tuple[np.ndarray, np.ndarray]:
    learned = load_model(str(Path(folder) / model))
    rows, dataset, _ = load_rows(str(Path(folder) / data), like=learned, say=print)
    parts = [learned.model.encode(rows.block(i, min(i + 5000, len(rows)))) for i in range(0, len(rows), 5000)]
    return np.concatenate(parts), np.array(dataset.labels)


def error(folder: str, name: str, *options: object) -> float:
    """Train an RBM and a classifier of its codes. -> test error in per cent"""
    out = f"{name}.h5"
    run = featlearn("train", "digits.h5", "--model", "rbm", *options, "-o", out, "--force", cwd=folder)
    (H, y), (T, z) = codes(folder, out, "digits.h5"), codes(folder, out, "test.h5")

    def fit(C: float, n: int) -> LogisticRegression:
        return LogisticRegression(C=C, max_iter=150).fit(H[:n], y[:n])

    score, C = max((fit(C, 50_000).score(H[50_000:], y[50_000:]), C) for C in (0.1, 0.3, 1.0))
    found = 100 * (1 - fit(C, 60_000).score(T, z))
    print(
        f"{name}: test error {found:.2f} % (validation {100 * (1 - score):.2f} %), "
        f"{run['seconds']:.0f} s of training"
    )
    return float(found)


def main(mnist: str, folder: str) -> None:
    warnings.filterwarnings("ignore", message="lbfgs failed to converge")
    for part, name in (("train", "digits.h5"), ("t10k", "test.h5")):
        images, labels = (
            os.path.join(mnist, f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
        )
        featlearn("extract-patches", images, "--labels", labels, "-o", name, "--force", cwd=folder)
    plain, sparse = error(folder, "plain", *SLOW), error(folder, "sparse", *SLOW, *TARGET)
    at_most("RBM-500, 10 epochs, target .05: error in %", sparse, 4.0)
    print(f"        the gain over the same without a target is {plain - sparse:+.2f}")
    fast, fast_sparse = error(folder, "plain-fast", *FAST), error(folder, "sparse-fast", *FAST, *TARGET)
    print(f"        at 10 times the effective rate the gain is {fast - fast_sparse:+.2f}")
    at_most(
        "RBM-1024: error in %",
        error(folder, "large", *LARGE, *TARGET, "--decay", "l2", "--decay-weight", 1e-4),
        2.2,
    )
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
