"""Trainings of one model in many settings, several at a time: one folder, one table, the best of them."""

import hashlib
import json
import math
import os
import statistics
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from featlearn import __version__, _core, ranks, signals
from featlearn.errors import ConfigError, DataError, FeatlearnError
from featlearn.files.budget import max_memory
from featlearn.files.dataset import read_dataset
from featlearn.files.folders import make_folder
from featlearn.files.header import DATASET, MODEL, file_kind
from featlearn.jobs.callbacks import Ask, Bar, Progress, Say, log, never, no_progress
from featlearn.jobs.cutting import Cutting, holds_images
from featlearn.jobs.extract_settings import Extraction, PreprocessSpec
from featlearn.jobs.rank_workers import WorkersOfRanks
from featlearn.jobs.results import UNREPORTED, Result
from featlearn.jobs.search import Try, tries
from featlearn.jobs.settings import Images, RunSettings
from featlearn.jobs.store import load_model, refuse_others_on_ranks
from featlearn.jobs.sweep_run import TEST
from featlearn.jobs.sweep_settings import Search
from featlearn.jobs.sweep_table import CSV, Row, add_rows, write_page
from featlearn.jobs.train_settings import training_of
from featlearn.jobs.workers import Message, Workers
from featlearn.models import model_class
from featlearn.models.base import Model
from featlearn.settings import from_dict, to_dict

WAIT = 1.0  # seconds until a run that another process is at is looked at again
LARGEST = ":max"


@dataclass(frozen=True, kw_only=True)
class Swept(Result):
    """What came of a sweep."""

    output: str
    table: str
    """The CSV; a JSON of all settings, and a page of HTML, stand beside it."""
    runs: int
    by: str | None
    """The measure by which settings are ranked; None where no run is finished."""
    ranking: list[dict[str, Any]]
    """Settings, the best first: what varies, the mean of `by` over seeds, and the file of the best seed."""
    failed: list[dict[str, str]]
    """The runs that failed: run and error."""
    finished: bool = field(default=True, metadata=UNREPORTED)


