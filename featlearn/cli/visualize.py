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

TILES = "what=filters|patches"  # what has tiles


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
    needs="what=filters",
    help="The model whose codes FILE has learned from: draw FILE's filters as sums of its filters. Again for each "
    "model further down.",
)
@option(
    "--sort",
    type=click.Choice(["trained", "norm", "use"]),
    default="trained",
    needs="what=filters",
    help="Order of the filters.",
)
@option(
    "--data",
    metavar="DATASET",
    needs="sort=use",
    help="The data set whose mean activations --sort use goes by.",
)
@option(
    "--contrast",
    type=click.Choice(["filter", "common"]),
    show_default="filter; pixels have their own",
    needs=TILES,
    help="Scale each tile by its own largest value, or all by one.",
)
@option(
    "--columns",
    type=click.IntRange(1, 10_000),
    show_default="nearly square",
    needs=TILES,
    help="Tiles in a row.",
)
@option(
    "--scale",
    type=click.IntRange(1, 64),
    show_default="by size",
    needs=TILES,
    help="Screen pixels to a pixel.",
)
@option(
    "--count",
    type=click.IntRange(1, 100_000),
    show_default="all filters; 100 patches",
    needs=TILES,
    help="How many filters, the first of their order, or how many patches.",
)
@common(
    output("Picture to write; - is stdout.", required=False, default_words="FILE with the suffix .png"), force
)
@common(threads, max_memory, quiet, as_json)
def command(words: Words, results: Results, **settings: Any) -> None:
    """Draw filters, patches or the learning curve as a picture.

    The suffix of --output says its format: .png or .tif, of a curve also .pdf or .svg.

    Filters are drawn in pixel space; mid-grey is weight zero. So are preprocessed patches, but those whose
    values begin at zero are pixels: 0 is black and 1 white. The filters of a model that has learned from
    codes come to pixel space with --through: as the sums of the lower model's filters, weighted by its own
    (Lee, Ekanadham & Ng, NIPS 2007).

    \b
    Examples:
      featlearn visualize rbm-l1.h5
      featlearn visualize rbm-l1.h5 --what curve -o curve.pdf
      featlearn visualize third.h5 --through second.h5 --through first.h5
    """
    from featlearn.cli.drawing import Request, draw

    draw(Request(**settings), words, results)
