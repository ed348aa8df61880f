"""A training run with its files: data in, OUTPUT.ckpt on the way, OUTPUT at the end; stoppable."""

import os
import time
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from featlearn import signals
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.atomic import Output, check_output, discard
from featlearn.files.model import ModelFile, write_into
from featlearn.jobs import advice
from featlearn.jobs.callbacks import Ask, Progress, Say, log, never, no_progress
from featlearn.jobs.hints import as_argument
from featlearn.jobs.plan import Data, Plan, describe_data, make_plan
from featlearn.jobs.results import Next, Trained
from featlearn.jobs.resume import find_finished
from featlearn.jobs.run_log import RunLog
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import check_hdf5_name, provenance
from featlearn.jobs.train_settings import idle_settings, idle_words
from featlearn.jobs.training_run import Watch, measure, model_file, start, train_with_restarts
from featlearn.models import model_class
from featlearn.models.base import Model
from featlearn.settings import from_dict, option_name, refuse_idle
from featlearn.training.config import TrainConfig

JOB = {"job": "train"}


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
    run_log = RunLog(run.log, resume, force, [*inputs, output, ckpt], say)
    watch = Watch(say, progress, should_stop, should_save, run.checkpoint_every, run_log)

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
    with Output(output, force, inputs) as out, run_log:
        plan = plan or plan_it()
        plan, training_run = start(plan, ckpt if resume else None, force, say)
        story = provenance(invocation, seed=run.seed, inputs=inputs)
        with signals.deferred():  # what has been learned is written first
            started = time.monotonic()
            plan, training_run = train_with_restarts(plan, training_run, story, ckpt, watch)
            seconds = time.monotonic() - started
            if not training_run.progress.finished:
                return _stopped(plan, model_file(training_run, plan, story), ckpt)
            measure(training_run, plan)
            file = model_file(training_run, plan, story)
            write_into(out, file)
            discard(ckpt)
    return _report(plan, file, output, say, seconds)


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
        error_rate=last.get("error_rate"),
        validation_error_rate=last.get("validation_error_rate"),
        validation_loss=last.get("validation_loss"),
        mean_activation=last.get("mean_activation"),
        deviation=last.get("deviation"),
        seconds=seconds,
        zero_weights=_zero_weights(file),
        content_hash=file.content_hash,
        advice=advice.advise(_model(file), file.training, last, whitened=file.preprocess["whiten"] != "none"),
        next=Next([["visualize", as_argument(output)]]),
    )
