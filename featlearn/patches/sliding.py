"""Codes of whole images: a model slides over each, and what it finds is pooled over the cells of a grid.

The window takes places a stride apart, from the top left; cells share out the rows and the columns of places
evenly: cell i of g has the places from i n // g to (i + 1) n // g. An image's codes depend on that image
alone, to the byte: those of a place are those of its patch, cut out and encoded by itself, and a cell adds
them up row by row, in pieces that depend on the image's size alone.

A. Coates, H. Lee, A. Ng, An analysis of single-layer networks in unsupervised feature learning, AISTATS 2011,
with the sums over quadrants.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from featlearn import _core
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import rows_of_units
from featlearn.rows import Array, Encoder

PLACES = 2048  # places whose patches are encoded together: their codes stay in the cache
PIECE = 4096  # places of a cell at most that are added up together, of wide images those of one row


class Strip(NamedTuple):
    """Places of one cell: rows top..bottom - 1 and columns left..right - 1 of all places."""

    cell: int
    top: int
    bottom: int
    left: int
    right: int
    begins: bool
    """Whether it is the first of its cell."""
    weight: float
    """What a code counts in the cell."""

    @property
    def places(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)


@dataclass(frozen=True)
class Slide:
    """How a window of `shape` (height, width, channels) slides over images, and what is made of its codes.

    `pool` None keeps the codes of all places, a grid (rows, columns) their "sum", "mean" or "max" over each
    cell.
    """

    shape: tuple[int, int, int]
    stride: int = 1
    pool: tuple[int, int] | None = (2, 2)
    pooling: str = "sum"

    @property
    def least(self) -> tuple[int, int]:
        """Height and width of the smallest image with a place for each cell."""
        rows, columns = self.pool or (1, 1)
        return self.shape[0] + self.stride * (rows - 1), self.shape[1] + self.stride * (columns - 1)

    def fits(self, shape: tuple[int, int, int]) -> bool:
        """Whether images (height, width, channels) have a place for each cell."""
        return shape[2] == self.shape[2] and shape[0] >= self.least[0] and shape[1] >= self.least[1]

    @property
    def wants(self) -> str:
        """Which images fit, in words."""
        grid = "" if self.pool is None else f", for {self.pool[0]}x{self.pool[1]} cells"
        return f"wanted {self.least[0]}x{self.least[1]}x{self.shape[2]} or more{grid}"

    def together(self, height: int, width: int) -> int:
        """Return how many images of one size are best encoded together."""
        rows, columns = self.places(height, width)
        return max(1, PLACES // (rows * columns))

    def places(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of places in an image."""
        return (height - self.shape[0]) // self.stride + 1, (width - self.shape[1]) // self.stride + 1

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of codes that an image has in the end."""
        return self.pool or self.places(height, width)

    def strips(self, height: int, width: int) -> Iterator[Strip]:
        """Yield the pieces in which the codes of an image are made, by cells."""
        rows, columns = self.places(height, width)
        down, across = self.pool or (1, 1)
        for cell in range(down * across):
            i, j = divmod(cell, across)
            top, bottom = i * rows // down, (i + 1) * rows // down
            left, right = j * columns // across, (j + 1) * columns // across
            step = max(1, PIECE // (right - left))
            weight = 1 / ((bottom - top) * (right - left)) if self.pooling == "mean" else 1.0
            for start in range(top, bottom, step):
                stop = min(start + step, bottom)
                yield Strip(cell, start, stop, left, right, start == top, weight)


def codes_of_images(
    stacks: Iterable[Array],
    slide: Slide,
    encoder: Encoder,
    preprocess: Preprocess,
    dtype: np.dtype[Any],
    name: str,
    first: int = 0,
) -> Iterator[Array]:
    """Yield the codes (n, grid rows, grid columns, units) of stacks of images (n, height, width, channels).

    Stacks come as `stacks_of` makes them. `name` stands for them in errors, and `first` is the number of the
    first image. Raises DataError where a patch is not finite.
    """
    for images in stacks:
        yield _codes(images, slide, encoder, preprocess, dtype, name, first)
        first += len(images)


def stacks_of(images: Iterable[Array], slide: Slide) -> Iterator[Array]:
    """Yield images (height, width, channels) in stacks of one size and type, as many as go well together."""
    held: list[Array] = []
    for image in images:
        if held and (image.shape != held[0].shape or image.dtype != held[0].dtype):
            yield np.stack(held)
            held = []
        held.append(image)
        if len(held) == slide.together(*image.shape[:2]):
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)


def _codes(
    images: Array,
    slide: Slide,
    encoder: Encoder,
    preprocess: Preprocess,
    dtype: np.dtype[Any],
    name: str,
    first: int,
) -> Array:
    n, height, width, channels = images.shape
    pixels = preprocess.unit_pixels(images.reshape(n, height, width * channels))
    windows = np.lib.stride_tricks.sliding_window_view(
        pixels, (slide.shape[0], slide.shape[1] * channels), (1, 2)
    )[:, :: slide.stride, :: slide.stride * channels]
    out: Array | None = None
    for batch in _batches(slide.strips(height, width), max(1, PLACES // n)):
        many = sum(strip.places for strip in batch)
        patches = np.empty((n, many, preprocess.n_pixels))
        at = 0
        for strip in batch:
            cut = windows[:, strip.top : strip.bottom, strip.left : strip.right]
            patches[:, at : at + strip.places].reshape(cut.shape)[...] = cut
            at += strip.places
        numbers = np.repeat(np.arange(first, first + n), many)
        X = rows_of_units(patches.reshape(n * many, -1), preprocess, dtype, name, numbers)
        with np.errstate(over="ignore", invalid="ignore"):
            H = encoder.encode(X).reshape(n, many, -1)
            if out is None:
                out = np.empty((n, *slide.grid(height, width), H.shape[2]), H.dtype)
            _pool(out.reshape(n, -1, H.shape[2]), H, batch, slide)
    assert out is not None
    return out


def _batches(strips: Iterator[Strip], most: int) -> Iterator[list[Strip]]:
    """Yield strips in a row that have `most` places together, or one that has more."""
    held: list[Strip] = []
    for strip in strips:
        if held and sum(one.places for one in held) + strip.places > most:
            yield held
            held = []
        held.append(strip)
    yield held


def _pool(out: Array, H: Array, batch: list[Strip], slide: Slide) -> None:
    """Take the codes H (n, places, units) of these strips into their cells `out` (n, cells, units).

    Of a cell that a strip begins nothing is there yet.
    """
    at = 0
    for strip in batch:
        codes = H[:, at : at + strip.places]
        at += strip.places
        if slide.pool is None:
            start = strip.top * (strip.right - strip.left)
            out[:, start : start + strip.places] = codes
            continue
        for image, cells in zip(codes, out, strict=True):
            cell = cells[strip.cell]
            if slide.pooling == "max":
                np.maximum(image.max(axis=0), -np.inf if strip.begins else cell, out=cell)
            else:
                _core.colsum(cell, image, strip.weight, 0.0 if strip.begins else 1.0)
