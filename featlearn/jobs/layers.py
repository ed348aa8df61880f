"""A stack learned layer by layer: a run for each, on the codes of the layers below."""

import difflib
import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from featlearn import __version__
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.model import ModelFile
from featlearn.jobs.callbacks import Bar, Say
from featlearn.jobs.classes import classes_of
from featlearn.jobs.data import Data
from featlearn.jobs.history import joined
from featlearn.jobs.plan import Plan, make_plan
from featlearn.jobs.resume import difference, identity_in, is_at_the_end
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import LoadedModel, load_model, loaded_layer, loaded_stack
from featlearn.jobs.train_settings import idle_settings, idle_words
from featlearn.jobs.training_run import (
    Checkpoint,
    Watch,
    fresh,
    measure,
    model_file,
    take_up,
    train_with_restarts,
)
from featlearn.models import model_class
from featlearn.models.base import Model
from featlearn.models.stack import LayerSettings, in_layer
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import PreprocessSpec
from featlearn.rows import Array, Divided, Encoded, Labelled, Rows
from featlearn.settings import from_dict, from_text, option_name, refuse_idle, to_dict
from featlearn.training.config import TrainConfig
from featlearn.training.legs import measure as measured

LOWEST = ("data_scale",)
"""Settings of the training that are for the lowest layer alone."""


class Stopped(Exception):
    """The run shall stop."""


@dataclass(frozen=True)
class LayerPlan:
    """A layer before its data are known."""

    settings: LayerSettings
    training: TrainConfig


@dataclass(frozen=True)
class StackPlan:
    """A run of several layers before it starts; `config` and `training` are as they were said."""

    model: str
    run: RunSettings
    data: Data
    config: Any
    training: Any
    retry: bool
    layers: Sequence[LayerPlan]

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides what comes out, as plain values."""
        start = {"dtype": self.run.dtype, "seed": self.run.seed, "data set": self.data.digest}
        said = {name: value for name, value in to_dict(self.training).items() if value is not None}
        if self.data.validation is not None:
            said["validation_data"] = self.data.validation.digest
        return {"model": self.model} | start | to_dict(self.config) | said | {"restarts allowed": self.retry}

    def as_in(self, file: ModelFile) -> Self:
        """Return this run: its layers restart one by one."""
        return self

    def file(self, layers: Sequence[ModelFile], story: Mapping[str, Any], finished: bool) -> ModelFile:
        """Return the file of the layers that there are."""
        return stack_file(
            self.model,
            layers,
            dtype=self.run.dtype,
            seed=self.run.seed,
            progress={"finished": finished, "request": self.identity},
            provenance=dict(story),
        )


def plan_stack(
    data: Data, model: str, config: Any, training: Any, run: RunSettings, retry: bool, say: Say
) -> StackPlan:
    """Decide what each layer is to be. Raises ConfigError."""
    settings = model_class(model).layer_settings(config)  # type: ignore[attr-defined]
    data = data.with_validation(training.validation_data, run.dtype, say)
    said = {name: value for name, value in to_dict(training).items() if value is not None}
    layers = []
    for i, one in enumerate(settings):
        with in_layer(i + 1):
            layers.append(LayerPlan(one, _training_of(one, said if i == 0 else _without(said, LOWEST))))
    for name in said:
        _refuse_idle_everywhere(name, layers)
    for one in settings:
        if model_class(one.model).labelled:  # said before the layers below take their time
            classes_of(data.name, data.labels, data.label_names, one.model)
    return StackPlan(model, run, data, config, training, retry, layers)


def _without(said: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in names}


def _training_of(layer: LayerSettings, said: Mapping[str, Any]) -> TrainConfig:
    """Return what a layer's training is to be: its own words, then those for all, then the model's usual."""
    cls = model_class(layer.model)
    try:
        for name in sorted(idle_settings(cls) & layer.training.keys()):
            raise ConfigError(idle_words(option_name(name), cls))
        if "validation_data" in layer.training:
            raise ConfigError("validation_data: is for all layers; say --validation-data")
        known = {field.name for field in fields(TrainConfig)}
        for name in layer.training.keys() - known:
            _refuse_unknown(name, {*known, *(field.name for field in fields(cls.Config))}, cls.id)
        own = {name: from_text(TrainConfig, name, text) for name, text in layer.training.items()}
        usable = _without(said, tuple(idle_settings(cls)))
        training = from_dict(TrainConfig, {**cls.defaults.training, **usable, **own})
        refuse_idle(training, own)
    except ConfigError as error:
        raise ConfigError(f"--layer {layer.model}: {error}") from error
    return training


def _refuse_unknown(name: str, known: Collection[str], id: str) -> None:
    """Raise ConfigError for a setting that neither a model nor its training has."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"featlearn train --model {id} --help names all"
    raise ConfigError(f"unknown setting {name!r}; {hint}")


