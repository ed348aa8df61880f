"""A training run with its files: data in, OUTPUT.ckpt on the way, OUTPUT at the end; stoppable by signals."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn import __version__, signals
from featlearn.analysis.advice import FAR_MEAN
from featlearn.cli import advice
from featlearn.cli.hints import FULL, as_argument, as_bytes, say_next
from featlearn.cli.report import Results, Words
from featlearn.cli.store import check_hdf5_name, load_model, provenance
from featlearn.errors import ConfigError, DataError, DivergedError, show
from featlearn.files.atomic import Output, check_output, discard
from featlearn.files.dataset import read_dataset
from featlearn.files.model import ModelFile, write_into, write_model
from featlearn.models import model_class
from featlearn.models.base import DataSummary, Model
from featlearn.patches.dead_leaves import Generated
from featlearn.patches.extract import Extraction, survey
from featlearn.patches.preprocess import Fitter, Preprocess, PreprocessSpec
from featlearn.patches.rows import Rows
from featlearn.random import Random
from featlearn.settings import from_dict, to_dict
from featlearn.signals import Interrupted
from featlearn.training.checkpoint import Saved
from featlearn.training.config import TrainConfig
from featlearn.training.order import moments, split_rows
from featlearn.training.progress import Progress
from featlearn.training.train import Training

DEMO_PATCHES = 10_000
MOST = 0.5  # of the variance in one value: a warning
HOPELESS_MEAN = 1000  # times as long as rows are far from it: no rate is right for the mean row and the rest
RESTARTS = 2  # at most, of a run whose default learning rate diverges


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    dataset: str | None
    model: str
    settings: Any
    training: TrainConfig
    output: str
    force: bool = False
    resume: bool = False
    no_retry: bool = False
    checkpoint_every: float = 60.0
    seed: int = 0
    dtype: str = "float32"


@dataclass(frozen=True)
class Data:
    """What is learned from; its rows are made when they are first asked for."""

    name: str
    digest: str
    shape: tuple[int, int, int]
    preprocess: Preprocess
    make_rows: Callable[[Preprocess], Rows]

    @cached_property
    def rows(self) -> Rows:
        return self.make_rows(self.preprocess)

    def divided(self, by: float) -> "Data":
        """The same with all values divided by a number."""
        return self if by == 1 else replace(self, preprocess=self.preprocess.divided(by))


@dataclass(frozen=True)
class Plan:
    """A run before it starts: data and their mean row (visible,), and every setting resolved.

    `restarts` have halved its learning rate so often.
    """

    request: Request
    data: Data
    mean: npt.NDArray[np.float64]
    config: Any
    training: TrainConfig
    restarts: int = 0

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides what comes out, as plain values."""
        request = self.request
        start = {
            "model": request.model,
            "dtype": request.dtype,
            "seed": request.seed,
            "data set": self.data.digest,
        }
        return start | to_dict(self.config) | to_dict(self.training)

    def restarted(self) -> "Plan | None":
        """Return this run at half its learning rate; None where that was given, or halved often enough."""
        lr, request = self.training.lr, self.request
        if lr is None or request.training.lr is not None or request.no_retry or self.restarts == RESTARTS:
            return None
        return replace(self, training=replace(self.training, lr=lr / 2), restarts=self.restarts + 1)

    def as_in(self, file: ModelFile) -> "Plan":
        """Return this run after as many restarts as that of a file, if it may come to them."""
        plan: Plan | None = self
        while plan is not None and plan.restarts != file.progress.get("restarts"):
            plan = plan.restarted()
        return plan or self


def run(request: Request, words: Words, results: Results) -> None:
    """Train as asked. Raises DataError, ConfigError, DivergedError, Interrupted."""
    check_hdf5_name(request.output)
    ckpt = request.output + ".ckpt"
    inputs = [request.dataset] if request.dataset else []
    if os.path.exists(ckpt):
        check_output(ckpt, True, inputs)  # in the end it is removed
        if not (request.resume or request.force):
            raise DataError(
                f"{show(ckpt)}: an unfinished run; go on with --resume or start again with --force"
            )
    plan = None
    if request.resume and os.path.exists(request.output):
        plan = make_plan(request, words)
        finished = _finished(plan, words)
        if finished is not None:
            words.say(f"already finished: {request.output} is what this command makes")
            return _report(plan.as_in(finished), finished, words, results)
    with Output(request.output, request.force, inputs) as out:
        plan = plan or make_plan(request, words)
        plan, training = _start(plan, ckpt, words)
        story = provenance(seed=request.seed, inputs=inputs)
        with signals.deferred():  # what has been learned is written first
            started = time.monotonic()
            plan, training = _train_with_restarts(plan, training, story, ckpt, words)
            seconds = time.monotonic() - started
            training.progress.measured |= advice.measure_run(training, plan.data.preprocess, plan.data.shape)
            file = _file(training, plan, story)
            write_into(out, file)
            discard(ckpt)
    signals.check()
    _report(plan, file, words, results, seconds)


