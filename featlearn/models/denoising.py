"""Denoising autoencoder: an autoencoder that gives back the clean input of a corrupted one.

    x~ = corrupted x      h = f(W'x~ + c)      y = g(D h + b)      the loss compares y with the clean x

    masking           each value becomes 0 with probability nu
    salt-and-pepper   each value becomes 0 or 1, by a fair coin, with probability nu
    gaussian          normal noise of standard deviation nu is added to each value

    emphasis: errors of corrupted values count alpha, those of others beta

P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, Extracting and composing robust features with denoising
autoencoders, ICML 2008; with I. Lajoie, Stacked denoising autoencoders, JMLR 11, 2010 (the noises, emphasis). Codes are
of the clean input: corruption belongs to the training.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.autoencoder import Autoencoder
from featlearn.models.base import Array, Step
from featlearn.settings import setting


class Denoising(Autoencoder):
    """params: those of the autoencoder."""

    id = "denoising"
    training_defaults: ClassVar[dict[str, Any]] = {"batch_size": 20, "momentum": 0.0}
    rates: ClassVar[dict[str, float]] = {"sgd": 0.1}
    usual_loss: ClassVar[str] = "cross-entropy"

    @dataclass(frozen=True)
    class Config(Autoencoder.Config):
        tied: bool = setting(True, "decode with the encoder's weights")
        corruption: str = setting(
            "masking",
            "values become 0 (masking), 0 or 1 (salt-and-pepper), or get normal noise",
            choices=("masking", "salt-and-pepper", "gaussian"),
        )
        noise: float = setting(
            0.25, "share of corrupted values; gaussian: standard deviation of the noise; 0.5 may be better yet", low=0
        )
        emphasis: float = setting(1.0, "weight of the errors of corrupted values", low=0)
        clean_weight: float = setting(1.0, "weight of the errors of values left as they were", low=0)

        def __post_init__(self) -> None:
            super().__post_init__()
            emphasized = self.emphasis != 1 or self.clean_weight != 1
            if self.corruption != "gaussian" and self.noise > 1:
                raise ConfigError(f"--noise: got {self.noise:g}, a share of the values is at most 1")
            if self.corruption == "gaussian" and emphasized:
                raise ConfigError(
                    "--emphasis, --clean-weight: gaussian noise leaves no value as it was; use --corruption masking"
                )
            if not self.noise and emphasized:
                raise ConfigError("--emphasis, --clean-weight: with --noise 0 no value is corrupted; leave them out")
            if self.emphasis == self.clean_weight == 0:
                raise ConfigError("--emphasis, --clean-weight: with both 0 there is nothing to learn")

    config: Config

    @classmethod
    def settle(cls, config: Any, low: float, high: float) -> Any:
        if config.corruption == "salt-and-pepper" and (low < 0 or high > 1):
            raise ConfigError(
                f"--corruption salt-and-pepper: makes values 0 or 1, but the data lie in {low:g}..{high:g}; "
                "use --corruption masking or gaussian"
            )
        return super().settle(config, low, high)

    @classmethod
    def variants(cls) -> dict[str, Any]:
        kinds: dict[str, dict[str, Any]] = {
            "masking": {},
            "salt-and-pepper": {"corruption": "salt-and-pepper"},
            "gaussian": {"corruption": "gaussian"},
            "emphasis": {"emphasis": 1.0, "clean_weight": 0.5},
        }
        found = {}
        for kind, options in kinds.items():
            for loss in ("cross-entropy", "squared"):
                for tied in (True, False):
                    name = f"{kind}, {loss}{', tied' if tied else ''}"
                    settings: dict[str, Any] = {"tied": tied, "output_units": "sigmoid", "loss": loss}
                    found[name] = cls.Config(**cls.small, **settings, **options)
        return found

    def moving_loss(self) -> str | None:
        return "the corruption is drawn anew at every update" if self.config.noise else None

    def corrupt(self, X: Array, step: Step) -> tuple[Array, Array | None]:
        config = self.config
        if not config.noise:
            return X, None
        hit = np.empty_like(X)
        if config.corruption == "gaussian":
            _core.normal(hit, step.seed, step.draw(0))
            hit *= X.dtype.type(config.noise)
            return X + hit, None
        _core.bernoulli(hit, np.full_like(X, config.noise), step.seed, step.draw(0))
        C = X * (1 - hit)
        if config.corruption == "salt-and-pepper":
            salt = np.empty_like(X)
            _core.bernoulli(salt, np.full_like(X, 0.5), step.seed, step.draw(1))
            salt *= hit
            C += salt
        if config.emphasis == config.clean_weight == 1:
            return C, None
        return C, (config.clean_weight + (config.emphasis - config.clean_weight) * hit).astype(X.dtype)
