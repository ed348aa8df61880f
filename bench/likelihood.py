"""Likelihoods of RBMs on MNIST thresholded at .5: exact against annealed, and against what was published.

    python bench/likelihood.py MNIST-FOLDER [FOLDER]

In nats a digit of the test set. PyDeep's recipe: PCD-1, learning rate .01, no momentum, 50 epochs, batches of
100, 100 chains; published -149.05, centered -142.56; of white digits made black -183.36, centered -142.09.
Files stay in FOLDER.
"""

import gzip
import os
import sys
import tempfile

import numpy as np
from cli import at_least, at_most, estimate, featlearn, figure, finish

PCD = ("--model", "rbm", "--persistent", "--batch-size", 100, "--chains", 100)
FALLING = (
    "--lr",
    0.1,
    "--lr-schedule",
    "linear",
    "--momentum",
    0.5,
    "--initial-momentum",
    0,
    "--initial-epochs",
    5,
)
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


def train(folder: str, name: str, *options: object, data: str = "digits") -> float:
    """-> seconds of training"""
    out = ("-o", f"{name}.h5", "--force")
    return float(featlearn("train", f"{data}.h5", *options, *out, cwd=folder)["seconds"])


def measure(folder: str, name: str, how: str = "exact", data: str = "test") -> dict[str, float]:
    run = featlearn("evaluate", f"{name}.h5", f"{data}.h5", "--likelihood", how, cwd=folder)
    return run["models"][0] | {"wall": run["wall"]}


def annealed(folder: str, name: str, what: str, data: str = "test") -> None:
    exact, ais = measure(folder, name, data=data), measure(folder, name, "ais", data)
    log_z = exact["log_z"]
    low, found, high = (estimate(ais, f"log_z{end}") - log_z for end in ("_low", "", "_high"))
    figure(f"{what}: AIS - exact log Z", found, "-.5 .. .5", abs(found) <= 0.5)
    figure(f"{what}: interval from {low:+.3f} to", high, "0 inside", low <= 0 <= high)
    print(f"        on the way back, from data: {estimate(ais, 'reverse_log_z') - log_z:+.3f}")
    at_most(f"{what}: seconds of evaluate, both ways", ais["wall"], 60)


def main(mnist: str, folder: str) -> None:
    prepare(mnist, folder)
    for hidden in (8, 16, 20):
        seconds = train(folder, f"pcd{hidden}", *PCD, *FALLING, "--hidden", hidden, "--epochs", 10)
        at_most(f"RBM-{hidden} PCD-1, 10 epochs: seconds", seconds, 5)
        annealed(folder, f"pcd{hidden}", f"RBM-{hidden}")
    leaves = (
        "--size",
        8,
        "--count",
        20_000,
        "--normalize",
        "center",
        "--whiten",
        "zca",
        "-o",
        "leaves.h5",
        "--force",
    )
    featlearn("extract-patches", "dead-leaves", *leaves, cwd=folder)
    train(folder, "gauss", "--model", "rbm", "--hidden", 16, "--lr", 0.02, "--epochs", 20, data="leaves")
    annealed(folder, "gauss", "Gaussian RBM-16", data="leaves")

    for hidden, bar in ((16, -149), (20, -143)):
        pcd = measure(folder, f"pcd{hidden}")["log_likelihood"]
        at_least(f"RBM-{hidden} PCD-1, lr .1 falling, 10 epochs", pcd, bar)
        train(
            folder,
            f"cd{hidden}",
            "--model",
            "rbm",
            *FALLING,
            "--sample-visible",
            "--hidden",
            hidden,
            "--epochs",
            10,
        )
        at_least(f"RBM-{hidden} PCD-1 - CD-1", pcd - measure(folder, f"cd{hidden}")["log_likelihood"], 15)
    train(folder, "pcd16long", *PCD, *FALLING, "--hidden", 16, "--epochs", 30)
    at_least("RBM-16 PCD-1, 30 epochs", measure(folder, "pcd16long")["log_likelihood"], -144)

    found = {}
    for data, test in (("digits", "test"), ("blackdigits", "blacktest")):
        for kind in ("plain", "centered"):
            options = ("--centered",) if kind == "centered" else ()
            train(folder, f"{data}-{kind}", *PCD, *PYDEEP, *options, data=data)
            found[data, kind] = measure(folder, f"{data}-{kind}", data=test)["log_likelihood"]
    at_least("PyDeep's recipe, plain (published -149.05)", found["digits", "plain"], -150.55)
    at_least("centered (published -142.56)", found["digits", "centered"], -144)
    gap = found["blackdigits", "centered"] - found["digits", "centered"]
    figure("centered, black digits - white (published +.47)", gap, "-1.5 .. 1.5", abs(gap) <= 1.5)
    gap = found["blackdigits", "plain"] - found["digits", "plain"]
    at_most("plain, black digits - white (published -34)", gap, -20)
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
