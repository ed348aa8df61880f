"""The lecture's sparse autoencoder by every optimiser of all rows: the cost that is reached, and when.

    python bench/second_order.py NATURAL-IMAGES-FOLDER [FOLDER [ROWS]]

10,000 patches 8x8 of Olshausen's whitened images (IMAGES.mat), 25 hidden units, 3289 parameters: L-BFGS and
conjugate gradient 400 iterations, Hessian-free 40, Newton 20, whose Hessian is 3289 products with all rows at
each step (some minutes in all; with ROWS 1000 a tenth). One thread each.
"""

import os
import sys
import tempfile

import h5py
from cli import at_most, featlearn, finish

LECTURE = (
    "--model",
    "sparse-autoencoder",
    "--loss-scale",
    1,
    "--hidden",
    25,
    "--sparsity-target",
    0.01,
    "--sparsity-weight",
    3,
)
EPOCHS = {"lbfgs": 400, "cg": 400, "hessian-free": 40, "newton": 20}
NEAR = 1.02  # times the cost of L-BFGS


def main(images: str, folder: str, rows: int) -> None:
    cut = ("--size", 8, "--count", rows, "--normalize", "center", "--clip", 3, "--to", "0.1,0.9", "--force")
    featlearn("extract-patches", os.path.join(images, "IMAGES.mat"), *cut, "-o", "patches.h5", cwd=folder)
    costs: dict[str, list[float]] = {}
    print(f"{'optimizer':<14}{'iterations':>11}{'seconds':>9}{'J':>9}{'within 2 % after':>18}")
    for name, epochs in EPOCHS.items():
        options = ("--optimizer", name, "--epochs", epochs, "--threads", 1, "--force", "-o", f"{name}.h5")
        run = featlearn("train", "patches.h5", *LECTURE, *options, cwd=folder)
        with h5py.File(os.path.join(folder, f"{name}.h5")) as file:
            costs[name] = [float(loss) for loss in file["history"]["loss"][()]]
        near = [i for i, loss in enumerate(costs[name], 1) if loss <= NEAR * costs["lbfgs"][-1]]
        when = f"{near[0] / len(costs[name]) * run['seconds']:.1f} s" if near else "never"
        figures = f"{len(costs[name]):>11}{run['seconds']:>9.1f}{costs[name][-1]:>9.4f}{when:>18}"
        print(f"{name:<14}{figures}", flush=True)
    for name in ("hessian-free", "newton"):
        at_most(f"{name}: J over that of L-BFGS", costs[name][-1] / costs["lbfgs"][-1], NEAR)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    place = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
    main(sys.argv[1], place, int(sys.argv[3]) if len(sys.argv) > 3 else 10_000)
    finish()
