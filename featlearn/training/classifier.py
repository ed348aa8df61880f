"""Training a linear classifier on codes: the strength of its weight decay is chosen on rows held out
meanwhile.

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

from featlearn.models.base import Gradients, Model
from featlearn.ops.softmax import Labels, Softmax
from featlearn.rows import KEPT, Array, Rows, edges
from featlearn.settings import check, setting
from featlearn.threads import one_blas_thread
from featlearn.training.optim import LBFGS, Decay, UpdateSettings

FOLDS = 6  # a sixth of the rows is held out at a time
FEW = 5000  # rows: below it each is held out once
RUN = 200  # rows of a class that are held out or learned from together, where there are as many
SPAN, HALVINGS = 8, 10  # scales of the weights from 2^-8 to 2^8, found to a hundredth
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
WINDOW, ENOUGH = (
    10,
    1e-3,
)  # so many iterations that lower the loss by less than this share of it end the training

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
        "numbers of labelled rows a class to learn from; classifiers that learn from all rows are left out",
        low=1,
    )
    draws: int = setting(10, "times that so many rows are drawn", low=1, high=10_000, needs="per_class")

    def __post_init__(self) -> None:
        check(self)
        if self.per_class is not None:  # the same number once more says nothing new
            object.__setattr__(self, "per_class", tuple(dict.fromkeys(self.per_class)))


class Codes:
    """Codes of rows, or the rows themselves where `model` is None; kept when they take at most `memory`
    bytes.

    Each unit's mean is taken off, and all are divided by what then is their root mean square: decays mean the
    same for all codes, and L-BFGS gets on. `like`: by the mean and scale of those.
    """

    def __init__(
        self, model: Model | None, rows: Rows, like: "Codes | None" = None, memory: int = KEPT
    ) -> None:
        self.model, self.rows = model, rows
        self._made: Array | None = None
        self.mean, self.scale = np.zeros(1), 1.0
        first = self.block(0, 1)
        self.width, self.mean = first.shape[1], np.zeros(first.shape[1], first.dtype)
        if len(rows) * self.width * first.itemsize <= memory:
            self._made = np.concatenate([self.block(*edges) for edges in self.edges()])
        if like is None:
            total = sum(self.block(*edges).sum(axis=0, dtype=np.float64) for edges in self.edges())
            mean = (total / len(rows)).astype(first.dtype)
            squares = sum(
                float(np.square(self.block(*edges) - mean, dtype=np.float64).sum()) for edges in self.edges()
            )
            scale = float(np.sqrt(squares / (len(rows) * self.width))) or 1.0
        else:
            mean, scale = like.mean, like.scale
        self.mean, self.scale = mean, scale
        if self._made is not None:
            self._made -= mean
            self._made /= self._made.dtype.type(scale)

    def __len__(self) -> int:
        return len(self.rows)

    def edges(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of blocks."""
        return edges(len(self))

    def block(self, start: int, stop: int) -> Array:
        if self._made is not None:
            return self._made[start:stop]
        X = self.rows.block(start, stop)
        H = X if self.model is None else self.model.encode(X)
        return np.asarray((H - self.mean.astype(H.dtype)) / H.dtype.type(self.scale))


def train_classifier(
    classifier: Softmax,
    codes: Codes,
    labels: Labels,
    config: ClassifierConfig,
    advance: Callable[[int], None] = lambda iterations: None,
) -> float:
    """Train on all rows; `labels` (n,) count from 0. -> the weight decay used: that of `config`, or the one
    chosen."""
    strength = config.classifier_decay
    if strength is None:
        strength = _chosen(classifier, codes, labels, config.classifier_iterations, advance)
    _set(classifier, {name: np.zeros_like(value) for name, value in classifier.params.items()})
    _fit(classifier, codes, labels, strength, config.classifier_iterations, None, advance)
    return strength


def classifier_steps(config: ClassifierConfig, labels: Labels) -> int:
    """Iterations that train_classifier reports of such labels, fits that end early counted as if they did
    not."""
    tried = 0 if config.classifier_decay is not None else len(STRENGTHS) * len(_folds(labels))
    return config.classifier_iterations * (tried + 1)


