"""A loss as a function of one vector: that of all parameters."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from featlearn.models.base import Gradients
from featlearn.rows import Array
from featlearn.training.optim.base import UpdateSettings


@dataclass(frozen=True)
class Point:
    """A place where the loss was evaluated; x in float64 as it is in the parameters' precision."""

    x: Array
    loss: float
    gradient: Array
    metrics: dict[str, float]


class Loss:
    """Loss and gradient of all parameters as one vector, and the points where it was `seen`."""

    def __init__(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], settings: UpdateSettings
    ) -> None:
        self.params = params
        self.evaluate = evaluate
        self.settings = settings
        self.seen: list[Point] = []

    def at(self, x: Array) -> Point:
        set_params(self.params, x)
        metrics, grads = self.evaluate()
        parts = [grads[name] + self.settings.decay_of(name).l2 * w for name, w in self.params.items()]
        value = metrics["loss"] if math.isfinite(metrics["loss"]) else math.inf
        gradient = np.concatenate([part.ravel() for part in parts], dtype=np.float64)
        self.seen.append(Point(flat(self.params), value, gradient, metrics))
        return self.seen[-1]


def flat(params: dict[str, Array]) -> Array:
    """Return all params as one vector, in float64."""
    return np.concatenate([w.ravel() for w in params.values()], dtype=np.float64)


def set_params(params: dict[str, Array], x: Array) -> None:
    """Put the parts of a vector into the params."""
    for name, value in parts_of(x, params).items():
        params[name][...] = value


def parts_of(x: Array, like: dict[str, Array]) -> dict[str, Array]:
    """Return the parts of a vector, of the shapes and dtypes of params."""
    found, start = {}, 0
    for name, w in like.items():
        found[name] = x[start : start + w.size].reshape(w.shape).astype(w.dtype)
        start += w.size
    return found
