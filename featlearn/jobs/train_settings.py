"""The settings of a training, and what a model makes of those that are not said."""

import dataclasses
from typing import Any

from featlearn.models.base import Model
from featlearn.settings import all_optional
from featlearn.training.config import STILL, TrainConfig, batch_in_words
from featlearn.training.optim import rates_in_words, readers

__all__ = [
    "RATE_NEEDED",
    "LayersTraining",
    "TrainConfig",
    "idle_settings",
    "idle_words",
    "training_of",
    "usual_in_words",
]

RATE_NEEDED = "optimizer=" + "|".join(readers("lr"))
"""What --no-retry needs, as a setting's `needs`."""


LayersTraining = all_optional(TrainConfig, "LayersTraining")
"""What is said of the training of all layers of a stack; what is not is each layer's own."""


def training_of(cls: type[Model]) -> type[Any]:
    """Return the class of the settings of a model's training."""
    return LayersTraining if cls.layered() else TrainConfig


def usual_in_words(cls: type[Model]) -> dict[str, str]:
    """Return, by the name of a training's setting, what is taken with a model where nothing is said."""
    if cls.layered():
        return {field.name: "each layer's own" for field in dataclasses.fields(LayersTraining)}
    words = {"lr": rates_in_words(cls), "batch_size": batch_in_words(cls)}
    if cls.defaults.length is not None:
        words["epochs"] = cls.defaults.length_in_words[0]
    words["decay_weight"] = ", ".join(
        f"{weight:g} for {name}" for name, weight in cls.defaults.decay_weights.items()
    )
    if not cls.descends():
        words["batch_size"] = str(cls.defaults.batch_size)
    return words


def idle_settings(cls: type[Model] | None) -> set[str]:
    """Return the settings of a training that do nothing with a model; none where it is not named."""
    if cls is None or cls.descends():
        return set()
    return {"no_retry"} | {field.name for field in dataclasses.fields(TrainConfig)} - set(STILL)


def idle_words(name: str, cls: type[Model]) -> str:
    """Return why an option (--lr) does nothing with a model."""
    return (
        f"{name}: does nothing with --model {cls.id}, which is learned in whole passes "
        "over the data, and descends nothing; leave it out"
    )
