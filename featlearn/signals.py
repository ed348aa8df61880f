"""Signals that wait."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Undisturbed:
    """Signal handlers written in Python wait until the block is over, for what must not be done by half.

    They may raise exceptions, and so end a call of HDF5 into our file object in a failure, at which it can crash; or
    strike between the making of a file and the note that it has to be removed.
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
