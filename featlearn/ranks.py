"""Ranks: the processes that work on one run together, on one machine or several, started by mpiexec or srun.

All ranks hold the same model and make the same updates. The rows of a minibatch are shared out by whole
panels: `sharing` says which are a rank's own. Within it `fold` adds up what the ranks have made of their
panels, in the order of the rows, so that the bytes are those of one process. Work in pieces is shared out by
`shared_out`, whose results all get, and `to_first`, whose results the first one writes. All else is computed
alike.

A process that does not `start` is the only rank, and nothing here does anything. Messages go by MPI, through
mpi4py, which this module alone imports.
"""

import contextlib
import math
import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from featlearn import ends
from featlearn.errors import ConfigError, FeatlearnError
from featlearn.panels import Share, share_of

Array = npt.NDArray[Any]
T = TypeVar("T")

SMALL = 1 << 18  # bytes of sums that all ranks send to all
CHUNK = 1 << 18  # bytes of larger sums that go from rank to rank at a time
POLLS = 100  # looks for a message before a rank that waits for it gives way to others
PAUSE = 0.0005  # seconds between two later ones
PARTIAL, FINAL, MADE, SAID = 1, 2, 3, 4  # tags of messages
AHEAD = 2  # things that a rank has made before the first one takes them

rank = 0
"""The number of this process among all."""
size = 1
"""How many there are."""
hosts = 1
"""On how many machines."""
neighbours = 1
"""How many of them may run on the very cores that this one may run on."""
library = ""
"""The MPI library in use, where there is one."""

_comm: Any = None
_share: Share | None = None
_on_the_way: list[Any] = []  # messages that others may still have to take


class ReplicaError(FeatlearnError):
    """Ranks, which all compute alike, have come to different results."""


def start() -> None:
    """Meet the other ranks. Raises ConfigError where mpi4py or its library is not there."""
    global _comm, rank, size, hosts, neighbours, library
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        what = "mpi4py" if isinstance(error, ModuleNotFoundError) else "an MPI library"
        raise ConfigError(
            f"started by mpiexec or srun as one of several processes, but {what} is not installed; "
            'pip install "featlearn[mpi]", and pip install mpich where the machine has no MPI'
        ) from error
    _comm = MPI.COMM_WORLD
    rank, size = _comm.Get_rank(), _comm.Get_size()
    ends.meet(_comm.Dup())
    words = MPI.Get_library_version().split("\n")[0].replace("Version:", "").split()
    library = " ".join(words).rstrip(",")
    local = _comm.Split_type(MPI.COMM_TYPE_SHARED)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    neighbours = int(local.allgather(cores).count(cores))  # launchers may have bound some of them
    hosts = int(together(np.array([local.Get_rank() == 0], np.int64)).sum())
    local.Free()


class sharing:
    """A context within which arrays of rows hold this rank's own of n rows, which it answers; alone, all.

    They are whole panels, of `panel` rows where that is given.
    """

    def __init__(self, n: int, panel: int = 0) -> None:
        self.n, self.panel = n, panel

    def __enter__(self) -> slice:
        global _share
        self.before = _share
        if size == 1:
            return slice(0, self.n)
        _share = share_of(self.n, rank, size, self.panel)
        return _share.own

    def __exit__(self, *error: object) -> None:
        global _share
        _share = self.before


@contextlib.contextmanager
def alike() -> Iterator[None]:
    """Within, arrays of rows are the same on all ranks, whatever is shared outside."""
    global _share
    before, _share = _share, None
    try:
        yield
    finally:
        _share = before


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within, this process is the only rank: the others know nothing of what it does."""
    global rank, size
    before, rank, size = (rank, size), 0, 1
    try:
        with alike():
            yield
    finally:
        rank, size = before


def share() -> Share | None:
    """Return which rows of the minibatch are this rank's own; None where none are shared out."""
    return _share


