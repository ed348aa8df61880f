"""A training run with its files: data in, OUTPUT.ckpt on the way, OUTPUT at the end; stoppable."""

import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np

from featlearn import ranks, signals
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.atomic import Output, check_output, discard
from featlearn.files.containers import split_member
from featlearn.files.model import ModelFile, write_into
from featlearn.jobs import advice
from featlearn.jobs.callbacks import Ask, Progress, Say, log, never, no_progress
from featlearn.jobs.cutting import Cutting
from featlearn.jobs.data import Data, describe_data
from featlearn.jobs.extract_settings import Extraction, PreprocessSpec
from featlearn.jobs.hints import as_argument
from featlearn.jobs.init_from import begun_as, settings_like
from featlearn.jobs.layers import StackPlan, learn_layers, plan_stack
from featlearn.jobs.picture_settings import Watching
from featlearn.jobs.pictures import filters_inside
from featlearn.jobs.plan import Plan, make_plan, refuse_scale, say_what_to_expect
from featlearn.jobs.refit import RefitPlan, learn_again
from featlearn.jobs.results import Next, Trained
from featlearn.jobs.resume import find_finished, find_shorter
from featlearn.jobs.run_log import RunLog
from featlearn.jobs.settings import Images, RunSettings
from featlearn.jobs.store import (
    DATA,
    STARTING_MODEL,
    check_hdf5_name,
    load_model,
    provenance,
    warn_of_unfinished,
)
from featlearn.jobs.train_settings import idle_settings, idle_words, training_of
from featlearn.jobs.training_run import Watch, learn_one
from featlearn.jobs.watching import Stills, refuse_layers
from featlearn.models import model_class
from featlearn.models.base import Model
from featlearn.settings import from_dict, option_name, refuse_idle

JOB = {"job": "train"}


def plan_training(
    dataset: str | Data | None = None,
    *,
    model: str,
    config: Any = None,
    training: Any = None,
    run: RunSettings | None = None,
    no_retry: bool = False,
    init_from: str | None = None,
    cutting: Cutting | None = None,
    given: Collection[str] = (),
    progress: Progress = no_progress,
    say: Say = log,
) -> Plan | StackPlan:
    """Describe the data, where they are not, and resolve every setting of a run, without making it.

    `init_from` is the model that it begins as; then rows are preprocessed as that one has learned from them.
    `cutting` says how patches are cut out of images, where `dataset` names some.

    Settings of a stack's layers are resolved when the layers below have been learned. Raises DataError,
    ConfigError.
    """
    cls, run = model_class(model), run or RunSettings()
    for name in sorted(idle_settings(cls).intersection(given)):
        raise ConfigError(idle_words(option_name(name), cls))
    config = cls.Config() if config is None else config
    training = from_dict(training_of(cls), cls.defaults.training) if training is None else training
    refuse_idle(training, given)
    refuse_idle(config, given)
    learned = None if init_from is None else load_model(init_from)
    if learned is not None:
        if dataset is None:
            raise ConfigError(
                f"--init-from {show(learned.path)}: give the data set, too, that is learned from"
            )
        warn_of_unfinished(learned, say)
        config = settings_like(cls, config, given, learned)
        refuse_scale(training)
        training = replace(training, data_scale=1.0)
    if isinstance(dataset, Data):
        data = dataset
    else:
        own = {field.name for field in fields(cls.Config)}
        cutting = (cutting or Cutting()).seeded(run.seed)
        data = describe_data(dataset, model, run, say, cutting, set(given) - own, progress, learned)
    if dataset is None:
        say_what_to_expect(model, config, training, say)
    if cls.layered():
        return plan_stack(data, model, config, training, run, not no_retry, say)
    plan = make_plan(data, model, config, training, run, not no_retry, say)
    return plan if learned is None else begun_as(plan, learned)


def file_name(model: str, decay: str) -> str:
    """MODEL.h5, and MODEL-DECAY.h5 with a decay that is not the model's own."""
    usual = decay in (None, "none", model_class(model).defaults.training.get("decay"))
    return f"{model}.h5" if usual else f"{model}-{decay}.h5"


