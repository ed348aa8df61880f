"""Where files meet models: data sets as rows, model files as models, and where a file came from."""

import hashlib
import itertools
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn import __version__, _core, ranks
from featlearn.errors import ConfigError, DataError, show
from featlearn.files import hdf5
from featlearn.files.containers import split_member
from featlearn.files.dataset import Dataset, read_dataset
from featlearn.files.header import DATASET, file_kind, is_ours
from featlearn.files.model import ModelFile, read_model
from featlearn.files.paths import open_regular
from featlearn.files.treatment import Treatment
from featlearn.jobs.callbacks import Say
from featlearn.jobs.formats import listed, suffix
from featlearn.models import model_class
from featlearn.models.base import DataSummary, Model
from featlearn.patches.extract import COLORS
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows
from featlearn.patches.settings import PreprocessSpec
from featlearn.settings import from_file, to_dict

OTHER_FORMATS = {  # by the suffixes of their files
    *(".csv", ".tsv", ".txt", ".json", ".npy", ".npz", ".mat", ".gz", ".zip", ".onnx", ".safetensors"),
    *(".png", ".tif", ".tiff", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".pdf", ".svg"),
}
DATA, MORE_DATA, STARTING_MODEL, LAYER = "data", "unlabelled data", "starting model", "layer"
"""What inputs are to a run; only the first two are what is learned from."""
LISTED = 20  # names written out in a provenance; the rest is a count
PROVENANCE_BYTES = 40_000  # beyond it, what the inputs say of their own inputs is left out


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for use, with the preprocessing of its data and all else that its file says."""

    path: str
    model: Model
    preprocess: Preprocess
    file: ModelFile

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of a patch."""
        return self.file.shape

    @property
    def units(self) -> int:
        """How many values a code has."""
        empty = np.zeros((1, self.preprocess.n_visible), self.model.dtype)
        return int(self.model.encode(empty).shape[1])


def load_model(path: str) -> LoadedModel:
    """Read a model file. Raises DataError."""
    file = read_model(path)
    if file.layers:
        return loaded_stack(path, file, [loaded_layer(path, layer) for layer in file.layers])
    return loaded_layer(path, file)


def loaded_stack(path: str, file: ModelFile, layers: Sequence[LoadedModel]) -> LoadedModel:
    """Return a stack of loaded layers. Raises DataError where they do not stand on each other."""
    try:
        cls = model_class(file.model)
    except ConfigError as error:
        raise DataError(f"{show(path)}: {error}; made by featlearn {file.version!r}") from error
    if not cls.layered():
        raise DataError(f"{show(path)}: a {file.model!r} model has no layers; train it again")
    for i, (lower, upper) in enumerate(itertools.pairwise(layers), 1):
        needs, spec = upper.preprocess.n_visible, upper.preprocess.spec
        if needs != lower.units or spec != PreprocessSpec("none") or upper.model.dtype != lower.model.dtype:
            raise DataError(
                f"{show(path)}: layer {i + 1} wants {needs} values of {upper.model.dtype}, layer {i} gives "
                f"{lower.units} of {lower.model.dtype}; train it again"
            )
    divisors = [layer.preprocess.divisor for layer in layers]
    model = cls.of([layer.model for layer in layers], divisors)  # type: ignore[attr-defined]
    return LoadedModel(path, model, layers[0].preprocess, file)


def upto_layer(learned: LoadedModel, layer: int | None) -> LoadedModel:
    """Return the lowest layers of a stack, up to a number from 1 on; None: all. Raises ConfigError."""
    if layer is None:
        return learned
    layers = learned.file.layers
    if not layers:
        raise ConfigError(f"--layer: {show(learned.path)} is a {learned.file.model} model, no stack")
    if not 1 <= layer <= len(layers):
        raise ConfigError(
            f"--layer {layer}: {show(learned.path)} has {len(layers)} layers, of which 1 is the lowest"
        )
    file = replace(learned.file, layers=layers[:layer])
    return loaded_stack(learned.path, file, [loaded_layer(learned.path, one) for one in file.layers])


