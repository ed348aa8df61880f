"""One run of a sweep, in a process of its own: an ordinary training, and what the table says of it."""

import functools
import hashlib
import json
import math
import os
import time
from collections.abc import Mapping
from typing import Any

from featlearn.files.atomic import Busy
from featlearn.jobs.callbacks import Ask, NoBar, Say, never
from featlearn.jobs.cutting import Cutting
from featlearn.jobs.data import Data, describe_data
from featlearn.jobs.evaluate import evaluate
from featlearn.jobs.extract_settings import Extraction, PreprocessSpec
from featlearn.jobs.plan import Plan
from featlearn.jobs.resources import set_max_memory, use_threads
from featlearn.jobs.settings import Images, RunSettings
from featlearn.jobs.store import DATA, STARTING_MODEL, load_model
from featlearn.jobs.train import learn_into, plan_training
from featlearn.jobs.train_settings import training_of
from featlearn.jobs.workers import Message, Tell
from featlearn.models import model_class
from featlearn.settings import from_dict

SECONDS = 0.5  # between two reports of how far a run is
UNSAID = ("output", "model", "layers", "lr", "seconds", "advice", "content_hash")
"""What a training reports that is no measure."""
OF_THE_RUN = ("model", "seed", "data set", "starting model", "refit")
"""What decides a run beside its settings."""
TEST = "test_"


def run_task(task: Message, tell: Tell, should_stop: Ask) -> Message:
    """Learn one model, or take it as it is where it is finished, and measure it.

    -> {"row": what the table says, "seconds": ...}, or {"stopped": True}, or {"busy": True} where another
    process is at this very run. Raises DataError, ConfigError, DivergedError.
    """
    use_threads(task["threads"])
    set_max_memory(task["max_memory"])

    def say(text: str) -> None:
        tell({"say": text})

    cls, seed = model_class(task["model"]), task["seed"]
    run = from_dict(RunSettings, {**task["run"], "seed": seed})
    parts = {"extraction": Extraction, "preprocess": PreprocessSpec, "images": Images}
    cutting = Cutting(*(from_dict(kind, task["cutting"][part]) for part, kind in parts.items()))
    plan = plan_training(
        _described(task, run.dtype, cutting, lambda text: tell({"say of data": text})),
        model=task["model"],
        config=from_dict(cls.Config, task["config"]),
        training=from_dict(training_of(cls), task["training"]),
        run=run,
        no_retry=task["no_retry"],
        init_from=task["init_from"],
        given=task["given"],
        say=say,
    )
    identity = json.loads(json.dumps(plan.identity))
    may_restart = isinstance(plan, Plan) and plan.can_restart  # a stack's identity says that itself
    name = file_name(task["folder"], task["name"], identity | {"may restart": may_restart})
    path = os.path.join(task["folder"], name)
    labels = cutting.images.labels if cutting.images.labels != "folders" else None
    begun, held_out = task["init_from"], task["training"]["validation_data"]
    inputs = {DATA: task["dataset"], STARTING_MODEL: begun, "validation data": held_out}
    inputs |= {"hidden targets": task["config"].get("hidden_targets"), "labels": labels}
    said = {**cutting.said, **task["said"], "model": task["model"], "seed": seed}
    called = {"job": "train", "settings": said | ({"init_from": begun} if begun else {})}
    try:
        done = learn_into(
            path, inputs, lambda: plan, run, resume=True, force=task["force"], invocation=called,
            progress=functools.partial(_Told, tell), say=say, should_stop=should_stop, should_save=never,
        )  # fmt: skip
    except Busy:
        return {"busy": True}
    if not done.finished or should_stop():
        return {"stopped": True}
    report = done.report()
    measures = {key: value for key, value in report.items() if key not in UNSAID}
    row = {"file": name} | {key: identity.get(key) for key in ("model", "data set", "seed")}
    row |= {"settings": {key: value for key, value in identity.items() if key not in OF_THE_RUN}}
    if task["evaluate"] is not None:
        row["test data"] = task["evaluate"]
        measures |= _tested(path, task["evaluate"])
    measures = {key: value if _is_finite(value) else None for key, value in measures.items()}
    row |= {"measures": measures, "advice": [one["key"] for one in done.advice]}
    return {"row": row | {"content_hash": done.content_hash}, "seconds": done.seconds}


def file_name(folder: str, name: str, identity: Mapping[str, Any]) -> str:
    """Return the name of a run's file: that which stands there of this very run, or one that reads as it is.

    It ends in digits of what decides the run: resolved settings, seed and data. So other settings that are
    not varied make other files, and the same run is found by whatever name it was begun.
    """
    text = json.dumps(identity, sort_keys=True)
    end = f"_{hashlib.sha256(text.encode()).hexdigest()[:8]}.h5"
    there = sorted(one.removesuffix(".ckpt") for one in os.listdir(folder))
    return next((one for one in there if one.endswith(end)), name + end)


_known: dict[str, Data] = {}
"""What this process learns from, by all that decides it."""


def _described(task: Message, dtype: str, cutting: Cutting, say: Say) -> Data:
    """Describe what is learned from, once for all runs of a process: it is read from end to end."""
    names = ("dataset", "model", "init_from", "cutting", "given of cutting")
    key = json.dumps([dtype, *(task[name] for name in names)])
    if key not in _known:
        _known.clear()
        begun_at = None if task["init_from"] is None else load_model(task["init_from"])
        path, given = task["dataset"], task["given of cutting"]
        _known[key] = describe_data(
            path, task["model"], RunSettings(dtype=dtype), say, cutting, given, begun_at=begun_at
        )
    return _known[key]


def _tested(path: str, dataset: str) -> dict[str, Any]:
    """Return what evaluate measures of a model, by names that say that it is of test data."""
    measured = evaluate([path], dataset, say=lambda text: None).models[0]
    return {f"{TEST}{key}": value for key, value in measured.items() if key not in ("model", "advice")}


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


class _Told(NoBar):
    """Progress that is told to another process, now and then."""

    def __init__(self, tell: Tell, total: int, unit: str) -> None:
        self._tell, self._total, self._done, self._told = tell, total, 0, 0.0

    def advance(self, n: int = 1, note: str = "") -> None:
        self._done += n
        if time.monotonic() - self._told >= SECONDS:
            self._told = time.monotonic()
            self._tell({"at": self._done / max(self._total, 1)})
