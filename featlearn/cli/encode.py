"""featlearn encode: a data set's codes as a data set or a matrix."""

from typing import Any

from featlearn.cli.options import (
    command_named,
    common,
    force,
    invocation,
    output,
    paths,
    running,
)
from featlearn.cli.output import Messages, Results


@command_named("encode")
@common(paths("model"), paths("dataset"))
@common(output("Data set of codes to write (HDF5), or matrix: .npy, .npz or .csv."), force, running)
def command(messages: Messages, results: Results, **options: Any) -> None:
    """Write the codes that a model gives to the rows of a data set, as a data set that every command takes.

    A second model can learn from it: so one stage is trained upon another. Labels, and where each patch was
    cut, are kept; codes are float32, and are used as they are.

    For other programs, .npy is the matrix of codes, a row each; .npz has it as "codes", beside "labels"; .csv
    has a line of names, then a line a row, the label as its last column.

    \b
    Examples:
      featlearn encode pca.h5 digits.h5 -o codes.h5
      featlearn encode pca.h5 test.h5 -o test-codes.npz --force
    """
    from featlearn.jobs.encode import encode

    done = encode(**options, invocation=invocation(), say=messages.say, progress=messages.progress)
    messages.say_next(done.next)
    results.show(done.report())
