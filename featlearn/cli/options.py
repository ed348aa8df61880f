"""Options that several commands share, each one object; and the parts of which commands are made.

    option         gives the command          used by
    output         output: str                extract-patches train visualize reconstruct encode sample
    force          force: bool                wherever there is an output
    seed           seed: int                  extract-patches train evaluate sample check-gradients
    threads        (sets the kernels')        all
    max_memory     (sets files.budget')       wherever there is an input
    dtype          dtype: str                 train
    max_pixels     max_pixels: int            extract-patches reconstruct
    quiet          words: report.Words        all
    as_json        results: report.Results    all

What a settings dataclass declares becomes options by `settings_options`.
"""

import math
import os
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar, get_args

import click
from click.core import ParameterSource

from featlearn.cli.report import Results, Words
from featlearn.cli.run import Session
from featlearn.files.limits import MAX_PIXELS
from featlearn.settings import HUGE, WORDS, from_dict, option_name, option_words, refuse_idle, refuse_idle_one

T = TypeVar("T")
METAVARS = {
    "Size": "N|HxW|whole",
    "IntRange": "N",
    "IntParamType": "N",
    "FloatRange": "X",
    "FloatParamType": "X",
}
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Option(click.Option):
    """An option that belongs to a group of the help page.

    It does nothing without the other parameters that it `needs`, nor beside that which it goes `without`;
    both are written as those of a setting.
    """

    def __init__(
        self, *args: Any, group: str = "Options", needs: str = "", without: str | None = None, **kwargs: Any
    ) -> None:
        kwargs.setdefault("show_default", True)
        super().__init__(*args, **kwargs)
        self.group, self.needs, self.without = group, needs, without
        if self.metavar is None:
            self.metavar = METAVARS.get(type(self.type).__name__)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Its names, unquoted, as in our own messages."""
        return " / ".join(self.opts)

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Defaults that are said in words without the brackets of Click."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default
        return extra

    def variable(self, ctx: click.Context) -> str:
        """The environment variable that sets it: by the option's own name, FEATLEARN_INFO_JSON."""
        name = max(self.opts, key=len).lstrip("-").replace("-", "_").upper()
        return f"{ctx.auto_envvar_prefix}_{name}"

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        return os.environ.get(self.variable(ctx)) or None


class Argument(click.Argument):
    """A positional argument, which messages name without quotes."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        return self.human_readable_name.rstrip(".")


class Command(click.Command):
    """A command whose help lists options by group, in the order in which the groups were declared.

    Options that stand on the command line and would do nothing are refused before it runs.
    """

    def invoke(self, ctx: click.Context) -> Any:
        refuse_idle_options()
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(param, "group", "Options"), []).append(record)
        groups["Options"] = groups.pop("Options", [])
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


def command_named(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """The decorator that makes a command; its help is the function's docstring."""
    return click.command(name, cls=Command)


def invocation() -> dict[str, Any]:
    """How the running command was called, as plain values: argv, and what set options besides.

    That is the content of a settings file (`config`) and the variables of the environment that were read.
    """
    ctx = click.get_current_context(silent=True)
    if ctx is None:
        return {"argv": []}
    read = [
        param.variable(ctx)
        for param in ctx.command.get_params(ctx)
        if isinstance(param, Option)
        and ctx.get_parameter_source(param.name or "") is ParameterSource.ENVIRONMENT
    ]
    environment = {name: os.environ[name] for name in sorted(read)}
    more = {"config": ctx.default_map, "environment": environment}
    return {"argv": ["featlearn", *ctx.ensure_object(Session).argv]} | {k: v for k, v in more.items() if v}


def option(*args: Any, **kwargs: Any) -> Decorator:
    """click.option with a `group` for the help page and the default shown."""
    return click.option(*args, cls=Option, **kwargs)


class Number(click.FloatRange):
    """A number within bounds, infinity perhaps; nan, which lies within all, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
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


class Size(click.ParamType):  # type: ignore[type-arg]
    """16, HEIGHTxWIDTH or whole -> (height, width) or "whole"."""

    name = "n|hxw|whole"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int] | str:
        if value == "whole":
            return "whole"
        parts = str(value).split("x")
        if len(parts) > 2 or not all(
            re.fullmatch("[0-9]{1,5}", part) and 0 < int(part) <= 65535 for part in parts
        ):
            self.fail(f"{value!r} is not a size: 16, 8x12 (height x width) or whole", param, ctx)
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
            numbers = tuple(map(int, parts))
            if numbers and max(map(abs, numbers)) < 2**63:
                return numbers
        except (TypeError, ValueError):
            pass
        self.fail(f"{value!r} is not a list of whole numbers, e.g. 5,256", param, ctx)


def settings_options(cls: type, group: str = "Options", needs: str = "") -> Decorator:
    """Add an option for every field of a settings dataclass; the command gets them as keyword arguments.

    `needs` are the command's own options without which none of them does anything. `collect` makes the
    instance from the keyword arguments.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for parameter in reversed(settings_parameters(cls, group)):
            function = option(*parameter.pop("names"), needs=needs, **parameter)(function)
        return function

    return decorate


