"""Which of the readers' advice makes edges of the blog's noise: sparsity in three forms, biases, an identity.

    python bench/sparsity.py PHOTOS [FOLDER]

12x12 ZCA-whitened photographs, 144 hidden units, learning rate .1 falling to 0, 20 epochs. Goh's mean
activations are those of the codes of all patches, each unit's over the patches and each patch's over the
units; its patches have equal contrast, without which no code could be equally active on all. Pictures stay in
FOLDER.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from cli import at_least, at_most, evaluate, featlearn, figure, finish

from featlearn.jobs.store import load_model, load_rows

PREPARE = ("--size", 12, "--count", 40_000, "--whiten", "zca", "--drop-flat", 0.2)
TRAIN = ("--model", "rbm", "--hidden", 144, "--lr", 0.1, "--lr-schedule", "linear", "--epochs", 20)
RAMP = ("--initial-epochs", 5)  # without a target, .1 diverges at full momentum
GOH = ("--sparsity-method", "goh", "--sample-visible", "--sparsity-target")


def learn(name: str, folder: str, *options: object, data: str = "center") -> dict[str, float]:
    featlearn("train", f"{data}.h5", *TRAIN, *options, "-o", f"{name}.h5", "--force", cwd=folder)
    featlearn("visualize", f"{name}.h5", "-o", f"{name}.png", "--force", cwd=folder)
    return evaluate(f"{name}.h5", f"{data}.h5", folder)


def activations(name: str, folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean activation of each unit over the patches, and of each patch over the units."""
    model = load_model(str(Path(folder) / f"{name}.h5"))
    rows, _, _ = load_rows(str(Path(folder) / "contrast.h5"), like=model, say=print)
    H = model.model.encode(rows.block(0, len(rows)))
    return H.mean(axis=0, dtype=float), H.mean(axis=1, dtype=float)


def main(photos: str, folder: str) -> None:
    for how in ("center", "contrast"):
        options = (*PREPARE, "--normalize", how, "-o", f"{how}.h5", "--force")
        featlearn("extract-patches", photos, *options, cwd=folder)
    for name, options, data in (
        ("hinton", ("--sparsity-target", 0.02), "center"),
        ("lee", ("--sparsity-method", "lee", "--sparsity-target", 0.02), "center"),
        ("goh-center", (*GOH, 0.05), "center"),
        ("goh-0.05", (*GOH, 0.05), "contrast"),
    ):
        at_least(f"edge share, {name}", learn(name, folder, *options, data=data)["edge_share"], 0.7)
    share = learn("goh-0.1", folder, *GOH, 0.1, data="contrast")["edge_share"]
    print(f"        edge share at mu .1: {share:.2f}")
    for mu in (0.05, 0.1):
        for what, means in zip(("unit", "patch"), activations(f"goh-{mu}", folder), strict=True):
            off = np.abs(means / mu - 1)
            text = f"Goh, mu {mu}: |mean activation / mu - 1|, median {what}"
            figure(text, float(np.median(off)), "<= .2", bool(np.median(off) <= 0.2))
            print(f"        {np.mean(off <= 0.2):.0%} of the {what} means lie within 20 %")
    for name, options in (
        ("bias-1", ("--hidden-bias", -1, *RAMP)),
        ("bias-4", ("--hidden-bias", -4, *RAMP)),
        ("identity", ("--init", "identity", *RAMP, "--lr", 0.03)),
        ("identity-bias-4", ("--init", "identity", "--hidden-bias", -4, *RAMP, "--lr", 0.03)),
    ):
        at_most(f"edge share without a target, {name}", learn(name, folder, *options)["edge_share"], 0.1)
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
