"""Processes that do tasks for this one: a line of JSON for each task, lines of JSON in return.

A worker lives as long as its standard input is open. When that closes, because it shall stop or because this
process was killed, it is told to leave what it does where that can be left. It takes no signals, which a
terminal sends to all processes at once: who stops it is its parent.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from featlearn import signals
from featlearn.errors import FeatlearnError, reason
from featlearn.jobs.callbacks import Ask

Message = dict[str, Any]
Tell = Callable[[Message], None]
Work = Callable[[Message, Tell, Ask], Message]
"""Do a task, telling on the way, and asking whether to stop. -> what came of it"""


class Workers:
    """So many processes, a context; each runs the function `work` of a module of featlearn.

    Leaving it closes their standard inputs and waits for them to end.
    """

    def __init__(self, n: int, module: str, work: str) -> None:
        program = f"from {module} import {work}; from featlearn.jobs.workers import serve; serve({work})"
        self._program = f"import sys; sys.path[:] = {sys.path!r}; {program}"
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._said: queue.SimpleQueue[tuple[int, Message | None]] = queue.SimpleQueue()
        self.idle = list(range(n))
        """The numbers of those that have no task."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for process in self._processes.values():
            process.wait()

    def give(self, task: Mapping[str, Any], number: int | None = None) -> int:
        """Give a task to an idle worker, which is started where it is not there. -> its number"""
        number = self.idle[-1] if number is None else number
        self.idle.remove(number)
        process = self._processes.get(number) or self._start(number)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died, which its reader says
            process.stdin.write(json.dumps(task).encode() + b"\n")
            process.stdin.flush()
        return number

    def hear(self, seconds: float) -> tuple[int, Message] | None:
        """Return (its number, what a worker says next), None where none does for so long.

        {"result": ...} and {"error": ..., "exit_code": ...} are the ends of a task. A process that dies gives
        such an error; with the next task another one begins.
        """
        try:
            number, message = self._said.get(timeout=seconds)
        except queue.Empty:
            return None
        if message is None:
            process = self._processes.pop(number)
            code = process.wait()
            _close(process)
            found = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            message = {"error": f"its process {found}", "exit_code": 1}
        if ("result" in message or "error" in message) and number not in self.idle:
            self.idle.append(number)
        return number, message

    def stop(self) -> None:
        """Tell all to leave what they do."""
        for process in self._processes.values():
            _close(process)

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", self._program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that the keys of a terminal do not strike while it starts
        )
        self._processes[number] = process
        threading.Thread(target=self._read, args=(number, process), daemon=True).start()
        return process

    def _read(self, number: int, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._said.put((number, json.loads(line)))
        self._said.put((number, None))


def _close(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def serve(work: Work) -> None:
    """Be a worker: do tasks from standard input until it closes."""
    signals.ignore()
    tasks: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    stop = threading.Event()
    out = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)  # where a library may print

    def tell(message: Message) -> None:
        try:
            out.write(json.dumps(message).encode() + b"\n")
            out.flush()
        except BrokenPipeError:
            stop.set()

    def read() -> None:
        with os.fdopen(0, "rb", closefd=False) as lines:
            for line in lines:
                tasks.put(json.loads(line))
        stop.set()
        tasks.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (task := tasks.get()) is not None and not stop.is_set():
        try:
            tell({"result": work(task, tell, stop.is_set)})
        except FeatlearnError as error:
            tell({"error": str(error), "exit_code": error.exit_code})
        except Exception as error:
            tell({"error": f"{type(error).__name__}: {reason(error)}", "exit_code": 1})
