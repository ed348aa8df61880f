"""featlearn sample: what a model's Markov chain comes to."""

from typing import Any

import click

from featlearn.cli.options import (
    as_json,
    command_named,
    common,
    force,
    max_memory,
    option,
    output,
    paths,
    quiet,
    seed,
    threads,
)
from featlearn.cli.report import Results, Words


@command_named("sample")
@paths("model")
@option("--count", type=click.IntRange(1, 10_000), default=100, help="How many chains to run.")
@option("--steps", type=click.IntRange(1), default=1000, help="Steps of each chain.")
@option(
    "--every",
    type=click.IntRange(1),
    show_default="the last step alone",
    help="Draw all chains after each so many steps: one column a chain, one line a time, --data first.",
)
@option(
    "--data",
    metavar="DATASET",
    show_default="noise",
    help="Begin the chains at the first rows of this data set.",
)
@common(
    output("Picture to write, .png or .tif; - is stdout."), force, seed, threads, max_memory, quiet, as_json
)
def command(words: Words, results: Results, **settings: Any) -> None:
    """Draw samples from a model: the means that its Markov chains come to.

    \b
    Examples:
      featlearn sample rbm.h5 -o fantasies.png
      featlearn sample rbm.h5 --data test.h5 --count 10 --steps 1000 --every 100 -o chains.png
    """
    from featlearn.cli.sampling import Request, sample

    sample(Request(**settings), words, results)
