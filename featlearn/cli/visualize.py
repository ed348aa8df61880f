"""featlearn visualize: pictures of filters, patches and learning curves."""

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
    threads,
)
from featlearn.cli.report import Results, Words


@command_named("visualize")
@paths("file")
@option(
    "--what",
    type=click.Choice(["filters", "curve", "patches"]),
    show_default="filters of a model, patches of a data set",
    help="What to draw.",
)
@option(
    "--through",
    multiple=True,
    metavar="MODEL",
    help="The model whose codes FILE has learned from: draw FILE's filters as sums of its filters. Again for each "
    "model further down.",
)
@option("--sort", type=click.Choice(["trained", "norm", "use"]), default="trained", help="Order of the filters.")
@option("--data", metavar="DATASET", help="The data set whose mean activations --sort use goes by.")
@option(
    "--contrast",
    type=click.Choice(["filter", "common"]),
    default="filter",
    help="Scale each filter by its own largest weight, or all by one.",
)
@option("--columns", type=click.IntRange(1, 10_000), show_default="nearly square", help="Tiles in a row.")
@option("--scale", type=click.IntRange(1, 64), show_default="by size", help="Screen pixels to a pixel.")
@option("--count", type=click.IntRange(1, 100_000), default=100, help="How many patches of a data set.")
@common(output("Picture to write; - is stdout.", required=False, default_words="FILE with the suffix .png"), force)
@common(threads, max_memory, quiet, as_json)
def command(words: Words, results: Results, **settings: Any) -> None:
    """Draw filters, patches or the learning curve as a picture (PNG).

    Filters are drawn in pixel space; mid-grey is weight zero. Those of a model that has learned from codes come there
    with --through: as the sums of the lower model's filters, weighted by its own (Lee, Ekanadham & Ng, NIPS 2007).

    \b
    Examples:
      featlearn visualize rbm-l1.h5
      featlearn visualize rbm-l1.h5 --what curve -o curve.png
      featlearn visualize third.h5 --through second.h5 --through first.h5
    """
    from featlearn.cli.drawing import Request, draw

    draw(Request(**settings), words, results)
