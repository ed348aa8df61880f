"""How much memory the contents of a file may take: one limit for all kinds of file, which --max-memory sets.

It is for what has to be unpacked or taken into memory as a whole. Arrays that lie in a file as they are
(Stored) are read piece by piece and need none, however large they are.
"""

import os

from featlearn import cgroup
from featlearn.errors import DataError, show
from featlearn.files.paths import open_regular, size_words

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

FLOOR = 256 << 20
"""Bytes that any file may take."""
RATIO = 64
"""Beyond FLOOR: how many times its own bytes.

Deflate packs real images 2 to 50 times, nothing but zeros 1032 times.
"""
_EXTENTS = 10_000

_chosen: int | None = None


def set_max_memory(n_bytes: int | None) -> None:
    """Let every file take so much memory.

    None: half of this process's memory, at most RATIO times the file's own bytes.
    """
    global _chosen
    _chosen = n_bytes


def max_memory() -> int | None:
    """Return what was set by set_max_memory."""
    return _chosen


class Budget:
    """What the contents of one file may take in memory; `claim` it before anything is allocated."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.limit = _default(path) if _chosen is None else _chosen
        self.used = 0

    def claim(self, n_bytes: int, what: str = "its contents") -> None:
        """Raise DataError where `n_bytes` more would exceed the limit."""
        self.used += n_bytes
        if self.used > self.limit:
            needed, allowed = size_words(self.used), size_words(self.limit)
            raise DataError(
                f"{show(self.path)}: {what} would take {needed} of memory, {allowed} are allowed; "
                f"if you trust it, give --max-memory {_option(self.used)}"
            )


def process_memory() -> int:
    """Bytes that this process can have: the machine's, or less where a cgroup or ulimit -v says so."""
    sizes = (
        [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else [4 << 30]
    )
    texts = [
        *cgroup.settings("memory.max"),
        cgroup.read(cgroup.ROOT / "memory" / "memory.limit_in_bytes").strip(),
    ]
    sizes += [int(text) for text in texts if text.isdecimal()]
    if resource is not None:
        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        sizes += [soft] if soft != resource.RLIM_INFINITY else []
    return min(sizes)


def _default(path: str) -> int:
    return min(process_memory() // 2, max(FLOOR, RATIO * _data_bytes(path)))


def _data_bytes(path: str) -> int:
    """The bytes of a file without its holes, which take no room on the disk."""
    with open_regular(path) as file:
        fd = file.fileno()
        size = os.fstat(fd).st_size
        if size <= FLOOR // RATIO or not hasattr(os, "SEEK_DATA"):
            return size
        total = at = 0
        for _ in range(_EXTENTS):
            try:
                start = os.lseek(fd, at, os.SEEK_DATA)
                at = os.lseek(fd, start, os.SEEK_HOLE)
            except OSError:  # nothing but a hole is left, or this file system does not tell
                return total if at else _whole_or_hole(fd, size)
            total += at - start
            if at >= size:
                return total
    return size


def _whole_or_hole(fd: int, size: int) -> int:
    """`size`, but 0 where the whole file is one hole."""
    return 0 if os.fstat(fd).st_blocks == 0 else size


def _option(n: int) -> str:
    """`n` rounded up, as --max-memory takes it."""
    return f"{-(-n // 10**9)}GB" if n >= 1e9 else f"{-(-n // 10**6)}MB"
