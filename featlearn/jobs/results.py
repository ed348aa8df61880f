"""What jobs return: frozen dataclasses, and what of them is reported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

UNREPORTED = {"unreported": True}
"""The metadata of a field that is for the caller alone."""


def optional() -> Any:
    """Return a field that may be None; then it is not reported."""
    return field(default=None, metadata={"optional": True})


@dataclass(frozen=True)
class Next:
    """Command lines that may follow, as words after "featlearn", and a note about them."""

    commands: Sequence[Sequence[str]]
    note: str = ""


class Result:
    """Base of what a job returns."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def report(self) -> dict[str, Any]:
        """Return the fields that are reported, in order, as plain values."""
        out = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.metadata.get("unreported") or (value is None and one.metadata.get("optional")):
                continue
            out[one.name] = list(value) if isinstance(value, tuple) else value
        return out


@dataclass(frozen=True, kw_only=True)
class Trained(Result):
    """A model that was learned, or the checkpoint of a run that was stopped."""

    output: str
    model: str
    layers: Mapping[str, Any] | None = optional()
    """What is told of each layer of a stack, by its number from 1, the lowest."""
    restarts: int | None = optional()
    lr: float | None = optional()
    """The learning rate after restarts."""
    updates: int
    epochs: int
    loss: float | None = optional()
    rmse: float | None = optional()
    """Over all training rows, in units of preprocessed values."""
    validation_rmse: float | None = optional()
    error_rate: float | None = optional()
    """The share of the training rows that is put into the wrong class."""
    validation_error_rate: float | None = optional()
    validation_loss: float | None = optional()
    mean_activation: float | None = optional()
    deviation: float | None = optional()
    seconds: float | None = optional()
    """None where the model was there already."""
    zero_weights: float
    """The share of weights that are exactly zero."""
    content_hash: str
    advice: list[dict[str, str]]
    """What is wrong with the model, as key, text and options."""
    finished: bool = field(default=True, metadata=UNREPORTED)
    next: Next | None = field(default=None, repr=False, metadata=UNREPORTED)


def value_at(values: Mapping[str, Any], key: str) -> Any:
    """Return the value at a dotted key, in which numbers count the entries of lists. Raises KeyError."""
    found: Any = values
    for part in key.split("."):
        if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            raise KeyError(key)
    return found
