"""featlearn reconstruct: what a model makes of its inputs."""

from typing import Any

import click

from featlearn.cli.options import (
    as_json,
    command_named,
    common,
    force,
    max_memory,
    max_pixels,
    option,
    output,
    paths,
    quiet,
    threads,
)
from featlearn.cli.report import Results, Words


@command_named("reconstruct")
@common(paths("model"), paths("input"))
@option(
    "--count",
    type=click.IntRange(1, 10_000),
    default=100,
    needs="input=data_set",
    help="How many patches of a data set to draw.",
)
@option(
    "--stride",
    type=click.IntRange(1),
    default=1,
    needs="input=photograph",
    help="Step between the patches of a photograph.",
)
@max_pixels()
@common(output("Picture to write, .png or .tif; - is stdout."), force, threads, max_memory, quiet, as_json)
def command(words: Words, results: Results, **settings: Any) -> None:
    """Show what a model makes of its inputs.

    INPUT is a data set: the picture shows inputs above their reconstructions, and the RMSE over all rows is
    printed. Or it is an image: its overlapping patches are reconstructed and averaged, and the PSNR is
    printed.

    \b
    Examples:
      featlearn reconstruct edges.h5 patches.h5 -o pairs.png
      featlearn reconstruct edges.h5 photo.jpg -o photo-again.png --stride 2
    """
    from featlearn.cli.reconstruction import Request, reconstruct

    reconstruct(Request(**settings), words, results)
