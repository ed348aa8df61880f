"""Generated images with the statistics of photographs, for a start without data, and a negative control.

Dead leaves (Lee, Mumford & Huang, "Occlusion models for natural images", IJCV 41, 2001): opaque discs of
uniform grey, radius density r^-3, fall on the plane until no ground is seen. Painted front to back at twice
the size, then averaged.

    dead-leaves        radii from 4 to 256 pixels, blurred by .7 pixel: the best edges; amplitude spectrum
                       near f^-1.4
    dead-leaves-photo  radii from 2 to 256 pixels, no blur: nearest to photographs; near f^-1.1
    pink-noise         Gaussian noise of amplitude 1/f: the spectrum of photographs without their edges

Only + - * / and sqrt of counted random numbers are used, so that every machine makes the same bytes.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.random import Purpose, Random
from featlearn.rows import Array

NAMES = ("dead-leaves", "dead-leaves-photo", "pink-noise")

PAINT = 2  # painted pixels to a side of a pixel
R_MAX = 256 * PAINT
DISCS = 4096  # discs of one draw
FEW = 512  # open pixels from which on discs are tested against pixels, no longer painted

# A Gaussian of sd .7 pixel (1.4 painted ones) in 1/1024, so that no library's exp decides a byte, then the
# average of the PAINT painted pixels; and that average alone.
_GAUSS = (1, 5, 29, 105, 226, 292, 226, 105, 29, 5, 1)
_BLURRED = tuple((a + b) / (PAINT * 1024) for a, b in zip((0, *_GAUSS), (*_GAUSS, 0), strict=True))
_SHARP = (1 / PAINT,) * PAINT


def generate(name: str, i: int, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """(size, size, 1) image number i of the kind `name`. Raises ConfigError for an unknown kind."""
    rng = Random(seed)
    if name == "dead-leaves":
        grey = _shrink(_discs(rng, i, size * PAINT, r_min=4 * PAINT), _BLURRED)
    elif name == "dead-leaves-photo":
        grey = _shrink(_discs(rng, i, size * PAINT, r_min=2 * PAINT), _SHARP)
    elif name == "pink-noise":
        grey = _pink(rng, i, size)
    else:
        raise ConfigError(f"generated images {name!r}: unknown, must be one of {', '.join(NAMES)}")
    return np.floor(grey * 255 + 0.5).astype(np.uint8)[:, :, None]


def _discs(rng: Random, i: int, n: int, r_min: float) -> Array:
    """(n, n) greys in [0, 1): the first disc over a pixel is the one that is seen."""
    grey = np.full((n, n), -1.0)
    centre = np.arange(n) + 0.5
    draw, n_open = 0, n * n
    while n_open > 0:
        u = rng.uniform(4 * DISCS, Purpose.IMAGES, (i << 16) | draw).reshape(4, DISCS)
        draw += 1
        x, y = u[:2] * (n + 2 * R_MAX) - R_MAX
        r = r_min / np.sqrt(1 - u[2] * (1 - (r_min / R_MAX) ** 2))
        near = (x + r > 0) & (x - r < n) & (y + r > 0) & (y - r < n)
        x = x[near]
        y = y[near]
        r = r[near]
        shade = u[3, near]
        if n_open > FEW:
            _paint(grey, centre, x, y, r, shade)
        else:
            rows, columns = np.nonzero(grey < 0)
            over = (centre[rows, None] - y) ** 2 + (centre[columns, None] - x) ** 2 < r * r
            hit = over.any(axis=1)
            grey[rows[hit], columns[hit]] = shade[over.argmax(axis=1)[hit]]
        n_open = int(np.count_nonzero(grey < 0))
    return grey


def _paint(grey: Array, centre: Array, x: Array, y: Array, r: Array, shade: Array) -> None:
    """Discs in their order, each only where no earlier one lies."""
    n = len(grey)
    left, right = np.maximum(x - r, 0).astype(int).tolist(), np.minimum(x + r + 1, n).astype(int).tolist()
    top, bottom = np.maximum(y - r, 0).astype(int).tolist(), np.minimum(y + r + 1, n).astype(int).tolist()
    for k in range(len(x)):
        box = grey[top[k] : bottom[k], left[k] : right[k]]
        dy, dx = centre[top[k] : bottom[k]] - y[k], centre[left[k] : right[k]] - x[k]
        box[((dy * dy)[:, None] + dx * dx < r[k] * r[k]) & (box < 0)] = shade[k]


def _shrink(painted: Array, taps: tuple[float, ...]) -> Array:
    """(n / PAINT, n / PAINT): filtered along both axes and taken at every PAINT-th place; edges repeated."""
    margin = (len(taps) - PAINT) // 2
    padded = np.pad(painted, margin, mode="edge")
    for _ in range(2):  # along the rows, then along the columns
        size = (len(padded) - 2 * margin) // PAINT
        total = taps[0] * padded[: size * PAINT : PAINT]
        for k, tap in enumerate(taps[1:], 1):
            total = total + tap * padded[k : k + size * PAINT : PAINT]
        padded = total.T
    return padded


def _pink(rng: Random, i: int, n: int) -> Array:
    """Return greys (n, n) of mean 0.5 and sd 0.2, of white noise scaled by 1/f.

    That is done between two Hartley transforms, which are real.
    """
    turns = np.arange(n)[:, None] * np.arange(n) % n * 4
    hartley = (cosine(turns, n) + cosine(turns - n, n)) / np.sqrt(n)
    f = np.minimum(np.arange(n), n - np.arange(n)).astype(np.float64)
    f2 = f[:, None] * f[:, None] + f * f
    f2[0, 0] = np.inf  # no mean
    noise = rng.normal((n, n), np.float64, Purpose.IMAGES, i << 16) / np.sqrt(f2)
    half, field = np.empty((n, n)), np.empty((n, n))
    _core.gemm(half, hartley, noise)
    _core.gemm(field, half, hartley)
    sd = math.sqrt(math.fsum((1 / f2).flat)) / n or 1.0
    grey: Array = np.clip(0.5 + 0.2 / sd * field, 0, 1)
    return grey


def cosine(quarters: Array, n: int) -> Array:
    """Return cos(2 pi q / 4n) of integers q, to 1e-15: reduced to the first quarter, then Taylor's series."""
    q = np.abs(quarters) % (4 * n)
    q = np.minimum(q, 4 * n - q)
    beyond = q > n
    x = np.pi / 2 * np.where(beyond, 2 * n - q, q) / n
    total, x2 = np.ones_like(x), x * x
    for k in range(22, 0, -2):
        total = 1 - x2 / (k * (k - 1)) * total
    cos: Array = np.where(beyond, -total, total)
    return cos


@dataclass(frozen=True)
class Generated:
    """A source of n_images generated images: what open_sources makes of files, made of nothing."""

    name: str
    n_images: int
    size: int = 256
    seed: int = 0

    labels = None
    label_names = None
    whole_by_default = False
    lost_color = False

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ConfigError(f"generated images {self.name!r}: unknown, must be one of {', '.join(NAMES)}")
        if self.n_images < 1 or self.size < 1:
            raise ConfigError(
                f"{self.name}: got {self.n_images} images of size {self.size}, both must be at least 1"
            )

    def __len__(self) -> int:
        return self.n_images

    def names(self) -> list[str]:
        return [f"{self.name} {i}" for i in range(self.n_images)]

    def read(self, i: int) -> npt.NDArray[np.uint8]:
        return generate(self.name, i, self.size, self.seed)
