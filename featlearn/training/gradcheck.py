"""Gradients held against central differences, parameter by parameter, on small random problems in float64."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.errors import ConfigError
from featlearn.models.base import Array, DataSummary, Loss, Model, Step
from featlearn.random import Purpose, Random

ROWS, VISIBLE = 7, 6
STEP = 4e-3  # of the differences: their error is of its sixth power
SMOOTH = 1e-6  # differences of two widths that disagree by more straddle a kink, where there is no derivative
TRIES = 50


@dataclass(frozen=True)
class Check:
    """How far one parameter's gradient lies from its differences: |g - d| / (|g| + |d|), the worst of the problems."""

    variant: str
    loss: str
    parameter: str
    difference: float


def check_gradients(cls: type[Model], config: Any | None = None, problems: int = 3, seed: int = 0) -> list[Check]:
    """Check every loss of a model: of `config`, or of all the model's variants. Raises ConfigError.

    A problem is ROWS random rows in 0..1 of VISIBLE values, and random parameters.
    """
    configs = cls.variants() if config is None else {"": config}
    found = []
    for variant, settings in configs.items():
        resolved = _resolve(cls, settings)
        for name in cls(resolved, np.float64).losses():
            worst: dict[str, float] = {}
            for problem in range(problems):
                for parameter, difference in _smooth_problem(cls, resolved, name, seed + problem).items():
                    worst[parameter] = max(worst.get(parameter, 0.0), difference)
            found += [Check(variant, name, parameter, difference) for parameter, difference in worst.items()]
    if not found:
        raise ConfigError(f"--model {cls.id}: has no loss that is descended, so there are no gradients to check")
    return found


def _resolve(cls: type[Model], config: Any) -> Any:
    try:
        return cls.resolve(config, DataSummary(VISIBLE, 0.0, 1.0))
    except ConfigError:
        return cls.resolve(config, DataSummary(VISIBLE, -math.inf, math.inf))


def _smooth_problem(cls: type[Model], config: Any, name: str, seed: int) -> dict[str, float]:
    """The differences of a random problem that has a derivative, by parameter. Raises ConfigError if none is found."""
    for attempt in range(TRIES):
        rng, model = Random(seed * TRIES + attempt), cls(config, np.float64)
        X = rng.uniform(ROWS * VISIBLE, Purpose.STEP).reshape(ROWS, VISIBLE)
        model.init(VISIBLE, rng, X.mean(axis=0))
        for i, w in enumerate(model.params.values()):
            w += 0.5 * rng.normal(w.shape, np.float64, Purpose.CHAIN, i)
        model.project()
        loss, step = model.losses()[name], Step(1, seed)
        _, grads = loss(X, step)
        found = {}
        for parameter in grads:
            w = model.params[parameter]
            wide, narrow = (_differences(loss, X, step, w, width) for width in (STEP, STEP / 2))
            if _distance(wide, narrow) > SMOOTH:
                break
            found[parameter] = _distance(grads[parameter], (16 * narrow - wide) / 15)  # Richardson
        else:
            return found
    raise ConfigError(f"--model {cls.id}: {name} has no derivative at any of {TRIES} random places")


def _differences(loss: Loss, X: Array, step: Step, w: Array, width: float) -> Array:
    """The derivative of the loss by each element of w, from four values about it."""
    out = np.empty_like(w)
    for i in np.ndindex(*w.shape):
        kept, values = w[i], []
        for k in (-2, -1, 1, 2):
            w[i] = kept + k * width
            values.append(loss(X, step)[0]["loss"])
        w[i] = kept
        out[i] = (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * width)
    return out


def _distance(a: Array, b: Array) -> float:
    """|a - b| / (|a| + |b|); 0 for two zeros."""
    total = float(np.linalg.norm(a) + np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / total if total > 0 else 0.0
