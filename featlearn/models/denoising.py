"""Denoising autoencoder: an autoencoder that gives back the clean input of a corrupted one.

    x~ = corrupted x      h = f(W'x~ + c)      y = g(D h + b)      the loss compares y with the clean x

    masking           each value becomes 0 with probability nu
    salt-and-pepper   each value becomes 0 or 1, by a fair coin, with probability nu
    gaussian          normal noise of standard deviation nu is added to each value

    emphasis: errors of corrupted values count alpha, those of others beta

P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, Extracting and composing robust features with denoising
autoencoders, ICML 2008; with I. Lajoie, Stacked denoising autoencoders, JMLR 11, 2010 (the noises, emphasis).
Codes are of the clean input: corruption belongs to the training.

Data within 0..1 get masking and sigmoid units. Other data get normal noise of twice their standard deviation,
and rectified units, which begin below their threshold where the data are normalized: to take so much noise
off a value means to let pass only what is large, which makes codes sparse (A. Hyvärinen, Sparse code
shrinkage, Neural Computation 11, 1999). So edges come of photographs; sigmoid units, or less noise, leave
them noise.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.autoencoder import Autoencoder
from featlearn.models.base import DataSummary, Step
from featlearn.models.base.papers import VINCENT_2008, VINCENT_2010
from featlearn.ops.activations import ACTIVATIONS, REMARKS
from featlearn.rows import Array
from featlearn.settings import fill, rounded, setting

# times the variance: rows whose mean square is more than that, of bright pictures, want smaller steps
LONG = 1.8
# the rate of bounded units at most, times the variance, over the units: a step along all codes of a row
STEEP = 180
SHARES = ("masking", "salt-and-pepper")  # of the values that are corrupted; normal noise hits them all
WHITE, PLAIN = 1.65, 1.1
"""Standard deviations of their total input that rectified units are at first below it: of whitened, of other
data."""


class Denoising(Autoencoder):
    """params: those of the autoencoder."""

    id = "denoising"
    title = "a denoising autoencoder"
    papers = (VINCENT_2008, VINCENT_2010)
    defaults = replace(
        Autoencoder.defaults,
        rates={"sgd": 10.0, "adam": 0.003},
        rate_unit="(whitened data: 2; others beyond 0..1: 1)",
        training={"optimizer": "sgd", "momentum": 0.0},
        batch_size=20,
    )

    @dataclass(frozen=True)
    class Config(Autoencoder.Config):
        activation: str = setting(
            "auto",
            f"{REMARKS}; auto: sigmoid for data within 0..1, else relu",
            choices=("auto", *ACTIVATIONS),
        )
        hidden_bias: float | None = setting(
            None,
            "initial bias of the hidden units  [default: 0; relu units with gaussian noise: "
            f"-{WHITE:g} standard deviations of what they get at first of whitened data, "
            f"-{PLAIN:g} of others that have no bounds]",
            low=-1000,
            high=1000,
        )
        corruption: str = setting(
            "auto",
            "values become 0 (masking), 0 or 1 (salt-and-pepper), or get normal noise; auto: "
            "masking for data within 0..1, else gaussian",
            choices=("auto", "masking", "salt-and-pepper", "gaussian"),
        )
        noise: float | None = setting(
            None,
            "share of corrupted values, or standard deviation of the gaussian noise  "
            "[default: 0.25; gaussian: twice that of the data]",
            low=0,
        )
        emphasis: float = setting(1.0, "weight of the errors of corrupted values", low=0)
        clean_weight: float = setting(1.0, "weight of the errors of values left as they were", low=0)

        def __post_init__(self) -> None:
            super().__post_init__()
            emphasized = self.emphasis != 1 or self.clean_weight != 1
            if self.corruption in SHARES and self.noise is not None and self.noise > 1:
                raise ConfigError(f"--noise: got {self.noise:g}, a share of the values is at most 1")
            if self.corruption == "gaussian" and emphasized:
                raise ConfigError(
                    "--emphasis, --clean-weight: gaussian noise leaves no value as it was; "
                    "use --corruption masking"
                )
            if self.noise == 0 and emphasized:
                raise ConfigError(
                    "--emphasis, --clean-weight: with --noise 0 no value is corrupted; leave them out"
                )
            if self.emphasis == self.clean_weight == 0:
                raise ConfigError("--emphasis, --clean-weight: with both 0 there is nothing to learn")

    config: Config

    @classmethod
    def resolve(cls, config: Any, data: DataSummary) -> Any:
        """Choose units and noise that fit the data; the rest as an autoencoder does. Raises ConfigError."""
        pixels, spread = data.known_within(0, 1), data.spread or 1.0
        if pixels is None and "auto" in (config.activation, config.corruption):
            raise ConfigError("--activation, --corruption: auto wants the range of the data; say which")
        if config.activation == "auto":
            config = replace(config, activation="sigmoid" if pixels else "relu")
        if config.corruption == "auto":
            emphasized = config.emphasis != 1 or config.clean_weight != 1  # which normal noise does not know
            config = replace(config, corruption="masking" if pixels or emphasized else "gaussian")
        gaussian = config.corruption == "gaussian"
        silent = gaussian and config.activation == "relu" and data.high == math.inf
        config = fill(config, {"noise": 2 * spread if gaussian else 0.25})
        if config.corruption == "salt-and-pepper" and data.known_within(0, 1) is False:
            raise ConfigError(
                f"--corruption salt-and-pepper: makes values 0 or 1, but {data.words}; "
                "use --corruption masking or gaussian"
            )
        found = super().resolve(config, data)
        if not silent or config.hidden_bias is not None:
            return found
        weight = found.init_scale / (1 if found.init == "normal" else math.sqrt(3))  # a standard deviation
        total_input = weight * math.sqrt(data.n_visible * (spread**2 + found.noise**2))
        return replace(found, hidden_bias=rounded(-(WHITE if data.whitened else PLAIN) * total_input))

    @classmethod
    def usual_rates(cls, config: Any, data: DataSummary) -> dict[str, float]:
        """Return large rates for sigmoid outputs and small ones for rectified units.

        They are smaller where values have much in common.
        """
        sgd = cls.defaults.rates["sgd"] if data.known_within(0, 1) else 2.0 if data.whitened else 1.0
        if data.variance and data.square:
            sgd = min(sgd, LONG * sgd * data.variance / data.square, STEEP * data.variance / config.hidden)
            sgd = rounded(sgd)
        return {**cls.defaults.rates, "sgd": sgd}

    @classmethod
    def variants(cls) -> dict[str, Any]:
        kinds: dict[str, dict[str, Any]] = {
            "masking": {"corruption": "masking"},
            "salt-and-pepper": {"corruption": "salt-and-pepper"},
            "gaussian": {"corruption": "gaussian"},
            "dropout": {"corruption": "salt-and-pepper", "hidden_dropout": 0.4},
            "emphasis": {"corruption": "masking", "emphasis": 1.0, "clean_weight": 0.5},
        }
        found = {}
        for kind, options in kinds.items():
            for loss in ("cross-entropy", "squared"):
                for tied in (True, False):
                    name = f"{kind}, {loss}{', tied' if tied else ''}"
                    settings: dict[str, Any] = {
                        "activation": "sigmoid",
                        "tied": tied,
                        "output_units": "sigmoid",
                    }
                    settings["loss"] = loss
                    found[name] = cls.Config(**cls.small, **settings, **options)
        return found

    def draws_anew(self) -> str:
        return "the corruption is drawn anew at every update" if self.config.noise else super().draws_anew()

    def corrupt(self, X: Array, step: Step) -> tuple[Array, Array | None]:
        config = self.config
        if not config.noise:
            return X, None
        hit = np.empty_like(X)
        if config.corruption == "gaussian":
            _core.normal(hit, step.seed, step.draw(0), step.before(hit))
            hit *= X.dtype.type(config.noise)
            return X + hit, None
        _core.bernoulli(hit, np.full_like(X, config.noise), step.seed, step.draw(0), step.before(X))
        C = X * (1 - hit)
        if config.corruption == "salt-and-pepper":
            salt = np.empty_like(X)
            _core.bernoulli(salt, np.full_like(X, 0.5), step.seed, step.draw(1), step.before(X))
            salt *= hit
            C += salt
        if config.emphasis == config.clean_weight == 1:
            return C, None
        return C, (config.clean_weight + (config.emphasis - config.clean_weight) * hit).astype(X.dtype)
