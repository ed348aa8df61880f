"""Recipes as files: published experiments as commands, the data they need, and figures to compare.

docs/recipes.md describes the format. A recipe is checked whole when it is read, so that no mistake in it is
found after an hour of training.
"""

import difflib
import re
import shlex
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import featlearn
from featlearn.errors import ConfigError, DataError, reason, show
from featlearn.files.paths import open_regular

FOLDER = Path(featlearn.__file__).parent / "recipes"
SUFFIX = ".toml"
RECORD = "recipe.json"
"""What is known of the steps that were made, in the folder of their files."""
KEYS = ("title", "minutes", "about", "needs", "sources", "data", "steps", "figures")
FIGURE_TEXTS = ("name", "value", "over", "minus", "source", "note")
NUMBERS = ("times", "low", "high")
FIGURE_KEYS = (*FIGURE_TEXTS, *NUMBERS, "published")
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
PLACE = re.compile(r"\{([^{}]*)\}")
WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class StepFiles:
    """Of the command of a step: the files that it writes, and whether it can go on with them."""

    outputs: tuple[str, ...] = ()
    resumes: bool = False


@dataclass(frozen=True)
class Step:
    """One command of a recipe."""

    name: str
    words: tuple[str, ...]
    """Those after "featlearn"; {name} stands for the path of data."""
    files: StepFiles


REPRODUCED, OUT = "reproduced", "OUT OF RANGE"
"""Verdicts on figures. One that is in a range which the published number is not in has another."""


