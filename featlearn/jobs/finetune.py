"""Fine-tuning: the layers of a model as the beginning of a net that learns classes, or to give rows back."""

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from featlearn.errors import ConfigError, show
from featlearn.jobs.callbacks import Ask, Progress, Say, log, never, no_progress
from featlearn.jobs.data import Data, data_like
from featlearn.jobs.finetune_settings import Finetuning
from featlearn.jobs.plan import Plan, Start, make_plan, refuse_scale
from featlearn.jobs.refit import RefitPlan
from featlearn.jobs.results import Trained
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import DATA, MORE_DATA, STARTING_MODEL, LoadedModel, load_model, warn_of_unfinished
from featlearn.jobs.train import learn_into
from featlearn.jobs.up_down import plan_up_down
from featlearn.models.base import Model
from featlearn.models.deep_autoencoder import DeepAutoencoder
from featlearn.models.network import Network
from featlearn.models.settings.chain import params_of, slope_of
from featlearn.models.settings.network import HiddenRegularization
from featlearn.models.untied_dbn import UntiedDBN
from featlearn.ops.dense import Dense
from featlearn.patches.preprocess import Preprocess
from featlearn.rows import Joined, Selected, mixed
from featlearn.settings import from_dict, option_name, refuse_idle, to_dict
from featlearn.training.config import TrainConfig

JOB = {"job": "finetune"}
LABELLED = 0.2  # share of the rows that are learned, where there are unlabelled ones beside a few


def finetune(
    model: str,
    dataset: str,
    output: str,
    *,
    finetuning: Finetuning | None = None,
    regularization: HiddenRegularization | None = None,
    training: TrainConfig | None = None,
    run: RunSettings | None = None,
    no_retry: bool = False,
    resume: bool = False,
    force: bool = False,
    given: Collection[str] = (),
    invocation: Mapping[str, Any] = JOB,
    progress: Progress = no_progress,
    say: Say = log,
    should_stop: Ask = never,
    should_save: Ask = never,
) -> Trained:
    """Put softmax upon the layers of a model, and learn classes by backpropagation through all of them.

    With `up_down` a deep belief net with classes in its top goes on as one (jobs/up_down.py).

    The model may be a stack, any one whose encoder is a chain of layers, or a net. Rows are preprocessed as
    it has learned from them. All else is as of `train`. Raises DataError, ConfigError, DivergedError.
    """
    run = run or RunSettings()

    inputs: dict[str, str | None] = {STARTING_MODEL: model, DATA: dataset}
    inputs[MORE_DATA] = None if finetuning is None else finetuning.unlabelled
    inputs["validation data"] = None if training is None else training.validation_data

    def plan_it() -> Plan | RefitPlan:
        learned = load_model(model)
        warn_of_unfinished(learned, say)
        plan = plan_finetuning(
            learned, dataset, finetuning=finetuning, regularization=regularization, training=training,
            run=run, retry=not no_retry, given=given, say=say,
        )  # fmt: skip
        return RefitPlan(plan) if finetuning is not None and finetuning.refit else plan

    return learn_into(
        output, inputs, plan_it, run, resume=resume, force=force, invocation=invocation,
        progress=progress, say=say, should_stop=should_stop, should_save=should_save,
    )  # fmt: skip


def learned_as(up_down: bool) -> type[Model]:
    """Return what fine-tuning makes of a model, whose usual settings of a training are taken."""
    return UntiedDBN if up_down else Network


