"""The table of a folder of runs, as JSON, CSV and HTML: of all sweeps that were made there, a row a model.

It knows no clock, and its order is that of the files' names, so a sweep that was killed and begun again ends
in the same bytes.
"""

import contextlib
import csv
import io
import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from featlearn.errors import DataError, reason, show
from featlearn.files.atomic import Busy, Output, write_bytes
from featlearn.jobs.callbacks import Say
from featlearn.pictures import page
from featlearn.pictures.by_settings import BySetting, by_settings
from featlearn.pictures.figure import Look

JSON, CSV, PAGE = "table.json", "table.csv", "table.html"
DECIDES = ("model", "data set", "test data")  # a run, beside its settings
PATIENCE = 60.0  # seconds to wait for another sweep that writes it

Row = Mapping[str, Any]


def add_rows(folder: str, rows: Sequence[Row], say: Say) -> None:
    """Put rows into the table of a folder, in place of those of the same files.

    Those whose files are there no more go. Raises DataError.
    """
    path = os.path.join(folder, JSON)
    with _held(path) as out:
        kept = {row["file"]: row for row in read_rows(folder, say)}
        new = {row["file"]: row for row in rows}
        kept |= new
        there = {*os.listdir(folder), *new}  # a disk may not show yet what another machine has written
        whole = [kept[name] for name in sorted(kept, key=_natural) if name in there]
        write_bytes(os.path.join(folder, CSV), as_csv(whole).encode(), force=True)
        out.write((json.dumps({"runs": whole}, indent=1) + "\n").encode(), 0)
        out.commit()


def read_rows(folder: str, say: Say) -> list[Row]:
    """Return the rows of a folder's table, none where it has no table that can be read, which is said."""
    path = os.path.join(folder, JSON)
    try:
        with open(path, "rb") as stream:
            rows = json.load(stream)["runs"]
        if all(isinstance(row["file"], str) and isinstance(row["measures"], dict) for row in rows):
            return list(rows)
        say(f"{show(path)}: is no table of a sweep; it is made anew")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise DataError(f"{show(path)}: {reason(error)}") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        say(f"{show(path)}: is no table of a sweep; it is made anew")
    return []


def write_page(folder: str, by: str, say: Say) -> None:
    """Write the table as a page, with a picture of the measure `by` by the settings. Raises DataError."""
    with _held(os.path.join(folder, JSON)):  # another sweep may write it, too
        rows = read_rows(folder, say)
        if rows:
            write_bytes(os.path.join(folder, PAGE), as_page(rows, by), force=True)


def as_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV: settings in which they differ, then measures; empty where one has no such value."""
    found = _table(rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(found.head)
    writer.writerows(found.cells)
    return out.getvalue()


def as_page(rows: Sequence[Row], by: str) -> bytes:
    """Return rows as a page of HTML: their table, which can be sorted, and `by` against the settings."""
    found = _table(rows)
    caption = "Settings in which the runs differ, measures and advice; buttons sort."
    shown = [[None if value == "" else value for value in one[:-1]] for one in found.cells]
    parts = []
    panels = [panel for name in found.differ if (panel := _panel(name, rows, by))]
    if panels:
        words = f"{by} of each run against the settings that are numbers; the line is the mean."
        parts.append(page.picture(by_settings(panels, by, Look(), "SVG", {}), "SVG", words, words))
    parts.append(page.table(caption, found.head[:-1], shown))  # but for the content hash
    known = {key: dict.fromkeys(str(row[key]) for row in rows if row.get(key)) for key in DECIDES}
    parts.append(page.definitions((key, ", ".join(values)) for key, values in known.items() if values))
    models = ", ".join(known["model"])
    return page.page(f"{len(rows)} runs of {models}", *parts)


class _Table(NamedTuple):
    head: list[str]
    cells: list[list[Any]]
    differ: list[str]
    """The settings among the columns but the seed."""


def _table(rows: Sequence[Row]) -> _Table:
    said = [_plain(row) for row in rows]
    settings = list(dict.fromkeys(key for one in said for key in one["settings"]))
    differ = [key for key in settings if len({str(one["settings"].get(key, "")) for one in said}) > 1]
    differ = [key for key in differ if key != "seed"]
    measures = list(dict.fromkeys(key for one in said for key in one["measures"]))
    cells = []
    for one in said:
        own = [one["settings"].get(key, "") for key in differ]
        found = [one["measures"].get(key, "") for key in measures]
        cells.append([one["file"], *own, one["seed"], *found, " ".join(one["advice"]), one["content_hash"]])
    return _Table(["file", *differ, "seed", *measures, "advice", "content_hash"], cells, differ)


def _panel(name: str, rows: Sequence[Row], by: str) -> BySetting | None:
    """A setting and a measure of the runs that have numbers for both; None where it has but one value."""
    pairs = [(row["settings"].get(name), row["measures"].get(by)) for row in rows]
    numbers = [pair for pair in pairs if all(map(_is_number, pair))]
    if len({value for value, _ in numbers}) < 2:
        return None
    return BySetting(name, [float(value) for value, _ in numbers], [float(found) for _, found in numbers])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(row: Row) -> dict[str, Any]:
    """A row with cells for CSV: what decides a run beside its settings as settings, too."""
    decides = {key: row[key] for key in DECIDES if key in row}
    settings = {key: _cell(value) for key, value in (decides | row["settings"]).items()}
    return dict(row) | {
        "settings": settings,
        "measures": {key: _cell(value) for key, value in row["measures"].items()},
    }


def _cell(value: Any) -> Any:
    """A value as it stands in CSV; lists as they are typed."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _natural(name: str) -> list[tuple[int, float, str]]:
    """A key that sorts names by the numbers in them: k=5 before k=10."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", name)
    return [(1, float(part), "") if i % 2 else (0, 0.0, part) for i, part in enumerate(parts)]


@contextlib.contextmanager
def _held(path: str) -> Iterator[Output]:
    """Hold the output, which another sweep may hold for a moment. Raises DataError."""
    until = time.monotonic() + PATIENCE
    with contextlib.ExitStack() as stack:
        while True:
            try:
                out = stack.enter_context(Output(path, force=True))
                break
            except Busy:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        yield out