def settings_parameters(cls: type, group: str) -> list[dict[str, Any]]:
    """The arguments of `option` for every field of a settings dataclass, in its order."""
    return [_parameter(field, group) for field in fields(cls) if field.metadata]


def settings_option_objects(
    cls: type,
    group: str,
    defaults: Mapping[str, Any] = types.MappingProxyType({}),
    words: Mapping[str, str] = types.MappingProxyType({}),
) -> list[Option]:
    """The same as Click objects, for a command that picks its options when it runs.

    `defaults` come before its own, and so do the `words` that say what is taken when nothing is given.
    """
    options = []
    for parameter in settings_parameters(cls, group):
        names = parameter.pop("names")
        if names[1] in defaults:
            parameter |= {"default": defaults[names[1]], "show_default": True}
        elif names[1] in words:
            parameter |= {"show_default": words[names[1]]}
        options.append(Option(names, **parameter))
    return options


def collect(cls: type[T], values: dict[str, Any], decided: bool = True) -> T:
    """Take the fields of `cls` out of a command's keyword arguments.

    Raises ConfigError, also for what stands on the command line and would do nothing; what does something is
    not known of settings that are not `decided` yet.
    """
    found = {field.name: values.pop(field.name) for field in fields(cls) if field.name in values}  # type: ignore[arg-type]
    config = from_dict(cls, found)  # type: ignore[type-var]
    if decided:
        refuse_idle_settings(config)
    return config


def refuse_idle_settings(config: Any) -> None:
    """Refuse settings of the running command that were typed and do nothing in `config`.

    Raises ConfigError.
    """
    refuse_idle(config, [field.name for field in fields(config) if _given(field, config)])


def refuse_idle_options(**found: str) -> None:
    """Refuse options of the running command that were typed and do nothing without others. Raises
    ConfigError.

    What kind of thing an argument names, and what an option is that was not given, is not known before the
    command has looked: then it says so as `found`, and calls this again. Until then such needs are not asked
    for.
    """
    ctx = click.get_current_context()
    others = {param.name or "": param for param in ctx.command.get_params(ctx)}

    def is_known(need: str) -> bool:
        other, _, wanted = need.partition("=")
        looked_at = wanted and (isinstance(others[other], click.Argument) or ctx.params[other] is None)
        return other in found or not (
            looked_at or ctx.params[other] == ""
        )  # an empty name is refused for itself

    def words(other: str, wanted: str) -> str:
        if isinstance(others[other], click.Argument):
            name = others[other].human_readable_name
            return f"a {wanted.replace('_', ' ')} as {name}" if wanted else name
        return option_words(other, wanted)

    for name, param in others.items():
        if isinstance(param, Option) and _is_typed(name):
            needs = " ".join(filter(is_known, param.needs.split()))
            refuse_idle_one(name, needs, param.without, ctx.params | found, words)


def _given(field: Field[Any], config: Any) -> bool:
    """Whether a setting stands on the command line; a switch that is left as it is does not count."""
    idle_switch = field.type is bool and getattr(config, field.name) == field.default
    return _is_typed(field.name) and not idle_switch


