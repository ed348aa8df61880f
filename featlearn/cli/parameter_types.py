"""Types of options that Click does not know, and which type a setting has."""

import math
import re
import types
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

import click

from featlearn.errors import show
from featlearn.numerals import ungrouped, whole_number
from featlearn.settings import HUGE, WORDS, out_of_bounds

T = TypeVar("T", int, float)


def plain_form(word: str) -> str:
    """Return a word without capital letters, hyphens and underscores, which do not tell words apart."""
    return word.lower().replace("-", "").replace("_", "")


class Choice(click.Choice[str]):
    """One of several words, by its plain form."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        forms = {plain_form(word): word for word in self.choices}
        found = forms.get(plain_form(str(value)))
        if found is None:
            near = get_close_matches(plain_form(str(value)), forms, 1)
            hint = f"did you mean {forms[near[0]]}?" if near else f"it is one of {', '.join(self.choices)}"
            self.fail(f"{show(str(value))} is no choice; {hint}", param, ctx)
        return found


class Whole(click.IntRange):
    """A whole number within bounds, also as 1e3, 10k or 2M."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            number = whole_number(value) if isinstance(value, str) else int(value)
        except ValueError:
            self.fail(f"{show(str(value)[:60])} is no whole number{_meant(value)}", param, ctx)
        return _within(self, number, param, ctx)


class Real(click.FloatRange):
    """A number within bounds, infinity perhaps; nan, which lies within all, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            self.fail(f"{show(str(value)[:60])} is no number{_meant(value)}", param, ctx)
        return _within(self, number, param, ctx)


def _meant(value: Any) -> str:
    found = ungrouped(str(value))
    return f"; did you mean {found}?" if found else ""


def _within(range: Whole | Real, number: T, param: click.Parameter | None, ctx: click.Context | None) -> T:
    """Return a number that is within the bounds of a type. Raises BadParameter."""
    lowest, highest = ("above" if range.min_open else "low"), ("below" if range.max_open else "high")
    bounds = dict.fromkeys(("low", "high", "above", "below")) | {lowest: range.min, highest: range.max}
    if wrong := out_of_bounds(number, bounds):
        range.fail(wrong, param, ctx)
    return number


class Pair(click.ParamType):  # type: ignore[type-arg]
    """LOW,HIGH: two numbers; a list of two in a TOML file."""

    name = "low,high"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        parts = value.split(",") if isinstance(value, str) else value
        try:
            low, high = map(float, parts)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not LOW,HIGH, e.g. 0.1,0.9", param, ctx)
        return low, high


class CountOrShare(Whole):
    """A whole number within bounds, or a share such as 2.5%, whose range the settings check."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        is_share = isinstance(value, str) and value.strip().endswith("%")
        return value.strip() if is_share else super().convert(value, param, ctx)


class Size(click.ParamType):  # type: ignore[type-arg]
    """16, HEIGHTxWIDTH or a word (whole) -> (height, width) or the word; a list of two in a TOML file."""

    name = "n|hxw|word"

    def __init__(self, word: str) -> None:
        self.word = word

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int] | str:
        if value == self.word:
            return self.word
        parts = list(map(str, value)) if isinstance(value, list) else str(value).split("x")
        if len(parts) not in (1, 2) or not all(
            re.fullmatch("[0-9]{1,5}", part) and 0 < int(part) <= 65535 for part in parts
        ):
            self.fail(f"{value!r} is not a size: 16, 8x12 (height x width) or {self.word}", param, ctx)
        return int(parts[0]), int(parts[-1])


class Integers(click.ParamType):  # type: ignore[type-arg]
    """N,N,...: one or more whole numbers, in that order; a list of them in a TOML file.

    Their range the settings check.
    """

    name = "n,n,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        parts = value.split(",") if isinstance(value, str) else value
        try:
            numbers = tuple(whole_number(part) if isinstance(part, str) else int(part) for part in parts)
            if numbers and max(map(abs, numbers)) < 2**63:
                return numbers
        except (TypeError, ValueError):
            pass
        self.fail(f"{value!r} is not a list of whole numbers, e.g. 5,256", param, ctx)


class CountOr(Whole):
    """A whole number or a word (all) -> the number or the word."""

    def __init__(self, low: int, word: str) -> None:
        super().__init__(low)
        self.word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == self.word:
            return value
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            wanted = f"a whole number of at least {self.min}, or {self.word}"
            self.fail(f"{value!r} is not {wanted}{_meant(value)}", param, ctx)


class Bytes(click.ParamType):  # type: ignore[type-arg]
    """4GB, 500MB or 2GiB -> bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(
            r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([KMGT]?)(i?)B?", str(value).strip(), re.IGNORECASE
        )
        if not found or (found[3] and not found[2]):
            self.fail(f"{value!r} is not a size, e.g. 500MB or 4GB", param, ctx)
        power = " KMGT".index(found[2].upper() or " ")
        size = int(float(found[1]) * (1024 if found[3] else 1000) ** power)
        if not size:
            self.fail(f"{value!r} is no memory at all", param, ctx)
        return size


def plain_type(annotation: Any) -> Any:
    """Return the type without None: float | None -> float."""
    kinds = [kind for kind in get_args(annotation) if kind is not types.NoneType]
    return kinds[0] if isinstance(annotation, types.UnionType) else annotation


def click_type(kind: Any, m: Mapping[str, Any]) -> "click.ParamType[Any]":
    if m["choices"] is not None:
        return Choice(m["choices"])
    if m["share"]:
        return CountOrShare(m["low"], m["high"])
    if kind in (int, float):
        low = m["low"] if m["above"] is None else m["above"]
        high = m["high"] if m["below"] is None else m["below"]
        if kind is int and m["metavar"] is not None:
            return CountOr(low, m["metavar"].rpartition("|")[2])
        make = Whole if kind is int else Real
        return make(low, high, min_open=m["above"] is not None, max_open=m["below"] is not None)
    if get_args(kind) == (int, ...):
        return Integers()
    if get_args(kind) == (int, int):
        return Size(m["metavar"].rpartition("|")[2])
    return Pair() if get_args(kind) == (float, float) else click.STRING


def wanted_in_a_file(param: click.Parameter, value: Any) -> str | None:
    """Return what an option takes in a settings file, in words, where `value` is no such thing; else None.

    A file has types, so 1.5 is no number of epochs and true no number of units, as Click would have it.
    """
    small = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= HUGE
    number = small or isinstance(value, float)
    if isinstance(param, click.Option) and param.is_flag:
        return None if isinstance(value, bool) else "true or false"
    if isinstance(param, click.Option) and param.multiple:
        texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return None if texts else "a list of texts"
    if isinstance(param.type, Size) and (small or isinstance(value, list)):
        return None  # which the type itself looks at
    if isinstance(param.type, Pair | Integers) and isinstance(value, list):
        return None if all(type(one) in (int, float) for one in value) else "a list of numbers"
    if getattr(param, "multiple", False):
        texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return None if texts else "a list of texts"
    if isinstance(param.type, CountOr) and isinstance(value, str):
        return None if value == param.type.word else f"a whole number, or {param.type.word}"
    if isinstance(param.type, CountOrShare) and isinstance(value, str):
        return None
    if isinstance(param.type, click.types.IntParamType):
        return None if small or (number and value.is_integer()) else WORDS[int]
    if isinstance(param.type, click.types.FloatParamType):
        return None if number else WORDS[float]
    return None if isinstance(value, str) else "a text"
