"""Options that several commands share, each one object; and the parts of which commands are made.

    option     gives the command          used by
    output     output: str                wherever a file is written
    force      force: bool                wherever there is an output
    seed       seed: int                  wherever random numbers are drawn
    threads    (sets the kernels')        all
    max_memory (sets what a file may take) wherever there is an input
    quiet      messages: output.Messages  all
    as_json    results: output.Results    all

What a settings dataclass declares becomes options by `settings_options`.
"""

import os
import shlex
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar, get_args

import click
from click.core import ParameterSource

from featlearn.cli.help_page import OTHERS, HelpPage
from featlearn.cli.output import Messages, Results, Session
from featlearn.cli.parameter_types import Bytes, Whole, click_type, plain_type
from featlearn.cli.parameters import Argument, Option
from featlearn.errors import show
from featlearn.jobs.settings import Seed
from featlearn.settings import Settings, from_dict, option_name, option_words, refuse_idle, refuse_idle_one

T = TypeVar("T", bound=Settings)
ARGS = "featlearn.args"
"""Where a context keeps the words of the command line behind its command."""
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Command(HelpPage):
    """A command that refuses, before it runs, options on the command line that would do nothing."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGS] = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:  # not all of Click's know where they are
            error.ctx = error.ctx or ctx
            raise

    def invoke(self, ctx: click.Context) -> Any:
        refuse_idle_options()
        _refuse_output_among_inputs(ctx)
        return super().invoke(ctx)


def command_named(name: str, most_used: str = "") -> Callable[[Callable[..., Any]], click.Command]:
    """The decorator that makes a command; its help is the function's docstring.

    `most_used` is as of HelpPage.
    """
    return click.command(name, cls=Command, most_used=most_used)


def output_meant(command: click.Command, word: str) -> str:
    """Say that an argument may have been meant as output; "" where it is there, or no command writes one."""
    writes = any(param.name == "output" for param in command.params)
    return f"did you mean -o {shlex.quote(word)}?" if writes and not os.path.exists(word) else ""


def _refuse_output_among_inputs(ctx: click.Context) -> None:
    """Raise UsageError where the last of several inputs is not there, and no output is said."""
    for param in ctx.command.params:
        words: Any = ctx.params.get(param.name or "") or ()
        if isinstance(param, click.Argument) and param.nargs == -1 and len(words) > 1:
            meant = output_meant(ctx.command, words[-1])
            if meant and ctx.params["output"] is None:
                raise click.UsageError(f"{show(words[-1])}: no such file; {meant}", ctx)


def invocation() -> dict[str, Any]:
    """How the running command was called, as plain values: argv, and what set options besides.

    That is the content of a settings file (`config`) and the variables of the environment that were read.
    """
    ctx = click.get_current_context()
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


def settings_options(
    cls: type, group: str = OTHERS, needs: str = "", leave_out: Collection[str] = ()
) -> Decorator:
    """Add an option for every field of a settings dataclass; the command gets them as keyword arguments.

    `needs` are the command's own options without which none of them does anything. `collect` makes the
    instance from the keyword arguments.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for parameter in reversed(settings_parameters(cls, group)):
            names = parameter.pop("names")
            if names[-1] not in leave_out:
                function = option(*names, needs=needs, **parameter)(function)
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
    needs: str = "",
) -> list[Option]:
    """The same as Click objects, for a command that picks its options when it runs.

    `defaults` come before its own, and so do the `words` that say what is taken when nothing is given.
    `needs` is as of `settings_options`.
    """
    options = []
    for parameter in settings_parameters(cls, group):
        names = parameter.pop("names")
        if names[1] in defaults:
            parameter |= {"default": defaults[names[1]], "show_default": True}
        elif names[1] in words:
            parameter |= {"show_default": words[names[1]]}
        options.append(Option(names, needs=needs, **parameter))
    return options


def collect(cls: type[T], values: dict[str, Any], decided: bool = True) -> T:
    """Take the fields of `cls` out of a command's keyword arguments.

    Raises ConfigError, also for what stands on the command line and would do nothing; what does something is
    not known of settings that are not `decided` yet.
    """
    found = {field.name: values.pop(field.name) for field in fields(cls) if field.name in values}
    config = from_dict(cls, found)
    if decided:
        refuse_idle(config, typed())
    return config


