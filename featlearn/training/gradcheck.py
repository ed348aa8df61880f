"""Gradients held against central differences in float64.

They are of small random problems, or at a model's own parameters.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.errors import ConfigError
from featlearn.models.base import DataSummary, Gradients, Model, Step
from featlearn.random import Purpose, Random
from featlearn.rows import Array

ROWS, VISIBLE, CLASSES = 7, 6, 4
VARIANCE = 2.5  # as if of the rows: what is divided by it must be so in the gradient, too
STEP = 4e-3  # of the differences: their error is of its sixth power
SMOOTH = 1e-6  # differences of two widths that disagree by more straddle a kink, where there is no derivative
ROUNDING = 1e-14  # of a loss, as a share of it
ELEMENTS = 100  # of a parameter that are checked
TRIES = 50


@dataclass(frozen=True)
class Check:
    """The distance of one parameter's gradient from its differences, |g - d| / (|g| + |d|), at its worst.

    `elements` of the parameter are checked: at most ELEMENTS a problem, and none that lies at a kink.
    `two_sided` is the distance from the plain quotient (J(w + epsilon) - J(w - epsilon)) / (2 epsilon), as in
    A. Ng's CS294A lecture notes: beside the gradient's own error it has one of the square of epsilon.
    """

    variant: str
    loss: str
    parameter: str
    elements: int
    difference: float
    two_sided: float


def check_gradients(
    cls: type[Model], config: Any | None = None, problems: int = 3, seed: int = 0, epsilon: float = STEP
) -> list[Check]:
    """Check every loss of a model: of `config`, or of all the model's variants. Raises ConfigError.

    A problem is ROWS random rows in 0..1 of VISIBLE values, and random parameters.
    """
    if cls.layered():
        _refuse_without_losses(cls)
    configs = cls.variants() if config is None else {"": config}
    found = []
    for variant, settings in configs.items():
        resolved = _resolve(cls, settings)
        for name in cls(resolved, np.float64).losses():
            checks = [_random_problem(cls, resolved, name, seed + i, epsilon) for i in range(problems)]
            for parameter in checks[0]:
                counts, ours, plain = zip(*(check[parameter] for check in checks), strict=True)
                found.append(Check(variant, name, parameter, sum(counts), max(ours), max(plain)))
    return found or _refuse_without_losses(cls)


def check_model(model: Model, X: Array, seed: int = 0, epsilon: float = STEP) -> list[Check]:
    """Check every loss of a float64 model at its parameters, on rows X (n, visible). Raises ConfigError."""
    found = []
    for name in model.losses():
        for parameter, check in _check(model, name, X, seed, epsilon).items():
            found.append(Check("", name, parameter, *check))
    return found or _refuse_without_losses(type(model))


def _refuse_without_losses(cls: type[Model]) -> list[Check]:
    if cls.layered():
        raise ConfigError(f"--model {cls.id}: its layers learn one by one; check the model of each")
    raise ConfigError(f"--model {cls.id}: has no loss that is descended, so there are no gradients to check")


def _resolve(cls: type[Model], config: Any) -> Any:
    classes = (getattr(config, "classes", None) or CLASSES) if cls.labelled else None
    try:
        return cls.resolve(config, DataSummary(VISIBLE, 0.0, 1.0, variance=VARIANCE, classes=classes))
    except ConfigError:
        unbounded = DataSummary(VISIBLE, -math.inf, math.inf, variance=VARIANCE, classes=classes)
        return cls.resolve(config, unbounded)


def _random_problem(
    cls: type[Model], config: Any, name: str, seed: int, epsilon: float
) -> dict[str, tuple[int, float, float]]:
    """The check of a random problem, drawn anew while it lies at too many kinks. Raises ConfigError."""
    for attempt in range(TRIES):
        rng, model = Random(seed * TRIES + attempt), cls(config, np.float64)
        X = rng.uniform(ROWS * VISIBLE, Purpose.STEP).reshape(ROWS, VISIBLE)
        model.init(VISIBLE, rng, X.mean(axis=0))
        if cls.labelled:
            X = np.hstack([X, np.eye(config.classes)[np.arange(ROWS) % config.classes]])
        for i, w in enumerate(model.params.values()):
            w += 0.5 * rng.normal(w.shape, np.float64, Purpose.CHAIN, i)
        model.project()
        try:
            return _check(model, name, X, seed, epsilon)
        except ConfigError as error:
            found = error
    raise found


def _check(
    model: Model, name: str, X: Array, seed: int, epsilon: float
) -> dict[str, tuple[int, float, float]]:
    """By parameter, how many elements were checked, their distance, and that of the two-sided quotients.

    Raises ConfigError at too many kinks.
    """
    loss = model.losses()[name]
    step = Step(1, seed)
    state = copy.deepcopy(model.state)

    def at_params() -> Gradients:
        model.state = copy.deepcopy(state)  # that of a minibatch is not that of the next
        return loss(X, step)

    metrics, grads = at_params()
    noise = ROUNDING * abs(metrics["loss"]) / epsilon
    found = {}
    for i, parameter in enumerate(name for name in model.params if name in grads):  # the order of a file
        w, grad = model.params[parameter], grads[parameter]
        chosen = np.unravel_index(Random(seed).permutation(w.size, Purpose.CHAIN, i)[:ELEMENTS], w.shape)
        wide, narrow, kink, plain = np.empty((4, len(chosen[0])))
        for j, element in enumerate(zip(*chosen, strict=True)):
            values, kept = {}, w[element]
            for k in (-4, -2, -1, 1, 2, 4):
                w[element] = kept + k * epsilon / 2
                values[k] = at_params()[0]["loss"]
            w[element] = kept
            wide[j] = (8 * (values[2] - values[-2]) - (values[4] - values[-4])) / (12 * epsilon)
            narrow[j] = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (6 * epsilon)
            plain[j] = (values[2] - values[-2]) / (2 * epsilon)
            even = {k: values[k] + values[-k] - 2 * metrics["loss"] for k in (1, 2, 4)}
            kink[j] = (64 * even[1] - 20 * even[2] + even[4]) / (14 * epsilon)  # 0 but for the sixth power
        # differences of both widths agree, too, where slopes change at the element's own value
        spread = np.maximum(np.abs(wide - narrow), np.abs(kink))
        smooth = spread <= SMOOTH * (np.abs(narrow) + np.median(np.abs(narrow))) + 10 * noise
        if 2 * smooth.sum() < len(smooth):
            raise ConfigError(
                f"{name} has no derivative by most of {parameter} within {epsilon:g}: lower --epsilon, e.g. "
                f"--epsilon {epsilon / 10:g}"
            )
        differences = (16 * narrow - wide) / 15  # Richardson
        own = grad[chosen][smooth]
        distances = _distance(own, differences[smooth]), _distance(own, plain[smooth])
        found[parameter] = int(smooth.sum()), *distances
    model.state = state
    return found


def _distance(a: Array, b: Array) -> float:
    """|a - b| / (|a| + |b|); 0 for two zeros."""
    total = float(np.linalg.norm(a) + np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / total if total > 0 else 0.0
