"""What a process may use: threads to compute with, and memory for the contents of files."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from featlearn.files.budget import max_memory as memory_in_use
from featlearn.files.budget import set_max_memory
from featlearn.jobs.settings import Checked
from featlearn.settings import setting
from featlearn.threads import use_threads

__all__ = ["Limits", "limits", "set_max_memory", "use_threads"]


@dataclass(frozen=True)
class Limits(Checked):
    """Limits on what a job uses; None leaves what is set."""

    threads: int | None = setting(None, "threads to compute with", low=1, high=1024)
    max_memory: int | None = setting(None, "bytes that the contents of one input file may take", low=1)


@contextlib.contextmanager
def limits(threads: int | None = None, max_memory: int | None = None) -> Iterator[None]:
    """Within, compute with so many threads, and let every input file take so many bytes of memory.

    None leaves what is set. Both hold for the whole process. Raises ConfigError.
    """
    from featlearn import _core

    Limits(threads, max_memory)
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