def typed() -> set[str]:
    """Return the names of the running command's parameters that stand on the command line."""
    ctx = click.get_current_context()
    source = ctx.get_parameter_source
    return {name for name in ctx.params if source(name) is ParameterSource.COMMANDLINE}


def refuse_idle_options() -> None:
    """Refuse options of the running command that were typed and do nothing without others.

    An empty name is refused for itself. Raises ConfigError.
    """
    ctx = click.get_current_context()
    given = typed()
    for param in ctx.command.get_params(ctx):
        if isinstance(param, Option) and param.name in given:
            needs = [need for need in param.needs.split() if ctx.params[need.partition("=")[0]] != ""]
            refuse_idle_one(param.name, " ".join(needs), param.without, ctx.params, _words)


def _words(other: str, wanted: str) -> str:
    """Name an argument, or an option to add."""
    for param in click.get_current_context().command.params:
        if param.name == other and isinstance(param, click.Argument):
            return wanted or param.human_readable_name
    return option_words(other, wanted)


def _parameter(field: Field[Any], group: str) -> dict[str, Any]:
    name, m = option_name(field.name), field.metadata
    kind = plain_type(field.type)
    default = None if field.default is MISSING else field.default
    help, _, words = m["help"].removesuffix("]").partition("[default: ")
    if default is None:
        words = words or m["off"]
    out: dict[str, Any] = {"names": [name, field.name], "help": _sentence(help.rstrip()), "group": group}
    if words:
        out["show_default"] = words
    if m["metavar"]:
        out["metavar"] = m["metavar"]
    if m["flag"]:
        return out | {"is_flag": True}
    if kind is bool:
        return out | {"names": [f"{name}/--no-{name[2:]}", field.name], "default": default}
    if get_args(kind) == (str, ...):
        return out | {"multiple": True, "default": default}
    if isinstance(default, tuple):
        default = ",".join(map(str, default))  # as it is typed
    return out | {"default": default, "type": click_type(kind, m)}


def _sentence(text: str) -> str:
    """Help texts begin with a capital letter and end with a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _to_messages(ctx: click.Context, param: click.Parameter, quiet: bool) -> Messages:
    ctx.ensure_object(Session).quiet = quiet
    return Messages(quiet, hints=ctx.obj.take is None)


def _to_results(ctx: click.Context, param: click.Parameter, as_json: bool) -> Results:
    ctx.ensure_object(Session).json = as_json
    return Results(as_json, ctx.obj.take)


def _set_threads(ctx: click.Context, param: click.Parameter, n: int | None) -> None:
    if not ctx.resilient_parsing and ctx.ensure_object(Session).limits(n):
        from featlearn.jobs.resources import use_threads

        use_threads(n)


def _set_max_memory(ctx: click.Context, param: click.Parameter, n: int | None) -> None:
    if not ctx.resilient_parsing and ctx.ensure_object(Session).limits(n):
        from featlearn.jobs.resources import set_max_memory

        set_max_memory(n)


def common(*decorators: Decorator) -> Decorator:
    """Several shared options at once, in that order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for one in reversed(decorators):
            function = one(function)
        return function

    return decorate


def output(help: str, required: bool = True, default_words: str | None = None) -> Decorator:
    """-o; commands say what goes there."""
    shown = {"show_default": default_words} if default_words else {}
    return option("-o", "--output", metavar="PATH", required=required, help=help, group="Output", **shown)


def force_of(needs: str = "") -> Decorator:
    """--force, which does nothing where the output that it `needs` is not asked for."""
    words = "Replace the output if it exists."
    return option("--force", is_flag=True, help=words, group="Output", show_default=False, needs=needs)


force = force_of()
resume = option(
    "--resume",
    is_flag=True,
    help="Go on with an unfinished run of this output; with --force start anew where it is another.",
    group="Output",
)
seed = settings_options(Seed)
threads = option(
    "--threads",
    type=Whole(1, 1024),
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
quiet = option(
    "--quiet",
    "-q",
    "messages",
    is_flag=True,
    callback=_to_messages,
    show_default=False,
    help="Print only errors on stderr.",
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


running = common(threads, max_memory, quiet, as_json)
"""The options of every command that reads files."""


def paths(name: str, required: bool = True, many: bool = False, metavar: str | None = None) -> Decorator:
    """A positional argument of one or several paths, kept as given (also names that are not valid text)."""
    return click.argument(
        name, cls=Argument, metavar=metavar, required=required, nargs=-1 if many else 1, type=click.Path()
    )
