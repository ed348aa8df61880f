"""featlearn completion: the script by which a shell completes commands, options, models and file names."""

import click
from click.shell_completion import get_completion_class

from featlearn.cli.options import Command
from featlearn.cli.parameter_types import Choice
from featlearn.cli.parameters import Argument


@click.command("completion", cls=Command)
@click.argument("shell", cls=Argument, metavar="bash|zsh|fish", type=Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script by which a shell completes commands, options, models and file names.

    In ~/.bashrc or ~/.zshrc write: eval "$(featlearn completion bash)", with zsh for zsh. For fish write the
    script to ~/.config/fish/completions/featlearn.fish.

    \b
    Examples:
      featlearn completion bash
      featlearn completion fish
    """
    from featlearn.cli.main import cli

    completer = get_completion_class(shell)
    assert completer is not None
    made = completer(cli, {}, "featlearn", "_FEATLEARN_COMPLETE")
    click.echo(made.source_template % made.source_vars())
