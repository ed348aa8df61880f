"""Options of train, finetune, evaluate and report: of trainings and models, and the TOML file for them."""

import difflib
import json
import os
import tomllib
from dataclasses import fields
from typing import Any

import click

from featlearn import signals
from featlearn.cli.model_options import ModelCommand, peek
from featlearn.cli.options import ARGS, Command, collect, option, settings_option_objects, typed
from featlearn.cli.output import Messages, Results
from featlearn.cli.parameter_types import wanted_in_a_file
from featlearn.cli.parameters import Option
from featlearn.errors import ConfigError, DataError, FeatlearnError, reason, show
from featlearn.jobs.finetune_settings import NOT_OF_FEW
from featlearn.jobs.settings import Images, RunSettings
from featlearn.models import model_class
from featlearn.settings import option_name, to_dict

UP_DOWN = "featlearn.up_down"
FILE = "featlearn.file"
NOT_IN_TOML = {
    *(
        "dataset",
        "output",
        "config",
        "recipe",
        "show_config",
        "resume",
        "force",
        "messages",
        "results",
        "help",
    ),
    *("threads", "max_memory"),
}


init_from = option(
    "--init-from",
    metavar="MODEL.h5",
    help="Begin at the weights of a model: one of its own kind, or any RBM or autoencoder, with its units.",
)
config = option(
    "--config", metavar="FILE.toml", expose_value=False,
    help="Take settings from a file; options on the command line win.",
)  # fmt: skip
recipe = option(
    "--recipe", metavar="NAME[:STEP]", expose_value=False,
    help="Take settings from a step of a recipe; those of --config and the command line win.",
)  # fmt: skip
"""Both are read by TrainCommand, before anything is parsed."""


class TrainCommand(ModelCommand):
    """Takes settings from a TOML file too, the model's name among them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        config, recipe = (_said(ctx, args, name) for name in ("config", "recipe"))
        ctx.default_map = self.of_recipe(recipe) | _read_toml(config)
        ctx.meta[FILE] = "--config: " if recipe is None else "--recipe: " if config is None else ""
        cls = self.named(ctx, args)
        for key in ctx.default_map:
            _refuse_idle(cls, key, ctx.meta[FILE])
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _refuse_idle(cls, error.option_name.lstrip("-").replace("-", "_"))
            raise

    def of_recipe(self, said: str | None) -> dict[str, Any]:
        """Return the settings of a recipe's step, NAME or NAME:STEP, as a file has them."""
        if said is None or "recipe" not in [param.name for param in self.params]:
            return {}
        from featlearn.cli.steps import settings_of_step

        return {k: v for k, v in settings_of_step(said, "train").items() if k not in NOT_IN_TOML}

    def default_model(self, ctx: click.Context, args: list[str]) -> str | None:
        return (ctx.default_map or {}).get("model")

    def offered(self, cls: Any) -> list[Any]:
        from featlearn.jobs.train_settings import TrainConfig, idle_settings, training_of, usual_in_words

        if cls is None:
            return [*settings_option_objects(TrainConfig, "Training"), no_retry(), *image_options(None)]
        words, idle = usual_in_words(cls), idle_settings(cls)
        own = settings_option_objects(training_of(cls), "Training", cls.defaults.training, words)
        own.append(no_retry())
        offered = [one for one in own if one.name not in idle]
        return offered + super().offered(cls) + image_options(cls)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show how images are cut where DATASET names some."""
        try:
            dataset = self.make_parser(ctx).parse_args(ctx.meta[ARGS])[0].get("dataset")
            images = isinstance(dataset, str) and _holds_images(dataset)
        except (click.UsageError, FeatlearnError):
            images = False
        for one in self.get_params(ctx):
            if images and isinstance(one, Option):
                one.hidden = False
        super().format_options(ctx, formatter)

    def make_parser(self, ctx: click.Context) -> Any:
        """Refuse unknown keys of the TOML file, and values of another type, before anything is parsed."""
        known = {param.name or "": param for param in self.get_params(ctx) if param.name not in NOT_IN_TOML}
        for key, value in (ctx.default_map or {}).items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ConfigError(f"{ctx.meta[FILE]}unknown key {key!r}{hint}")
            if (wanted := wanted_in_a_file(known[key], value)) is not None:
                raise ConfigError(f"{ctx.meta[FILE]}{key}: got {repr(value)[:60]}, wanted {wanted}")
        return super().make_parser(ctx)


class FinetuneCommand(Command):
    """Offers the settings of the net and its training, as --up-down has them; they stand before --help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[UP_DOWN] = "--up-down" in args
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from featlearn.jobs.finetune import learned_as

        *own, help = super().get_params(ctx)
        training, net = net_options(learned_as(ctx.meta.get(UP_DOWN, False)), "Training", "Net")
        return [*own, *training, no_retry(), *net, help]


