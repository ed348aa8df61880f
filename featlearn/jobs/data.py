"""What is learned from: a data set, patches cut out of images, or images made on the spot."""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.errors import DataError, show
from featlearn.files.dataset import Dataset, read_dataset
from featlearn.jobs.callbacks import Progress, Say, no_progress
from featlearn.jobs.cutting import Cutting, PlannedPatches, cut_patches, holds_images
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import LoadedModel, refuse_other_patches, refuse_other_reading, shape_words
from featlearn.models import model_class
from featlearn.patches import dots
from featlearn.patches.dead_leaves import Generated
from featlearn.patches.fitter import Fitter
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows as PatchRows
from featlearn.patches.settings import WHOLE, Extraction, PreprocessSpec
from featlearn.patches.survey import survey
from featlearn.rows import Rows

DEMO_PATCHES = 10_000


@dataclass(frozen=True)
class Data:
    """What is learned from; its rows are made when they are first asked for.

    Codes are those of the layer below.
    """

    name: str
    digest: str
    shape: tuple[int, int, int]
    preprocess: Preprocess
    make_rows: Callable[[Preprocess], Rows]
    labels: npt.NDArray[Any] | None = None
    """(n,) the class of each row, as in a data set; of those of `known` class alone."""
    label_names: Sequence[str] | None = None
    known: npt.NDArray[np.bool_] | None = None
    """(n,) whether the class of a row is known; None: of all that are labelled."""
    are_codes: bool = False
    cut: PlannedPatches | None = None
    """How they were cut out of images, where that was not done before."""
    validation: "Data | None" = None
    """What is held out, where that is no share of the rows; it has the same preprocessing."""

    @cached_property
    def rows(self) -> Rows:
        return self.make_rows(self.preprocess)

    def divided(self, by: float) -> "Data":
        """The same with all values divided by a number."""
        if by == 1:
            return self
        validation = None if self.validation is None else self.validation.divided(by)
        return replace(self, preprocess=self.preprocess.divided(by), validation=validation)

    def with_validation(self, path: str | None, dtype: str, say: Say) -> "Data":
        """Return the same with a data set that is held out, if there is none yet.

        Raises DataError where its patches are others than those that are learned from.
        """
        if path is None or self.validation is not None:
            return self
        dataset = read_dataset(path)
        if dataset.shape != self.shape:
            raise DataError(
                f"{show(path)}: patches are {shape_words(dataset.shape)}, but those of {show(self.name)} are "
                f"{shape_words(self.shape)}; extract them again with --like {show(self.name)}"
            )
        refuse_other_reading(dataset, self.preprocess, f"those of {show(self.name)} are of", self.name, say)
        make = partial(PatchRows, dataset.patches, dtype=np.dtype(dtype), name=show(path))
        held_out = Data(
            path, dataset.digest, self.shape, self.preprocess, make, dataset.labels, dataset.label_names
        )
        return replace(self, validation=held_out)


def data_like(path: str, learned: LoadedModel, run: RunSettings, say: Say) -> tuple[Dataset, Data]:
    """Read and describe a data set, its rows preprocessed as those of a model. Raises DataError."""
    dataset = read_dataset(path)
    refuse_other_patches(dataset, learned, say)
    make = partial(PatchRows, dataset.patches, dtype=np.dtype(run.dtype), name=show(path))
    return dataset, Data(
        path, dataset.digest, dataset.shape, learned.preprocess, make,
        labels=dataset.labels, label_names=dataset.label_names,
    )  # fmt: skip


def describe_data(
    path: str | None,
    model: str,
    run: RunSettings,
    say: Say,
    cutting: Cutting | None = None,
    given: Collection[str] = (),
    progress: Progress = no_progress,
    begun_at: LoadedModel | None = None,
) -> Data:
    """Describe a data set, or images and what is cut out of them; without a path, patches made for the model.

    `given` are the settings of the cutting that were said. Rows are preprocessed as those of the model that a
    run is `begun_at`. Raises DataError, ConfigError.
    """
    cutting = cutting or Cutting()
    if path is not None and holds_images(path):
        return _of_images(path, cutting, given, run, begun_at, progress, say)
    if path is None or os.path.exists(path):
        cutting.refuse_with(path, given)
    if path is None:
        return _demo(model, run, say)
    if begun_at is not None:
        return data_like(path, begun_at, run, say)[1]
    dataset = read_dataset(path)
    preprocess = Preprocess.from_dict(dataset.preprocess)
    make_rows = partial(PatchRows, dataset.patches, dtype=np.dtype(run.dtype), name=show(path))
    return Data(
        path, dataset.digest, dataset.shape, preprocess, make_rows, dataset.labels, dataset.label_names
    )


def _of_images(
    path: str,
    cutting: Cutting,
    given: Collection[str],
    run: RunSettings,
    begun_at: LoadedModel | None,
    progress: Progress,
    say: Say,
) -> Data:
    """Describe the patches of images, which are cut. Raises DataError, ConfigError."""
    like = None if begun_at is None else begun_at.path
    cut = cut_patches(path, cutting, like, given, progress, say)
    make_rows = partial(PatchRows, cut.patches, dtype=np.dtype(run.dtype), name=show(path))
    return Data(
        path, cut.digest, cut.plan.shape, cut.preprocess, make_rows, cut.labels, cut.plan.label_names,
        cut=cut.planned,
    )  # fmt: skip


def _demo(model: str, run: RunSettings, say: Say) -> Data:
    """Make patches that suit a model. Raises DataError."""
    if model_class(model).labelled:
        raise DataError(f"--model {model}: learns classes of labelled rows; give a data set with labels")
    demo = dict(model_class(model).defaults.patches)
    size, kind = demo.pop("size"), demo.pop("images", "dead-leaves")
    if kind in dots.NAMES:
        say(f"no data set given: learning from {DEMO_PATCHES:,} pairs of {kind}")
        plan = survey([dots.GeneratedPairs(kind, DEMO_PATCHES, size, run.seed)], Extraction(WHOLE))
    else:
        say(f"no data set given: learning from {DEMO_PATCHES:,} patches of {kind} images")
        plan = survey([Generated(kind, 16, seed=run.seed)], Extraction((size, size), count=DEMO_PATCHES))
    patches = np.concatenate([block.patches for block in plan.blocks()])
    fitter = Fitter(PreprocessSpec(**demo).resolve(), patches.shape[1], patches.dtype)
    fitter.update(patches)
    preprocess = fitter.finish()
    name = f"{kind}, seed {run.seed}"
    return Data(name, name, plan.shape, preprocess, partial(PatchRows, patches, dtype=np.dtype(run.dtype)))
