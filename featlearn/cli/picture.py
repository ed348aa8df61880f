"""A picture as a command's output: a file, or standard output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featlearn import __version__
from featlearn.cli.report import Results, Words
from featlearn.errors import ConfigError
from featlearn.files.atomic import check_output, write_bytes

STDOUT = "-"


@dataclass(frozen=True)
class PictureOutput:
    """Where the picture goes. Made before any work, so that what must not be written is refused first.

    Raises DataError for the output, ConfigError when picture and JSON both want stdout.
    """

    path: str
    force: bool
    inputs: Sequence[str]
    words: Words
    results: Results

    def __post_init__(self) -> None:
        if self.path != STDOUT:
            check_output(self.path, self.force, self.inputs)
        elif self.results.as_json:
            raise ConfigError("-o - and --json both write to stdout: name a file for the picture")

    def write(self, png: bytes, report: dict[str, Any]) -> None:
        """Write it, then say what it shows; beside a picture on stdout on stderr. Raises DataError."""
        write_bytes(self.path, png, self.force, self.inputs)
        if self.path != STDOUT:
            return self.results.show({"output": self.path} | report)
        for key, value in report.items():
            self.words.say(f"{key}  {value}")


def signed(text: dict[str, str]) -> dict[str, str]:
    """What a picture says of itself, with the program that made it."""
    return {"Software": f"featlearn {__version__}"} | text