def _chosen(
    classifier: Softmax, codes: Codes, labels: Labels, iterations: int, advance: Callable[[int], None]
) -> float:
    """The decay of the least loss on rows held out; tried until the loss rises."""
    folds, best, least = _folds(labels), STRENGTHS[0], np.inf
    begin = [_copy(classifier) for _ in folds]
    for tried in STRENGTHS:  # from strong to weak, each beginning where the last ended
        scores = []
        for i, held_out in enumerate(folds):
            _set(classifier, begin[i])
            _fit(classifier, codes, labels, tried, iterations, ~held_out, advance)
            begin[i] = _copy(classifier)
            scores += [classifier.scores(codes.block(a, b)[held_out[a:b]]) for a, b in codes.edges()]
        loss = _loss_at_best_scale(
            np.concatenate(scores), np.concatenate([labels[held_out] for held_out in folds])
        )
        if loss > least:
            advance(iterations * len(folds) * (len(STRENGTHS) - 1 - STRENGTHS.index(tried)))
            break
        if loss < least:
            best, least = tried, loss
    return best


def _loss_at_best_scale(scores: Array, labels: Labels) -> float:
    """The least, over scales t, of the mean of -log p(y) with p = softmax(t scores), scores (n, classes)."""
    S = scores.astype(np.float64)
    own = S[np.arange(len(S)), labels].copy()
    top = S.max(axis=1)
    low, high, loss = -float(SPAN), float(SPAN), np.inf
    for _ in range(HALVINGS):  # the loss is convex in t
        t = 2 ** ((low + high) / 2)
        P = np.exp(t * (S - top[:, None]))
        total = P.sum(axis=1)
        loss = float(np.mean(t * (top - own) + np.log(total)))
        slope = float(np.mean((P * S).sum(axis=1) / total - own))
        low, high = (low, (low + high) / 2) if slope > 0 else ((low + high) / 2, high)
    return loss


def _folds(labels: Labels) -> list[npt.NDArray[np.bool_]]:
    """Which rows are held out, (n,) each time: every sixth run of each class, with another class another one."""
    fold = np.empty(len(labels), np.int64)
    for k in np.unique(labels):
        of_class = np.flatnonzero(labels == k)
        n = len(of_class)
        runs = FOLDS * max(1, n // (FOLDS * RUN))
        fold[of_class] = (np.arange(n) * runs // n + k) % FOLDS
    if len(labels) >= FEW:
        return [fold == FOLDS - 1]
    return [fold == i for i in range(FOLDS) if (fold == i).any()]


def _copy(classifier: Softmax) -> dict[str, Array]:
    return {name: value.copy() for name, value in classifier.params.items()}


def _set(classifier: Softmax, params: dict[str, Array]) -> None:
    for name, value in params.items():
        classifier.params[name][...] = value


def classification_error(classifier: Softmax, codes: Codes, labels: Labels) -> float:
    """Share of rows put into the wrong class."""
    wrong = np.concatenate([classifier.predict(codes.block(a, b)) != labels[a:b] for a, b in codes.edges()])
    return float(wrong.mean())


def _fit(
    classifier: Softmax,
    codes: Codes,
    labels: Labels,
    strength: float,
    iterations: int,
    among: Mask | None,
    advance: Callable[[int], None],
) -> None:
    """Descend on the loss over the rows `among` them, or over all."""
    total = float(len(codes) if among is None else np.count_nonzero(among))

    def blocks() -> Iterator[Block]:
        for a, b in codes.edges():
            H = codes.block(a, b)
            yield H, labels[a:b], None if among is None else among[a:b].astype(H.dtype)

    def evaluate() -> Gradients:
        metrics, grads = classifier.gradient(blocks(), total)
        metrics["loss"] += sum(decay.cost(classifier.params[name]) for name in classifier.weights)
        return metrics, grads

    decay, optimizer = Decay(l2=strength), LBFGS()
    settings = UpdateSettings(1.0, decay=decay, decayed=classifier.weights)
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        losses: list[float] = []
        while len(losses) < iterations and not optimizer.converged:
            metrics = optimizer.step(classifier.params, evaluate, settings)
            losses.append(metrics["loss"])
            advance(1)
            if len(losses) > WINDOW and losses[-1 - WINDOW] - losses[-1] < ENOUGH * losses[-1]:
                break
        advance(iterations - len(losses))
