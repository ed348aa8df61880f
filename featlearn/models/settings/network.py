"""Settings of nets that tell classes: what keeps them from learning rows by heart, and how many classes."""

from dataclasses import dataclass

from featlearn.models.base import MAX_UNITS
from featlearn.settings import check, setting


@dataclass(frozen=True)
class Regularization:
    """What is done to rows and targets while a net learns."""

    input_dropout: float = setting(0.0, "share of the inputs left out of each update", low=0, below=1)
    label_smoothing: float = setting(
        0.0, "share of the target that is spread evenly over all classes", low=0, below=1
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class HiddenDropout:
    """Dropout of hidden units."""

    hidden_dropout: float = setting(0.0, "share of the hidden units left out of each update", low=0, below=1)


@dataclass(frozen=True)
class HiddenRegularization(HiddenDropout, Regularization):
    """What is done to hidden layers, too."""

    max_norm: float | None = setting(
        None, "longest that the incoming weights of a hidden unit may be", above=0, high=1e9, off="any length"
    )


@dataclass(frozen=True)
class Classes:
    """The classes that a net tells."""

    classes: int | None = setting(
        None, "number of classes  [default: those of the data set]", low=2, high=MAX_UNITS
    )
