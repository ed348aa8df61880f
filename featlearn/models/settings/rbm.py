"""Settings of the restricted Boltzmann machine, with the defaults, rates and advice that data decide."""

import math
from dataclasses import dataclass, replace
from typing import Any

from featlearn.errors import ConfigError
from featlearn.models.base import DRAWS, MAX_UNITS, UNIT_SPREAD, DataSummary, Defaults, HiddenConfig, Layer
from featlearn.models.settings.visible import kind_for, log_odds, visible_setting
from featlearn.ops.dense import Dense
from featlearn.ops.sparsity import SparsityConfig
from featlearn.settings import fill, rounded, setting

RATE = 8.0  # of usual_rates, over the mean squared length of a row
BLEND = 0.5  # of targets from a file
SHORTEST = 80  # the least squared length that counts
WIDE = 1.5  # that of gaussian visible units, for each hidden unit
LOUD = 2.5  # times the data's standard deviation: a sigma that leaves little to learn
REFINE = 2.56  # times the inverse of the variance: the rate of the refinement
INIT_SCALES = {"normal": 0.01, "identity": 0.5}  # of the initial weights
DATA_DRAW = DRAWS - 1  # the draw that makes pixels of grey values; Gibbs step k has the draws 2k and 2k + 1
LABEL_DRAW = DRAWS // 2  # the first draw of labels, one for each Gibbs step
MOST_STEPS = (LABEL_DRAW - 2) // 2  # of Gibbs sampling in an update, that its draws stay below


