"""Models: parameters with all that is needed to use, draw, resume and trace them. See docs/formats.md."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featlearn.errors import DataError, show
from featlearn.files import header
from featlearn.files.atomic import Output
from featlearn.files.budget import Budget
from featlearn.files.contents import check_finite, read_json, read_plain, read_shape, seal
from featlearn.files.hdf5 import Reader, Writer
from featlearn.files.json_text import to_json
from featlearn.files.paths import open_regular
from featlearn.files.stored import Descriptor, verify
from featlearn.rows import Array
from featlearn.signals import DeferredHandlers

_GROUPS = ("params", "preprocess", "history", "state", "optimizer")
_TEXTS = ("config", "training", "progress")
_AXES = {"W": ("visible", "hidden"), "D": ("visible", "hidden"), "b": ("visible",), "c": ("hidden",)}
"""Of parameters, by the letters of the papers."""


@dataclass
class ModelFile:
    """The contents of a model file, as plain values."""

    model: str
    """The registered id, such as "rbm"."""
    config: dict[str, Any]
    training: dict[str, Any]
    seed: int
    shape: tuple[int, int, int]
    """(height, width, channels) of a patch before preprocessing."""
    params: dict[str, Array]
    preprocess: dict[str, Any] = field(default_factory=dict)
    history: dict[str, Array] = field(default_factory=dict)
    """Columns of equal length, one entry an epoch."""
    state: dict[str, Array] = field(default_factory=dict)
    optimizer: dict[str, Array] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    """Where the run stands: epoch, step, phase, finished."""
    classes: list[str] | None = None
    """The names of the classes that it tells, in the order of its units."""
    provenance: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    """The featlearn that wrote it."""
    layers: list["ModelFile"] = field(default_factory=list)
    """The models that a stack is made of, from below; it has no params and preprocessing of its own then."""

    @property
    def content_hash(self) -> str:
        """The SHA-256 over model id, config, parameters and preprocessing: equal for equal results."""
        sha = hashlib.sha256()

        def add(*words: object) -> None:
            text = json.dumps(words, sort_keys=True, allow_nan=False).encode()
            sha.update(len(text).to_bytes(8, "little") + text)

        add(self.model, json.loads(to_json("config", self.config)))
        if self.classes is not None:
            add("classes", self.classes)
        for layer in self.layers:
            add("layer", layer.content_hash)
        for group, values in (("params", self.params), ("preprocess", self.preprocess)):
            for name in sorted(values):
                value = np.asarray(values[name])
                if value.dtype.kind in "US":
                    add(group, name, str(values[name]))
                    continue
                if value.dtype.kind == "b":
                    value = value.astype(np.int64)
                little = value.astype(value.dtype.newbyteorder("<"), order="C")
                add(group, name, little.dtype.str, little.shape)
                sha.update(little.tobytes())
        return sha.hexdigest()


def write_model(
    path: str,
    model: ModelFile,
    force: bool = False,
    inputs: Iterable[str] = (),
    sheet: Array | None = None,
) -> None:
    """Write a model file in one step: the old file or the new one stands at `path`, never less.

    `sheet` is as for `write_into`. Raises DataError.
    """
    with Output(path, force, inputs) as out:
        write_into(out, model, sheet)


def write_into(out: Output, model: ModelFile, sheet: Array | None = None) -> None:
    """Write a model as the contents of an output that is being held, and make it final.

    `sheet` is a picture uint8 (height, width) or (height, width, 3) of its filters, for viewers alone.
    Raises DataError.
    """
    place = show(out.path)
    with DeferredHandlers(), Writer() as writer:
        writer.attribute("", "format", header.MODEL)
        writer.attribute("", "format_version", header.VERSION)
        _write(writer, place, "", model)
        for i, layer in enumerate(model.layers, 1):
            writer.group(f"layer_{i}")
            _write(writer, place, f"layer_{i}", layer)
        if sheet is not None:
            writer.picture("sheet", sheet)
            writer.open_on("sheet")
        size = writer.close()
    out.needs = size
    seal(out, header.MODEL, size, writer)
    out.commit()


def _write(writer: Writer, place: str, at: str, model: ModelFile) -> None:
    """Write a model but for its layers at the group `at`, "" the root. Raises DataError."""
    inside = f"{at}/" if at else ""
    check_finite(place, f"{inside}params", model.params)
    check_finite(place, f"{inside}preprocess", model.preprocess)
    texts = {
        name: to_json(f"{place}: {inside}{name}", getattr(model, name)) for name in (*_TEXTS, "provenance")
    }
    if len({len(column) for column in model.history.values()}) > 1:
        raise ValueError("history columns have different lengths")
    writer.attribute(at, "featlearn_version", model.version)
    writer.attribute(at, "model", model.model)
    writer.attribute(at, "seed", model.seed)
    writer.attribute(at, "shape", np.array(model.shape))
    for name in _TEXTS:
        writer.attribute(at, name, texts[name])
    for name in _GROUPS:
        writer.plain(f"{inside}{name}", getattr(model, name))
    # with classes among the units, axes are of other things too
    for name in sorted(_AXES.keys() & model.params.keys() if model.classes is None else ()):
        writer.label(f"{inside}params/{name}", _AXES[name])
    if model.classes is not None:
        writer.strings(f"{inside}classes", model.classes)
    writer.text(f"{inside}provenance", texts["provenance"])


def read_model(path: str) -> ModelFile:
    """Read a model file; its SHA-256 is checked before HDF5 sees a byte. Raises DataError."""
    with Reader(path, _verified(path)) as reader:
        header.check_root(
            path, header.MODEL, reader.attribute("", "format"), reader.attribute("", "format_version")
        )
        model = _read(reader, "")
        while reader.is_group(group := f"layer_{len(model.layers) + 1}"):
            model.layers.append(_read(reader, group))
    for part in model.layers or [model]:
        if not part.params:
            raise DataError(f"{show(path)}: params: is missing or empty")
    return model


def _read(reader: Reader, at: str) -> ModelFile:
    """Read a model but for its layers at the group `at`, "" the root. Raises DataError."""
    path = reader.path
    inside = f"{at}/" if at else ""
    place = f"{show(path)}: {at}" if at else show(path)
    names = {name: reader.attribute(at, name) for name in ("model", "featlearn_version", "seed", *_TEXTS)}
    if not isinstance(names["model"], str) or not isinstance(names["featlearn_version"], str):
        raise DataError(f"{place}: model or featlearn_version is missing or no text")
    if not isinstance(names["seed"], int):
        raise DataError(f"{place}: seed is missing or no integer")
    arrays: dict[str, Any] = {
        group: _arrays(reader, inside + group) for group in ("params", "history", "state", "optimizer")
    }
    texts: dict[str, Any] = {name: read_json(path, inside + name, names[name]) for name in _TEXTS}
    story = reader.strings(f"{inside}provenance")
    model = ModelFile(
        model=names["model"],
        **texts,
        seed=names["seed"],
        shape=read_shape(path, reader, at),
        preprocess=read_plain(path, reader, f"{inside}preprocess"),
        classes=reader.strings(f"{inside}classes"),
        provenance=read_json(path, f"{inside}provenance", story),
        version=names["featlearn_version"],
        **arrays,
    )
    check_finite(show(path), f"{inside}params", model.params)
    _check_history(place, model.history)
    return model


def _verified(path: str) -> bytearray:
    """The whole file, if it matches its SHA-256; as much memory as that is claimed first.

    Raises DataError.
    """
    with open_regular(path) as opened:
        _, digest = header.parse(path, opened.read(header.SIZE), header.MODEL)
        file = Descriptor(path, os.dup(opened.fileno()))
        size = os.fstat(file.fd).st_size
    # By pieces first: of what is damaged nothing is kept.
    Budget(path).claim(size)
    if verify(file, header.SIZE, size, digest, ()):
        image = bytearray(size)
        file.read_into(memoryview(image), 0)
        if header.digest([memoryview(image)[header.SIZE :]]) == digest:
            return image
    raise DataError(
        f"{show(path)}: does not match its SHA-256: damaged or cut off since it was written; "
        "restore or train again"
    )


def _check_history(place: str, history: dict[str, Array]) -> None:
    """Raise DataError unless the columns are of one length, and `epoch` and any `phase` are integers."""
    if len({column.shape for column in history.values()}) > 1 or any(c.ndim != 1 for c in history.values()):
        raise DataError(f"{place}: history: columns of different shapes")
    if history and "epoch" not in history:
        raise DataError(f"{place}: history/epoch: is missing")
    for name in history.keys() & {"epoch", "phase"}:
        if history[name].dtype.kind not in "iu":
            raise DataError(f"{place}: history/{name}: holds {history[name].dtype}, wanted integers")


def _arrays(reader: Reader, group: str) -> dict[str, Array]:
    return {name: reader.array(f"{group}/{name}") for name in reader.names(group)}