def loaded_layer(path: str, file: ModelFile) -> LoadedModel:
    """Make a model of the contents of a file, and try it on one empty row. Raises DataError."""
    try:
        cls = model_class(file.model)
        if cls.layered():
            raise DataError(f"{show(path)}: a {file.model!r} model without layers; train it again")
        preprocess = Preprocess.from_dict(file.preprocess)
        params = {name: np.array(value) for name, value in file.params.items()}
        config = from_file(cls.Config, file.config)
        _refuse_open(config, cls.resolve(config, DataSummary(preprocess.n_visible)))
        model: Model = cls(config, next(iter(params.values())).dtype)
        _refuse_other_shapes(path, params, model.shapes(preprocess.n_visible), model.dtype)
        model.params, model.state = params, {name: np.array(value) for name, value in file.state.items()}
        x = np.zeros((1, preprocess.n_visible), model.dtype)
        codes = model.encode(x)
        fits = preprocess.n_pixels == np.prod(file.shape)
        fits &= not model.decodes or model.decode(codes).shape == x.shape
        if model.labelled:
            fits &= len(set(file.classes or ())) == config.classes
    except ConfigError as error:
        raise DataError(
            f"{show(path)}: {error}; made by featlearn {file.version!r}, this is {__version__}"
        ) from error
    except (KeyError, IndexError, ValueError, StopIteration) as error:
        raise DataError(
            f"{show(path)}: parameters do not make a {file.model!r} model; train it again"
        ) from error
    if not fits:
        raise DataError(
            f"{show(path)}: parameters, preprocessing, patch shape and classes do not fit together; "
            "train it again"
        )
    return LoadedModel(path, model, preprocess, file)


def _refuse_open(config: Any, resolved: Any) -> None:
    """Raise ConfigError for settings that are not said and mean nothing until they are resolved."""
    then, now = to_dict(config), to_dict(resolved)
    left = [name for name in now if then[name] != now[name]]
    if left:
        raise ConfigError(f"{', '.join(left)}: is not said")


def _refuse_other_shapes(
    path: str, params: dict[str, npt.NDArray[Any]], wanted: dict[str, tuple[int, ...]], dtype: np.dtype[Any]
) -> None:
    """Raise DataError for parameters that are not those of the model's settings and visible values."""
    for name in sorted(params.keys() | wanted.keys()):
        found = (params[name].shape, params[name].dtype) if name in params else ("missing", "")
        ours = (wanted[name], dtype) if name in wanted else ("no such parameter", "")
        if found != ours:
            raise DataError(
                f"{show(path)}: params/{show(name)} is {_plain(*found)}, "
                f"wanted {_plain(*ours)} by its config and visible values; train it again"
            )


def _plain(shape: tuple[int, ...] | str, dtype: np.dtype[Any] | str) -> str:
    """((64, 12), float32) -> "64 x 12 float32"."""
    return f"{shape if isinstance(shape, str) else ' x '.join(map(str, shape))} {dtype}".rstrip()


def warn_of_unfinished(learned: LoadedModel, say: Say) -> None:
    """Say so where a model is the checkpoint of a run that is still to end."""
    if not learned.file.progress.get("finished", True):
        say(
            f"warning: {learned.path}: its training is not finished; featlearn train --resume goes on with it"
        )


def refuse_others_on_ranks(*read: LoadedModel | Dataset) -> None:
    """Raise ReplicaError where ranks have not read the same models and data sets."""
    digests = [one.digest if isinstance(one, Dataset) else one.file.content_hash for one in read]
    ranks.refuse_difference(lambda: " ".join(digests).encode(), "other models or data")


def load_rows(
    path: str, dtype: str = "float32", like: LoadedModel | None = None, *, say: Say
) -> tuple[Rows, Dataset, Preprocess]:
    """Return a data set's rows, preprocessed as it says itself.

    With `like`, they are preprocessed as that model's data were, and in its dtype.

    Raises DataError.
    """
    dataset = read_dataset(path)
    if like is not None:
        refuse_other_patches(dataset, like, say)
        return rows_like(dataset, like), dataset, like.preprocess
    preprocess = Preprocess.from_dict(dataset.preprocess)
    return Rows(dataset.patches, preprocess, np.dtype(dtype), name=show(path)), dataset, preprocess


def rows_like(dataset: Dataset, like: LoadedModel) -> Rows:
    """The rows of a data set preprocessed as that model was trained on, and in its dtype.

    Raises DataError.
    """
    return Rows(dataset.patches, like.preprocess, like.model.dtype, name=show(dataset.path))


def treatment_of(preprocess: Preprocess, shape: tuple[int, int, int]) -> Treatment:
    """Return how images were read for data with that preprocessing and patches of that shape."""
    return Treatment(COLORS.get(shape[2]), preprocess.linear, preprocess.resize)