def train(
    dataset: str | None = None,
    output: str | None = None,
    *,
    model: str,
    config: Any = None,
    training: Any = None,
    run: RunSettings | None = None,
    watching: Watching | None = None,
    extraction: Extraction | None = None,
    preprocess: PreprocessSpec | None = None,
    images: Images | None = None,
    no_retry: bool = False,
    init_from: str | None = None,
    resume: bool = False,
    force: bool = False,
    given: Collection[str] = (),
    invocation: Mapping[str, Any] = JOB,
    progress: Progress = no_progress,
    say: Say = log,
    should_stop: Ask = never,
    should_save: Ask = never,
) -> Trained:
    """Learn a model from a data set, or from images; without them, from dead-leaves images made on the spot.

    Out of images, whatever extract_patches takes, patches are cut in memory as `extraction`, `preprocess` and
    `images` say, which do nothing with a data set; their seed is that of the run.

    `model` is an id of the registry, `config` its Config, `training` a TrainConfig, or LayersTraining for the
    layers of a stack. `init_from` is a model file at whose weights it begins: of the same kind, or of one
    hidden layer, with its units and outputs. `watching` says which pictures are made on the way.
    `should_stop` is asked after every update: a run that shall stop writes OUTPUT.ckpt and returns, not
    `finished`; `resume` goes on with it. `should_save` asks for a checkpoint alone. `given` settings are
    refused where they do nothing.

    Raises DataError, ConfigError, DivergedError.
    """
    run, watching = run or RunSettings(), watching or Watching()
    refuse_idle(watching, given)
    refuse_layers(watching, model, model_class(model).layered())
    decay = model_class(model).defaults.training.get("decay", "none") if training is None else training.decay

    targets = getattr(config, "hidden_targets", None)
    cutting = Cutting(extraction or Extraction(), preprocess or PreprocessSpec(), images or Images())

    def plan_it() -> Plan | StackPlan:
        return plan_training(
            dataset, model=model, config=config, training=training, run=run, no_retry=no_retry,
            init_from=init_from, cutting=cutting, given=given, progress=progress, say=say,
        )  # fmt: skip

    validation = None if training is None else training.validation_data
    labels = cutting.images.labels if cutting.images.labels != "folders" else None
    inputs = {DATA: dataset, STARTING_MODEL: init_from, "validation data": validation}
    inputs |= {"hidden targets": targets, "labels": labels}
    return learn_into(
        output or file_name(model, decay), inputs, plan_it, run,
        resume=resume, force=force, invocation=invocation, progress=progress, say=say,
        should_stop=should_stop, should_save=should_save, watching=watching,
    )  # fmt: skip


def learn_into(
    output: str,
    inputs: Mapping[str, str | None],
    plan_it: Callable[[], Plan | StackPlan | RefitPlan],
    run: RunSettings,
    *,
    resume: bool,
    force: bool,
    invocation: Mapping[str, Any],
    progress: Progress,
    say: Say,
    should_stop: Ask,
    should_save: Ask,
    watching: Watching | None = None,
) -> Trained:
    """Learn what `plan_it` plans, which is asked for once the output is held, and write it to `output`.

    `inputs` are the files that are read, by what they are to the run. The rest is as of `train`.
    """
    check_hdf5_name(output)
    roles = {role: name for role, name in inputs.items() if name}
    ckpt, files = output + ".ckpt", [split_member(name)[0] for name in roles.values()]
    first = ranks.rank == 0  # which alone writes
    run_log = RunLog(run.log, resume, force, [*files, output, ckpt], say)
    stills = Stills(watching or Watching(), output, resume, force, files, say)
    if not first:
        run_log = RunLog(None, resume, force, [], say)
        stills = Stills(Watching(), output, resume, force, [], say)
    watch = Watch(say, progress, _agreed(should_stop), should_save, run.checkpoint_every, run_log, stills)
    if os.path.exists(ckpt):
        check_output(ckpt, True, files)  # in the end it is removed
        if not (resume or force):
            raise DataError(
                f"{show(ckpt)}: an unfinished run; go on with --resume or start again with --force"
            )
    plan, shorter = None, None
    if resume and os.path.exists(output):
        plan = plan_it()
        shorter = find_shorter(plan, output)
        finished = None if shorter is not None else find_finished(plan, output, force, say)
        if finished is not None:
            say(f"already finished: {output} is what this command makes")
            return _report(finished, output, say)
    replaces = force or shorter is not None
    check_output(output, replaces, files)
    with Output(output, replaces, files) if first else nullcontext() as out, run_log:
        plan = plan or plan_it()
        cut = (plan.first if isinstance(plan, RefitPlan) else plan).data.cut
        story = provenance(invocation, run.seed, list(roles.values()), list(roles))
        story |= cut.story if cut else {}
        learn = partial(learn_one, shorter=shorter)
        if isinstance(plan, StackPlan | RefitPlan):
            if run.keep_optimizer:
                raise ConfigError("--keep-optimizer: several runs in one cannot be longer; leave it out")
            learn = learn_layers if isinstance(plan, StackPlan) else learn_again  # type: ignore[assignment]
        with signals.deferred():  # what has been learned is written first
            started = time.monotonic()
            model, file = learn(plan, story, watch, ckpt, resume, force)  # type: ignore[arg-type]
            seconds = time.monotonic() - started
            stills.end()
            if not file.progress["finished"]:
                return _stopped(file, ckpt)
            if out is not None:
                write_into(out, file, filters_inside(model, file))
                discard(ckpt)
    return _report(file, output, say, seconds)


