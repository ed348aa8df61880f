"""Commands that another command runs: the steps of a recipe, and the settings that one of them says."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from featlearn.cli.output import Session
from featlearn.errors import ConfigError
from featlearn.jobs.recipe_file import StepFiles, read_recipe
from featlearn.jobs.resources import limits

PREFIX = "FEATLEARN_"
KEPT = f"{PREFIX}ISA"


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Within, no variable of the environment sets an option: a recipe says all that it is.

    What is said there of threads and memory ends with it.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith(PREFIX) and name != KEPT}
    for name in kept:
        del os.environ[name]
    try:
        with limits():
            yield
    finally:
        os.environ.update(kept)


def _context(words: Sequence[str], session: Session) -> click.Context:
    """Parse a command line, and run nothing. Raises click's errors."""
    from featlearn.cli.main import cli

    outer = click.Context(cli, info_name="featlearn", obj=session, **cli.context_settings)
    name, command, rest = cli.resolve_command(outer, list(words))
    assert command is not None
    if name == "recipe":
        raise click.UsageError("a recipe is no step of a recipe", outer)
    return command.make_context(name, rest, parent=outer)


def parsed(words: Sequence[str]) -> click.Context:
    """Return the context of a command line that is not run. Raises ConfigError for one that is wrong."""
    if not words:
        raise ConfigError("the command is missing")
    if {"-h", "--help"} & set(words):
        raise ConfigError("prints a help page, and does nothing")
    for word in words:
        if word.partition("=")[0] in ("--config", "--recipe"):
            raise ConfigError(f"{word}: a step says its settings itself; leave it out")
    try:
        with own_settings():
            return _context(words, Session(take=lambda values: None))
    except click.ClickException as error:
        raise ConfigError(" ".join(error.format_message().split())) from error


def typed_in(context: click.Context) -> dict[str, Any]:
    """Return the values that a command line says, by the names of its parameters."""
    source = context.get_parameter_source
    return {k: v for k, v in context.params.items() if source(k) is ParameterSource.COMMANDLINE}


def files_of(words: Sequence[str]) -> StepFiles:
    """Return what a command line writes. Raises ConfigError for one that is wrong."""
    context = parsed(words)
    outputs = [
        context.params[param.name]
        for param in context.command.get_params(context)
        if getattr(param, "group", "") == "Output" and param.name in ("output", "plot", "log", "movie")
    ]
    return StepFiles(tuple(path for path in outputs if path), "resume" in context.params)


def execute(session: Session, folder: str, words: Sequence[str], more: Sequence[str]) -> Mapping[str, Any]:
    """Run a command line in a folder; its results. Raises what it raises.

    `more` are words that are no settings: they do not stand in the provenance of what it writes.
    """
    found: dict[str, Any] = {}
    inner = replace(session, argv=words, take=found.update)
    as_outside = [*(["--json"] if session.json else []), *(["--quiet"] if session.quiet else [])]
    with contextlib.chdir(folder), own_settings(), _context([*words, *more, *as_outside], inner) as context:
        context.command.invoke(context)
    return found


def settings_of_step(said: str, kind: str) -> dict[str, Any]:
    """Return what the step of a recipe says, NAME:STEP, or NAME where one step alone is of that kind.

    The values are as in a settings file. Raises DataError, ConfigError.
    """
    name, _, step = said.partition(":") if not os.path.exists(said) else (said, "", "")
    recipe = read_recipe(name, files_of)
    steps = [one for one in recipe.steps if one.words[0] == kind]
    if not step and len(steps) != 1:
        choices = ", ".join(f"{name}:{one.name}" for one in steps)
        raise ConfigError(
            f"--recipe {name}: " + (f"say which step: {choices}" if steps else f"no step is of {kind}")
        )
    found = recipe.step(step) if step else steps[0]
    if found.words[0] != kind:
        raise ConfigError(f"--recipe {said}: that step is of {found.words[0]}, wanted one of {kind}")
    values = typed_in(parsed(found.words))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
