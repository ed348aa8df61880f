"""Tables of numbers as text: .csv, plain or gzipped.

One row of numbers a line, separated by commas; the first line may be a header. Lines are read one after the
other, so that memory holds the numbers and a block of lines, never the text.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from featlearn.errors import DataError, ReadError, reason, show
from featlearn.files.budget import Budget
from featlearn.files.paths import open_regular
from featlearn.rows import Array

Lines = list[str]

LONGEST = 16 << 20
"""Bytes of the longest line."""
_BLOCK = 4 << 20  # bytes of text that are parsed together
_MARKS = frozenset(".eEnNiI")  # a number with one of these is written as a float


def read_csv(path: str) -> tuple[Array, np.dtype[Any]]:
    """((n, d) numbers, the dtype that holds them) of a .csv file, gzipped or not.

    Whole numbers of 0 to 65535, all written without a point, are those of an integer array: uint8 or uint16.
    All others are float32. Raises DataError naming line and column, ReadError.
    """
    header, width, n = _survey(path)
    out = np.empty((n, width), np.float32)
    whole = True
    low = np.inf
    high = -np.inf
    done = 0
    for first, lines in _blocks(path):
        if first == 1 and header:
            first, lines = 2, lines[1:]
        if done + len(lines) > n:
            raise ReadError(f"{show(path)}: has changed while it was read; use a copy that stays as it is")
        if lines:
            values = _parse(path, lines, first, width)
            whole = whole and not any(mark in line for line in lines for mark in _MARKS)
            low, high = min(low, values.min()), max(high, values.max())
            out[done : done + len(lines)] = values
            done += len(lines)
    if done != n:
        raise ReadError(f"{show(path)}: has changed while it was read; use a copy that stays as it is")
    if whole and low >= 0 and high <= 65535:
        dtype = np.dtype(np.uint8 if high <= 255 else np.uint16)
        return out.astype(dtype), dtype
    return out, np.dtype(np.float32)


def _survey(path: str) -> tuple[bool, int, int]:
    """(whether the first line is a header, numbers in a row, number of rows). Raises DataError."""
    n = 0
    width = 0
    header = False
    budget = Budget(path)
    for first, lines in _blocks(path):
        if first == 1 and lines:
            fields = _fields(lines[0])
            width = len(fields)
            header = _is_header(path, fields)
        n += len(lines)
        budget.claim(4 * len(lines) * width, f"{n:,} rows or more of {width:,} numbers")
    n -= header
    if n < 1:
        raise DataError(f"{show(path)}: holds no row of numbers")
    return header, width, n


def _is_header(path: str, fields: list[str]) -> bool:
    """Return whether the first line names the columns.

    Raises DataError where pandas numbered them, or where names are mixed with numbers: a missing value there
    would pass for a name.
    """
    numbers = [_is_number(field) for field in fields]
    if not fields[0].strip() and len(fields) > 1:
        raise DataError(
            f"{show(path)}: line 1, column 1: has no name, as where pandas writes the row numbers; save it "
            "again with index=False"
        )
    if (
        all(numbers)
        and len(fields) > 2
        and [field.strip() for field in fields] == list(map(str, range(len(fields))))
    ):
        raise DataError(
            f"{show(path)}: line 1: counts the columns, as where pandas writes their numbers; "
            "save it again with header=False, or put a line of names above it if it is a row of data"
        )
    if any(numbers) and not all(numbers):
        column = numbers.index(False)
        found = ascii(fields[column].strip())[:60] if fields[column].strip() else "nothing"
        raise DataError(
            f"{show(path)}: line 1, column {column + 1}: found {found} beside numbers, wanted numbers alone, "
            "or names alone"
        )
    return not all(numbers)


def _blocks(path: str) -> Iterator[tuple[int, Lines]]:
    """Yield blocks: (number of the first line, lines without their ends). Empty ones may end the file."""
    first = 1
    lines = Lines()
    size = 0
    empty = 0
    with open_regular(path) as file:
        stream: Any = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == b"\x1f\x8b" else file
        number = 0
        while raw := _line(path, stream, number + 1):
            number += 1
            text = raw.decode("latin-1").removeprefix("\xef\xbb\xbf" if number == 1 else "").rstrip("\r\n")
            if not text.strip():
                empty = empty or number
                continue
            if empty:
                raise DataError(f"{show(path)}: line {empty}: is empty, wanted numbers separated by commas")
            lines.append(text)
            size += len(text)
            if size >= _BLOCK:
                yield first, lines
                first = number + 1
                lines = []
                size = 0
    yield first, lines


def _line(path: str, stream: Any, number: int) -> bytes:
    try:
        raw: bytes = stream.readline(LONGEST + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{show(path)}: line {number}: is damaged or cut off ({reason(error)})") from error
    except OSError as error:
        raise ReadError(f"{show(path)}: cannot be read: {reason(error)}") from error
    if len(raw) > LONGEST:
        raise DataError(
            f"{show(path)}: line {number}: is longer than {LONGEST >> 20} MiB; is this a table of numbers?"
        )
    return raw


def _parse(path: str, lines: Lines, first: int, width: int) -> Array:
    """(len(lines), width) float32. Raises DataError naming the first wrong line and column."""
    for number, line in enumerate(lines, first):
        if line.count('"') % 2:
            raise DataError(f"{show(path)}: line {number}: has a quote that is not closed")
    try:
        with np.errstate(over="ignore"):
            values = np.loadtxt(
                lines, np.float64, comments=None, delimiter=",", ndmin=2, quotechar='"'
            ).astype(np.float32)  # fmt: skip
        if values.shape == (len(lines), width) and np.isfinite(values).all():
            return values
    except ValueError:
        pass
    for number, line in enumerate(lines, first):
        fields = _fields(line)
        for column, field in enumerate(fields[:width], 1):
            if not _is_number(field):
                found = ascii(field.strip())[:60] if field.strip() else "nothing"
                raise DataError(
                    f"{show(path)}: line {number}, column {column}: found {found}, wanted a number"
                )
            with np.errstate(over="ignore"):
                finite = np.isfinite(np.float32(field))
            if not finite:
                raise DataError(
                    f"{show(path)}: line {number}, column {column}: {field.strip()} is not finite"
                )
        if len(fields) != width:
            hint = "; wanted commas between the numbers" if len(fields) == 1 else ""
            raise DataError(
                f"{show(path)}: line {number}: has {len(fields)} columns, line 1 has {width}{hint}"
            )
    raise DataError(f"{show(path)}: lines {first} to {first + len(lines) - 1}: are no rows of numbers")


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:  # a field beyond the csv module's limit, or a stray quote
        return line.split(",")


def _is_number(field: str) -> bool:
    if "_" in field:  # Python takes 1_000, numpy's reader and all other programs do not
        return False
    try:
        float(field)
    except ValueError:
        return False
    return True
