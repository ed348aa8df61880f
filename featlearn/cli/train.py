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
)
from featlearn.cli.output import Messages, Results
from featlearn.cli.train_options import (
    TrainCommand,
    collect_cutting,
    collect_learning,
    config,
    init_from,
    recipe,
    show_trained,
    toml,
)
from featlearn.jobs.picture_settings import Watching
from featlearn.jobs.settings import RunSettings


@click.command("train", cls=TrainCommand, most_used="model hidden epochs lr decay output seed")
@paths("dataset", required=False)
@model_option("learn", required=True)
@init_from
@common(output("Model file to write.", required=False, default_words="MODEL-DECAY.h5"), force, resume)
@settings_options(RunSettings, "Output", leave_out=("seed", "dtype"))
@settings_options(Watching, "Output")
@common(config, recipe)
@option("--show-config", is_flag=True, help="Print the resolved settings as TOML and stop.")
@common(settings_options(RunSettings, leave_out=("checkpoint_every", "log", "keep_optimizer")), running)
def command(model: str, messages: Messages, results: Results, show_config: bool, **options: Any) -> None:
    """Learn features from a data set, or straight from images; without them, from dead-leaves images.

    DATASET is a file of featlearn extract-patches, or what that takes: a folder of images, a picture, an
    array, an IDX file. Then patches are cut in memory, as the options of that command say. featlearn train
    photos --help shows them, featlearn train --model rbm --help a model's own options.

    \b
    Examples:
      featlearn train --model rbm --decay l1
      featlearn train patches.h5 --model rbm --hidden 144 --sparsity-target 0.02 --lr 0.1 -o edges.h5
      featlearn train patches.h5 --recipe demo:edges -o edges-again.h5
      featlearn train photos --model k-sparse --size 12 --whiten zca
      featlearn train patches.h5 --model k-sparse --watch 1 --movie learning.gif
    """
    from featlearn.jobs.cutting import Cutting
    from featlearn.jobs.train import plan_training, train

    planned = collect_learning(model, options)
    planned |= {"say": messages.say, "no_retry": options.pop("no_retry", False)}
    planned |= {name: options.pop(name) for name in ("dataset", "init_from")}
    watching, cutting = collect(Watching, options), collect_cutting(options)
    if show_config:
        return click.echo(toml(plan_training(**planned, cutting=Cutting(**cutting))), nl=False)
    done = train(
        **planned,
        **cutting,
        watching=watching,
        **options,
        invocation=invocation(),
        progress=messages.progress,
        should_stop=lambda: signals.noted() is not None,
        should_save=signals.save_asked,
    )
    show_trained(done, messages, results)
