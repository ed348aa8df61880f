"""Inputs of the command line as sources of images: files, folders, and containers of many images."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any, Protocol

import numpy as np

from featlearn.errors import DataError, show
from featlearn.files import containers, header
from featlearn.files.cifar import PICKLES, open_cifar, open_pickled_cifar
from featlearn.files.dataset_source import open_dataset
from featlearn.files.folders import Excluded, find_images
from featlearn.files.idx import read_idx
from featlearn.files.images import SUFFIXES, count_frames, read_image
from featlearn.files.limits import MAX_PIXELS
from featlearn.files.paths import check_regular, open_regular
from featlearn.rows import Array

NAMED = 10  # files that a message names; of the others it gives the number


class Source(Protocol):
    """Some images, read one at a time."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Array | None:
        """(n,) int64, or None."""

    @property
    def label_names(self) -> list[str] | None:
        """What the labels mean, the same list for all sources opened together."""

    @property
    def whole_by_default(self) -> bool:
        """Whether an image is usually taken whole (digits) and not cut into patches (photographs)."""

    @property
    def lost_color(self) -> bool:
        """Whether an image that has been read had colours, which became grey."""

    def __len__(self) -> int: ...
    def names(self) -> list[str]:
        """One name an image."""

    def read(self, i: int) -> Array:
        """Image i as (h, w, 1 or 3) uint8, uint16 or float32. Raises DataError when it is unreadable."""


class Notes:
    """What is odd about images that are read: held, until it is said.

    The first ones are said, of more only that there are some.
    """

    def __init__(self, warn: Callable[[str], None] = lambda text: None) -> None:
        self.warn = warn
        self._held: list[str] = []
        self._said: set[str] = set()

    def hold(self, text: str) -> None:
        self._held.append(text)

    def taken(self) -> list[str]:
        """Return what is held, which is no more then."""
        held, self._held = self._held, []
        return held

    def say(self, text: str) -> None:
        if text in self._said:
            return
        self._said.add(text)
        if len(self._said) <= NAMED:
            self.warn(text)
        elif len(self._said) == NAMED + 1:
            self.warn("more images are like that; they are not named")


@dataclass
class Reading:
    """The way image files are read: in `color` "gray" or "rgb", up to `max_pixels`.

    What is odd is told to `warn`.
    """

    color: str = "gray"
    max_pixels: int = MAX_PIXELS
    warn: Callable[[str], None] = lambda text: None
    lost_color: bool = False
    _noted: set[str] = field(default_factory=set)

    def lose_color(self) -> None:
        self.lost_color = True

    def note(self, path: str, text: str) -> None:
        """Warn of each image once, though it may be read several times."""
        if path not in self._noted:
            self._noted.add(path)
            self.warn(text)


@dataclass
class ImageFiles:
    """Image files, opened when read; `problems` are those that cannot be, with the reason."""

    name: str
    paths: list[str]
    reading: Reading
    problems: dict[str, str] = field(default_factory=dict)
    labels: Array | None = None
    label_names: list[str] | None = None
    whole_by_default: bool = False
    frames: list[int] | None = None
    """The frame of each; None: the first ones."""

    def __len__(self) -> int:
        return len(self.paths)

    def names(self) -> list[str]:
        """One name an image: FILE, and FILE[3] for a frame of several."""
        if self.frames is None:
            return list(self.paths)
        several = {path for path, frame in zip(self.paths, self.frames, strict=True) if frame}
        named = zip(self.paths, self.frames, strict=True)
        return [f"{path}[{frame}]" if path in several else path for path, frame in named]

    def by_frames(self) -> "ImageFiles":
        """Return the same files with all their frames as images."""
        every = [(path, frame) for path in self.paths for frame in range(self._count(path))]
        paths, frames = [path for path, _ in every], [frame for _, frame in every]
        return replace(self, paths=paths, frames=frames)

    def _count(self, path: str) -> int:
        return 1 if path in self.problems or not os.path.isfile(path) else count_frames(path)

    def read(self, i: int) -> Array:
        path = self.paths[i]
        frame = 0 if self.frames is None else self.frames[i]
        if path in self.problems:
            raise DataError(f"{show(path)}: {self.problems[path]}")
        how = self.reading
        return read_image(
            path, how.color, how.max_pixels, lambda text: how.note(path, text), how.lose_color, frame
        )

    @property
    def lost_color(self) -> bool:
        return self.reading.lost_color


def open_sources(
    inputs: Sequence[str],
    color: str | None = None,
    labels: str | None = None,
    max_pixels: int = MAX_PIXELS,
    notes: Notes | None = None,
    exclude: Sequence[str] = (),
    frames: bool = False,
) -> list[Source]:
    """The sources that paths stand for, in their order.

    color: "gray" or "rgb"; None is grey, but data sets stay as they are. labels: "folders" (its
    class is the folder right below the input folder that it lies in), the path of an IDX label file
    (one label for each image of all sources together), or None. With `frames` each frame of an image file is
    an image, else the first alone. Image files of more than `max_pixels` are not
    read; what is odd about one that is read is held in `notes`. What a pattern in `exclude` matches is left
    out (folders.Excluded). Raises DataError for missing paths, a folder without images, a container that is
    damaged, labels that do not fit.
    """
    _refuse_missing(inputs)
    notes = notes or Notes()
    excluded = Excluded(exclude)
    inputs = [path for path in inputs if os.path.isdir(path) or not excluded.leaves_out(path)]
    reading = Reading(color or "gray", max_pixels, notes.hold)
    sources: list[Any] = []
    singles: ImageFiles | None = None
    for path in inputs:
        if os.path.isdir(path):
            opened: Sequence[Source] | None = [_open_folder(path, reading, excluded)]
        else:
            opened = _open_file(path, color)
        if opened is not None:
            sources += opened
            singles = None
        elif singles is not None:
            singles.paths.append(path)
        else:
            singles = ImageFiles(path, [path], reading)
            sources.append(singles)
    for pattern in excluded.idle():
        notes.warn(f"--exclude {pattern!r}: leaves nothing out")
    if not sources:
        raise DataError(f"--exclude: leaves out all of {len(excluded.left_out)} inputs")
    if frames:
        sources = [source.by_frames() if isinstance(source, ImageFiles) else source for source in sources]
    if labels == "folders":
        _label_by_folder(sources)
    elif labels is not None:
        _label_from_file(sources, labels)
    return sources


