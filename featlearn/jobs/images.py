"""Whole images for a model to slide over, out of files or of a data set, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from featlearn.errors import DataError, show
from featlearn.files.dataset import Dataset
from featlearn.files.sources import Notes, Source, open_sources
from featlearn.files.treatment import Treated
from featlearn.jobs.callbacks import Progress, Say, warnings_to
from featlearn.jobs.inputs import choice
from featlearn.jobs.settings import ImageFiles
from featlearn.jobs.store import LoadedModel, shape_words, treatment_of
from featlearn.patches.extract import COLORS, Int64
from featlearn.patches.settings import WHOLE, Extraction
from featlearn.patches.sliding import Slide, stacks_of
from featlearn.patches.survey import NoneFits, survey
from featlearn.rows import Array


@dataclass(frozen=True)
class WholeImages:
    """Images that a window has a place in; `size` (height, width) where all have one."""

    count: int
    size: tuple[int, int] | None
    parts: list[tuple[int, int]]
    """(start, stop) of those that are encoded together."""
    stacks: Callable[[int, int], Iterator[Array]]
    """Reads a part, (n, height, width, channels) at a time."""
    names: list[str]
    labels: Array | None
    label_names: list[str] | None
    skipped: int


def say_joined(inputs: Sequence[str], sources: Sequence[Source], say: Say) -> None:
    """Name the arrays of a file that are read together: a test set may lie beside the training set."""
    for path in inputs:
        joined = [source.name for source in sources if source.name.startswith(f"{path}:")]
        if len(joined) > 1:
            names = ", ".join(map(show, joined[:5])) + (", ..." if len(joined) > 5 else "")
            say(f"{len(joined)} arrays are read as one set: {names}; give one to read it alone")


def images_in_files(
    inputs: Sequence[str], learned: LoadedModel, slide: Slide, how: ImageFiles, say: Say, progress: Progress
) -> WholeImages:
    """Read all images of files and folders once, and find those that are large enough.

    They are read as those that the model has learned from: colours, light, size. Without pooling all must
    have one size, and those of another are skipped. Raises DataError.
    """
    if slide.shape[2] not in COLORS or slide.shape[0] == 1:
        raise DataError(
            f"{show(learned.path)}: has learned from rows {shape_words(slide.shape)}, not from images; "
            "give a data set like its own"
        )
    warn = warnings_to(say)
    notes = Notes(warn)
    treatment = treatment_of(learned.preprocess, learned.shape)
    opened = open_sources(inputs, treatment.read_as, how.labels, how.max_pixels, notes, how.exclude)
    say_joined(inputs, opened, say)
    sources = [Treated(source, treatment) for source in opened]
    count = choice(sum(map(len, sources)), how.first)
    cut = Extraction(WHOLE) if slide.pool is None else Extraction(slide.least, stride=slide.stride)
    with progress(count, "images read") as bar:
        try:
            order = np.arange(count)
            plan = survey(sources, cut, warn, how.strict, bar.advance, order=order, notes=notes, shared=True)
        except NoneFits as error:
            raise DataError(f"the images: are small, {error.found}; {slide.wants}") from error
    if slide.pool is None and not slide.fits(plan.shape):
        raise DataError(f"the images: are {shape_words(plan.shape)}; {slide.wants}")
    return WholeImages(
        len(plan.images),
        plan.size,
        _parts(plan.shapes, slide),
        lambda start, stop: stacks_of(plan.whole(start, stop), slide),
        plan.images,
        plan.labels,
        plan.label_names,
        plan.skipped,
    )


def _parts(shapes: Int64, slide: Slide) -> list[tuple[int, int]]:
    """Return (start, stop) of images of `shapes` (n, 3) in a row of one size, as many as go well together."""
    odd = np.flatnonzero((shapes[1:, :2] != shapes[:-1, :2]).any(axis=1)) + 1
    parts = []
    for start, stop in pairwise([0, *odd.tolist(), len(shapes)]):
        step = slide.together(*shapes[start, :2].tolist())
        parts += [(i, min(i + step, stop)) for i in range(start, stop, step)]
    return parts


def images_in_data_set(data: Dataset, slide: Slide) -> WholeImages:
    """Take the rows of a data set for whole images. Raises DataError where they are too small."""
    height, width, _ = data.shape
    if not slide.fits(data.shape):
        raise DataError(f"{show(data.path)}: images are {shape_words(data.shape)}; {slide.wants}")
    n, step = len(data.patches), slide.together(height, width)
    parts = [(start, min(start + step, n)) for start in range(0, n, step)]

    def stacks(start: int, stop: int) -> Iterator[Array]:
        yield data.patches[start:stop].reshape(-1, *data.shape)

    names = data.images if data.origin is not None and data.images else [data.path]
    return WholeImages(n, (height, width), parts, stacks, names, data.labels, data.label_names, 0)