def _refuse_idle_everywhere(name: str, layers: Sequence[LayerPlan]) -> None:
    """Raise ConfigError for a setting of the training that does nothing in any layer."""
    found: ConfigError | None = None
    for layer in layers:
        cls = model_class(layer.settings.model)
        try:
            if name in idle_settings(cls):
                raise ConfigError(idle_words(option_name(name), cls))
            refuse_idle(layer.training, [name])
            return
        except ConfigError as error:
            found = found or error
    if found is not None:
        raise found


def stack_file(
    model: str,
    layers: Sequence[ModelFile],
    *,
    dtype: str,
    seed: int,
    progress: dict[str, Any],
    provenance: dict[str, Any],
) -> ModelFile:
    """Return the file of a stack; its history is that of its layers, one after another."""
    return ModelFile(
        model=model,
        config={},
        training={"dtype": dtype},
        seed=seed,
        shape=layers[0].shape,
        params={},
        history=joined([layer.history for layer in layers]),
        progress=progress,
        provenance=provenance,
        version=__version__,
        classes=layers[-1].classes,
        layers=list(layers),
    )


def learn_layers(
    plan: StackPlan,
    story: dict[str, Any],
    watch: Watch,
    ckpt: str | None = None,
    resume: bool = False,
    force: bool = False,
) -> tuple[Model, ModelFile]:
    """Learn one layer after another, as `learn_one` learns one. -> the stack and what its file is to hold.

    Raises DataError, ConfigError, DivergedError.
    """
    data, files, models = plan.data, list[ModelFile](), list[LoadedModel]()
    lowest: Data | None = None
    held = _held(plan, ckpt, force, watch.say) if resume and ckpt is not None else []
    keep = None if ckpt is None else Checkpoint(ckpt, lambda file: plan.file([*files, file], story, False))
    for i, layer in enumerate(plan.layers):
        place, units = f"layer {i + 1} of {len(plan.layers)}", getattr(layer.settings.config, "hidden", "")
        watch.say(f"{place}: {layer.settings.model}" + (f", {units} units" if units else ""))
        own = _plan_layer(plan, i, data, watch.say)
        lowest = lowest or own.data
        if i < len(held) and held[i].progress.get("finished"):
            own = own.as_in(held[i])
            _refuse_other(own, held[i], ckpt or "", i + 1)
            file = held[i]
        else:
            with_it = i < len(held) and ckpt is not None
            own, run = take_up(own, ckpt or "", held[i], watch.say) if with_it else (own, fresh(own))
            own, run = train_with_restarts(own, run, {}, keep, watch)
            if run.progress.finished:
                measure(run, own)
            file = model_file(run, own, {})
        files.append(file)
        watch.log.before.append(file.history)
        models.append(loaded_layer(ckpt or "", file))
        last = i == len(plan.layers) - 1
        if not file.progress["finished"] or last:
            break
        if keep is not None:
            Checkpoint(keep.path).write(plan.file(files, story, False))
        try:
            data = _codes_of_all(own, file, models[-1], i + 1, watch)
        except Stopped:
            break
    done = len(files) == len(plan.layers) and bool(files[-1].progress["finished"])
    made = plan.file(files, story, done)
    stack = loaded_stack(ckpt or "", made, models)
    if done and lowest is not None:
        rows = lowest.rows
        if own.classes is not None:
            rows = Labelled(rows, own.classes.index, len(own.classes.names))
        tells = stack.model.labelled or stack.model.decodes
        found = measured(stack.model, rows, np.arange(len(rows)), own=False) if tells else {}
        made.progress["run"] = {"measured": found}
    return stack.model, made


