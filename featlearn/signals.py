"""Signals: noted when they come, acted on where nothing is left half done.

The handler of a signal that asks for the end notes it and raises Interrupted. That exception strikes
anywhere, and what stands there may swallow it: a callback of a weak reference, a library's C code. So safe
points `check` for a noted signal too: before an output becomes final, at each step of a progress report, at
the end of a run.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SAVE: int | None = getattr(signal, "SIGUSR1", None)

_noted: int | None = None
_save = False
_deferred = 0


class Interrupted(BaseException):
    """A signal asked for the end; on its way up, context managers remove temporary files."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(f"stopped by {signal.Signals(signum).name}")


def install() -> None:
    """Note the first signal that asks for the end, for `release` to raise; a second one kills.

    What nohup or a shell ignores stays ignored.
    """
    global _noted, _save, _deferred
    _noted = None
    _save = False
    _deferred = 1
    default_hook = sys.unraisablehook
    sys.unraisablehook = lambda found: (
        None if isinstance(found.exc_value, Interrupted) else default_hook(found)
    )
    for number in STOPS:
        _replace(number, _on_stop)
    if SAVE is not None:
        _replace(SAVE, _on_save)


def release() -> None:
    """From now on a signal raises Interrupted where it strikes."""
    global _deferred
    _deferred = 0
    check()


def uninstall() -> None:
    """From now on a signal kills by itself; SIGUSR1 does nothing."""
    for number in STOPS:
        _replace(number, signal.SIG_DFL)
    if SAVE is not None:
        _replace(SAVE, signal.SIG_IGN)


def ignore() -> None:
    """From now on signals that ask for the end, or a checkpoint, do nothing: the parent process tells."""
    for number in (*STOPS, SAVE):
        if number is not None:
            signal.signal(number, signal.SIG_IGN)


def note(number: int) -> None:
    """Let it be as if a signal had asked for the end, unless one has."""
    global _noted
    _noted = _noted or number


def noted() -> int | None:
    """The signal that asked for the end, if one did."""
    return _noted


def save_asked() -> bool:
    """Whether SIGUSR1 has come since this was last asked."""
    global _save
    asked, _save = _save, False
    return asked


def check() -> None:
    """Raise Interrupted if a signal has asked for the end; within `deferred` nothing is raised."""
    if _noted is not None and not _deferred:
        raise Interrupted(_noted)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Within, a signal that asks for the end is only noted; a second one kills all the same."""
    global _deferred
    _deferred += 1
    try:
        yield
    finally:
        _deferred -= 1


class DeferredHandlers:
    """Signal handlers written in Python wait until the block is over, for what must not be done by half.

    They may raise exceptions, and so end a call of HDF5 into our file object in a failure, at which it can
    crash; or strike between the making of a file and the note that it has to be removed.
    """

    def __enter__(self) -> None:
        self._came: list[int] = []
        self._handlers: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return  # handlers run in the main thread alone
        try:
            for number in signal.valid_signals():
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._note)
        except BaseException:
            self._restore()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        for number in self._came:
            signal.raise_signal(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


def _replace(number: int, handler: Any) -> None:
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, handler)


def _on_stop(number: int, frame: FrameType | None) -> None:
    global _noted
    _noted = number
    for other in STOPS:
        _replace(other, signal.SIG_DFL)
    if not (_deferred or _is_import(frame)):
        raise Interrupted(number)


def _on_save(number: int, frame: FrameType | None) -> None:
    global _save
    _save = True


def _is_import(frame: FrameType | None) -> bool:
    """Whether a module is being imported.

    C code that fails there prints a traceback, or gives another exception.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
