"""The lecture's sparse autoencoder by every optimiser of all rows: the cost reached, and for how much.

    python bench/second_order.py NATURAL-IMAGES-FOLDER [FOLDER [ROWS]]

10,000 patches 8x8 of Olshausen's whitened images (IMAGES.mat), 25 hidden units, 3289 parameters: L-BFGS and
conjugate gradient 400 iterations, Hessian-free and Newton 40 (some minutes in all; with ROWS 1000 less than
one). One thread each; seconds are those of the processor, which other programs change little.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from typing import Any

import h5py
from cli import at_most, featlearn, finish

from featlearn import train
from featlearn.models.sparse_autoencoder import SparseAutoencoder
from featlearn.ops.curvature import ChainCurvature

LECTURE = {
    "model": "sparse-autoencoder",
    "loss_scale": 1,
    "hidden": 25,
    "sparsity_target": 0.01,
    "sparsity_weight": 3,
}
EPOCHS = {"lbfgs": 400, "cg": 400, "hessian-free": 40, "newton": 40}
NEAR = 1.02  # times the cost of L-BFGS
calls: Counter[str] = Counter()


def count(cls: type[Any], method: str) -> None:
    """Count the calls of a method."""
    whole = getattr(cls, method)

    def counted(*args: Any) -> Any:
        calls[method] += 1
        return whole(*args)

    setattr(cls, method, counted)


def main(images: str, folder: str, rows: int) -> None:
    cut = ("--size", 8, "--count", rows, "--normalize", "center", "--clip", 3, "--to", "0.1,0.9", "--force")
    featlearn("extract-patches", os.path.join(images, "IMAGES.mat"), *cut, "-o", "patches.h5", cwd=folder)
    count(SparseAutoencoder, "gradient")
    count(ChainCurvature, "__call__")
    count(ChainCurvature, "hessian")
    costs: dict[str, list[float]] = {}
    print(
        f"{'optimizer':<14}{'iterations':>11}{'gradients':>10}{'products':>9}{'Hessians':>9}"
        f"{'seconds':>9}{'J':>9}{'to L-BFGS':>11}{'within 2 % after':>18}"
    )
    for name, epochs in EPOCHS.items():
        calls.clear()
        model, started = os.path.join(folder, f"{name}.h5"), time.process_time()
        train(
            os.path.join(folder, "patches.h5"),
            **LECTURE,
            output=model,
            optimizer=name,
            epochs=epochs,
            threads=1,
            force=True,
        )
        seconds = time.process_time() - started
        with h5py.File(model) as file:
            costs[name] = [float(loss) for loss in file["history"]["loss"][()]]
        reached, aim = costs[name], costs["lbfgs"][-1]
        near = [i for i, loss in enumerate(reached, 1) if loss <= NEAR * aim]
        when = f"{near[0]}: {near[0] / len(reached) * seconds:.1f} s" if near else "never"
        print(
            f"{name:<14}{len(reached):>11}{calls['gradient']:>10}{calls['__call__']:>9}{calls['hessian']:>9}"
            f"{seconds:>9.1f}{reached[-1]:>9.4f}{reached[-1] / aim - 1:>+11.1%}{when:>18}",
            flush=True,
        )
    for name in ("hessian-free", "newton"):
        at_most(f"{name}: J over that of L-BFGS", costs[name][-1] / costs["lbfgs"][-1], NEAR)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    place = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
    main(sys.argv[1], place, int(sys.argv[3]) if len(sys.argv) > 3 else 10_000)
    finish()
