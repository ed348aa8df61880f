"""The table of a check of gradients, and its verdict."""

import click
import numpy as np
from click.core import ParameterSource

from featlearn.cli.options import collect
from featlearn.cli.report import Results, Words
from featlearn.cli.store import load_model, load_rows
from featlearn.errors import ConfigError, DataError, show
from featlearn.models import model_class
from featlearn.training.gradcheck import Check, check_gradients, check_model

ROWS = 20  # of a data set, spread over it


def check(
    file: str | None,
    dataset: str | None,
    model: str | None,
    tolerance: float,
    epsilon: float,
    problems: int,
    seed: int,
    options: dict[str, object],
    words: Words,
    results: Results,
) -> None:
    """Print it; exit 1 when a difference exceeds `tolerance`. Raises ConfigError, DataError."""
    if (file is None) == (model is None):
        raise ConfigError("check-gradients: give --model NAME, or MODEL.h5 DATASET.h5; one of them")
    if file is not None:
        if dataset is None:
            raise ConfigError(f"{show(file)}: needs a data set to be checked on; give MODEL.h5 DATASET.h5")
        if _source("problems") is ParameterSource.COMMANDLINE:
            raise ConfigError("--problems: does nothing with a model file; leave it out")
        checks = _of_file(file, dataset, seed, epsilon)
    else:
        cls = model_class(model or "")
        given = [name for name in options if _source(name) is not ParameterSource.DEFAULT]
        config = collect(cls.Config, options) if given else None
        checks = check_gradients(cls, config, problems, seed, epsilon)
    rows = [
        {key: value for key, value in vars(one).items() if key != "variant" or value}
        | {"verdict": "ok" if one.difference <= tolerance else "WRONG"}
        for one in checks
    ]
    results.table("checks", rows)
    wrong = sum(not one.difference <= tolerance for one in checks)
    if wrong:
        words.say(f"{wrong} of {len(checks)} gradients differ by more than {tolerance:g}")
        raise click.exceptions.Exit(1)


def _source(name: str) -> ParameterSource | None:
    return click.get_current_context().get_parameter_source(name)


def _of_file(file: str, dataset: str, seed: int, epsilon: float) -> list[Check]:
    """The check of a model file's parameters on rows of a data set. Raises ConfigError, DataError."""
    learned = load_model(file)
    rows, *_ = load_rows(dataset, like=learned)
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
