"""The command group.

A command's module is imported when it is used, so `featlearn --help` needs Click alone.
"""

import importlib

import click

from featlearn import __version__, signals
from featlearn.cli.help_page import WIDEST
from featlearn.cli.output import Session
from featlearn.errors import ConfigError, DataError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

COMMANDS = {  # in the order of use
    "extract-patches": "Cut patches out of images into a data set.",
    "train": "Learn features from a data set.",
    "sweep": "Learn a model with many settings, and rank them.",
    "recipe": "Reproduce published experiments, with their figures.",
    "finetune": "Learn classes with a net that starts from a model.",
    "classify": "Predict the classes of a data set.",
    "visualize": "Draw filters, patches or the learning curve as a picture.",
    "reconstruct": "Show what a model makes of its inputs.",
    "evaluate": "Measure models: errors, likelihoods, filter statistics.",
    "report": "Measure models, and write one page of HTML to share.",
    "encode": "Write the codes of a data set as a data set or a matrix.",
    "export": "Write a model for other programs, as ONNX or as arrays.",
    "sample": "Draw samples from a model.",
    "stack": "Put models together as one stack.",
    "check-gradients": "Check gradients against finite differences.",
    "info": "Show what is in a file, or how featlearn was built.",
    "cite": "Print the papers to cite for models, as BibTeX.",
    "completion": "Print the completion script of a shell.",
    "help": "Show the help page of a command.",
}

SHARED = ("extract-patches", "train", "sweep", "finetune", "evaluate", "report", "encode", "classify", "info")
"""Those that several processes, which mpiexec or srun has started, can run together."""

LEAST_MEMORY = 128 << 20


def _refuse_little_memory() -> None:
    """Libraries crash, or end the process, where the address space (ulimit -v) is too small to load them."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else -1
    if 0 <= limit < LEAST_MEMORY:
        raise DataError(
            f"out of memory: ulimit -v allows {limit >> 20} MB, loading the libraries "
            f"takes {LEAST_MEMORY >> 20}"
        )


class Commands(click.Group):
    """Finds the commands by COMMANDS; each module featlearn/cli/NAME.py has its own as `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        _refuse_little_memory()
        module = importlib.import_module(f"featlearn.cli.{cmd_name.replace('-', '_')}")
        signals.check()  # a signal that came while it was imported
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Commands,
    context_settings={
        "auto_envvar_prefix": "FEATLEARN",
        "help_option_names": ["-h", "--help"],
        "max_content_width": WIDEST,
    },
)
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
@click.version_option(__version__, "--version", prog_name="featlearn", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Learn visual features from images, without labels.

    \b
    Try:
      featlearn train --model rbm --decay l1
      featlearn visualize rbm-l1.h5

    Every option can also be set by an environment variable: --lr of train by FEATLEARN_TRAIN_LR.
    """
    ctx.ensure_object(Session).debug = debug
    name = ctx.invoked_subcommand
    if name not in SHARED and ctx.ensure_object(Session).ranks > 1:
        raise ConfigError(f"{name}: shares no work out over processes yet; start it without mpiexec or srun")
