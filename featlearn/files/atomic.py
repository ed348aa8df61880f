"""Writing files so that a final name only ever holds a whole file, whatever happens meanwhile.

The bytes go to a temporary name in the same folder; then fsync, rename, fsync of the folder. One writer at a
time holds PATH.lock. Every failure is one DataError, and leaves neither temporary nor lock file behind.
"""

import contextlib
import errno
import os
import re
import shutil
import stat
import warnings
from collections.abc import Iterable
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from featlearn.errors import DataError, FeatlearnError, reason, show
from featlearn.files.paths import size_words
from featlearn.signals import DeferredHandlers, check

try:
    import fcntl
except ImportError:  # Windows: no lock; the rename alone still keeps files whole
    fcntl = None  # type: ignore[assignment]

_FULL = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk quota used up",
    errno.EFBIG: "file size limit reached (ulimit -f)",
}
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, 524}
"""What file systems without locks answer; 524 is the kernel's own ENOTSUPP, which Lustre and DVS let through.
"""
_held: "WeakValueDictionary[str, Output]" = WeakValueDictionary()
"""Targets being written by this very process, to which its own fcntl locks are no barrier."""


class Busy(DataError):
    """Another run is writing that output."""


def check_output(path: str, force: bool = False, inputs: Iterable[str] = ()) -> None:
    """Refuse an output that cannot or must not be written, before any work is done. Raises DataError."""
    place, target = show(path), _resolve(path)
    for other in inputs:
        with contextlib.suppress(OSError, ValueError):
            if os.path.samefile(target, other):
                raise DataError(f"{place}: is also an input; choose another output")
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:
        raise DataError(f"{place}: cannot be written: {reason(error)}") from error
    if mode is not None:
        if stat.S_ISDIR(mode):
            raise DataError(f"{place}: is a folder, wanted a file name")
        if not stat.S_ISREG(mode):
            raise DataError(f"{place}: is a device, pipe or socket, wanted a regular file")
        if not force:
            raise DataError(f"{place}: exists; use --force to replace it")
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        found = "is not a folder" if os.path.exists(folder) else "does not exist"
        raise DataError(f"{place}: folder {show(folder)} {found}; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{place}: folder {show(folder)} is not writable")


def free_space_check(path: str, n_bytes: int) -> None:
    """Raise DataError if the disk of `path` has less than `n_bytes` left."""
    try:
        free = shutil.disk_usage(os.path.dirname(_resolve(path))).free
    except OSError:
        return  # the writing itself will tell
    if free < n_bytes:
        raise DataError(
            f"{show(path)}: disk full, the file needs about {size_words(n_bytes)} and "
            f"{size_words(free)} are free"
        )


def write_bytes(path: str, data: bytes, force: bool = False, inputs: Iterable[str] = ()) -> None:
    """Write a small file (a picture, JSON) atomically. Raises DataError."""
    with Output(path, force, inputs) as out:
        out.needs = len(data)
        out.write(data, 0)
        out.commit()


def discard(path: str) -> None:
    """Remove a file, if it is there, and what killed writers of it left beside it. Raises DataError."""
    with Output(path, force=True) as out, contextlib.suppress(FileNotFoundError):
        os.unlink(out.target)


