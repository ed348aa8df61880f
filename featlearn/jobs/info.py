"""What is in a file, or how featlearn was built."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from featlearn import __version__, _core, ranks
from featlearn.files.dataset import check_finite_patches, read_dataset
from featlearn.files.header import DATASET, MODEL, file_kind
from featlearn.files.model import ModelFile
from featlearn.jobs.results import Result, optional
from featlearn.jobs.store import load_model, versions
from featlearn.models import model_class
from featlearn.patches.preprocess import Preprocess
from featlearn.settings import in_words
from featlearn.training.config import TrainConfig


@dataclass(frozen=True)
class BuildInfo(Result):
    """How featlearn was built, and what it computes with here."""

    featlearn: str
    instruction_set: str
    multithreaded: bool
    threads: int
    versions: Mapping[str, str]
    ranks: int | None = optional()
    """Processes of this run, where a launcher such as mpiexec has started several."""
    hosts: int | None = optional()
    """Machines that they are on."""
    mpi: str | None = optional()
    """The library that their messages go by."""


@dataclass(frozen=True)
class DatasetInfo(Result):
    """What is in a data set, and where it came from."""

    path: str
    bytes: int
    format: str
    patches: int
    shape: tuple[int, int, int]
    """(height, width, channels)."""
    dtype: str
    images: int | None
    labels: Mapping[str, int] | None
    """How many patches have each."""
    preprocess: Mapping[str, Any]
    """Its settings; of the fitted arrays the shape alone."""
    digest: str
    verified: bool | None = optional()
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelInfo(Result):
    """What is in a model file, and where it came from."""

    path: str
    bytes: int
    format: str
    model: str
    finished: bool
    config: Mapping[str, Any]
    training: Mapping[str, Any]
    seed: int
    shape: tuple[int, int, int]
    """(height, width, channels)."""
    params: Mapping[str, str]
    """Shape and type of each, in words."""
    preprocess: Mapping[str, Any]
    measured: Mapping[str, float]
    last_epoch: Mapping[str, float]
    content_hash: str
    version: str
    provenance: Mapping[str, Any]
    classes: Sequence[str] | None = optional()
    """Those that a classifier tells."""
    layers: Mapping[str, Any] | None = optional()
    """What is in each layer of a stack, by its number from 1, the lowest."""

    def in_words(self) -> "ModelInfo":
        """Return the same where settings that are off say so."""
        if self.layers is not None:
            layers = {i: layer | _settings_in_words(**layer) for i, layer in self.layers.items()}
            return replace(self, layers=layers)
        return replace(self, **_settings_in_words(self.model, self.config, self.training))


def build() -> BuildInfo:
    """Return how featlearn was built and what it computes with here."""
    of_ranks = (ranks.size, ranks.hosts, ranks.library) if ranks.library else ()
    return BuildInfo(
        __version__, _core.isa(), _core.has_threads(), _core.get_threads(), versions(), *of_ranks
    )


def info(file: str, *, verify: bool = False) -> DatasetInfo | ModelInfo:
    """Return what is in a data set or a model; `verify` holds a data set against its checksum, too.

    Raises DataError.
    """
    return _model(file) if file_kind(file) == MODEL else _dataset(file, verify)


def _dataset(path: str, verify: bool) -> DatasetInfo:
    data = read_dataset(path, verify)
    if verify:
        check_finite_patches(data)
    return DatasetInfo(
        path=path,
        bytes=os.path.getsize(path),
        format=DATASET,
        patches=len(data.patches),
        shape=data.shape,
        dtype=str(data.patches.dtype),
        images=None if data.images is None else len(data.images),
        labels=None if data.labels is None else _label_counts(data.labels, data.label_names),
        preprocess=_preprocess(data.preprocess),
        digest=data.digest,
        verified=verify or None,
        provenance=data.provenance,
    )


def _label_counts(labels: Any, names: list[str] | None) -> dict[str, int]:
    values, counts = np.unique(labels, return_counts=True)
    return {
        names[value] if names else str(value): count
        for value, count in zip(values.tolist(), counts.tolist(), strict=True)
    }


def _settings_in_words(
    model: str, config: Mapping[str, Any], training: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    """Return settings of a model and its training, with what None means in place of None."""
    return {
        "config": in_words(model_class(model).Config, config),
        "training": in_words(TrainConfig, training),
    }


def _layer(file: ModelFile) -> dict[str, Any]:
    """What is in a layer of a stack."""
    return {
        "model": file.model,
        "finished": bool(file.progress.get("finished", True)),
        "config": file.config,
        "training": file.training,
        "params": _shapes(file),
        "measured": file.progress.get("run", {}).get("measured", {}),
        "last_epoch": _last(file),
        "content_hash": file.content_hash,
    }


def _shapes(file: ModelFile) -> dict[str, str]:
    """Shape and type of each parameter, in words."""
    return {name: f"{'x'.join(map(str, value.shape))} {value.dtype}" for name, value in file.params.items()}


def _last(file: ModelFile) -> dict[str, float]:
    """The last epoch of the history."""
    return {name: float(column[-1]) for name, column in file.history.items() if len(column)}


def _model(path: str) -> ModelInfo:
    file = load_model(path).file
    return ModelInfo(
        path=path,
        bytes=os.path.getsize(path),
        format=MODEL,
        model=file.model,
        finished=bool(file.progress.get("finished", True)),
        config=file.config,
        training=file.training,
        seed=file.seed,
        shape=file.shape,
        params=_shapes(file),
        preprocess=_preprocess((file.layers or [file])[0].preprocess),
        measured=file.progress.get("run", {}).get("measured", {}),
        last_epoch=_last(file),
        content_hash=file.content_hash,
        version=file.version,
        provenance=file.provenance,
        classes=file.classes,
        layers={str(i): _layer(layer) for i, layer in enumerate(file.layers, 1)} or None,
    )


def _preprocess(values: dict[str, Any]) -> dict[str, Any]:
    """Its settings; of the fitted arrays the shape alone."""
    Preprocess.from_dict(values)
    return {
        name: list(np.shape(value)) if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }
