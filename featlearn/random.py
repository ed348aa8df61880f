"""Counted random numbers: bits = f(seed, draw, element), so there is no generator state to save or lose.

A draw is named by its stream, by what it is for and by a running number; nobody needs to know who drew
before.
"""

from enum import IntEnum, unique

import numpy as np
import numpy.typing as npt

from featlearn import _core

STREAMS = 256


@unique
class Purpose(IntEnum):
    """What a draw is for; part of its name, so that no two uses ever share bits."""

    INIT = 1
    ORDER = 2
    STEP = 3
    SPLIT = 4
    PATCHES = 5
    IMAGES = 6
    CHAIN = 7
    ANNEAL = 8
    BINARIZE = 9
    LABELS = 10
    SHUFFLE = 11
    SEARCH = 12


def draw_name(purpose: Purpose, index: int = 0, stream: int = 0) -> int:
    """Return the 64-bit name of a draw: 8 bits of stream, 8 bits of purpose, 48 bits of running number.

    Raises ValueError for a stream that these do not hold.
    """
    if not 0 <= stream < STREAMS:
        raise ValueError(f"stream {stream}: must lie in 0..{STREAMS - 1}")
    return (stream << 56) | (int(purpose) << 48) | index


class Random:
    """Random arrays that depend on the seed, the stream, the purpose and the index alone.

    They are made by Philox4x32-10 (J. Salmon, M. Moraes, R. Dror, D. Shaw, Parallel random numbers, SC11).
    Layers of one model have a stream each, so that they never share bits.
    """

    def __init__(self, seed: int, stream: int = 0) -> None:
        self.seed, self.stream = seed, stream

    def draw(self, purpose: Purpose, index: int = 0) -> int:
        """Return the name of a draw of this stream."""
        return draw_name(purpose, index, self.stream)

    def bits(self, n: int, purpose: Purpose, index: int = 0) -> npt.NDArray[np.uint32]:
        out = np.empty(n, np.uint32)
        _core.random_bits(out, self.seed, self.draw(purpose, index))
        return out

    def uniform(self, n: int, purpose: Purpose, index: int = 0) -> npt.NDArray[np.float64]:
        """(n,) uniform in [0, 1)."""
        out = np.empty(n, np.float64)
        _core.uniform(out, self.seed, self.draw(purpose, index))
        return out

    def normal(
        self, shape: tuple[int, ...], dtype: npt.DTypeLike, purpose: Purpose, index: int = 0
    ) -> npt.NDArray[np.floating]:
        """Standard normal numbers of the given shape and float dtype."""
        out = np.empty(shape, dtype)
        _core.normal(out, self.seed, self.draw(purpose, index))
        return out

    def integers(self, n: int, high: int, purpose: Purpose, index: int = 0) -> npt.NDArray[np.int64]:
        """(n,) integers in [0, high)."""
        return (self.uniform(n, purpose, index) * high).astype(np.int64)

    def permutation(self, n: int, purpose: Purpose, index: int = 0) -> npt.NDArray[np.int64]:
        """(n,) a random order of 0..n-1: the stable order of n counted keys."""
        return np.argsort(self.bits(n, purpose, index), kind="stable")
