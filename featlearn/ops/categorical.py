"""Draws of one of several classes."""

import numpy as np

from featlearn import _core
from featlearn.rows import Array


def one_hot(P: Array, seed: int, draw: int, first: int = 0) -> Array:
    """Draw one class a row by its probabilities: (n, classes) -> (n, classes), 1 at the class, else 0.

    `first` rows of the same draw come before.
    """
    u = np.empty((len(P), 1), P.dtype)
    _core.uniform(u, seed, draw, first)
    up_to = np.cumsum(P, axis=1)
    drawn = (up_to <= u * up_to[:, -1:]).argmin(axis=1)
    return np.asarray(np.eye(P.shape[1], dtype=P.dtype)[drawn])