@dataclass(frozen=True)
class Figure:
    """A number to compare: `times` (value, divided by `over` or less `minus`), from `low` to `high`."""

    name: str
    value: str
    """The step, and below it the key in what the step prints with --json: report.measured.0.rmse"""
    over: str | None = None
    minus: str | None = None
    times: float = 1
    low: float | None = None
    high: float | None = None
    published: float | str | None = None
    source: str | None = None
    note: str | None = None

    def expects(self, number: float) -> bool:
        """Whether a number is in the range."""
        return (self.low is None or number >= self.low) and (self.high is None or number <= self.high)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of all numbers that it is made of."""
        return tuple(key for key in (self.value, self.over, self.minus) if key is not None)


@dataclass(frozen=True)
class Recipe:
    """A published experiment."""

    name: str
    path: str
    title: str
    minutes: float
    """What it takes on one core, about."""
    about: str
    needs: str
    """Which data, in words."""
    sources: tuple[str, ...]
    data: Mapping[str, str]
    """By name: a file, or a pattern such as *.jpg for the folder of files that fit it."""
    steps: tuple[Step, ...]
    figures: tuple[Figure, ...]

    def step(self, name: str) -> Step:
        """Raises ConfigError."""
        for one in self.steps:
            if one.name == name:
                return one
        names = [one.name for one in self.steps]
        raise ConfigError(f"{self.name}: has no step {show(name)}{_near(name, names)}; it has {_some(names)}")


Describe = Callable[[Sequence[str]], StepFiles]
"""Says of a command line what it writes; raises ConfigError for one that is wrong."""


def names() -> list[str]:
    """Return the names of the recipes that come with featlearn."""
    return sorted(path.stem for path in FOLDER.glob("*" + SUFFIX))


def read_recipe(name: str, describe: Describe) -> Recipe:
    """Read a recipe by its name, or by the path of a .toml file. Raises DataError, ConfigError."""
    if name.endswith(SUFFIX):
        path = name
    elif name in names():
        path = str(FOLDER / (name + SUFFIX))
    else:
        raise ConfigError(
            f"{show(name)}: no such recipe{_near(name, names())}; featlearn recipe list shows all, and your "
            f"own is a file that ends in {SUFFIX}"
        )
    return _Reader(path, describe).recipe(_parsed(path))


def _parsed(path: str) -> dict[str, Any]:
    with open_regular(path) as stream:
        try:
            return tomllib.load(stream)
        except OSError as error:
            raise DataError(f"{show(path)}: {reason(error)}") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{show(path)}: not a TOML file: {error}") from error


class _Reader:
    """Turns the tables of a file into a recipe; what is wrong is a DataError that names the place."""

    def __init__(self, path: str, describe: Describe) -> None:
        self.path, self.describe = path, describe

    def wrong(self, place: str, words: str) -> DataError:
        return DataError(f"{show(self.path)}: {place}: {words}")

    def recipe(self, table: Mapping[str, Any]) -> Recipe:
        self.known("the file", table, KEYS)
        for key in ("title", "minutes", "steps"):
            if key not in table:
                raise self.wrong(key, "is missing")
        data = self.data(table.get("data", {}))
        steps = self.steps(table["steps"], data)
        figures = self.tables("figures", table.get("figures", []))
        return Recipe(
            name=Path(self.path).stem,
            path=self.path,
            title=self.text("title", table["title"]),
            minutes=self.number("minutes", table["minutes"]),
            about=" ".join(self.text("about", table.get("about", "")).split()),
            needs=self.text("needs", table.get("needs", "")),
            sources=tuple(self.text("sources", one) for one in self.list_("sources", table)),
            data=data,
            steps=steps,
            figures=tuple(self.figure(i, one, steps) for i, one in enumerate(figures, 1)),
        )

    def known(self, place: str, table: Mapping[str, Any], keys: Collection[str]) -> None:
        for key in table:
            if key not in keys:
                raise self.wrong(place, f"unknown key {show(key)}{_near(key, keys)}; known are {_some(keys)}")

    def text(self, place: str, value: Any) -> str:
        if not isinstance(value, str):
            raise self.wrong(place, f"got {repr(value)[:60]}, wanted a text")
        return value

    def number(self, place: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
            raise self.wrong(place, f"got {repr(value)[:60]}, wanted a number")
        return value

    def table(self, place: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.wrong(place, f"got {repr(value)[:60]}, wanted a table, [{place}]")
        return value

    def list_(self, key: str, table: Mapping[str, Any]) -> list[Any]:
        value = table.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, f"got {repr(value)[:60]}, wanted a list")
        return value

    def tables(self, place: str, value: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.wrong(place, f"wanted tables, [[{place}]]")
        return value

    def data(self, value: Any) -> dict[str, str]:
        found = {}
        for name, pattern in self.table("data", value).items():
            self.name("data", name)
            found[name] = self.text(f"data.{name}", pattern)
            if not pattern or "/" in pattern or "\0" in pattern:
                raise self.wrong(f"data.{name}", f"got {show(pattern)}, wanted a file's name or a pattern")
        return found

    def name(self, place: str, name: str) -> None:
        if not NAME.fullmatch(name):
            raise self.wrong(place, f"{show(name)} is no name: small letters, digits and - between them")

    def steps(self, value: Any, data: Mapping[str, str]) -> tuple[Step, ...]:
        found = [self.step(name, line, data) for name, line in self.table("steps", value).items()]
        if not found:
            raise self.wrong("steps", "there are none")
        made: dict[str, str] = {}
        for step in found:
            for path in step.files.outputs:
                if path in made:
                    raise self.wrong(f"steps.{step.name}", f"writes {show(path)}, which {made[path]} writes")
                made[path] = step.name
        unused = set(data) - {name for step in found for word in step.words for name in PLACE.findall(word)}
        if unused:
            raise self.wrong(f"data.{min(unused)}", "no step uses it")
        return tuple(found)

    def step(self, name: str, line: Any, data: Mapping[str, str]) -> Step:
        self.name("steps", name)
        place = f"steps.{name}"
        try:
            words = tuple(shlex.split(self.text(place, line)))
        except ValueError as error:
            raise self.wrong(place, f"{str(error).lower()}") from error
        for used in (used for word in words for used in PLACE.findall(word)):
            if used not in data:
                raise self.wrong(place, f"{{{used}}} is not named in [data]{_near(used, data)}")
        try:
            files = self.describe(words)
        except ConfigError as error:
            raise self.wrong(place, str(error)) from error
        for path in files.outputs:
            if Path(path).name != path or path in ("", ".", ".."):
                raise self.wrong(place, f"writes {show(path)}; wanted a name without folders")
            if path == RECORD:
                raise self.wrong(place, f"writes {path}, which holds the record of what was made")
        return Step(name, words, files)

    def figure(self, i: int, table: Mapping[str, Any], steps: Sequence[Step]) -> Figure:
        place = f"figures, number {i}"
        self.known(place, table, FIGURE_KEYS)
        for key in ("name", "value"):
            if key not in table:
                raise self.wrong(place, f"{key} is missing")
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key == "published" and isinstance(value, str):
                values[key] = value
            else:
                values[key] = (self.text if key in FIGURE_TEXTS else self.number)(f"{place}: {key}", value)
        figure = Figure(**values)
        if figure.low is None and figure.high is None:
            raise self.wrong(place, "low or high is missing: the range that counts as reproduced")
        if figure.low is not None and figure.high is not None and figure.low > figure.high:
            raise self.wrong(place, f"low {figure.low} is above high {figure.high}")
        if figure.over is not None and figure.minus is not None:
            raise self.wrong(place, "over and minus contradict each other")
        for key in figure.keys:
            name, _, rest = key.partition(".")
            if name not in [step.name for step in steps] or not rest:
                raise self.wrong(
                    place, f"{show(key)} is not STEP.KEY, such as {steps[-1].name}.measured.0.rmse"
                )
        return figure


def _near(name: str, known: Collection[str]) -> str:
    found = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def _some(names: Collection[str]) -> str:
    return ", ".join(names)
