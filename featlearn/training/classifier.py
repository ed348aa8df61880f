"""Training a linear classifier on codes, with a weight decay chosen on rows held out meanwhile.

The decay is taken whose classifier has the least loss on rows held out, at the best scale of its weights:
decay makes weights small, which costs loss but no errors (the scale is the temperature of C. Guo, G. Pleiss,
Y. Sun, K. Weinberger, On calibration of modern neural networks, ICML 2017). The errors are too few to choose
by: of 10,000 rows held out, ten more or less are chance.

Rows held out are always training rows. Neighbours may be alike (digits by one hand, patches of one image),
and a classifier knows a row whose neighbours it has learned, so runs of rows are held out, not single ones.
They are runs within each class, for data may come class by class. Many rows are judged by one sixth of them;
of few, where a sixth says little, each is held out once (M. Stone, Cross-validatory choice and assessment of
statistical predictions, Journal of the Royal Statistical Society B 36, 1974).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featlearn.models.base import Gradients
from featlearn.ops.softmax import Labels, Softmax
from featlearn.rows import KEPT, Array, Rows, blocks, edges
from featlearn.settings import check, setting
from featlearn.threads import one_blas_thread
from featlearn.training.optim import LBFGS, Decay, UpdateSettings

FOLDS = 6  # a sixth of the rows is held out at a time
FEW = 5000  # rows: below it each is held out once
RUN = 200  # rows of a class that are held out or learned from together, where there are as many
SPAN, HALVINGS = 8, 10  # scales of the weights from 2^-8 to 2^8, found to a hundredth
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
WINDOW = 10  # iterations over which the fall of the loss is judged
ENOUGH = 1e-3  # share of the loss: the training ends where it falls by less

Mask = npt.NDArray[np.bool_]
Block = tuple[Array, Labels, Array | None]


@dataclass(frozen=True)
class ClassifierConfig:
    """The settings of the classifier."""

    classifier_decay: float | None = setting(
        None, "L2 weight decay of the classifier  [default: chosen on training rows held out]", low=0
    )
    classifier_iterations: int = setting(
        100, "L-BFGS iterations of the classifier at most, for each decay", low=1
    )
    per_class: tuple[int, ...] | None = setting(
        None,
        "numbers of labelled rows per class to learn from; classifiers that learn from all rows are left out",
        low=1,
    )
    draws: int = setting(10, "number of random draws of these rows", low=1, high=10_000, needs="per_class")

    def __post_init__(self) -> None:
        check(self)
        if self.per_class is not None:  # the same number once more says nothing new
            object.__setattr__(self, "per_class", tuple(dict.fromkeys(self.per_class)))


class Standardized:
    """Rows, such as codes, of comparable size; kept when they take at most `memory` bytes.

    Each column's mean is taken off, and all are divided by what then is their root mean square: decays mean
    the same for all codes, and L-BFGS gets on. `like`: by the mean and scale of those.
    """

    def __init__(self, rows: Rows, like: "Standardized | None" = None, memory: int = KEPT) -> None:
        self.rows = rows
        self._made: Array | None = None
        first = rows.block(0, 1)
        self.width, self.dtype = first.shape[1], first.dtype
        self.mean: Array = self._mean() if like is None else like.mean
        self.scale: float = 1.0 if like is None else like.scale
        if like is None:
            squares = sum(float(np.square(X - self.mean, dtype=np.float64).sum()) for X in blocks(rows))
            self.scale = float(np.sqrt(squares / (len(rows) * self.width))) or 1.0
        if len(rows) * self.width * first.itemsize <= memory:
            self._made = np.concatenate([self.block(*ends) for ends in self.edges()])

    def _mean(self) -> Array:
        total = sum(X.sum(axis=0, dtype=np.float64) for X in blocks(self.rows))
        return np.asarray(total / len(self.rows), self.dtype)

    def __len__(self) -> int:
        return len(self.rows)

    def edges(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of blocks."""
        return edges(len(self))

    def block(self, start: int, stop: int) -> Array:
        if self._made is not None:
            return self._made[start:stop]
        H = self.rows.block(start, stop)
        return np.asarray((H - self.mean.astype(H.dtype)) / H.dtype.type(self.scale))


def train_classifier(
    codes: Standardized,
    labels: Labels,
    classes: int,
    config: ClassifierConfig,
    advance: Callable[[int], None] = lambda iterations: None,
) -> tuple[Softmax, float]:
    """Return a classifier that has learned all rows, and its weight decay: `config`'s, or the one chosen.

    `labels` (n,) count from 0 to `classes` - 1.
    """
    strength, iterations = config.classifier_decay, config.classifier_iterations
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        if strength is None:
            strength = _chosen(codes, labels, classes, iterations, advance)
        classifier = Softmax(codes.width, classes, codes.dtype)
        _fit(classifier, codes, labels, strength, iterations, None, advance)
    return classifier, strength


