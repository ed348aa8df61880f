"""featlearn help: the help page of a command."""

import click

from featlearn.cli.options import Command, paths
from featlearn.cli.output import Session


@click.command("help", cls=Command, context_settings={"ignore_unknown_options": True})
@paths("words", required=False, many=True, metavar="[COMMAND]")
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help page of a command, as featlearn COMMAND --help does; without one, that of featlearn.

    Options that a page depends on may follow: --model of train.

    \b
    Examples:
      featlearn help train
      featlearn help train --model k-sparse
    """
    from featlearn.cli.main import cli

    args = [*words, "--help"]
    with cli.make_context("featlearn", args, obj=ctx.ensure_object(Session)) as shown:
        cli.invoke(shown)
