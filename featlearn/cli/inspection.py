"""What `featlearn info` says, as plain values."""

import os
from typing import Any

import numpy as np

from featlearn import __version__, _core
from featlearn.cli.store import load_model, versions
from featlearn.files.dataset import check_finite_patches, read_dataset
from featlearn.files.header import file_kind
from featlearn.patches.preprocess import Preprocess
from featlearn.settings import in_words
from featlearn.training.config import TrainConfig


def build() -> dict[str, Any]:
    """How featlearn was built and what it computes with here."""
    return {
        "featlearn": __version__,
        "instruction_set": _core.isa(),
        "multithreaded": _core.has_threads(),
        "threads": _core.get_threads(),
        "versions": versions(),
    }


def inspect(path: str, verify: bool = False, words: bool = False) -> dict[str, Any]:
    """What is in a data set or a model; with `words`, settings that are off say so. Raises DataError."""
    values = _model(path, words) if file_kind(path) == "featlearn-model" else _dataset(path, verify)
    return {"path": path, "bytes": os.path.getsize(path)} | values


def _dataset(path: str, verify: bool) -> dict[str, Any]:
    data = read_dataset(path, verify)
    if verify:
        check_finite_patches(data)
    values: dict[str, Any] = {
        "format": "featlearn-dataset",
        "patches": len(data.patches),
        "shape": list(data.shape),
        "dtype": str(data.patches.dtype),
        "images": None if data.images is None else len(data.images),
        "labels": None if data.labels is None else _label_counts(data.labels, data.label_names),
        "preprocess": _preprocess(data.preprocess),
        "digest": data.digest,
    }
    return values | ({"verified": True} if verify else {}) | {"provenance": data.provenance}


def _label_counts(labels: Any, names: list[str] | None) -> dict[str, int]:
    values, counts = np.unique(labels, return_counts=True)
    return {
        names[value] if names else str(value): count
        for value, count in zip(values.tolist(), counts.tolist(), strict=True)
    }


def _model(path: str, words: bool) -> dict[str, Any]:
    learned = load_model(path)
    file = learned.file
    config, training = file.config, file.training
    if words:
        config, training = in_words(type(learned.model.config), config), in_words(TrainConfig, training)
    return {
        "format": "featlearn-model",
        "model": file.model,
        "finished": bool(file.progress.get("finished", True)),
        "config": config,
        "training": training,
        "seed": file.seed,
        "shape": list(file.shape),
        "params": {
            name: f"{'x'.join(map(str, value.shape))} {value.dtype}" for name, value in file.params.items()
        },
        "preprocess": _preprocess(file.preprocess),
        "measured": file.progress.get("run", {}).get("measured", {}),
        "last_epoch": {name: float(column[-1]) for name, column in file.history.items() if len(column)},
        "content_hash": file.content_hash,
        "version": file.version,
        "provenance": file.provenance,
    }


def _preprocess(values: dict[str, Any]) -> dict[str, Any]:
    """Its settings; of the fitted arrays the shape alone."""
    Preprocess.from_dict(values)
    return {
        name: list(np.shape(value)) if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }
