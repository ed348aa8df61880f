"""Hyper-parameters, declared once: a frozen dataclass field with default, help and range.

The command-line option, its help, the range check and the attribute in a file all come from the field.
"""

import contextlib
import dataclasses
import difflib
import math
import operator
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_origin

from featlearn.errors import ConfigError


class Settings(Protocol):
    """Any dataclass whose fields were made by `setting`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


T = TypeVar("T", bound=Settings)

WORDS = {bool: "true or false", int: "a whole number up to 2^53", float: "a number", str: "a text"}
HUGE = 1 << 53  # beyond it not every whole number is a float

BOUNDS: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
    ("low", operator.lt, "at least"),
    ("high", operator.gt, "at most"),
    ("above", operator.le, "above"),
    ("below", operator.ge, "below"),
)


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] | None = None,
    needs: str = "",
    without: str | None = None,
    off: str = "",
    metavar: str | None = None,
    flag: bool = False,
    infinite: bool = False,
    share: bool = False,
) -> Any:
    """Return a dataclass field with default, help and range.

    `low` and `high` are inclusive bounds, `above` and `below` exclusive ones; of a tuple they bound each
    number.

    A field with `needs` does nothing unless those fields are set, or have a value named ("sparsity_target
    sparsity_method=lee|goh"). A field with `without` does nothing while that field is set, or has a value
    named.

    A value None means "not said". Before a run every None is resolved to a value, but for fields with `off`:
    the words say what None means there.

    `metavar` stands for the value on the help page. A `flag` can be set only, not taken back. An `infinite`
    number may be infinity. A whole number with `share` may be said as a share, "2.5%": see `number_of`.
    """
    metadata = {"help": help, "low": low, "high": high, "above": above, "below": below, "choices": choices}
    metadata |= {"needs": needs, "without": without, "off": off}
    return dataclasses.field(
        default=default,
        metadata=metadata | {"metavar": metavar, "flag": flag, "infinite": infinite, "share": share},
    )


def option_name(field_name: str) -> str:
    """The command-line spelling of a field: batch_size -> --batch-size, class_ -> --class."""
    return "--" + field_name.rstrip("_").replace("_", "-")


def check(config: Settings) -> None:
    """Hold every field of `config` against its type and range; call it from __post_init__.

    Raises ConfigError.
    """
    for field in dataclasses.fields(config):
        value, m = getattr(config, field.name), field.metadata
        name = option_name(field.name)
        if not m:
            continue
        if m["share"] and isinstance(value, str):
            number_of(name, value, 1)
            continue
        kinds = get_args(field.type) if isinstance(field.type, types.UnionType) else (field.type,)
        wanted = WORDS.get(kinds[0]) or _tuple_words(kinds[0])
        if not _is_one_of(value, kinds):  # files may hold anything
            raise ConfigError(f"{name}: got {repr(value)[:60]}, must be {wanted}")
        if value is None:
            continue
        if m["choices"] is not None and value not in m["choices"]:
            raise ConfigError(f"{name}: got {value!r}, must be one of {', '.join(m['choices'])}")
        for one in value if isinstance(value, tuple) else (value,):
            _check_number(name, one, m)


def _check_number(name: str, value: Any, m: Mapping[str, Any]) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not math.isfinite(value) and (math.isnan(value) or not m["infinite"]):
        wanted = "a number" if m["infinite"] else "a finite number"
        raise ConfigError(f"{name}: got {value}, must be {wanted}")
    for key, outside, words in BOUNDS:
        if m[key] is not None and outside(value, m[key]):
            raise ConfigError(f"{name}: got {value:g}, must be {words} {m[key]:g}")


def number_of(name: str, value: Any, whole: int) -> Any:
    """Return "2.5%" as a number out of `whole`, rounded to the nearest, a half up, and at least 1.

    What is no text comes back as it is. Raises ConfigError, with the `name` of the option.
    """
    if not isinstance(value, str):
        return value
    try:
        share = float(value.strip().removesuffix("%")) if value.strip().endswith("%") else math.nan
    except ValueError:
        share = math.nan
    if not 0 < share <= 100:
        raise ConfigError(f"{name}: got {value[:60]!r}, must be a whole number or a share such as 2.5%")
    return max(1, math.floor(whole * share / 100 + 0.5))


def _tuple_words(kind: Any) -> str:
    """(float, float) -> "2 numbers" """
    inner = get_args(kind)
    words = "texts" if str in inner else "whole numbers" if int in inner else "numbers"
    return words if Ellipsis in inner else f"{len(inner)} {words}"


def _is_one_of(value: Any, kinds: tuple[Any, ...]) -> bool:
    if isinstance(value, tuple):
        inner = [get_args(kind) for kind in kinds if get_origin(kind) is tuple]
        return any(
            all(_is_one_of(one, (one_kind[0],)) for one in value)
            for one_kind in inner
            if Ellipsis in one_kind or len(one_kind) == len(value)
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return (int in kinds or float in kinds) and abs(value) <= HUGE
    return type(value) in kinds or (isinstance(value, float) and float in kinds)


def refuse_idle(
    config: Settings,
    given: Collection[str],
    found: Mapping[str, str] = types.MappingProxyType({}),
    undecided: Collection[str] = (),
) -> None:
    """Refuse `given` fields that do nothing, the others being what they are. Raises ConfigError.

    A switch that is left as it is does not count. `found` says what kind of thing an argument names ("input":
    "photograph"). What needs an `undecided` field is not refused yet.
    """
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}

    def words(other: str, wanted: str) -> str:
        if other in found:
            return f"a {wanted.replace('_', ' ')} as {other.upper()}"
        return option_words(other, wanted)

    for field in dataclasses.fields(config):
        idle_switch = field.type is bool and values[field.name] == field.default
        if field.name not in given or idle_switch or not field.metadata:
            continue
        needs = [need for need in field.metadata["needs"].split() if need.partition("=")[0] not in undecided]
        refuse_idle_one(field.name, " ".join(needs), field.metadata["without"], {**values, **found}, words)


def option_words(name: str, wanted: str) -> str:
    """The option to add: ("what", "filters or curve") -> --what filters or curve"""
    return f"{option_name(name)} {wanted}".rstrip()


def refuse_idle_one(
    name: str,
    needs: str,
    without: str | None,
    values: Mapping[str, Any],
    words: Callable[[str, str], str] = option_words,
) -> None:
    """Refuse a setting that does nothing beside these `values` of others.

    `needs` and `without` are as of `setting`.

    `words` name another one that is missing. Raises ConfigError.
    """
    if without:
        other, _, word = without.partition("=")
        if values[other] == word if word else values[other]:
            found = option_words(other, word)
            raise ConfigError(f"{option_name(name)}: does nothing with {found}; leave one of them out")
    for need in needs.split():
        other, _, wanted = need.partition("=")
        if values[other] not in wanted.split("|") if wanted else not values[other]:
            remedy = words(other, wanted.replace("|", " or "))
            raise ConfigError(f"{option_name(name)}: does nothing without {remedy}; add that or leave it out")


SEEDS = 2**32
"""How many seeds there are, from 0 on."""


def seed_setting() -> Any:
    """Return the field for the seed of all random numbers."""
    return setting(0, "all random numbers follow from it", low=0, high=SEEDS - 1)


def unresolved(config: Settings) -> list[str]:
    """Return the names of the fields that are None though None means nothing there."""
    return [
        field.name
        for field in dataclasses.fields(config)
        if field.metadata and getattr(config, field.name) is None and not field.metadata["off"]
    ]


def fill(config: T, usual: Mapping[str, Any]) -> T:
    """Return `config` with the `usual` values in place of None."""
    return dataclasses.replace(config, **{key: usual[key] for key in usual if getattr(config, key) is None})


def rounded(value: float) -> float:
    """The value to two digits, for a default that is computed and then read by people."""
    return float(f"{value:.2g}")


def in_words(cls: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values`, with what None means in place of each None."""
    meanings = {field.name: field.metadata["off"] for field in dataclasses.fields(cls) if field.metadata}
    return {key: meanings.get(key) or None if value is None else value for key, value in values.items()}


def in_effect(config: Settings) -> list[str]:
    """Return the names of the settings that do something beside the others."""
    values = to_dict(config)
    found = []
    for field in dataclasses.fields(config):
        if field.metadata:
            with contextlib.suppress(ConfigError):
                refuse_idle_one(field.name, field.metadata["needs"], field.metadata["without"], values)
                found.append(field.name)
    return found


def to_dict(config: Settings) -> dict[str, Any]:
    """The fields as plain values (JSON-able)."""
    return dataclasses.asdict(config)


def from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
    """An instance of `cls`; unknown keys are refused with the nearest known one. Raises ConfigError."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(fields)}"
            raise ConfigError(f"{cls.__qualname__}: unknown setting {key!r}{hint}")
    return cls(**{key: _coerce(fields[key].type, value) for key, value in values.items()})


def from_text(cls: type[Settings], name: str, text: str) -> Any:
    """Return a setting's value from a text, as in "rbm:hidden=500". Raises ConfigError."""
    kind = {field.name: field.type for field in dataclasses.fields(cls)}[name]
    kinds = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    one = kinds[0]
    try:
        if text.strip().endswith("%") and _may_be_share(cls, name):
            return text
        if get_origin(one) is tuple:
            return tuple(_plain_value(get_args(one)[0], part) for part in text.split(","))
        return _plain_value(one, text)
    except ValueError:
        if str in kinds:
            return text
        wanted = WORDS.get(one) or _tuple_words(one)
        raise ConfigError(f"{option_name(name)}: got {text!r}, must be {wanted}") from None


def _may_be_share(cls: type[Settings], name: str) -> bool:
    return any(field.name == name and field.metadata["share"] for field in dataclasses.fields(cls))


def _plain_value(kind: Any, text: str) -> Any:
    """Raises ValueError."""
    if kind is not bool:
        return kind(text)
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def all_optional(cls: type[Settings], name: str) -> type[Any]:
    """Return a class of the settings of `cls`, by that name, of which none need be said: None is not said."""
    found: list[Any] = []
    for field in dataclasses.fields(cls):
        kind = field.type if type(None) in get_args(field.type) else field.type | None  # type: ignore[operator]
        metadata = {**field.metadata, "needs": "", "without": None, "off": ""}
        found.append((field.name, kind, dataclasses.field(default=None, metadata=metadata)))
    return dataclasses.make_dataclass(name, found, frozen=True, namespace={"__post_init__": check})


def from_file(cls: type[T], values: Mapping[str, Any]) -> T:
    """Return the same of what a file holds. Raises ConfigError where it leaves a setting open.

    A default of today need not be that of the file's time. Only what is off may be left out.
    """
    config = from_dict(cls, values)
    said = {
        field.name for field in dataclasses.fields(cls) if field.name in values or field.metadata.get("off")
    }
    missing = [field.name for field in dataclasses.fields(cls) if field.metadata and field.name not in said]
    if missing or unresolved(config):
        raise ConfigError(f"{', '.join(missing or unresolved(config))}: is not said")
    return config


def _coerce(kind: Any, value: Any) -> Any:
    """Return what a file holds as the declared kind.

    A list becomes a tuple, an int a float where one is wanted.

    So 1 and 1.0 in a file are the same config.
    """
    words = str(kind)
    if isinstance(value, list) and "tuple" in words:
        return tuple(_coerce(float if "float" in words else int, one) for one in value)
    small = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= HUGE
    return float(value) if "float" in words and small else value