def _keep(file: ModelFile, ckpt: str) -> str:
    """Write the last good model of a run that diverged. -> words that say so, or why it could not be."""
    try:
        write_model(ckpt, file, force=True)
    except DataError as error:
        return f"the last good model is lost: {error}"
    return f"the last good model is kept in {show(ckpt)}"


def make_plan(request: Request, words: Words) -> Plan:
    """Describe the data and resolve the settings. Raises DataError, ConfigError."""
    data, cls, training = _describe_data(request, words), model_class(request.model), request.training
    train_rows, _ = split_rows(len(data.rows), training, request.seed)
    mean, variances = moments(data.rows, train_rows)
    pixels, variance = data.preprocess, math.fsum(variances)
    square = variance + math.fsum(np.square(mean))
    whitened = pixels.spec.whiten != "none"
    summary = DataSummary(
        pixels.n_visible, pixels.low, pixels.high, len(train_rows), variance, square, whitened
    )
    scale = training.scale(cls, request.settings, summary)
    if scale != 1 and training.data_scale is None:
        found = f"the data's standard deviation is {summary.spread:.2g}: values are divided by {scale:g}, which suits "
        other = "--data-scale 1 leaves them as they are"
        if as_bytes(pixels):
            other = f"if they are pixels, 0..{FULL}, take --data-scale {FULL}, which makes them 0..1"
        words.say(f"{found}--model {cls.id}; {other}")
    # probabilities are never so far away
    hopeless = math.inf if summary.known_within(0, 1) else HOPELESS_MEAN
    summary = summary.divided(scale)
    config = cls.resolve(request.settings, summary)
    if not cls.is_one_pass():  # which is exact whatever the data are
        _warn_of_unequal(variances, words)
    if not cls.takes_mean_off(config):
        _warn_of_mean(square, variance, hopeless, data.name, words)
    doubts = cls.doubts(config, summary)
    if doubts:
        words.say(f"warning: {doubts}")
    training = replace(training, data_scale=scale).resolve(cls, config, summary)
    return Plan(request, data.divided(scale), mean / scale, config, training)


def _warn_of_unequal(variances: npt.NDArray[np.float64], words: Words) -> None:
    """Say where one value has most of all variance."""
    total, largest = math.fsum(variances), int(np.argmax(variances))
    if len(variances) > 3 and variances[largest] > MOST * total:
        words.say(
            f"warning: value {largest + 1} of {len(variances)} has {variances[largest] / total:.0%} of all variance, "
            "so little will be learned of the others; extract with --normalize standardize to give all the same"
        )


def _warn_of_mean(square: float, variance: float, hopeless: float, name: str, words: Words) -> None:
    """Say where rows differ by little from what they have in common.

    Raises DataError beyond `hopeless` times that.
    """
    if not square > FAR_MEAN**2 * variance > 0:
        return
    found = f"the mean row is {math.sqrt(square / variance - 1):.2g} times as long as rows are far from it"
    remedy = "extract with --normalize standardize to take it off"
    if square > hopeless**2 * variance:
        raise DataError(
            f"{show(name)}: {found}, too far to learn the rest; {remedy}, or use --model k-sparse"
        )
    words.say(f"warning: {found}; {remedy}")


