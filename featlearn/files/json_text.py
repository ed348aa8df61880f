"""Dictionaries as JSON inside the files: short, finite, sorted."""

import json
from collections.abc import Mapping
from typing import Any

from featlearn.errors import DataError

MAX = 64_000
"""Bytes of one text in a file; HDF5 holds attributes of up to 64 KiB, header included."""


def to_json(what: str, values: Mapping[str, Any]) -> str:
    """`what` names the dictionary in messages. Raises DataError for NaN and for more than `MAX` bytes."""
    try:
        text = json.dumps(values, allow_nan=False, sort_keys=True, default=_scalar)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what}: cannot be stored as JSON: {error}") from error
    if len(text) > MAX:
        raise DataError(f"{what}: {len(text):,} bytes of JSON, at most {MAX:,} fit into a file")
    return text


def from_json(what: str, text: str) -> dict[str, Any]:
    """The dictionary. Raises DataError for anything but finite, moderate JSON."""
    try:
        values = json.loads(text, parse_constant=_refuse_constant) if len(text) <= MAX else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what}: is not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise DataError(f"{what}: wanted a JSON object of at most {MAX:,} bytes")
    return values


def _scalar(value: Any) -> Any:
    if hasattr(value, "item"):  # numpy's numbers
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r:.60}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a finite number")