class EvaluateCommand(Command):
    """Offers the settings of nets that learn few labels, and of their training."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from featlearn.models.network import Network

        *own, help = super().get_params(ctx)
        training, net = net_options(Network, "Fine-tuning", "Fine-tuning", needs="finetune")
        return [*own, *net, *training, help]


def net_options(
    cls: Any, of_training: str, of_net: str, needs: str = ""
) -> tuple[list[Option], list[Option]]:
    """Return the options of the training of a model that is fine-tuned, and its own, in groups so named."""
    from featlearn.jobs.train_settings import TrainConfig, usual_in_words
    from featlearn.models.settings.network import HiddenRegularization

    words, usual = usual_in_words(cls), cls.defaults.training
    training = settings_option_objects(TrainConfig, of_training, usual, words, needs)
    net = settings_option_objects(HiddenRegularization, of_net, needs=needs)
    idle = NOT_OF_FEW if needs else ("data_scale",)
    return [one for one in training if one.name not in idle], net


def image_options(cls: Any) -> list[Option]:
    """Return the options of how images are cut, hidden; without those that a model has of the same name."""
    from featlearn.jobs.extract_settings import Extraction, PreprocessSpec

    groups = ((Images, "Images"), (Extraction, "Patches"), (PreprocessSpec, "Preprocessing"))
    taken = {"seed"} | (set() if cls is None else {field.name for field in fields(cls.Config)})
    found = [one for kind, group in groups for one in settings_option_objects(kind, group)]
    for one in found:
        one.hidden = True
    return [one for one in found if one.name not in taken]


def collect_learning(model: str, options: dict[str, Any], decided: bool = True) -> dict[str, Any]:
    """Take what is learned and how out of a command's keyword arguments: model, training, config, run, given.

    `decided` is as of `collect`.
    """
    from featlearn.jobs.train_settings import training_of

    cls = model_class(model)
    kinds = {"training": training_of(cls), "config": cls.Config, "run": RunSettings}
    for name, value in cls.defaults.training.items():  # what is not offered has its default too
        options.setdefault(name, value)
    found = {name: collect(kind, options, decided) for name, kind in kinds.items()}
    return found | {"model": model, "given": typed()}


def collect_cutting(options: dict[str, Any]) -> dict[str, Any]:
    """Take the settings of how images are cut out of a command's keyword arguments; after all others."""
    from featlearn.jobs.extract_settings import Extraction, PreprocessSpec

    kinds = {"extraction": Extraction, "preprocess": PreprocessSpec, "images": Images}
    return {name: collect(kind, options, decided=False) for name, kind in kinds.items()}


def show_trained(done: Any, messages: Messages, results: Results) -> None:
    """Show what a training has made, with advice; end by a signal that came meanwhile."""
    from featlearn.jobs.advice import say_all

    signals.check()
    results.show(done.report())
    say_all(messages.say, done.advice)
    messages.say_next(done.next)


def no_retry() -> Option:
    """--no-retry: no setting, for it changes nothing in what is learned."""
    from featlearn.jobs.train_settings import RATE_NEEDED

    return Option(
        ["--no-retry"],
        is_flag=True,
        group="Training",
        needs=RATE_NEEDED,
        without="lr",
        help="Do not begin again with half the default learning rate, twice at most, "
        "where it diverges early.",
    )


def _holds_images(path: str) -> bool:
    from featlearn.jobs.cutting import holds_images  # which takes as long to load as all else of a page

    return holds_images(path)


def _refuse_idle(cls: Any, name: str, place: str = "") -> None:
    """Raise ConfigError for a setting that a model has no use for."""
    from featlearn.jobs.train_settings import idle_settings, idle_words

    if name in idle_settings(cls):
        raise ConfigError(place + idle_words(option_name(name), cls))


def _said(ctx: click.Context, args: list[str], name: str) -> str | None:
    """Return what an option says before anything is parsed, or its variable of the environment."""
    found = peek(args, f"--{name}")
    return os.environ.get(f"{ctx.auto_envvar_prefix}_{name.upper()}") or None if found is None else found


def _read_toml(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        with open(path, "rb") as stream:
            return {key.replace("-", "_"): value for key, value in tomllib.load(stream).items()}
    except OSError as error:
        raise DataError(f"--config {show(path)}: {reason(error)}") from error
    except (ValueError, RecursionError) as error:  # also of a number of more digits than Python reads
        raise DataError(f"--config {show(path)}: not a TOML file: {error}") from error


def toml(plan: Any) -> str:
    """Return the resolved settings of the running command as TOML, in the order of the help page.

    What is None is left out, since None is what it is without being said.
    """
    ctx = click.get_current_context()
    values = ctx.params | {"model": plan.model} | to_dict(plan.training) | to_dict(plan.config)
    left_out = set(NOT_IN_TOML)
    if plan.data.cut is None:
        left_out |= {one.name for one in image_options(model_class(plan.model))}
    else:
        values |= plan.data.cut.settings
    names = [param.name for param in ctx.command.get_params(ctx) if param.name not in left_out]
    return "".join(
        f"{name} = {_toml_value(values[name])}\n" for name in names if name and values.get(name) is not None
    )


def _toml_value(value: Any) -> str:
    """Infinity, which --checkpoint-every may be, is no JSON."""
    return repr(value) if isinstance(value, float) else json.dumps(value)
