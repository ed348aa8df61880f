"""The slope of leaky units below zero, a setting."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from featlearn.errors import ConfigError
from featlearn.ops.activations import LEAKY, PRELU_SLOPE, SLOPE
from featlearn.settings import fill, setting


@dataclass(frozen=True)
class SlopeConfig:
    """The settings of leaky units."""

    slope: float | None = setting(
        None,
        "slope below zero of leaky-relu units, and of prelu units at first  "
        f"[default: {SLOPE:g}; prelu units alone: {PRELU_SLOPE:g}]",
        low=0,
        below=1,
        off="no leaky units",
    )


def usual_slope(kinds: Collection[str]) -> float | None:
    """Return the slope where it is not said; None where no units have one."""
    found = set(kinds) & set(LEAKY)
    return None if not found else PRELU_SLOPE if found == {"prelu"} else SLOPE


def with_slope(config: Any, kinds: Collection[str]) -> Any:
    """Return `config` with the usual slope where units of these kinds have one and none is said."""
    usual = usual_slope(kinds)
    return config if usual is None else fill(config, {"slope": usual})


def refuse_idle_slope(slope: float | None, kinds: Collection[str]) -> None:
    """Raise ConfigError where a slope is said and no units have one."""
    if slope is not None and usual_slope(kinds) is None:
        raise ConfigError(
            "--slope: does nothing without --activation leaky-relu or prelu; add that or leave it out"
        )
