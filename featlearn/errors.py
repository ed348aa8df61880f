"""The errors that featlearn raises on purpose; each message is one line: place, found, wanted, remedy."""


class FeatlearnError(Exception):
    """Base of all; `exit_code` is what the command line ends with."""

    exit_code = 1


class DataError(FeatlearnError):
    """A file or its contents cannot be used as asked, or cannot be written."""


class ReadError(FeatlearnError):
    """An input failed while it was read: a failing disk, or a file changed or cut meanwhile. It always ends the run.

    No DataError, since it is no damage of one image, which may be skipped.
    """


class ConfigError(FeatlearnError):
    """Settings that are out of range or contradict each other."""

    exit_code = 2


class DivergedError(FeatlearnError):
    """Training left the finite numbers, or its error rose without bound."""

    exit_code = 3
