"""A training run with its files: data in, OUTPUT.ckpt on the way, OUTPUT at the end; stoppable."""

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn import __version__, signals
from featlearn.errors import ConfigError, DataError, DivergedError, show
from featlearn.files.atomic import Output, check_output, discard
from featlearn.files.model import ModelFile, write_into, write_model
from featlearn.jobs import advice
from featlearn.jobs.callbacks import Ask, Progress, Say, log, never, no_progress
from featlearn.jobs.hints import as_argument
from featlearn.jobs.plan import Data, Plan, describe_data, make_plan
from featlearn.jobs.results import Next, Trained
from featlearn.jobs.resume import find_finished, refuse_other, saved_in
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import check_hdf5_name, load_model, provenance
from featlearn.jobs.train_settings import idle_settings, idle_words
from featlearn.models import model_class
from featlearn.models.base import Model
from featlearn.random import Random
from featlearn.settings import from_dict, option_name, refuse_idle, to_dict
from featlearn.training.config import TrainConfig
from featlearn.training.train import Training

JOB = {"job": "train"}


@dataclass(frozen=True)
class Watch:
    """Who is told of a run, and asked whether it shall stop or write its checkpoint."""

    say: Say
    progress: Progress
    should_stop: Ask
    should_save: Ask
    checkpoint_every: float
    """Seconds."""


def plan_training(
    dataset: str | Data | None = None,
    *,
    model: str,
    config: Any = None,
    training: TrainConfig | None = None,
    run: RunSettings | None = None,
    no_retry: bool = False,
    given: Collection[str] = (),
    say: Say = log,
) -> Plan:
    """Describe the data, where they are not, and resolve every setting of a run, without making it.

    Raises DataError, ConfigError.
    """
    cls, run = model_class(model), run or RunSettings()
    for name in sorted(idle_settings(cls).intersection(given)):
        raise ConfigError(idle_words(option_name(name), cls))
    config = cls.Config() if config is None else config
    training = from_dict(TrainConfig, cls.defaults.training) if training is None else training
    refuse_idle(training, given)
    refuse_idle(config, given)
    data = dataset if isinstance(dataset, Data) else describe_data(dataset, model, run, say)
    return make_plan(data, model, config, training, run, not no_retry, say)


def file_name(model: str, decay: str) -> str:
    """MODEL.h5, and MODEL-DECAY.h5 with a decay that is not the model's own."""
    usual = decay in ("none", model_class(model).defaults.training.get("decay"))
    return f"{model}.h5" if usual else f"{model}-{decay}.h5"


