"""featlearn sweep: learns a model in many settings."""

from typing import Any

import click

from featlearn import signals
from featlearn.cli.model_options import model_option
from featlearn.cli.options import (
    collect,
    common,
    force,
    output,
    paths,
    running,
    settings_options,
)
from featlearn.cli.output import Messages, Results
from featlearn.cli.train_options import TrainCommand, collect_cutting, collect_learning, config, init_from
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.sweep_settings import Search


@click.command("sweep", cls=TrainCommand, most_used="model set_ samples seeds jobs output")
@paths("dataset")
@model_option("learn", required=True)
@init_from
@settings_options(Search, "Sweep")
@common(output("Folder for the models and their table."), force)
@settings_options(RunSettings, "Output", leave_out=("seed", "dtype", "log"))
@config
@common(settings_options(RunSettings, leave_out=("checkpoint_every", "log", "keep_optimizer")), running)
def command(model: str, messages: Messages, results: Results, **options: Any) -> None:
    """Learn a model in many settings, several runs at a time, and say which are best.

    Each run is one of featlearn train, with the options given here and what --set varies; its model is an
    ordinary one, FOLDER/k=25_lr=0.1_seed=0_3fa81c0e.h5, where the last digits are of all its settings and its
    data. table.csv and table.json in that folder hold a row a model, of all sweeps made there.

    The same command again makes no run twice: it goes on with those that were stopped or killed, and so
    does one with more values. A run that fails ends no other; the exit code is 1 then. --force makes anew
    what can neither be used nor gone on with. Settings are ranked by the mean over their seeds.

    \b
    Examples:
      featlearn sweep patches.h5 --model k-sparse --set k=10,25,40 --set lr=.1,.3 --seeds 3 -o runs
      featlearn sweep patches.h5 --model rbm --set lr=.001..0.05 --samples 20 --validation .1 -o rates
    """
    from featlearn.jobs.sweep import sweep

    settings = {"search": collect(Search, options, decided=False)} | collect_learning(
        model, options, decided=False
    )
    done = sweep(
        **settings,
        **collect_cutting(options),
        **options,
        progress=messages.progress,
        say=messages.say,
        should_stop=lambda: signals.noted() is not None,
    )
    signals.check()
    if results.as_json:
        results.show(done.report())
    elif done.ranking:
        results.table("ranking", done.ranking)
    if done.failed:
        messages.say(f"{len(done.failed)} of {len(done.failed) + done.runs} runs failed")
        raise click.exceptions.Exit(1)
