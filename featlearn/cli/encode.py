"""featlearn encode: a data set's codes as a data set."""

from typing import Any

from featlearn.cli.options import (
    as_json,
    command_named,
    common,
    force,
    max_memory,
    output,
    paths,
    quiet,
    threads,
)
from featlearn.cli.report import Results, Words


@command_named("encode")
@common(paths("model"), paths("dataset"))
@common(output("Data set of codes to write (HDF5)."), force, threads, max_memory, quiet, as_json)
def command(words: Words, results: Results, **settings: Any) -> None:
    """Write the codes that a model gives to the rows of a data set, as a data set that every command takes.

    A second model can learn from it: so one stage is trained upon another. Labels, and where each patch was
    cut, are kept; codes are float32, and are used as they are.

    \b
    Examples:
      featlearn encode pca.h5 digits.h5 -o codes.h5
      featlearn encode pca.h5 test.h5 -o test-codes.h5 --force
    """
    from featlearn.cli.encoding import Request, encode

    results.show(encode(Request(**settings), words))
