"""The place where a training run stands: what a checkpoint holds beside arrays."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Progress:
    """The place where a run stands, in plain numbers (JSON-able)."""

    phase: int = 0
    epoch: int = 0  # within the phase
    batch: int = 0  # within the epoch
    step: int = 0  # over all phases
    epochs_done: int = 0  # over all phases: rows of the history
    finished: bool = False
    diverged: bool = False
    best_error: float | None = None
    best_epoch: int = 0
    stopped: str = ""  # why, if before its last epoch
    rate: float = 1.0  # what the adaptive schedule has made of the learning rate
    last_loss: float | None = None  # of the epoch before, in this phase
    measured: dict[str, float] = field(default_factory=dict)  # of the finished model, over all rows
    sums: dict[str, float] = field(default_factory=dict)  # of this epoch's metrics
    first_errors: list[float] = field(default_factory=list)  # what divergence is measured against
    scheduled: int = 0  # updates that the schedules of a run were spread over which goes on after them
    telling: int = 0  # units whose codes differed from one row to another at the start

    @classmethod
    def fits(cls, values: Any) -> bool:
        """Whether the plain values of a file, which may have been edited, are of these names and types."""
        like = asdict(cls())
        if not isinstance(values, dict) or not values.keys() <= like.keys():
            return False
        for name, value in values.items():
            if name in ("best_error", "last_loss"):
                fit = value is None or type(value) is float
            else:
                fit = type(value) is type(like[name])
            inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            if not (fit and all(type(v) is float for v in inner)):
                return False
        return True
