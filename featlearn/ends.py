"""The end of a run of several ranks: one of them speaks, and all end with one exit code.

A rank that fails by itself tells the others, which look for that while they wait for its work. They leave
what they do as at any error, so that nothing is left half written, and let it speak.
"""

import time
from typing import Any

import numpy as np

from featlearn.errors import FeatlearnError

PATIENCE = 2.0  # seconds that a rank which fails waits for the others
FAILED = 1  # the tag of a message

_comm: Any = None  # a communicator for this alone
_told: list[Any] = []  # messages that others need not take
_elsewhere = False  # whether another rank has told that it fails


class EndElsewhere(FeatlearnError):
    """Another rank has failed, with this exit code."""

    def __init__(self, code: int) -> None:
        self.exit_code = code
        super().__init__("another rank has failed")


def meet(comm: Any) -> None:
    """Take a communicator of all ranks."""
    global _comm
    _comm = comm


def look() -> None:
    """Raise EndElsewhere where another rank has told that it fails."""
    global _elsewhere
    if _comm.Iprobe(tag=FAILED):
        code = np.zeros(1, np.int64)
        _comm.Recv(code, tag=FAILED)
        _elsewhere = True
        raise EndElsewhere(int(code[0]))


def agreed(code: int) -> tuple[bool, bool]:
    """Tell the others the exit code of this rank. -> whether it is the one to speak, and ends the others.

    A rank that ends well waits for all. One that fails tells the others so, and waits some seconds: the first
    of those that fail by themselves speaks for all. Where others do not hear of it, it speaks itself.
    """
    rank, size = _comm.Get_rank(), _comm.Get_size()
    own = 0 if _elsewhere else code
    if own:
        others = (r for r in range(size) if r != rank)
        _told.extend(_comm.Isend(np.array([own], np.int64), r, FAILED) for r in others)
    codes = np.zeros(size, np.int64)
    request = _comm.Iallgather(np.array([own], np.int64), codes)
    until = time.monotonic() + PATIENCE
    while not request.Test():
        if own and time.monotonic() > until:
            return True, True
        time.sleep(0.01)
    return rank == int(np.flatnonzero(codes)[0] if codes.any() else 0), False


def abort(code: int) -> None:
    """End all ranks at once."""
    _comm.Abort(code)