def sweep(
    dataset: str,
    output: str,
    *,
    model: str,
    search: Search | None = None,
    config: Any = None,
    training: Any = None,
    run: RunSettings | None = None,
    extraction: Extraction | None = None,
    preprocess: PreprocessSpec | None = None,
    images: Images | None = None,
    no_retry: bool = False,
    init_from: str | None = None,
    force: bool = False,
    given: Collection[str] = (),
    progress: Progress = no_progress,
    say: Say = log,
    should_stop: Ask = never,
) -> Swept:
    """Learn a model in each of the settings that `search` tries, each as an ordinary run, into a folder.

    Runs that are finished there are not made again, those begun go on; `force` makes those anew that can do
    neither. A run that fails is told at the end and ends no other. A sweep that shall stop leaves checkpoints
    and returns, not `finished`; the same call goes on. Images, how they are cut, and `init_from` are as of
    `train`. Raises DataError, ConfigError.
    """
    search, run, cls = search or Search(), run or RunSettings(), model_class(model)
    wanted = tries(cls, search, run)
    validation = None if training is None else training.validation_data
    datasets = (None if holds_images(dataset) else dataset, search.evaluate, validation)
    for path, kind in [*((one, DATASET) for one in datasets), (init_from, MODEL)]:
        if path is not None:
            file_kind(path, kind)  # which every run reads
    cutting = Cutting(extraction or Extraction(), preprocess or PreprocessSpec(), images or Images())
    cutting = cutting.seeded(run.seed)  # all runs learn from the same patches
    of_cutting = set(given) & Cutting.names() - {field.name for field in fields(cls.Config)}
    if not holds_images(dataset):
        cutting.refuse_with(dataset, of_cutting)
    make_folder(output, "the runs")
    threads = _core.get_threads()
    jobs = min(search.jobs or threads, len(wanted))
    common: Message = {"folder": output, "dataset": dataset, "evaluate": search.evaluate, "model": model}
    common |= {"no_retry": no_retry, "force": force, "init_from": init_from}
    common |= {"cutting": to_dict(cutting), "given of cutting": sorted(of_cutting)}
    own = {"threads": max(1, threads // jobs), "max_memory": max_memory()}
    settings = [_settings_of(one, cls, config, training, run, given) for one in wanted]
    said = json.dumps([__version__, common, settings]).encode()
    ranks.refuse_difference(lambda: hashlib.sha256(said).digest(), "other settings or version of featlearn")
    if ranks.size > 1:  # runs refuse other files by themselves
        read = [read_dataset(path) for path in datasets if path is not None]
        refuse_others_on_ranks(*read, *([] if init_from is None else [load_model(init_from)]))
    sweeping = _Sweeping(wanted, [common | own | one for one in settings], output, say)
    workers = WorkersOfRanks(Workers(jobs, "featlearn.jobs.sweep_run", "run_task"))
    with signals.deferred():
        if ranks.rank:
            workers.lend(own)
            return sweeping.result(None, False)
        with workers, progress(len(wanted), "runs") as bar:
            finished = sweeping.work(workers, bar, should_stop)
    if not finished:
        done = len(sweeping.rows)
        say(f"stopped with {done} of {len(wanted)} runs finished; the same command goes on")
    swept = sweeping.result(search.best, finished)
    if swept.by is not None:
        write_page(output, swept.by, say)
    return swept


def _settings_of(
    one: Try, cls: type[Model], config: Any, training: Any, run: RunSettings, given: Collection[str]
) -> Message:
    """Return the settings of one run as a task says them: all, those that were said, and their names."""
    usual = {
        "config": to_dict(cls.Config()),
        "training": to_dict(from_dict(training_of(cls), cls.defaults.training)),
        "run": to_dict(RunSettings()),
    }
    now = {"config": config, "training": training, "run": run}
    found: Message = {"name": one.name, "seed": one.seed}
    said: dict[str, Any] = {}
    for kind, values in usual.items():
        mine = values if now[kind] is None else to_dict(now[kind])
        found[kind] = {name: one.values.get(name, value) for name, value in mine.items()}
        said |= {name: value for name, value in found[kind].items() if value != values[name]}
    names = {*found["config"], *found["training"]}
    return found | {"said": said, "given": sorted({*given, *one.values} & names)}


class _Sweeping:
    """The runs of a sweep, and what has come of them so far."""

    def __init__(self, wanted: Sequence[Try], tasks: Sequence[Message], folder: str, say: Say) -> None:
        self.wanted, self.tasks, self.folder, self.say = wanted, tasks, folder, say
        self.rows: dict[int, Row] = {}
        """What the table says of the runs that are finished, by their numbers."""
        self.errors: dict[int, tuple[str, int]] = {}
        """What is wrong with the runs that failed, and their exit codes."""
        self._said: set[str] = set()

    def work(self, workers: WorkersOfRanks, bar: Bar, should_stop: Ask) -> bool:
        """Have all runs made; False where it stopped before. Raises DataError."""
        waiting = deque((i, 0.0) for i in range(len(self.wanted)))
        at: dict[tuple[int, int], int] = {}  # worker: its run
        shares: dict[int, float] = {}
        stopping = False
        while at or (waiting and not stopping):
            if should_stop() and not stopping:
                stopping = True
                workers.stop()
            while workers.idle and waiting and not stopping and waiting[0][1] <= time.monotonic():
                i, _ = waiting.popleft()
                at[workers.give(self.tasks[i])] = i
            heard = workers.hear(0.2)
            if heard is None or heard[0] not in at:
                continue
            number, message = heard
            i = at[number]
            if "say" in message:
                self._tell(message["say"], f"{self.wanted[i].name}: ")
            elif "say of data" in message:
                self._tell(message["say of data"])
            elif "at" in message:
                shares[i] = message["at"]
                bar.advance(0, "at " + ", ".join(f"{shares.get(j, 0):.0%}" for j in sorted(at.values())))
            else:
                del at[number]
                if self._ends(i, message):
                    bar.advance()
                elif not stopping:
                    waiting.append((i, time.monotonic() + WAIT))
        return len(self.rows) + len(self.errors) == len(self.wanted)

    def result(self, best: str | None, finished: bool) -> Swept:
        """Raises ConfigError for a measure that no run has; what a run failed of, where all failed of it."""
        failed = [{"run": self.wanted[i].name, "error": text} for i, (text, _) in sorted(self.errors.items())]
        if finished and not self.rows and len(set(self.errors.values())) == 1:
            text, code = self.errors[0]
            raise _error_of(code)(text)
        by = self._measure(best) if self.rows else None
        return Swept(
            output=self.folder, table=os.path.join(self.folder, CSV), runs=len(self.rows), by=by,
            ranking=[] if by is None else self._ranking(by, (best or "").endswith(LARGEST)),
            failed=failed, finished=finished,
        )  # fmt: skip

    def _tell(self, text: str, whose: str = "") -> None:
        """Say what a run says, once of all that say the same."""
        if text not in self._said:
            self._said.add(text)
            warning = "warning: " if text.startswith("warning: ") else ""
            self.say(f"{warning}{whose}{text.removeprefix('warning: ')}")

    def _ends(self, i: int, message: Message) -> bool:
        """Take what came of a run; False where nothing has yet."""
        name = self.wanted[i].name
        if "error" in message:
            self.errors[i] = message["error"], message["exit_code"]
            self.say(f"failed: {name}: {message['error']}")
            return True
        result = message["result"]
        if "row" not in result:
            if result.get("busy"):
                self._tell("another process is at this run: waiting for it", f"{name}: ")
            return False
        row = result["row"]
        if any(row["data set"] != one["data set"] for one in self.rows.values()):
            text = f"{row['file']}: has learned from other data than the runs before it; make it again"
            return self._ends(i, {"error": text, "exit_code": DataError.exit_code})
        self.rows[i] = row
        add_rows(self.folder, list(self.rows.values()), self.say)
        by = self._measure(None)
        took = "was there" if result["seconds"] is None else f"{result['seconds']:.1f} s"
        value = result["row"]["measures"].get(by)
        shown = "" if value is None else f"{by} {value:.4g}, "
        self.say(f"{len(self.rows) + len(self.errors)} of {len(self.wanted)}: {name}: {shown}{took}")
        return True

    def _measure(self, best: str | None) -> str:
        """Return the column that a name stands for. Raises ConfigError."""
        known = dict.fromkeys(key for row in self.rows.values() for key in row["measures"])
        usual = "error_rate" if "error_rate" in known else "rmse"
        name = (best or usual).removesuffix(LARGEST)
        for prefix in (TEST, "validation_", ""):
            if prefix + name in known:
                return prefix + name
        raise ConfigError(f"--best {name}: no such measure; {', '.join(known)} are there")

    def _ranking(self, by: str, largest: bool) -> list[dict[str, Any]]:
        """Return the settings that were tried, best first."""
        groups: dict[tuple[tuple[str, Any], ...], list[Row]] = {}
        for i, row in sorted(self.rows.items()):
            groups.setdefault(tuple(self.wanted[i].values.items()), []).append(row)
        sign = -1 if largest else 1

        def key(value: Any) -> float:
            return sign * value if isinstance(value, int | float) else math.inf

        ranking = []
        for settings, rows in groups.items():
            values = [row["measures"].get(by) for row in rows]
            numbers = [value for value in values if isinstance(value, int | float)]
            one: dict[str, Any] = dict(settings)
            one[by] = statistics.fmean(numbers) if len(numbers) == len(rows) else None
            if len(self.wanted) > len(groups):
                one["deviation"] = statistics.stdev(numbers) if len(numbers) > 1 else None
                one["seeds"] = len(rows)
            model = min(zip(map(key, values), (row["file"] for row in rows), strict=True))[1]
            ranking.append(one | {"model": os.path.join(self.folder, model)})
        return sorted(ranking, key=lambda one: key(one[by]))


def _error_of(code: int) -> type[FeatlearnError]:
    """The class of errors that end in an exit code."""
    return next(kind for kind in FeatlearnError.__subclasses__() if kind.exit_code == code)
