"""Pairs of pictures as patches with two planes: what comes of two consecutive images, cut at one place.

The values of the two alternate in a row: of colours, red of the first, red of the second, green of the first
and so on. So a patch (height, width, 2) or (height, width, 6) is a pair.
"""

import os
from itertools import pairwise
from typing import Protocol

import numpy as np

from featlearn.errors import DataError
from featlearn.patches.extract import Source
from featlearn.rows import Array


class Images(Source, Protocol):
    """Images from one place, which has a name."""

    @property
    def name(self) -> str: ...
    @property
    def lost_color(self) -> bool: ...


PAIR_CHANNELS = (2, 6)
"""Channels of patches that are pairs, of grey or of coloured pictures."""


class Pairs:
    """Each image of a source with the one after it: of one folder, of one file of several frames, or of one
    array."""

    labels = None
    label_names = None

    def __init__(self, source: Images) -> None:
        self._source = source
        self._names = source.names()
        series = [_series(name) for name in self._names]
        self._first = [i for i, (a, b) in enumerate(pairwise(series)) if a == b]
        self._latest: tuple[int, Array | None] = (-1, None)

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def whole_by_default(self) -> bool:
        return self._source.whole_by_default

    @property
    def lost_color(self) -> bool:
        return self._source.lost_color

    def __len__(self) -> int:
        return len(self._first)

    def names(self) -> list[str]:
        return [f"{self._names[i]} and {os.path.basename(self._names[i + 1])}" for i in self._first]

    def read(self, i: int) -> Array:
        """(h, w, 2 c) pair i. Raises DataError where one cannot be read, or the two differ in kind."""
        k = self._first[i]
        number, latest = self._latest
        one = latest if number == k and latest is not None else self._source.read(k)
        two = self._source.read(k + 1)
        self._latest = (k + 1, two)
        if one.shape != two.shape or one.dtype != two.dtype:
            kinds = [f"{image.shape[0]}x{image.shape[1]} {image.dtype}" for image in (one, two)]
            raise DataError(f"{self.names()[i]}: no pair: {kinds[0]} and {kinds[1]}, wanted two alike")
        return np.stack([one, two], axis=-1).reshape(*one.shape[:2], -1)


def _series(name: str) -> str:
    """Return what images that belong together share: FILE of FILE[3], else the folder."""
    return name.rpartition("[")[0] if name.endswith("]") else os.path.dirname(name)