class Output:
    """A context around one output: write() to the temporary file, then commit().

    Leaving without that undoes all.

    Raises DataError on entering when `path` exists (without `force`), is one of `inputs`, is no regular file,
    or is being written by another run; and for every OSError inside the block, which then is about this file.
    """

    def __init__(self, path: str, force: bool = False, inputs: Iterable[str] = ()) -> None:
        self.path = path
        self.force = force
        self.inputs = list(inputs)
        self.needs = 0
        """About how many bytes the file will have, for the message when the disk is full."""
        self.temp = ""
        self.target = ""
        self._fd = self._lock = -1

    def __enter__(self) -> Self:
        check_output(self.path, self.force, self.inputs)
        self.target = _resolve(self.path)
        try:
            with DeferredHandlers():
                self._take_lock()
                check_output(self.path, self.force, self.inputs)  # another run may just have finished it
                if self._lock >= 0:
                    self._clean_orphans()
                self._open_temp()
        except BaseException as error:
            self._undo()
            self._explain(error)
            raise
        return self

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at `offset` of the temporary file."""
        view = memoryview(data)
        while len(view):
            n = os.pwrite(self._fd, view, offset)
            view, offset = view[n:], offset + n

    def read(self, n: int, offset: int) -> bytes:
        """Up to `n` bytes back from the temporary file."""
        return os.pread(self._fd, n, offset)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def commit(self) -> None:
        """Make the temporary file the final one, for good.

        Raises Interrupted if a signal has asked for the end.
        """
        check()
        # A failed fsync is a failed save: the kernel may have dropped the pages, so it is not tried again.
        os.fsync(self._fd)
        self._close()
        os.replace(self.temp, self.target)
        self.temp = ""
        _fsync_folder(os.path.dirname(self.target))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo()
        if error is not None:
            self._explain(error)

    def _open_temp(self) -> None:
        name = f"{self.target}.tmp-{os.urandom(4).hex()}"
        self.temp = name
        self._fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with contextlib.suppress(FileNotFoundError):
            os.fchmod(self._fd, stat.S_IMODE(os.stat(self.target).st_mode))

    def _take_lock(self) -> None:
        busy = Busy(f"{show(self.path)}: another run is writing it; wait for it or choose another output")
        if self.target in _held:
            raise busy
        _held[self.target] = self
        name = self.target + ".lock"
        for _ in range(100 if fcntl else 0):
            made = not os.path.lexists(name)
            fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Its holder may have removed it between our open and our lock: then it locks nothing.
                if os.path.samestat(os.fstat(fd), os.stat(name)):
                    self._lock = fd
                    return
                _shut(fd)
            except OSError as error:
                _shut(fd)
                if isinstance(error, FileNotFoundError):
                    continue
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise busy from error
                if made:
                    _remove_lock(name)
                if error.errno not in _NO_LOCKS:
                    raise
                folder = os.path.dirname(name)
                warnings.warn(
                    f"{show(folder)}: files cannot be locked there; let no two runs write the same file",
                    stacklevel=1,
                )
                return  # the rename still keeps files whole

    def _clean_orphans(self) -> None:
        """Remove what killed runs left; holding the lock, no live one can own it."""
        folder, base = os.path.split(self.target)
        pattern = re.compile(re.escape(base) + r"\.tmp-[0-9a-f]{8}")
        with os.scandir(folder) as entries:
            names = [entry.path for entry in entries if pattern.fullmatch(entry.name)]
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(name)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _undo(self) -> None:
        with DeferredHandlers():
            with contextlib.suppress(OSError):
                self._close()
            if self.temp:
                with contextlib.suppress(OSError):
                    os.unlink(self.temp)
                self.temp = ""
            if self._lock >= 0:
                _remove_lock(self.target + ".lock")
                _shut(self._lock)
                self._lock = -1
            if _held.get(self.target) is self:
                del _held[self.target]

    def _explain(self, error: BaseException) -> None:
        """Raise the DataError that says what `error` means for this output, if it is about it."""
        if isinstance(error, FeatlearnError | BrokenPipeError) or not isinstance(error, Exception):
            return
        for cause in _chain(error):
            if isinstance(cause, OSError) and cause.errno in _FULL:
                needs = f", the file needs about {size_words(self.needs)}" if self.needs else ""
                raise DataError(
                    f"{show(self.path)}: {_FULL[cause.errno]}{needs}; free some space or choose another place"
                ) from error
        if isinstance(error, OSError):
            raise DataError(f"{show(self.path)}: cannot be written: {reason(error)}") from error


def _resolve(path: str) -> str:
    """The file that `path` means, symbolic links followed."""
    if path == "-":
        raise DataError("-: this file cannot go to standard output, which is not seekable; name a file")
    if not path or "\0" in path or path.endswith(os.sep):
        raise DataError(f"{show(path)}: not a file name")
    target = os.path.realpath(path)
    if os.path.islink(target):
        raise DataError(f"{show(path)}: symbolic links in a circle")
    return target


def _remove_lock(name: str) -> None:
    with contextlib.suppress(OSError):
        if os.lstat(name).st_size == 0:  # a file of that name with contents is somebody's own
            os.unlink(name)


def _fsync_folder(folder: str) -> None:
    """Make the rename last through a power cut; some file systems cannot and say EINVAL."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_LOCKS | {errno.EINVAL}:
            raise
    finally:
        _shut(fd)


def _shut(fd: int) -> None:
    """Close a descriptor through which nothing was written, so that a failure means nothing."""
    with contextlib.suppress(OSError):
        os.close(fd)


def _chain(error: BaseException) -> list[BaseException]:
    """`error` and all that it came from."""
    found: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        e = queue.pop()
        if e is not None and e not in found:
            found.append(e)
            queue += [e.__cause__, e.__context__]
    return found
