"""What jobs return: frozen dataclasses, and what of them is reported."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

UNREPORTED = {"unreported": True}
"""The metadata of a field that is for the caller alone."""


def optional() -> Any:
    """Return a field that may be None; then it is not reported."""
    return field(default=None, metadata={"optional": True})


@dataclass(frozen=True)
class Next:
    """Command lines that may follow, as words after "featlearn", and a note about them."""

    commands: Sequence[Sequence[str]]
    note: str = ""


class Result:
    """Base of what a job returns."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def report(self) -> dict[str, Any]:
        """Return the fields that are reported, in order, as plain values."""
        out = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.metadata.get("unreported") or (value is None and one.metadata.get("optional")):
                continue
            out[one.name] = list(value) if isinstance(value, tuple) else value
        return out