def read_paths(stream: IO[bytes], null: bool = False) -> list[str]:
    """A list of paths, one a line, or ending in NUL as `find -print0` writes them. Raises DataError."""
    data = stream.read()
    if not null and b"\0" in data:
        raise DataError("list of files: holds NUL bytes; add -0 if it comes from find -print0")
    paths = [os.fsdecode(path) for path in data.split(b"\0" if null else b"\n") if path]
    if not paths:
        raise DataError("list of files: is empty")
    return paths


def _refuse_missing(inputs: Sequence[str]) -> None:
    """Raise DataError for inputs that are not there, which names all of them before anything is read."""
    files = [containers.split_member(path)[0] for path in inputs]
    missing = [path for path in files if not os.path.exists(path)]
    if len(missing) > 1:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        names = ", ".join(map(show, missing[:NAMED]))
        raise DataError(f"{len(missing)} of {len(inputs)} inputs do not exist: {names}{more}")
    for path in missing:
        check_regular(path)


def _open_folder(folder: str, reading: Reading, excluded: Excluded) -> ImageFiles:
    paths, problems = find_images(folder, SUFFIXES, excluded)
    return ImageFiles(folder, paths, reading, problems)


def _open_file(path: str, said: str | None) -> Sequence[Source] | None:
    """Return the sources in a container, or in FILE:NAME one of its arrays; None for an image.

    Its first bytes tell what it is.
    """
    path, member = containers.split_member(path)
    check_regular(path)
    with open_regular(path) as file:
        head = file.read(header.SIZE + 8)
    lower, color = path.lower(), said or "gray"
    if head.startswith(header.MODEL.encode()):
        raise DataError(f"{show(path)}: is a model, wanted images or a data set")
    if head.startswith(header.DATASET.encode()):
        containers.refuse_member(path, member)
        return [open_dataset(path, said)]
    if head.startswith(b"PK\x03\x04"):
        return containers.open_npz(path, color, member)
    if head.startswith(b"MATLAB") or lower.endswith(".mat"):
        return containers.open_mat(path, color, member)
    if header.HDF5_MAGIC in (head[:8], head[header.SIZE :]):
        return containers.open_hdf5(path, color, member)
    containers.refuse_member(path, member)
    if lower.endswith(".bin"):
        return [open_cifar(path, color)]
    if head.startswith(PICKLES):
        return [open_pickled_cifar(path, color)]
    if lower.endswith((".tar", ".tar.gz", ".tgz")):
        raise DataError(f"{show(path)}: is an archive; unpack it, and give the files in it")
    if lower.endswith((".csv", ".csv.gz")):
        return [containers.open_csv(path, color)]
    if head.startswith((b"\0\0\x08", b"\x1f\x8b")):
        return [containers.open_idx(path, color)]
    if head.startswith(b"\x93NUMPY"):
        return [containers.open_npy(path, color)]
    if lower.endswith((".npy", ".npz")):
        raise DataError(f"{show(path)}: is damaged or no {lower[-4:]} file")
    return None


def _label_by_folder(sources: list[Any]) -> None:
    classes: list[list[str | None]] = []
    for source in sources:
        if not isinstance(source, ImageFiles) or not os.path.isdir(source.name):
            raise DataError(f"{show(source.name)}: labels by folders need folders of images as inputs")
        below = [os.path.relpath(path, source.name).split(os.sep) for path in source.paths]
        for path, parts in zip(source.paths, below, strict=True):
            if len(parts) < 2 and os.path.isfile(path):
                raise DataError(f"{show(path)}: lies in no class folder below {show(source.name)}")
        # A link right below the input that leads to no image or folder is no class; it will not be read.
        classes.append([parts[0] if len(parts) > 1 else None for parts in below])
    names = sorted({name for group in classes for name in group if name is not None}, key=os.fsencode)
    number = {name: i for i, name in enumerate(names)}
    for source, group in zip(sources, classes, strict=True):
        source.labels = np.array([-1 if name is None else number[name] for name in group], np.int64)
        source.label_names = names


def _label_from_file(sources: list[Any], path: str) -> None:
    labels = np.asarray(read_idx(path, 1)).astype(np.int64)
    total = sum(len(source) for source in sources)
    if len(labels) != total:
        raise DataError(f"{show(path)}: {len(labels):,} labels for {total:,} images")
    start = 0
    for source in sources:
        source.labels, source.label_names = labels[start : start + len(source)], None
        start += len(source)
