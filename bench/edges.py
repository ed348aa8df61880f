"""Edges from an RBM with a sparsity target, and the controls that must show none.

    python bench/edges.py PHOTOS [FOLDER]

12x12 ZCA-whitened patches, 144 hidden units, learning rate .1 falling to 0, 20 epochs: dead leaves and
photographs with a target of .02, photographs without it, and 1/f Gaussian noise with it. Pictures stay in
FOLDER.
"""

import sys
import tempfile

from cli import at_least, at_most, evaluate, featlearn, finish

PREPARE = ("--size", 12, "--count", 40_000, "--normalize", "center", "--whiten", "zca", "--drop-flat", 0.2)
TRAIN = ("--model", "rbm", "--hidden", 144, "--lr", 0.1, "--lr-schedule", "linear", "--epochs", 20)


def main(photos: str, folder: str) -> None:
    for source, name in ((photos, "photos"), ("dead-leaves", "leaves"), ("pink-noise", "pink")):
        featlearn("extract-patches", source, "-o", f"{name}.h5", *PREPARE, "--force", cwd=folder)
    target, slower = ("--sparsity-target", 0.02), ("--lr", 0.05)
    # Without a target, 0.1 is stable only from sparse units and with less momentum at first (Hinton's Guide).
    ramp = ("--initial-epochs", 5)
    for seed in (0, 1):
        print(f"seed {seed}")
        for name, options, what, check, bar in (
            ("leaves", target, "target .02", at_least, 0.8),
            ("photos", target, "target .02", at_least, 0.6),
            ("pink", target, "target .02", at_most, 0.05),
            ("photos", (*target, *ramp), "target .02, momentum ramp", at_least, 0.6),
            ("photos", ("--hidden-bias", -4, *ramp), "no target, bias -4, momentum ramp", at_most, 0.05),
            ("photos", slower, "no target, bias 0, lr .05", at_most, 0.05),
        ):
            out = f"edges-{name}-{'-'.join(map(str, options)).strip('-')}-{seed}"
            featlearn(
                "train",
                f"{name}.h5",
                *TRAIN,
                *options,
                "--seed",
                seed,
                "-o",
                out + ".h5",
                "--force",
                cwd=folder,
            )
            share = evaluate(out + ".h5", f"{name}.h5", folder)["edge_share"]
            featlearn("visualize", out + ".h5", "-o", out + ".png", "--force", cwd=folder)
            check(f"edge share, {name}, {what}", share, bar)
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
