"""Begin a model at the weights of another one, which has learned."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from featlearn.errors import ConfigError, show
from featlearn.jobs.plan import Plan, Start
from featlearn.jobs.store import LoadedModel
from featlearn.models import model_class
from featlearn.models.base import Model
from featlearn.ops.dense import Dense
from featlearn.random import Random
from featlearn.settings import option_name, to_dict

FIRST = ("init", "init_scale", "hidden_bias", "visible_bias")
"""Settings of first weights, which do nothing."""


def settings_like(cls: type[Model], config: Any, given: Collection[str], learned: LoadedModel) -> Any:
    """Return the settings of a model that can begin as another: those that are not `given` are the other's.

    Of a model of the same kind that is all of them; of another one what decides its units. Raises ConfigError
    where those that are given, or units of the other, do not fit.
    """
    for name in FIRST:
        if name in given:
            raise ConfigError(f"{option_name(name)}: does nothing with --init-from; leave one of them out")
    alike = learned.file.model == cls.id and not cls.layered()
    if alike:
        said, usual = to_dict(config), to_dict(cls.Config())
        own = {name: said[name] for name in said if name in given or said[name] != usual[name]}
        same = replace(learned.model.config, **own)
        if cls(same).shapes(learned.preprocess.n_visible) == _shapes(learned.model):
            return same
    try:
        wanted = cls.settings_like(*_layers(learned))
        for name, value in wanted.items():
            said = getattr(config, name)
            usual = getattr(cls.Config(), name)
            if said != value and (name in given or said != usual):
                raise ConfigError(
                    f"its {name.replace('_', ' ')} is {value}, not {said}; leave {option_name(name)} out"
                )
        return replace(config, **wanted)
    except ConfigError as error:
        more = "; nor do these settings make parameters of the same shapes" if alike else ""
        raise ConfigError(f"--init-from {show(learned.path)}: {error}{more}") from error


def begun_as(plan: Plan, learned: LoadedModel) -> Plan:
    """Return a run that begins where another model ended; its settings are those of `settings_like`."""
    model: Model = model_class(plan.model)(plan.config, plan.run.dtype)
    model.init(plan.data.preprocess.n_visible, Random(plan.run.seed), plan.mean)
    if learned.file.model == plan.model and _shapes(model) == _shapes(learned.model):
        for name, value in learned.model.params.items():
            model.params[name][...] = value
    else:
        model.begin_as(*_layers(learned))
    return replace(plan, start=Start(learned.file.content_hash, model.params))


def _shapes(model: Model) -> dict[str, tuple[int, ...]]:
    return {name: w.shape for name, w in model.params.items()}


def _layers(learned: LoadedModel) -> tuple[Dense, Dense]:
    """Return the layer that encodes and the one that decodes. Raises ConfigError."""
    encoder, decoder = learned.model.encoder_layers(), learned.model.decoder_layers()
    if len(encoder) != 1 or len(decoder) != 1:
        raise ConfigError(f"it has {len(encoder)} layers; take a model of one, or featlearn finetune")
    return encoder[0], decoder[0]
