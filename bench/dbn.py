"""A deep belief net with the classes in its top as a generative model of MNIST, and as a classifier.

    python bench/dbn.py MNIST-FOLDER [FOLDER]

784-500-(500+10)-2000, learned greedily (the top by persistent chains), then fine-tuned by the up-down
algorithm: errors of the likeliest class by free energy, and pictures made of each class by 1000 Gibbs steps
of the top from noise. A judge, the vote of the 3 nearest of 20,000 digits, says what class they are; their
spread is the mean distance of two of one class (of digits 8.8). The control is a top learned by CD-1 at a
rate that is too high: one picture for all classes. Published: 2.49 % before, 1.25 % after fine-tuning (G.
Hinton, S. Osindero, Y. Teh 2006). Files and pictures stay in FOLDER; about 25 minutes on two cores.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from cli import at_least, at_most, featlearn, figure, finish

from featlearn.analysis.fantasies import begin, fantasies, held
from featlearn.jobs.store import load_model, load_rows

LOWER = "rbm:hidden=500,epochs=10,lr=0.1,lr_schedule=constant,momentum=0.9,initial_momentum=0.5,"
LOWER += "initial_epochs=5,decay=l2,decay_weight=2e-4"
TOP = "label-rbm:hidden=2000,lr=0.05,epochs=30"
CONTROL = "label-rbm:hidden=2000,persistent=false,sample_data=false,epochs=3,"
CONTROL += "lr=0.1,lr_schedule=constant,momentum=0.9"
EACH, STEPS = 12, 1000


def digits(folder: str, name: str, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rows, dataset, _ = load_rows(str(Path(folder) / name))
    n = n or len(rows)
    X = np.concatenate([rows.block(i, min(i + 10_000, n)) for i in range(0, n, 10_000)])
    return X, np.array(dataset.labels)[:n]


def error(folder: str, name: str, data: str) -> float:
    """Return how many rows are put into the wrong class, in per cent."""
    model = load_model(str(Path(folder) / name)).model
    X, y = digits(folder, data)
    wrong = [
        model.probabilities(X[i : i + 5000]).argmax(axis=1) != y[i : i + 5000] for i in range(0, len(X), 5000)
    ]
    return 100 * float(np.concatenate(wrong).mean())


def judged(folder: str, name: str) -> tuple[float, float]:
    """Draw samples of each class. -> the share that the judge takes for it, the spread within a class"""
    featlearn(
        *("sample", name, "--class", "all", "--count", EACH, "--steps", STEPS, "--force"),
        *("-o", name.replace(".h5", ".png")),
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


def main(mnist: str, folder: str) -> None:
    for part, name in (("train", "digits.h5"), ("t10k", "test.h5")):
        images, labels = (
            os.path.join(mnist, f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
        )
        featlearn("extract-patches", images, "--labels", labels, "-o", name, "--force", cwd=folder)
    for name, top in (("dbn.h5", TOP), ("control.h5", CONTROL)):
        layers = [word for layer in (LOWER, LOWER, top) for word in ("--layer", layer)]
        run = featlearn("train", "digits.h5", "--model", "stack", *layers, "-o", name, "--force", cwd=folder)
        print(f"{name}: {run['seconds']:.0f} s of training")
    run = featlearn(
        *("finetune", "dbn.h5", "digits.h5", "--up-down", "--epochs", 10, "--lr", 0.1, "--force"),
        *("-o", "updown.h5"),
        cwd=folder,
    )
    print(f"updown.h5: {run['seconds']:.0f} s of fine-tuning")
    at_most("greedy: test error in %", error(folder, "dbn.h5", "test.h5"), 8.0)
    at_most("after up-down: test error in %", error(folder, "updown.h5", "test.h5"), 3.0)
    right, spread = judged(folder, "dbn.h5")
    at_least("samples that the judge takes for their class", right, 0.65)
    at_least("mean distance of samples of one class", spread, 6.0)
    right, spread = judged(folder, "updown.h5")
    print(f"        after up-down: {right:.2f}, {spread:.2f}")
    right, spread = judged(folder, "control.h5")
    figure("control: samples that the judge takes for their class", right, "< 0.2", right < 0.2)
    figure("control: mean distance of samples of one class", spread, "< 1", spread < 1)
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
