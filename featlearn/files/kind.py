"""What kind of featlearn file a file is."""

from featlearn.files import block
from featlearn.files.regular import open_regular


def file_kind(path: str) -> str:
    """ "featlearn-dataset" or "featlearn-model". Raises DataError for every other file."""
    with open_regular(path) as file:
        return block.parse(path, file.read(block.SIZE))[0]