def _describe_data(request: Request, words: Words) -> Data:
    path = request.dataset
    if path is not None:
        dataset = read_dataset(path)
        preprocess = Preprocess.from_dict(dataset.preprocess)
        make_rows = partial(Rows, dataset.patches, dtype=np.dtype(request.dtype), name=show(path))
        return Data(path, dataset.digest, dataset.shape, preprocess, make_rows)
    words.say(f"no data set given: learning from {DEMO_PATCHES:,} patches of dead-leaves images")
    demo = dict(model_class(request.model).defaults.patches)
    size = demo.pop("size")
    plan = survey(
        [Generated("dead-leaves", 16, seed=request.seed)], Extraction((size, size), count=DEMO_PATCHES)
    )
    patches = np.concatenate([block.patches for block in plan.blocks()])
    fitter = Fitter(PreprocessSpec(**demo).resolve(), patches.shape[1], patches.dtype)
    fitter.update(patches)
    preprocess = fitter.finish()
    name = f"dead-leaves, seed {request.seed}"
    return Data(name, name, plan.shape, preprocess, partial(Rows, patches, dtype=np.dtype(request.dtype)))


def _finished(plan: Plan, words: Words) -> ModelFile | None:
    """Return the finished model at OUTPUT if it is what this plan makes; None, said, where --force replaces
    another.

    Raises ConfigError, DataError for anything else that stands there.
    """
    output, force = plan.request.output, plan.request.force
    try:
        file = load_model(output).file
    except DataError as error:
        if not force:
            raise
        words.say(f"to be replaced: {error}")
        return None
    other = _difference(plan.as_in(file), file)
    if other is None and _is_at_the_end(file):
        return file
    found = f"{show(output)} is of another run: {other or 'it is not finished'}"
    if not force:
        raise ConfigError(
            f"--resume: {found}; give the same command, choose another --output, or add --force to replace it"
        )
    words.say(f"to be replaced: {found}")
    return None


def _is_at_the_end(file: ModelFile) -> bool:
    """Whether all that a file says of its run is that of a finished one."""
    place, steps = file.progress.get("run"), file.history.get("step", np.zeros(0))
    if not (isinstance(place, dict) and Progress.fits(place) and len(steps) and steps.dtype.kind in "iu"):
        return False
    return bool(place.get("finished") and file.progress.get("finished"))


def _fresh(plan: Plan) -> Training:
    """Make a run at its start. Raises ConfigError, DataError."""
    request, data = plan.request, plan.data
    model: Model = model_class(request.model)(plan.config, request.dtype)
    model.init(data.preprocess.n_visible, Random(request.seed), plan.mean)
    return Training(model, data.rows, plan.training, request.seed)


def _start(plan: Plan, ckpt: str, words: Words) -> tuple[Plan, Training]:
    """Make a fresh run, or take up the one that the checkpoint holds, after its restarts.

    Raises ConfigError, DataError.
    """
    training = _fresh(plan)
    if not (plan.request.resume and os.path.exists(ckpt)):
        return plan, training
    try:
        saved = load_model(ckpt)
        then = plan.as_in(saved.file)
        _refuse_other(then, ckpt, saved.file, training)
    except (ConfigError, DataError) as error:
        if not plan.request.force:
            raise type(error)(f"{error}; start again with --resume --force") from error
        words.say(f"starting anew: {error}")
        return plan, training
    if then is not plan:
        training = _fresh(then)
    training.restore(_saved(saved.file))
    words.say(f"going on with {ckpt} at update {training.progress.step:,} of {training.total_updates:,}")
    return then, training


def _refuse_other(plan: Plan, ckpt: str, saved: ModelFile, training: Training) -> None:
    """Raise ConfigError or DataError unless the file holds this very run, at a place where it can go on."""
    other = _difference(plan, saved)
    if other is not None:
        raise ConfigError(f"--resume: {show(ckpt)} is of another run: {other}")
    place = saved.progress.get("run")
    if isinstance(place, dict) and place.get("diverged") is True:
        raise ConfigError(f"--resume: {show(ckpt)}: that run diverged; take a lower --lr")
    misfit = training.misfit(_saved(saved))
    if misfit:
        raise DataError(f"{show(ckpt)}: {misfit}")


def _saved(file: ModelFile) -> Saved:
    """What a file holds of a run."""
    return Saved(file.params, file.state, file.optimizer, file.progress.get("run"), file.history)


def _difference(plan: Plan, saved: ModelFile) -> str | None:
    """Say in which setting the saved run differs from the planned one, in words; None where it does not."""
    then = {"model": saved.model} | saved.config | saved.training
    then |= {"seed": saved.seed, "data set": saved.progress.get("data")}
    for key, value in plan.identity.items():
        if then.get(key) != json.loads(json.dumps(value)):  # a file knows lists, no tuples
            if key == "data set":
                return "it learned from other data"
            return f"{key.replace('_', ' ')} was {then.get(key)!r} and is now {value!r}"
    return None


