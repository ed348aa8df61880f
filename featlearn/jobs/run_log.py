"""The log of a training run: a line of JSON an epoch, written as it comes."""

import json
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from featlearn.errors import ConfigError, DataError, reason, show
from featlearn.files.atomic import check_output
from featlearn.jobs.callbacks import Say
from featlearn.jobs.history import as_rows, joined

FIRST = b'{"epoch": 1, '
"""How every log begins."""


class RunLog:
    """A file whose lines are the epochs of a run's history, as far as it has come; without a path, nothing.

    It is no output like others, which are replaced as a whole: each line is written at once, so that
    `tail -f` shows it and a killed run leaves it. A run that cannot write it any more says so, and goes on.
    """

    def __init__(self, path: str | None, resume: bool, force: bool, others: Sequence[str], say: Say) -> None:
        """Refuse a file that must not be written. `others` are the files of the run.

        Raises DataError, ConfigError.
        """
        self.path, self._resume, self._force, self._say = path, resume, force, say
        self._file = -1
        self._lines = 0
        self.before: list[Mapping[str, Any]] = []
        """The histories of layers that were finished before the one that is learned."""
        if path is None:
            return
        if os.path.realpath(path) in map(os.path.realpath, others):
            raise ConfigError(f"--log {show(path)}: is another file of this run; choose another name")
        check_output(path, resume or force)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write no more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def begin(self, history: Mapping[str, Sequence[Any]], fresh: bool) -> None:
        """Let the file hold the epochs that a run has behind it, and no other; a `fresh` run is at its start.

        A file of another run is refused where it was not to be replaced. Raises DataError.
        """
        if self.path is None:
            return
        history, fresh = joined([*self.before, history]), fresh and not self.before
        text = _lines(history)
        try:
            if self._file < 0:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
                if not self._force:
                    self._refuse_other(history, fresh)
            if not self._holds().startswith(text):
                os.ftruncate(self._file, 0)
                self._write(text)
            os.ftruncate(self._file, len(text))
        except OSError as error:
            raise DataError(f"{show(self.path)}: cannot be written: {reason(error)}") from error
        self._lines = len(history.get("epoch", ()))

    def add(self, history: Mapping[str, Sequence[Any]]) -> None:
        """Write the epochs that have come since."""
        if self._file < 0:
            return
        history = joined([*self.before, history])
        try:
            self._write(_lines(history, self._lines))
            self._lines = len(history["epoch"])
        except OSError as error:
            self._say(f"warning: {self.path}: {reason(error)}; no more epochs are written there")
            self.close()

    def _refuse_other(self, history: Mapping[str, Sequence[Any]], fresh: bool) -> None:
        """Raise DataError for a file that this run, which goes on, cannot have written.

        It may hold epochs that came after the checkpoint; a killed run may have left half a line.
        """
        found, ours = self._holds(), b"" if fresh else _lines(history) or FIRST
        n = min(len(found), len(ours))
        if found and (n == 0 or found[:n] != ours[:n]):
            raise DataError(
                f"{show(self.path or '')}: holds other epochs than this run has behind it; choose another "
                "--log, or replace it with --force"
            )

    def _holds(self) -> bytes:
        parts, at = [], 0
        while part := os.pread(self._file, 1 << 20, at):
            parts.append(part)
            at += len(part)
        return b"".join(parts)

    def _write(self, text: bytes) -> None:
        while text:
            text = text[os.write(self._file, text) :]


def _lines(history: Mapping[str, Sequence[Any]], first: int = 0) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in as_rows(history, first)).encode()
