"""What was run, in a paragraph for a paper: the model, its data, its training, with what to cite."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from featlearn.errors import printable
from featlearn.files.model import ModelFile
from featlearn.jobs.init_from import FIRST
from featlearn.jobs.store import DATA, LAYER, MORE_DATA, STARTING_MODEL, LoadedModel, shape_words
from featlearn.jobs.train_settings import idle_settings
from featlearn.models import model_class
from featlearn.models.base import Paper
from featlearn.patches.settings import PreprocessSpec
from featlearn.settings import Settings, from_file, in_effect, in_words, to_dict
from featlearn.training.config import TrainConfig
from featlearn.training.optim import OPTIMIZERS

NORMALIZED = {
    "center": "the mean of each patch was taken off",
    "contrast": "the mean of each patch was taken off, and its contrast scaled",
    "standardize-patch": "each patch was scaled to mean 0 and standard deviation 1",
    "standardize": "each pixel was scaled to mean 0 and standard deviation 1 over the data",
    "global": "values were scaled by one mean and one standard deviation of all",
}
TOLD = ("hidden", "layer")
"""Settings of a model that the paragraph tells in words."""


def papers(files: Iterable[ModelFile]) -> list[Paper]:
    """Return what to cite for models and their layers, each paper once."""
    found = [
        paper for file in files for one in (file, *file.layers) for paper in model_class(one.model).papers
    ]
    return list(dict.fromkeys(found))


def settings_of(file: ModelFile) -> dict[str, Any]:
    """Return the settings that do something, of a model that is no stack and of its training, in words.

    They are plain values; what None means stands in place of None.
    """
    cls = model_class(file.model)
    config = _effective(cls.Config, file.config)
    idle = idle_settings(cls)
    training = {
        name: value for name, value in _effective(TrainConfig, file.training).items() if name not in idle
    }
    return config | training


def methods(learned: LoadedModel) -> str:
    """Return a paragraph that says how a model was learned."""
    file = learned.file
    of_layers = [
        f"Layer {i} is {_noun(layer)}: {_training(layer)}." for i, layer in enumerate(file.layers, 1)
    ]
    trained = of_layers or [f"Training: {_training(file)}."]
    return " ".join(
        [
            f"Features were learned with featlearn {file.version} by {_noun(file)}, {_source(learned)}.",
            *_preprocessing(learned),
            *_start(file),
            *trained,
            f"All random numbers followed from the seed {file.seed}; the content of the model has the "
            f"SHA-256 {file.content_hash}.",
        ]
    )


def _effective(cls: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    declared = {field.name for field in fields(cls) if field.metadata}
    known = {name: value for name, value in values.items() if name in declared}
    config = from_file(cls, known)
    words = in_words(cls, to_dict(config))
    return {name: words[name] for name in in_effect(config)}


def _noun(file: ModelFile) -> str:
    """a restricted Boltzmann machine (Hinton, 2002) with 100 units"""
    cls = model_class(file.model)
    title = cls.title or file.model
    cited = f" ({'; '.join(paper.short for paper in cls.papers)})" if cls.papers else ""
    sizes = _sizes(file)
    return f"{title}{cited}" + (f" with {sizes}" if sizes else "")


def _sizes(file: ModelFile) -> str:
    found = []
    if file.layers:
        found.append(f"{len(file.layers)} layers")
    elif "hidden" in file.config:
        hidden = file.config["hidden"]
        found.append(f"{', '.join(map(str, hidden)) if isinstance(hidden, list | tuple) else hidden} units")
    if file.classes:
        found.append(f"{len(file.classes)} classes")
    return " and ".join(found)


def _source(learned: LoadedModel) -> str:
    channels = learned.shape[2]
    names = _data_of(learned.file.provenance, learned.file.layers)
    colour = {1: "", 3: " in colour"}.get(channels, f" of {channels} channels")
    return f"from patches of {shape_words(learned.shape[:2])} pixels{colour}" + (
        f" ({', '.join(names)})" if names else ""
    )


def _data_of(story: Mapping[str, Any], layers: Sequence[ModelFile]) -> list[str]:
    """Return the names of the data that a model has learned from.

    What was put together of model files has learned from those of the lowest one, whose own story is that of
    this input, or of the lowest of `layers` where that was too long to keep.
    """
    lowest = next(iter(_inputs(story, LAYER)), None)
    if lowest is None:
        return _named(story, DATA, MORE_DATA)
    return _data_of(lowest.get("provenance") or (layers[0].provenance if layers else {}), ())


def _inputs(story: Mapping[str, Any], *roles: str) -> list[Mapping[str, Any]]:
    """Return the inputs that were one of these to the run."""
    inputs = [one for one in story.get("inputs") or [] if isinstance(one, Mapping)]
    return [one for one in inputs if one.get("role") in roles]


def _named(story: Mapping[str, Any], *roles: str) -> list[str]:
    """Return the names of the inputs that were one of these to the run."""
    return [printable(str(one.get("name", ""))) for one in _inputs(story, *roles)]


def _preprocessing(learned: LoadedModel) -> list[str]:
    spec: PreprocessSpec = learned.preprocess.spec
    found = []
    if spec.threshold is not None:
        found.append(f"pixels were 1 above {spec.threshold:g}, else 0")
    if spec.normalize in NORMALIZED:
        found.append(NORMALIZED[spec.normalize])
    if spec.whiten not in (None, "none"):
        found.append(f"patches were {spec.whiten.upper()}-whitened (epsilon {spec.epsilon:g})")
    if spec.clip is not None:
        found.append(f"values beyond {spec.clip:g} standard deviations were cut")
    if spec.to is not None:
        found.append(f"values were mapped to {spec.to[0]:g}..{spec.to[1]:g}")
    if learned.preprocess.divisor != 1:
        found.append(f"values were divided by {learned.preprocess.divisor:g}")
    return [f"Before that, {'; '.join(found)}."] if found else []


def _start(file: ModelFile) -> list[str]:
    """Whose parameters a model began with, if not with random ones."""
    digest = file.progress.get("start")
    if not digest:
        return []
    names = _named(file.provenance, STARTING_MODEL)
    return [f"It began with the parameters of {names[0] if names else 'another model'} (SHA-256 {digest})."]


def _training(file: ModelFile) -> str:
    values = settings_of(file)
    said = _descent(file, values) if "optimizer" in values else ["learned in whole passes over the data"]
    config = model_class(file.model).Config
    usual = to_dict(config())
    told = TOLD + (FIRST if file.progress.get("start") else ())
    own = [name for name in usual if name in values and name not in told and file.config[name] != usual[name]]
    said += [f"{name.replace('_', ' ')} {plain(values[name])}" for name in own]
    return ", ".join(said)


def _descent(file: ModelFile, values: Mapping[str, Any]) -> list[str]:
    """How long, by which optimizer and with which rate, momentum, minibatches and decay it was learned."""
    said = [OPTIMIZERS[values["optimizer"]].title]
    if len(file.history.get("epoch", ())):
        epochs, updates = (int(file.history[name][-1]) for name in ("epoch", "step"))
        said[0] = f"{_count(epochs, 'epoch')} ({_count(updates, 'update')}) of {said[0]}"
    if isinstance(values.get("lr"), float):
        said.append(f"learning rate {values['lr']:g}")
    if "momentum" in values:
        said.append(f"momentum {values['momentum']:g}")
    rows = file.training.get("batch_size")
    said.append(f"{rows:,} rows in a minibatch" if isinstance(rows, int) else "all rows at once")
    if values.get("decay", "none") != "none":
        said.append(f"{values['decay'].upper()} weight decay {values['decay_weight']:g}")
    return said


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def plain(value: Any) -> str:
    """Return the value of a setting in words: true as on, numbers short, several one after another."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return " ".join(map(plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
