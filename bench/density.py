"""A good density model of MNIST: an RBM with 500 hidden units, centered PCD-1, pixels drawn anew at each
update.

    python bench/density.py MNIST-FOLDER [FOLDER]

Test log-likelihood in nats a digit by annealed importance sampling, there and back. Published: -86.34 (CD-25,
Salakhutdinov & Murray 2008, drawn pixels) and -84.86 (PyDeep, centered PCD-1, 200 epochs, thresholded
pixels). Both kinds of pixels are tried; numbers of one kind say nothing about the other. Half an hour;
fantasies stay in FOLDER.
"""

import os
import sys
import tempfile

from cli import at_least, at_most, estimate, featlearn, figure, finish

TRAIN = ("--model", "rbm", "--hidden", 500, "--persistent", "--centered", "--lr", 0.05, "--momentum", 0.5)
EPOCHS = ("--lr-schedule", "linear", "--epochs", 200)


def main(mnist: str, folder: str) -> None:
    for kind, cut, learn, bar in (
        ("drawn", (), ("--sample-data",), -86.34),
        ("thresholded", ("--threshold", 0.5), (), -84.86),
    ):
        for part, name in (("train", "digits"), ("t10k", "test")):
            source = os.path.join(mnist, f"{part}-images-idx3-ubyte.gz")
            featlearn("extract-patches", source, *cut, "-o", f"{name}-{kind}.h5", "--force", cwd=folder)
        data, test, model = f"digits-{kind}.h5", f"test-{kind}.h5", f"rbm500-{kind}.h5"
        seconds = featlearn("train", data, *TRAIN, *EPOCHS, *learn, "-o", model, "--force", cwd=folder)[
            "seconds"
        ]
        at_most(f"{kind} pixels: seconds of training", seconds, 3600)
        row = featlearn("evaluate", model, test, "--train", data, "--likelihood", "ais", cwd=folder)[
            "models"
        ][0]
        found, log_z = estimate(row, "log_likelihood"), estimate(row, "log_z")
        at_least(f"{kind} pixels: log-likelihood", found, -90)
        at_least(f"{kind} pixels: log-likelihood, beside the published", found, bar)
        interval = " .. ".join(f"{estimate(row, f'log_z{end}'):.2f}" for end in ("_low", "_high"))
        print(f"        log Z {log_z:.2f} in {interval}; free-energy gap {row['free_energy_gap']:.2f}")
        apart = estimate(row, "reverse_log_likelihood") - found
        figure(f"{kind} pixels: the way back - the way there", apart, "-2 .. 2", abs(apart) <= 2)
        featlearn(
            "sample", model, "--data", test, "--count", 10, "--every", 100, "-o", f"{kind}.png", cwd=folder
        )
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
