"""Optimisers that follow a loss by its curvature: Hessian-free optimisation, and Newton's method.

Both minimise, within a damping that follows how well it predicts, the parabola

    q(d) = g'd + d'B d / 2,      (B + damping) d = -g

of the Gauss-Newton matrix B by conjugate gradient, which needs but products with it (J. Martens, Deep
learning via Hessian-free optimization, ICML 2010), or of the Hessian, made of its products with unit vectors.
The damping is multiplied by EASE where the loss falls by more than 3/4 of what q promises, and divided by
it where by less than 1/4 (D. Marquardt, SIAM Journal on Applied Mathematics 11, 1963).
"""

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from featlearn.models.base import Gradients, Product
from featlearn.ops.cholesky import cholesky, solve
from featlearn.rows import Array
from featlearn.training.optim.base import Layout, Optimizer, UpdateSettings, dot
from featlearn.training.optim.loss import Loss, Point, flat, parts_of, set_params

FIRST = 0.1  # damping at first
EASE = 1 / 4  # Martens has 2 / 3, which on the lecture's exercise takes twice the steps
GOOD, POOR = 0.75, 0.25  # shares of the promise that are kept
HALVINGS = 10  # of a step that raises the loss
TRIES = 8  # of other dampings, where no part of a step lowers it
MOST_STEPS = 250  # of conjugate gradient
LEAST_PROGRESS = 5e-4  # of q a step of it, over the last tenth of its steps, or ten
MEMORY = 0.95  # of the last step, where the next one begins


class Damped(Optimizer):
    """A step of the damped parabola, halved until the loss falls.

    Parameters keep their precision, vectors here are float64. When no step lowers the loss any more under any
    damping, it has `converged`.
    """

    searches = True
    curved = True
    reads = ("searches",)

    def step(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], settings: UpdateSettings
    ) -> dict[str, float]:
        loss, x = Loss(params, evaluate, settings), flat(params)
        start = loss.at(x)
        damping = float(self.arrays["damping"][0]) if "damping" in self.arrays else FIRST
        times = self.products(params, settings)
        end = start
        for _ in range(TRIES):
            set_params(params, x)
            d = self.direction(times, start.gradient, damping)
            promised = dot(start.gradient, d) + dot(d, times(d)) / 2
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

    def products(self, params: dict[str, Array], settings: UpdateSettings) -> Callable[[Array], Array]:
        """Return the products with B at what the params hold, with the decay's part."""
        assert settings.curvature is not None
        raw: Product = settings.curvature()
        decay = {name: settings.decay_of(name).l2 for name in params}

        def times(d: Array) -> Array:
            v = parts_of(d, params)
            found = raw(v, self.exact)
            for name, l2 in decay.items():
                found[name] = found[name] + v[name].dtype.type(l2) * v[name]
            return flat({name: found[name] for name in params})

        return times

    exact: ClassVar[bool]

    def direction(self, times: Callable[[Array], Array], gradient: Array, damping: float) -> Array:
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

    def direction(self, times: Callable[[Array], Array], gradient: Array, damping: float) -> Array:
        begun = self.arrays.get("step")
        d = np.zeros_like(gradient) if begun is None else MEMORY * begun
        r = gradient + (times(d) + damping * d if begun is not None else d)
        p, square = -r, dot(r, r)
        values = [(dot(gradient, d) + dot(r, d)) / 2]  # q of the damped parabola
        for i in range(1, MOST_STEPS + 1):
            if not square > 0:
                break
            Bp = times(p) + damping * p
            bend = dot(p, Bp)
            if not bend > 0:  # rounding: the matrix has none such
                break
            length = square / bend
            d = d + length * p
            r = r + length * Bp
            values.append((dot(gradient, d) + dot(r, d)) / 2)
            back = max(10, i // 10)
            if i > back and values[i] < 0 and 1 - values[i - back] / values[i] < back * LEAST_PROGRESS:
                break
            old, square = square, dot(r, r)
            p = square / old * p - r
        self.arrays["step"] = d
        return d


class Newton(Damped):
    """Newton's method: the whole Hessian, and damping enough that the parabola has a minimum."""

    id = "newton"
    title = "Newton's method"
    exact = True
    most = 5000
    worth = 20

    def step(
        self, params: dict[str, Array], evaluate: Callable[[], Gradients], settings: UpdateSettings
    ) -> dict[str, float]:
        self._hessian: Array | None = None
        return super().step(params, evaluate, settings)

    def direction(self, times: Callable[[Array], Array], gradient: Array, damping: float) -> Array:
        if self._hessian is None:
            unit, H = np.zeros_like(gradient), np.empty((len(gradient), len(gradient)))
            for i in range(len(gradient)):
                unit[i] = 1
                H[i] = times(unit)
                unit[i] = 0
            self._hessian = (H + H.T) / 2
        while True:
            L = cholesky(self._hessian, damping)
            if L is not None:
                return -solve(L, gradient)
            damping /= EASE

    @classmethod
    def layout(cls, params: dict[str, Array]) -> Layout:
        return {"damping": super().layout(params)["damping"]}
