"""Patches cut out of images: at random places, on a grid, or whole images.

`survey` (survey.py) reads every image once and says what there will be; `Plan.blocks` then makes the patches
in their final order. What they are depends on the images, the extraction and the seed alone: row i is counted
from (seed, i). Memory stays bounded for any number of them.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise, zip_longest
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from featlearn import _core, ranks
from featlearn.errors import DataError
from featlearn.patches.settings import Extraction
from featlearn.random import Purpose, Random
from featlearn.rows import Array

Int64 = npt.NDArray[np.int64]

CACHE = 64 << 20  # bytes of decoded images that are kept
STRIPE = 128 << 20  # bytes of patches that are filled together, image by image
BLOCK = 8 << 20  # bytes of a block that is handed out
PLACE = 96  # bytes that the place of a row takes while its stripe is made
PIECE = 1 << 20  # bytes of patches that are cut at a time
DRAW = 1 << 16  # rows whose places come from one draw
RUNS = 16  # runs of images, one after the other, that a rank has at most
SMALL = 64
"""Pixels a side up to which images come whole: digits have 8 to 28, CIFAR-10 and SVHN 32, faces up to 64."""

COLORS = {1: "gray", 3: "rgb"}
"""How images are read, by the channels of a patch."""
DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))  # from narrow to wide


class Source(Protocol):
    """Images from one place, by number."""

    @property
    def labels(self) -> Array | None: ...
    @property
    def label_names(self) -> list[str] | None: ...
    @property
    def whole_by_default(self) -> bool: ...
    def __len__(self) -> int: ...
    def names(self) -> list[str]: ...
    def read(self, i: int, /) -> Array: ...


class Block(NamedTuple):
    """Some rows: patches (m, d), labels (m,), and origin (m, 3): image, row, column of the top left pixel."""

    patches: Array
    origin: Int64
    labels: Int64 | None


class Images:
    """The images of all sources by running number; the first of them and the latest stay decoded.

    Where they are `shared`, each is read by one rank alone; else all ranks read all.
    """

    def __init__(self, sources: Sequence[Source], shared: bool = False) -> None:
        self.names = [name for source in sources for name in source.names()]
        self.shared = shared and ranks.size > 1
        self._run = max(1, len(self.names) // (RUNS * ranks.size))
        self._sources = sources
        self._starts = list(accumulate((len(source) for source in sources), initial=0))[:-1]
        self._kept: dict[int, Array] = {}
        self._room = CACHE
        self._latest: tuple[int, Array | None] = (-1, None)

    def owner(self, numbers: Int64) -> Int64:
        """Return the rank that reads each of these images."""
        if not self.shared:
            return np.full(len(numbers), ranks.rank)
        return np.asarray(numbers // self._run % ranks.size)

    def read(self, number: int) -> Array:
        """(h, w, c). Raises DataError for what cannot be read."""
        image = self._kept.get(number)
        if image is not None:
            return image
        if self._latest[0] == number and self._latest[1] is not None:
            return self._latest[1]
        self._latest = (-1, None)  # room for the next one
        k = bisect_right(self._starts, number) - 1
        image = self._sources[k].read(number - self._starts[k])
        if image.nbytes <= self._room:
            self._room -= image.nbytes
            self._kept[number] = image
        else:
            self._latest = (number, image)
        return image


def are_small(shapes: Int64) -> bool:
    """Whether images of `shapes` (n, 3) have one size of at most SMALL pixels a side."""
    return bool((shapes == shapes[0]).all()) and int(shapes[0, :2].max()) <= SMALL


class Plan:
    """A plan of `n` patches of `shape` (height, width, channels) and `dtype`.

    They take `n_bytes` with their origins and labels. The first column of the origins counts `images`, which
    are names of images of `shapes` (n, 3); `skipped` images give none.
    """

    def __init__(
        self,
        images: Images,
        extraction: Extraction,
        index: Int64,
        shapes: Int64,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        labels: Int64 | None,
        label_names: list[str] | None,
        skipped: int,
    ) -> None:
        self._images = images
        self.extraction = extraction
        self._index = index
        self.shapes = shapes
        self.shape = shape
        self.dtype = dtype
        self.skipped = skipped
        self.images = [images.names[number] for number in index.tolist()]
        self.labels = None if labels is None else labels[index]
        self.label_names = label_names
        self._stride = extraction.stride or 1
        places = (shapes[:, :2] - shape[:2]) // self._stride + 1
        self._across = places[:, 1]
        self._ends = np.cumsum(places[:, 0] * places[:, 1])  # places of all images in one row
        self.n = int(self._ends[-1]) if extraction.count is None else extraction.count

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images, where all have the same."""
        height, width = self.shapes[0, :2].tolist()
        return (height, width) if bool((self.shapes[:, :2] == (height, width)).all()) else None

    @property
    def images_are_small(self) -> bool:
        """Whether they have one size, of so few pixels a side that many of them come whole unasked."""
        return are_small(self.shapes)

    @property
    def n_pixels(self) -> int:
        """Width of a row: height x width x channels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def n_bytes(self) -> int:
        return self.n * (self.n_pixels * self.dtype.itemsize + 24 + (0 if self.labels is None else 8))

    def whole(self, start: int, stop: int) -> Iterator[Array]:
        """Yield those of the images that give patches, (height, width, channels) each, as they are read.

        Raises DataError for an image that has changed since the survey.
        """
        return (self._read(k) for k in range(start, stop))

    def blocks(self) -> Iterator[Block]:
        """All rows in their order; of images that ranks share, on the first rank alone.

        Raises DataError for an image that has changed since the survey. Memory: a stripe, the kept images,
        and with drop_flat 20 bytes a row.
        """
        row_bytes = self.n_pixels * self.dtype.itemsize
        # Random places come from everywhere: the larger the stripe, the fewer times an image is read.
        stripe = max(1, (BLOCK if self.extraction.count is None else STRIPE) // (row_bytes + PLACE))
        size = max(1, BLOCK // row_bytes)
        candidates = self._candidates()
        buffer = np.empty((min(stripe, self.n), self.n_pixels), self.dtype)
        for start in range(0, self.n, stripe):
            stop = min(start + stripe, self.n)
            origin = self._origins(np.arange(start, stop) if candidates is None else candidates[start:stop])
            for where, patches in self._cut(origin):
                buffer[where] = patches
            if self._images.shared and ranks.rank:
                continue
            for a in range(0, stop - start, size):
                b = min(a + size, stop - start)
                labels = None if self.labels is None else self.labels[origin[a:b, 0]]
                yield Block(buffer[a:b].copy(), origin[a:b].copy(), labels)

    def _origins(self, rows: Int64) -> Int64:
        """(m, 3) of ascending row numbers; random places are counted by them."""
        place = rows
        if self.extraction.count is not None:
            rng, place = Random(self.extraction.seed), np.empty_like(rows)
            for draw in range(int(rows[0]) // DRAW, int(rows[-1]) // DRAW + 1):
                a, b = np.searchsorted(rows, (draw * DRAW, (draw + 1) * DRAW))
                drawn = rng.integers(DRAW, int(self._ends[-1]), Purpose.PATCHES, draw)
                place[a:b] = drawn[rows[a:b] - draw * DRAW]
        origin = np.empty((len(rows), 3), np.int64)
        origin[:, 0] = image = np.searchsorted(self._ends, place, side="right")
        first = np.concatenate(([0], self._ends[:-1]))
        row, column = np.divmod(place - first[image], self._across[image])
        origin[:, 1], origin[:, 2] = row * self._stride, column * self._stride
        return origin

    def _cut(self, origin: Int64) -> Iterator[tuple[Int64, Array]]:
        """The patches at these origins in small batches: (their places in origin, patches).

        Of images that ranks share the first rank has all.
        """
        batches, owners = self._batches(origin)

        def made(i: int) -> Array:
            return self._patches(origin[batches[i]])

        def empty(i: int) -> Array:
            return np.empty((len(batches[i]), self.n_pixels), self.dtype)

        if not self._images.shared:
            return zip(batches, map(made, range(len(batches))), strict=True)
        return zip(batches, ranks.to_first(made, empty, len(batches), owners), strict=False)

    def _batches(self, origin: Int64) -> tuple[list[Int64], list[int]]:
        """Places in origin by images, so many as are cut at a time, and the rank of each batch, in turn."""
        order = np.argsort(origin[:, 0], kind="stable")
        owner = self._images.owner(self._index[origin[order, 0]])
        size = max(1, PIECE // (self.n_pixels * self.dtype.itemsize))
        parts = {rank: order[owner == rank] for rank in np.unique(owner).tolist()}
        cut = (
            [(part[i : i + size], rank) for i in range(0, len(part), size)] for rank, part in parts.items()
        )
        turns = [one for turn in zip_longest(*cut) for one in turn if one is not None]
        return [where for where, _ in turns], [rank for _, rank in turns]

    def _patches(self, origin: Int64) -> Array:
        """(m, n_pixels) at these origins, whose images stand side by side."""
        height, width, channels = self.shape
        out = np.empty((len(origin), self.n_pixels), self.dtype)
        image = origin[:, 0]
        bounds = [0, *(np.flatnonzero(np.diff(image)) + 1).tolist(), len(origin)]
        for a, b in pairwise(bounds):
            pixels = self._read(int(image[a]))
            if pixels.size == self.n_pixels:
                out[a:b] = self._widen(pixels.reshape(1, -1))
                continue
            # Channels lie side by side in a row, so a patch is a window of width x channels columns.
            flat = pixels.reshape(pixels.shape[0], -1)
            windows = np.lib.stride_tricks.sliding_window_view(flat, (height, width * channels))
            patches = windows[origin[a:b, 1], origin[a:b, 2] * channels]
            out[a:b] = self._widen(patches.reshape(b - a, -1))
        return out

    def _read(self, k: int) -> Array:
        pixels = self._images.read(int(self._index[k]))
        if pixels.shape != tuple(self.shapes[k]):
            raise DataError(f"{self.images[k]}: has changed while it was read; try again")
        return pixels

    def _widen(self, pixels: Array) -> Array:
        """In the dtype of the plan: the same greys, 0 to 255, 0 to 65535 or 0 to 1."""
        if pixels.dtype == self.dtype:
            return pixels
        if self.dtype == np.uint16:
            return pixels * np.uint16(257)
        return (pixels / np.float64(np.iinfo(pixels.dtype).max)).astype(np.float32)

    def _candidates(self) -> Int64 | None:
        """(n,) the random rows that are kept, ascending; None for all.

        Equal variances: the first ones stay.
        """
        if not self.extraction.drop_flat:
            return None
        total = int(np.ceil(self.n / (1 - self.extraction.drop_flat)))
        variance = np.empty(total, np.float32)
        step = max(1, STRIPE // PLACE)
        for start in range(0, total, step):
            part = variance[start : start + step]
            origin = self._origins(np.arange(start, start + len(part)))
            found = self._variances(origin)
            part[...] = ranks.total(found) if self._images.shared else found
        least = np.partition(variance, total - self.n)[total - self.n]
        keep = variance > least
        equal = np.flatnonzero(variance == least)
        keep[equal[: self.n - np.count_nonzero(keep)]] = True
        return np.flatnonzero(keep)

    def _variances(self, origin: Int64) -> Array:
        """(m,) float32 `_variance` of the patches at these origins; zero for those that another rank cuts."""
        found = np.zeros(len(origin), np.float32)
        for where, owner in zip(*self._batches(origin), strict=True):
            if owner == ranks.rank:
                ranks.heed()
                found[where] = self._variance(self._patches(origin[where]))
        return found

    def _variance(self, patches: Array) -> Array:
        """(m,) sum of squares about the mean of each channel, in an order that does not depend on m."""
        m, channels = len(patches), self.shape[2]
        X = patches.astype(np.float64)
        of_channel = np.tile(np.eye(channels), (self.n_pixels // channels, 1))
        means = np.empty((m, channels))
        _core.gemm(means, X, of_channel)
        means /= self.n_pixels // channels
        out = np.empty(m)
        _core.row_sqdist(out, X, np.tile(means, self.n_pixels // channels))
        return out
