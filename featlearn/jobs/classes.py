"""The classes of labelled rows: those that a model learns, and those that it knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.analysis.advice import commonest_error
from featlearn.analysis.fantasies import held
from featlearn.errors import ConfigError, DataError, show
from featlearn.files.dataset import Dataset
from featlearn.jobs.callbacks import Say
from featlearn.jobs.store import LoadedModel
from featlearn.patches.rows import Rows
from featlearn.rows import Array, Labelled
from featlearn.training.legs import measure

Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class Classes:
    """The names of classes, and the index (n,) of that of each row; -1 where it is not known."""

    names: tuple[str, ...]
    index: Labels


def classes_of(name: str, labels: Labels | None, label_names: Sequence[str] | None, model: str) -> Classes:
    """Return the classes of labelled data for a model to learn. Raises DataError where it cannot."""
    place = show(name)
    if labels is None:
        remedy = "give y" if name == "X" else "extract it again with --labels"
        raise DataError(f"{place}: has no labels, and --model {model} learns classes; {remedy}")
    found, index = np.unique(labels, return_inverse=True)
    names = tuple(_name(label, label_names) for label in found.tolist())
    if len(names) == 1:
        raise DataError(f"{place}: all its rows are of class {names[0]}, so there is nothing to tell apart")
    return Classes(names, index)


def known_classes(data: Dataset, learned: LoadedModel) -> Labels:
    """Return the class (n,) of each row of a data set, as the model numbers them.

    Raises DataError where it does not know them all.
    """
    index, strange = classes_in(data, learned)
    if strange:
        raise DataError(f"{strange}; leave those rows out, or train on data that have them")
    return index


def classes_in(data: Dataset, learned: LoadedModel) -> tuple[Labels, str]:
    """Return the class (n,) of each row of a data set, as the model numbers them; -1: it does not know it.

    Also words about the classes that it does not know, "" where it knows all. Raises DataError.
    """
    place = show(data.path)
    if data.labels is None:
        raise DataError(f"{place}: has no labels; extract it again with --labels")
    known = learned.file.classes or []
    index, others = index_of(data.labels, data.label_names, known)
    if not others:
        return index, ""
    return index, f"{place}: has rows of class {others}, but {show(learned.path)} knows {_listed(known)}"


def index_of(labels: Labels, label_names: Sequence[str] | None, known: Sequence[str]) -> tuple[Labels, str]:
    """Return the place (n,) among `known` names of the class of each row, -1 where it is not there.

    Also the names of the classes that are not there, "" where all are.
    """
    place = {name: i for i, name in enumerate(known)}
    found, index = np.unique(labels, return_inverse=True)
    names = [_name(label, label_names) for label in found.tolist()]
    others = _listed([name for name in names if name not in place])
    return np.array([place.get(name, -1) for name in names])[index], others


def held_classes(learned: LoadedModel, names: Sequence[str] | None, count: int) -> Array:
    """Return the classes that chains are held to, `count` of each named one; None: of all.

    -> (n, classes), 1 at the class, else 0. Raises ConfigError.
    """
    known = {name: i for i, name in enumerate(learned.file.classes or ())}
    for name in names or ():
        if known and name not in known:
            raise ConfigError(f"--class {show(name)}: {show(learned.path)} knows {_listed(list(known))}")
    return held(learned.model, None if names is None else [known.get(name, 0) for name in names], count)


def _name(label: int, names: Sequence[str] | None) -> str:
    """Return a class in words: its name where a data set has names, else its number."""
    return names[label] if names else str(label)


def _listed(names: list[str], most: int = 10) -> str:
    """Return names one after the other, the first of many alone."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(show, names[:most])) + more


def errors_of_classes(learned: LoadedModel, rows: Rows, dataset: Dataset, say: Say) -> dict[str, float]:
    """Return the share of rows put into the wrong class, and the loss.

    Rows of a class that the model does not know are put into a wrong one, as by the linear classifiers; then
    there is no finite loss. Where it knows the class of no row there is nothing to tell.
    """
    labels, strange = classes_in(dataset, learned)
    commonest = {"commonest_error": commonest_error(np.asarray(dataset.labels))}
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        say(f"warning: {strange}, none of them: error_rate and loss are left out; classes go by their names")
        return {}
    labelled = Labelled(rows, labels, len(learned.file.classes or ()))
    found = measure(learned.model, labelled, known, own=False)
    if not strange:
        return found | commonest
    unknown = len(rows) - len(known)
    say(
        f"warning: {strange}; these {unknown} rows count as wrong, and loss is left out; "
        "for the errors of the others leave them out of the data set"
    )
    return {"error_rate": (found["error_rate"] * len(known) + unknown) / len(rows)} | commonest
