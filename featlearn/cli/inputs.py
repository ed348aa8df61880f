"""INPUT..., and the list that --files-from reads more of them from."""

import sys

from featlearn.cli.options import common, option, paths
from featlearn.errors import DataError

input_options = common(
    paths("inputs", required=False, many=True, metavar="INPUT..."),
    option(
        "--files-from", metavar="FILE|-", help="Read more inputs from a list, one per line.", group="Images"
    ),
    option(
        "-0",
        "--null",
        is_flag=True,
        needs="files_from",
        help="Names in that list end with NUL, as find -print0 does.",
        group="Images",
    ),
)


def listed(name: str | None, null: bool) -> list[str]:
    """Return the names in --files-from, which the first rank reads for all. Raises DataError."""
    from featlearn import ranks

    return [] if name is None else next(ranks.shared_out(lambda _: _read(name, null), 1))


def _read(name: str, null: bool) -> list[str]:
    from featlearn.jobs.extract_patches import read_paths

    if name == "-":
        if sys.stdin is None:
            raise DataError("--files-from -: standard input is closed; name a file")
        return read_paths(sys.stdin.buffer, null)
    with open(name, "rb") as stream:
        return read_paths(stream, null)
