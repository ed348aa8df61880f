"""Settings of SESM, and what follows from them and the data."""

from dataclasses import dataclass
from typing import Any

from featlearn.models.base import MAX_UNITS, DataSummary, Defaults, Layer
from featlearn.settings import check, fill, setting

SPREAD = (0.15, 0.6)
"""The standard deviations of values that it is made for: about .3."""
GAIN, SPARSIFYING_GAIN = 7.0, 1.0


class SESMSettings(Layer):
    """A model with the settings of SESM (models/sesm.py)."""

    defaults = Defaults(
        rates={"sgd": 0.1},
        rate_unit="(sparsifying logistic: 0.02)",
        decay_weights={"l1": 4e-4, "l2": 1e-4},
        training={"momentum": 0.0, "decay": "l1"},
        batch_size=10,
        patches={"size": 8, "normalize": "center", "whiten": "zca", "clip": 3.0, "to": (-0.9, 0.9)},
    )

    @dataclass(frozen=True)
    class Config:
        hidden: int = setting(100, "number of hidden units", low=1, high=MAX_UNITS)
        sparsity_weight: float | None = setting(
            None,
            "a_s, the weight of the penalty on codes, sum log(1 + l^2)  "
            "[default: 0.5; whitened data: 3; sparsifying logistic: 0]",
            low=0,
            high=1000,
        )
        code_error: float = setting(
            1.0, "a_e, the weight of |z - f_enc|^2, how far codes may leave the encoder", low=0, high=1000
        )
        tied: bool = setting(True, "decode with the weights of the encoder; else with its own")
        logistic: str = setting(
            "plain",
            "what makes a code of z; sparsifying: normalised by a running sum over the rows, of 2006",
            choices=("plain", "sparsifying"),
        )
        eta: float | None = setting(
            None,
            "share of the newest row in that sum; the smaller, the sparser the codes  [default: 0.1]",
            above=0,
            below=1,
            needs="logistic=sparsifying",
            off="no running sum",
        )
        gain: float | None = setting(
            None,
            "g, the steepness of the logistic; a large one makes codes nearly binary  "
            f"[default: {GAIN:g}; sparsifying logistic: {SPARSIFYING_GAIN:g}]",
            above=0,
            high=1000,
        )
        relax_steps: int = setting(
            5, "steps of the descent that relaxes a code; 0 trains on the encoder's", low=0, high=10_000
        )
        relax_step: float = setting(
            0.2,
            "length of such a step; halved for a code whose loss would rise",
            above=0,
            high=1000,
            needs="relax_steps",
        )
        hidden_bias: float = setting(
            -0.3, "initial c; 0 starts with every unit half on, and most are lost", low=-1000, high=1000
        )
        init_scale: float = setting(0.01, "standard deviation of the initial weights", low=0, high=1000)

        def __post_init__(self) -> None:
            check(self)

    config: Config

    @classmethod
    def resolve(cls, config: Config, data: DataSummary) -> Config:
        """Ask for sparser codes of whitened data, whose filters are noise else."""
        if config.logistic == "sparsifying":
            return fill(config, {"sparsity_weight": 0.0, "gain": SPARSIFYING_GAIN, "eta": 0.1})
        return fill(config, {"sparsity_weight": 3.0 if data.whitened else 0.5, "gain": GAIN})

    @classmethod
    def usual_rates(cls, config: Any, data: DataSummary) -> dict[str, float]:
        """Return a smaller rate where thresholds follow the codes: they must keep up with them."""
        return {"sgd": 0.02} if config.logistic == "sparsifying" else dict(cls.defaults.rates)

    @classmethod
    def wanted_spread(cls, config: Any, data: DataSummary) -> tuple[float, float]:
        """Return the spread of pixels in 0..1.

        The data's scale is part of the loss: the code, which has one of its own, comes of them directly.
        """
        return SPREAD