def classifier_steps(config: ClassifierConfig) -> int:
    """Return the iterations that train_classifier reports; a fit that ends early counts in full."""
    tried = 0 if config.classifier_decay is not None else len(STRENGTHS)
    return config.classifier_iterations * (tried + 1)


def _chosen(
    codes: Standardized, labels: Labels, classes: int, iterations: int, advance: Callable[[int], None]
) -> float:
    """Return the decay of the least loss on rows held out; they are tried until the loss rises.

    One classifier for each part that is held out, all side by side.
    """
    held_out = np.stack(_folds(labels), axis=1)
    folds = Softmax(codes.width, classes, codes.dtype, held_out.shape[1])
    best, least = STRENGTHS[0], np.inf
    for i, tried in enumerate(STRENGTHS):  # from strong to weak, each beginning where the last ended
        _fit(folds, codes, labels, tried, iterations, ~held_out, advance)
        scores = np.concatenate([folds.scores(codes.block(a, b)) for a, b in codes.edges()])
        scores = scores.reshape(len(labels), -1, classes)[held_out]
        loss = _loss_at_best_scale(scores, np.repeat(labels, held_out.sum(axis=1)))
        if loss > least:
            advance(iterations * (len(STRENGTHS) - 1 - i))
            break
        if loss < least:
            best, least = tried, loss
    return best


def _loss_at_best_scale(scores: Array, labels: Labels) -> float:
    """The least, over scales t, of the mean of -log p(y) with p = softmax(t scores), scores (n, classes)."""
    S = scores.astype(np.float64)
    own = S[np.arange(len(S)), labels].copy()
    top = S.max(axis=1)
    low = -float(SPAN)
    high = float(SPAN)
    loss = np.inf
    for _ in range(HALVINGS):  # the loss is convex in t
        t = 2 ** ((low + high) / 2)
        P = np.exp(t * (S - top[:, None]))
        total = P.sum(axis=1)
        loss = float(np.mean(t * (top - own) + np.log(total)))
        slope = float(np.mean((P * S).sum(axis=1) / total - own))
        low, high = (low, (low + high) / 2) if slope > 0 else ((low + high) / 2, high)
    return loss


def _folds(labels: Labels) -> list[npt.NDArray[np.bool_]]:
    """Yield which rows are held out, (n,) each time: every sixth run of each class, begun anew by class."""
    fold = np.empty(len(labels), np.int64)
    for k in np.unique(labels):
        of_class = np.flatnonzero(labels == k)
        n = len(of_class)
        runs = FOLDS * max(1, n // (FOLDS * RUN))
        fold[of_class] = (np.arange(n) * runs // n + k) % FOLDS
    if len(labels) >= FEW:
        return [fold == FOLDS - 1]
    return [fold == i for i in range(FOLDS) if (fold == i).any()]


def classification_error(classifier: Softmax, codes: Standardized, labels: Labels) -> float:
    """Share of rows put into the wrong class."""
    wrong = np.concatenate([classifier.predict(codes.block(a, b)) != labels[a:b] for a, b in codes.edges()])
    return float(wrong.mean())


def _fit(
    classifier: Softmax,
    codes: Standardized,
    labels: Labels,
    strength: float,
    iterations: int,
    among: Mask | None,
    advance: Callable[[int], None],
) -> None:
    """Descend on the loss from where the classifier is, over the rows `among` (n, count), or over all."""
    total = len(codes) if among is None else np.count_nonzero(among, axis=0)
    decay, optimizer = Decay(l2=strength), LBFGS()

    def blocks() -> Iterator[Block]:
        for a, b in codes.edges():
            H = codes.block(a, b)
            yield H, labels[a:b], None if among is None else among[a:b].astype(H.dtype)

    def evaluate() -> Gradients:
        metrics, grads = classifier.gradient(blocks(), total)
        metrics["loss"] += sum(decay.cost(classifier.params[name]) for name in classifier.weights)
        return metrics, grads

    settings = UpdateSettings(1.0, decay=decay, decayed=classifier.weights)
    losses: list[float] = []
    while len(losses) < iterations and not optimizer.converged:
        metrics = optimizer.step(classifier.params, evaluate, settings)
        losses.append(metrics["loss"])
        advance(1)
        if len(losses) > WINDOW and losses[-1 - WINDOW] - losses[-1] < ENOUGH * losses[-1]:
            break
    advance(iterations - len(losses))
