"""featlearn extract-patches: options, checked, and handed to an extraction."""

from typing import Any

import click

from featlearn.cli.extraction import Request, extract
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
    settings_options,
    threads,
)
from featlearn.cli.report import Results, Words
from featlearn.patches.preprocess import PreprocessSpec

NORMALIZE = {"normalize": "standardize; center with --whiten; none for whole images"}


class Size(click.ParamType):  # type: ignore[type-arg]
    """16, HEIGHTxWIDTH or whole -> (height, width) or "whole"."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int] | str:
        if value == "whole":
            return "whole"
        parts = str(value).split("x")
        if len(parts) > 2 or not all(part.isdecimal() and 0 < int(part) <= 65535 for part in parts):
            self.fail(f"{value!r} is not a size: 16, 8x12 (height x width) or whole", param, ctx)
        return int(parts[0]), int(parts[-1])


which_images = common(
    paths("inputs", required=False, many=True, metavar="INPUT..."),
    option("--files-from", metavar="FILE|-", help="Read more inputs from a list, one a line.", group="Images"),
    option("-0", "--null", is_flag=True, help="Names in that list end with NUL, as find -print0 does.", group="Images"),
    option("--color", type=click.Choice(["gray", "rgb"]), default="gray", help="Read images so.", group="Images"),
    option("--labels", metavar="FILE|folders", help="Labels: an IDX file, or the folders' names.", group="Images"),
    option("--first", type=click.IntRange(1), help="Use only the first so many of the images.", group="Images"),
    option("--strict", is_flag=True, help="An image that cannot be used is an error, not skipped.", group="Images"),
    option(
        "--images",
        type=click.IntRange(1, 65535),
        show_default="a thousandth of --count, 8 to 64",
        help="How many 256x256 images to generate.",
        group="Images",
    ),
)
which_patches = common(
    option(
        "--size",
        type=Size(),
        metavar="N|HxW|whole",
        show_default="16; whole for IDX, CIFAR-10 and rows",
        help="Height and width of a patch in pixels.",
        group="Patches",
    ),
    option(
        "--count",
        type=click.IntRange(1),
        show_default="10000 without --stride",
        help="Cut so many patches at random places.",
        group="Patches",
    ),
    option("--stride", type=click.IntRange(1, 65535), help="Cut on a grid with this step.", group="Patches"),
    option(
        "--drop-flat",
        type=click.FloatRange(0, 1, max_open=True),
        show_default="0.2 with --whiten, else 0",
        help="Leave out this share of the random patches, those of lowest variance.",
        group="Patches",
    ),
)
like = option(
    "--like",
    metavar="FILE.h5",
    help="Take size and fitted preprocessing from another data set or a model: for test sets.",
    group="Preprocessing",
)
dry_run = option("--dry-run", is_flag=True, help="Say how many patches and bytes, and stop.", group="Output")


@command_named("extract-patches")
@common(which_images, which_patches, settings_options(PreprocessSpec, "Preprocessing", NORMALIZE), like)
@common(output("Data set to write (HDF5)."), force, dry_run, seed, threads, max_memory, quiet, as_json)
def command(words: Words, results: Results, **settings: Any) -> None:
    """Cut patches out of images into a data set.

    INPUT is an image or a folder of images (searched recursively), an IDX file (.gz or not), a CIFAR-10 batch, .npy,
    .npz, .mat, HDF5 or .csv; or the name of images to generate: dead-leaves, dead-leaves-photo, pink-noise. Of an
    (n, d) array each row is an example, whatever it means; a single grey image is (1, h, w). FILE:NAME takes one of
    several arrays.

    Pixels are stored as they are; preprocessing is fitted, stored beside them, and applied when they are read.

    \b
    Examples:
      featlearn extract-patches photos -o patches.h5 --size 12 --whiten zca
      featlearn extract-patches more-photos -o test.h5 --like patches.h5
    """
    results.show(extract(Request.of(settings), words))