def together(a: Array) -> Array:
    """Return the arrays of all ranks, of one shape, by rank: (...) -> (size, ...)."""
    if size == 1:
        return a[None]
    found = np.empty((size, *a.shape), a.dtype)
    _comm.Allgather(np.ascontiguousarray(a), found)
    return found


def gathered(a: Array) -> Array:
    """Return the rows that ranks have of one array, all in order: (n, ...) -> (all n, ...)."""
    if _share is None:
        return a
    counts = together(np.array([len(a)], np.int64))[:, 0]
    found = np.empty((int(counts.sum()), *a.shape[1:]), a.dtype)
    width = math.prod(a.shape[1:]) * a.itemsize
    sent = np.ascontiguousarray(a).view(np.uint8).reshape(-1) if a.size else np.zeros(0, np.uint8)
    _comm.Allgatherv(sent, [found.reshape(-1).view(np.uint8), counts * width])
    return found


def any_of(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return where a flag (n,) is set on any rank."""
    if _share is None:
        return flags
    return np.asarray(together(flags).any(axis=0))


def fold(made: Sequence[Array], shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return the sum of the panels of all ranks, of which `made` are this one's, added in order.

    They are of one shape, that of the sum; the first rank has added up its own. What is in `made` may be
    lost.
    """
    assert _share is not None
    count, length = math.ceil(_share.rows / _share.panel), math.prod(shape)
    flat = [one.reshape(-1) for one in made]
    if count * length * np.dtype(dtype).itemsize > SMALL:
        return _along_chain(flat, length, dtype).reshape(shape)
    shares = [share_of(_share.rows, r, size) for r in range(size)]
    numbers = [1, *(len(one.panels) for one in shares[1:])]
    found = np.empty((sum(numbers), length), dtype)
    sent = np.stack(flat) if flat else np.empty((0, length), dtype)
    _comm.Allgatherv(sent, [found, [number * length for number in numbers]])
    total: Array = found[0]
    for one in found[1:]:
        total += one
    return total.reshape(shape)


def _along_chain(made: Sequence[Array], length: int, dtype: npt.DTypeLike) -> Array:
    """Return the same by chunks that go from rank to rank and grow; then round to all, whole.

    Each rank sends and gets every chunk twice at most, however many panels there are.
    """
    step = max(1, CHUNK // np.dtype(dtype).itemsize)
    chunks = [slice(i, i + step) for i in range(0, length, step)]
    last, before, after = size - 1, (rank - 1) % size, (rank + 1) % size
    growing = made[0] if rank == 0 else np.empty(length, dtype)
    coming = [] if rank == 0 else [_comm.Irecv(growing[chunk], before, PARTIAL) for chunk in chunks]
    whole = growing if rank == last else np.empty(length, dtype)
    ready = [] if rank == last else [_comm.Irecv(whole[chunk], before, FINAL) for chunk in chunks]
    sent = []
    for i, chunk in enumerate(chunks):
        if rank:
            coming[i].Wait()
        for one in made if rank else ():
            growing[chunk] += one[chunk]
        sent.append(_comm.Isend(growing[chunk], after, FINAL if rank == last else PARTIAL))
    for i, chunk in enumerate(chunks if rank < last else []):
        ready[i].Wait()
        if rank < last - 1:
            sent.append(_comm.Isend(whole[chunk], after, FINAL))
    for request in sent:
        request.Wait()
    return whole


def of_all(value: T) -> list[T]:
    """Return the values of all ranks, one each, by rank."""
    if size == 1:
        return [value]
    sent = np.frombuffer(pickle.dumps(value), np.uint8)
    counts = np.empty(size, np.int64)
    _awaited(_comm.Iallgather(np.array([len(sent)], np.int64), counts))
    whole = np.empty(int(counts.sum()), np.uint8)
    _awaited(_comm.Iallgatherv(sent, [whole, counts]))
    return [pickle.loads(part.data) for part in np.split(whole, np.cumsum(counts)[:-1])]


def total(a: Array) -> Array:
    """Return the sum of the arrays of all ranks, where it does not depend on their order."""
    if size == 1:
        return a
    found = np.empty_like(a)
    _awaited(_comm.Iallreduce(a, found))
    return found


def shared_out(make: Callable[[int], T], n: int) -> Iterator[T]:
    """Yield make(0), ..., make(n - 1), each made by one rank alone, on all ranks: all must take all of them.

    Where some fail by a FeatlearnError, all ranks raise the first of these errors, as one process does.
    """
    if size == 1:
        yield from map(make, range(n))
        return
    for start in range(0, n, size):
        for found in of_all(_tried(make, start + rank) if start + rank < n else None):
            if isinstance(found, FeatlearnError):
                raise found
            if found is not None:
                yield found[0]


def _tried(make: Callable[[int], T], i: int) -> tuple[T] | FeatlearnError:
    """Return make(i), or the error that it raises."""
    with alone():
        try:
            return (make(i),)
        except FeatlearnError as error:
            return error


def to_first(
    make: Callable[[int], Array], empty: Callable[[int], Array], n: int, owners: Sequence[int] | None = None
) -> Iterator[Array]:
    """Yield make(0), ..., make(n - 1) on the first rank, each made by one; on the others yield nothing.

    `empty` makes room for what another rank makes: an array of that shape and dtype, C-contiguous. `owners`
    are the ranks that make them; None: in turn. All begin together, so that none looks for an output when the
    first one has written it already.
    """
    owner = [i % size for i in range(n)] if owners is None else owners
    if size > 1:
        _awaited(_comm.Ibarrier())
    sent: list[Any] = []
    for i in range(n):
        heed()
        if rank == 0 and owner[i] == 0:
            yield make(i)
        elif rank == 0:
            found = empty(i)
            _awaited(_comm.Irecv(found, owner[i], MADE))
            yield found
        elif owner[i] == rank:
            if len(sent) == AHEAD:
                _awaited(sent.pop(0))
            sent.append(_comm.Isend(np.ascontiguousarray(make(i)), 0, MADE))
    for request in sent:
        _awaited(request)


def tell(other: int, message: Any) -> None:
    """Send a rank a message of plain values, which it gets by `told`."""
    _on_the_way[:] = [one for one in _on_the_way if not one.Test()]
    _on_the_way.append(_comm.isend((rank, message), other, SAID))


def told() -> tuple[int, Any] | None:
    """Return (rank, message) of what another one tells, None where none does. Raises EndElsewhere."""
    heed()
    if size == 1:
        return None
    found: tuple[int, Any] | None = _comm.recv(tag=SAID) if _comm.iprobe(tag=SAID) else None
    return found


def heed() -> None:
    """Raise EndElsewhere where another rank has failed: for who is long at work that others wait for."""
    if size > 1:
        ends.look()


def _awaited(request: Any) -> None:
    """Wait for a message, alive to signals. Raises EndElsewhere where a rank fails meanwhile."""
    polls = 0
    while not request.Test():
        ends.look()
        polls += 1
        if polls > POLLS:
            time.sleep(PAUSE)


def largest(value: int) -> int:
    """Return the largest of the numbers that ranks have, one each."""
    return value if size == 1 else int(together(np.array([value], np.int64)).max())


def refuse_difference(digest: Callable[[], bytes], words: str) -> None:
    """Raise ReplicaError where ranks do not have the same digest; `words` say what the other one has."""
    if size == 1:
        return
    name = os.uname().nodename if hasattr(os, "uname") else ""
    found = of_all((digest(), name))
    other = next((r for r in range(size) if found[r][0] != found[0][0]), None)
    if other is not None:
        raise ReplicaError(
            f"rank {other} on {found[other][1]} has {words} than rank 0 on {found[0][1]}; "
            "look for other input files, or a fault of one of the machines"
        )
