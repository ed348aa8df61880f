"""Optimisers: steps of a rate (SGD, Adam), line searches (L-BFGS, conjugate gradient), steps by curvature.

Each describes itself: its usual learning rate, the settings of the training that it reads, the arrays that it
keeps. A new one is a class with an id.
"""

from typing import Any

from featlearn.models.base import DataSummary, Model
from featlearn.training.optim.base import OPTIMIZERS, Decay, Optimizer, UpdateSettings
from featlearn.training.optim.descent import (  # the order of definition is that of the choices
    SGD,
    Adam,
    Stepper,
    blend,
)
from featlearn.training.optim.searches import CG, LBFGS
from featlearn.training.optim.second_order import HessianFree, Newton

__all__ = [
    "CG",
    "LBFGS",
    "OPTIMIZERS",
    "SGD",
    "Adam",
    "Decay",
    "HessianFree",
    "Newton",
    "Optimizer",
    "Stepper",
    "UpdateSettings",
    "blend",
    "rates_in_words",
    "readers",
    "usual_rates",
]


def readers(setting: str) -> list[str]:
    """Return the names of the optimisers that read a setting of the training."""
    return [name for name, cls in OPTIMIZERS.items() if setting in cls.reads]


def usual_rates(model: type[Model], config: Any, data: DataSummary) -> dict[str, float]:
    """Return the rates of the optimisers that have one, with a model, its resolved config and such data."""
    return {**_own_rates(), **model.usual_rates(config, data)}


def rates_in_words(model: type[Model]) -> str:
    """Return the same for any data: "sgd 0.5; adam 0.001"."""
    rates = {name: f"{name} {rate:g}" for name, rate in {**_own_rates(), **model.defaults.rates}.items()}
    rates[SGD.id] = f"{rates[SGD.id]} {model.defaults.rate_unit}".rstrip()
    return "; ".join(rates.values())


def _own_rates() -> dict[str, float]:
    return {name: cls.rate for name, cls in OPTIMIZERS.items() if cls.rate is not None}
