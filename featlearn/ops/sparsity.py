"""Three published ways to make hidden units rarely active; p is the target mean activation.

hinton   q, a decaying average of each unit's mean activation, is pulled to p by the gradient q - p of a
         cross-entropy on the unit's total input, so on bias and incoming weights alike (the Guide, section
         11)
lee      the gradient of weight * sum_j (p - mean h_j)^2 over the minibatch, followed by the bias alone
         (H. Lee, C. Ekanadham, A. Ng, Sparse deep belief net model for visual area V2, NIPS 2007)
goh      the data's activations in the statistics are replaced by (1 - weight) h + weight T, where T ranks h
         and makes of each rank R in 0..1 the target R^(1/p - 1), whose mean is p: over the examples
         (selective units), over the units (sparse codes), or over one after the other (H. Goh, N. Thome,
         M. Cord, Biasing restricted Boltzmann machines to manipulate latent selectivity and sparsity, NIPS
         workshop 2010)
"""

import math
from dataclasses import dataclass

import numpy as np

from featlearn.errors import ConfigError
from featlearn.ops.reduce import column_mean
from featlearn.rows import Array
from featlearn.settings import check, setting

WEIGHTS = {"hinton": 1.0, "lee": 10.0, "goh": 1.0}
ORDERS = ("selective-sparse", "sparse-selective", "selective", "sparse")
_AXES = {"selective": 0, "sparse": 1}


@dataclass(frozen=True)
class SparsityConfig:
    """Settings of a model whose hidden units can be held to a target mean activation."""

    sparsity_target: float | None = setting(
        None,
        "target mean activation of the hidden units, e.g. 0.02",
        above=0,
        below=1,
        off="no target",
    )
    sparsity_method: str = setting(
        "hinton",
        "how to reach the target: cross-entropy on bias and weights, Lee's on the bias, Goh's ranks",
        choices=("hinton", "lee", "goh"),
        needs="sparsity_target",
    )
    sparsity_weight: float | None = setting(
        None,
        "strength of the pull to the sparsity target  [default: 1, lee: 10]",
        low=0,
        needs="sparsity_target",
        off="no target",
    )
    sparsity_memory: float = setting(
        0.95,
        "hinton: decay of the running mean that meets the target",
        low=0,
        below=1,
        needs="sparsity_target sparsity_method=hinton",
    )
    sparsity_order: str = setting(
        "selective-sparse",
        "goh: over the examples (selective), over the units (sparse), or one after the other",
        choices=ORDERS,
        needs="sparsity_target sparsity_method=goh",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.sparsity_method == "goh" and (self.sparsity_weight or 0) > 1:
            raise ConfigError(
                f"--sparsity-weight {self.sparsity_weight:g}: with --sparsity-method goh it is a share, "
                "0 to 1"
            )

    @property
    def usual_sparsity_weight(self) -> float | None:
        """The strength of the pull where none is given; None without a target."""
        return None if self.sparsity_target is None else WEIGHTS[self.sparsity_method]


def targets(config: SparsityConfig, H: Array) -> Array:
    """Return what stands for activations H (n, hidden) in the statistics: H, or mixed with Goh's targets."""
    if config.sparsity_target is None or config.sparsity_method != "goh" or config.sparsity_weight is None:
        return H
    return np.asarray(
        H + config.sparsity_weight * (goh_targets(H, config.sparsity_target, config.sparsity_order) - H)
    )


def add_pull(
    config: SparsityConfig, grads: dict[str, Array], state: dict[str, Array], X: Array, H: Array
) -> None:
    """Add the gradient of Hinton's or Lee's penalty to that of W (visible, hidden) and c (hidden,), in place.

    X (n, visible) is what the hidden units see of a minibatch, H (n, hidden) their activations; Hinton's
    running means state["q"] (hidden,) take them in.
    """
    if config.sparsity_target is None or config.sparsity_weight is None or config.sparsity_method == "goh":
        return
    if config.sparsity_method == "lee":
        grads["c"] += lee_pull(H, config.sparsity_target, config.sparsity_weight)
        return
    memory = config.sparsity_memory
    state["q"] = memory * state["q"] + (1 - memory) * column_mean(H)
    pull = hinton_pull(state["q"], config.sparsity_target, config.sparsity_weight)
    grads["c"] += pull
    grads["W"] += np.outer(column_mean(X), pull)


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
    # at most 1, so no target is too small
    value = np.array([((r + 0.5) / (n - 0.5)) ** (1 / p - 1) for r in range(n)])
    value *= p * n / math.fsum(value)  # n ranks are not the whole line: their mean is made p exactly
    T = np.empty_like(H)
    ranked = np.expand_dims(np.minimum(value, 1), 1 - axis)
    np.put_along_axis(T, np.argsort(H, axis=axis, kind="stable"), ranked.astype(H.dtype), axis)
    return T
