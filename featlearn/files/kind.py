"""What kind of featlearn file a file is."""

from featlearn.files import block
from featlearn.files.regular import read_start


def file_kind(path: str) -> str:
    """ "featlearn-dataset" or "featlearn-model". Raises DataError for every other file."""
    return block.parse(path, read_start(path, block.SIZE))[0]


def is_ours(path: str) -> bool:
    """Whether a file begins as those that featlearn wrote, whole or not.

    Raises DataError if it cannot be read.
    """
    return read_start(path, block.SIZE).startswith((block.DATASET.encode(), block.MODEL.encode()))