class RBMSettings(Layer):
    """A model with the settings of an RBM (models/rbm.py)."""

    defaults = Defaults(
        rates={"sgd": RATE},
        rate_unit="over the mean squared length of a row, at most 0.1 (gaussian: half of it)",
        training={"lr_schedule": "constant"},
        shows={"none": "spots", "l1": "spots", "l2": "blobs"},
    )

    @dataclass(frozen=True)
    class Config(SparsityConfig, HiddenConfig):
        visible: str = visible_setting()
        units: str = setting("binary", "kind of hidden units", choices=("binary", "rectified"))
        hidden_targets: str | None = setting(
            None,
            "target activities of the hidden units, to be blended in: one row per row of the data, or "
            "one for all (.npy, .csv, .h5, ...)",
            off="none",
            metavar="FILE",
        )
        blend: float | None = setting(
            None,
            "share of --hidden-targets in the statistics of the data  [default: 0.5]",
            low=0,
            high=1,
            off="no --hidden-targets",
            needs="hidden_targets",
        )
        sigma: float = setting(1.0, "standard deviation of gaussian visible units", above=0, high=1e9)
        learn_sigma: bool = setting(
            False, "learn the standard deviation of each gaussian visible unit, from --sigma"
        )
        sigma_rate: float = setting(
            0.1, "learning rate of the log variances, in units of --lr", above=0, needs="learn_sigma"
        )
        cd: int = setting(1, "Gibbs steps of contrastive divergence (CD-k, PCD-k)", low=1, high=MOST_STEPS)
        persistent: bool = setting(False, "persistent chains (PCD), for a better density model")
        chains: int = setting(100, "number of persistent chains", low=1, high=MAX_UNITS, needs="persistent")
        sample_visible: bool = setting(
            False,
            "sample visible units in the negative phase too, for a better density model",
            without="persistent",
        )
        sample_data: bool = setting(
            False, "resample binary pixels from grey levels at every update (dynamic binarization)"
        )
        centered: bool = setting(
            False, "centered gradient, which learns a picture and its negative equally well"
        )
        offset_rate: float = setting(
            0.01, "how fast the offsets of --centered follow the data", above=0, high=1, needs="centered"
        )
        init: str = setting(
            "normal",
            "initial weights: small normal numbers, or a scaled identity",
            choices=("normal", "identity"),
        )
        init_scale: float | None = setting(
            None,
            "standard deviation or diagonal of the initial weights  [default: 0.01 normal, 0.5 identity]",
            low=0,
            high=1000,
        )
        visible_bias: str = setting(
            "data",
            "initial visible bias: log-odds (bernoulli) or mean (gaussian) of each pixel, or zero",
            choices=("data", "zero"),
        )
        hidden_bias: float | None = setting(
            None,
            "initial hidden bias  [default: 0, or log(t / (1 - t)) with a sparsity target t; "
            "rectified units: 0]",
            low=-1000,
            high=1000,
        )
        refine: int = setting(0, "autoencoder refinement after CD, in mini-batch updates", low=0)
        refine_lr: float | None = setting(
            None,
            "learning rate of the refinement  [default: 2.56 over the data's variance, summed over a row]",
            above=0,
            needs="refine",
            off="no refinement",
        )
        refine_decay: bool = setting(True, "weight decay goes on during the refinement", needs="refine")

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.visible == "bernoulli" and (self.learn_sigma or self.sigma != 1):
                raise ConfigError(
                    "--sigma, --learn-sigma: bernoulli visible units have none; use --visible gaussian"
                )
            if self.visible == "gaussian" and self.sample_data:
                raise ConfigError("--sample-data: makes binary pixels; use --visible bernoulli")
            if (
                self.units == "rectified"
                and self.sparsity_target is not None
                and self.sparsity_method != "hinton"
            ):
                raise ConfigError(
                    f"--sparsity-method {self.sparsity_method}: made for probabilities; "
                    "rectified units have --sparsity-method hinton"
                )

    config: Config

    @classmethod
    def resolve(cls, config: Config, data: DataSummary) -> Config:
        """Choose visible units that fit the data, initial values and the strength of the pull."""
        kind = kind_for(config.visible, data)
        if kind != config.visible:
            config = replace(config, visible=kind)
        sparse = config.sparsity_target if config.units == "binary" else None
        usual = {
            "init_scale": INIT_SCALES[config.init],
            "hidden_bias": 0.0 if sparse is None else log_odds(sparse),
            "sparsity_weight": config.usual_sparsity_weight,
            "refine_lr": rounded(REFINE / (data.variance or data.n_visible)) if config.refine else None,
        }
        if config.hidden_targets is not None:
            usual["blend"] = BLEND
        return fill(config, usual)

    @classmethod
    def usual_rates(cls, config: Config, data: DataSummary) -> dict[str, float]:
        """8 over the mean squared length of a row, a factor in the weights' gradient, but at most .1.

        Gaussian visible units follow what all hidden units say together: there it is half of that, and at
        most 8/3 over the number of hidden units; a fortieth of this with rectified units, which have no
        bound, and a hundredth with persistent chains, which nothing brings back to the data. Lengths are in
        units of sigma, which weights have too: sigma^2 times that rate takes the steps of sigma 1 on data
        divided by sigma.
        """
        least: float = SHORTEST
        rate, unit = RATE, 1.0
        if config.visible == "gaussian":
            rate, unit = RATE / 2, config.sigma**2
            times = 100 if config.persistent else 40 if config.units == "rectified" else 1
            least = WIDE * config.hidden * times
        return {"sgd": rounded(unit * rate / max((data.square or unit * data.n_visible) / unit, least))}

    @classmethod
    def wanted_spread(cls, config: Config, data: DataSummary) -> tuple[float, float] | None:
        """About 1, that of gaussian visible units; a sigma that is given is one for the data as they are."""
        bernoulli = config.visible == "bernoulli" or (config.visible == "auto" and data.known_within(0, 1))
        return None if bernoulli or config.sigma != 1 else UNIT_SPREAD

    @classmethod
    def doubts(cls, config: Config, data: DataSummary) -> str:
        """A sigma far above the deviation of the data: what is smaller than sigma is noise to the model."""
        times = config.sigma / (data.spread or math.inf)
        if config.visible == "bernoulli" or config.learn_sigma or times < LOUD:
            return ""
        return (
            f"--sigma {config.sigma:g} is {times:.2g} times the data's standard deviation: "
            "it takes most of them for noise, and learns little; leave it out"
        )

    @property
    def wanted_activity(self) -> tuple[float, float] | None:
        return None if self.config.sparsity_target is None else (0.0, self.config.sparsity_target)

    def remedies(self) -> dict[str, dict[str, Any]]:
        """Return settings that help; a target makes edges of photographs, but no better codes of digits.

        H. Lee, C. Ekanadham, A. Ng, Sparse deep belief net model for visual area V2, NIPS 2007.
        """
        edges: dict[str, Any] = {
            "sparsity_target": self.config.sparsity_target or 0.02,
            "lr": 0.1,
            "lr_schedule": "linear",
        }
        found: dict[str, dict[str, Any]] = {"noise": edges, "activity": {"lr": 0.1}}
        if self.config.sigma != 1:
            edges["sigma"] = None
            found["nothing"] = {"sigma": None}
        if self.config.sparsity_target is not None:
            found |= {
                "classifier": {"sparsity_target": None},
                "dead": {"sparsity_weight": (self.config.sparsity_weight or 1.0) / 10},
            }
        if (self.config.hidden_bias or 0) > 0:
            found["saturated"] = {"hidden_bias": None}
        return found

    @classmethod
    def settings_like(cls, encoder: Dense, decoder: Dense) -> dict[str, Any]:
        units = {"sigmoid": "binary", "relu": "rectified"}.get(encoder.activation)
        visible = {"sigmoid": "bernoulli", "linear": "gaussian"}.get(decoder.activation)
        if units is None or visible is None:
            raise ConfigError(
                f"its units are {encoder.activation}, its outputs {decoder.activation}; "
                "those of an RBM are sigmoid or relu, and sigmoid or linear"
            )
        if not decoder.is_mirror_of(encoder):
            raise ConfigError("its decoder has weights of its own, and an RBM has one set")
        return {"hidden": encoder.units, "units": units, "visible": visible, "sigma": 1.0}

    def begin_as(self, encoder: Dense, decoder: Dense) -> None:
        for name, value in {"W": encoder.W, "b": decoder.c, "c": encoder.c}.items():
            self.params[name][...] = value
