"""A run that stops early on held-out rows, and then one on all rows for as many epochs as were best."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from featlearn.errors import ConfigError, DataError
from featlearn.files.model import ModelFile
from featlearn.jobs.plan import Plan
from featlearn.jobs.store import load_model
from featlearn.jobs.training_run import Watch, learn_one
from featlearn.models.base import Model


@dataclass(frozen=True)
class RefitPlan:
    """A run with held-out rows before it starts; how long the last one is to be, nobody knows yet."""

    first: Plan

    def last(self, epochs: int | None) -> Plan:
        """Return the run on all rows, from the same beginning; None: how long it is to be is not known."""
        then = self.first.training
        length = {"at most": then.epochs, "updates": then.updates}
        refit = {"epochs": epochs} | length | {"validation": then.validation, "patience": then.patience}
        training = replace(then, validation=0.0, patience=None, epochs=epochs, updates=None)
        return replace(self.first, training=training, refit=refit)

    @property
    def identity(self) -> dict[str, Any]:
        """That of the first run: a file of the last one has another."""
        return self.first.identity

    def as_in(self, file: ModelFile) -> "Plan":
        """Return the last run, after the restarts of a file, with the epochs that the file says.

        The file of the first run alone, which says none, is that of another run.
        """
        return self.last(refit_epochs(file.progress)).as_in(file)


def refit_epochs(progress: Mapping[str, Any]) -> int | None:
    """Return the epochs of a last run, of what a file says of its progress; None of any other."""
    refit = progress.get("refit")
    epochs = refit.get("epochs") if isinstance(refit, dict) else None
    return epochs if type(epochs) is int and epochs > 0 else None


def learn_again(
    plan: RefitPlan,
    story: dict[str, Any],
    watch: Watch,
    ckpt: str | None = None,
    resume: bool = False,
    force: bool = False,
) -> tuple[Model, ModelFile]:
    """Run both, as `learn_one` runs one. Raises ConfigError, DataError, DivergedError."""
    epochs = _epochs_in(ckpt) if resume and ckpt is not None else None
    if epochs is None:
        model, file = learn_one(plan.first, story, watch, ckpt, resume, force)
        if not file.progress["finished"]:
            return model, file
        epochs = int(file.progress["run"]["best_epoch"])
        held_out = file.progress["run"]["measured"].get("validation_error_rate")
        found = "" if held_out is None else f" ({held_out:.2%} of the held-out rows wrong)"
        watch.say(f"{epochs} epochs were best{found}: beginning again with all rows")
        resume = False
    return learn_one(plan.last(epochs), story, watch, ckpt, resume, force)


def _epochs_in(ckpt: str) -> int | None:
    """Return the epochs of the last run, if a checkpoint is of one."""
    if not os.path.exists(ckpt):
        return None
    try:
        return refit_epochs(load_model(ckpt).file.progress)
    except (ConfigError, DataError):
        return None  # it is refused, or replaced, where it is taken up
