"""Commands whose options follow from the model that --model names."""

import os
from typing import Any

import click

from featlearn.cli.options import Command, Decorator, option, settings_option_objects
from featlearn.cli.parameter_types import Choice
from featlearn.models import model_class, model_ids

MODEL = "featlearn.model"
MODEL_CLASS = "featlearn.model_class"


class ModelCommand(Command):
    """Offers the model's own options once --model is given; they stand before --help."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        *own, help = super().get_params(ctx)
        return [*own, *ctx.meta.get(MODEL, []), help]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[MODEL_CLASS] = self.named(ctx, args)
        ctx.meta[MODEL] = self.offered(ctx.meta[MODEL_CLASS])
        return super().parse_args(ctx, args)

    def named(self, ctx: click.Context, args: list[str]) -> Any:
        """The class of the model that is asked for; None where none is. Raises BadParameter."""
        name = (
            peek(args, "--model")
            or os.environ.get(f"{ctx.auto_envvar_prefix}_MODEL")
            or self.default_model(ctx, args)
        )
        if name is None:
            return None
        (param,) = (param for param in self.params if param.name == "model")
        try:
            return model_class(param.type_cast_value(ctx, name))
        except click.BadParameter:
            if ctx.resilient_parsing:  # a shell completes what is not finished
                return None
            raise

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the papers that the model is of."""
        cls = ctx.meta.get(MODEL_CLASS)
        if cls is not None and cls.papers:
            with formatter.section("Papers"):
                formatter.write_dl([(paper.short, paper.full) for paper in cls.papers])

    def default_model(self, ctx: click.Context, args: list[str]) -> str | None:
        """Who names the model if neither the command line nor the environment does."""
        return None

    def offered(self, cls: Any) -> list[Any]:
        """The options to add; `cls` is None where no known model is named."""
        return [] if cls is None else list(settings_option_objects(cls.Config, f"Model {cls.id}"))


def model_option(verb: str, required: bool = False) -> Decorator:
    """Return --model, in the words of what is done with it."""
    words = f"What to {verb}; --model NAME --help shows its own options."
    return option("--model", metavar="NAME", type=Choice(model_ids()), required=required, help=words)


def peek(args: list[str], name: str) -> str | None:
    """The value of an option before anything is parsed; the last one counts."""
    found = None
    for i, arg in enumerate(args):
        if arg == name and i + 1 < len(args):
            found = args[i + 1]
        elif arg.startswith(name + "="):
            found = arg[len(name) + 1 :]
    return found
