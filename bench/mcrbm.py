"""Edges from the covariance units of an mcRBM, its hybrid Monte Carlo, and the control that must show no
edges.

    python bench/mcrbm.py PHOTOS [FOLDER]

12x12 ZCA-whitened patches of photographs, the model's own settings: the share of rejected proposals settles
where it is wanted, most covariance filters are edges, and half of them or more fit a Gabor function with R^2
>= .7. On 1/f Gaussian noise there is nothing but covariance that whitening takes away. Pictures stay in
FOLDER.
"""

import sys
import tempfile
from pathlib import Path

from cli import at_least, at_most, evaluate, featlearn, figure, finish

from featlearn.files.model import read_model

PREPARE = ("--size", 12, "--count", 40_000, "--normalize", "center", "--whiten", "zca", "--drop-flat", 0.2)
LAST = 10  # epochs


def learn(data: str, seed: int, folder: str, *options: object) -> dict[str, float]:
    """Train on FOLDER/data.h5: what `featlearn evaluate` says of it, the seconds and the rejected share at
    the end."""
    out = f"mcrbm-{data}-{seed}"
    train = (
        "train",
        f"{data}.h5",
        "--model",
        "mcrbm",
        *options,
        "--seed",
        seed,
        "-o",
        out + ".h5",
        "--force",
    )
    wall = featlearn(*train, cwd=folder)["wall"]
    featlearn("visualize", out + ".h5", "-o", out + ".png", "--force", cwd=folder)
    history = read_model(str(Path(folder) / (out + ".h5"))).history
    last = {key: float(history[key][-LAST:].mean()) for key in ("rejection", "step_size")}
    return evaluate(out + ".h5", f"{data}.h5", folder) | last | {"wall": wall}


def main(photos: str, folder: str) -> None:
    for source, name in ((photos, "photos"), ("pink-noise", "pink")):
        featlearn("extract-patches", source, "-o", f"{name}.h5", *PREPARE, "--force", cwd=folder)
    for seed in (0, 1):
        row = learn("photos", seed, folder)
        print(f"photos, seed {seed}: step size {row['step_size']:.3g}, free energy {row['free_energy']:.1f}")
        rejection = row["rejection"]
        figure(
            f"rejected proposals, last {LAST} epochs", rejection, "0.07 to 0.13", 0.07 <= rejection <= 0.13
        )
        at_least("edge share of the covariance filters", row["edge_share"], 0.5)
        at_least("median R^2 of a fitted Gabor function", row["gabor_r2"], 0.7)
        at_most("RMSE of E[v | h], 1 without a code", row["rmse"], 0.95)
        at_most("seconds to train", row["wall"], 600)
    row = learn("pink", 0, folder, "--epochs", 15)
    print(f"1/f noise: step size {row['step_size']:.3g}, free energy {row['free_energy']:.1f}")
    at_most("edge share of the covariance filters", row["edge_share"], 0.05)
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
