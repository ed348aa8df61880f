"""A data set file as an object."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from featlearn.errors import DataError, show
from featlearn.files.dataset import Dataset, read_dataset
from featlearn.jobs.callbacks import log
from featlearn.jobs.store import LoadedModel, refuse_other_reading, shape_words
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Raw, Rows
from featlearn.rows import Array


class ImageData:
    """A data set: images as their pixels were, and the preprocessing that was fitted to them.

    They stay in the file, and are read when they are asked for.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset.patches)

    @property
    def path(self) -> str:
        return self._dataset.path

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image."""
        return self._dataset.shape

    @property
    def raw(self) -> Raw:
        """The pixels (n, height * width * channels), read by blocks when it is indexed."""
        return self._dataset.patches

    @property
    def pixels(self) -> Array:
        """The pixels (n, height, width, channels) as they were: uint8, uint16 or float32."""
        return np.asarray(self._dataset.patches[:]).reshape(-1, *self.shape)

    @property
    def labels(self) -> Array | None:
        """(n,) int64, indices into label_names where there are names."""
        return self._dataset.labels

    @property
    def label_names(self) -> list[str] | None:
        return self._dataset.label_names

    @property
    def images(self) -> list[str] | None:
        """The names of the images that the patches were cut out of."""
        return self._dataset.images

    @property
    def origin(self) -> Array | None:
        """(n, 3) int64: index into images, row and column of each patch."""
        origin = self._dataset.origin
        return None if origin is None else np.asarray(origin[:])

    @property
    def preprocess(self) -> Preprocess:
        """The fitted preprocessing."""
        return Preprocess.from_dict(self._dataset.preprocess)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """How the data set came to be."""
        return dict(self._dataset.provenance)

    @property
    def digest(self) -> str:
        """SHA-256 of the file's contents."""
        return self._dataset.digest

    def rows(self, dtype: str = "float32") -> Array:
        """Return the preprocessed rows (n, visible) that a model learns from. Raises DataError."""
        made = Rows(self._dataset.patches, self.preprocess, np.dtype(dtype), 0, self.path)
        return made.block(0, len(self))

    def refuse_unlike(self, like: LoadedModel) -> None:
        """Raise DataError for images of another shape than those of a model, or read in another way."""
        if self.shape != like.shape:
            trained = f"the model was trained on {shape_words(like.shape)}"
            raise DataError(f"{show(self.path)}: images are {shape_words(self.shape)}, but {trained}")
        those = f"{show(like.path) if like.path else 'the model'} was trained on"
        refuse_other_reading(self._dataset, like.preprocess, those, like.path or "MODEL", log)

    def __repr__(self) -> str:
        return f"<featlearn data set {self.path}: {len(self)} images {shape_words(self.shape)}>"


def load_dataset(path: str | os.PathLike[str]) -> ImageData:
    """Open a data set. Raises DataError, ReadError."""
    return ImageData(read_dataset(os.fspath(path)))
