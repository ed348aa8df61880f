"""Steps and phases of a training run, as models describe them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from featlearn.random import Purpose, draw_name
from featlearn.rows import Array, Float64, Index

DRAWS = 1024
"""Random draws that a step can name."""
Gradients = tuple[dict[str, float], dict[str, Array]]


class Curvature(Protocol):
    """The second derivatives of a loss by all params, at what these hold."""

    def __call__(self, v: dict[str, Array], exact: bool) -> dict[str, Array]:
        """Return their product with a vector like the params, exact or by Gauss and Newton."""
        ...

    def hessian(self, like: dict[str, Array]) -> Float64:
        """Return all of them in the order of the entries of `like`, which is like the params."""
        ...


@dataclass(frozen=True)
class Step:
    """One minibatch update (or step of a chain): names its random draws, up to DRAWS of them.

    `progress` is the share of the phase's updates that are done, for what changes in the course of training;
    `begun` is the number of the phase's first update. Layers of a stack, whose steps have the same numbers,
    have a `stream` each: they never share random bits. `rows` are the numbers of the minibatch's rows in the
    data, where it is of any. Where ranks share them out, a rank has those from `first` on.
    """

    number: int
    seed: int
    purpose: Purpose = Purpose.STEP
    progress: float = 1.0
    stream: int = 0
    begun: int = 0
    first: int = 0
    rows: Index | None = field(default=None, compare=False)

    @property
    def update(self) -> int:
        """The updates of this phase that were done before this one."""
        return self.number - self.begun

    def before(self, A: Array) -> int:
        """Return the number of the first element of A (n, d), made of the minibatch's rows, in its draws."""
        return self.first * int(A.shape[1])

    def draw(self, k: int) -> int:
        """Return the name of the k-th random draw of this step. Raises ValueError beyond DRAWS."""
        if not 0 <= k < DRAWS:
            raise ValueError(f"draw {k}: a step has names for {DRAWS}")
        return draw_name(self.purpose, self.number * DRAWS + k, self.stream)


Loss = Callable[[Array, Step], Gradients]


@dataclass(frozen=True)
class Phase:
    """One leg of a training run.

    name        for messages and pictures
    gradient    of minibatches; its keys are the params that are learned
    learns      the params that are updated and decayed, no other; None: all. A phase that learns () descends
                nothing: gradient adds each minibatch to sums in the model's state and answers no gradients,
                and after_pass or finish makes params of the sums; the rows come in their order
    passes      most passes over the rows of a phase that descends nothing
    after_pass  called after each of them, before that epoch's measures; it may change params and state in
                place. It answers in words why no further pass is wanted, "" to go on
    training    the settings of the training in which the phase differs from the run: {"optimizer": "cg"}. An
                optimizer of its own brings its usual learning rate, and all rows at once if it searches
    updates     how many, in minibatches; None: the epochs of the settings
    curvature   of rows, the second derivatives of the loss, at what the params hold; None where there are
                none to be had
    uncurved    why there are none, in words, where other settings have some
    moving_loss what makes the loss another at every update, or leap, in words, so that line searches cannot
                follow it; "" where they can
    comparable_from  the share of the phase from where on losses can be compared with the one before
    finish      called once, after the last update and before that epoch's measures; it may change params in
                place and state, also the names and shapes in state
    options     the model's own settings that say `updates` or a setting of `training`, for messages:
                {"lr": "refine_lr"}
    """

    name: str
    gradient: Loss
    learns: tuple[str, ...] | None = None
    passes: int = 1
    after_pass: Callable[[], str] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    updates: int | None = None
    curvature: Callable[[Array], Curvature] | None = None
    uncurved: str = ""
    moving_loss: str = ""
    comparable_from: float = 0.0
    finish: Callable[[], None] | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def descends(self) -> bool:
        """Whether anything follows gradients here."""
        return self.learns != ()
