"""Sparse autoencoder: the mean activation of hidden units over the batch is held to a small rho.

    J = 1/n sum |y - x|^2 / 2 + lambda/2 (|W|^2 + |D|^2) + beta sum_j KL(rho || rho_j)
    rho_j = 1/n sum over cases of h_j
    KL(rho || q) = rho log(rho / q) + (1 - rho) log((1 - rho) / (1 - q))
    delta_h = (D'delta_y + beta (-rho / rho_j + (1 - rho) / (1 - rho_j))) f'

A. Ng, Sparse autoencoder, CS294A lecture notes, Stanford 2011. lambda is the weight decay of the training
(--decay l2 --decay-weight), not applied to biases. rho_j is a mean over the batch, so the method wants all
rows at once (L-BFGS, as in the lecture) or large batches. With tanh units, which rest at -1, (1 + h) / 2
stands for h. The error is divided by the data's variance (autoencoder.py), so beta and lambda mean the same
on all data; the lecture's J is that of --loss-scale 1, and its settings for photographs are --hidden 25
--sparsity-target 0.01 --sparsity-weight 3. --sparsity-target is rho, --sparsity-weight beta.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from featlearn.models.autoencoder import Autoencoder
from featlearn.models.base import DataSummary
from featlearn.models.base.papers import NG_2011
from featlearn.ops.activations import REMARKS
from featlearn.ops.reduce import column_mean
from featlearn.rows import Array
from featlearn.settings import fill, setting


class SparseAutoencoder(Autoencoder):
    """params: those of the autoencoder."""

    id = "sparse-autoencoder"
    title = "a sparse autoencoder"
    papers = (NG_2011,)
    usual_loss: ClassVar[str] = "squared"
    defaults = replace(Autoencoder.defaults, training={"optimizer": "lbfgs", "decay": "l2"})

    @dataclass(frozen=True)
    class Config(Autoencoder.Common):
        slope = None
        activation: str = setting(
            "sigmoid", REMARKS.partition(" relu")[0].rstrip(","), choices=("sigmoid", "tanh")
        )
        tied: bool = setting(False, "decode with the encoder's weights")
        sparsity_target: float | None = setting(
            None,
            "target mean activation of each hidden unit  [default: 0.1; whitened data: 0.02]",
            above=0,
            below=1,
        )
        sparsity_weight: float = setting(0.5, "weight of the sparsity penalty", low=0)

    config: Config

    @classmethod
    def resolve(cls, config: Any, data: DataSummary) -> Any:
        """Ask for sparser codes of whitened data; the rest as an autoencoder does."""
        return super().resolve(fill(config, {"sparsity_target": 0.02 if data.whitened else 0.1}), data)

    @classmethod
    def variants(cls) -> dict[str, Any]:
        found = {}
        for f in ("sigmoid", "tanh"):
            for g, loss in (("sigmoid", "squared"), ("sigmoid", "cross-entropy"), ("linear", "squared")):
                for tied in (False, True):
                    name = f"{f}, {g} output, {loss}{', tied' if tied else ''}"
                    settings: dict[str, Any] = {
                        "activation": f,
                        "tied": tied,
                        "output_units": g,
                        "loss": loss,
                        "sparsity_target": 0.1,
                    }
                    found[name] = cls.Config(**cls.small, **settings)
        return found

    @property
    def rho(self) -> float:
        assert self.config.sparsity_target is not None
        return self.config.sparsity_target

    @property
    def wanted_activity(self) -> tuple[float, float]:
        rest = -1.0 if self.config.activation == "tanh" else 0.0
        return rest, rest + (1 - rest) * self.rho

    def remedies(self) -> dict[str, dict[str, Any]]:
        """Units that hardly ever speak can say nothing of the data."""
        wider = {"nothing": {"sparsity_target": max(self.rho, 0.1)}}
        return (
            super().remedies() | wider | {"activity": {"sparsity_weight": 10 * self.config.sparsity_weight}}
        )

    def _mean_activations(self, H: Array) -> tuple[Array, float]:
        """Return q (hidden,), of 0..1, and its derivative by the mean code."""
        scale = 1.0 if self.config.activation == "sigmoid" else 0.5
        q = column_mean(H) * scale + (1 - scale)
        tiny = np.finfo(q.dtype).eps
        return np.clip(q, tiny, 1 - tiny), scale  # a unit that never fires has an infinite penalty

    def bend(self, H: Array) -> Array:
        q, scale = self._mean_activations(H)
        rho = self.rho
        found = self.config.sparsity_weight * scale**2 * (rho / np.square(q) + (1 - rho) / np.square(1 - q))
        return np.asarray(found, H.dtype)

    def penalty(self, H: Array) -> tuple[float, Array | None, dict[str, float]]:
        """beta sum_j KL(rho || rho_j); "deviation" is the largest |rho_j - rho|, "kl" the sum."""
        rho, beta = self.rho, self.config.sparsity_weight
        q, scale = self._mean_activations(H)
        kl = math.fsum(
            rho * math.log(rho / p) + (1 - rho) * math.log((1 - rho) / (1 - p)) for p in q.tolist()
        )
        row = beta * scale * ((1 - rho) / (1 - q) - rho / q)
        return beta * kl, row.astype(H.dtype), {"kl": kl, "deviation": float(np.abs(q - rho).max())}
