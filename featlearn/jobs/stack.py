"""Model files put together as one stack, where each has learned from the codes of the one before."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from featlearn.errors import ConfigError, DataError, show
from featlearn.files.atomic import check_output
from featlearn.files.model import write_model
from featlearn.jobs.hints import as_argument
from featlearn.jobs.layers import stack_file
from featlearn.jobs.pictures import filters_inside
from featlearn.jobs.results import UNREPORTED, Next, Result
from featlearn.jobs.store import (
    LAYER,
    LoadedModel,
    check_hdf5_name,
    load_model,
    loaded_layer,
    loaded_stack,
    provenance,
)
from featlearn.models.stack import Stack

JOB = {"job": "stack"}


@dataclass(frozen=True)
class Stacked(Result):
    """A stack made of model files."""

    output: str
    layers: int
    units: int
    """How many values a code of the top layer has."""
    bytes: int
    content_hash: str
    next: Next | None = field(default=None, repr=False, metadata=UNREPORTED)


def stack(
    models: Sequence[str], output: str, *, force: bool = False, invocation: Mapping[str, Any] = JOB
) -> Stacked:
    """Write models as one stack, from below; those of a stack count as its layers.

    That each has learned from the codes of those below it, its file's provenance has to say. Raises
    DataError, ConfigError.
    """
    paths = list(models)
    check_hdf5_name(output)
    check_output(output, force, paths)
    if len(paths) < 2:
        raise ConfigError("stack: give two models or more, the lowest one first")
    loaded = [load_model(path) for path in paths]
    for learned in loaded:
        if not learned.file.progress.get("finished", True):
            raise DataError(f"{show(learned.path)}: its training is not finished; --resume it first")
    for upper, lower in zip(loaded[1:], loaded, strict=False):
        _refuse_stranger(upper, lower)
    layers = [layer for learned in loaded for layer in learned.file.layers or [learned.file]]
    story = provenance(invocation, inputs=paths, roles=[LAYER] * len(paths))
    dtype = str(loaded[0].model.dtype)
    file = stack_file(
        Stack.id, layers, dtype=dtype, seed=layers[0].seed, progress={"finished": True}, provenance=story
    )
    made = loaded_stack(output, file, [loaded_layer(output, layer) for layer in layers])
    write_model(output, file, force, paths, filters_inside(made.model, file))
    size = os.path.getsize(output)
    hint = Next([["visualize", as_argument(output)]])
    return Stacked(output, len(layers), made.units, size, file.content_hash, hint)


def _refuse_stranger(upper: LoadedModel, lower: LoadedModel) -> None:
    """Raise DataError unless a model has learned from the codes of the one below, by its provenance."""
    inputs = upper.file.provenance.get("inputs") or [{}]
    of_codes = inputs[0].get("provenance") or {}
    encoder = (of_codes.get("inputs") or [{}])[0].get("digest")
    # what has been put together may have been encoded by its top layer, on the codes of those below
    wanted = {one.content_hash for one in (lower.file, *lower.file.layers[-1:])}
    of_the_top = of_codes.get("layer") in (None, len(lower.file.layers))
    if "sliding" in of_codes or not of_the_top or encoder not in wanted:
        raise DataError(
            f"{show(upper.path)}: its file does not say that it learned from codes of {show(lower.path)}; "
            "encode the data with that model, and train this one on the codes"
        )
