"""A wrong command line: what is wrong with it and what to write in its place, in one line."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import click

from featlearn.cli import synonyms
from featlearn.cli.main import COMMANDS, cli
from featlearn.cli.model_options import MODEL, MODEL_CLASS, ModelCommand
from featlearn.cli.options import ARGS, output_meant, settings_parameters
from featlearn.cli.output import Session
from featlearn.cli.parameter_types import plain_form
from featlearn.errors import show
from featlearn.models import model_class, model_ids
from featlearn.settings import option_name

ALIKE = 0.75
"""How alike a word and one that is suggested for it are, at least."""
WANTED = {
    "dataset": "data set",
    "model": "model",
    "models": "model",
    "inputs": "images",
    "input": "data set or photograph",
    "files": "model or data set",
    "shell": "shell",
    "action": "action",
}
"""What an argument is, by its name."""
EXTRA, UNKNOWN = r"Got unexpected extra arguments? \((.*)\)", r"No such command '(.*)'\."
"""How Click says these two, for which it has no class of errors in all its versions."""
MANY = 5
"""Models that an option belongs to, beyond which they are not listed."""


def usage_words(error: click.UsageError) -> str:
    """Return what a usage error is, with the remedy where one is known."""
    ctx = error.ctx
    if ctx is not None and isinstance(error, click.NoSuchOption):
        return _no_option(ctx, error.option_name)
    if ctx is not None and isinstance(error, click.MissingParameter) and error.param is not None:
        return _missing(ctx, error.param)
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{error.param.get_error_hint(ctx)}: {error.message.rstrip('.')}"
    if ctx is not None and isinstance(error, click.BadOptionUsage):
        return _no_value(ctx, error.option_name)
    for pattern, words in {EXTRA: _too_many, UNKNOWN: _no_command}.items():
        if ctx is not None and (found := re.fullmatch(pattern, error.message, re.DOTALL)):
            return words(ctx, found[1])
    return error.format_message().rstrip(".")


def _no_command(ctx: click.Context, name: str) -> str:
    forms = {plain_form(one): one for one in COMMANDS}
    word, quoted = plain_form(name), shlex.quote(name)
    if meant := forms.get(word) or synonyms.COMMANDS.get(word):
        return f"{show(name)}: no such command; use {ctx.command_path} {meant}"
    if os.path.isdir(name):
        remedy = f"use {ctx.command_path} extract-patches {quoted} -o patches.h5"
        return f"{show(name)}: is a folder, wanted a command; {remedy}"
    if os.path.isfile(name):
        return f"{show(name)}: is a file, wanted a command; use {ctx.command_path} info {quoted}"
    near = get_close_matches(word, [*forms, *synonyms.COMMANDS], 1, 0.6)
    if near:
        meant = forms.get(near[0]) or synonyms.COMMANDS[near[0]]
        return f"{show(name)}: no such command; did you mean {meant}?"
    return f"{show(name)}: no such command; {ctx.command_path} --help lists them"


def _no_option(ctx: click.Context, name: str) -> str:
    """Say what was meant: an option of this command, of a model, of another command, or one that is alike."""
    if not name.startswith("--"):  # -lr is read as -l -r
        argv = ctx.ensure_object(Session).argv
        name = next((arg.partition("=")[0] for arg in argv if arg.startswith(name)), name)
    word = plain_form(name.lstrip("-"))
    own = _forms(ctx)
    remedy = _remedy(ctx, word, own)
    if remedy.startswith(f"{name} belongs"):
        return remedy
    near = get_close_matches(word, [*own, *synonyms.OPTIONS], 1, ALIKE) if len(word) > 2 else []
    if not remedy and near:
        remedy = f"did you mean {own[near[0]]}?" if near[0] in own else _remedy(ctx, near[0], own)
    return f"{show(name)}: no such option; {remedy or f'{ctx.command_path} --help lists them'}"


def _remedy(ctx: click.Context, word: str, own: dict[str, str]) -> str:
    if word in own:
        return f"use {own[word]}"
    if ctx.command is cli and word in COMMANDS:
        return f"use {ctx.command_path} {word}"
    meant = synonyms.OPTIONS.get(word, ())
    for one in meant:
        if not one.startswith("--"):
            return one
        if plain_form(one.split()[0].lstrip("-")) in own:
            return f"use {one}"
    owners = (_owner(ctx, plain_form(one.split()[0].lstrip("-"))) for one in (word, *meant))
    return next(filter(None, owners), "")


def _owner(ctx: click.Context, word: str) -> str:
    """Say to which models or commands an option belongs; "" if to none."""
    options = {id: _settings(id)[word] for id in model_ids() if word in _settings(id)}
    models = "--model NAME, such as rbm" if len(options) > MANY else f"--model {_listed(list(options))}"
    name = next(iter(options.values()), "")
    if options and isinstance(ctx.command, ModelCommand):
        unnamed = ctx.meta.get(MODEL_CLASS) is None
        return f"{name} belongs to {models}" + ("; name the model, too" if unnamed else "")
    forms = {command: _forms(_context(command)) for command in COMMANDS}
    commands = [command for command in COMMANDS if word in forms[command]]
    if commands:
        where = " and stands behind the command" if ctx.command is cli else ""
        return f"{forms[commands[0]][word]} belongs to featlearn {_listed(commands)}{where}"
    return f"{name} belongs to featlearn train {models}" if options else ""


def _settings(id: str) -> dict[str, str]:
    """The options of a model by their plain forms."""
    names = [parameter["names"] for parameter in settings_parameters(model_class(id).Config, "")]
    return {plain_form(field): option_name(field) for _, field in names}


def _context(name: str) -> click.Context:
    group = click.Context(cli, **cli.context_settings)
    command = cli.get_command(group, name)
    assert command is not None
    ctx = click.Context(command, group, name)
    if isinstance(command, ModelCommand):
        ctx.meta[MODEL] = command.offered(None)
    return ctx


def _forms(ctx: click.Context) -> dict[str, str]:
    """The long options of a command by their plain forms."""
    options = (param for param in ctx.command.get_params(ctx) if isinstance(param, click.Option))
    names = (name for option in options for name in (*option.opts, *option.secondary_opts))
    return {plain_form(name.lstrip("-")): name for name in names if name.startswith("--")}


def _missing(ctx: click.Context, param: click.Parameter) -> str:
    if isinstance(param, click.Option):
        name = param.opts[0]
        words = _positional(ctx)
        if param.name == "output" and words[1:] and (meant := output_meant(ctx.command, words[-1])):
            return f"{name}: is missing; {meant}"
        example = " such as rbm or k-sparse" if name == "--model" else ""
        return f"{name}: is missing; add {name} {param.metavar}{example}"
    what = WANTED.get(param.name or "", param.human_readable_name)
    dataset = _parsed(ctx)[0].get("dataset")
    if param.name == "models" and isinstance(dataset, str):
        what = f"data set given beside {show(dataset)}"
    else:
        what += " given"
    return f"no {what}; it is {_shape(ctx)}"


def _parsed(ctx: click.Context) -> tuple[Mapping[str, Any], Sequence[str]]:
    """Return what stands on the command line, by parameters' names, and what is left over."""
    given, left, _ = ctx.command.make_parser(ctx).parse_args(list(ctx.meta[ARGS]))
    return given, left


