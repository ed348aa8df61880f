"""A Gaussian RBM of whitened natural patches, against the unit Gaussian that whitening leaves.

    python bench/natural.py PHOTOS [FOLDER]

Photographs at half their size (their compression shows in whitened pixels), three quarters of them to learn
from; 14x14 patches, each without its mean, ZCA-whitened with next to no epsilon; 196 hidden units, CD-1,
learned variances. Nats a patch of the other photographs by annealed importance sampling; published: 7.3 above
(PyDeep, other photographs).
"""

import math
import sys
import tempfile
from pathlib import Path

import numpy as np
from cli import at_least, estimate, featlearn, figure, finish
from PIL import Image

from featlearn.jobs.store import load_model, load_rows

CUT = ("--size", 14, "--normalize", "center", "--whiten", "zca", "--epsilon", 0.001, "--drop-flat", 0)
TRAIN = ("--model", "rbm", "--hidden", 196, "--hidden-bias", -4.6, "--learn-sigma", "--sigma-rate", 0.05)
RATE = ("--lr", 0.2, "--lr-schedule", "linear", "--momentum", 0, "--epochs", 60)


def prepare(photos: str, folder: str) -> None:
    paths = sorted(Path(photos).glob("*.jpg"))
    for part, some in (("learn", paths[: len(paths) * 3 // 4]), ("test", paths[len(paths) * 3 // 4 :])):
        place = Path(folder) / part
        place.mkdir(exist_ok=True)
        for path in some:
            Image.open(path).convert("L").reduce(2).save(place / f"{path.stem}.png")
    featlearn("extract-patches", "learn", *CUT, "--count", 100_000, "-o", "learn.h5", "--force", cwd=folder)
    like = ("--like", "learn.h5", "--count", 30_000, "--drop-flat", 0, "-o", "test.h5", "--force")
    featlearn("extract-patches", "test", *like, cwd=folder)


def unit_gaussian(folder: str) -> float:
    """Mean log-likelihood of the test patches under independent standard normal pixels."""
    rows, _, _ = load_rows(
        str(Path(folder) / "test.h5"), like=load_model(str(Path(folder) / "natural.h5")), say=print
    )
    X = rows.block(0, len(rows)).astype(np.float64)
    return float(-np.square(X).sum(axis=1).mean() / 2 - X.shape[1] / 2 * math.log(2 * math.pi))


def main(photos: str, folder: str) -> None:
    prepare(photos, folder)
    run = featlearn("train", "learn.h5", *TRAIN, *RATE, "-o", "natural.h5", "--force", cwd=folder)
    print(f"60 epochs of 100,000 patches in {run['seconds']:.0f} s")
    row = featlearn("evaluate", "natural.h5", "test.h5", "--likelihood", "ais", cwd=folder)["models"][0]
    base = unit_gaussian(folder)
    at_least(
        f"log-likelihood above the unit Gaussian's {base:.2f}", estimate(row, "log_likelihood") - base, 4
    )
    apart = estimate(row, "reverse_log_likelihood") - estimate(row, "log_likelihood")
    figure("the way back - the way there", apart, "-1 .. 1", abs(apart) <= 1)
    featlearn("visualize", "natural.h5", "-o", "natural.png", "--force", cwd=folder)
    at_least("edge share of the filters", row["edge_share"], 0.5)
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
