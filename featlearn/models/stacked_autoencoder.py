"""Stacked autoencoder: autoencoders of one kind, each learned from the codes of the one below.

Corruption is only for the layer that learns: it sees clean codes of clean rows, and corrupts those (P.
Vincent, H. Larochelle, I. Lajoie, Y. Bengio, P.-A. Manzagol, Stacked denoising autoencoders, JMLR 11, 2010).
"""

from dataclasses import dataclass
from typing import Any

from featlearn.errors import ConfigError
from featlearn.models.base import MAX_UNITS
from featlearn.models.base.papers import VINCENT_2010
from featlearn.models.stack import HIDDEN, LayerSettings, Stack, in_layer
from featlearn.settings import setting

KINDS = ("autoencoder", "denoising", "k-sparse", "sparse-autoencoder")


class StackedAutoencoder(Stack):
    """A stack of autoencoders."""

    id = "stacked-autoencoder"
    title = "a stacked autoencoder"
    papers = (VINCENT_2010,)
    small = {"hidden": (5, 3)}  # noqa: RUF012 - declared in Model

    @dataclass(frozen=True)
    class Config(Stack.Config):
        layer: tuple[str, ...] = setting(
            ("denoising",),
            f"the kind of the layers: {', '.join(KINDS)}, with their settings and those of their training: "
            "denoising:noise=0.1,lr=5; or again for each",
            metavar="LAYER",
        )
        hidden: tuple[int, ...] | None = setting((1000, 1000, 1000), HIDDEN, low=1, high=MAX_UNITS)

    @classmethod
    def layer_settings(cls, config: Any) -> list[LayerSettings]:
        layers = super().layer_settings(config)
        for i, layer in enumerate(layers, 1):
            with in_layer(i):
                if layer.model not in KINDS:
                    raise ConfigError(
                        f"--layer {layer.model}: is no autoencoder ({', '.join(KINDS)}); "
                        "--model stack takes any"
                    )
        return layers
