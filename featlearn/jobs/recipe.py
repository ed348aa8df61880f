"""A recipe made: step after step, of which none is done again, and its figures beside published ones."""

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from featlearn import __version__
from featlearn.errors import DataError, FeatlearnError, show
from featlearn.files.atomic import write_bytes
from featlearn.files.folders import make_folder
from featlearn.files.paths import open_regular
from featlearn.jobs.callbacks import Say, log
from featlearn.jobs.recipe_data import content_of, find_data, with_paths
from featlearn.jobs.recipe_file import OUT, RECORD, REPRODUCED, Figure, Recipe, Step
from featlearn.jobs.recipe_page import with_figures
from featlearn.jobs.report import FORMATS
from featlearn.jobs.results import Result, optional, value_at
from featlearn.jobs.resume import difference
from featlearn.signals import Interrupted

Values = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reproduced(Result):
    """A recipe that was made."""

    recipe: str
    output: str
    figures: list[dict[str, Any]]
    """Each as figure, published, expected, here, reproduced, verdict."""
    notes: list[str] = field(default_factory=list)
    reproduced: bool
    page: str | None = optional()
    """The last page of HTML that a step has written."""

    @property
    def missed(self) -> list[str]:
        """Return the figures that are out of their range, in words."""
        return [
            f"{one['figure']} is {_number(one['here'])}, expected {one['expected']}"
            for one in self.figures
            if not one["reproduced"]
        ]


Execute = Callable[[str, Sequence[str], Sequence[str]], Values]
"""Runs a command line (a folder, its words, words that are no settings) and returns its results."""


def run_recipe(
    recipe: Recipe,
    output: str,
    *,
    data: Sequence[str] = (),
    execute: Execute,
    force: bool = False,
    say: Say = log,
) -> Reproduced:
    """Make the steps of a recipe in the folder `output`, and hold its figures against their ranges.

    A step is not made again where its command, the content of all files that it reads and of those that it
    has written are what they were. `force` replaces files that no run of the recipe has made. Raises
    DataError, ConfigError and what steps raise; the same call goes on after any of them.
    """
    paths = find_data(recipe, data)
    make_folder(output, "the recipe's files")
    steps = _Steps(recipe, output, paths, execute, force, say)
    try:
        results = {step.name: steps.make(i, step) for i, step in enumerate(recipe.steps, 1)}
    except (FeatlearnError, Interrupted):
        say("the steps that are done are kept; the same command goes on")
        raise
    figures = [_measured(figure, results) for figure in recipe.figures]
    notes = [f"{figure.name}: {figure.note}" for figure in recipe.figures if figure.note]
    pages = [step for step in recipe.steps if any(map(_is_page, step.files.outputs))]
    return Reproduced(
        recipe=recipe.name,
        output=output,
        figures=figures,
        notes=notes,
        reproduced=all(one["reproduced"] for one in figures),
        page=steps.put_in_front(pages[-1], figures, notes) if pages else None,
    )


