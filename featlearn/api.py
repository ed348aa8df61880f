"""What featlearn offers in Python: the jobs by the names of their options, models and data sets as objects.

    import featlearn
    featlearn.extract_patches("photos", "patches.h5", size=12)
    featlearn.train("patches.h5", "edges.h5", model="rbm", hidden=144)
    model = featlearn.load_model("edges.h5")
    H = model.encode(images)

Options are those of the command line, with _ for -. They are declared as fields of settings; `by_options`
makes the settings of them, so that both ways refuse the same values with the same words.
"""

import dataclasses
import difflib
import functools
import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from featlearn.jobs import check_gradients as _check_gradients
from featlearn.jobs import classify as _classify
from featlearn.jobs import encode as _encode
from featlearn.jobs import evaluate as _evaluate
from featlearn.jobs import export as _export
from featlearn.jobs import extract_patches as _extract_patches
from featlearn.jobs import finetune as _finetune
from featlearn.jobs import fit as _fit
from featlearn.jobs import info as _info
from featlearn.jobs import reconstruct as _reconstruct
from featlearn.jobs import report as _report
from featlearn.jobs import sample as _sample
from featlearn.jobs import stack as _stack
from featlearn.jobs import sweep as _sweep
from featlearn.jobs import train as _train
from featlearn.jobs import visualize as _visualize
from featlearn.jobs.dataset import ImageData, load_dataset
from featlearn.jobs.evaluate_settings import (
    Asked,
    ClassifierConfig,
    CodingConfig,
    FewLabels,
    LikelihoodConfig,
)
from featlearn.jobs.extract_settings import Extraction, PreprocessSpec
from featlearn.jobs.finetune_settings import NOT_OF_FEW, Finetuning
from featlearn.jobs.model import FeatureModel, load_model
from featlearn.jobs.picture_settings import Drawing, Printed, Watching
from featlearn.jobs.resources import limits, use_threads
from featlearn.jobs.settings import (
    Chains,
    GradientCheck,
    ImageFiles,
    Images,
    OneLayer,
    Reconstruction,
    RunSettings,
    Sliding,
)
from featlearn.jobs.sweep_settings import Search
from featlearn.jobs.train_settings import TrainConfig, training_of
from featlearn.models import model_class, model_ids
from featlearn.models.base import Model
from featlearn.models.settings.network import HiddenRegularization
from featlearn.settings import from_dict

R = TypeVar("R")
Usual = Callable[[type[Model]], Mapping[str, Any]]
"""Settings that are usual with a model."""
Kinds = Mapping[str, type[Any]]

MODELS = tuple(model_ids())
"""The names that `model` may have."""


def by_options(
    job: Callable[..., R],
    kinds: Kinds,
    usual: Mapping[str, Usual] | None = None,
    first: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    without: Collection[str] = (),
) -> Callable[..., R]:
    """Return a job as a function of options by name.

    `kinds` says which parameters of the job are settings, and of which class. With `usual` the Config of the
    option `model` is one of them, too; it says, by such a parameter, which values of its settings are usual
    with a model. `first` says by what was given which model's settings of the training are usual, where it is
    another that is trained. Settings that it goes `without` are not offered. `threads` and `max_memory` hold
    while the job runs. How the job was called is stored with what it makes, not how the caller's program was.
    """
    own = inspect.signature(job).parameters
    with_model = usual is not None
    offered = _signature(own, kinds, with_model, without)

    @functools.wraps(job)
    def call(*args: Any, threads: int | None = None, max_memory: int | None = None, **options: Any) -> R:
        bound = _plain_values(job.__name__, offered, args, options)
        for name in own.keys() & bound.keys():
            bound[name] = _checked_text(job.__name__, own[name], bound[name])
        model = bound.get("model")
        cls = model_class(model) if with_model and model is not None else None
        given = set(options)
        known = {name for name, one in offered.parameters.items() if one.kind is not one.VAR_KEYWORD}
        known |= _names(kinds, cls) - {*without}
        _refuse_unknown(job.__name__, given - known, known)
        settings = {name: bound.pop(name) for name in given & _names(kinds, cls)}
        called = {"job": job.__name__, "settings": settings | ({"model": model} if with_model else {})}
        for name, kind in _kinds(kinds, cls).items():
            own_of_model = _fields(cls.Config) if cls is not None and name != "config" else set()
            values = {key: settings[key] for key in (_fields(kind) - own_of_model) & settings.keys()}
            if not values:
                continue
            if name == "training" and first is not None:
                values = {**first(options), **values}
            if cls is not None and usual and name in usual:
                values = {**usual[name](cls), **values}
            bound[name] = from_dict(
                kind, {key: _as_declared(kind, key, value) for key, value in values.items()}
            )
        if "given" in own:
            bound["given"] = given
        if "invocation" in own:
            bound["invocation"] = called
        with limits(_plain(threads), _plain(max_memory)):
            return job(**bound)

    call.__signature__ = offered  # type: ignore[attr-defined]
    return call


def _kinds(kinds: Kinds, cls: type[Any] | None) -> Kinds:
    if cls is None:
        return kinds
    of_model = {"training": training_of(cls)} if "training" in kinds else {}
    return {**kinds, "config": cls.Config, **of_model}


def _fields(kind: type[Any]) -> set[str]:
    """The names of the settings of a class."""
    return {field.name for field in dataclasses.fields(kind) if field.metadata}


def _names(kinds: Kinds, cls: type[Any] | None) -> set[str]:
    return set().union(*map(_fields, _kinds(kinds, cls).values()))


