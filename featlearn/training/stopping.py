"""Reasons to end a run before its last epoch: it diverges, or learns no more."""

import math
import statistics
from collections.abc import Callable, Mapping

import numpy as np

from featlearn.rows import Array
from featlearn.training import schedules
from featlearn.training.config import TrainConfig
from featlearn.training.progress import Progress

SMALLEST = 1e-6  # errors below it are rounding: rows that are reproduced at once begin with them
FIRST = 20  # updates of a phase whose errors later ones are compared with
LARGEST = 1e3  # a parameter beyond it, and beyond ten times what it began with, has diverged
FAR = 10  # times what the error began with
STUCK = 1.1  # times the error of the mean row; beyond it nothing has been learned
ALIKE = (
    1e-3  # a unit whose codes of all rows lie within this share of the largest code does not tell rows apart
)


def diverged_metrics(at: Progress, metrics: Mapping[str, float]) -> str:
    """Say which metric of an update is no number, or that the error is ten times that of the first updates.

    "" where all is well; so with all of these. What only tells classes has no such error: the share of a few
    rows that it puts into the wrong class is chance.
    """
    for key, value in metrics.items():
        if not math.isfinite(value):
            return f"{key} is {value:g}"
    if "error" not in metrics:
        return ""
    error = metrics["error"]
    if len(at.first_errors) < FIRST:
        at.first_errors.append(error)
    start = max(statistics.median(at.first_errors), SMALLEST)
    return _far(at, error) if error > FAR * start else ""


def diverged_params(params: Mapping[str, Array], limits: Mapping[str, float]) -> str:
    """Say which parameter has a value beyond its limit, or one that is no number."""
    for name, w in params.items():
        if not largest(w) <= limits[name]:
            return f"largest value of {name} is {largest(w):.3g}"
    return ""


def diverged_error(at: Progress, error: float, deviation: float, telling_units: Callable[[], int]) -> str:
    """Say whether an epoch ends with an error far above that of the mean row, `deviation`.

    Where most units are stuck, any error above that of the mean row is too large.

    The first updates can lose the weights, and with them what later errors are compared with. And bounded
    outputs and codes keep the error small while all is saturated.
    """
    if not error > STUCK * deviation:
        return ""
    if error > FAR * max(at.first_errors[0], deviation, SMALLEST):
        return _far(at, error)
    left = telling_units()
    if left < at.telling / 2:
        words = f"{at.telling - left} of {at.telling} units answer all rows alike"
        return f"{words}, error {error:.3g} (of the mean row: {deviation:.3g})"
    return ""


def diverged_loss(loss: float, chance: float) -> str:
    """Say whether an epoch ends with a loss of classes far above that of their shares alone, `chance`."""
    if not loss > FAR * chance:
        return ""
    return f"loss {loss:.3g} (of the classes' shares: {chance:.3g})"


def _far(at: Progress, error: float) -> str:
    return f"error {error:.3g} (began at {at.first_errors[0]:.3g})"


def telling_units(H: Array) -> int:
    """Return the number of units whose codes H (n, units) differ from one row to another."""
    return int(np.count_nonzero(np.ptp(H, axis=0) > ALIKE * largest(H)))


def reason_to_stop(at: Progress, config: TrainConfig, loss: float, since_best: int, comparable: bool) -> str:
    """Say why a phase should end after this epoch, "" if it should not; the adaptive rate follows the loss.

    `since_best` epochs have passed since the least validation error. Of losses that are not `comparable` this
    one and the one before are of two functions.
    """
    last, at.last_loss = at.last_loss, loss
    if not comparable:
        last = None
    if config.lr_schedule == "adaptive" and last is not None:
        at.rate *= schedules.adaptation(last, loss)
    if config.patience is not None and since_best >= config.patience:
        return f"the validation error has not fallen for {config.patience} epochs"
    if config.tolerance is not None and last is not None and last - loss < config.tolerance * abs(last):
        return f"an epoch lowered the loss by less than {config.tolerance:g} of it"
    return ""


def largest(w: Array) -> float:
    """Return the largest magnitude in an array, 0 of an empty one."""
    return float(np.abs(w).max(initial=0.0))
