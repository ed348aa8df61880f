"""Optimisers that follow a loss by its curvature: Hessian-free optimisation, and Newton's method.

Both minimise, within a damping that follows how well it predicts, the parabola

    q(d) = g'd + d'B d / 2,      (B + damping) d = -g

of the Gauss-Newton matrix B by conjugate gradient, which needs but products with it (J. Martens, Deep
learning via Hessian-free optimization, ICML 2010), or of the whole Hessian. The damping is multiplied by EASE
where the loss falls by more than 3/4 of what q promises, and divided by it where by less than 1/4
(D. Marquardt, SIAM Journal on Applied Mathematics 11, 1963), or where the damped Hessian is not positive
definite: so Newton's steps go down, too, where the loss bends down.
"""

import math
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import numpy as np

from featlearn.models.base import Curvature, Gradients
from featlearn.ops.cholesky import cholesky, solve
from featlearn.rows import Array, Float64
from featlearn.training.optim.base import Layout, Optimizer, UpdateSettings, dot
from featlearn.training.optim.loss import Loss, Point, flat, parts_of, set_params

FIRST = 0.1  # damping at first
EASE = 1 / 4  # Martens has 2 / 3, which on the lecture's exercise takes twice the steps
GOOD, POOR = 0.75, 0.25  # shares of the promise that are kept
HALVINGS, DOUBLINGS = 10, 10  # of a step that raises the loss; of one that lowers it
TRIES = 8  # of other dampings, where no part of a step lowers it
MOST_STEPS = 250  # of conjugate gradient
LEAST_PROGRESS = 5e-4  # of q a step of it, over the last tenth of its steps, or ten
MEMORY = 0.95  # of the last step, where the next one begins


class Bend:
    """The curvature of a loss with decay, at what the params hold; vectors (size,) are float64."""

    def __init__(self, params: dict[str, Array], settings: UpdateSettings) -> None:
        assert settings.curvature is not None
        self.params = params
        self.raw: Curvature = settings.curvature()
        self.decay = {name: settings.decay_of(name).l2 for name in params}

    def times(self, d: Array, exact: bool) -> Array:
        """Return the product with the Hessian, or with the Gauss-Newton matrix."""
        v = parts_of(d, self.params)
        found = self.raw(v, exact)
        for name, l2 in self.decay.items():
            found[name] = found[name] + v[name].dtype.type(l2) * v[name]
        return flat({name: found[name] for name in self.params})

    @cached_property
    def hessian(self) -> Float64:
        """The Hessian (size, size), made once."""
        found = self.raw.hessian(self.params)
        own = flat({name: np.full(w.shape, self.decay[name]) for name, w in self.params.items()})
        found[np.diag_indices(len(found))] += own
        return found


class Damped(Optimizer):
    """A step of the damped parabola, halved until the loss falls.

    Parameters keep their precision, vectors here are float64. When no step lowers the loss any more under any
    damping, it has `converged`.
    """

    searches = True
    curved = True
    reads = ("searches",)
    exact: ClassVar[bool]
    """Whether B is the Hessian."""

    def step(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], settings: UpdateSettings
    ) -> dict[str, float]:
        loss, x = Loss(params, evaluate, settings), flat(params)
        start = loss.at(x)
        damping = float(self.arrays["damping"][0]) if "damping" in self.arrays else FIRST
        bend = Bend(params, settings)
        end = start
        for _ in range(TRIES):
            set_params(params, x)
            d, damping = self.direction(bend, start.gradient, damping)
            promised = dot(start.gradient, d) + dot(d, bend.times(d, self.exact)) / 2
            end, whole = self._along(loss, x, d, start)
            kept = (whole.loss - start.loss) / promised if promised < 0 else -math.inf
            if not kept > POOR:
                damping /= EASE
            elif kept > GOOD:
                damping *= EASE
            if end.loss < start.loss:
                break
            damping /= EASE**2
            self.arrays.pop("step", None)
        self.converged = not end.loss < start.loss
        set_params(params, end.x)
        self.arrays["damping"] = np.array([damping])
        return end.metrics

    def _along(self, loss: Loss, x: Array, d: Array, start: Point) -> tuple[Point, Point]:
        """Return where the loss is lower along d, or the start, and where the whole step ends."""
        whole = point = loss.at(x + d)
        for i in range(1, HALVINGS + 1):
            if point.loss < start.loss:
                return point, whole
            point = loss.at(x + d / 2**i)
        return start, whole

    def direction(self, bend: "Bend", gradient: Array, damping: float) -> tuple[Array, float]:
        """Return the step, and the damping with which it was found."""
        raise NotImplementedError

    @classmethod
    def layout(cls, params: dict[str, Array]) -> Layout:
        size = sum(w.size for w in params.values())
        return {"damping": ((1,), np.dtype(np.float64)), "step": ((size,), np.dtype(np.float64))}


class HessianFree(Damped):
    """Gauss-Newton by conjugate gradient from the last step on."""

    id = "hessian-free"
    title = "Hessian-free optimisation"
    exact = False
    worth = 10

    def direction(self, bend: Bend, gradient: Array, damping: float) -> tuple[Array, float]:
        def times(v: Array) -> Array:
            return bend.times(v, self.exact)

        begun = self.arrays.get("step")
        d = np.zeros_like(gradient) if begun is None else MEMORY * begun
        r = gradient + (times(d) + damping * d if begun is not None else d)
        p, square = -r, dot(r, r)
        values = [(dot(gradient, d) + dot(r, d)) / 2]  # q of the damped parabola
        for i in range(1, MOST_STEPS + 1):
            if not square > 0:
                break
            Bp = times(p) + damping * p
            pBp = dot(p, Bp)
            if not pBp > 0:  # rounding: the matrix has none such
                break
            length = square / pBp
            d = d + length * p
            r = r + length * Bp
            values.append((dot(gradient, d) + dot(r, d)) / 2)
            back = max(10, i // 10)
            if i > back and values[i] < 0 and 1 - values[i - back] / values[i] < back * LEAST_PROGRESS:
                break
            old, square = square, dot(r, r)
            p = square / old * p - r
        self.arrays["step"] = d
        return d, damping


class Newton(Damped):
    """Newton's method: the whole Hessian, and damping enough that the parabola has a minimum."""

    id = "newton"
    title = "Newton's method"
    exact = True
    most = 5000
    worth = 10

    def direction(self, bend: Bend, gradient: Array, damping: float) -> tuple[Array, float]:
        if not np.isfinite(bend.hessian).all():
            return np.zeros_like(gradient), damping
        while (L := cholesky(bend.hessian, damping)) is None:
            damping /= EASE
        return -solve(L, gradient), damping

    def _along(self, loss: Loss, x: Array, d: Array, start: Point) -> tuple[Point, Point]:
        """Return the same; a whole step that lowers the loss is doubled as long as the loss falls.

        That costs little beside a Hessian, and where this is indefinite the damping makes steps short.
        """
        end, whole = super()._along(loss, x, d, start)
        if end is not whole:
            return end, whole
        for i in range(1, DOUBLINGS + 1):
            further = loss.at(x + 2**i * d)
            if not further.loss < end.loss:
                break
            end = further
        return end, whole

    @classmethod
    def layout(cls, params: dict[str, Array]) -> Layout:
        return {"damping": super().layout(params)["damping"]}
