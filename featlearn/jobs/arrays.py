"""Images that are handed over as arrays: checked, and read as raw patches block by block."""

import hashlib
from typing import Any

import numpy as np

from featlearn.errors import DataError, reason
from featlearn.patches.extract import COLORS
from featlearn.patches.pairs import PAIR_CHANNELS
from featlearn.patches.rows import Raw
from featlearn.rows import Array, edges

PIXELS = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32), np.dtype(np.float64))


class Patches:
    """Raw patches (n, d) of an array (n, ...) of any memory order, which may lie in a file.

    Pixels stay what they are: uint8 and uint16 with their full range, floats as they are. Truth values become
    0 and 255; floats of other sizes float32 or float64. Raises DataError for what holds no pixels.
    """

    def __init__(self, values: Array, name: str = "X") -> None:
        dtype = values.dtype.newbyteorder("=")
        if dtype.kind == "b":
            dtype = np.dtype(np.uint8)
        elif dtype.kind == "f" and dtype not in PIXELS:
            dtype = np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
        if dtype not in PIXELS:
            raise DataError(
                f"{name}: {values.dtype} values; give pixels as uint8 (0..255) "
                "or uint16 (0..65535), or floats"
            )
        self.values, self.dtype = values, dtype
        self.n_pixels = int(np.prod(values.shape[1:]))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: Any, /) -> Array:
        part = np.asarray(self.values[key])
        rows = part.reshape(len(part), self.n_pixels).astype(self.dtype, order="C", copy=False)
        return rows * np.uint8(255) if part.dtype.kind == "b" else rows


def array_of(X: Any, name: str = "X") -> Array:
    """Return what is array-like as an array of at least two dimensions. Raises DataError."""
    if isinstance(X, np.ma.MaskedArray):
        raise DataError(f"{name}: a masked array; fill in what is masked, or leave it out")
    try:
        values: Array = np.asanyarray(X)
    except ValueError as error:
        raise DataError(f"{name}: is no array: {reason(error)}") from error
    if values.ndim < 2 or values.dtype.kind not in "buif":
        found = f"an array {values.shape} of {values.dtype}" if values.ndim else repr(X)[:60]
        raise DataError(
            f"{name}: {found}; give rows (n, d), or images (n, height, width) or (n, height, width, channels)"
        )
    if 0 in values.shape:
        raise DataError(f"{name}: an array {values.shape}, which is empty")
    return values


def image_shape(values: Array, name: str = "X") -> tuple[int, int, int]:
    """Return (height, width, channels) of images; rows are images of one line. Raises DataError."""
    if values.ndim == 2:
        return 1, values.shape[1], 1
    if values.ndim == 3:
        return values.shape[1], values.shape[2], 1
    if values.ndim == 4 and values.shape[3] in (*COLORS, *PAIR_CHANNELS):
        return values.shape[1], values.shape[2], values.shape[3]
    raise DataError(
        f"{name}: an array {values.shape}; images are (n, height, width), or (n, height, width, channels) "
        "with 1 or 3 channels, 2 or 6 of pairs"
    )


def patches_like(X: Any, shape: tuple[int, int, int], trained: str, name: str = "X") -> Patches:
    """Return images or rows for a model that was `trained` on such a shape. Raises DataError for others."""
    values = array_of(X, name)
    height, width, channels = shape
    fitting: list[tuple[int, ...]] = [(height * width * channels,), shape]
    if channels == 1:
        fitting.append((height, width))
    if values.shape[1:] not in fitting:
        wanted = " or ".join("(n, " + ", ".join(map(str, one)) + ")" for one in dict.fromkeys(fitting))
        raise DataError(f"{name}: an array {values.shape}, but {trained}; wanted {wanted}")
    return Patches(values, name)


def digest(patches: Raw, shape: tuple[int, int, int]) -> str:
    """Return the SHA-256 of images, whatever their order in memory."""
    sha = hashlib.sha256(f"{patches.dtype.str} {len(patches)} {shape}\n".encode())
    for start, stop in edges(len(patches)):
        sha.update(np.ascontiguousarray(patches[start:stop]).data.cast("B"))
    return sha.hexdigest()