def _agreed(ask: Ask) -> Ask:
    """Return what answers as `ask` does on any rank; all are asked as often, and get that one's signal."""
    if ranks.size == 1:
        return ask

    def any_asks() -> bool:
        stop = ranks.largest(ask()) > 0
        number = ranks.largest(signals.noted() or 0) if stop else 0
        if number:
            signals.note(number)
        return stop

    return any_asks


def _model(file: ModelFile) -> Model:
    """The model of a file as far as its settings go."""
    cls = model_class(file.model)
    model: Model = cls(from_dict(cls.Config, file.config), file.training["dtype"])
    return model


def _zero_weights(file: ModelFile) -> float:
    """The share of a file's weights that are exactly zero."""
    weights = [layer.params[name] for layer in file.layers or [file] for name in _model(layer).weights]
    return float(np.mean(np.concatenate([w.ravel() == 0 for w in weights])))


def _stopped(file: ModelFile, ckpt: str) -> Trained:
    """Return what there is of a run that was stopped."""
    runs = [layer.progress["run"] for layer in file.layers or [file]]
    return Trained(
        output=ckpt,
        model=file.model,
        updates=sum(run["step"] for run in runs),
        epochs=sum(run["epochs_done"] for run in runs),
        zero_weights=_zero_weights(file),
        content_hash=file.content_hash,
        advice=[],
        finished=False,
    )


def _report(file: ModelFile, output: str, say: Say, seconds: float | None = None) -> Trained:
    """Return what a finished model's file says of its run."""
    found = _measures(file)
    for layer in file.layers or [file]:
        stopped = layer.progress["run"].get("stopped")
        if stopped:
            say(f"stopped after {int(_measures(layer)['epoch'])} epochs: {stopped}")
    restarts = file.progress.get("restarts")
    return Trained(
        output=output,
        model=file.model,
        layers={str(i): _of_layer(layer) for i, layer in enumerate(file.layers, 1)} or None,
        restarts=restarts or None,
        lr=file.training["lr"] if restarts else None,
        updates=int(found["step"]),
        epochs=int(found["epoch"]),
        loss=None if file.layers else found.get("loss"),
        rmse=found.get("rmse"),
        validation_rmse=found.get("validation_rmse"),
        error_rate=found.get("error_rate"),
        validation_error_rate=found.get("validation_error_rate"),
        validation_loss=found.get("validation_loss"),
        mean_activation=found.get("mean_activation"),
        deviation=None if file.layers else found.get("deviation"),
        seconds=seconds,
        zero_weights=_zero_weights(file),
        content_hash=file.content_hash,
        advice=_advice(file),
        next=_next(file, output),
    )


def _next(file: ModelFile, output: str) -> Next:
    """Say what to do next: with what tells classes, tell those of other data; else look at the filters."""
    if file.classes is None:
        return Next([["visualize", as_argument(output)]])
    return Next([["classify", as_argument(output), "DATASET"]], "where DATASET holds others of these classes")


def _measures(file: ModelFile) -> dict[str, float]:
    """What was measured at the end of a run: the last epoch, and the finished model."""
    last = {key: float(column[-1]) for key, column in file.history.items() if np.isfinite(column[-1])}
    return {**last, **file.progress["run"].get("measured", {})}


def _of_layer(file: ModelFile) -> dict[str, Any]:
    """What is told of a layer of a stack."""
    found = _measures(file)
    names = ("rmse", "error_rate", "mean_activation", "deviation")
    return {"model": file.model, "epochs": int(found["epoch"])} | {
        name: found[name] for name in names if name in found
    }


def _advice(file: ModelFile, of_codes: bool = False) -> list[dict[str, str]]:
    """What is wrong with a model, or with the layers of a stack."""
    if not file.layers:
        whitened = file.preprocess["whiten"] != "none"
        return advice.advise(_model(file), file.training, _measures(file), whitened, of_codes)
    return [
        {**one, "text": f"layer {i}: {one['text']}"}
        for i, layer in enumerate(file.layers, 1)
        for one in _advice(layer, of_codes=i > 1)
    ]