def _train_with_restarts(
    plan: Plan, training: Training, story: dict[str, Any], ckpt: str, words: Words
) -> tuple[Plan, Training]:
    """Run to the end; where a default learning rate diverges early, from the start again with half of it.

    Return the run that came to its end. Raises Interrupted, DivergedError.
    """
    while True:
        try:
            _train(training, plan, story, ckpt, words)
            return plan, training
        except DivergedError as error:
            again = plan.restarted() if training.early else None
            if again is None:
                kept = _keep(_file(training, plan, story), ckpt)
                raise DivergedError(f"{error}; {kept}") from error
            words.say(
                f"diverged at update {training.progress.step:,} with --lr {plan.training.lr}: "
                f"beginning again with --lr {again.training.lr}"
            )
            plan, training = again, _fresh(again)


def _train(training: Training, plan: Plan, story: dict[str, Any], ckpt: str, words: Words) -> None:
    """Run to the end; checkpoint now and then, and when a signal asks to stop.

    Raises Interrupted, DivergedError.
    """
    saved = time.monotonic()
    with words.progress(training.total_updates, "updates") as progress:
        progress.advance(training.progress.step)

        def on_batch(at: Training) -> bool:
            nonlocal saved
            progress.advance(1, _note(at))
            due = signals.save_asked() or time.monotonic() - saved >= plan.request.checkpoint_every
            if due and not at.progress.finished:  # a finished run is about to be written as what it is
                write_model(ckpt, _file(at, plan, story), force=True)
                saved = time.monotonic()
            return signals.noted() is not None

        finished = training.run(on_batch)
    if not finished:
        write_model(ckpt, _file(training, plan, story), force=True)
        words.say(f"stopped at update {training.progress.step:,}; the same command with --resume goes on")
        signum = signals.noted()
        assert signum is not None
        raise Interrupted(signum)


def _note(training: Training) -> str:
    errors = training.history.get("probe_rmse")
    at = training.progress
    return f"epoch {at.epochs_done + (at.batch > 0)}" + (f", probe RMSE {errors[-1]:.4f}" if errors else "")


def _file(training: Training, plan: Plan, story: dict[str, Any]) -> ModelFile:
    """The run as a file; one that is not finished holds what it takes to go on."""
    request, data = plan.request, plan.data
    saved = training.checkpoint()
    finished = training.progress.finished
    return ModelFile(
        model=request.model,
        config=to_dict(plan.config),
        training=to_dict(plan.training) | {"dtype": request.dtype},
        seed=request.seed,
        shape=data.shape,
        params=saved.params,
        preprocess=data.preprocess.to_dict(),
        history=dict(saved.history),
        state=saved.state,
        optimizer={} if finished else saved.optimizer,
        progress={
            "finished": finished,
            "data": data.digest,
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


def _report(
    plan: Plan, file: ModelFile, words: Words, results: Results, seconds: float | None = None
) -> None:
    output = plan.request.output
    last = {key: float(column[-1]) for key, column in file.history.items() if np.isfinite(column[-1])}
    last |= file.progress.get("run", {}).get("measured", {})
    report: dict[str, Any] = {"output": output, "model": file.model}
    if plan.restarts:
        report |= {"restarts": plan.restarts, "lr": plan.training.lr}
    report |= {"updates": int(last["step"]), "epochs": int(last["epoch"])}
    shown = ("loss", "rmse", "validation_rmse", "mean_activation", "deviation")
    report |= {key: last[key] for key in shown if key in last}
    if seconds is not None:
        report["seconds"] = seconds
    stopped = file.progress["run"].get("stopped") if "run" in file.progress else None
    if stopped:
        words.say(f"stopped after {int(last['epoch'])} epochs: {stopped}")
    model = _model(file)
    zeros = np.concatenate([file.params[name].ravel() == 0 for name in model.weights])
    report |= {"zero_weights": float(np.mean(zeros)), "content_hash": file.content_hash}
    told = advice.advise(model, file.training, last, whitened=file.preprocess["whiten"] != "none")
    results.show(report | {"advice": told})
    advice.say(words, told)
    say_next(words, ["visualize", as_argument(output)])
