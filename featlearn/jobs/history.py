"""The learning curve of a model, for other programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featlearn.errors import DataError, show
from featlearn.files.tensors import table
from featlearn.jobs.store import load_model

PLACE = ("epoch", "phase", "step")
"""Columns that say where in a run a line is of."""


def read_history(model: str) -> dict[str, Any]:
    """Return the columns of a model's history, one value an epoch. Raises DataError."""
    return columns_of(model, load_model(model).file.history)


def columns_of(model: str, history: Mapping[str, Any]) -> dict[str, Any]:
    """Return a history's columns, those of the place first. Raises DataError where it has no epoch."""
    if not len(history.get("epoch", ())):
        raise DataError(f"{show(model)}: has no history: its training has not finished an epoch")
    return {name: history[name] for name in _ordered(history)}


def as_csv(columns: Mapping[str, Any]) -> str:
    """Return a history as CSV, a line an epoch; nan is what has not been measured in that epoch."""
    return table(columns).decode()


def as_rows(history: Mapping[str, Sequence[Any]], first: int = 0) -> list[dict[str, Any]]:
    """Return the epochs of a history from a number on, each as what has been measured in it.

    The place is said in whole numbers, measures in others.
    """
    names = _ordered(history)
    kinds = [int if name in PLACE else float for name in names]
    columns = [
        np.asarray(history[name][first:], kind).tolist() for name, kind in zip(names, kinds, strict=True)
    ]
    rows = (zip(names, values, strict=True) for values in zip(*columns, strict=True))
    return [{name: value for name, value in row if np.isfinite(value)} for row in rows]


def joined(histories: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return histories as one: epochs, updates and phases are counted on; nan is what a layer has not."""
    names = dict.fromkeys(name for history in histories for name in history)
    columns: dict[str, list[Any]] = {name: [] for name in names}
    epochs = phases = steps = 0
    for history in histories:
        n = len(history.get("epoch", ()))
        if not n:
            continue
        first = {"epoch": epochs, "phase": phases, "step": steps}
        for name, parts in columns.items():
            column = history.get(name, np.full(n, np.nan))
            parts.append(np.asarray(column) + first.get(name, 0) if name in first else np.asarray(column))
        epochs, steps = epochs + n, int(columns["step"][-1][-1])
        phases = int(columns["phase"][-1].max()) + 1
    return {name: np.concatenate(parts) for name, parts in columns.items() if parts}


def _ordered(history: Mapping[str, Any]) -> list[str]:
    """The names of the columns: where a line is of, then the measures."""
    place = [name for name in PLACE if name in history]
    return place + sorted(history.keys() - set(place))
