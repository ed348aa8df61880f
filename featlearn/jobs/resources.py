"""What a process may use: threads to compute with, and memory for the contents of files."""

import contextlib
from collections.abc import Iterator

from featlearn.files.budget import max_memory as memory_in_use
from featlearn.files.budget import set_max_memory
from featlearn.threads import use_threads

__all__ = ["limits", "set_max_memory", "use_threads"]


@contextlib.contextmanager
def limits(threads: int | None = None, max_memory: int | None = None) -> Iterator[None]:
    """Within, compute with so many threads, and let every input file take so many bytes of memory.

    None leaves what is set. Both hold for the whole process.
    """
    from featlearn import _core

    before = _core.get_threads(), memory_in_use()
    if threads is not None:
        use_threads(threads)
    if max_memory is not None:
        set_max_memory(max_memory)
    try:
        yield
    finally:
        _core.set_threads(before[0])
        set_max_memory(before[1])