class _Steps:
    """The steps of a recipe in a folder, and the record of those that were made."""

    def __init__(
        self, recipe: Recipe, folder: str, paths: Mapping[str, str], execute: Execute, force: bool, say: Say
    ) -> None:
        self.recipe, self.folder, self.paths, self.execute = recipe, folder, paths, execute
        self.force, self.say = force, say
        self.path = os.path.join(folder, RECORD)
        self.record = self._read()

    def make(self, i: int, step: Step) -> Values:
        """Make a step unless it was made; its results."""
        words = with_paths(step.words, self.paths)
        now = self._identity(step, words)
        head = f"step {i} of {len(self.recipe.steps)}, {step.name}"
        then = self.record.get(step.name, {})
        why = self._why_anew(step, now, then)
        if why is None:
            self.say(f"{head}: done before")
            return dict(then["result"])
        self.say(f"{head}{why}: featlearn {shlex.join(words)}")
        ours = {path for one in self.record.values() for path in one["outputs"]}
        replace = self.force or all(path in ours or not self._is_there(path) for path in step.files.outputs)
        # Written before the step, so that files of a step that was killed are known to be ours.
        self._write(step, {"outputs": dict.fromkeys(step.files.outputs)})
        more = [
            *(["--resume"] if step.files.resumes else []),
            *(["--force"] if replace and step.files.outputs else []),
        ]
        try:
            result = self.execute(self.folder, words, more)
        except FeatlearnError as error:
            raise type(error)(f"step {step.name}: {error}") from error
        outputs = {path: self._content(path) for path in step.files.outputs}
        self._write(step, {"identity": self._identity(step, words), "outputs": outputs, "result": result})
        return result

    def put_in_front(self, step: Step, figures: Sequence[Values], notes: Sequence[str]) -> str:
        """Put the figures at the top of the last page that a step has written; its path."""
        name = [path for path in step.files.outputs if _is_page(path)][-1]
        path = os.path.join(self.folder, name)
        with open_regular(path) as stream:
            was = stream.read()
        made = with_figures(was, self.recipe, figures, notes)
        if made != was:
            write_bytes(path, made, force=True)
            entry = self.record[step.name]
            self._write(step, entry | {"outputs": entry["outputs"] | {name: self._content(name)}})
        return path

    def _why_anew(self, step: Step, now: Values, then: Values) -> str | None:
        """Return why a step has to be made, in words; None where it need not."""
        if "result" not in then:
            return ""
        other = difference(now, then["identity"])
        if other is not None:
            return f", anew since {other}"
        for path, content in then["outputs"].items():
            if self._content(path) != content:
                return f", anew since {show(path)} is {'another' if self._is_there(path) else 'not there'}"
        return None

    def _identity(self, step: Step, words: Sequence[str]) -> dict[str, Any]:
        """What decides the results of a step: its command, and the content of the files that it reads."""
        found: dict[str, Any] = {"featlearn": __version__, "command": shlex.join(step.words)}
        for said, word in zip(step.words, words, strict=True):
            for part, path in ((said, word), (said.partition("=")[2], word.partition("=")[2])):
                content = self._content(path) if path and path not in step.files.outputs else None
                if content is not None:
                    found[f"content of {part}"] = content[:16]
        return found

    def _is_there(self, path: str) -> bool:
        return os.path.lexists(os.path.join(self.folder, path))

    def _content(self, path: str) -> str | None:
        return content_of(os.path.join(self.folder, path))

    def _read(self) -> dict[str, Any]:
        if not os.path.lexists(self.path):
            return {}
        with open_regular(self.path) as stream:
            try:
                found = json.load(stream)
            except (ValueError, RecursionError):
                found = None
        steps = found.get("steps") if isinstance(found, dict) else None
        if not isinstance(steps, dict) or "recipe" not in found or not all(map(_is_entry, steps.values())):
            raise DataError(f"{show(self.path)}: is damaged; remove it, and all steps are made anew")
        if found["recipe"] != self.recipe.name:
            raise DataError(
                f"{show(self.folder)}: holds files of the recipe {found['recipe']!r}; choose another --output"
            )
        return steps

    def _write(self, step: Step, entry: Values) -> None:
        self.record[step.name] = entry
        text = json.dumps({"recipe": self.recipe.name, "steps": self.record}, indent=1)
        write_bytes(self.path, text.encode(), force=True)


def _is_page(path: str) -> bool:
    return path.endswith(FORMATS)


def _is_entry(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("outputs"), dict):
        return False
    return "result" not in value or all(isinstance(value.get(key), dict) for key in ("identity", "result"))


def _measured(figure: Figure, results: Mapping[str, Values]) -> dict[str, Any]:
    """Return a figure with what came of it here; None where that is no number."""
    numbers = [_at(key, results) for key in figure.keys]
    here: float | None = None
    if None not in numbers:
        first, *second = map(float, numbers)  # type: ignore[arg-type]
        if figure.over is not None:
            first = first / second[0] if second[0] else float("inf")
        elif figure.minus is not None:
            first -= second[0]
        here = figure.times * first
    good = here is not None and figure.expects(here)
    row: dict[str, Any] = {"figure": figure.name, "published": figure.published, "expected": expected(figure)}
    there = figure.published
    alike = not isinstance(there, int | float) or figure.expects(there)
    verdict = (REPRODUCED if alike else "not as published") if good else OUT
    row |= {"here": here, "reproduced": good, "verdict": verdict}
    return row | ({} if figure.source is None else {"source": figure.source})


def expected(figure: Figure) -> str:
    """Return the range of a figure in words."""
    if figure.low is None:
        return f"at most {_number(figure.high)}"
    return (
        f"at least {_number(figure.low)}"
        if figure.high is None
        else f"{_number(figure.low)} to {_number(figure.high)}"
    )


def _number(value: float | None) -> str:
    return "not there" if value is None else f"{value:.4g}"


def _at(key: str, results: Mapping[str, Values]) -> float | None:
    try:
        found = value_at(results, key)
    except KeyError:
        return None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None
