"""The first 512 bytes of every file of ours (an HDF5 user block).

They hold kind, version and the SHA-256 of all that follows.

featlearn-model 1
sha256 <64 hexadecimal digits>
(NUL bytes up to 512)
"""

import hashlib
import re
from collections.abc import Iterable

from featlearn.errors import DataError, show
from featlearn.files.paths import read_start

SIZE = 512
VERSION = 1
DATASET, MODEL = "featlearn-dataset", "featlearn-model"
WORDS = {
    DATASET: "a data set (featlearn extract-patches makes one)",
    MODEL: "a model (featlearn train makes one)",
}
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_OTHERS = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x93NUMPY", "a .npy file"),
    (b"PK\x03\x04", "a zip or .npz file"),
    (b"MATLAB", "a MATLAB file"),
    (b"\0\0\x08", "an IDX file"),
)


def make(kind: str, digest: str) -> bytes:
    """Return the 512 bytes."""
    return f"{kind} {VERSION}\nsha256 {digest}\n".encode().ljust(SIZE, b"\0")


def digest(parts: Iterable[bytes | bytearray | memoryview]) -> str:
    """SHA-256 in hexadecimal of everything behind the block, given piece by piece."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part)
    return sha.hexdigest()


def parse(path: str, head: bytes, wanted: str | None = None) -> tuple[str, str]:
    """(kind, digest) from the first bytes.

    Raises DataError unless the block is whole and of kind `wanted`.
    """
    place, want = show(path), WORDS.get(wanted or "", "a file that featlearn wrote")
    match = re.match(rb"(featlearn-(?:dataset|model)) ([0-9]{1,9})\n", head)
    if not match:
        raise DataError(f"{place}: is {_what_else(head)}, wanted {want}")
    kind, version = match[1].decode(), int(match[2])
    if wanted and kind != wanted:
        raise DataError(f"{place}: is a featlearn {'model' if kind == MODEL else 'data set'}, wanted {want}")
    if version > VERSION:
        raise DataError(
            f"{place}: has format version {version}, this featlearn reads up to {VERSION}; upgrade featlearn"
        )
    found = head[match.end() : SIZE].partition(b"\n")[0].removeprefix(b"sha256 ")
    if not re.fullmatch(rb"[0-9a-f]{64}", found) or head[:SIZE] != make(kind, found.decode()):
        raise DataError(f"{place}: first {SIZE} bytes are damaged or cut off; make the file again")
    return kind, found.decode()


def file_kind(path: str, wanted: str | None = None) -> str:
    """Return DATASET or MODEL. Raises DataError for every other file, and for one that is not `wanted`."""
    return parse(path, read_start(path, SIZE), wanted)[0]


def is_ours(path: str) -> bool:
    """Return whether a file begins as those that featlearn wrote, whole or not.

    Raises DataError if it cannot be read.
    """
    return read_start(path, SIZE).startswith((DATASET.encode(), MODEL.encode()))


def check_root(path: str, kind: str, format: object, version: object) -> None:
    """Hold the root attributes format and format_version against the block's kind. Raises DataError."""
    # The version's type comes first: of an array, != has no one answer.
    if not isinstance(format, str) or not isinstance(version, int) or (format, version) != (kind, VERSION):
        raise DataError(
            f"{show(path)}: format is {format!r:.40} version {version!r:.20}, wanted {kind!r} {VERSION}"
        )


def _what_else(head: bytes) -> str:
    if not head:
        return "empty"
    if any(head[at : at + 8] == HDF5_MAGIC for at in (0, SIZE)) and not head.startswith(b"MATLAB"):
        return "an HDF5 file that featlearn did not write"
    for magic, words in _OTHERS:
        if head.startswith(magic):
            return words
    return "not an HDF5 file"
