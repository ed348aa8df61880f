"""featlearn extract-patches: images in, a data set out."""

from typing import Any

from featlearn.cli.inputs import input_options, listed
from featlearn.cli.options import (
    collect,
    command_named,
    common,
    force,
    invocation,
    option,
    output,
    running,
    seed,
    settings_options,
    typed,
)
from featlearn.cli.output import Messages, Results
from featlearn.jobs.extract_settings import Extraction, PreprocessSpec
from featlearn.jobs.settings import Images

ALIKE = (
    "Take size, color mode, --linear, --resize, fitted preprocessing and numbers of named labels from "
    "another data set or a model: for test sets."
)
REST = "Second data set, of the images that --first leaves, cut and preprocessed like the others."
like = option("--like", metavar="FILE.h5", help=ALIKE, group="Preprocessing")
rest = option("--rest", metavar="PATH", needs="first", help=REST, group="Output")
dry_run = option("--dry-run", is_flag=True, help="Print the size of the data set, and stop.", group="Output")


@command_named("extract-patches", most_used="output size count normalize whiten like seed")
@common(input_options, settings_options(Images, "Images"))
@settings_options(Extraction, "Patches", leave_out=("seed",))
@common(settings_options(PreprocessSpec, "Preprocessing"), like)
@common(output("Data set to write (HDF5)."), rest, force, dry_run, seed, running)
def command(
    inputs: tuple[str, ...],
    output: str,
    files_from: str | None,
    null: bool,
    messages: Messages,
    results: Results,
    **options: Any,
) -> None:
    """Cut patches out of images into a data set.

    INPUT is an image or a folder of images (searched recursively, symbolic links followed), an IDX file (.gz
    or not), a CIFAR batch, .npy, .npz, .mat, HDF5 or .csv; a data set, whose rows are images again; or the
    name of images to generate: dead-leaves, dead-leaves-photo, pink-noise, or of pairs: shifted-dots,
    rotated-dots. Of an (n, d) array each row is an
    example, whatever it means; a single grey image is (1, h, w). FILE:NAME takes one of several arrays.

    Images that are damaged, links that lead nowhere and links to folders that hold them are named and
    skipped.

    Pixels are stored as they are; preprocessing is fitted, stored beside them, and applied when they are
    read. Where nothing is said of it, patches cut out of images are centred and whitened, whole images and
    rows stay as they are, and rows of data sets keep theirs.

    \b
    Examples:
      featlearn extract-patches photos -o patches.h5
      featlearn extract-patches more-photos -o test.h5 --like patches.h5
      featlearn extract-patches photos -o small.h5 --resize 32x32 --normalize global
      featlearn extract-patches digits.h5 --shuffle --first 100 -o train.h5 --rest held-out.h5
    """
    from featlearn.jobs.extract_patches import extract_patches

    extraction, images = collect(Extraction, options), collect(Images, options)
    preprocess = collect(PreprocessSpec, options, decided=False)
    options |= {"extraction": extraction, "images": images, "preprocess": preprocess}
    options |= {"say": messages.say, "progress": messages.progress}
    done = extract_patches(
        [*inputs, *listed(files_from, null)], output, given=typed(), invocation=invocation(), **options
    )
    messages.say_next(done.next)
    results.show(done.report())