def _positional(ctx: click.Context) -> list[str]:
    """Return the words of the command line that are no options, in their order."""
    given, left = _parsed(ctx)
    arguments = [param for param in ctx.command.params if isinstance(param, click.Argument)]
    found = [given.get(param.name or "") for param in arguments]
    named = [word for one in found for word in (one if isinstance(one, tuple | list) else [one])]
    return [word for word in (*named, *left) if isinstance(word, str)]


def _no_value(ctx: click.Context, name: str) -> str:
    for param in ctx.command.get_params(ctx):
        if name in (*param.opts, *param.secondary_opts) and isinstance(param, click.Option):
            if param.is_flag:
                return f"{name}: takes no value"
            return f"{name}: needs a value, {name} {param.metavar or 'TEXT'}"
    return f"{name}: needs a value"


def _too_many(ctx: click.Context, words: str) -> str:
    named = any(arg.startswith(("-o", "--output")) for arg in ctx.meta[ARGS])
    if not named and (meant := output_meant(ctx.command, words)):
        return f"{show(words)}: one argument too many; {meant}"
    return f"{show(words)}: more than {_shape(ctx)} takes"


def _shape(ctx: click.Context) -> str:
    """featlearn evaluate MODEL... DATASET"""
    return " ".join([ctx.command_path, *ctx.command.collect_usage_pieces(ctx)[1:]])


def _listed(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
