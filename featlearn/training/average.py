"""The exponential average of params over updates, kept beside them."""

from collections.abc import Mapping

from featlearn.rows import Array
from featlearn.training.optim import blend


def follow(average: dict[str, Array], params: Mapping[str, Array], memory: float, done: int) -> None:
    """Take params into their average, which begins as they are; `done` updates came before.

    Its memory grows from 1/10, so that it forgets the beginning.
    """
    if not average:
        average |= {name: w.copy(order="K") for name, w in params.items()}
    share = min(memory, (1 + done) / (10 + done))
    for name, mean in average.items():
        blend(mean, params[name], share)


def exchange(average: Mapping[str, Array], params: Mapping[str, Array]) -> None:
    """Put the average in the place of params, and these in its place."""
    for name, mean in average.items():
        w = params[name]
        kept = w.copy(order="K")
        w[...] = mean
        mean[...] = kept
