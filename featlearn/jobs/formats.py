"""Formats of outputs, by the suffix of their names."""

import os
from collections.abc import Iterable

from featlearn.errors import ConfigError, show


def suffix(path: str) -> str:
    """Return the suffix in lower case: "A.PNG" -> ".png"; "" where there is none."""
    return os.path.splitext(path)[1].lower()


def listed(suffixes: Iterable[str]) -> str:
    """Return them in words: ".npy, .npz or .csv"."""
    *others, last = suffixes
    return f"{', '.join(others)} or {last}" if others else last


def refuse_other_suffix(option: str, path: str, formats: Iterable[str], what: str) -> None:
    """Raise ConfigError for an output whose suffix is none of those that `what` ("a picture") can have."""
    found = suffix(path)
    if found not in formats:
        words = f"the suffix {show(found)} is no format of {what}" if found else "has no suffix"
        raise ConfigError(f"{option} {show(path)}: {words}; end it in {listed(formats)}")
