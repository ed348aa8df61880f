"""Visible units of a Boltzmann machine: which kind suits the data, and the bias that they begin with."""

import math
from typing import Any

import numpy as np

from featlearn.errors import ConfigError
from featlearn.models.base import DataSummary
from featlearn.rows import Array
from featlearn.settings import setting

RARE = 1e-4  # pixels that are on less often (or off) start with a bias as if they were on so often


def visible_setting() -> Any:
    """Return the field for the kind of visible units."""
    return setting(
        "auto",
        "kind of visible units; auto: bernoulli for data within 0..1, else gaussian",
        choices=("auto", "bernoulli", "gaussian"),
    )


def kind_for(visible: str, data: DataSummary) -> str:
    """Return bernoulli or gaussian for a kind of visible units that may be auto.

    Raises ConfigError where the data do not fit the kind, or auto wants a range that is not known.
    """
    within = data.known_within(0, 1)
    if visible == "bernoulli" and within is False:
        raise ConfigError(
            f"--visible bernoulli: {data.words}, wanted 0..1; "
            "use --visible gaussian or extract with --normalize none"
        )
    if visible != "auto":
        return visible
    if within is None:
        raise ConfigError("--visible: auto wants the range of the data; say bernoulli or gaussian")
    return "bernoulli" if within else "gaussian"


def first_bias(mean: Array, bernoulli: bool) -> Array:
    """Return the bias (visible,) of units whose data have this mean: its log-odds, or the mean itself."""
    if not bernoulli:
        return mean
    return np.array([log_odds(min(max(p, RARE), 1 - RARE)) for p in mean])


def log_odds(p: float) -> float:
    """Return log(p / (1 - p))."""
    return math.log(p / (1 - p))
