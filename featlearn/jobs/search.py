"""Choices of a sweep: values of settings, all with each other or drawn at random, for several seeds."""

import dataclasses
import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from featlearn.errors import ConfigError
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.sweep_settings import Search
from featlearn.jobs.train_settings import training_of
from featlearn.models.base import Model
from featlearn.random import Purpose, Random
from featlearn.settings import all_optional, from_text

LINEAR = ":linear"
LONGEST = 120  # characters of the readable part of a file's name
DIGITS = 3  # of a value that is drawn


@dataclass(frozen=True)
class Listed:
    """Values to try, each of them."""

    values: tuple[Any, ...]

    def drawn(self, u: float) -> Any:
        """Return the value at u in [0, 1)."""
        return self.values[int(u * len(self.values))]


@dataclass(frozen=True)
class Between:
    """A range to draw from, ends included: uniform in the logarithm, or in the value itself."""

    low: float
    high: float
    whole: bool
    linear: bool

    def drawn(self, u: float) -> float | int:
        """Return the value at u in [0, 1); whole numbers each have a share of the same width."""
        low, high = self.low, self.high + self.whole
        value = low + u * (high - low) if self.linear else low * (high / low) ** u
        if self.whole:
            return min(math.floor(value), int(self.high))
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True)
class Try:
    """One run of a sweep: the settings that are varied, as they are in it, and its seed."""

    values: Mapping[str, Any]
    seed: int

    @property
    def name(self) -> str:
        """The run in words that a file's name may hold: k=25_lr=0.1_seed=0."""
        words = "_".join(f"{name}={_word(value)}" for name, value in self.values.items())
        return "_".join(part for part in (words[:LONGEST], f"seed={self.seed}") if part)


def tries(cls: type[Model], search: Search, run: RunSettings) -> list[Try]:
    """Return the runs of a sweep, those of equal settings beside each other. Raises ConfigError."""
    choices = parse(cls, search.set_)
    if not choices and search.seeds == 1:
        raise ConfigError("nothing varies: give --set NAME=VALUE,VALUE,... or --seeds 2 or more")
    ranges = [name for name, one in choices.items() if isinstance(one, Between)]
    if search.samples is None and ranges:
        raise ConfigError(
            f"--set {ranges[0]}: a range is drawn from, and --samples says how often; "
            "add that, or give values as 1,2,3"
        )
    if search.samples is not None and not choices:
        raise ConfigError("--samples: does nothing without --set; add that or leave it out")
    settings = grid(choices) if search.samples is None else samples(choices, search.samples, run.seed)
    return [Try(values, run.seed + i) for values in settings for i in range(search.seeds)]


def grid(choices: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each value with each of the others, the last setting's changing first."""
    found: list[dict[str, Any]] = [{}]
    for name, listed in choices.items():
        found = [{**one, name: value} for one in found for value in listed.values]
    return found


def samples(choices: Mapping[str, Any], n: int, seed: int) -> list[dict[str, Any]]:
    """Return n draws, equal ones once. More of them begin with the same ones."""
    found: list[dict[str, Any]] = []
    for i in range(n):
        u = Random(seed).uniform(len(choices), Purpose.SEARCH, i)
        one = {name: choice.drawn(float(at)) for (name, choice), at in zip(choices.items(), u, strict=True)}
        if one not in found:
            found.append(one)
    return found


def parse(cls: type[Model], texts: Sequence[str]) -> dict[str, Any]:
    """Return what is varied, by the name of the setting, of texts as "lr=.1,.3". Raises ConfigError.

    A name that comes again adds values to those before.
    """
    kinds = {field.name: kind for kind in (training_of(cls), cls.Config) for field in _settings(kind)}
    found: dict[str, Any] = {}
    for text in texts:
        name, sign, values = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not sign or not values:
            raise ConfigError(f"--set {text}: is not NAME=VALUE,VALUE,..., e.g. lr=.1,.3")
        if name == "seed":
            raise ConfigError(f"--set {text}: --seeds says with how many to learn, --seed the first one")
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, 1)
            remedy = f"did you mean {near[0]}?" if near else f"see featlearn train --model {cls.id} --help"
            raise ConfigError(f"--set {text}: no setting of --model {cls.id} or its training; {remedy}")
        one = _parsed(kinds[name], name, values, f"--set {text}")
        if name in found and not (isinstance(one, Listed) and isinstance(found[name], Listed)):
            raise ConfigError(f"--set {text}: {name} has a range already; give one range, or values")
        before = found[name].values if name in found else ()
        found[name] = Listed(tuple(dict.fromkeys((*before, *one.values)))) if isinstance(one, Listed) else one
    return found


def _parsed(kind: type[Any], name: str, text: str, place: str) -> Listed | Between:
    """Return the values, or the range, of one setting. Raises ConfigError."""
    field = kind.__dataclass_fields__[name]
    inner = get_args(field.type) or (field.type,)
    if ".." in text and (float in inner or int in inner):
        return _range(kind, name, text, int in inner and float not in inner, place)
    takes_several = any(get_origin(one) is tuple for one in (field.type, *inner))
    parts = [text] if takes_several else text.split(",")
    return Listed(tuple(dict.fromkeys(_checked(kind, name, part.strip()) for part in parts)))


def _range(kind: type[Any], name: str, text: str, whole: bool, place: str) -> Between:
    """Return LOW..HIGH or LOW..HIGH:linear. Raises ConfigError."""
    linear = text.endswith(LINEAR)
    low, _, high = text.removesuffix(LINEAR).partition("..")
    between = Between(_checked(kind, name, low), _checked(kind, name, high), whole, linear)
    if not between.low < between.high:
        raise ConfigError(f"{place}: the range must rise, as .01..1")
    if not linear and between.low <= 0:
        raise ConfigError(f"{place}: a range from {between.low:g} on has no logarithm; add {LINEAR}")
    return between


def _checked(kind: type[Any], name: str, text: str) -> Any:
    """Return a value of one setting, held against its range. Raises ConfigError."""
    alone = all_optional(kind, kind.__name__)
    return getattr(alone(**{name: from_text(kind, name, text)}), name)


def _settings(kind: type[Any]) -> list[Any]:
    return [field for field in dataclasses.fields(kind) if field.metadata]


def _word(value: Any) -> str:
    """A value as part of a file's name."""
    if isinstance(value, tuple):
        return ",".join(map(_word, value))
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^\w.,+-]", "-", text)
