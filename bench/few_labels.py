"""Few labels: a deep belief net learned without labels, fine-tuned, beside the same net from random weights.

    python bench/few_labels.py MNIST-FOLDER [FOLDER]

784-500-500, two RBMs learned from the 60,000 training digits without their labels, then softmax on top and
backpropagation from 100, 1000 and 3000 digits with labels: means and standard deviations over 5 draws, the
same ones for all nets, of errors on the test set. One command each: without dropout, with dropout of .2 of
the inputs and .5 of the hidden units, with max-norm, too, and with pseudo-labels, where the nets also learn
from all 60,000 digits without their labels. Files stay in FOLDER; those that are there are taken as they are.
About an hour of one core, and two more for the pseudo-labels.

Beside each figure stands that of a prototype (Adam, the same draws for all nets, but other draws than these;
pseudo-labels one draw).
"""

import math
import os
import sys
import tempfile
from pathlib import Path

from cli import at_least, at_most, featlearn, finish

NUMBERS = (10, 100, 300)
NETS = ("classifier", "raw", "finetuned", "random_sigmoid", "random_relu")
RBM = ("--model", "rbm", "--hidden", 500, "--epochs", 10, "--lr", 0.1, "--lr-schedule", "constant")
RBM += ("--momentum", 0.9, "--initial-momentum", 0.5, "--initial-epochs", 5)
RBM += ("--decay", "l2", "--decay-weight", 2e-4, "--batch-size", 100)
DROPOUT = ("--input-dropout", 0.2, "--hidden-dropout", 0.5)
WAYS = {
    "plain": (),
    "dropout": DROPOUT,
    "max-norm": (*DROPOUT, "--max-norm", 3.5),
    "pseudo-labels": ("--pseudo-labels",),
}
PROTOTYPE = {  # by way and net: errors in per cent of 100, 1000 and 3000 digits
    ("plain", "finetuned"): (19.85, 7.65, 5.42),
    ("dropout", "finetuned"): (19.45, 7.18, 4.99),
    ("plain", "random_sigmoid"): (23.72, 10.08, 7.94),
    ("max-norm", "random_relu"): (22.93, 7.38, 4.55),
    ("pseudo-labels", "finetuned"): (16.87, 6.33, math.nan),
    ("pseudo-labels", "random_relu"): (math.nan, 6.71, math.nan),
}


def make(folder: str, name: str, *command: object) -> None:
    """Run a command whose output is not there yet."""
    if not (Path(folder) / name).exists():
        featlearn(*command, "-o", name, cwd=folder)


def main(mnist: str, folder: str) -> None:
    for part, name in (("train", "train.h5"), ("t10k", "test.h5")):
        images, labels = (
            os.path.join(mnist, f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
        )
        make(folder, name, "extract-patches", images, "--labels", labels)
    make(folder, "lower.h5", "train", "train.h5", *RBM, "--seed", 10)
    make(folder, "codes.h5", "encode", "lower.h5", "train.h5")
    make(folder, "upper.h5", "train", "codes.h5", *RBM, "--seed", 20)
    make(folder, "dbn.h5", "stack", "lower.h5", "upper.h5")
    for number in NUMBERS:
        found = {way: errors(folder, number, options) for way, options in WAYS.items()}
        dbn, relu = found["max-norm"]["finetuned"], found["max-norm"]["random_relu"]
        plain, pseudo = (found[way]["finetuned"] for way in ("dropout", "pseudo-labels"))
        sigmoid = found["max-norm"]["random_sigmoid"]
        if number == 10:
            at_most("100 labels: error of the DBN with dropout and max-norm, %", dbn, 22)
            at_least("100 labels: random ReLU - DBN, both with these", relu - dbn, 1.5)
        if number == 100:
            at_most("1000 labels: error of the DBN with dropout and max-norm, %", dbn, 8)
            at_least("1000 labels: random sigmoid - DBN, both with these", sigmoid - dbn, 1.5)
        at_least(f"{10 * number} labels: what pseudo-labels save beside dropout", plain - pseudo, 0)
    finish()


def errors(folder: str, number: int, options: tuple[object, ...]) -> dict[str, float]:
    """Print what one command says of so many digits a class. -> errors in per cent, by the kind of net"""
    way = next(name for name, given in WAYS.items() if given == options)
    line = ("evaluate", "dbn.h5", "test.h5", "--train", "train.h5", "--per-class", number, "--draws", 5)
    line += ("--finetune", "--random", "sigmoid,relu", "--classifier-decay", 0.01, "--threads", 1, *options)
    row = featlearn(*line, cwd=folder)["models"][0]
    found = {}
    for net in NETS:
        error, spread = (100 * row[f"{net}_{what}_{number}"] for what in ("error", "spread"))
        known = PROTOTYPE.get((way, net))
        beside = f"   prototype {known[NUMBERS.index(number)]:.2f}" if known else ""
        print(
            f"{10 * number:5d} labels, {way:13s} {net:15s} {error:6.2f} +- {spread:.2f}{beside}", flush=True
        )
        found[net] = error
    return found


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
