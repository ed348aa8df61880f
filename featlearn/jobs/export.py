"""A model file as a file of other programs: its encoder, its arrays or its learning curve."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.errors import ConfigError, DataError, reason, show
from featlearn.files import tensors
from featlearn.files.atomic import check_output, write_bytes
from featlearn.jobs.callbacks import Say, log
from featlearn.jobs.formats import refuse_other_suffix, suffix
from featlearn.jobs.history import as_csv, columns_of
from featlearn.jobs.results import Result
from featlearn.jobs.store import LoadedModel, load_model, warn_of_unfinished
from featlearn.models.base import IsClassifier
from featlearn.patches.preprocess import Preprocess
from featlearn.rows import Array
from featlearn.settings import to_dict

FITTED = ("mean", "scale", "whitening", "unwhitening")
"""The arrays of a preprocessing."""
LARGEST = 2**31 - 2**20
"""Bytes of arrays that fit into one ONNX file, which is a protocol buffer."""


@dataclass(frozen=True)
class Exported(Result):
    """A file for other programs."""

    output: str
    format: str
    bytes: int
    model: str
    content_hash: str
    """Of the model that it was made of."""


def export(model: str, output: str, *, force: bool = False, say: Say = log) -> Exported:
    """Write a model in the format that the suffix of `output` says: one of FORMATS.

    .onnx holds the encoder, from pixels in 0..1 to codes, of a model that knows classes to their
    probabilities, too; .npz and .safetensors all that encoding and decoding need; .csv the history, a line an
    epoch. The same model gives the same bytes.
    Raises DataError, ConfigError.
    """
    refuse_other_suffix("-o", output, FORMATS, "an export")
    check_output(output, force, [model])
    learned = load_model(model)
    warn_of_unfinished(learned, say)
    made = FORMATS[suffix(output)](learned)
    write_bytes(output, made, force, [model])
    file = learned.file
    return Exported(output, suffix(output)[1:], len(made), file.model, file.content_hash)


def _onnx(learned: LoadedModel) -> bytes:
    """The graph of the encoder, and of the probabilities of classes where the model knows any.

    Raises ConfigError for a model that has none, DataError without the library.
    """
    place = show(learned.path)
    try:
        from featlearn.files.onnx import PIXELS, OnnxGraph
    except ImportError as error:
        raise DataError(
            f'.onnx: needs a library ({reason(error)}): pip install "featlearn[export]"'
        ) from error
    g, model, preprocess = OnnxGraph(), learned.model, learned.preprocess
    flat = g("Reshape", PIXELS, np.array([-1, preprocess.n_pixels]))
    rows = preprocess.portable(g, g.cast(flat, np.dtype(np.float64)))
    seen, classes, outputs = g.cast(rows, model.dtype), learned.file.classes, {}
    try:
        if classes is not None and isinstance(model, IsClassifier):
            outputs["probabilities"] = model.portable_probabilities(g, seen), len(classes)
        outputs["codes"] = model.portable(g, seen), learned.units
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}; .npz and .safetensors hold its arrays") from error
    if g.n_bytes > LARGEST:
        raise DataError(
            f"{place}: {g.n_bytes:,} bytes of arrays do not fit into .onnx, which holds {LARGEST:,}; "
            "take .safetensors"
        )
    words = {name: text for name, text in _words(learned).items() if name != "preprocess"}
    single = {name: (g.cast(made, np.dtype(np.float32)), width) for name, (made, width) in outputs.items()}
    return g.to_bytes(single, learned.shape, words)


def _arrays(learned: LoadedModel) -> dict[str, Array]:
    """What encoding and decoding need: params, state that encode reads, what the preprocessing has fitted."""
    model, preprocess = learned.model, learned.preprocess
    state = {name: model.state[name] for name in model.encode_state if name in model.state}
    fitted = {name: getattr(preprocess, name) for name in FITTED}
    groups: Mapping[str, Mapping[str, Array | None]] = {
        "params": model.params,
        "state": state,
        "preprocess": fitted,
    }
    return {
        f"{group}.{name}": value
        for group, values in groups.items()
        for name, value in values.items()
        if value is not None
    }


def _words(learned: LoadedModel) -> dict[str, str]:
    """What the arrays mean: all but the names of model and content in JSON."""
    file = learned.file
    plain = {"config": file.config, "preprocess": _plain(learned.preprocess), "shape": learned.shape}
    if file.classes is not None:
        plain["classes"] = file.classes
    made = {name: json.dumps(value, allow_nan=False, sort_keys=True) for name, value in plain.items()}
    return {"model": file.model, "content_hash": file.content_hash} | made


def _plain(preprocess: Preprocess) -> dict[str, Any]:
    """A preprocessing but for its arrays; null: that step is left out."""
    names = ("n_pixels", "level", "spread", "divisor")
    return to_dict(preprocess.spec) | {name: getattr(preprocess, name) for name in names}


def _npz(learned: LoadedModel) -> bytes:
    return tensors.npz(_arrays(learned), _words(learned))


def _safetensors(learned: LoadedModel) -> bytes:
    return tensors.safetensors(_arrays(learned), _words(learned))


def _csv(learned: LoadedModel) -> bytes:
    return as_csv(columns_of(learned.path, learned.file.history)).encode()


FORMATS: Mapping[str, Callable[[LoadedModel], bytes]] = {
    ".onnx": _onnx,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".csv": _csv,
}
