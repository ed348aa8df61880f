"""Generated pairs of pictures of random dots, the second one moved: what a gated RBM learns motion from.

    shifted-dots   the second is the first one shifted, by -3 to 3 pixels down and across
    rotated-dots   the second is the first one rotated about its middle, by any angle

A tenth of the pixels are dots, which are white. The pictures are windows of a larger field of dots, so that
what comes into view is new. The dots of rotated pictures lie between pixels, in both of a pair, and are
shared out among the four around them.

As in R. Memisevic, G. Hinton, Neural Computation 22, 2010. Only + - * and / of counted random numbers are
used, so that every machine makes the same bytes.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featlearn.errors import ConfigError
from featlearn.patches.dead_leaves import cosine
from featlearn.random import Purpose, Random
from featlearn.rows import Array

NAMES = ("shifted-dots", "rotated-dots")
SIZE = 13
DENSITY = 0.1
REACH = 3  # pixels of the farthest shift
TURNS = 3600  # angles there are, a tenth of a degree apart
TOGETHER = 1024  # pairs that are made at a time


def pairs(name: str, block: int, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """(TOGETHER, size, size, 2) pairs of that kind, those from number TOGETHER * block on."""
    rng, draw = Random(seed), block << 16
    corners = math.ceil(size / 4) + 2  # how far a turned window reaches beyond, and two pixels more
    margin = REACH if name == "shifted-dots" else corners
    wide = size + 2 * margin
    u = rng.uniform(TOGETHER * wide * wide, Purpose.IMAGES, draw).reshape(TOGETHER, wide, wide)
    field = np.where(u < DENSITY, 255.0, 0.0)
    row, column = margin + np.arange(size)[:, None], margin + np.arange(size)[None, :]
    if name == "shifted-dots":
        n = np.arange(TOGETHER)[:, None, None]
        by = rng.integers(2 * TOGETHER, 2 * REACH + 1, Purpose.IMAGES, draw | 1).reshape(2, -1, 1, 1) - REACH
        one, two = field[n, row, column], field[n, row + by[0], column + by[1]]
    else:
        angle = rng.integers(TOGETHER, TURNS, Purpose.IMAGES, draw | 2)
        cos, sin = (cosine(4 * angle - back, TURNS)[:, None, None] for back in (0, TURNS))
        middle = (wide - 1) / 2
        y, x = row - middle, column - middle
        down, right = rng.uniform(2 * TOGETHER, Purpose.IMAGES, draw | 1).reshape(2, -1, 1, 1) + middle
        one = _between(field, y + down, x + right)
        two = _between(field, cos * y - sin * x + down, sin * y + cos * x + right)
    return np.asarray(np.floor(np.stack([one, two], axis=-1) + 0.5), np.uint8)


def _between(field: Array, y: Array, x: Array) -> Array:
    """Return the values (n, h, w) of fields (n, wide, wide) at places y, x between their pixels."""
    n = np.arange(len(field))[:, None, None]
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    down, right = y - top, x - left
    found = np.zeros(np.broadcast_shapes(y.shape, x.shape))
    for dy, share in ((0, 1 - down), (1, down)):
        for dx, part in ((0, 1 - right), (1, right)):
            found += share * part * field[n, top + dy, left + dx]
    return found


@dataclass
class GeneratedPairs:
    """A source of n_images generated pairs (size, size, 2)."""

    name: str
    n_images: int
    size: int = SIZE
    seed: int = 0

    labels = None
    label_names = None
    whole_by_default = True
    lost_color = False

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ConfigError(f"generated pairs {self.name!r}: unknown, must be one of {', '.join(NAMES)}")
        if self.n_images < 1 or self.size < 2:
            raise ConfigError(
                f"{self.name}: got {self.n_images} pairs of size {self.size}, wanted 1 of size 2 at least"
            )
        self._block, self._made = -1, np.zeros(0, np.uint8)

    def __len__(self) -> int:
        return self.n_images

    def names(self) -> list[str]:
        return [f"{self.name} {i}" for i in range(self.n_images)]

    def read(self, i: int) -> npt.NDArray[np.uint8]:
        block, place = divmod(i, TOGETHER)
        if block != self._block:
            self._block, self._made = block, pairs(self.name, block, self.size, self.seed)
        return np.array(self._made[place])
