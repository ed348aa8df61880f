"""What a job tells its caller while it runs, and asks of it."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

Say = Callable[[str], None]
"""Takes a sentence for a person; warnings begin with "warning: "."""
Ask = Callable[[], bool]


class Bar(Protocol):
    """A progress report that has begun."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """`n` more units are done; `note` may be shown beside them."""
        ...


class Progress(Protocol):
    """Make a report of progress over `total` units, a context; a report may raise to end the job."""

    def __call__(self, total: int, unit: str, /) -> AbstractContextManager[Bar]: ...


class NoBar:
    """Reports nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def advance(self, n: int = 1, note: str = "") -> None:
        pass


def no_progress(total: int, unit: str) -> NoBar:
    return NoBar()


def log(text: str) -> None:
    """Hand a sentence to the logger "featlearn": warnings as warnings, all else as information."""
    level = logging.WARNING if text.startswith("warning: ") else logging.INFO
    logging.getLogger("featlearn").log(level, "%s", text.removeprefix("warning: "))


def warnings_to(say: Say) -> Say:
    """Return what says sentences as warnings."""
    return lambda text: say(f"warning: {text}")


def never() -> bool:
    return False
