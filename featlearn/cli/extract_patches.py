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
    max_pixels,
    option,
    output,
    paths,
    quiet,
    seed,
    settings_options,
    threads,
)
from featlearn.cli.report import Results, Words
from featlearn.patches.extract import Extraction
from featlearn.patches.preprocess import PreprocessSpec

which_images = common(
    paths("inputs", required=False, many=True, metavar="INPUT..."),
    option(
        "--files-from", metavar="FILE|-", help="Read more inputs from a list, one a line.", group="Images"
    ),
    option(
        "-0",
        "--null",
        is_flag=True,
        needs="files_from",
        help="Names in that list end with NUL, as find -print0 does.",
        group="Images",
    ),
    option(
        "--color",
        type=click.Choice(["gray", "rgb"]),
        show_default="that of --like, else gray",
        help="Color mode.",
        group="Images",
    ),
    max_pixels("Images"),
    option(
        "--labels", metavar="FILE|folders", help="Labels: an IDX file, or the folders' names.", group="Images"
    ),
    option(
        "--first", type=click.IntRange(1), help="Use only the first so many of the images.", group="Images"
    ),
    option(
        "--strict",
        is_flag=True,
        help="An image that cannot be used is an error, not skipped.",
        group="Images",
    ),
    option(
        "--images",
        type=click.IntRange(1, 65535),
        show_default="a thousandth of --count, 8 to 64",
        help="How many 256x256 images to generate.",
        group="Images",
    ),
)
like = option(
    "--like",
    metavar="FILE.h5",
    help="Take size, color mode, fitted preprocessing and numbers of named labels from another data set or a model: "
    "for test sets.",
    group="Preprocessing",
)
dry_run = option("--dry-run", is_flag=True, help="Say how many patches and bytes, and stop.", group="Output")


@command_named("extract-patches")
@common(which_images, settings_options(Extraction, "Patches"))
@common(settings_options(PreprocessSpec, "Preprocessing"), like)
@common(output("Data set to write (HDF5)."), force, dry_run, seed, threads, max_memory, quiet, as_json)
def command(words: Words, results: Results, **settings: Any) -> None:
    """Cut patches out of images into a data set.

    INPUT is an image or a folder of images (searched recursively, symbolic links followed), an IDX file (.gz
    or not), a CIFAR-10 batch, .npy, .npz, .mat, HDF5 or .csv; or the name of images to generate: dead-leaves,
    dead-leaves-photo, pink-noise. Of an (n, d) array each row is an example, whatever it means; a single grey
    image is (1, h, w). FILE:NAME takes one of several arrays.

    Images that are damaged, links that lead nowhere and links to folders that hold them are named and
    skipped.

    Pixels are stored as they are; preprocessing is fitted, stored beside them, and applied when they are
    read. Where nothing is said of it, patches cut out of images are centred and whitened, whole images and
    rows stay as they are.

    \b
    Examples:
      featlearn extract-patches photos -o patches.h5
      featlearn extract-patches photos -o standardized.h5 --size 16 --normalize standardize
      featlearn extract-patches more-photos -o test.h5 --like patches.h5
    """
    results.show(extract(Request.of(settings), words))
