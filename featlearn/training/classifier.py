"""Training a linear classifier on codes: the strength of its weight decay is chosen on rows held out meanwhile.

Rows held out are always training rows. Many are judged by one sixth of them; of few, where a sixth says little, each is
held out once, and the errors of the six are added (M. Stone, Cross-validatory choice and assessment of statistical
predictions, Journal of the Royal Statistical Society B 36, 1974).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from featlearn.models.base import Array, Gradients, Model
from featlearn.random import Purpose, Random
from featlearn.settings import check, setting
from featlearn.threads import one_blas_thread
from featlearn.training.optim import LBFGS, Decay, Rates

BLOCK = 4096  # rows at a time
FOLDS = 6  # a sixth of the rows is held out at a time
FEW = 5000  # rows: below it each is held out once
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
WINDOW, ENOUGH = 10, 1e-3  # so many iterations that lower the loss by less than this share of it end the training

Labels = npt.NDArray[np.int32]
Block = tuple[Array, Labels, Array | None]


@dataclass(frozen=True)
class ClassifierConfig:
    """How to train the classifier."""

    classifier_decay: float | None = setting(
        None, "L2 weight decay of the classifier  [default: chosen on training rows held out]", low=0
    )
    classifier_iterations: int = setting(100, "L-BFGS iterations of the classifier at most, for each decay", low=1)
    per_class: tuple[int, ...] | None = setting(
        None, "numbers of labelled rows a class to learn from; classifiers that learn from all rows are left out", low=1
    )
    draws: int = setting(10, "times that so many rows are drawn", low=1, high=10_000, needs="per_class")

    def __post_init__(self) -> None:
        check(self)


class Rows(Protocol):
    """Preprocessed data, read by blocks."""

    def __len__(self) -> int: ...
    def block(self, start: int, stop: int) -> Array: ...


class Classifier(Protocol):
    """What can be trained here (models.softmax)."""

    params: dict[str, Array]

    def gradient(self, blocks: Any, total: float) -> Gradients: ...
    def predict(self, H: Array) -> npt.NDArray[np.int64]: ...


class Codes:
    """Codes of rows, or the rows themselves where `model` is None; kept when they take at most `memory` bytes.

    Each unit's mean is taken off, and all are divided by what then is their root mean square: decays mean the same for
    all codes, and L-BFGS gets on. `like`: by the mean and scale of those.
    """

    def __init__(self, model: Model | None, rows: Rows, like: "Codes | None" = None, memory: int = 2**31) -> None:
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
            squares = sum(float(np.square(self.block(*edges) - mean, dtype=np.float64).sum()) for edges in self.edges())
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
        """(start, stop) of blocks."""
        return ((start, min(start + BLOCK, len(self))) for start in range(0, len(self), BLOCK))

    def block(self, start: int, stop: int) -> Array:
        if self._made is not None:
            return self._made[start:stop]
        X = self.rows.block(start, stop)
        H = X if self.model is None else self.model.encode(X)
        return np.asarray((H - self.mean.astype(H.dtype)) / H.dtype.type(self.scale))


def train_classifier(
    classifier: Classifier,
    codes: Codes,
    labels: Labels,
    config: ClassifierConfig,
    advance: Callable[[int], None] = lambda iterations: None,
) -> float:
    """Train on all rows; `labels` (n,) count from 0. -> the weight decay used: that of `config`, or the one chosen."""
    strength = config.classifier_decay
    if strength is None:
        strength = _chosen(classifier, codes, labels, config.classifier_iterations, advance)
    _set(classifier, {name: np.zeros_like(value) for name, value in classifier.params.items()})
    _fit(classifier, codes, labels, strength, config.classifier_iterations, None, advance)
    return strength


def classifier_steps(config: ClassifierConfig, rows: int) -> int:
    """Iterations that train_classifier reports of so many rows, fits that end early counted as if they did not."""
    tried = 0 if config.classifier_decay is not None else len(STRENGTHS) * len(_folds(rows))
    return config.classifier_iterations * (tried + 1)


def _chosen(
    classifier: Classifier, codes: Codes, labels: Labels, iterations: int, advance: Callable[[int], None]
) -> float:
    """The decay of the fewest errors on rows held out, of equals the strongest; tried until the errors rise."""
    folds, best, fewest = _folds(len(codes)), STRENGTHS[0], np.inf
    begin = [_copy(classifier) for _ in folds]
    for tried in STRENGTHS:  # from strong to weak, each beginning where the last ended
        errors = 0.0
        for i, held_out in enumerate(folds):
            counted = (~held_out).astype(classifier.params["W"].dtype)
            _set(classifier, begin[i])
            _fit(classifier, codes, labels, tried, iterations, counted, advance)
            begin[i] = _copy(classifier)
            errors += classification_error(classifier, codes, labels, held_out) * np.count_nonzero(held_out)
        if errors > fewest:
            advance(iterations * len(folds) * (len(STRENGTHS) - 1 - STRENGTHS.index(tried)))
            break
        if errors < fewest:
            best, fewest = tried, errors
    return best


def _folds(n: int) -> list[npt.NDArray[np.bool_]]:
    """Which of n rows are held out, (n,) each time."""
    if n >= FEW:
        return [np.arange(n) % FOLDS == FOLDS - 1]
    places = Random(0).permutation(n, Purpose.SPLIT)  # rows may come class by class
    return [places % FOLDS == k for k in range(min(FOLDS, n))]


def _copy(classifier: Classifier) -> dict[str, Array]:
    return {name: value.copy() for name, value in classifier.params.items()}


def _set(classifier: Classifier, params: dict[str, Array]) -> None:
    for name, value in params.items():
        classifier.params[name][...] = value


def classification_error(
    classifier: Classifier, codes: Codes, labels: Labels, among: npt.NDArray[np.bool_] | None = None
) -> float:
    """Share of rows (or of those `among` them) put into the wrong class."""
    wrong = np.concatenate([classifier.predict(codes.block(a, b)) != labels[a:b] for a, b in codes.edges()])
    return float((wrong if among is None else wrong[among]).mean())


def _fit(
    classifier: Classifier,
    codes: Codes,
    labels: Labels,
    strength: float,
    iterations: int,
    counted: Array | None,
    advance: Callable[[int], None],
) -> None:
    total = float(len(codes) if counted is None else counted.sum())

    def blocks() -> Iterator[Block]:
        for a, b in codes.edges():
            yield codes.block(a, b), labels[a:b], None if counted is None else counted[a:b]

    def evaluate() -> Gradients:
        metrics, grads = classifier.gradient(blocks(), total)
        metrics["loss"] += decay.cost(classifier.params["W"])
        return metrics, grads

    decay, optimizer = Decay(l2=strength), LBFGS()
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        losses: list[float] = []
        while len(losses) < iterations and not optimizer.converged:
            metrics = optimizer.step(classifier.params, evaluate, Rates(1.0, decay=decay, decayed=("W",)))
            losses.append(metrics["loss"])
            advance(1)
            if len(losses) > WINDOW and losses[-1 - WINDOW] - losses[-1] < ENOUGH * losses[-1]:
                break
        advance(iterations - len(losses))
