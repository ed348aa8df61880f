"""Schedules: pure functions of how far a phase has come."""

import math

LAST = 0.01  # share of the rate at the end; were it 0, velocities would outrun the last soft thresholds of L1


def learning_rate(schedule: str, lr: float, progress: float) -> float:
    """Return the rate at `progress` in [0, 1); constant and adaptive ones stay, all others end at LAST of it.

    The cosine is half a period (I. Loshchilov, F. Hutter, SGDR, ICLR 2017, equation 5, without restarts).
    """
    if schedule == "linear":
        return lr * (1 - (1 - LAST) * progress)
    if schedule == "cosine":
        return lr * (LAST + (1 - LAST) * (1 + math.cos(math.pi * progress)) / 2)
    if schedule == "exponential":
        return float(lr * LAST**progress)
    return lr


def warm_up(n: int, done: int, updates: int) -> tuple[float, float]:
    """Return the share of the rate that an update has, and how far the schedule has come then.

    Over the first n of the `updates` the rate rises in equal steps to the whole one, with which the schedule
    begins; `done` updates came before.
    """
    if done < n:
        return (done + 1) / n, 0.0
    return 1.0, (done - n) / (updates - n)


def adaptation(before: float, after: float) -> float:
    """Return the factor of the adaptive rate after an epoch that took the loss from `before` to `after`.

    T. Vogl et al., Accelerating the convergence of the back-propagation method, Biological Cybernetics 59,
    1988: a little more while the loss falls, markedly less when it has risen by more than chance.
    """
    return 1.05 if after < before else 0.7 if after > 1.04 * before else 1.0


def momentum(initial: float, final: float, switch_epoch: int, epoch: int) -> float:
    """Return `initial` before epoch `switch_epoch`, counted from 0, then `final` (Hinton's Guide, 9)."""
    return initial if epoch < switch_epoch else final