def refuse_other_patches(dataset: Dataset, like: LoadedModel, say: Say) -> None:
    """Raise DataError for patches of another shape than that model was trained on, or read in another way."""
    if like.shape != dataset.shape:
        raise DataError(
            f"{show(dataset.path)}: patches are {shape_words(dataset.shape)}, but {show(like.path)} was "
            f"trained on {shape_words(like.shape)}; extract them again with --like {show(like.path)}"
        )
    refuse_other_reading(dataset, like.preprocess, f"{show(like.path)} was trained on", like.path, say)


def refuse_other_reading(dataset: Dataset, preprocess: Preprocess, those: str, path: str, say: Say) -> None:
    """Raise DataError for images that were read in another way than those of that preprocessing.

    `those` are the others, in words, and `path` is a file that has them. Floats may stand for light though
    nothing says so, of which `say` is told.
    """
    shape, floats = dataset.shape, dataset.patches.dtype.kind == "f"
    found = Treatment(None, bool(dataset.preprocess.get("linear")), dataset.preprocess.get("resize"))
    wanted = treatment_of(preprocess, shape)
    words = f"{show(dataset.path)}: images were read {found.words}, but {those} images read {wanted.words}"
    resized = found.resize_to(shape) != wanted.resize_to(shape)
    if resized or (found.linear != wanted.linear and not (wanted.linear and floats)):
        raise DataError(f"{words}; extract the images themselves again with --like {show(path)}")
    if found.linear != wanted.linear:
        say(f"warning: {words}; go on only if these floats are proportional to light")


def check_hdf5_name(path: str, others: Sequence[str] = ()) -> None:
    """Raise ConfigError for a name that promises another format: what is written there is HDF5.

    `others` are the formats that could be written besides.
    """
    if suffix(path) in OTHER_FORMATS:
        remedy = listed([".h5", *others])
        raise ConfigError(
            f"-o {show(path)}: would be HDF5 under a name of another format; end it in {remedy}"
        )


def shape_words(shape: Sequence[int]) -> str:
    """(16, 16, 1) -> 16x16x1"""
    return "x".join(map(str, shape))


def provenance(
    invocation: Mapping[str, Any],
    seed: int | None = None,
    inputs: Sequence[str] = (),
    roles: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the origin of a file as plain values: versions, seed, inputs with digests and provenance.

    `roles` say what each of the inputs is to the run.

    `invocation` says how the job was called, as plain values: a command line and what else has set options,
    or the job's name and settings.

    No clock (the time is SOURCE_DATE_EPOCH's, when set), no host, no user: the same command gives the same
    bytes.
    """
    called = dict(invocation)
    if "argv" in called:
        called["argv"] = _listed(called["argv"])
    out: dict[str, Any] = called | {
        "versions": {"featlearn": __version__} | versions(),
        "platform": f"{sys.platform} {platform.machine()}",
        "instruction_set": _core.isa(),
        "inputs": _listed([_input(path) for path in inputs[: LISTED + 1]], len(inputs)),
    }
    for one, role in zip(out["inputs"], roles, strict=False):
        one["role"] = role
    if seed is not None:
        out["seed"] = seed
    if os.environ.get("SOURCE_DATE_EPOCH", "").isdecimal():
        out["time"] = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC).isoformat()
    if len(json.dumps(out)) > PROVENANCE_BYTES:
        for one in out["inputs"]:
            one.pop("provenance", None)
    return out


def versions() -> dict[str, str]:
    """Of Python and the libraries that numbers pass through."""
    own = {"python": platform.python_version(), "numpy": version("numpy")}
    return own | hdf5.versions()


def _listed(items: list[Any], total: int | None = None) -> list[Any]:
    """The first LISTED of them and how many more there are."""
    more = (len(items) if total is None else total) - LISTED
    if more <= 0:
        return items
    note = f"... and {more} more"
    return [*items[:LISTED], {"name": note} if isinstance(items[0], dict) else note]


def _input(path: str) -> dict[str, Any]:
    """Return what is known of an input.

    Of featlearn's own files that is all, of other files the digest, of folders the name.

    Raises DataError if it cannot be read: another provenance would be a wrong one. A data set is not held
    against its digest here: the command that read it did so.
    """
    out: dict[str, Any] = {"name": path}
    path, _ = split_member(path)
    if not os.path.isfile(path):
        return out
    if not is_ours(path):
        with open_regular(path) as stream:
            return out | {"digest": hashlib.file_digest(stream, "sha256").hexdigest()}
    file = read_dataset(path, verify=False) if file_kind(path) == DATASET else read_model(path)
    digest = file.digest if isinstance(file, Dataset) else file.content_hash
    return out | {"digest": digest, "provenance": file.provenance}
