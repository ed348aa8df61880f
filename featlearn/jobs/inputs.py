"""Inputs of an extraction, opened as they are asked for, or as those of another data set were read."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featlearn.errors import ConfigError, DataError, show
from featlearn.files.array_source import ArraySource, as_row
from featlearn.files.dataset import read_dataset
from featlearn.files.dataset_source import DatasetSource
from featlearn.files.header import MODEL, file_kind
from featlearn.files.scale import parse_scale
from featlearn.files.sources import Notes, Source, open_sources
from featlearn.files.treatment import Treated, Treatment
from featlearn.jobs.settings import Images
from featlearn.jobs.store import load_model, shape_words, treatment_of
from featlearn.patches import dots
from featlearn.patches.dead_leaves import NAMES, Generated
from featlearn.patches.extract import COLORS, Int64
from featlearn.patches.pairs import Pairs
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import COUNT, WHOLE, Extraction, PreprocessSpec
from featlearn.random import Purpose, Random
from featlearn.settings import option_name

GENERATED = (*NAMES, *dots.NAMES)
"""Names of images, and of pairs, that are made when they are asked for."""


@dataclass(frozen=True)
class Like:
    """What patches shall be like: those in a file, of a shape (height, width, channels)."""

    path: str
    shape: tuple[int, int, int]
    label_names: list[str] | None


@dataclass(frozen=True)
class Fitted(Like):
    """What --like takes from a data set or a model."""

    preprocess: Preprocess

    @property
    def treatment(self) -> Treatment:
        """How its images were read."""
        return treatment_of(self.preprocess, self.shape)


@dataclass(frozen=True)
class Inputs:
    """Images of all inputs, and how they were read."""

    sources: list[Source]
    treatment: Treatment
    order: Int64
    """Numbers of the images to take, in that order."""
    rest: Int64
    """Those of the images that are left."""
    rows_of: tuple[DatasetSource, ...]
    """The data sets among them."""

    @property
    def lost_color(self) -> bool:
        """Whether an image that has been read had colours, which became grey."""
        return any(source.lost_color for source in self.sources)


def fitted(path: str) -> Fitted:
    """Return what --like takes from that file. Raises DataError."""
    if file_kind(path) == MODEL:
        learned = load_model(path)
        return Fitted(path, learned.shape, None, learned.preprocess)
    dataset = read_dataset(path)
    return Fitted(path, dataset.shape, dataset.label_names, Preprocess.from_dict(dataset.preprocess))


def open_inputs(
    inputs: Sequence[str], extraction: Extraction, images: Images, like: Fitted | None, notes: Notes
) -> Inputs:
    """Open files and folders first, generated images after them; a file of that name is a file.

    Raises DataError, ConfigError.
    """
    wanted = _wanted(images, like)
    made = _generated(inputs, NAMES)
    files = [name for name in inputs if name not in made]
    n_images = images.images or min(max((extraction.count or COUNT) // 1000, 8), 64)
    if made and wanted.color == "rgb":
        said = f"--color {images.color}" if images.color or like is None else f"--like {like.path}"
        raise ConfigError(f"{said}: wants colour, {made[0]} images are grey")
    if made and wanted.linear:
        said = "--linear" if images.linear or like is None else f"--like {like.path}"
        raise ConfigError(f"{said}: wants the light of images, {made[0]} images have no gamma to undo")
    if images.images is not None and not made:
        raise ConfigError(
            "--images is for generated images: give dead-leaves, dead-leaves-photo or pink-noise"
        )
    if images.pairs and (made or images.labels):
        found = f"{made[0]} images do not follow each other" if made else "pairs have no labels"
        raise ConfigError(f"--pairs: {found}; leave out {made[0] if made else '--labels'}")
    opened: list[Source] = []
    if files:
        opened += open_sources(
            files, wanted.read_as, images.labels, images.max_pixels, notes, images.exclude, images.pairs
        )
    opened += [Generated(name, n_images, 256, extraction.seed) for name in made]
    rows_of = tuple(source for source in opened if isinstance(source, DatasetSource))
    for source in rows_of:
        smaller = like is not None and like.shape[:2] != source.shape[:2]
        if extraction.size is None and not extraction.is_left_open and not smaller:
            said = next(name for name in ("count", "stride", "drop_flat") if getattr(extraction, name))
            raise ConfigError(
                f"{option_name(said)}: rows of {show(source.name)} are taken whole; --shuffle --first N "
                "draws so many of them, --size cuts smaller patches out of them"
            )
    treatment, sources = _treated(opened, wanted, like)
    if images.pairs:
        sources = [Pairs(source) for source in sources]
        if not any(map(len, sources)):
            raise DataError("--pairs: no two images of one folder, array or file of several frames")
    order, rest = _choice(sum(map(len, sources)), images, extraction.seed)
    return Inputs(sources, treatment, order, rest, rows_of)


def made_of_dots(inputs: Sequence[str]) -> bool:
    """Whether pairs of random dots are asked for."""
    return bool(_generated(inputs, dots.NAMES))


def open_dots(
    inputs: Sequence[str], extraction: Extraction, images: Images, like: Fitted | None
) -> tuple[Inputs, Extraction]:
    """Return pairs of generated dots, and their size and number. Raises ConfigError."""
    name, *others = inputs
    if others or images != Images():
        raise ConfigError(
            f"{', '.join(inputs)}: generated pairs are all alike; give one name, and no options of images"
        )
    size = extraction.size or (like.shape[:2] if like else (dots.SIZE, dots.SIZE))
    if isinstance(size, str) or size[0] != size[1] or extraction.stride or extraction.drop_flat:
        raise ConfigError(
            f"{name}: made as square pairs, each of them taken whole; give --size N and --count alone"
        )
    n = extraction.count or COUNT
    made = replace(extraction, size=size, count=n)
    source = dots.GeneratedPairs(name, n, size[0], extraction.seed)
    return Inputs([source], Treatment(None), np.arange(n), np.arange(0), ()), made


def _generated(inputs: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the inputs that are names of what is generated; a file of that name is a file."""
    return [name for name in inputs if name in names and not os.path.exists(name)]


