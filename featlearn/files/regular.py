"""Opening files of others: regular files only, one-line errors, no path printed raw."""

import io
import os
import shlex
import stat

from featlearn.errors import DataError


def show(path: str) -> str:
    """`path` as it may be printed, quoted only where it must be: it can be empty, or hold newlines and escape codes."""
    return path if path and path.isprintable() else repr(path)


def reason(error: BaseException) -> str:
    """What an exception says, on one printable line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(text.split()).strip("'\"") or type(error).__name__
    return text if text.isprintable() else ascii(text)


def check_regular(path: str) -> os.stat_result:
    """The stat of a regular file, asked before anything is opened: opening a FIFO waits for ever. Raises DataError."""
    if "\0" in path or not path:
        raise DataError(f"{show(path)}: not a file name")
    try:
        result = os.stat(path)
    except OSError as error:
        raise DataError(f"{show(path)}: {_missing(path, error)}") from error
    if stat.S_ISDIR(result.st_mode):
        command = f"featlearn extract-patches {shlex.quote(path)} -o patches.h5"
        raise DataError(f"{show(path)}: is a folder, wanted a file; of a folder of images, run {command} first")
    if not stat.S_ISREG(result.st_mode):
        raise DataError(f"{show(path)}: is a device, pipe or socket, wanted a regular file")
    return result


def open_regular(path: str) -> io.BufferedReader:
    """Open a regular file for reading. Raises DataError."""
    check_regular(path)
    try:
        # Should the file have become a FIFO since, O_NONBLOCK keeps this from waiting.
        return open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    except OSError as error:
        raise DataError(f"{show(path)}: cannot be read: {reason(error)}") from error


def _missing(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "broken symbolic link" if os.path.islink(path) else "no such file or folder"
    return f"cannot be read: {reason(error)}"
