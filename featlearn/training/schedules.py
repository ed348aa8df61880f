"""Schedules: pure functions of how far a phase has come."""


def learning_rate(schedule: str, lr: float, progress: float) -> float:
    """The rate at `progress` in [0, 1): constant; linear, which falls to 0 at the end; exponential, to a hundredth."""
    if schedule == "linear":
        return lr * (1 - progress)
    if schedule == "exponential":
        return float(lr * 0.01**progress)
    return lr


def momentum(initial: float, final: float, switch_epoch: int, epoch: int) -> float:
    """`initial` before epoch `switch_epoch` (counted from 0), `final` from there on (Hinton's Guide, section 9)."""
    return initial if epoch < switch_epoch else final
