"""featlearn encode: the codes of a data set or of whole images, as a data set or a matrix."""

from typing import Any

from featlearn.cli.inputs import input_options, listed
from featlearn.cli.options import (
    collect,
    command_named,
    common,
    force,
    invocation,
    output,
    paths,
    running,
    settings_options,
    typed,
)
from featlearn.cli.output import Messages, Results
from featlearn.jobs.settings import ImageFiles, OneLayer, Sliding


@command_named("encode", most_used="output layer stride pool")
@common(paths("model"), input_options, settings_options(ImageFiles, "Images"))
@settings_options(Sliding, "Whole images")
@settings_options(OneLayer)
@common(output("Data set of codes to write (HDF5), or matrix: .npy, .npz or .csv."), force, running)
def command(
    inputs: tuple[str, ...],
    files_from: str | None,
    null: bool,
    messages: Messages,
    results: Results,
    **options: Any,
) -> None:
    """Write the codes that a model gives to a data set or to whole images, as a data set.

    A second model can learn from it: so one stage is trained upon another. Labels, and where each patch was
    cut, are kept; codes are float32, and are used as they are.

    INPUT is a data set with patches of the model's size. Or it is images, all that extract-patches reads, or
    a data set of larger ones: the model slides over each of them, its codes are pooled over the cells of a
    grid, and an image becomes a row.

    For other programs, .npy is the matrix of codes, a row each; .npz has it as "codes", beside "labels"; .csv
    has a line of names, then a line a row, the label as its last column.

    \b
    Examples:
      featlearn encode pca.h5 digits.h5 -o codes.h5
      featlearn encode edges.h5 photos --pool 3x3 --pooling max -o photo-codes.h5
      featlearn encode edges.h5 photos --pool none -o maps.h5
      featlearn encode dbn.h5 digits.h5 --layer 1 -o lower.h5
    """
    from featlearn.jobs.encode import encode

    images, sliding = collect(ImageFiles, options), collect(Sliding, options, decided=False)
    options |= {"images": images, "sliding": sliding, "upto": collect(OneLayer, options)}
    options |= {"given": typed(), "invocation": invocation()}
    options |= {"say": messages.say, "progress": messages.progress}
    done = encode(inputs=[*inputs, *listed(files_from, null)], **options)
    messages.say_next(done.next)
    results.show(done.report())