def train(
    dataset: str | None = None,
    output: str | None = None,
    *,
    model: str,
    config: Any = None,
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
    """Learn a model from a data set; without one, from dead-leaves images made on the spot.

    `model` is an id of the registry, `config` its Config. `should_stop` is asked after every update: a run
    that shall stop writes OUTPUT.ckpt and returns, not `finished`; `resume` goes on with it. `should_save`
    asks for a checkpoint alone. `given` settings are refused where they do nothing. Raises DataError,
    ConfigError, DivergedError.
    """
    run = run or RunSettings()
    decay = model_class(model).defaults.training.get("decay", "none") if training is None else training.decay
    output = output or file_name(model, decay)
    check_hdf5_name(output)
    ckpt = output + ".ckpt"
    inputs = [dataset] if dataset else []
    watch = Watch(say, progress, should_stop, should_save, run.checkpoint_every)

    def plan_it() -> Plan:
        return plan_training(
            dataset, model=model, config=config, training=training, run=run, no_retry=no_retry, given=given,
            say=say,
        )  # fmt: skip

    if os.path.exists(ckpt):
        check_output(ckpt, True, inputs)  # in the end it is removed
        if not (resume or force):
            raise DataError(
                f"{show(ckpt)}: an unfinished run; go on with --resume or start again with --force"
            )
    plan = None
    if resume and os.path.exists(output):
        plan = plan_it()
        finished = find_finished(plan, output, force, say)
        if finished is not None:
            say(f"already finished: {output} is what this command makes")
            return _report(plan.as_in(finished), finished, output, say)
    with Output(output, force, inputs) as out:
        plan = plan or plan_it()
        plan, training_run = _start(plan, ckpt if resume else None, force, say)
        story = provenance(invocation, seed=run.seed, inputs=inputs)
        with signals.deferred():  # what has been learned is written first
            started = time.monotonic()
            plan, training_run = _train_with_restarts(plan, training_run, story, ckpt, watch)
            seconds = time.monotonic() - started
            if not training_run.progress.finished:
                return _stopped(plan, _file(training_run, plan, story), ckpt)
            _measure(training_run, plan)
            file = _file(training_run, plan, story)
            write_into(out, file)
            discard(ckpt)
    return _report(plan, file, output, say, seconds)


def learn(plan: Plan, story: dict[str, Any], watch: Watch) -> tuple[Model, ModelFile]:
    """Run a plan without files. -> the model and what its file would hold.

    The run stops when it shall; then the file holds what it takes to go on. Raises ConfigError,
    DivergedError.
    """
    with signals.deferred():
        plan, training_run = _train_with_restarts(plan, _fresh(plan), story, None, watch)
        if training_run.progress.finished:
            _measure(training_run, plan)
        return training_run.model, _file(training_run, plan, story)


def _measure(training: Training, plan: Plan) -> None:
    """Add what advice asks for to the measures of a finished run."""
    training.progress.measured |= advice.measure_run(training, plan.data.preprocess, plan.data.shape)


def _keep(file: ModelFile, ckpt: str) -> str:
    """Write the last good model of a run that diverged. -> words that say so, or why it could not be."""
    try:
        write_model(ckpt, file, force=True)
    except DataError as error:
        return f"the last good model is lost: {error}"
    return f"the last good model is kept in {show(ckpt)}"


def _fresh(plan: Plan) -> Training:
    """Make a run at its start. Raises ConfigError, DataError."""
    data, run = plan.data, plan.run
    model: Model = model_class(plan.model)(plan.config, run.dtype)
    model.init(data.preprocess.n_visible, Random(run.seed), plan.mean)
    return Training(model, data.rows, plan.training, run.seed)


def _start(plan: Plan, ckpt: str | None, force: bool, say: Say) -> tuple[Plan, Training]:
    """Make a fresh run, or take up the one that a checkpoint holds, after its restarts.

    Raises ConfigError, DataError.
    """
    training = _fresh(plan)
    if ckpt is None or not os.path.exists(ckpt):
        return plan, training
    try:
        saved = load_model(ckpt)
        then = plan.as_in(saved.file)
        refuse_other(then, ckpt, saved.file, training)
    except (ConfigError, DataError) as error:
        if not force:
            raise type(error)(f"{error}; start again with --resume --force") from error
        say(f"starting anew: {error}")
        return plan, training
    if then is not plan:
        training = _fresh(then)
    training.restore(saved_in(saved.file))
    say(f"going on with {ckpt} at update {training.progress.step:,} of {training.total_updates:,}")
    return then, training


def _train_with_restarts(
    plan: Plan, training: Training, story: dict[str, Any], ckpt: str | None, watch: Watch
) -> tuple[Plan, Training]:
    """Run to the end; where a default learning rate diverges early, from the start again with half of it.

    Return the run that came to its end, or was stopped. Raises DivergedError.
    """
    while True:
        try:
            _train(training, plan, story, ckpt, watch)
            return plan, training
        except DivergedError as error:
            again = plan.restarted() if training.early else None
            if again is None:
                if ckpt is None:
                    raise
                kept = _keep(_file(training, plan, story), ckpt)
                raise DivergedError(f"{error}; {kept}") from error
            watch.say(
                f"diverged at update {training.progress.step:,} with --lr {plan.training.lr}: "
                f"beginning again with --lr {again.training.lr}"
            )
            plan, training = again, _fresh(again)


def _train(training: Training, plan: Plan, story: dict[str, Any], ckpt: str | None, watch: Watch) -> None:
    """Run to the end, or until it shall stop; where there is a place for it, checkpoint now and then, and
    then.

    Raises DivergedError.
    """
    saved = time.monotonic()
    with watch.progress(training.total_updates, "updates") as bar:
        bar.advance(training.progress.step)

        def on_batch(at: Training) -> bool:
            nonlocal saved
            bar.advance(1, _note(at))
            due = watch.should_save() or time.monotonic() - saved >= watch.checkpoint_every
            if (
                ckpt and due and not at.progress.finished
            ):  # a finished run is about to be written as what it is
                write_model(ckpt, _file(at, plan, story), force=True)
                saved = time.monotonic()
            return watch.should_stop()

        finished = training.run(on_batch)
    if ckpt and not finished:
        write_model(ckpt, _file(training, plan, story), force=True)
        watch.say(f"stopped at update {training.progress.step:,}; the same command with --resume goes on")


def _note(training: Training) -> str:
    errors = training.history.get("probe_rmse")
    at = training.progress
    return f"epoch {at.epochs_done + (at.batch > 0)}" + (f", probe RMSE {errors[-1]:.4f}" if errors else "")


def _file(training: Training, plan: Plan, story: dict[str, Any]) -> ModelFile:
    """The run as a file; one that is not finished holds what it takes to go on."""
    saved = training.checkpoint()
    finished = training.progress.finished
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
        optimizer={} if finished else saved.optimizer,
        progress={
            "finished": finished,
            "data": plan.data.digest,
            "run": saved.progress,
            "restarts": plan.restarts,
        },
        provenance=story,
        version=__version__,
    )