def plan_finetuning(
    learned: LoadedModel,
    dataset: str | Data,
    *,
    finetuning: Finetuning | None,
    regularization: HiddenRegularization | None,
    training: TrainConfig | None,
    run: RunSettings,
    retry: bool,
    given: Collection[str],
    say: Say,
) -> Plan:
    """Resolve every setting of a net that begins as a model. Raises DataError, ConfigError."""
    how = finetuning or Finetuning()
    for settings in (how, regularization, training):
        if settings is not None:
            refuse_idle(settings, given)
    if how.refit and (training is None or training.patience is None):
        raise ConfigError("--refit: wants to know how many epochs are best: add --validation and --patience")
    if how.refit and training is not None and training.validation_data is not None:
        raise ConfigError(
            "--refit: learns from the held-out rows, too, which those of --validation-data are not; "
            "use --validation"
        )
    if training is not None:
        refuse_scale(training)
    if how.up_down:
        assert isinstance(dataset, str)
        _refuse_with_up_down(how, regularization)
        labelled, data = data_like(dataset, learned, run, say)
        return plan_up_down(learned, labelled, data, how, training, run, retry, say)
    training = training or from_dict(TrainConfig, Network.defaults.training)
    try:
        layers = learned.model.encoder_layers()
        back = learned.model.decoder_layers() if how.unrolled else []
    except ConfigError as error:
        raise ConfigError(f"{show(learned.path)}: {error}") from error
    config: Any
    if how.unrolled:
        for name in sorted(set(given) & {one.name for one in fields(HiddenRegularization)}):
            raise ConfigError(f"{option_name(name)}: does nothing with --unrolled; leave one of them out")
        id, config = DeepAutoencoder.id, DeepAutoencoder.Config(**_unrolled(layers, back, how))
    else:
        own = to_dict(regularization or HiddenRegularization())
        id, config = Network.id, Network.Config(**own, **_shape_of(layers, how))
    data = dataset if isinstance(dataset, Data) else data_like(dataset, learned, run, say)[1]
    if how.unlabelled is not None:
        data = with_unlabelled(data, data_like(how.unlabelled, learned, run, say)[1])
    if data.known is not None:
        config = replace(config, pseudo_labels=True)
        if training.validation:
            raise ConfigError(
                "--validation: labelled rows come again and again beside unlabelled ones, so none can be "
                "held out; leave it out"
            )
    plan = make_plan(data, id, config, replace(training, data_scale=1.0), run, retry, say)
    digest = learned.file.content_hash
    if how.random:
        return replace(plan, start=Start(f"random weights of {digest}"))
    return replace(plan, start=Start(digest, params_of(layers + back)))


def with_unlabelled(data: Data, other: Data) -> Data:
    """Return labelled data mixed with rows of others, whose classes are not told."""
    if data.labels is None:
        return data
    n = len(data.labels)
    order = mixed(n, len(other.rows), LABELLED)

    def make_rows(preprocess: Preprocess) -> Selected:
        return Selected(Joined(data.make_rows(preprocess), other.make_rows(preprocess)), order)

    known = order < n
    digest = f"{data.digest}, unlabelled {other.digest}"
    return replace(
        data, digest=digest, make_rows=make_rows, labels=np.asarray(data.labels)[order[known]], known=known
    )


def _unrolled(layers: list[Dense], back: list[Dense], how: Finetuning) -> dict[str, Any]:
    """Return the settings of a deep autoencoder of an encoder and a decoder. Raises ConfigError."""
    sizes = [layer.units for layer in layers]
    if [layer.n_in for layer in back] != sizes[::-1]:
        raise ConfigError("--unrolled: encoder and decoder of the model do not mirror each other")
    *up, code = (layer.activation for layer in layers)
    *down, outputs = (layer.activation for layer in back)
    kept = tuple(layer.kept for layer in layers)
    found = {"hidden": tuple(sizes), "code": how.code or code, "output_units": outputs}
    if how.activation:
        found["activation"] = how.activation
    elif up:
        found |= {"activation": ",".join(up), "decoder_activation": ",".join(down)}
    stays = [] if how.activation else layers[:-1] + back[:-1]
    stays += [] if how.code else layers[-1:]
    return found | {"kept": kept if any(kept) else None, "slope": slope_of(stays)}


def _shape_of(layers: list[Dense], how: Finetuning) -> dict[str, Any]:
    """Return the settings of a net of these layers."""
    hidden = tuple(layer.units for layer in layers)
    kinds = [layer.activation for layer in layers]
    kept = tuple(layer.kept for layer in layers)
    activation = how.activation or (kinds[0] if len(set(kinds)) == 1 else ",".join(kinds))
    slope = None if how.activation else slope_of(layers)
    return {"hidden": hidden, "activation": activation, "kept": kept if any(kept) else None, "slope": slope}


def _refuse_with_up_down(how: Finetuning, regularization: HiddenRegularization | None) -> None:
    """Raise ConfigError for settings of nets that learn by backpropagation."""
    for name in ("random", "unrolled", "unlabelled", "refit"):
        if getattr(how, name):
            raise ConfigError(f"--{name}: does nothing with --up-down; leave one of them out")
    usual = to_dict(HiddenRegularization())
    for name, value in to_dict(regularization or HiddenRegularization()).items():
        if value != usual[name]:
            raise ConfigError(f"{option_name(name)}: does nothing with --up-down; leave one of them out")