def _plain(value: Any) -> Any:
    """A path as a text, one of numpy's numbers as a number, and so within a list."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def _plain_values(
    job: str, offered: inspect.Signature, args: Sequence[Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what was given, by place or by name, as plain values by name.

    Raises TypeError for more than can be given by place, and for what was given twice.
    """
    try:
        by_place = offered.bind_partial(*args).arguments
    except TypeError as error:
        raise TypeError(f"{job}: {error}") from None
    for name in by_place.keys() & options.keys():
        raise TypeError(f"{job}: {name!r} is given twice")
    return {name: _plain(value) for name, value in {**by_place, **options}.items()}


def _checked_text(job: str, parameter: inspect.Parameter, value: Any) -> Any:
    """Return the value of a parameter that takes texts, such as paths, if it is one.

    Where it takes several, one text becomes a list. Other parameters take any value. Raises TypeError.
    """
    wanted = parameter.annotation
    several = wanted == Sequence[str]
    if not several and wanted not in (str, str | None):
        return value
    if several and isinstance(value, str):
        return [value]
    for one in value if several and isinstance(value, list | tuple) else [value]:
        if not isinstance(one, str) and not (one is None and parameter.default is None):
            raise TypeError(f"{job}: {parameter.name}: got {type(one).__name__}, must be a text or a path")
    return value


def _as_declared(kind: type[Any], name: str, value: Any) -> Any:
    """One value as a tuple of one where a setting takes several; one size as height and width."""
    if value is None or isinstance(value, list | tuple) or name not in kind.__dataclass_fields__:
        return value
    annotation = kind.__dataclass_fields__[name].type
    for one in (annotation, *get_args(annotation)):
        inner = get_args(one) if get_origin(one) is tuple else ()
        if inner[1:] == (...,) and isinstance(value, inner[0]):
            return (value,)
        if inner == (int, int) and isinstance(value, int):
            return (value, value)
    return value


def _refuse_unknown(job: str, unknown: set[str], known: set[str]) -> None:
    """Raise TypeError for options that a job does not have."""
    for name in sorted(unknown):
        near = difflib.get_close_matches(name, sorted(known), 1)
        raise TypeError(f"{job}: unknown option {name!r}" + (f"; did you mean {near[0]}?" if near else ""))


def _signature(
    own: Mapping[str, inspect.Parameter], kinds: Kinds, with_model: bool, without: Collection[str]
) -> inspect.Signature:
    """What a person may give: the job's own parameters and the settings."""
    only = inspect.Parameter.KEYWORD_ONLY
    left_out = {*kinds, "given", "invocation", "config"}
    found = {name: parameter for name, parameter in own.items() if name not in left_out}
    for kind in kinds.values():
        for field in dataclasses.fields(kind):
            if field.metadata and field.name not in without:
                found[field.name] = inspect.Parameter(
                    field.name, only, default=field.default, annotation=field.type
                )
    for name in ("threads", "max_memory"):
        found[name] = inspect.Parameter(name, only, default=None, annotation=int | None)
    more = [inspect.Parameter("settings_of_the_model", inspect.Parameter.VAR_KEYWORD)] if with_model else []
    return inspect.Signature([*found.values(), *more])


PATCHES = {"extraction": Extraction, "preprocess": PreprocessSpec, "images": Images}
RUN = {"training": TrainConfig, "run": RunSettings}
MEASURES = {"coding": CodingConfig, "likelihood": LikelihoodConfig, "classifier": ClassifierConfig}
NET = {"regularization": HiddenRegularization, "training": TrainConfig}


def _usual_of_nets(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the usual settings of the training of what is fine-tuned."""
    return _finetune.learned_as(options.get("up_down", False)).defaults.training


extract_patches = by_options(_extract_patches.extract_patches, PATCHES)
train = by_options(
    _train.train, RUN | PATCHES | {"watching": Watching}, {"training": lambda cls: cls.defaults.training}
)
sweep = by_options(
    _sweep.sweep, RUN | PATCHES | {"search": Search}, {"training": lambda cls: cls.defaults.training}
)
fit = by_options(
    _fit.fit, RUN | {"preprocess": PreprocessSpec}, {"training": lambda cls: cls.defaults.training}
)
finetune = by_options(_finetune.finetune, RUN | NET | {"finetuning": Finetuning}, first=_usual_of_nets)
classify = by_options(_classify.classify, {})
encode = by_options(_encode.encode, {"sliding": Sliding, "images": ImageFiles, "upto": OneLayer})
evaluate = by_options(
    _evaluate.evaluate,
    MEASURES | NET | {"few": FewLabels, "printed": Printed, "asked": Asked},
    first=_usual_of_nets,
    without=NOT_OF_FEW,
)
export = by_options(_export.export, {})
reconstruct = by_options(_reconstruct.reconstruct, {"reconstruction": Reconstruction, "printed": Printed})
report = by_options(
    _report.report, MEASURES | NET | {"few": FewLabels}, first=_usual_of_nets, without=NOT_OF_FEW
)
sample = by_options(_sample.sample, {"chains": Chains, "printed": Printed})
stack = by_options(_stack.stack, {})
visualize = by_options(_visualize.visualize, {"drawing": Drawing, "printed": Printed})
check_gradients = by_options(
    _check_gradients.check_gradients, {"check": GradientCheck}, {"config": lambda cls: cls.small}
)
info = by_options(_info.info, {})

use_threads(None)  # the kernels by themselves know nothing of a container's quota

__all__ = [
    "MODELS",
    "FeatureModel",
    "ImageData",
    "check_gradients",
    "classify",
    "encode",
    "evaluate",
    "export",
    "extract_patches",
    "finetune",
    "fit",
    "info",
    "load_dataset",
    "load_model",
    "reconstruct",
    "report",
    "sample",
    "stack",
    "sweep",
    "train",
    "visualize",
]
