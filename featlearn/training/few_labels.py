"""Errors with few labels: over random draws of so many labelled rows a class.

The draws follow from the seed and the labels alone, so that all codes of a data set are learned from the same
rows, and a draw of few rows a class is part of the same draw of more.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from featlearn import ranks
from featlearn.ops.softmax import Labels
from featlearn.random import Purpose, Random
from featlearn.rows import Float64, Index, Rows, Selected
from featlearn.training.classifier import (
    ClassifierConfig,
    Standardized,
    classification_error,
    train_classifier,
)


def drawn_rows(labels: Labels, per_class: int, seed: int, draw: int) -> npt.NDArray[np.int64]:
    """Return (classes * per_class,) the first so many rows of each class in the draw's random order."""
    order = Random(seed).permutation(len(labels), Purpose.LABELS, draw)
    of_class = [np.flatnonzero(labels[order] == k)[:per_class] for k in range(int(labels.max()) + 1)]
    return order[np.sort(np.concatenate(of_class))]


def over_draws(
    labels: Labels,
    config: ClassifierConfig,
    seed: int,
    error: Callable[[Index, int], float],
    advance: Callable[[int], None] = lambda draws: None,
) -> Float64:
    """Return (numbers of rows, draws) the `error` of what learns the rows of a draw.

    It is called with the rows' indices and the number of the draw. `advance` hears of each draw. Ranks share
    the draws out.
    """
    per_class = config.per_class or ()

    def made(i: int) -> float:
        number, draw = per_class[i // config.draws], i % config.draws
        return error(drawn_rows(labels, number, seed, draw), draw)

    found = np.empty((len(per_class), config.draws))
    for i, value in enumerate(ranks.shared_out(made, found.size)):
        found.flat[i] = value
        advance(1)
    return found


def errors_per_class(
    train: tuple[Rows, Labels],
    test: tuple[Rows, Labels],
    config: ClassifierConfig,
    seed: int,
    advance: Callable[[int], None] = lambda fits: None,
) -> Float64:
    """Return (numbers of rows, draws) the share of `test` that a linear classifier puts into the wrong class.

    It is learned from so many rows a class.

    Labels count from 0 in `train`; a label -1 of `test` is
    no class of `train`. `advance` hears of each classifier.
    """
    classes = int(train[1].max()) + 1

    def error(index: Index, draw: int) -> float:
        codes = Standardized(Selected(train[0], index))
        classifier, _ = train_classifier(codes, train[1][index], classes, config)
        return classification_error(classifier, Standardized(test[0], codes, memory=0), test[1])

    return over_draws(train[1], config, seed, error, advance)
