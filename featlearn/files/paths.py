"""Paths of files: shown in messages, and opened (regular files only), with errors of one line."""

import contextlib
import errno
import io
import os
import shlex
import stat

from featlearn.errors import DataError, FeatlearnError, ReadError, reason, show

_NAME = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
OF_THE_FILE = frozenset((*_NAME, errno.EACCES, errno.EPERM, errno.EINVAL))
"""What lies in a file or its name: missing, not allowed, a place before its beginning.

All else is the machine's.
"""


def size_words(n: int) -> str:
    """Return so many bytes in words, to three digits: 512 B, 4.72 MB, 28.0 GB."""
    size, unit = float(n), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB", "EB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{n} B" if unit == "B" else f"{size:#.3g}".rstrip(".") + f" {unit}"


def check_regular(path: str) -> os.stat_result:
    """The stat of a regular file, asked before anything is opened: opening a FIFO waits for ever.

    Raises DataError, ReadError.
    """
    if "\0" in path or not path:
        raise DataError(f"{show(path)}: not a file name")
    try:
        result = os.stat(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if stat.S_ISDIR(result.st_mode):
        command = f"featlearn extract-patches {shlex.quote(path)} -o patches.h5"
        raise DataError(
            f"{show(path)}: is a folder, wanted a file; of a folder of images, run {command} first"
        )
    if not stat.S_ISREG(result.st_mode):
        raise DataError(f"{show(path)}: is a device, pipe or socket, wanted a regular file")
    return result


def open_regular(path: str) -> io.BufferedReader:
    """Open a regular file for reading. Raises DataError, ReadError."""
    check_regular(path)
    try:
        # Should the file have become a FIFO since, O_NONBLOCK keeps this from waiting.
        return _Reading(io.FileIO(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))))
    except OSError as error:
        raise unreadable(path, error) from error


class _Reading(io.BufferedReader):
    """A file that is only read: nothing is lost when closing it fails, so that is no error."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


def read_start(path: str, n: int) -> bytes:
    """The first `n` bytes of a regular file, fewer where it ends before. Raises DataError, ReadError."""
    with open_regular(path) as file:
        try:
            return file.read(n)
        except OSError as error:
            raise unreadable(path, error) from error


def unreadable(path: str, error: OSError) -> FeatlearnError:
    """Return the error for what the system says of a file.

    That is DataError where it lies in the file, else ReadError.
    """
    if error.errno not in OF_THE_FILE:
        return ReadError(f"{show(path)}: cannot be read: {reason(error)}")
    if error.errno == errno.ENOENT:
        found = "broken symbolic link" if os.path.islink(path) else "no such file or folder"
        return DataError(f"{show(path)}: {found}")
    if error.errno == errno.ELOOP:
        return DataError(f"{show(path)}: is a symbolic link that leads to itself")
    return DataError(f"{show(path)}: cannot be read: {reason(error)}")
