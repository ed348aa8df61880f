"""Output units of nets that give their rows back: which, with what loss, and their error."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import DataSummary
from featlearn.ops.activations import activate, backward, second_derivative
from featlearn.ops.curvature import Top
from featlearn.ops.reduce import count, rmse, row_total
from featlearn.rows import Array
from featlearn.settings import check, fill, setting

RARE = 0.01  # outputs begin no nearer than that share of their range to its ends
RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}  # of outputs that have one


@dataclass(frozen=True)
class OutputConfig:
    """The settings of the output units and the loss."""

    output_units: str = setting(
        "auto",
        "output units; auto: sigmoid for data within 0..1, else linear",
        choices=("auto", "sigmoid", "tanh", "linear"),
    )
    loss: str = setting(
        "auto",
        "squared error, or cross-entropy of sigmoid outputs; auto: the model's usual one",
        choices=("auto", "squared", "cross-entropy"),
    )
    loss_scale: float | None = setting(
        None,
        "what the error in the loss is divided by  "
        "[default: the data's variance, summed over the values of a row]",
        above=0,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.loss == "cross-entropy" and self.output_units not in ("auto", "sigmoid"):
            raise ConfigError(
                f"--loss cross-entropy: is of probabilities, not --output-units {self.output_units}; "
                "use sigmoid"
            )


def resolve_outputs(config: Any, data: DataSummary, usual_loss: str) -> Any:
    """Choose output units, the loss (of sigmoid units `usual_loss`) and what it is divided by.

    Raises ConfigError where these do not fit the data, or units are auto and its range is not known.
    """
    wanted, loss = config.output_units, config.loss
    if wanted == "auto" and loss != "cross-entropy" and data.known_within(0, 1) is None:
        raise ConfigError("--output-units: auto wants the range of the data; say which")
    if wanted == "auto":
        wanted = "sigmoid" if data.known_within(0, 1) or loss == "cross-entropy" else "linear"
    least, most = RANGES.get(wanted, (-math.inf, math.inf))
    if data.known_within(least, most) is False:
        option = "--loss cross-entropy" if loss == "cross-entropy" else f"--output-units {wanted}"
        raise ConfigError(
            f"{option}: {data.words}, wanted {least:g}..{most:g}; "
            "extract with --clip 3 --to 0.1,0.9, or use --output-units linear --loss squared"
        )
    if loss == "auto":
        loss = usual_loss if wanted == "sigmoid" else "squared"
    return fill(replace(config, output_units=wanted, loss=loss), {"loss_scale": data.variance or 1.0})


def are_bounded(config: Any, data: DataSummary) -> bool:
    """Whether the outputs of a config, which need not be resolved, have a range of their own."""
    outputs = config.output_units
    within = data.known_within(0, 1) or config.loss == "cross-entropy"
    return bool(outputs in RANGES or (outputs == "auto" and within))


def output_top(A: Array, X: Array, kind: str, loss: str, share: float) -> Top:
    """Return what `share` times the loss of rows X (n, d) says of outputs g(A); A (n, d) holds the biases."""
    Y = activate(A, np.zeros(A.shape[1], A.dtype), kind)
    error = Y - X
    ones = np.ones_like(Y)
    if loss != "squared":
        variance = share * Y * (1 - Y)
        return Top(share * error, lambda R, exact: variance * R)
    slope = backward(ones, Y, kind)
    gauss_newton = share * np.square(slope)
    second = second_derivative(Y, kind)
    whole = gauss_newton if second is None else gauss_newton + share * error * second
    return Top(share * error * slope, lambda R, exact: (whole if exact else gauss_newton) * R)


def inputs_for(mean: Array, kind: str) -> Array:
    """Return the total inputs (d,) by which outputs of that kind are near `mean` (d,)."""
    if kind == "linear":
        return mean
    low, high = RANGES[kind]
    shares = np.clip((mean.astype(np.float64) - low) / (high - low), RARE, 1 - RARE)
    odds = np.array([math.log(share / (1 - share)) for share in shares])
    return np.asarray(odds if kind == "sigmoid" else odds / 2)


def output_error(
    A: Array, bias: Array, X: Array, kind: str, loss: str, weight: Array | None = None
) -> tuple[float, float, Array]:
    """Return of outputs g(A + bias): the loss, summed over rows X (n, d); the RMSE; the derivative by A.

    The last is made in A's place. `weight` (n, d) is that of each error in the loss.
    """
    rows, entropy = np.empty((2, len(X)), np.float64)
    squared = loss == "squared"
    if not squared:
        _core.cross_entropy(entropy, A, bias, X, weight)
    activate(A, bias, kind)
    error = None if weight is None else rmse(X, A)
    _core.output_error(A, rows, A, X, kind if squared else "linear", weight)
    squares = row_total(rows)
    total = squares / 2 if squared else row_total(entropy)
    return total, math.sqrt(squares / (count(X) * X.shape[1])) if error is None else error, A
