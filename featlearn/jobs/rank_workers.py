"""The workers of all ranks, each with its own: the first rank gives tasks to all, the others lend theirs."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from featlearn import ranks, signals
from featlearn.jobs.workers import Message, Workers

HEAR = 0.02  # seconds that a rank listens to its own workers before it listens to other ranks


class WorkersOfRanks:
    """Those of all ranks as `Workers` are, on the first one; `own` are its own. All ranks make one at a time.

    A worker's number has that of its rank beside it.
    """

    def __init__(self, own: Workers) -> None:
        self._own = own
        found = ranks.of_all(own.idle)
        self.idle = [(number, rank) for rank, numbers in enumerate(found) for number in numbers]
        self.idle.sort(reverse=True)  # ranks get tasks in turn

    def __enter__(self) -> Self:
        self._own.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell_others({"end": True})
        self._own.__exit__(kind, error, trace)

    def give(self, task: Mapping[str, Any]) -> tuple[int, int]:
        """Give a task to an idle worker. -> its number"""
        number, rank = self.idle.pop()
        if rank == ranks.rank:
            self._own.give(task, number)
        else:
            ranks.tell(rank, {"task": task, "worker": number})
        return number, rank

    def hear(self, seconds: float) -> tuple[tuple[int, int], Message] | None:
        """Return (its number, what a worker says next), None where none does for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            heard = self._own.hear(HEAR)
            told = None if heard else ranks.told()
            if heard is not None:
                who, message = (heard[0], ranks.rank), heard[1]
            elif told is not None and "said" in told[1]:
                who, message = (told[1]["worker"], told[0]), told[1]["said"]
            else:
                if told is not None:
                    signals.note(told[1]["signal"])
                continue
            if ("result" in message or "error" in message) and who not in self.idle:
                self.idle.append(who)
            return who, message
        return None

    def stop(self) -> None:
        """Tell all to leave what they do."""
        self._tell_others({"stop": signals.noted()})
        self._own.stop()

    def lend(self, settings: Mapping[str, Any]) -> None:
        """Do tasks of the first rank, until it has no more; `settings` are put in place of a task's own.

        A signal that is noted here is told to the first rank, and one that is noted there holds here, too.
        """
        told_signal = False
        with self._own:
            while True:
                message = (ranks.told() or (0, {}))[1]
                if "end" in message:
                    return
                if "task" in message:
                    self._own.give({**message["task"], **settings}, message["worker"])
                if "stop" in message:
                    told_signal = True
                    signals.note(message["stop"])
                    self._own.stop()
                if signals.noted() is not None and not told_signal:
                    told_signal = True
                    ranks.tell(0, {"signal": signals.noted()})
                heard = self._own.hear(HEAR)
                if heard is not None:
                    ranks.tell(0, {"worker": heard[0], "said": heard[1]})

    def _tell_others(self, message: Message) -> None:
        for rank in range(1, ranks.size):
            ranks.tell(rank, message)
