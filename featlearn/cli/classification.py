"""How well a linear classifier tells classes apart by codes, and by the rows themselves."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.cli.report import Words
from featlearn.cli.store import Learned
from featlearn.errors import DataError
from featlearn.files.dataset import Dataset
from featlearn.models.base import Model
from featlearn.models.softmax import Softmax
from featlearn.patches.rows import Rows
from featlearn.training.classifier import (
    ClassifierConfig,
    Codes,
    classification_error,
    classifier_steps,
    train_classifier,
)


@dataclass(frozen=True)
class Labelled:
    """Preprocessed rows and the class of each."""

    rows: Rows
    labels: npt.NDArray[Any]


@dataclass
class RawErrors:
    """Errors on rows without a model, by the bytes of the preprocessing that made them."""

    known: dict[tuple[bytes, ...], float] = field(default_factory=dict)


def refuse_other_classes(test: Dataset, train: Dataset) -> None:
    """What a classifier cannot learn from `train` for `test`. Raises DataError."""
    if train.label_names is not None and test.label_names is not None and train.label_names != test.label_names:
        raise DataError(
            f"{train.path}: its labels have other names than those of {test.path}; extract both from folders alike"
        )
    labels = np.asarray(train.labels)
    if (labels == labels[0]).all():
        raise DataError(f"{train.path}: all its rows have one label, so there is nothing to tell apart")


def classify(
    learned: Learned, train: Labelled, test: Labelled, config: ClassifierConfig, words: Words, raw: RawErrors
) -> dict[str, Any]:
    """Errors on `test` of classifiers trained on `train`, and the weight decay of that of codes."""
    classes, y = np.unique(train.labels, return_inverse=True)
    wanted = _positions(test.labels, classes)
    key = tuple(np.asarray(value).tobytes() for value in learned.preprocess.to_dict().values())
    found: dict[str, Any] = {}
    with words.progress(classifier_steps(config) * (1 if key in raw.known else 2), "iterations") as progress:

        def error(model: Model | None) -> tuple[float, float]:
            codes = Codes(model, train.rows)
            softmax = Softmax(codes.width, len(classes), learned.model.dtype)
            decay = train_classifier(softmax, codes, y.astype(np.int32), config, progress.advance)
            return classification_error(softmax, Codes(model, test.rows, codes), wanted), decay

        found["classifier_error"], found["classifier_decay"] = error(learned.model)
        if key not in raw.known:
            raw.known[key] = error(None)[0]
    return found | {"raw_error": raw.known[key]}


def _positions(labels: npt.NDArray[Any], classes: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Of each label in the sorted classes; -1 where it is none of them."""
    places = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    return np.where(classes[places] == labels, places, -1).astype(np.int32)
