"""How well a linear classifier tells classes apart by codes, and by the rows themselves."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.errors import DataError, show
from featlearn.files.dataset import Dataset
from featlearn.jobs.callbacks import Progress
from featlearn.jobs.store import LoadedModel
from featlearn.rows import Encoded, Float64, Rows
from featlearn.training.classifier import (
    ClassifierConfig,
    Standardized,
    classification_error,
    classifier_steps,
    train_classifier,
)
from featlearn.training.few_labels import errors_per_class


@dataclass(frozen=True)
class Labelled:
    """The codes of preprocessed rows, and the class of each."""

    codes: Encoded
    labels: npt.NDArray[Any]


@dataclass
class RawErrors:
    """Errors on rows without a model, as keys of the table, by the bytes of their preprocessing."""

    known: dict[tuple[tuple[str, bytes], ...], dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """The rows that are learned and those they are tried on.

    Labels of `train` count from 0; those of `test` do so, too, or are -1.
    """

    train: Labelled
    test: Labelled
    classes: int
    config: ClassifierConfig
    seed: int

    @classmethod
    def of(cls, train: Labelled, test: Labelled, config: ClassifierConfig, seed: int) -> "Task":
        """With the labels as they are in the files."""
        classes, y = np.unique(train.labels, return_inverse=True)
        train = Labelled(train.codes, y.astype(np.int32))
        test = Labelled(test.codes, _positions(test.labels, classes))
        return cls(train, test, len(classes), config, seed)


def refuse_other_classes(test: Dataset, train: Dataset) -> None:
    """What a classifier cannot learn from `train` for `test`. Raises DataError."""
    if (
        train.label_names is not None
        and test.label_names is not None
        and train.label_names != test.label_names
    ):
        raise DataError(
            f"{train.path}: its labels have other names than those of {test.path}; "
            "extract both from folders alike"
        )
    labels = np.asarray(train.labels)
    if (labels == labels[0]).all():
        raise DataError(f"{train.path}: all its rows have one label, so there is nothing to tell apart")


def refuse_too_few(train: Dataset, per_class: tuple[int, ...]) -> None:
    """Classes with fewer rows than are to be drawn. Raises DataError."""
    wanted = max(per_class, default=0)
    for label, found in zip(*np.unique(np.asarray(train.labels), return_counts=True), strict=True):
        if found < wanted:
            name = str(label) if train.label_names is None else repr(train.label_names[label])
            raise DataError(
                f"{show(train.path)}: class {name} has {found} rows, --per-class wants {wanted}; "
                "ask for fewer"
            )


def preprocess_key(learned: LoadedModel) -> tuple[tuple[str, bytes], ...]:
    """Return what made a model's rows, by name and bytes: equal for equal preprocessing."""
    values = learned.preprocess.to_dict()
    return tuple((name, np.asarray(value).tobytes()) for name, value in values.items())


def classify(learned: LoadedModel, task: Task, progress: Progress, raw: RawErrors) -> dict[str, float]:
    """Errors of classifiers of codes and of the rows themselves, as keys of the table."""
    measure = _by_labels if task.config.per_class else _by_all
    key = preprocess_key(learned)
    train, test = task.train.codes, task.test.codes
    found = measure("classifier", train, test, task, progress)
    if key not in raw.known:
        raw.known[key] = measure("raw", train.rows, test.rows, task, progress)
    return found | raw.known[key]


def _by_all(what: str, train: Rows, test: Rows, task: Task, progress: Progress) -> dict[str, float]:
    """After learning all rows: the error and, of codes, the weight decay."""
    learned = Standardized(train)
    with progress(classifier_steps(task.config), "iterations") as bar:
        softmax, decay = train_classifier(learned, task.train.labels, task.classes, task.config, bar.advance)
    error = classification_error(softmax, Standardized(test, learned, memory=0), task.test.labels)
    return {f"{what}_error": error} | ({f"{what}_decay": decay} if what == "classifier" else {})


def _by_labels(what: str, train: Rows, test: Rows, task: Task, progress: Progress) -> dict[str, float]:
    """After learning so many rows a class: means and standard deviations over the draws."""
    per_class = task.config.per_class or ()
    with progress(len(per_class) * task.config.draws, "classifiers") as bar:
        learned, tried = (train, task.train.labels), (test, task.test.labels)
        errors = errors_per_class(learned, tried, task.config, task.seed, bar.advance)
    return means_and_spreads(what, errors, task.config)


def means_and_spreads(what: str, errors: Float64, config: ClassifierConfig) -> dict[str, float]:
    """Return means and standard deviations of errors (numbers of rows, draws), as keys of the table."""
    found = {}
    for number, row in zip(config.per_class or (), errors, strict=True):
        found[f"{what}_error_{number}"] = float(row.mean())
        found[f"{what}_spread_{number}"] = float(row.std(ddof=1)) if len(row) > 1 else 0.0
    return found


def _positions(labels: npt.NDArray[Any], classes: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Of each label in the sorted classes; -1 where it is none of them."""
    places = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    return np.where(classes[places] == labels, places, -1).astype(np.int32)
