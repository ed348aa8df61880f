"""Arrays as sources of images: one rule for what their dimensions mean, whatever file they lie in."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from featlearn.errors import DataError, show
from featlearn.files.budget import Budget
from featlearn.files.color import loses_color, to_color
from featlearn.files.stored import Stored, pieces
from featlearn.rows import Array


def as_it_is(entry: Array) -> Array:
    return entry


def transposed(entry: Array) -> Array:
    return entry.T


def as_row(entry: Array) -> Array:
    """(d,) as an image of one line."""
    return entry[None, :]


@dataclass
class ArraySource:
    """A source of n images.

    `entries` are (n, ...) of any plain number type; `arrange` makes (h, w) or (h, w, 1 or 3) of each.
    """

    name: str
    entries: Array | Stored
    color: str | None
    labels: Array | None = None
    label_names: list[str] | None = None
    whole_by_default: bool = False
    arrange: Callable[[Array], Array] = as_it_is
    dtype: np.dtype[Any] | None = None
    """uint8, uint16 or float32, whichever holds the values; found out where it is not given."""
    lost_color: bool = False

    def __post_init__(self) -> None:
        if self.arrange is as_row and self.color == "rgb":
            raise DataError(
                f"{show(self.name)}: rows of numbers have no colour; take images, or leave out --color"
            )
        if self.dtype is None:
            self.dtype = self._stored_as()

    def __len__(self) -> int:
        return len(self.entries)

    def names(self) -> list[str]:
        return [self.name] if len(self) == 1 else [f"{self.name}[{i}]" for i in range(len(self))]

    def read(self, i: int) -> Array:
        """Image i as (h, w, c) uint8, uint16 or float32."""
        image = self.arrange(self.entries[i])
        assert self.dtype is not None
        scale = 255 if image.dtype.kind == "b" else 1
        pixels = image.astype(self.dtype) * self.dtype.type(scale)
        self.lost_color = self.lost_color or loses_color(pixels, self.color)
        return to_color(pixels, self.color)

    def _stored_as(self) -> np.dtype[Any]:
        """The dtype that holds the values. Raises DataError when none does."""
        dtype = self.entries.dtype
        if dtype.kind == "b" or dtype == np.uint8:
            return np.dtype(np.uint8)
        if dtype.newbyteorder("=") == np.uint16:
            return np.dtype(np.uint16)
        if dtype.kind == "f":
            self._check_finite()
            return np.dtype(np.float32)
        if dtype.kind not in "iu":
            raise DataError(f"{show(self.name)}: {dtype} values, wanted integers or floats")
        bounds = [(int(part.min()), int(part.max())) for _, part in pieces(self.entries)]
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        if low < 0 or high > 65535:
            raise DataError(
                f"{show(self.name)}: integers {low}..{high}, wanted 0..255 or 0..65535, or floats"
            )
        return np.dtype(np.uint8 if high <= 255 else np.uint16)

    def _check_finite(self) -> None:
        bad: list[int] = []
        count = 0
        for first, part in pieces(self.entries):
            with np.errstate(over="ignore"):
                finite = np.isfinite(part.astype(np.float32, copy=False))
            if not finite.all():
                found = np.flatnonzero(~finite.reshape(len(part), -1).all(axis=1))
                bad.append(first + int(found[0]))
                count += len(found)
        if bad:
            what = "row" if self.arrange is as_row else "image"
            raise DataError(
                f"{show(self.name)}: {what} {bad[0]} holds NaN or infinity "
                f"({count} of {len(self)} {what}s do)"
            )


class Arranged(NamedTuple):
    """An array with what makes an image of an entry."""

    entries: Array | Stored
    arrange: Callable[[Array], Array]


def arrange(path: str, place: str, array: Array | Stored) -> Arranged:
    """The one rule: (n, d) is n rows of d numbers; (n, h, w) and (n, h, w, 1 or 3) are n images.

    Raises DataError.
    """
    shape = array.shape
    if array.ndim == 3:
        _refuse_ambiguous(place, shape, "(1, h, w, 3)")
    if array.ndim not in (2, 3, 4) or min(shape) < 1 or (array.ndim == 4 and shape[3] not in (1, 3)):
        raise DataError(
            f"{show(place)}: array {shape}, wanted n rows (n, d) or n images (n, h, w) or (n, h, w, 3)"
            + _colours_last(shape)
        )
    return Arranged(array, as_row if array.ndim == 2 else as_it_is)


def arrange_by_matlab(path: str, place: str, array: Array | Stored) -> Arranged:
    """Apply the same rule to an array whose axes are MATLAB's reversed.

    Images are (h, w, n) and (h, w, 1 or 3, n) there.
    """
    shape = array.shape[::-1]
    if array.ndim == 3:
        _refuse_ambiguous(place, shape, "(h, w, 3, 1)")
    if array.ndim == 3 or (array.ndim == 4 and shape[2] in (1, 3)):
        return Arranged(array, transposed)
    Budget(path).claim(array.nbytes)
    return arrange(path, place, np.asarray(array).T)


def _refuse_ambiguous(place: str, shape: tuple[int, ...], remedy: str) -> None:
    if shape[2] == 3:
        raise DataError(
            f"{show(place)}: {shape} may be one colour image or a stack of grey ones; save colour as {remedy}"
        )


def _colours_last(shape: tuple[int, ...]) -> str:
    """Return the remedy for images (n, 1 or 3, h, w), whose colours stand first; else nothing."""
    if len(shape) == 4 and shape[1] in (1, 3):
        return "; put the colours last: X.transpose(0, 2, 3, 1)"
    return ""


def choose_arrays(path: str, shapes: Mapping[str, tuple[int, ...]], member: str | None) -> list[str]:
    """The names of the arrays to take: the one that is named; else all of images; else all of rows.

    Matrices beside images are their labels or sizes, and so are vectors (n, 1) or (1, n) beside matrices.
    Raises DataError.
    """
    if member is not None:
        if member not in shapes:
            known = ", ".join(sorted(shapes)[:10]) or "none"
            raise DataError(f"{show(path)}: has no array {member!r} of numbers; there are {known}")
        return [member]
    able = {name: shape for name, shape in shapes.items() if 2 <= len(shape) <= 4 and min(shape) > 0}
    matrices = {name: shape for name, shape in able.items() if len(shape) == 2 and min(shape) > 1}
    stacks = {name: shape for name, shape in able.items() if len(shape) > 2 and sorted(shape)[-2] > 1}
    chosen = sorted(stacks or matrices or able)
    if not chosen:
        raise DataError(f"{show(path)}: has no array of numbers of 2, 3 or 4 dimensions")
    widths = {able[name][1] for name in chosen if len(able[name]) == 2}
    if len(widths) > 1:
        words = ", ".join(f"{name} {able[name][0]}x{able[name][1]}" for name in chosen[:5])
        raise DataError(
            f"{show(path)}: has rows of several lengths ({words}); name the array to read, "
            f"as in {show(path)}:{chosen[0]}"
        )
    return chosen


def array_sources(
    path: str,
    arrays: Mapping[str, Array | Stored],
    color: str,
    find: Callable[[str, str, Array | Stored], Arranged] = arrange,
) -> list[ArraySource]:
    """The arrays as sources, FILE:NAME, or FILE where the name is empty. Raises DataError."""
    sources = []
    for name, array in sorted(arrays.items()):
        place = f"{path}:{name}" if name else path
        entries, how = find(path, place, array)
        claim_image(path, entries.shape)
        sources.append(ArraySource(place, entries, color, whole_by_default=how is as_row, arrange=how))
    return sources


def claim_image(path: str, shape: tuple[int, ...]) -> None:
    """One image is in memory at a time, as floats at most, and grey may become colour. Raises DataError."""
    Budget(path).claim(math.prod(shape[1:]) * 12, "one image")
