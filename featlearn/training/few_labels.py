"""How a linear classifier does with few labels: errors over random draws of so many labelled rows a class.

The draws follow from the seed and the labels alone, so that all codes of a data set are learned from the same rows, and
a draw of few rows a class is part of the same draw of more.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from featlearn.models.base import Array, Model
from featlearn.random import Purpose, Random
from featlearn.training.classifier import (
    BLOCK,
    Classifier,
    ClassifierConfig,
    Codes,
    Labels,
    classification_error,
    train_classifier,
)


class Rows(Protocol):
    """Preprocessed data, by blocks or by row."""

    def __len__(self) -> int: ...
    def block(self, start: int, stop: int) -> Array: ...
    def take(self, index: npt.NDArray[np.integer[Any]]) -> Array: ...


class Encoded:
    """Codes of rows as they are, themselves rows; kept when they take at most `memory` bytes, else made when asked."""

    def __init__(self, model: Model, rows: Rows, memory: int = 2**31) -> None:
        self.model, self.rows = model, rows
        self._made: Array | None = None
        first = model.encode(rows.block(0, 1))
        if len(rows) * first.nbytes <= memory:
            self._made = np.concatenate([self.block(i, min(i + BLOCK, len(rows))) for i in range(0, len(rows), BLOCK)])

    def __len__(self) -> int:
        return len(self.rows)

    def block(self, start: int, stop: int) -> Array:
        return self.model.encode(self.rows.block(start, stop)) if self._made is None else self._made[start:stop]

    def take(self, index: npt.NDArray[np.integer[Any]]) -> Array:
        return self.model.encode(self.rows.take(index)) if self._made is None else np.take(self._made, index, axis=0)


class Drawn:
    """Some of the rows, in the order of `index` (n,)."""

    def __init__(self, rows: Rows, index: npt.NDArray[np.int64]) -> None:
        self.rows, self.index = rows, index

    def __len__(self) -> int:
        return len(self.index)

    def block(self, start: int, stop: int) -> Array:
        return self.rows.take(self.index[start:stop])


def drawn_rows(labels: Labels, per_class: int, seed: int, draw: int) -> npt.NDArray[np.int64]:
    """(classes * per_class,) the first so many rows of each class in the draw's random order, and in that order."""
    order = Random(seed).permutation(len(labels), Purpose.LABELS, draw)
    of_class = [np.flatnonzero(labels[order] == k)[:per_class] for k in range(int(labels.max()) + 1)]
    return order[np.sort(np.concatenate(of_class))]


def errors_per_class(
    make: Callable[[int, int, npt.DTypeLike], Classifier],
    train: tuple[Rows, Labels],
    test: tuple[Rows, Labels],
    config: ClassifierConfig,
    seed: int,
    advance: Callable[[int], None] = lambda fits: None,
) -> npt.NDArray[np.float64]:
    """(numbers of rows, draws) share of `test` that is put into the wrong class, after learning so many rows a class.

    `make` makes a classifier of so many features and classes. Labels count from 0 in `train`; a label -1 of `test` is
    no class of `train`. `advance` hears of each classifier.
    """
    classes, per_class = int(train[1].max()) + 1, config.per_class or ()
    errors = np.empty((len(per_class), config.draws))
    for i, number in enumerate(per_class):
        for draw in range(config.draws):
            index = drawn_rows(train[1], number, seed, draw)
            codes = Codes(None, Drawn(train[0], index))
            classifier = make(codes.width, classes, codes.block(0, 1).dtype)
            train_classifier(classifier, codes, train[1][index], config)
            errors[i, draw] = classification_error(classifier, Codes(None, test[0], codes, memory=0), test[1])
            advance(1)
    return errors
