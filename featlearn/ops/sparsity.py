"""Three published ways to make hidden units rarely active; p is the wanted mean activation.

hinton   q, a decaying average of each unit's mean activation, is pulled to p by the gradient q - p of a
         cross-entropy on the unit's total input, so on bias and incoming weights alike (the Guide, section
         11)
lee      the gradient of weight * sum_j (p - mean h_j)^2 over the minibatch, followed by the bias alone (H. Lee,
         C. Ekanadham, A. Ng, Sparse deep belief net model for visual area V2, NIPS 2007)
goh      the data's activations in the statistics are replaced by (1 - weight) h + weight T, where T ranks h and
         makes of each rank R in 0..1 the target R^(1/p - 1), whose mean is p: over the examples (selective
         units), over the units (sparse codes), or over one after the other (H. Goh, N. Thome, M. Cord,
         Biasing restricted Boltzmann machines to manipulate latent selectivity and sparsity, NIPS workshop
         2010)
"""

import math

import numpy as np

from featlearn.ops.reduce import column_mean
from featlearn.rows import Array

WEIGHTS = {"hinton": 1.0, "lee": 10.0, "goh": 1.0}
ORDERS = ("selective-sparse", "sparse-selective", "selective", "sparse")
_AXES = {"selective": 0, "sparse": 1}


def hinton_pull(q: Array, p: float, weight: float) -> Array:
    """(hidden,) gradient on each unit's total input."""
    return weight * (q - p)


def lee_pull(H: Array, p: float, weight: float) -> Array:
    """(hidden,) gradient on the biases from probabilities H (n, hidden) of a minibatch."""
    return (2 * weight) * (column_mean(H) - p) * column_mean(H * (1 - H))


def goh_targets(H: Array, p: float, order: str) -> Array:
    """(n, hidden) targets T for activations H; of two orders the later one is met exactly."""
    for word in order.split("-"):
        H = _by_rank(H, p, _AXES[word])
    return H


def _by_rank(H: Array, p: float, axis: int) -> Array:
    """R^(1/p - 1) of the ranks along an axis; ties go by place."""
    n = H.shape[axis]
    value = np.array(
        [((r + 0.5) / (n - 0.5)) ** (1 / p - 1) for r in range(n)]
    )  # at most 1, so no target is too small
    value *= p * n / math.fsum(value)  # n ranks are not the whole line: their mean is made p exactly
    T = np.empty_like(H)
    ranked = np.expand_dims(np.minimum(value, 1), 1 - axis)
    np.put_along_axis(T, np.argsort(H, axis=axis, kind="stable"), ranked.astype(H.dtype), axis)
    return T
