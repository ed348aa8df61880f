"""The errors that featlearn raises on purpose; each message is one line: place, found, wanted, remedy."""


class FeatlearnError(Exception):
    """Base of all; `exit_code` is what the command line ends with."""

    exit_code = 1


class DataError(FeatlearnError):
    """A file or its contents cannot be used as asked, or cannot be written."""


class ReadError(FeatlearnError):
    """An input could not be read for a reason that does not lie in it.

    That is a failing disk, no memory, or a file that is cut meanwhile.

    It is no DataError, which may be the damage of one image and be skipped: with the same files the next run
    would give another result.
    """


class ConfigError(FeatlearnError):
    """Settings that are out of range or contradict each other."""

    exit_code = 2


class DivergedError(FeatlearnError):
    """Training left the finite numbers, or its error rose without bound."""

    exit_code = 3


def show(path: str) -> str:
    """Return `path` as it may be printed, quoted only where it must be.

    It can be empty, or hold newlines and escape codes.
    """
    return path if path and path.isprintable() else repr(path)


def printable(text: str) -> str:
    """Return `text` with its control, format and other invisible characters escaped.

    A terminal would obey them, and HTML must not hold them.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def reason(error: BaseException) -> str:
    """Return what an exception says, on one printable line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(text.split()).strip("'\"") or type(error).__name__
    return text if text.isprintable() else ascii(text)