def _is_typed(name: str) -> bool:
    """Whether an option stands on the command line."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def _parameter(field: Field[Any], group: str) -> dict[str, Any]:
    name = option_name(field.name)
    kind = _plain_type(field.type)
    default = None if field.default is MISSING else field.default
    help, _, words = field.metadata["help"].removesuffix("]").partition("[default: ")
    if default is None:
        words = words or field.metadata["off"]
    if isinstance(default, tuple):
        default = ",".join(map(str, default))  # as it is typed
    out = {"names": [name, field.name], "default": default, "help": _sentence(help.rstrip()), "group": group}
    if words:
        out["show_default"] = words
    if kind is bool:
        return out | {"names": [f"{name}/--no-{name[2:]}", field.name]}
    return out | {"type": _click_type(kind, field.metadata)}


def _plain_type(annotation: Any) -> Any:
    """float | None -> float"""
    kinds = [kind for kind in get_args(annotation) if kind is not types.NoneType]
    return kinds[0] if isinstance(annotation, types.UnionType) else annotation


def _click_type(kind: Any, m: Mapping[str, Any]) -> "click.ParamType[Any]":
    if m["choices"] is not None:
        return click.Choice(m["choices"])
    if kind in (int, float) and all(m[key] is None for key in ("low", "high", "above", "below")):
        return click.INT if kind is int else click.FLOAT
    if kind in (int, float):
        low, high = (
            (m["low"] if m["above"] is None else m["above"]),
            (m["high"] if m["below"] is None else m["below"]),
        )
        make = click.IntRange if kind is int else click.FloatRange
        return make(low, high, min_open=m["above"] is not None, max_open=m["below"] is not None)
    if get_args(kind) == (int, ...):
        return Integers()
    if get_args(kind) == (int, int):
        return Size()
    return Pair() if get_args(kind) == (float, float) else click.STRING


def wanted_in_a_file(param: click.Parameter, value: Any) -> str | None:
    """Return what an option takes in a settings file, in words, where `value` is no such thing; else None.

    A file has types, so 1.5 is no number of epochs and true no number of units, as Click would have it.
    """
    small = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= HUGE
    number = small or isinstance(value, float)
    if isinstance(param, click.Option) and param.is_flag:
        return None if isinstance(value, bool) else "true or false"
    if isinstance(param.type, Pair | Integers) and isinstance(value, list):
        return None if all(type(one) in (int, float) for one in value) else "a list of numbers"
    if isinstance(param.type, click.types.IntParamType):
        return None if small or (number and value.is_integer()) else WORDS[int]
    if isinstance(param.type, click.types.FloatParamType):
        return None if number else WORDS[float]
    return None if isinstance(value, str) else "a text"


def _sentence(text: str) -> str:
    """Help texts begin with a capital letter and end with a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _to_words(ctx: click.Context, param: click.Parameter, quiet: bool) -> Words:
    ctx.ensure_object(Session).quiet = quiet
    return Words(quiet)


def _to_results(ctx: click.Context, param: click.Parameter, as_json: bool) -> Results:
    ctx.ensure_object(Session).json = as_json
    return Results(as_json)


def _set_threads(ctx: click.Context, param: click.Parameter, n: int | None) -> None:
    if not ctx.resilient_parsing:
        from featlearn.threads import use_threads

        use_threads(n)


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


def _set_max_memory(ctx: click.Context, param: click.Parameter, n: int | None) -> None:
    if not ctx.resilient_parsing:
        from featlearn.files.budget import set_max_memory

        set_max_memory(n)


def output(help: str, required: bool = True, default_words: str | None = None) -> Decorator:
    """-o; commands say what goes there."""
    shown = {"show_default": default_words} if default_words else {}
    return option("-o", "--output", metavar="PATH", required=required, help=help, group="Output", **shown)


def force_of(needs: str = "") -> Decorator:
    """--force, which does nothing where the output that it `needs` is not asked for."""
    words = "Replace the output if it exists."
    return option("--force", is_flag=True, help=words, group="Output", show_default=False, needs=needs)


force = force_of()
seed = option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="All random numbers follow from it."
)
threads = option(
    "--threads",
    type=click.IntRange(1, 1024),
    callback=_set_threads,
    expose_value=False,
    show_default="the cores that this process may use",
    help="Threads to compute with; results do not depend on it.",
)
max_memory = option(
    "--max-memory",
    type=Bytes(),
    metavar="SIZE",
    callback=_set_max_memory,
    expose_value=False,
    show_default="64 times the file or 256 MiB, at most half of the memory",
    help="Memory that the unpacked contents of one input file may take, e.g. 4GB.",
)
dtype = option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    help="Precision of the computation.",
)
quiet = option(
    "--quiet",
    "-q",
    "words",
    is_flag=True,
    callback=_to_words,
    show_default=False,
    help="No words on stderr but errors.",
)
as_json = option(
    "--json",
    "results",
    is_flag=True,
    is_eager=True,
    callback=_to_results,
    show_default=False,
    help="One JSON object on stdout, also on failure.",
)


def max_pixels(group: str = "Options") -> Decorator:
    """--max-pixels, in that group of the help page."""
    kind, help = (
        click.IntRange(1),
        "Refuse images of more pixels; each may take 16 bytes while it is decoded.",
    )
    return option("--max-pixels", type=kind, default=MAX_PIXELS, help=help, group=group)


def common(*decorators: Decorator) -> Decorator:
    """Several shared options at once, in that order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for one in reversed(decorators):
            function = one(function)
        return function

    return decorate


def paths(name: str, required: bool = True, many: bool = False, metavar: str | None = None) -> Decorator:
    """A positional argument of one or several paths, kept as given (also names that are not valid text)."""
    return click.argument(
        name, cls=Argument, metavar=metavar, required=required, nargs=-1 if many else 1, type=click.Path()
    )
