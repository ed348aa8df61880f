"""Optimisers that search along a line: L-BFGS and conjugate gradient.

They are made here, by the equations of Nocedal & Wright, Numerical Optimization (2nd ed., 2006), and not by
scipy, so that a run that was stopped goes on as if it had not been. Their inner products are the kernels', so
that bytes do not depend on BLAS.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from featlearn.models.base import Gradients
from featlearn.rows import Array
from featlearn.training.optim.base import Layout, Optimizer, UpdateSettings, dot
from featlearn.training.optim.line_search import strong_wolfe
from featlearn.training.optim.loss import Loss, Point, flat, set_params


class LineSearch(Optimizer):
    """A direction downhill, and the step along it that meets the strong Wolfe conditions.

    Raises nothing of its own.

    Parameters keep their precision, vectors here are float64. When no step lowers the loss any more, it has
    `converged`: as a rule to the precision of the parameters.
    """

    searches = True
    reads = ("searches",)
    curvature: ClassVar[float]
    """The share of the slope that may be left at the end of a search."""
    kept: ClassVar[tuple[str, ...]]
    """The names of pairs of vectors, (2, all parameters), that directions are made of."""

    def step(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], settings: UpdateSettings
    ) -> dict[str, float]:
        loss, x = Loss(params, evaluate, settings), flat(params)
        kept = self.arrays.get("gradient")
        start = loss.at(x) if kept is None else Point(x, float(self.arrays["losses"][0]), kept, {})
        direction = self.direction(start.gradient)
        if not self._learned:  # the gradient alone knows no length
            direction *= min(1.0, 1 / max(math.sqrt(dot(direction, direction)), 1e-30))
        slope = dot(start.gradient, direction)

        def along(length: float) -> tuple[float, float]:
            point = loss.at(x + length * direction)
            return point.loss, dot(point.gradient, direction)

        found = strong_wolfe(along, start.loss, slope, self.first_length(start.loss, slope), self.curvature)
        end = loss.seen[-1] if found else min(loss.seen, key=lambda point: point.loss, default=start)
        if found and end.loss < start.loss:
            self.learn(start, end, direction)
        else:  # begin again with steepest descent; where that found nothing either, it is over
            self.converged = not (end.loss < start.loss or self._learned)
            self.arrays = {}
        if not end.loss < start.loss:
            end = loss.at(x)
        set_params(params, end.x)
        self.arrays |= {"gradient": end.gradient, "losses": np.array([end.loss, start.loss])}
        return end.metrics

    @classmethod
    def layout(cls, params: dict[str, Array]) -> Layout:
        size = sum(w.size for w in params.values())
        shapes = {"gradient": (size,), "losses": (2,)} | dict.fromkeys(cls.kept, (2, size))
        return {name: (shape, np.dtype(np.float64)) for name, shape in shapes.items()}

    @property
    def _learned(self) -> bool:
        """Whether there is anything to make a direction of but the gradient."""
        return bool(self.arrays.keys() - {"gradient", "losses"})

    def direction(self, gradient: Array) -> Array:
        raise NotImplementedError

    def learn(self, start: Point, end: Point, direction: Array) -> None:
        raise NotImplementedError

    def first_length(self, loss: float, slope: float) -> float:
        """The length of the first step that is tried, from where loss and slope are these."""
        return 1.0


class LBFGS(LineSearch):
    """Limited-memory BFGS: minus the inverse Hessian of the last steps times the gradient (algorithm 7.4)."""

    id = "lbfgs"
    title = "L-BFGS"
    curvature = 0.9
    kept = tuple(f"pair.{i}" for i in range(10))  # a step and the gradient's difference, oldest first

    def direction(self, gradient: Array) -> Array:
        q = -gradient
        pairs = self._pairs
        rho = [1 / dot(s, y) for s, y in pairs]
        alpha = [0.0] * len(pairs)
        for i in reversed(range(len(pairs))):
            s, y = pairs[i]
            alpha[i] = rho[i] * dot(s, q)
            q -= alpha[i] * y
        if pairs:
            y = pairs[-1][1]
            q /= rho[-1] * dot(y, y)
        for i, (s, y) in enumerate(pairs):
            q += (alpha[i] - rho[i] * dot(y, q)) * s
        return q

    def learn(self, start: Point, end: Point, direction: Array) -> None:
        pair = np.stack([end.x - start.x, end.gradient - start.gradient])
        s, y = pair
        if not dot(s, y) > 1e-10 * dot(y, y):  # rounding: it would not keep the Hessian positive
            return
        last = [*self._pairs, pair][-len(self.kept) :]
        self.arrays |= dict(zip(self.kept, last, strict=False))

    @property
    def _pairs(self) -> list[Array]:
        return [self.arrays[name] for name in self.kept if name in self.arrays]


class CG(LineSearch):
    """Nonlinear conjugate gradient by Polak and Ribiere, restarted where it turns back (equation 5.45)."""

    id = "cg"
    title = "conjugate gradient"
    curvature = 0.1
    kept = ("direction",)  # the last one, and the gradient where it began

    def direction(self, gradient: Array) -> Array:
        if "direction" not in self.arrays:
            return -gradient
        d, old = self.arrays["direction"]
        beta = max(0.0, dot(gradient, gradient - old) / max(dot(old, old), 1e-300))
        new = beta * d - gradient
        return new if dot(new, gradient) < 0 else -gradient

    def learn(self, start: Point, end: Point, direction: Array) -> None:
        self.arrays["direction"] = np.stack([direction, start.gradient])

    def first_length(self, loss: float, slope: float) -> float:
        """Return the length by which a parabola would fall as much as by the last step, at most 1 (3.60)."""
        if "direction" not in self.arrays or not slope < 0:
            return 1.0
        length = 2.02 * (loss - float(self.arrays["losses"][1])) / slope
        return min(1.0, length) if length > 0 else 1.0
