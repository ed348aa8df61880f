"""The contents of a checkpoint, and the check that they are of a place in a run: all of that stands here.

A run is its params and state, the arrays of the optimiser and of the best model so far, its progress and
its history. Files are checksummed. So it is checked that the arrays are of the names, shapes and dtypes that
the run puts there, and finite, and that the place is one where it can go on.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from featlearn.rows import Array
from featlearn.training.legs import Leg
from featlearn.training.optim.base import Layout
from featlearn.training.progress import Progress

PLACE = ("epoch", "phase", "step")  # columns of the history that every epoch has


class Saved(NamedTuple):
    """A run as it is saved; `optimizer` holds the arrays of the best model, too, `progress` plain values."""

    params: dict[str, Array]
    state: dict[str, Array]
    optimizer: dict[str, Array]
    progress: Any
    history: Mapping[str, npt.NDArray[Any]]


class Best(NamedTuple):
    """Params and state of a model, as they were."""

    params: dict[str, Array]
    state: dict[str, Array]


def pack(optimizer: dict[str, Array], best: Best | None, average: dict[str, Array]) -> dict[str, Array]:
    """Return the arrays of all under one roof."""
    parts = {"optimizer": optimizer, "average": average}
    if best is not None:
        parts |= {"best": best.params, "best_state": best.state}
    return {f"{part}.{name}": value for part, arrays in parts.items() for name, value in arrays.items()}


def unpack(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], Best | None, dict[str, Array]]:
    """Return what was packed; arrays of other names are left out."""
    parts: dict[str, dict[str, Array]] = {"optimizer": {}, "best": {}, "best_state": {}, "average": {}}
    for key, value in arrays.items():
        part, _, name = key.partition(".")
        if part in parts:
            parts[part][name] = value
    best = Best(parts["best"], parts["best_state"]) if parts["best"] else None
    return parts["optimizer"], best, parts["average"]


def digest(arrays: Mapping[str, Array]) -> bytes:
    """Return a hash (32 bytes) of arrays by their names."""
    sha = hashlib.sha256()
    for name, value in arrays.items():
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(value).data)
    return sha.digest()


def layout(arrays: Mapping[str, Array]) -> Layout:
    """Return shape and dtype of each array."""
    return {name: (w.shape, w.dtype) for name, w in arrays.items()}


def misfit(saved: Saved, params: dict[str, Array], state: dict[str, Array], legs: Sequence[Leg]) -> str:
    """Say what of a checkpoint cannot be of a run that began with these params and this state.

    "" if all of it can.
    """
    if not _is_place(saved.progress, saved.history, legs):
        return "progress and history are of no place in this run"
    at = Progress(**saved.progress)
    if layout(saved.params) != layout(params):
        return "/params is not what this run keeps there"
    finished = any(leg.phase.finish for leg in legs[: at.phase])
    if not _fits_state(saved.state, state, finished):
        return "/state is not what this run keeps there"
    kept, best, average = unpack(saved.optimizer)
    wanted = {} if at.finished else legs[at.phase].optimizer.layout(legs[at.phase].params)
    fits = layout(kept).items() <= wanted.items() and len(saved.optimizer) == len(pack(kept, best, average))
    if average:
        fits &= not at.finished and layout(average) == layout(legs[at.phase].params)
    if best is not None:
        fits &= layout(best.params) == layout(params) and _fits_state(best.state, state, finished)
    if not fits:
        return "/optimizer is not what this run keeps there"
    for part in ("params", "state", "optimizer"):
        if not all(np.isfinite(w).all() for w in getattr(saved, part).values()):
            return f"/{part} holds values that are not finite"
    return ""


def _fits_state(found: dict[str, Array], begun: dict[str, Array], finished: bool) -> bool:
    """Whether it is the state of a model that began so; a `finished` phase may have put in other names."""
    if not finished:
        return layout(found) == layout(begun)
    return all(layout(found)[name] == layout(begun)[name] for name in found.keys() & begun.keys())


def _is_place(values: Any, history: Mapping[str, npt.NDArray[Any]], legs: Sequence[Leg]) -> bool:
    if not Progress.fits(values):
        return False
    at, rows = Progress(**values), {len(column) for column in history.values()} or {0}
    if at.diverged or rows != {at.epochs_done} or (at.epochs_done and not history.keys() >= set(PLACE)):
        return False
    if not (0 <= at.epoch <= at.epochs_done and 0 <= at.step <= sum(leg.updates for leg in legs)):
        return False
    if at.finished:
        return (at.phase, at.batch) == (len(legs), 0)
    if not (0 <= at.phase < len(legs) and at.rate > 0):
        return False
    leg = legs[at.phase]
    return 0 <= at.batch < leg.batches and at.epoch * leg.batches + at.batch < leg.updates
