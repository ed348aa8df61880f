"""Schedules: pure functions of how far a phase has come."""

LAST = 0.01  # share of the rate at the end; were it 0, velocities would outrun the last soft thresholds of L1


def learning_rate(schedule: str, lr: float, progress: float) -> float:
    """Return the rate at `progress` in [0, 1); linear and exponential ones end at LAST, adaptive is lr."""
    if schedule == "linear":
        return lr * (1 - (1 - LAST) * progress)
    if schedule == "exponential":
        return float(lr * LAST**progress)
    return lr


def adaptation(before: float, after: float) -> float:
    """Return the factor of the adaptive rate after an epoch that took the loss from `before` to `after`.

    T. Vogl et al., Accelerating the convergence of the back-propagation method, Biological Cybernetics 59,
    1988: a little more while the loss falls, markedly less when it has risen by more than chance.
    """
    return 1.05 if after < before else 0.7 if after > 1.04 * before else 1.0


def momentum(initial: float, final: float, switch_epoch: int, epoch: int) -> float:
    """Return `initial` before epoch `switch_epoch`, counted from 0, then `final` (Hinton's Guide, 9)."""
    return initial if epoch < switch_epoch else final