def _model(file: ModelFile) -> Model:
    """The model of a file as far as its settings go."""
    cls = model_class(file.model)
    model: Model = cls(from_dict(cls.Config, file.config), file.training["dtype"])
    return model


def _zero_weights(file: ModelFile) -> float:
    """The share of a file's weights that are exactly zero."""
    return float(np.mean(np.concatenate([file.params[name].ravel() == 0 for name in _model(file).weights])))


def _stopped(plan: Plan, file: ModelFile, ckpt: str) -> Trained:
    """Return what there is of a run that was stopped."""
    run = file.progress["run"]
    return Trained(
        output=ckpt,
        model=plan.model,
        updates=run["step"],
        epochs=run["epochs_done"],
        zero_weights=_zero_weights(file),
        content_hash=file.content_hash,
        advice=[],
        finished=False,
    )


def _report(plan: Plan, file: ModelFile, output: str, say: Say, seconds: float | None = None) -> Trained:
    last = {key: float(column[-1]) for key, column in file.history.items() if np.isfinite(column[-1])}
    last |= file.progress.get("run", {}).get("measured", {})
    stopped = file.progress["run"].get("stopped") if "run" in file.progress else None
    if stopped:
        say(f"stopped after {int(last['epoch'])} epochs: {stopped}")
    return Trained(
        output=output,
        model=file.model,
        restarts=plan.restarts or None,
        lr=plan.training.lr if plan.restarts else None,
        updates=int(last["step"]),
        epochs=int(last["epoch"]),
        loss=last.get("loss"),
        rmse=last.get("rmse"),
        validation_rmse=last.get("validation_rmse"),
        mean_activation=last.get("mean_activation"),
        deviation=last.get("deviation"),
        seconds=seconds,
        zero_weights=_zero_weights(file),
        content_hash=file.content_hash,
        advice=advice.advise(_model(file), file.training, last, whitened=file.preprocess["whiten"] != "none"),
        next=Next([["visualize", as_argument(output)]]),
    )
