"""What stands where a run is to go: the finished model of this very run, its checkpoint, or another one."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from featlearn.errors import ConfigError, DataError, show
from featlearn.files.model import ModelFile
from featlearn.jobs.callbacks import Say
from featlearn.jobs.plan import Plan
from featlearn.jobs.store import load_model
from featlearn.rows import Array
from featlearn.training.checkpoint import Saved
from featlearn.training.progress import Progress
from featlearn.training.train import Training


class Identified(Protocol):
    """A run before it starts, as something to compare with what a file holds."""

    @property
    def identity(self) -> dict[str, Any]: ...
    def as_in(self, file: ModelFile) -> "Identified": ...


def find_finished(plan: Identified, output: str, force: bool, say: Say) -> ModelFile | None:
    """Return the finished model at `output` if it is what this plan makes.

    None, which is said, where `force` replaces another.

    Raises ConfigError, DataError for anything else that stands there.
    """
    try:
        file = load_model(output).file
    except DataError as error:
        if not force:
            raise
        say(f"to be replaced: {error}")
        return None
    other = difference(plan.as_in(file).identity, identity_in(file))
    if other is None and is_at_the_end(file):
        return file
    found = f"{show(output)} is of another run: {other or 'it is not finished'}"
    if other is not None and other.startswith("epochs "):
        found += " (a run of --keep-optimizer can be made longer)"
    if not force:
        raise ConfigError(
            f"--resume: {found}; give the same command, choose another --output, or add --force to replace it"
        )
    say(f"to be replaced: {found}")
    return None


def is_at_the_end(file: ModelFile) -> bool:
    """Whether all that a file says of its run is that of a finished one."""
    if file.layers:
        return bool(file.progress.get("finished")) and all(map(is_at_the_end, file.layers))
    place, steps = file.progress.get("run"), file.history.get("step", np.zeros(0))
    if not (isinstance(place, dict) and Progress.fits(place) and len(steps) and steps.dtype.kind in "iu"):
        return False
    return bool(place.get("finished") and file.progress.get("finished"))


def refuse_other(plan: Plan, ckpt: str, saved: ModelFile, training: Training) -> None:
    """Raise ConfigError or DataError unless the file holds this very run, at a place where it can go on."""
    other = difference(plan.identity, identity_in(saved))
    if other is not None:
        raise ConfigError(f"--resume: {show(ckpt)} is of another run: {other}")
    place = saved.progress.get("run")
    if isinstance(place, dict) and place.get("diverged") is True:
        raise ConfigError(f"--resume: {show(ckpt)}: that run diverged; take a lower --lr")
    misfit = training.misfit(saved_in(saved))
    if misfit:
        raise DataError(f"{show(ckpt)}: {misfit}")


def saved_in(file: ModelFile) -> Saved:
    """What a file holds of a run."""
    return Saved(file.params, file.state, file.optimizer, file.progress.get("run"), file.history)


LAST = "last"
"""Before the names of params and state at the end of a run whose model is another: an average, its best."""


class Ending(NamedTuple):
    """What a finished model's file keeps of its end, beside params and state, so that the run can go on."""

    optimizer: dict[str, Array]
    progress: Any = None

    @classmethod
    def of(cls, ending: Saved | None, model: Saved) -> "Ending":
        """Return it, with params and state that differ from those of the model. Without an end: nothing."""
        if ending is None:
            return cls({})
        arrays = dict(ending.optimizer)
        for part in ("params", "state"):
            now = getattr(model, part)
            for name, value in getattr(ending, part).items():
                if name not in now or value.tobytes() != now[name].tobytes():
                    arrays[f"{LAST}_{part}.{name}"] = value
        return cls(arrays, ending.progress)


def ending_in(file: ModelFile) -> Saved | None:
    """Return the end that a finished model's file has kept, None where it has not."""
    progress = file.progress.get("ending")
    if not isinstance(progress, dict):
        return None
    parts = {"params": dict(file.params), "state": dict(file.state)}
    optimizer = {}
    for key, value in file.optimizer.items():
        kind, _, name = key.partition(".")
        part = kind.removeprefix(f"{LAST}_")
        if kind != part and part in parts:
            parts[part][name] = value
        else:
            optimizer[key] = value
    return Saved(parts["params"], parts["state"], optimizer, progress, file.history)


def find_shorter(plan: Identified, output: str) -> ModelFile | None:
    """Return the finished model at `output` if this plan is its run with more epochs, and it can go on."""
    try:
        file = load_model(output).file
    except DataError:
        return None  # which `find_finished` is to say
    now, then = plan.as_in(file).identity, identity_in(file)
    epochs = then.get("epochs")
    if file.layers or not is_at_the_end(file) or ending_in(file) is None or type(epochs) is not int:
        return None
    longer = type(now.get("epochs")) is int and now["epochs"] > epochs
    return file if longer and difference(now | {"epochs": epochs}, then) is None else None


def identity_in(saved: ModelFile) -> dict[str, Any]:
    """Return what a file says of its run's identity, as plain values."""
    if saved.layers:
        request = saved.progress.get("request")
        return request if isinstance(request, dict) else {}
    then = {"model": saved.model} | saved.config | saved.training
    then |= {"seed": saved.seed, "data set": saved.progress.get("data")}
    return (
        then
        | {"starting model": saved.progress.get("start"), "refit": saved.progress.get("refit")}
        | {"content of --hidden-targets": saved.progress.get("hidden targets")}
        | {"validation_data": saved.progress.get("validation data")}
    )


def difference(now: Mapping[str, Any], then: Mapping[str, Any]) -> str | None:
    """Say in which setting a saved run differs from the planned one, in words; None where it does not."""
    for key, value in now.items():
        if then.get(key) != json.loads(json.dumps(value)):  # a file knows lists, no tuples
            if key == "data set":
                return "it learned from other data"
            if key == "validation_data" and value and then.get(key):
                return "it was validated on other data"
            return f"{key.replace('_', ' ')} was {then.get(key)!r} and is now {value!r}"
    return None
