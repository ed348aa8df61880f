"""Settings of the k-sparse autoencoder, and what follows from them and the data: defaults, scale, advice."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

from featlearn.errors import ConfigError
from featlearn.models.base import DataSummary, Defaults, HiddenConfig, Layer
from featlearn.models.settings.outputs import OutputConfig, are_bounded, resolve_outputs
from featlearn.settings import fill, number_of, setting

ACTIVATIONS = ("linear", "relu", "sigmoid", "tanh")
OUTPUTS = ("sigmoid", "tanh", "linear")
ALPHA = 3.0  # the default, as the next three
RAMP = 0.5
AUX_WEIGHT = 1 / 32
INIT_SCALE = 0.01
START, WIDEST = 12, 0.3
"""k starts at 12 k, but more than .3 of the units would learn noise at first, and keep it."""
SPREAD = (0.15, 2.0)
"""The standard deviations of values that its rates are made for."""


class KSparseSettings(Layer):
    """A model with the settings of a k-sparse autoencoder (models/k_sparse.py)."""

    small: ClassVar[dict[str, Any]] = {"hidden": 6, "k": 2}
    defaults = Defaults(
        rates={"sgd": 0.5},
        rate_unit="(sigmoid units: 4)",
        training={"lr_schedule": "constant"},
        patches={"size": 8, "normalize": "center", "whiten": "zca"},
    )

    @dataclass(frozen=True)
    class Config(OutputConfig, HiddenConfig):
        k: int = setting(
            5,
            "hidden units that a row may use, or their share of all: 2.5%, rounded to the nearest number of "
            "units, a half up, and at least 1",
            low=1,
            share=True,
        )
        alpha: float | None = setting(
            None,
            "codes hold the alpha * k largest activations; reconstructions take k  [default: 3]",
            low=1,
            off="a threshold",
        )
        k_start: int | None = setting(
            None,
            "initial k, against dead units  [default: 12 k, at most 0.3 --hidden]",
            low=1,
        )
        k_ramp: float | None = setting(
            None,
            "share of the training in which k falls from --k-start to --k  [default: 0.5]",
            above=0,
            high=1,
            off="k does not fall",
        )
        activation: str = setting(
            "linear", "function f of the activations that are kept", choices=ACTIVATIONS
        )
        output_units: str = setting(
            "linear",
            "output units; auto: sigmoid for data within 0..1, else linear",
            choices=("auto", *OUTPUTS),
        )
        tied: bool = setting(True, "decode with the weights of the encoder; else with its own")
        pre_bias: str = setting(
            "mean",
            "taken off the data before encoding: nothing, their mean, or the learned output bias",
            choices=("none", "mean", "learned"),
        )
        unit_norm: bool = setting(False, "keep every feature of the decoder at norm 1")
        init_scale: float | None = setting(
            None,
            "standard deviation of the initial weights  [default: 0.01]",
            above=0,
            high=1000,
            off="norm 1",
        )
        batch_top_k: bool = setting(
            False, "keep the largest activations of a minibatch, k per row only on average"
        )
        aux_k: int | None = setting(
            None, "dead units that learn from what a reconstruction leaves over", low=1, off="none"
        )
        aux_weight: float | None = setting(
            None, "weight of the loss of --aux-k  [default: 1/32]", above=0, off="no --aux-k"
        )
        dead_after: int = setting(100_000, "rows without use after which a unit counts as dead", low=1)
        matryoshka: str | None = setting(
            None, "also learn to reconstruct from the first units alone: how many, e.g. 16,64", off="no"
        )

        def __post_init__(self) -> None:
            object.__setattr__(self, "k", number_of("--k", self.k, self.hidden))
            super().__post_init__()
            if self.k > self.hidden:
                raise ConfigError(
                    f"--k {self.k}: more than --hidden {self.hidden}; lower --k or raise --hidden"
                )
            if self.k_start is not None and not self.k <= self.k_start <= self.hidden:
                raise ConfigError(
                    f"--k-start {self.k_start}: must lie between --k {self.k} and --hidden {self.hidden}; "
                    f"--k-start {self.k} keeps k as it is"
                )
            if self.k_ramp is not None and self.start == self.k:
                raise ConfigError(f"--k-ramp: k does not fall; give a --k-start above {self.k}")
            if self.batch_top_k and self.alpha is not None:
                raise ConfigError(
                    "--alpha: codes of --batch-top-k keep what exceeds a threshold; leave out one of them"
                )
            if self.pre_bias == "learned" and self.output_units not in ("auto", "linear"):
                raise ConfigError(
                    "--pre-bias learned: the bias of linear outputs, the data's own scale; "
                    "use --output-units linear, or --pre-bias mean"
                )
            if self.unit_norm and self.init_scale is not None:
                raise ConfigError(
                    "--init-scale: features begin with norm 1; leave it out, or take --no-unit-norm"
                )
            if self.aux_weight is not None and self.aux_k is None:
                raise ConfigError("--aux-weight without an auxiliary loss: add --aux-k, e.g. --aux-k 32")
            if self.matryoshka is not None:
                _widths(self.matryoshka, self.hidden)

        @property
        def start(self) -> int:
            """k at the start."""
            return (
                max(self.k, min(START * self.k, int(WIDEST * self.hidden)))
                if self.k_start is None
                else self.k_start
            )

        @property
        def sections(self) -> list[slice]:
            """The units between one Matryoshka prefix and the next; all of them without."""
            widths = [self.hidden] if self.matryoshka is None else _widths(self.matryoshka, self.hidden)
            return [slice(*pair) for pair in pairwise([0, *widths])]

    config: Config

    @classmethod
    def variants(cls) -> dict[str, Any]:
        modern = {"batch_top_k": True, "unit_norm": True, "aux_k": 2, "dead_after": 50, "matryoshka": "2,4"}
        made: dict[str, dict[str, Any]] = {
            "tied": {},
            "untied": {"tied": False},
            "rectified": {"activation": "relu"},
            "rectified, untied": {"activation": "relu", "tied": False},
            "no pre-bias": {"pre_bias": "none"},
            "learned pre-bias": {"pre_bias": "learned"},
            "learned pre-bias, untied": {"pre_bias": "learned", "tied": False},
            "batch top-k": {"batch_top_k": True},
            "matryoshka": {"matryoshka": "2,4"},
            "matryoshka, untied": {"matryoshka": "2,4", "tied": False},
            "unit norm": {"unit_norm": True},
            "sigmoid outputs": {"output_units": "sigmoid", "activation": "sigmoid"},
            "sigmoid outputs, squared": {"output_units": "sigmoid", "loss": "squared", "tied": False},
            "tanh": {"output_units": "tanh", "activation": "tanh", "matryoshka": "2,4"},
            "modern": modern | {"tied": False, "activation": "relu", "pre_bias": "learned"},
        }
        return {name: cls.Config(**cls.small, **options) for name, options in made.items()}

    @classmethod
    def resolve(cls, config: Config, data: DataSummary) -> Config:
        """Fill in what is not said; None stays where the setting has nothing to do. Raises ConfigError."""
        config = resolve_outputs(config, data, "cross-entropy")
        usual = {
            "alpha": None if config.batch_top_k else ALPHA,
            "k_start": config.start,
            "k_ramp": RAMP if config.start > config.k else None,
            "init_scale": None if config.unit_norm else INIT_SCALE,
            "aux_weight": None if config.aux_k is None else AUX_WEIGHT,
        }
        return fill(config, usual)

    @classmethod
    def usual_rates(cls, config: Any, data: DataSummary) -> dict[str, float]:
        """Return rates that make up for the flatness of a sigmoid."""
        return {"sgd": 4.0} if config.activation == "sigmoid" else dict(cls.defaults.rates)

    @classmethod
    def wanted_spread(cls, config: Any, data: DataSummary) -> tuple[float, float] | None:
        """As pixels in 0..1 or whitened values have it, but for outputs that have a range of their own."""
        return None if are_bounded(config, data) else SPREAD

    @classmethod
    def takes_mean_off(cls, config: Any) -> bool:
        return bool(config.pre_bias != "none")

    def remedies(self) -> dict[str, dict[str, Any]]:
        """Units that a row never used learn nothing: more of them take part at first."""
        usual = replace(self.config, k_start=None, k_ramp=None).start
        wider = {"k_start": usual} if self.config.start < usual else {}
        return {"dead": wider, "unlearned": wider}


def _widths(text: str, hidden: int) -> list[int]:
    """ "16,64" -> [16, 64, hidden]. Raises ConfigError."""
    try:
        widths = [int(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"--matryoshka {text!r}: must be numbers of units, e.g. 16,64") from None
    widths += [hidden] if widths[-1] != hidden else []
    if len(widths) < 2 or widths[0] < 1 or sorted(set(widths)) != widths:
        raise ConfigError(
            f"--matryoshka {text!r}: must ascend within 1..{hidden - 1}, e.g. {max(1, hidden // 4)}"
        )
    return widths
