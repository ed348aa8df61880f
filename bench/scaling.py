"""How an update gets faster by ranks, beside what the formula of docs/clusters.md says.

    mpiexec -n 4 python bench/scaling.py [--model rbm:784-1000 ...] [--batch 1024 4096] [--threads N]
    bash bench/namespaces.sh 4 1gbit [OPTIONS]     as 4 hosts of their own network on this machine (as root)

For 1, 2, ... of the ranks, the others asleep:

R   GFLOP/s of a core in updates of 1024 rows that each of these ranks makes for itself, all at a time: cores
    that ranks have in common are slow
B   GB/s at which each of them sends to the next one, all at a time
T   formula: F n / (c R), and from two ranks on W / B, from three on 2 W / B + (2 N - 3) (256 KiB / B)
    measured: seconds of an update of the run that featlearn train does, medians over the rounds, which take
    turns with those of R and B

F counts the products with the weights: 10 times their number a row in CD-1 of an rbm, 2 of a k-sparse model,
whose other work is by the few active units. The parameters at the end must be those of one rank, to the byte.
"""

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from featlearn import _core, panels, ranks
from featlearn.models import model_class
from featlearn.models.base import DataSummary
from featlearn.random import Random
from featlearn.threads import use_threads
from featlearn.training.config import TrainConfig
from featlearn.training.train import Training, digest

PRODUCTS = {"rbm": 10, "k-sparse": 2}
"""Operations on each weight for a row."""
MESSAGE = 1 << 22
"""Bytes that are sent to measure B."""
ALONE = 1024
"""Rows of the updates that R is measured by."""
UPDATES = 3
"""That are timed in a round, after one that is not."""


class Same:
    """As many rows as are wanted, the same few again and again."""

    def __init__(self, n: int, width: int) -> None:
        self.n, self.X = n, np.random.default_rng(0).random((256, width), np.float32)

    def __len__(self) -> int:
        return self.n

    def block(self, start: int, stop: int) -> Any:
        return self.take(np.arange(start, stop))

    def take(self, index: Any) -> Any:
        return self.X[index % len(self.X)]


def training(name: str, batch: int) -> Training:
    """A run of one epoch of a model named as rbm:784-1000; its last update is not timed."""
    id, _, size = name.partition(":")
    visible, hidden = map(int, size.split("-"))
    cls = model_class(id)
    config = cls.resolve(cls.Config(hidden=hidden), DataSummary(visible, 0.0, 1.0))
    model = cls(config, "float32")
    rows = Same(batch * (UPDATES + 2), visible)
    model.init(visible, Random(0), rows.X.mean(axis=0))
    return Training(model, rows, TrainConfig(batch_size=batch, epochs=1, lr=0.001), seed=0)


def seconds_of_update(name: str, batch: int) -> tuple[float, bytes]:
    """The median of some updates, and a digest of the parameters that they end in."""
    run, times = training(name, batch), []

    def done(training: Training) -> bool:
        times.append(time.perf_counter())
        return len(times) > UPDATES

    run.run(done)
    return statistics.median(np.diff(times)), digest({**run.model.params, **run.model.state})


def seconds_of_message(comm: Any) -> float:
    """Of MESSAGE bytes from each rank to the next one."""
    sent, got = np.zeros((2, MESSAGE), np.uint8)
    comm.Barrier()
    started = time.perf_counter()
    comm.Sendrecv(sent, (comm.rank + 1) % comm.size, 0, got, (comm.rank - 1) % comm.size, 0)
    return time.perf_counter() - started


@contextlib.contextmanager
def among(comm: Any, n: int) -> Iterator[Any]:
    """Within, the first n ranks are all there are; the others get None, and sleep at its end."""
    part = comm.Split(int(comm.rank < n), comm.rank)
    before = ranks._comm, ranks.size
    ranks._comm, ranks.size = part, n
    try:
        yield part if comm.rank < n else None
    finally:
        ranks._comm, ranks.size = before
        part.Free()
        request = comm.Ibarrier()
        while not request.Test():
            time.sleep(0.01)


def slowest(comm: Any, seconds: float) -> float:
    return float(max(comm.allgather(seconds)))


def measured(comm: Any, name: str, batch: int, rounds: int) -> tuple[float, float, float, bytes]:
    """Medians over rounds: seconds of ALONE rows without others, of MESSAGE, of an update; the digest."""
    found = []
    for _ in range(rounds):
        comm.Barrier()
        with ranks.alone():
            alone, _ = seconds_of_update(name, ALONE)
        message = seconds_of_message(comm) if comm.size > 1 else 0.0
        update, end = seconds_of_update(name, batch)
        found.append([slowest(comm, value) for value in (alone, message, update)])
    alone, message, update = (statistics.median(column) for column in zip(*found, strict=True))
    return alone, message, update, end


def predicted(n: int, rows: int, weights: int, alone: float, message: float) -> float:
    """Seconds by the formula, from those of ALONE rows and of MESSAGE, for 4 bytes a weight."""
    of_sum, of_chunk = (size * message / MESSAGE for size in (4 * weights, ranks.CHUNK))
    sending = 0.0 if n == 1 else of_sum if n == 2 else 2 * of_sum + (2 * n - 3) * of_chunk
    return alone * rows / ALONE + sending


def table(comm: Any, names: list[str], batches: list[int], rounds: int, say: Callable[[str], None]) -> bool:
    """Print the table. -> whether all parameters were those of one rank"""
    say("model                 batch ranks rows   R GFLOP/s   B GB/s  formula ms  measured ms   ratio  bytes")
    good = True
    for name in names:
        weights = int(np.prod([int(side) for side in name.partition(":")[2].split("-")]))
        work = PRODUCTS[name.partition(":")[0]] * weights
        for batch in batches:
            first = b""
            for n in range(1, comm.size + 1):
                rows = max(one.stop - one.start for one in (panels.share_of(batch, r, n) for r in range(n)))
                with among(comm, n) as part:
                    if part is None:
                        continue
                    alone, message, update, end = measured(part, name, batch, rounds)
                first = first or end
                formula = predicted(n, rows, weights, alone, message)
                speed = work * ALONE / alone / _core.get_threads() / 1e9
                sent = f"{MESSAGE / message / 1e9:8.3f}" if message else "       -"
                good = good and end == first
                say(
                    f"{name:<21} {batch:>5} {n:>5} {rows:>4} {speed:>11.1f} {sent} {formula * 1e3:>11.1f} "
                    f"{update * 1e3:>12.1f} {update / formula:>7.2f}  {'same' if end == first else 'OTHER'}"
                )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["rbm:784-1000", "k-sparse:784-1000"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1024, 4096])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    ranks.start()
    from mpi4py import MPI

    use_threads(options.threads)
    first = ranks.rank == 0
    if first:
        print(
            f"{ranks.size} ranks on {ranks.hosts} hosts, {_core.get_threads()} threads each, {ranks.library}"
        )
    good = table(
        MPI.COMM_WORLD, options.model, options.batch, options.rounds,
        lambda line: print(line, flush=True) if first else None,
    )  # fmt: skip
    sys.exit(0 if good else "parameters differ from those of one rank")


if __name__ == "__main__":
    main()
