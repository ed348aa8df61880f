"""featlearn train: learns a model from a data set."""

from typing import Any

import click

from featlearn import signals
from featlearn.cli.model_options import model_option
from featlearn.cli.options import (
    collect,
    common,
    force,
    invocation,
    option,
    output,
    paths,
    resume,
    running,
    settings_options,
    typed,
)
from featlearn.cli.output import Messages, Results
from featlearn.cli.train_options import TrainCommand, show_trained, toml
from featlearn.jobs.picture_settings import Watching
from featlearn.jobs.settings import RunSettings
from featlearn.models import model_class


@click.command("train", cls=TrainCommand)
@paths("dataset", required=False)
@model_option("learn", required=True)
@option(
    "--init-from",
    metavar="MODEL.h5",
    help="Begin at the weights of a model: one of its own kind, or any RBM or autoencoder, with its units.",
)
@common(output("Model file to write.", required=False, default_words="MODEL-DECAY.h5"), force, resume)
@settings_options(RunSettings, "Output", leave_out=("seed", "dtype"))
@settings_options(Watching, "Output")
@option("--config", metavar="FILE.toml", help="Take settings from a file; options on the command line win.")
@option("--show-config", is_flag=True, help="Print the resolved settings as TOML and stop.")
@common(settings_options(RunSettings, leave_out=("checkpoint_every", "log", "keep_optimizer")), running)
def command(
    model: str, messages: Messages, results: Results, show_config: bool, config: str | None, **options: Any
) -> None:
    """Learn features from a data set; without one, from dead-leaves images made on the spot.

    Adds the model's own options once --model is given: featlearn train --model rbm --help

    \b
    Examples:
      featlearn train --model rbm --decay l1
      featlearn train patches.h5 --model rbm --hidden 144 --sparsity-target 0.02 --lr 0.1 -o edges.h5
      featlearn train patches.h5 --model k-sparse --watch 1 --movie learning.gif
    """
    from featlearn.jobs.train import plan_training, train
    from featlearn.jobs.train_settings import training_of

    cls = model_class(model)
    options = {**cls.defaults.training, **options}  # what is not offered has its default too
    planned = {
        "model": model,
        "training": collect(training_of(cls), options),
        "config": collect(cls.Config, options),
    }
    planned["given"] = typed()
    planned |= {"run": collect(RunSettings, options), "no_retry": options.pop("no_retry", False)}
    planned |= {name: options.pop(name) for name in ("dataset", "init_from")} | {"say": messages.say}
    if show_config:
        return click.echo(toml(plan_training(**planned)), nl=False)
    done = train(
        **planned,
        watching=collect(Watching, options),
        **options,
        invocation=invocation(),
        progress=messages.progress,
        should_stop=lambda: signals.noted() is not None,
        should_save=signals.save_asked,
    )
    show_trained(done, messages, results)
