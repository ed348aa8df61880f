"""A training run with its files: data in, OUTPUT.ckpt on the way, OUTPUT at the end; stoppable by signals."""

import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn import __version__, signals
from featlearn.cli.report import Results, Words
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
from featlearn.signals import Interrupted
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
        with signals.deferred():  # what has been learned is written first
            try:
                _train(training, request, data, story, ckpt, words)
            except DivergedError as error:
                kept = _keep(_file(training, request, data, story), ckpt)
                raise DivergedError(f"{error}; {kept}") from error
            file = _file(training, request, data, story)
            write_into(out, file)
            discard(ckpt)
    signals.check()
    _report(request, file, words, results)


def _keep(file: ModelFile, ckpt: str) -> str:
    """Write the last good model of a run that diverged. -> words that say so, or why it could not be."""
    try:
        write_model(ckpt, file, force=True)
    except DataError as error:
        return f"the last good model is lost: {error}"
    return f"the last good model is kept in {ckpt}"


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
    with words.progress(training.total_updates, "updates") as progress:
        progress.advance(training.progress.step)

        def on_batch(at: Training) -> bool:
            nonlocal saved
            progress.advance(1, _note(at))
            due = signals.save_asked() or time.monotonic() - saved >= request.checkpoint_every
            if due and not at.progress.finished:  # a finished run is about to be written as what it is
                write_model(ckpt, _file(at, request, data, story), force=True)
                saved = time.monotonic()
            return signals.noted() is not None

        finished = training.run(on_batch)
    if not finished:
        write_model(ckpt, _file(training, request, data, story), force=True)
        words.say(f"stopped at update {training.progress.step:,}; the same command with --resume goes on")
        signum = signals.noted()
        assert signum is not None
        raise Interrupted(signum)


def _note(training: Training) -> str:
    errors = training.history.get("rmse")
    at = training.progress
    return f"epoch {at.epochs_done + (at.batch > 0)}" + (f", RMSE {errors[-1]:.4f}" if errors else "")


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
    words.next("visualize", request.output)
