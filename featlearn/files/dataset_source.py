"""Rows of a data set as images, to be cut or preprocessed again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from featlearn.errors import DataError, show
from featlearn.files.array_source import ArraySource
from featlearn.files.dataset import read_dataset
from featlearn.rows import Array

MODES = {1: "gray", 3: "rgb"}


@dataclass
class DatasetSource(ArraySource):
    """The rows of a data set as their pixels were, whatever its preprocessing makes of them."""

    shape: tuple[int, int, int] = (1, 1, 1)
    """(height, width, channels) of a row."""
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def open_dataset(path: str, color: str | None) -> DatasetSource:
    """Open a data set; `color` None leaves its images as they are. Raises DataError, ReadError."""
    data = read_dataset(path)
    own = MODES.get(data.shape[2])
    rows = data.shape[0] == 1 and own == "gray"
    if (own is None and color is not None) or (rows and color == "rgb"):
        raise DataError(
            f"{show(path)}: rows of {'x'.join(map(str, data.shape))} numbers have no colour; "
            "leave out --color"
        )

    def image(entry: Array) -> Array:
        return entry.reshape(data.shape)

    return DatasetSource(
        path, data.patches, color, data.labels, data.label_names, whole_by_default=True, arrange=image,
        dtype=data.patches.dtype, shape=data.shape, preprocess=data.preprocess, provenance=data.provenance,
    )  # fmt: skip
