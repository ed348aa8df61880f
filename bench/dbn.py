"""What a judge says of the digits that a deep belief net makes, which no recipe can say.

    python bench/dbn.py FOLDER

FOLDER is that of `featlearn recipe run dbn`, whose nets are judged: the vote of the 3 nearest of 20,000
digits says of which class a picture is; the spread is the mean distance of two of one class (of digits 8.8).
The control, learned here, has a top by CD-1 at a rate that is too high: one picture for all classes.
"""

import sys
from pathlib import Path

import numpy as np
from cli import at_least, featlearn, figure, finish

from featlearn.analysis.fantasies import begin, fantasies, held
from featlearn.jobs.store import load_model, load_rows

LOWER = "rbm:hidden=500,epochs=10,lr=0.1,lr_schedule=constant,momentum=0.9,initial_momentum=0.5,"
LOWER += "initial_epochs=5,decay=l2,decay_weight=2e-4"
CONTROL = "label-rbm:hidden=2000,persistent=false,sample_data=false,epochs=3,"
CONTROL += "lr=0.1,lr_schedule=constant,momentum=0.9"
EACH, STEPS = 12, 1000


def digits(folder: str, name: str, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rows, dataset, _ = load_rows(str(Path(folder) / name), say=print)
    n = n or len(rows)
    X = np.concatenate([rows.block(i, min(i + 10_000, n)) for i in range(0, n, 10_000)])
    return X, np.array(dataset.labels)[:n]


def judged(folder: str, name: str) -> tuple[float, float]:
    """Draw samples of each class. -> the share that the judge takes for it, the spread within a class"""
    featlearn(
        *("sample", name, "--class", "all", "--count", EACH, "--steps", STEPS, "--force"),
        *("-o", name.replace(".h5", "-judged.png")),
        cwd=folder,
    )
    model = load_model(str(Path(folder) / name)).model
    T = held(model, None, EACH)
    S = fantasies(model, begin(model, None, len(T), 0), STEPS, STEPS, 0, T=T)[-1]
    X, y = digits(folder, "digits.h5", 20_000)
    near = np.argpartition((X**2).sum(axis=1) - 2 * S @ X.T, 3, axis=1)[:, :3]
    votes = np.array([np.bincount(y[row], minlength=10).argmax() for row in near])
    pairs = np.triu_indices(EACH, 1)
    distances = [np.linalg.norm(C[:, None] - C[None], axis=2)[pairs].mean() for C in S.reshape(10, EACH, -1)]
    return float((votes == T.argmax(axis=1)).mean()), float(np.mean(distances))


def main(folder: str) -> None:
    layers = [word for layer in (LOWER, LOWER, CONTROL) for word in ("--layer", layer)]
    run = featlearn(
        *("train", "digits.h5", "--model", "stack", *layers, "-o", "control.h5", "--force"), cwd=folder
    )
    print(f"control.h5: {run['seconds']:.0f} s of training")
    right, spread = judged(folder, "greedy.h5")
    at_least("samples that the judge takes for their class", right, 0.65)
    at_least("mean distance of samples of one class", spread, 6.0)
    right, spread = judged(folder, "up-down.h5")
    print(f"        after up-down: {right:.2f}, {spread:.2f}")
    right, spread = judged(folder, "control.h5")
    figure("control: samples that the judge takes for their class", right, "< 0.2", right < 0.2)
    figure("control: mean distance of samples of one class", spread, "< 1", spread < 1)
    finish()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
