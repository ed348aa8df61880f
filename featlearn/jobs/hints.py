"""Which commands fit what has just been done."""

import os

from featlearn.patches.preprocess import Preprocess

FULL = 255  # up to which 8-bit pixels go; integers are divided by it when they are read, floats are not


def as_argument(path: str) -> str:
    """Return the path so that it is not taken for an option."""
    return os.path.join(os.curdir, path) if path.startswith("-") else path


def to_train(path: str, preprocess: Preprocess, pairs: bool = False) -> list[str]:
    """Return the command that learns from a data set, with a model that it suits, or its preprocessing."""
    if pairs:
        return ["train", as_argument(path), "--model", "gated-rbm"]
    if as_bytes(preprocess):
        return ["train", as_argument(path), "--model", "rbm", "--data-scale", f"{FULL}"]
    return ["train", as_argument(path), "--model", _suited(preprocess)]


def as_bytes(preprocess: Preprocess) -> bool:
    """Whether values are floats in the range of 8-bit pixels."""
    return preprocess.low >= 0 and preprocess.high == FULL


def _suited(preprocess: Preprocess) -> str:
    """Return the model for which such data are usually made.

    What is mapped to a range is made for units with one; pixels in 0..1 are probabilities of binary units.
    """
    spec = preprocess.spec
    if spec.to is not None:
        return "sparse-autoencoder" if spec.to[0] >= 0 and spec.to[1] <= 1 else "sesm"
    return "rbm" if preprocess.low >= 0 and preprocess.high <= 1 else "k-sparse"


def to_measure(model: str, path: str) -> list[list[str]]:
    """Return the commands that measure a model on a data set made like its own, and encode that."""
    model, path = as_argument(model), as_argument(path)
    return [["evaluate", model, path], ["encode", model, path, "-o", "codes.h5"]]
