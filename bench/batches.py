"""Whether large minibatches, which many ranks need, learn as well as small ones in as many epochs.

    python bench/batches.py MNIST-FOLDER [EPOCHS]

An RBM of 500 hidden units and a k-sparse autoencoder (1000, k = 25) learn from the 60,000 digits of MNIST in
batches of 100 by the default rate, of 1024 and 4096 by that rate times the root of the batch's growth, which
is reached in 60 and 75 updates. Error of softmax regression on the codes of the test digits, in %; wanted: at
most .3 more than by the small batches.
"""

import sys
import tempfile
from pathlib import Path

from cli import at_most, featlearn, finish

MODELS = {
    "RBM": ("--model", "rbm", "--hidden", 500),
    "k-sparse": ("--model", "k-sparse", "--hidden", 1000, "--k", 25),
}
BATCHES: dict[str, dict[str, tuple[object, ...]]] = {
    "RBM": {
        "100": (),
        "1024": ("--batch-size", 1024, "--lr", 0.29, "--warm-up", 60),
        "4096": ("--batch-size", 4096, "--lr", 0.58, "--warm-up", 75),
        "4096, centered": ("--batch-size", 4096, "--lr", 0.58, "--warm-up", 75, "--centered"),
    },
    "k-sparse": {
        "100": (),
        "1024": ("--batch-size", 1024, "--lr", 1.6, "--warm-up", 60),
        "4096": ("--batch-size", 4096, "--lr", 3.2, "--warm-up", 75),
    },
}


def extracted(folder: str, kind: str, name: str, *more: object) -> None:
    """Make a data set of MNIST's files of a kind, train or t10k."""
    images, labels = (next(Path(folder).glob(f"{kind}-{what}-*")) for what in ("images", "labels"))
    featlearn("extract-patches", images.resolve(), "--labels", labels.resolve(), *more, "-o", name, cwd=work)


def main(folder: str, epochs: int) -> None:
    extracted(folder, "train", "digits.h5")
    extracted(folder, "t10k", "test.h5", "--like", "digits.h5")
    for model, batches in BATCHES.items():
        files = {batch: f"{model}-{i}.h5" for i, batch in enumerate(batches)}
        for batch, settings in batches.items():
            line = (*MODELS[model], *settings, "--epochs", epochs, "-o", files[batch])
            featlearn("train", "digits.h5", *line, cwd=work)
        found = featlearn("evaluate", *files.values(), "test.h5", "--train", "digits.h5", cwd=work)["models"]
        errors = {batch: 100 * row["classifier_error"] for batch, row in zip(batches, found, strict=True)}
        for batch, row in zip(batches, found, strict=True):
            what = f"{model}, batch {batch}: error in % (RMSE {row['rmse']:.4f})"
            at_most(what, errors[batch], errors["100"] + 0.3)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    work = tempfile.mkdtemp()
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20)
    finish()
