"""featlearn evaluate: measures of models on a data set."""

from typing import Any

import click

from featlearn.cli.measure_table import show_measures
from featlearn.cli.measures import measured, settings_of
from featlearn.cli.options import collect, common, force_of, option, running, seed, settings_options, typed
from featlearn.cli.output import Messages, Results
from featlearn.cli.train_options import EvaluateCommand
from featlearn.errors import ConfigError
from featlearn.jobs.evaluate_settings import Asked
from featlearn.jobs.picture_settings import Printed

EXPLAIN = "Say what each figure is: a line each, with unit, what is better, and source."
PLOT = "Picture to write: all models compared. Its suffix says the format: .png, .pdf, .svg or .tif."


@click.command("evaluate", cls=EvaluateCommand, most_used="only train likelihood per_class plot seed")
@measured
@settings_options(Asked, "Measures")
@common(
    option("--explain", is_flag=True, help=EXPLAIN, group="Measures", show_default=False),
    option("--plot", metavar="PATH", help=PLOT, group="Output"),
    settings_options(Printed, "Output", needs="plot"),
    force_of("plot"),
    seed,
    running,
)
def command(plot: str | None, explain: bool, messages: Messages, results: Results, **options: Any) -> None:
    """Measure models on a data set: errors, codes, activations, likelihoods, classifiers, filters; one
    column per model, with units and an arrow to what is better. --only measures some of them alone.

    The data set goes through the preprocessing that each model was trained with; errors are in units of its
    result, likelihoods and free energies are means in nats per row. Beside an estimate stand the ends of its
    interval of three standard errors, how many chains it is worth, and the estimate on the way back, whose
    error has the other sign; the names of estimates that do not bear each other out, or rest on a few chains,
    begin with unreliable_. Of labelled data sets it adds how far single units tell the classes (selectivity,
    purity). docs/evaluation.md explains each measure.

    --train adds the free-energy gap to that data set and, when both are labelled, the errors that softmax
    regression makes on this data set after it has learned that one: from codes (classifier_error) and from
    the inputs (raw_error). With --per-class it learns that many rows of each class instead, the same
    ones for all models, in --draws random draws: mean and standard deviation of the errors. --finetune adds
    what nets come to that learn these same rows (finetuned_error): each model with softmax upon its layers,
    and with --random the same net from random weights.

    --plot draws RMSE against bits per pixel and, with --per-class, errors against labels.

    \b
    Examples:
      featlearn evaluate rbm-l1.h5 patches.h5
      featlearn evaluate none.h5 l1.h5 l2.h5 patches.h5 --json
      featlearn evaluate rbm.h5 test.h5 --only rmse,code --explain
      featlearn evaluate rbm.h5 test.h5 --train digits.h5 --likelihood auto
      featlearn evaluate a.h5 b.h5 test.h5 --train digits.h5 --per-class 10,100 --plot ab.png
      featlearn evaluate dbn.h5 test.h5 --train digits.h5 --per-class 10 --finetune --random relu
    """
    from featlearn.jobs.evaluate import evaluate

    printed, asked = collect(Printed, options), collect(Asked, options)
    if explain and results.as_json:
        raise ConfigError("--explain: is for people, and --json for programs; leave one of them out")
    if plot == "-":
        raise ConfigError("--plot -: standard output is the table's; name a file for the picture")
    done = evaluate(
        **settings_of(options),
        plot=plot,
        printed=printed,
        asked=asked,
        given=typed(),
        say=messages.say,
        progress=messages.progress,
    )
    show_measures(done.models, explain, results)
