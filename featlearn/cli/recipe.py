"""featlearn recipe: published experiments, made again."""

from collections.abc import Sequence

import click

from featlearn.cli.options import command_named, common, force_of, option, paths, running
from featlearn.cli.output import Messages, Results, Session
from featlearn.cli.parameter_types import Choice
from featlearn.cli.parameters import Argument
from featlearn.cli.recipe_words import listed, shown, told
from featlearn.errors import ConfigError


@command_named("recipe", most_used="data output")
@click.argument("action", cls=Argument, type=Choice(["list", "show", "run"]))
@paths("name", required=False)
@option(
    "--data", multiple=True, metavar="FOLDER",
    help="Where the data are: in this folder or a folder in it; or NAME=PATH. Again for several.",
    show_default="the working directory", needs="action=show|run",
)  # fmt: skip
@option(
    "-o", "--output", metavar="FOLDER", group="Output", needs="action=run",
    help="Folder for the files of the steps.", show_default="recipe-NAME",
)  # fmt: skip
@common(force_of("action=run"), running)
@click.pass_obj
def command(
    session: Session, action: str, name: str | None, data: Sequence[str], output: str | None, force: bool,
    messages: Messages, results: Results,
) -> None:  # fmt: skip
    """Make published experiments again: figures published, expected and found here, side by side.

    list tells which there are. show prints the commands of one, with its sources, to be copied and pasted.
    run makes it, in a folder of its own, and prints its figures; the exit code is 1 where one is out of the
    range that counts as reproduced. NAME may also be a file of your own, mine.toml; docs/recipes.md says how
    to write one.

    The same command again does nothing twice: it goes on where it was stopped, and what has changed since,
    in the recipe or in the data, is made anew with all that follows from it.

    \b
    Examples:
      featlearn recipe list
      featlearn recipe show blog
      featlearn recipe run demo
    """
    from featlearn.cli.steps import execute, files_of
    from featlearn.jobs.recipe import run_recipe
    from featlearn.jobs.recipe_file import read_recipe

    if action == "list":
        return listed(results, files_of)
    if name is None:
        raise ConfigError(
            f"recipe {action}: which one is missing; featlearn recipe list tells which there are"
        )
    recipe = read_recipe(name, files_of)
    if action == "show":
        return shown(recipe, data, results)
    done = run_recipe(
        recipe, output or f"recipe-{recipe.name}", data=data, force=force, say=messages.say,
        execute=lambda *words: execute(session, *words),
    )  # fmt: skip
    told(done, messages, results)
