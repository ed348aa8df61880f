"""A planned run: begun or taken up again, watched, checkpointed, and begun anew where it diverges."""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from featlearn import __version__, panels, ranks
from featlearn.errors import ConfigError, DataError, DivergedError, show
from featlearn.files.model import ModelFile, write_model
from featlearn.jobs import advice
from featlearn.jobs.callbacks import Ask, Progress, Say
from featlearn.jobs.plan import Plan
from featlearn.jobs.resume import Ending, ending_in, refuse_other, saved_in
from featlearn.jobs.run_log import RunLog
from featlearn.jobs.store import load_model
from featlearn.jobs.watching import Stills
from featlearn.models import model_class
from featlearn.models.base import Model
from featlearn.random import Random
from featlearn.settings import to_dict
from featlearn.training.legs import Leg
from featlearn.training.train import Training


@dataclass(frozen=True)
class Checkpoint:
    """Where the file of a run that is not finished goes, and what it is wrapped into there."""

    path: str
    wrap: Callable[[ModelFile], ModelFile] = lambda file: file

    def write(self, file: ModelFile) -> None:
        """Write it, from the first rank alone. Raises DataError."""
        if ranks.rank == 0:
            write_model(self.path, self.wrap(file), force=True)


@dataclass(frozen=True)
class Watch:
    """Who is told of a run, and asked whether it shall stop or write its checkpoint."""

    say: Say
    progress: Progress
    should_stop: Ask
    should_save: Ask
    checkpoint_every: float
    """Seconds."""
    log: RunLog
    stills: Stills | None = None


def learn_one(
    plan: Plan,
    story: dict[str, Any],
    watch: Watch,
    ckpt: str | None = None,
    resume: bool = False,
    force: bool = False,
    shorter: ModelFile | None = None,
) -> tuple[Model, ModelFile]:
    """Run a plan. -> the model and what its file is to hold.

    The run stops when it shall; then the file holds what it takes to go on, and so does the one at `ckpt`,
    where there is a place for it. `resume` goes on with what is there; with `force` anew where that is
    another run. `shorter` is a finished one that it goes on with (`find_shorter`), where there is no
    checkpoint. Raises ConfigError, DataError, DivergedError.
    """
    if shorter is not None and not (resume and ckpt is not None and os.path.exists(ckpt)):
        plan, training_run = lengthen(plan, shorter, watch.say)
    else:
        plan, training_run = start(plan, ckpt if resume else None, force, watch.say)
    keep = None if ckpt is None else Checkpoint(ckpt)
    plan, training_run = train_with_restarts(plan, training_run, story, keep, watch)
    if training_run.progress.finished:
        measure(training_run, plan)
    return training_run.model, model_file(training_run, plan, story)


def start(plan: Plan, ckpt: str | None, force: bool, say: Say) -> tuple[Plan, Training]:
    """Make a fresh run, or take up the one that a checkpoint holds, after its restarts.

    Raises ConfigError, DataError.
    """
    if ckpt is None or not os.path.exists(ckpt):
        return plan, fresh(plan)
    try:
        return take_up(plan, ckpt, load_model(ckpt).file, say)
    except (ConfigError, DataError) as error:
        if not force:
            raise type(error)(f"{error}; start again with --resume --force") from error
        say(f"starting anew: {error}")
        return plan, fresh(plan)


def take_up(plan: Plan, ckpt: str, saved: ModelFile, say: Say) -> tuple[Plan, Training]:
    """Go on with the run that a checkpoint holds, after its restarts. Raises ConfigError, DataError."""
    then = plan.as_in(saved)
    training = fresh(then)
    refuse_other(then, ckpt, saved, training)
    training.restore(saved_in(saved))
    say(f"going on with {ckpt} at update {training.progress.step:,} of {training.total_updates:,}")
    return then, training


def lengthen(plan: Plan, shorter: ModelFile, say: Say) -> tuple[Plan, Training]:
    """Go on with a finished run that has kept its end. Raises DataError."""
    then = plan.as_in(shorter)
    training, saved = fresh(then), ending_in(shorter)
    misfit = "" if saved is None else training.misfit(saved)
    if saved is None or misfit:
        raise DataError(f"--resume: the model cannot go on: {misfit or 'it has not kept its optimizer'}")
    training.restore(saved)
    say(f"going on after {training.progress.epochs_done:,} epochs, to {plan.training.epochs:,}")
    return then, training


def fresh(plan: Plan) -> Training:
    """Make a run at its start. Raises ConfigError, DataError."""
    data, run = plan.data, plan.run
    model: Model = model_class(plan.model)(plan.config, run.dtype)
    model.init(data.preprocess.n_visible, Random(run.seed, plan.stream), plan.mean)
    for name, value in (plan.start.params if plan.start else {}).items():
        model.params[name][...] = value
    if plan.hidden_targets is not None:
        model.hidden_targets = plan.hidden_targets.values
    training = Training(model, plan.rows, plan.training, run.seed, plan.stream, plan.held_out)
    training.keep_ending = run.keep_optimizer
    if run.keep_optimizer and not (len(training.legs) == 1 and training.leg.can_be_longer):
        raise ConfigError(
            f"--keep-optimizer: no more epochs can follow this training of a {plan.model} model; leave it out"
        )
    return training


