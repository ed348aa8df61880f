"""A search for the step along a direction that meets the strong Wolfe conditions.

It is in pure floating-point arithmetic.

    f(a) <= f(0) + c1 a f'(0)      |f'(a)| <= c2 |f'(0)|

J. Nocedal, S. Wright, Numerical Optimization, 2nd ed., 2006, algorithms 3.5 (bracket) and 3.6 (zoom); a trial
within a bracket is the minimum of the cubic through its ends' values and slopes (equation 3.59), or its
middle where that lies close to an end. Its own, because scipy's takes its slopes by BLAS, whose sums depend
on the processor.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

DECREASE = 1e-4  # c1
DOUBLINGS = 10  # of a length that is too short; the last is taken as it is
HALVINGS = 11  # trials within a bracket
MARGIN = 0.1  # of a bracket, where no trial is made


class Trial(NamedTuple):
    """A length with the loss and the slope there."""

    length: float
    loss: float
    slope: float


def strong_wolfe(
    along: Callable[[float], tuple[float, float]], loss: float, slope: float, first: float, curvature: float
) -> bool:
    """Whether a length was found; it is then the last one that `along` was asked for.

    along(length) -> (loss, slope) there; `loss` and `slope` are those at 0; `first` > 0 is the first trial,
    `curvature` is c2. A loss or slope that is not finite is allowed, except at 0.
    """
    if not slope < 0:
        return False
    origin = before = Trial(0.0, loss, slope)
    length = first
    for i in range(DOUBLINGS):
        here = Trial(length, *along(length))
        if _too_high(here, origin) or (i > 0 and here.loss >= before.loss):
            return _zoom(along, origin, before, here, curvature)
        if abs(here.slope) <= -curvature * slope:
            return True
        if here.slope >= 0:
            return _zoom(along, origin, here, before, curvature)
        before, length = here, 2 * length
    return True


def _zoom(
    along: Callable[[float], tuple[float, float]], origin: Trial, low: Trial, high: Trial, curvature: float
) -> bool:
    """Narrow a bracket: `low` is its end of the lower loss, from where the slope points to `high`."""
    for _ in range(HALVINGS):
        length = _between(low, high)
        here = Trial(length, *along(length))
        if _too_high(here, origin) or here.loss >= low.loss:
            high = here
            continue
        if abs(here.slope) <= -curvature * origin.slope:
            return True
        if here.slope * (high.length - low.length) >= 0:
            high = low
        low = here
    return False


def _too_high(here: Trial, origin: Trial) -> bool:
    return here.loss > origin.loss + DECREASE * here.length * origin.slope


def _between(low: Trial, high: Trial) -> float:
    """The minimum of the cubic through both ends, or the middle."""
    width = high.length - low.length
    middle = low.length + width / 2
    if not (width and math.isfinite(high.loss) and math.isfinite(high.slope)):
        return middle
    d1 = low.slope + high.slope - 3 * (high.loss - low.loss) / width
    square = d1 * d1 - low.slope * high.slope
    if not 0 <= square < math.inf:
        return middle
    d2 = math.copysign(math.sqrt(square), width)
    bottom = high.slope - low.slope + 2 * d2
    share = 1 - (high.slope + d2 - d1) / bottom if bottom else 0.5
    return low.length + share * width if MARGIN <= share <= 1 - MARGIN else middle
