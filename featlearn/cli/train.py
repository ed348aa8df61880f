"""featlearn train: options from the training's and the model's settings, checked, and handed to a run."""

import dataclasses
import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from typing import Any

import click

from featlearn.cli.model_options import ModelCommand, peek
from featlearn.cli.options import (
    Number,
    Option,
    as_json,
    collect,
    common,
    dtype,
    force,
    max_memory,
    option,
    output,
    paths,
    quiet,
    seed,
    settings_option_objects,
    threads,
    wanted_in_a_file,
)
from featlearn.cli.report import Results, Words
from featlearn.errors import ConfigError, DataError, reason, show
from featlearn.models import model_class, model_ids
from featlearn.settings import option_name, to_dict

NOT_IN_TOML = {
    *(
        "dataset",
        "output",
        "config",
        "show_config",
        "resume",
        "force",
        "words",
        "results",
        "help",
        "threads",
        "max_memory",
    )
}


class TrainCommand(ModelCommand):
    """Takes settings from a TOML file too, the model's name among them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        path = peek(args, "--config")
        if path is None:
            path = os.environ.get(f"{ctx.auto_envvar_prefix}_CONFIG") or None
        ctx.default_map = _read_toml(path)
        cls = self.named(ctx, args)
        for key in ctx.default_map:
            _refuse_idle(cls, key, "--config: ")
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _refuse_idle(cls, error.option_name.lstrip("-").replace("-", "_"))
            raise

    def default_model(self, ctx: click.Context, args: list[str]) -> str | None:
        return (ctx.default_map or {}).get("model")

    def offered(self, cls: Any) -> list[Any]:
        from featlearn.training.config import TrainConfig, batch_in_words
        from featlearn.training.optim import rates_in_words

        if cls is None:
            return [*settings_option_objects(TrainConfig, "Training"), _no_retry()]
        words = {"lr": rates_in_words(cls), "batch_size": batch_in_words(cls)}
        words["decay_weight"] = ", ".join(
            f"{weight:g} for {name}" for name, weight in cls.defaults.decay_weights.items()
        )
        if cls.is_one_pass():
            words["batch_size"] = str(cls.defaults.batch_size)
        own = settings_option_objects(TrainConfig, "Training", cls.defaults.training, words)
        own.append(_no_retry())
        return [one for one in own if one.name not in _idle(cls)] + super().offered(cls)

    def make_parser(self, ctx: click.Context) -> Any:
        """Refuse unknown keys of the TOML file, and values of another type, before anything is parsed."""
        known = {param.name or "": param for param in self.get_params(ctx) if param.name not in NOT_IN_TOML}
        for key, value in (ctx.default_map or {}).items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                raise ConfigError(
                    f"--config: unknown key {key!r}" + (f"; did you mean {near[0]}?" if near else "")
                )
            if (wanted := wanted_in_a_file(known[key], value)) is not None:
                raise ConfigError(f"--config: {key}: got {repr(value)[:60]}, wanted {wanted}")
        return super().make_parser(ctx)


def _no_retry() -> Option:
    """--no-retry: no setting, for it changes nothing in what is learned."""
    from featlearn.training.optim import readers

    return Option(
        ["--no-retry"],
        is_flag=True,
        group="Training",
        needs="optimizer=" + "|".join(readers("lr")),
        without="lr",
        help="Do not begin again with half the default learning rate, twice at most, where it diverges early.",
    )


def _idle(cls: Any) -> set[str]:
    """The settings of the training that do nothing with a model; `cls` None: with one that is not named."""
    if cls is None or not cls.is_one_pass():
        return set()
    from featlearn.training.config import ONE_PASS, TrainConfig

    return {"no_retry"} | {field.name for field in dataclasses.fields(TrainConfig)} - set(ONE_PASS)


def _refuse_idle(cls: Any, name: str, place: str = "") -> None:
    """Raise ConfigError for a setting that a model has no use for."""
    if name in _idle(cls):
        raise ConfigError(
            f"{place}{option_name(name)}: does nothing with --model {cls.id}, which is learned exactly, in one pass "
            "over the data, and descends nothing; leave it out"
        )


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


@click.command("train", cls=TrainCommand)
@paths("dataset", required=False)
@option(
    "--model",
    type=click.Choice(model_ids()),
    required=True,
    help="What to learn; --model NAME --help shows more.",
)
@common(output("Model file to write.", required=False, default_words="MODEL-DECAY.h5"), force)
@option(
    "--resume",
    is_flag=True,
    help="Go on with an unfinished run of this output; with --force start anew where it is another.",
    group="Output",
)
@option(
    "--checkpoint-every",
    type=Number(0),
    default=60.0,
    metavar="SECONDS",
    help="How often to write OUTPUT.ckpt while training.",
    group="Output",
)
@option("--config", metavar="FILE.toml", help="Take settings from a file; options on the command line win.")
@option("--show-config", is_flag=True, help="Print the resolved settings as TOML and stop.")
@common(seed, dtype, threads, max_memory, quiet, as_json)
def command(
    dataset: str | None,
    model: str,
    output: str | None,
    words: Words,
    results: Results,
    show_config: bool,
    config: str | None,
    **options: Any,
) -> None:
    """Learn features from a data set made by extract-patches; without one, from dead-leaves images made on
    the spot.

    Adds the model's own options once --model is given: featlearn train --model rbm --help

    \b
    Examples:
      featlearn train --model rbm --decay l1
      featlearn train patches.h5 --model rbm --hidden 144 --target 0.02 --lr 0.1 -o edges.h5
    """
    from featlearn.cli.training_run import Request, make_plan, run
    from featlearn.training.config import TrainConfig

    ctx = click.get_current_context()
    cls = model_class(model)
    options = {**cls.defaults.training, **options}  # what is not offered has its default too
    training, settings = collect(TrainConfig, options), collect(cls.Config, options)
    request = Request(dataset, model, settings, training, output or _file_name(cls, training), **options)
    if not show_config:
        return run(request, words, results)
    plan = make_plan(request, words)
    resolved = {"model": model} | to_dict(plan.training) | to_dict(plan.config)
    click.echo(_toml({name: resolved.get(name, ctx.params.get(name)) for name in _names(ctx)}), nl=False)


def _file_name(cls: Any, training: Any) -> str:
    """MODEL.h5, and MODEL-DECAY.h5 with a decay that is not the model's own."""
    usual = training.decay in ("none", cls.defaults.training.get("decay"))
    return f"{cls.id}.h5" if usual else f"{cls.id}-{training.decay}.h5"


def _names(ctx: click.Context) -> list[str]:
    """The settings that a TOML file may hold, in the order of the help page."""
    return [
        param.name for param in ctx.command.get_params(ctx) if param.name and param.name not in NOT_IN_TOML
    ]


def _toml(settings: Mapping[str, Any]) -> str:
    """Return settings as TOML; what is None is left out, since None is what they are without being said."""
    return "".join(f"{key} = {_toml_value(value)}\n" for key, value in settings.items() if value is not None)


def _toml_value(value: Any) -> str:
    """Infinity, which --checkpoint-every may be, is no JSON."""
    return repr(value) if isinstance(value, float) else json.dumps(value)
