"""featlearn stack: models put together as one."""

from typing import Any

from featlearn.cli.options import command_named, common, force, invocation, output, paths, running
from featlearn.cli.output import Messages, Results


@command_named("stack")
@paths("models", many=True, metavar="MODEL...")
@common(output("Model file to write."), force, running)
def command(messages: Messages, results: Results, **options: Any) -> None:
    """Put models together as one stack, the lowest one first.

    Each must have learned from the codes that the one before it gives (featlearn encode); its file says
    so. featlearn train --model stack learns all layers in one command.

    \b
    Examples:
      featlearn stack first.h5 second.h5 -o deep.h5
    """
    from featlearn.jobs.stack import stack

    done = stack(**options, invocation=invocation())
    messages.say_next(done.next)
    results.show(done.report())
