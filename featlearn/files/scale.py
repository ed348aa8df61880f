"""Sizes to which images are shrunk, as people write them."""

import re
from dataclasses import dataclass

from featlearn.errors import ConfigError

LARGEST = 65535


@dataclass(frozen=True)
class Scale:
    """A height and a width, or the factor by which both sides of any image shrink."""

    size: tuple[int, int] | None = None
    factor: float = 1.0

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that an image gets: of a factor rounded, and at least 1."""
        if self.size is not None:
            return self.size
        return max(1, int(height * self.factor + 0.5)), max(1, int(width * self.factor + 0.5))


def parse_scale(text: str | float) -> Scale:
    """Return what "16x12", width x height, or a factor between 0 and 1 means. Raises ConfigError."""
    size = re.fullmatch("([0-9]{1,5})x([0-9]{1,5})", str(text))
    if size and min(map(int, size.groups())) >= 1 and max(map(int, size.groups())) <= LARGEST:
        return Scale((int(size[2]), int(size[1])))
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < 1:
        raise ConfigError(
            f"--resize: got {str(text)[:40]!r}, must be WIDTHxHEIGHT, e.g. 16x16, or a factor above 0 and "
            "below 1, e.g. 0.5; images are shrunk, never enlarged"
        )
    return Scale(None, factor)
