"""Measures of models for people: in groups, with their units and an arrow to what is better."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from featlearn.cli.output import Results, text_of
from featlearn.jobs.measure_keys import LESS, MORE, UNDECLARED, UNRELIABLE, Key, in_groups, key_of

ARROWS = {LESS: "\N{DOWNWARDS ARROW}", MORE: "\N{UPWARDS ARROW}", "": ""}


def show_measures(models: Sequence[Mapping[str, Any]], explain: bool, results: Results) -> None:
    """Show the measures of models, a column each, under the headings of their groups; JSON has no headings.

    With `explain` a line for each says what it is, its unit, what is better and its source.
    """
    groups = in_groups(models)
    cells = [["model", *(text_of(row["model"]) for row in models)]]
    for group, names in groups.items():
        cells += [[], [group]]
        for name in names:
            key, values = key_of(name), [text_of(row.get(name)) for row in models]
            about = ["", ""] if key is None else [key.unit, ARROWS[key.better]]
            cells.append([f"  {name}", *values, *about])
    if explain:
        lines = [[f"  {name}", _explained(name, key_of(name))] for names in groups.values() for name in names]
        return results.blocks("models", models, [cells, [[], ["explained"], *lines]])
    results.blocks("models", models, [cells])


def _explained(name: str, key: Key | None) -> str:
    if key is None:
        return UNDECLARED.what
    better = f"{key.better} is better" if key.better else ""
    what = re.sub(r"\bN\b", name.rpartition("_")[2], key.what)
    words = "; ".join(filter(None, [what, key.unit, better, key.source]))
    return f"{words}; the estimates do not bear each other out" if name.startswith(UNRELIABLE) else words
