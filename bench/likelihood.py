"""Likelihoods of RBMs of digits and of their negatives, which no recipe can say: centering makes both alike.

    python bench/likelihood.py MNIST-FOLDER [FOLDER]

In nats a digit of the test set, thresholded at .5. PyDeep's recipe: PCD-1, learning rate .01, no momentum, 50
epochs, batches of 100, 100 chains; published -149.05, centered -142.56 (featlearn recipe run likelihoods); of
white digits made black -183.36, centered -142.09. Files stay in FOLDER.
"""

import gzip
import os
import sys
import tempfile

import numpy as np
from cli import at_most, featlearn, figure, finish

PCD = ("--model", "rbm", "--persistent", "--batch-size", 100, "--chains", 100)
PYDEEP = ("--hidden", 16, "--lr", 0.01, "--momentum", 0, "--epochs", 50)


def prepare(mnist: str, folder: str) -> None:
    """digits.h5 and test.h5; black.h5 and blacktest.h5 are their negatives."""
    for part, name in (("train", "digits"), ("t10k", "test")):
        source = os.path.join(mnist, f"{part}-images-idx3-ubyte.gz")
        with gzip.open(source) as stream:
            pixels = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 28, 28)
        np.save(os.path.join(folder, f"black{name}.npy"), 255 - pixels)
        for origin, out in ((source, name), (f"black{name}.npy", f"black{name}")):
            options = ("--size", "whole", "--threshold", 0.5, "-o", f"{out}.h5", "--force")
            featlearn("extract-patches", origin, *options, cwd=folder)


def log_likelihood(folder: str, data: str, test: str, *options: object) -> float:
    """Train on one data set; the exact mean of another."""
    featlearn("train", f"{data}.h5", *PCD, *PYDEEP, *options, "-o", "rbm.h5", "--force", cwd=folder)
    run = featlearn("evaluate", "rbm.h5", f"{test}.h5", "--likelihood", "exact", cwd=folder)
    return float(run["models"][0]["log_likelihood"])


def main(mnist: str, folder: str) -> None:
    prepare(mnist, folder)
    gaps = {}
    for kind, options in (("plain", ()), ("centered", ("--centered",))):
        white = log_likelihood(folder, "digits", "test", *options)
        black = log_likelihood(folder, "blackdigits", "blacktest", *options)
        print(f"        {kind}: white {white:.2f}, black {black:.2f}")
        gaps[kind] = black - white
    gap = gaps["centered"]
    figure("centered, black digits - white (published +.47)", gap, "-1.5 .. 1.5", abs(gap) <= 1.5)
    at_most("plain, black digits - white (published -34)", gaps["plain"], -20)
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
