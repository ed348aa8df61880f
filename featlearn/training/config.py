"""The settings of a training, whatever the model, and what each is when it is not said."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from featlearn.errors import ConfigError
from featlearn.models.base import DataSummary, Model, Phase
from featlearn.settings import check, fill, rounded, setting
from featlearn.training.optim import OPTIMIZERS, Decay, rates_in_words, readers, usual_rates

SHOWN = 1_000_000  # rows that a run shows a model by default, the same ones again
FEWEST, MOST = 5, 10_000  # passes over them
ITERATIONS, FEWEST_ITERATIONS = 400, 100  # of line searches on all rows: on few of them, on many
SEARCHED = 8_000_000  # rows times iterations in between
ALL = "all"  # rows in one minibatch
# the settings that do something where nothing is descended
STILL = ("batch_size", "data_scale", "validation", "validation_data")
SHORTER = ", ".join(f"{name} 1/{cls.worth} of that" for name, cls in OPTIMIZERS.items() if cls.worth > 1)
SEARCHING = ", ".join(name for name, cls in OPTIMIZERS.items() if cls.searches)
BY_STEPS = "use --optimizer " + " or ".join(name for name, cls in OPTIMIZERS.items() if not cls.searches)
RATES_IN_WORDS = rates_in_words(Model)


def batch_in_words(model: type[Model]) -> str:
    """Say the usual number of rows in a minibatch, with a model."""
    if model.defaults.length is not None:
        return f"{model.defaults.length_in_words[1]}; {SEARCHING}: all"
    return f"{model.defaults.batch_size}, or all of fewer rows; {SEARCHING}: all"


def usual_length(batch_size: int, n: int, config: Any) -> tuple[int, int]:
    """Return the epochs and the rows in a minibatch of n rows, with models that do not say another length."""
    return min(MOST, max(FEWEST, math.ceil(SHOWN / n))), batch_size


def _read_by(name: str) -> str:
    """Return what a setting needs that only some optimisers read."""
    return "optimizer=" + "|".join(readers(name))


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training, whatever the model."""

    epochs: int | None = setting(
        None,
        f"passes over the data  [default: as many as show a million rows, from {FEWEST} to {MOST:,}; "
        f"where each takes all rows at once {ITERATIONS}, of more than {SEARCHED // ITERATIONS:,} rows "
        f"fewer, down to {FEWEST_ITERATIONS}; of {SHORTER}]",
        low=1,
        off="as many as --updates take",
    )
    updates: int | None = setting(
        None,
        "updates in all, each of a minibatch, in place of --epochs; the last pass ends in its midst",
        low=1,
        off="as many as the epochs have",
    )
    batch_size: int | str | None = setting(
        None,
        f"rows in a minibatch, or {ALL} at once  [default: {batch_in_words(Model)}]",
        low=1,
        metavar=f"N|{ALL}",
    )
    optimizer: str = setting(
        next(iter(OPTIMIZERS)),
        "how parameters follow gradients: " + ", ".join(cls.title for cls in OPTIMIZERS.values()),
        choices=tuple(OPTIMIZERS),
    )
    searches: int = setting(
        3,
        f"line searches on a minibatch, of {SEARCHING}; on all rows it is one per epoch",
        low=1,
        needs=f"{_read_by('searches')} batch_size",
        without=f"batch_size={ALL}",
    )
    lr: float | None = setting(
        None,
        f"learning rate of {', '.join(readers('lr'))}  [default: {RATES_IN_WORDS}; or the model's]",
        above=0,
        needs=_read_by("lr"),
        off="no learning rate",
    )
    lr_schedule: str = setting(
        "linear",
        "learning rate over the run: constant, linear, cosine or exponential (to a hundredth), or adaptive, "
        "which rises while the loss falls from epoch to epoch and drops when it rises",
        choices=("constant", "linear", "cosine", "exponential", "adaptive"),
        needs=_read_by("lr_schedule"),
    )
    warm_up: int = setting(
        0,
        "updates over which the learning rate rises to the whole one first; the schedule follows",
        low=0,
        needs=_read_by("warm_up"),
    )
    momentum: float = setting(
        0.9, f"momentum of {', '.join(readers('momentum'))}", low=0, below=1, needs=_read_by("momentum")
    )
    initial_momentum: float = setting(
        0.5,
        "momentum of the first --initial-epochs",
        low=0,
        below=1,
        needs=f"initial_epochs {_read_by('initial_momentum')}",
    )
    initial_epochs: int = setting(
        0, "epochs with the initial momentum", low=0, needs=_read_by("initial_epochs")
    )
    average: float | None = setting(
        None,
        "keep the exponential average of the weights over updates, of this memory, e.g. 0.999; "
        "each epoch is measured by it",
        above=0,
        below=1,
        needs=_read_by("lr"),
        off="no average",
    )
    decay: str = setting("none", "weight decay; not applied to biases", choices=("none", "l1", "l2"))
    decay_weight: float | None = setting(
        None,
        "strength of the decay, of the sum of absolute weights (l1) or half the sum of squares (l2), "
        "multiplied by the learning rate  "
        "[default: 0.01 for l1, 0.1 for l2, or the model's]",
        low=0,
        off="no decay",
    )
    l1_method: str = setting(
        "soft",
        "L1 by soft threshold (weights become exactly zero) or by subgradient",
        choices=("soft", "subgradient"),
        needs="decay=l1",
    )
    data_scale: float | None = setting(
        None,
        "divide all values by this first  [default: 1, or what brings their standard "
        "deviation to where the model learns well]",
        low=1e-50,  # beyond all float32, but with a square
        high=1e50,
    )
    validation: float = setting(0.0, "share of the rows held out for validation", low=0, below=1)
    validation_data: str | None = setting(
        None,
        "hold out the rows of this data set, in place of a share; they are preprocessed as those that are "
        "learned from",
        metavar="DATASET",
        off="no such rows",
        without="validation",
    )
    patience: int | None = setting(
        None,
        "stop when the validation error has not fallen for N epochs; the best model is kept",
        low=1,
        off="never",
    )
    tolerance: float | None = setting(
        None,
        "stop when an epoch lowers the loss by less than this share of it, e.g. 1e-6",
        low=0,
        off="never",
    )

    def __post_init__(self) -> None:
        check(self)
        if isinstance(self.batch_size, str) and not self.all_rows:
            raise ConfigError(f"--batch-size: got {self.batch_size!r}, must be a whole number, or {ALL}")
        if None not in (self.epochs, self.updates):
            raise ConfigError(f"--epochs {self.epochs}, --updates {self.updates}: say one of them")
        if self.validation and self.validation_data is not None:
            raise ConfigError("--validation, --validation-data: say one of them, a share or a data set")
        if self.patience is not None and not (self.validation or self.validation_data):
            raise ConfigError(
                "--patience needs held-out rows: give --validation, e.g. 0.1, or --validation-data"
            )
        if self.decay == "none" and self.decay_weight:
            raise ConfigError(f"--decay-weight {self.decay_weight:g} without a decay: add --decay l1 or l2")
        if self.by_searches and self.decay == "l1":
            raise ConfigError(f"--decay l1: has no gradient at 0 for {self.optimizer} to follow; {BY_STEPS}")

    @property
    def by_searches(self) -> bool:
        """Whether the optimizer follows a loss by line searches."""
        return OPTIMIZERS[self.optimizer].searches

    @property
    def all_rows(self) -> bool:
        """Whether each update is of all rows at once."""
        return self.batch_size == ALL

    def scale(self, model: type[Model], config: Any, data: DataSummary) -> float:
        """Return what all values are divided by: as said, else so that the model learns well."""
        wanted, spread = model.wanted_spread(config, data), data.spread
        if (
            self.data_scale is not None
            or wanted is None
            or spread is None
            or wanted[0] <= spread <= wanted[1]
        ):
            return self.data_scale or 1.0
        return rounded(spread / math.sqrt(wanted[0] * wanted[1]))

    def resolve(self, model: type[Model], config: Any, data: DataSummary) -> "TrainConfig":
        """Fill in what is not said, for a model, its resolved config and such data; all that is said stays.

        Raises ConfigError for other epochs than the passes of a model that descends nothing.
        """
        descends, usual_batch = model.descends(), model.defaults.batch_size
        passes = 0 if descends else sum(phase.passes for phase in model(config).phases())
        if not descends and self.epochs not in (None, passes):
            raise ConfigError(
                f"--epochs {self.epochs}: a {model.id} model is not learned by epochs; leave it out"
            )
        n = data.n_rows or usual_batch
        epochs, usual_batch = (model.defaults.length or partial(usual_length, usual_batch))(n, config)
        by_default = fill(self, {"batch_size": ALL if self.by_searches else min(usual_batch, n)})
        if by_default.all_rows:
            epochs = max(FEWEST_ITERATIONS, min(ITERATIONS, math.ceil(SEARCHED / n)))
            epochs //= OPTIMIZERS[self.optimizer].worth
        usual: dict[str, Any] = {
            "epochs": None if self.updates is not None else epochs if descends else passes,
            "lr": None if not descends else usual_rates(model, config, data).get(self.optimizer),
            "decay_weight": model.defaults.decay_weights.get(self.decay),
            "data_scale": 1.0,
        }
        return fill(by_default, usual)

    def in_phase(self, phase: Phase) -> "TrainConfig":
        """Return the settings of a phase of a run with these resolved ones. Raises ConfigError."""
        own = dict(phase.training)
        chosen = OPTIMIZERS[own.get("optimizer", self.optimizer)]
        if chosen.id != self.optimizer:
            own = {"lr": chosen.rate} | own
            if chosen.searches:
                own = {"batch_size": ALL} | own
        config = replace(self, **own)
        if config.by_searches and phase.moving_loss:
            raise ConfigError(
                f"--optimizer {config.optimizer}: searches along a loss that must stand still, but "
                f"{phase.moving_loss}; {BY_STEPS}"
            )
        return config

    @property
    def weight_decay(self) -> Decay:
        """The decay of a resolved config, as optimisers take it."""
        weight = self.decay_weight or 0.0
        return Decay(
            l1=weight if self.decay == "l1" else 0.0,
            l2=weight if self.decay == "l2" else 0.0,
            soft=self.l1_method == "soft",
        )
