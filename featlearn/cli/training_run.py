"""A training run with its files: data in, OUTPUT.ckpt on the way, OUTPUT at the end; stoppable by signals."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from featlearn import __version__
from featlearn.cli.report import Results, Words
from featlearn.cli.run import SIGNALS, Interrupted
from featlearn.cli.store import load_model, load_rows, provenance
from featlearn.errors import ConfigError, DataError, DivergedError
from featlearn.files.atomic import Output, discard
from featlearn.files.model import ModelFile, write_into, write_model
from featlearn.models import model_class
from featlearn.models.base import Model
from featlearn.patches.dead_leaves import Generated
from featlearn.patches.extract import Extraction, survey
from featlearn.patches.preprocess import Fitter, Preprocess, PreprocessSpec
from featlearn.patches.rows import Rows
from featlearn.random import Random
from featlearn.settings import to_dict
from featlearn.training.train import TrainConfig, Training, mean_row, split_rows

DEMO_PATCHES = 10_000


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
    checkpoint_every: float = 60.0
    seed: int = 0
    dtype: str = "float32"


@dataclass(frozen=True)
class Data:
    """What is learned from."""

    name: str
    digest: str
    rows: Rows
    shape: tuple[int, int, int]
    preprocess: Preprocess


@dataclass
class Stop:
    """What signals have asked for."""

    signum: int | None = None
    save: bool = False


def run(request: Request, words: Words, results: Results) -> None:
    """Train as asked. Raises DataError, ConfigError, DivergedError, Interrupted."""
    ckpt = request.output + ".ckpt"
    if request.resume and os.path.exists(request.output) and not request.force:
        return _report(request, load_model(request.output).file, words, results)
    if os.path.exists(ckpt) and not (request.resume or request.force):
        raise DataError(f"{ckpt!r}: an unfinished run; go on with --resume or start again with --force")
    inputs = [request.dataset] if request.dataset else []
    with Output(request.output, request.force, inputs) as out:
        data = _load_data(request, words)
        training = _start(request, data, ckpt, words)
        story = provenance(seed=request.seed, inputs=inputs)
        try:
            _train(training, request, data, story, ckpt, words)
        except DivergedError as error:
            write_model(ckpt, _file(training, request, data, story), force=True)
            raise DivergedError(f"{error}; the last good model is kept in {ckpt}") from error
        file = _file(training, request, data, story)
        write_into(out, file)
    discard(ckpt)
    _report(request, file, words, results)


def _load_data(request: Request, words: Words) -> Data:
    if request.dataset is not None:
        rows, dataset, preprocess = load_rows(request.dataset, request.dtype)
        return Data(request.dataset, dataset.digest, rows, dataset.shape, preprocess)
    words.say(f"no data set given: learning from {DEMO_PATCHES:,} patches of dead-leaves images")
    demo = dict(model_class(request.model).demo)
    size = demo.pop("size")
    plan = survey([Generated("dead-leaves", 16, seed=request.seed)], Extraction((size, size), count=DEMO_PATCHES))
    patches = np.concatenate([block.patches for block in plan.blocks()])
    fitter = Fitter(PreprocessSpec(**demo), patches.shape[1], patches.dtype)
    fitter.update(patches)
    preprocess = fitter.finish()
    name = f"dead-leaves, seed {request.seed}"
    return Data(name, name, Rows(patches, preprocess, np.dtype(request.dtype)), plan.shape, preprocess)


def _start(request: Request, data: Data, ckpt: str, words: Words) -> Training:
    """A fresh run, or the one that the checkpoint holds."""
    cls = model_class(request.model)
    settings = cls.settle(request.settings, data.preprocess.low, data.preprocess.high)
    model: Model = cls(settings, request.dtype)
    train_rows, _ = split_rows(len(data.rows), request.training, request.seed)
    model.init(data.preprocess.n_visible, Random(request.seed), mean_row(data.rows, train_rows))
    training = Training(model, data.rows, request.training, request.seed)
    if request.resume and os.path.exists(ckpt):
        saved = load_model(ckpt)
        _refuse_other_run(request, model.config, data, saved.file)  # as init has settled it
        _refuse_other_place(ckpt, saved.file, training)
        _refuse_other_arrays(ckpt, saved.file, training)
        for name, value in saved.model.params.items():
            model.params[name][...] = value  # in place: their memory order decides the bytes of some sums
        model.state = saved.model.state
        training.restore(saved.file.optimizer, saved.file.progress["run"], saved.file.history)
        words.say(f"going on with {ckpt} at update {training.progress.step:,} of {training.total_updates:,}")
    return training


def _shapes(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: (value.shape, value.dtype) for name, value in arrays.items()}


def _refuse_other_place(ckpt: str, saved: ModelFile, training: Training) -> None:
    """The file must say where in this run it stands, or that the run diverged."""
    place = saved.progress.get("run")
    diverged = isinstance(place, dict) and place.get("diverged") is True
    if not (diverged or training.could_be_at(place, saved.history)):
        raise DataError(f"{ckpt!r}: progress and history are of no place in this run; start again with --force")


def _refuse_other_arrays(ckpt: str, saved: ModelFile, training: Training) -> None:
    """The file must hold what this run keeps there."""
    model = training.model
    fits = {kind: _shapes(getattr(saved, kind)) == _shapes(getattr(model, kind)) for kind in ("params", "state")}
    for kind, fit in (fits | {"optimizer": training.keeps(saved.optimizer)}).items():
        found = getattr(saved, kind)
        if not fit:
            raise DataError(f"{ckpt!r}: /{kind} is not what this run keeps there; start again with --force")
        if not (saved.progress["run"].get("diverged") or all(np.isfinite(w).all() for w in found.values())):
            raise DataError(f"{ckpt!r}: /{kind} holds values that are not finite; start again with --force")


def _refuse_other_run(request: Request, settings: Any, data: Data, saved: ModelFile) -> None:
    """A run goes on only as what it began as: other settings or data would make another model of it."""
    now = to_dict(settings) | to_dict(request.training) | {"seed": request.seed, "data set": data.digest}
    then = saved.config | saved.training | {"seed": saved.seed, "data set": saved.progress.get("data")}
    then.pop("dtype", None)
    if saved.model != request.model or saved.training.get("dtype") != request.dtype:
        raise ConfigError("--resume: the unfinished run has another --model or --dtype; start again with --force")
    for key, value in now.items():
        if then.get(key) != value:
            raise ConfigError(
                f"--resume: {key.replace('_', ' ')} was {_shown(then.get(key))} and is now {_shown(value)}; "
                "give the same command, or start again with --force"
            )


def _shown(setting: Any) -> str:
    return "the default" if setting is None else repr(setting)


def _train(training: Training, request: Request, data: Data, story: dict[str, Any], ckpt: str, words: Words) -> None:
    """Run to the end; checkpoint now and then, and when a signal asks to stop. Raises Interrupted, DivergedError."""
    saved = time.monotonic()
    with listening() as stop, words.progress(training.total_updates, "updates") as progress:
        progress.advance(training.progress.step)

        def on_batch(at: Training) -> bool:
            nonlocal saved
            progress.advance(1, _note(at))
            due = stop.save or time.monotonic() - saved >= request.checkpoint_every
            if due and not at.progress.finished:  # a finished run is about to be written as what it is
                write_model(ckpt, _file(at, request, data, story), force=True)
                stop.save, saved = False, time.monotonic()
            return stop.signum is not None

        finished = training.run(on_batch)
    if not finished:
        write_model(ckpt, _file(training, request, data, story), force=True)
        words.say(f"stopped at update {training.progress.step:,}; the same command with --resume goes on")
        assert stop.signum is not None
        raise Interrupted(stop.signum)


def _note(training: Training) -> str:
    errors = training.history.get("probe_rmse")
    at = training.progress
    return f"epoch {at.epochs_done + (at.batch > 0)}" + (f", probe RMSE {errors[-1]:.4f}" if errors else "")


@contextmanager
def listening() -> Iterator[Stop]:
    """Within: the first SIGINT, SIGTERM or SIGHUP asks to stop, a second kills; SIGUSR1 asks for a checkpoint."""
    stop = Stop()

    def on_stop(signum: int, frame: FrameType | None) -> None:
        stop.signum = signum
        signal.signal(signum, signal.SIG_DFL)

    def on_save(signum: int, frame: FrameType | None) -> None:
        stop.save = True

    handlers = dict.fromkeys(SIGNALS, on_stop) | {"SIGUSR1": on_save}
    numbers = {getattr(signal, name): handler for name, handler in handlers.items() if hasattr(signal, name)}
    before: dict[int, Any] = {n: signal.getsignal(n) for n in numbers}
    try:
        for n, handler in numbers.items():
            if before[n] != signal.SIG_IGN:
                signal.signal(n, handler)
        yield stop
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)


def _file(training: Training, request: Request, data: Data, story: dict[str, Any]) -> ModelFile:
    """The run as a file; one that is not finished holds what it takes to go on."""
    arrays, progress = training.checkpoint()
    finished = training.progress.finished
    return ModelFile(
        model=request.model,
        config=to_dict(training.model.config),
        training=to_dict(request.training) | {"dtype": request.dtype},
        seed=request.seed,
        shape=data.shape,
        params=training.model.params,
        preprocess=data.preprocess.to_dict(),
        history={key: np.array(column) for key, column in training.history.items()},
        state=training.model.state,
        optimizer={} if finished else arrays,
        progress={"finished": finished, "data": data.digest, "run": progress},
        provenance=story,
        version=__version__,
    )


def _report(request: Request, file: ModelFile, words: Words, results: Results) -> None:
    last = {key: float(column[-1]) for key, column in file.history.items()}
    last |= file.progress.get("run", {}).get("measured", {})
    report: dict[str, Any] = {"output": request.output, "model": file.model}
    report |= {"updates": int(last["step"]), "epochs": int(last["epoch"])}
    report |= {
        k: last[k] for k in ("loss", "rmse", "validation_rmse", "mean_activation", "deviation", "seconds") if k in last
    }
    stopped = file.progress["run"].get("stopped") if "run" in file.progress else None
    if stopped:
        words.say(f"stopped after {int(last['epoch'])} epochs: {stopped}")
    report |= {"zero_weights": float(np.mean(file.params["W"] == 0)), "content_hash": file.content_hash}
    results.show(report)
    words.say(f"next: featlearn visualize {request.output}")