def kept_preprocessing(
    inputs: Inputs, extraction: Extraction, said: PreprocessSpec, images: Images
) -> Fitted | None:
    """Return the preprocessing that rows of data sets keep: their own, unless another is asked for.

    None where it is to be fitted. Raises DataError for data sets of several preprocessings.
    """
    rows = inputs.rows_of
    whole = extraction.is_left_open or extraction.whole
    untouched = images.color is None and images.resize is None
    if not rows or len(rows) < len(inputs.sources) or not (whole and untouched) or said != PreprocessSpec():
        return None
    first = rows[0]
    for other in rows[1:]:
        if not _same(first.preprocess, other.preprocess):
            raise DataError(
                f"{show(other.name)}: its preprocessing is not that of {show(first.name)}; say which they "
                "shall have: --like one of them, or --normalize and --whiten to fit another"
            )
    return Fitted(first.name, first.shape, first.label_names, Preprocess.from_dict(first.preprocess))


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two dictionaries of plain values are equal."""
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[key], theirs[key]) for key in ours)


def _wanted(images: Images, like: Fitted | None) -> Treatment:
    """Return how to read the images: as those of --like, else as said.

    Raises ConfigError where the two differ.
    """
    said = Treatment(images.color, images.linear, images.scale)
    if like is None:
        return said
    ours = like.treatment
    if ours.color is not None and said.color not in (None, ours.color):
        raise ConfigError(
            f"--color {said.color}: {show(like.path)} was made of {ours.color} images, patches "
            f"{shape_words(like.shape)}; leave out --color"
        )
    if said.linear > ours.linear:
        raise ConfigError(f"--linear: {show(like.path)} was made without it; leave it out")
    if said.resize not in (None, ours.resize):
        words = f"with --resize {ours.resize}" if ours.resize else "of images of their own size"
        raise ConfigError(f"--resize {said.resize}: {show(like.path)} was made {words}; leave out --resize")
    return replace(ours, color=ours.color or said.color)


def _treated(
    sources: Iterable[Source], wanted: Treatment, like: Fitted | None
) -> tuple[Treatment, list[Source]]:
    """Return how all images come to be read, and the sources that do so.

    Raises DataError where data sets were read in another way than the rest, or cannot be treated so.
    """
    found: list[tuple[Source, Treatment]] = []
    for source in sources:
        own, left = wanted, wanted
        if isinstance(source, DatasetSource):
            own, left = _again(source, wanted, like)
        if left.resize and isinstance(source, ArraySource) and (source.arrange is as_row):
            raise DataError(f"{show(source.name)}: holds rows of numbers, no images; leave out --resize")
        found.append((Treated(source, left) if left.linear or left.resize else source, own))
    ways = [own for _, own in found]
    odd = next(
        (i for i, own in enumerate(ways) if (own.linear, own.resize) != (ways[0].linear, ways[0].resize)), 0
    )
    if odd:
        raise DataError(
            f"{show(found[odd][0].name)}: its images were read {ways[odd].words}, those of "
            f"{show(found[0][0].name)} {ways[0].words}; give them one by one"
        )
    return ways[0], [source for source, _ in found]


def _again(source: DatasetSource, wanted: Treatment, like: Fitted | None) -> tuple[Treatment, Treatment]:
    """Return how images of a data set come to be read, and what of that is still to be done.

    Raises DataError for what cannot be done to pixels that were read and cut already.
    """
    place = show(source.name)
    before = Treatment(wanted.color, bool(source.preprocess.get("linear")), source.preprocess.get("resize"))
    nothing = Treatment(wanted.color)
    if like is not None and (before.linear, before.resize) == (wanted.linear, wanted.resize):
        return before, nothing
    if wanted.linear > before.linear or (like is not None and wanted.linear != before.linear):
        raise DataError(f"{place}: its images were read {before.words}; extract the images themselves again")
    if wanted.resize is None and like is None:
        return before, nothing
    if before.resize is not None:
        raise DataError(
            f"{place}: its images were read {before.words}, and are not resized twice; "
            "extract the images themselves again"
        )
    if wanted.resize is None:
        return before, nothing
    if source.shape[0] == 1 or source.shape[2] not in COLORS:
        raise DataError(f"{place}: holds rows of numbers, no images; leave out --resize")
    if parse_scale(wanted.resize).size and not _holds_whole_images(source.provenance):
        raise DataError(
            f"{place}: --resize {wanted.resize}: its rows are patches of larger images, which would not have "
            "that size; give a factor, e.g. 0.5"
        )
    return replace(before, resize=wanted.resize), replace(nothing, resize=wanted.resize)


def _holds_whole_images(provenance: Mapping[str, Any]) -> bool:
    """Whether rows are images that nothing was cut out of, as far as their provenance tells."""
    how, inputs = provenance.get("extraction"), provenance.get("inputs")
    cut = isinstance(how, dict) and how.get("size") != WHOLE
    before = inputs if isinstance(inputs, list) else []
    earlier = [one.get("provenance") for one in before if isinstance(one, dict)]
    return not cut and all(_holds_whole_images(one) for one in earlier if isinstance(one, dict))


def choice(n: int, first: int | None) -> int:
    """Return how many of n images are the first ones. Raises DataError where there are fewer."""
    if first is not None and n < first:
        raise DataError(f"--first {first:,}: there are only {n:,} images; take that many or fewer")
    return n if first is None else first


def _choice(n: int, images: Images, seed: int) -> tuple[Int64, Int64]:
    """Return the numbers of the images to take, and of those that are left, in a random order if asked."""
    count = choice(n, images.first)
    order = Random(seed).permutation(n, Purpose.SHUFFLE) if images.shuffle else np.arange(n)
    return order[:count], order[count:]
