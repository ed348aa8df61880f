"""A check of a model's gradients, and its verdict."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.errors import ConfigError, DataError, show
from featlearn.jobs.callbacks import Say, log
from featlearn.jobs.classes import known_classes
from featlearn.jobs.results import Result
from featlearn.jobs.settings import GradientCheck
from featlearn.jobs.store import load_model, load_rows
from featlearn.models import model_class
from featlearn.rows import Labelled, Rows
from featlearn.training.gradcheck import Check, check_model
from featlearn.training.gradcheck import check_gradients as checks_of

ROWS = 20  # of a data set, spread over it


@dataclass(frozen=True)
class Checked(Result):
    """One check a loss and parameter, and how many of them are wrong."""

    checks: tuple[Check, ...]
    tolerance: float

    @property
    def wrong(self) -> int:
        return sum(not one.difference <= self.tolerance for one in self.checks)

    def report(self) -> dict[str, Any]:
        """Return the checks as plain values, each with its verdict."""
        return {"checks": [self._row(one) for one in self.checks]}

    def _row(self, one: Check) -> dict[str, Any]:
        row = {key: value for key, value in vars(one).items() if key != "variant" or value}
        return row | {"verdict": "ok" if one.difference <= self.tolerance else "WRONG"}


def check_gradients(
    file: str | None = None,
    dataset: str | None = None,
    *,
    model: str | None = None,
    config: Any = None,
    check: GradientCheck | None = None,
    given: Collection[str] = (),
    say: Say = log,
) -> Checked:
    """Hold a model's gradients against central differences, in float64.

    A `model` by its id is checked on random problems, in all its variants where `config` is None; a model
    file on rows of a data set. Raises ConfigError, DataError.
    """
    check = check or GradientCheck()
    if (file is None) == (model is None):
        raise ConfigError("check-gradients: give --model NAME, or MODEL.h5 DATASET.h5; one of them")
    if file is None:
        cls = model_class(model or "")
        found = checks_of(cls, config, check.problems, check.seed, check.epsilon)
    elif dataset is None:
        raise ConfigError(f"{show(file)}: needs a data set to be checked on; give MODEL.h5 DATASET.h5")
    elif "problems" in given:
        raise ConfigError("--problems: does nothing with a model file; leave it out")
    else:
        found = _of_file(file, dataset, check.seed, check.epsilon, say)
    return Checked(tuple(found), check.tolerance)


def _of_file(file: str, dataset: str, seed: int, epsilon: float, say: Say) -> list[Check]:
    """The check of a model file's parameters on rows of a data set. Raises ConfigError, DataError."""
    learned = load_model(file)
    rows: Rows
    rows, data, _ = load_rows(dataset, like=learned, say=say)
    if learned.model.labelled:
        rows = Labelled(rows, known_classes(data, learned), len(learned.file.classes or ()))
    X = rows.take(np.unique(np.linspace(0, len(rows) - 1, ROWS).astype(int))).astype(np.float64)
    model = type(learned.model)(learned.model.config, np.float64)
    model.params = {name: value.astype(np.float64) for name, value in learned.model.params.items()}
    model.state = {
        name: value.astype(np.float64) if value.dtype.kind == "f" else value
        for name, value in learned.model.state.items()
    }
    try:
        return check_model(model, X, seed, epsilon)
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{show(file)}: /state is not what a {model.id} model keeps there; train it again"
        ) from error
