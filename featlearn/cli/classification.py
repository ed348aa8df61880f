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
    """Preprocessed rows and the data set that they and their labels come from."""

    rows: Rows
    dataset: Dataset


@dataclass
class RawErrors:
    """Errors on rows without a model, by the bytes of the preprocessing that made them."""

    known: dict[tuple[bytes, ...], float] = field(default_factory=dict)


def classify(
    learned: Learned, train: Labelled, test: Labelled, config: ClassifierConfig, words: Words, raw: RawErrors
) -> dict[str, Any]:
    """Errors on `test` of classifiers trained on `train`, and the weight decay of that of codes. Raises DataError."""
    classes, y = np.unique(np.asarray(train.dataset.labels), return_inverse=True)
    names, other = train.dataset.label_names, test.dataset.label_names
    if names is not None and other is not None and names != other:
        raise DataError("--train: its labels have other names than those of the data set; extract both the same way")
    if len(classes) < 2:
        raise DataError("--train: all its rows have one label, there is nothing to tell apart")
    wanted = _positions(np.asarray(test.dataset.labels), classes)
    key = tuple(np.asarray(value).tobytes() for value in learned.preprocess.to_dict().values())
    found: dict[str, Any] = {}
    with words.progress(classifier_steps(config) * (1 if key in raw.known else 2), "iterations") as progress:

        def error(model: Model | None) -> tuple[float, float]:
            codes = Codes(model, train.rows)
            softmax = Softmax(codes.width, len(classes), learned.model.dtype)
            decay = train_classifier(softmax, codes, y.astype(np.int32), config, progress.advance)
            return classification_error(softmax, Codes(model, test.rows, codes.scale), wanted), decay

        found["classifier_error"], found["classifier_decay"] = error(learned.model)
        if key not in raw.known:
            raw.known[key] = error(None)[0]
    return found | {"raw_error": raw.known[key]}


def _positions(labels: npt.NDArray[Any], classes: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Of each label in the sorted classes; -1 where it is none of them."""
    places = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    return np.where(classes[places] == labels, places, -1).astype(np.int32)
