"""The table of a folder of runs, as JSON and CSV: of all sweeps that were made there, a row a model.

It knows no clock, and its order is that of the files' names, so a sweep that was killed and begun again ends
in the same bytes. Other forms of it, such as a page, are to be made of `read_rows`.
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
from typing import Any

from featlearn.errors import DataError, reason, show
from featlearn.files.atomic import Busy, Output, write_bytes
from featlearn.jobs.callbacks import Say

JSON, CSV = "table.json", "table.csv"
PATIENCE = 60.0  # seconds to wait for another sweep that writes it

Row = Mapping[str, Any]


def add_rows(folder: str, rows: Sequence[Row], say: Say) -> None:
    """Put rows into the table of a folder, in place of those of the same files.

    Those whose files are there no more go. Raises DataError.
    """
    path = os.path.join(folder, JSON)
    with _held(path) as out:
        kept = {row["file"]: row for row in read_rows(folder, say)}
        kept |= {row["file"]: row for row in rows}
        there = set(os.listdir(folder))
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


def as_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV: settings in which they differ, then measures; empty where one has no such value."""
    said = [_plain(row) for row in rows]
    settings = list(dict.fromkeys(key for one in said for key in one["settings"]))
    differ = [key for key in settings if len({str(one["settings"].get(key, "")) for one in said}) > 1]
    differ = [key for key in differ if key != "seed"]
    measures = list(dict.fromkeys(key for one in said for key in one["measures"]))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", *differ, "seed", *measures, "advice", "content_hash"])
    for one in said:
        own = [one["settings"].get(key, "") for key in differ]
        found = [one["measures"].get(key, "") for key in measures]
        advice = " ".join(one["advice"])
        writer.writerow([one["file"], *own, one["seed"], *found, advice, one["content_hash"]])
    return out.getvalue()


def _plain(row: Row) -> dict[str, Any]:
    """A row with cells for CSV: what decides a run beside its settings as settings, too."""
    decides = {key: row[key] for key in ("model", "data set", "test data") if key in row}
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