def train_with_restarts(
    plan: Plan, training: Training, story: dict[str, Any], keep: Checkpoint | None, watch: Watch
) -> tuple[Plan, Training]:
    """Run to the end; where a default learning rate diverges early, from the start again with half of it.

    Return the run that came to its end, or was stopped. Raises DivergedError.
    """
    ranks.refuse_difference(partial(_digest, plan), "other data, settings or version of featlearn")
    training.refuse_other_ranks("other parameters to begin with")
    for words in dict.fromkeys(filter(None, map(idle_ranks, training.legs))):
        watch.say(words)
    while True:
        watch.log.begin(training.history, fresh=training.progress.step == 0)
        if watch.stills is not None:
            watch.stills.begin(training.progress.epochs_done)
        try:
            _train(training, plan, story, keep, watch)
            return plan, training
        except DivergedError as error:
            again = plan.restarted() if training.early else None
            if again is None:
                if keep is None:
                    raise
                kept = _keep(model_file(training, plan, story), keep)
                raise DivergedError(f"{error}; {kept}") from error
            watch.say(
                f"diverged at update {training.progress.step:,} with --lr {plan.training.lr}: "
                f"beginning again with --lr {again.training.lr}"
            )
            plan, training = again, fresh(again)


def _digest(plan: Plan) -> bytes:
    """Return a hash of all that decides what comes out of a plan."""
    return hashlib.sha256(json.dumps([__version__, plan.identity]).encode()).digest()


def idle_ranks(leg: Leg) -> str:
    """Say how many ranks a phase leaves without rows, and what would use them; "" where it uses all."""
    rows, size, most = min(leg.batch_size, len(leg.train_rows)), ranks.size, len(leg.train_rows)
    busy = sum(len(panels.share_of(rows, r, size).panels) > 0 for r in range(size))
    if busy == size:
        return ""
    words = f"--batch-size {rows}: ranks share blocks of {panels.BLOCK} rows, so {busy} of {size} have work"
    if most <= panels.BLOCK * (size - 1):
        return f"{words}; {most:,} training rows are enough for {math.ceil(most / panels.BLOCK)}"
    return f"{words}; --batch-size {min(panels.BLOCK * size, most)} uses all"


def _train(
    training: Training, plan: Plan, story: dict[str, Any], keep: Checkpoint | None, watch: Watch
) -> None:
    """Run to the end, or until it shall stop.

    Where there is a place for checkpoints, they are written now and then, and when it stops. Raises
    DivergedError.
    """
    saved = time.monotonic()
    with watch.progress(training.total_updates, "updates") as bar:
        bar.advance(training.progress.step)

        def on_batch(at: Training) -> bool:
            nonlocal saved
            bar.advance(1, _note(at))
            due = watch.should_save() or time.monotonic() - saved >= watch.checkpoint_every
            due = ranks.largest(due) > 0  # a model that cannot be saved ends the run on all ranks
            # a finished run is about to be written as what it is
            if keep and due and not at.progress.finished:
                keep.write(model_file(at, plan, story))
                saved = time.monotonic()
            return watch.should_stop()

        finished = training.run(on_batch, partial(_on_epoch, plan, watch))
    if keep and not finished:
        keep.write(model_file(training, plan, story))
        watch.say(f"stopped at update {training.progress.step:,}; the same command with --resume goes on")


def _on_epoch(plan: Plan, watch: Watch, training: Training) -> None:
    watch.log.add(training.history)
    if watch.stills is not None:
        of, data, at = training.model, plan.data, training.progress
        watch.stills.see(
            at.epochs_done,
            lambda: data.preprocess.to_pixels(of.filters()).reshape(-1, *data.shape),
            last=at.finished,
        )


def _note(training: Training) -> str:
    epoch = f"epoch {training.progress.epochs_done + (training.progress.batch > 0)}"
    for key, words in (("rmse", "probe RMSE {:.4f}"), ("error_rate", "{:.2%} of the probe rows wrong")):
        column = training.history.get(f"probe_{key}")
        if column:
            return f"{epoch}, {words.format(column[-1])}"
    return epoch


def measure(training: Training, plan: Plan) -> None:
    """Add what advice asks for to the measures of a finished run."""
    training.progress.measured |= advice.measure_run(training, plan.data.preprocess, plan.data.shape)


def _keep(file: ModelFile, keep: Checkpoint) -> str:
    """Write the last good model of a run that diverged. -> words that say so, or why it could not be."""
    try:
        keep.write(file)
    except DataError as error:
        return f"the last good model is lost: {error}"
    return f"the last good model is kept in {show(keep.path)}"


def model_file(training: Training, plan: Plan, story: dict[str, Any]) -> ModelFile:
    """The run as a file; one that is not finished holds what it takes to go on."""
    saved = training.checkpoint()
    finished = training.progress.finished
    ending = Ending.of(training.ending, saved)
    return ModelFile(
        model=plan.model,
        config=to_dict(plan.config),
        training=to_dict(plan.training) | {"dtype": plan.run.dtype},
        seed=plan.run.seed,
        shape=plan.data.shape,
        params=saved.params,
        preprocess=plan.data.preprocess.to_dict(),
        history=dict(saved.history),
        state=saved.state,
        optimizer=ending.optimizer if finished else saved.optimizer,
        progress={
            "finished": finished,
            "data": plan.data.digest,
            "run": saved.progress,
            "restarts": plan.restarts,
            "start": None if plan.start is None else plan.start.digest,
            "refit": plan.refit,
            "validation data": plan.validation_digest,
            "hidden targets": plan.hidden_targets and plan.hidden_targets.digest,
            "ending": ending.progress if finished else None,
        },
        classes=None if plan.classes is None else list(plan.classes.names),
        provenance=story,
        version=__version__,
    )