def _held(plan: StackPlan, ckpt: str, force: bool, say: Say) -> list[ModelFile]:
    """Return the layers that a checkpoint of this very run holds, if there is one.

    Raises DataError, ConfigError for one of another run, unless `force` begins anew.
    """
    if not os.path.exists(ckpt):
        return []
    try:
        file = load_model(ckpt).file
        other = difference(plan.identity, identity_in(file))
        if other is not None:
            raise ConfigError(f"--resume: {show(ckpt)} is of another run: {other}")
        if len(file.layers) > len(plan.layers):
            raise DataError(f"{show(ckpt)}: has {len(file.layers)} layers of {len(plan.layers)}")
    except (ConfigError, DataError) as error:
        if not force:
            raise type(error)(f"{error}; start again with --resume --force") from error
        say(f"starting anew: {error}")
        return []
    return file.layers


def _plan_layer(plan: StackPlan, i: int, data: Data, say: Say) -> Plan:
    """Resolve the settings of layer i, counted from 0, by its data. Raises DataError, ConfigError."""
    layer = plan.layers[i]
    model, config, told = layer.settings.model, layer.settings.config, _of_layer(i + 1, say)
    with in_layer(i + 1, model):
        return make_plan(data, model, config, layer.training, plan.run, plan.retry, told, stream=i)


def _of_layer(number: int, say: Say) -> Say:
    """Return `say` with a layer's name before what is said of it."""

    def tell(text: str) -> None:
        if text.startswith("warning: "):
            say(f"warning: layer {number}: {text.removeprefix('warning: ')}")
        else:
            say(f"layer {number}: {text}")

    return tell if number > 1 else say


def _refuse_other(plan: Plan, file: ModelFile, ckpt: str, number: int) -> None:
    """Raise ConfigError unless a finished layer is what this run makes."""
    other = difference(plan.identity, identity_in(file))
    if other is not None or not is_at_the_end(file):
        raise ConfigError(
            f"--resume: {show(ckpt)}: layer {number} is of another run: {other or 'it is not finished'}"
        )


class _Watched:
    """An encoder that reports its rows."""

    def __init__(self, model: Model, bar: Bar, watch: Watch) -> None:
        self.model, self.bar, self.watch = model, bar, watch

    def encode(self, X: Array) -> Array:
        """Raises Stopped."""
        if self.watch.should_stop():
            raise Stopped
        H = self.model.encode(X)
        self.bar.advance(len(X))
        return H


def _codes_of_all(plan: Plan, file: ModelFile, learned: LoadedModel, number: int, watch: Watch) -> Data:
    """Return a layer's codes of the rows that it has learned from, and of those held out, for the next.

    Raises DataError, Stopped.
    """
    codes, held_out = _codes(plan.data, file, learned, number, watch), plan.data.validation
    if held_out is None:
        return codes
    # between which values they lie, those say that are learned from
    others = replace(_codes(held_out, file, learned, number, watch), preprocess=codes.preprocess)
    return replace(codes, validation=others)


def _codes(of: Data, file: ModelFile, learned: LoadedModel, number: int, watch: Watch) -> Data:
    """Return a layer's codes of rows. Raises DataError, Stopped."""
    rows, name = of.rows, f"the codes of layer {number}"
    with watch.progress(len(rows) + 1, "rows encoded") as bar:
        codes = Encoded(_Watched(learned.model, bar, watch), rows)
        low, high = codes.extent()
    if not np.isfinite([low, high]).all():
        raise DataError(f"{name}: hold NaN or infinity; train again with a lower --lr")
    if low == high:
        raise DataError(f"{name}: are {low:g} for every unit and row, so there is nothing to learn")

    def make_rows(preprocess: Preprocess) -> Rows:
        return codes if preprocess.divisor == 1 else Divided(codes, preprocess.divisor)

    digest = hashlib.sha256(json.dumps([of.digest, file.content_hash]).encode()).hexdigest()
    preprocess = Preprocess(PreprocessSpec("none"), codes.width, low=low, high=high)
    labels, names = of.labels, of.label_names
    return Data(name, digest, (1, codes.width, 1), preprocess, make_rows, labels, names, are_codes=True)
