"""How fast a net learns: an epoch of fine-tuning beside its matrix products alone, and beside PyTorch.

    python bench/finetune.py [--torch PYTHON] [--seconds S] [--rounds N] [--threads 1 2]

The net is 784-500-500-2000-10 with sigmoid units, of batches of 100 rows, learned by Adam. One of ours is
all that featlearn train does at one: rows out of memory, forward, backward, Adam. The products are the same
ones through numpy's OpenBLAS, alone. PyTorch's update is the same net with its fused Adam; PYTHON is an
interpreter of an environment of its own that has torch (pip install torch==2.13.0).

Each library and number of threads has a process of its own, and they take turns, a burst each, so that a busy
machine slows all alike. Medians over all bursts, of milliseconds an update. OPENBLAS_CORETYPE is removed from
their environment.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time

from cli import at_most, environment, finish

SIZES = (784, 500, 500, 2000, 10)
BATCH = 100
ROWS = 10_000
BAR = 1.3  # times the products alone


def ours(threads, **options):
    """An update of featlearn."""
    import numpy as np

    from featlearn import _core
    from featlearn.models import model_class
    from featlearn.random import Random
    from featlearn.rows import Labelled
    from featlearn.training.config import TrainConfig
    from featlearn.training.train import Training

    class Rows:
        def __init__(self, X):
            self.X = X

        def __len__(self):
            return len(self.X)

        def block(self, start, stop):
            return self.X[start:stop].copy()

        def take(self, index):
            return np.take(self.X, index, axis=0)

    _core.set_threads(threads)
    rng = np.random.default_rng(0)
    X, y = rng.random((ROWS, SIZES[0]), dtype=np.float32), rng.integers(0, SIZES[-1], ROWS)
    cls = model_class("network")
    config = cls.Config(hidden=SIZES[1:-1], classes=SIZES[-1], activation="sigmoid", **options)
    model = cls(config)
    model.init(SIZES[0], Random(0))
    run = Training(model, Labelled(Rows(X), y, SIZES[-1]), TrainConfig(optimizer="adam", epochs=10**6))
    state = {"left": 0}

    def after(training):
        state["left"] -= 1
        return state["left"] <= 0

    def burst(n):
        state["left"] = n
        while state["left"] > 0:
            run.run(on_batch=after)

    return burst


def products(threads):
    """The matrix products of an update, through OpenBLAS."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    rng = np.random.default_rng(0)
    W = [rng.random((a, b), dtype=np.float32) for a, b in itertools.pairwise(SIZES)]
    H = [rng.random((BATCH, a), dtype=np.float32) for a in SIZES]
    out = [np.empty_like(a) for a in H]
    dW = [np.empty_like(w) for w in W]

    def burst(n):
        for _ in range(n):
            for i, w in enumerate(W):
                np.matmul(H[i], w, out=out[i + 1])
            for i in range(len(W) - 1, -1, -1):
                np.matmul(H[i].T, H[i + 1], out=dW[i])
                if i:
                    np.matmul(H[i + 1], W[i].T, out=out[i])

    return burst


def torch(threads):
    """An update of PyTorch."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layers = []
    for a, b in itertools.pairwise(SIZES[:-1]):
        layers += [torch.nn.Linear(a, b), torch.nn.Sigmoid()]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(*SIZES[-2:]))
    X, y = torch.rand(ROWS, SIZES[0]), torch.randint(0, SIZES[-1], (ROWS,))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    loss_of = torch.nn.CrossEntropyLoss()

    def burst(n):
        order = torch.randperm(ROWS)
        for i in range(n):
            index = order[i * BATCH % ROWS : i * BATCH % ROWS + BATCH]
            optimizer.zero_grad()
            loss_of(net(X[index]), y[index]).backward()
            optimizer.step()

    return burst


PARTS = {
    "ours": ours,
    "ours, dropout": lambda threads: ours(threads, input_dropout=0.2, hidden_dropout=0.5, max_norm=3.5),
    "products": products,
    "torch": torch,
}


def work(part, threads):
    """Answer each line with the seconds of so many updates."""
    burst = PARTS[part](threads)
    burst(3)
    print("ready", flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        burst(int(line))
        print(time.perf_counter() - started, flush=True)


def start(python, part, threads):
    process = subprocess.Popen(
        [python, __file__, "--work", part, "--threads", str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(OPENBLAS_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads)),
    )
    assert process.stdout.readline().strip() == "ready"
    return process


def ask(process, n):
    process.stdin.write(f"{n}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--torch", metavar="PYTHON")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a burst")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        return work(args.work, args.threads[0])
    parts = [part for part in PARTS if part != "torch" or args.torch]
    for threads in args.threads:
        found = {part: [] for part in parts}
        running = {}
        for part in parts:
            running[part] = start(args.torch if part == "torch" else sys.executable, part, threads)
        n = max(5, round(args.seconds / (ask(running["products"], 20) / 20)))
        for _ in range(args.rounds):
            for part, process in running.items():
                found[part].append(1000 * ask(process, n) / n)
        for process in running.values():
            process.stdin.close()
            process.wait()
        times = {part: statistics.median(values) for part, values in found.items()}
        print(
            json.dumps({"threads": threads} | {part: round(ms, 2) for part, ms in times.items()}), flush=True
        )
        of_products = [a / b for a, b in zip(found["ours"], found["products"], strict=True)]
        at_most(f"{threads} threads: an update over its products", statistics.median(of_products), BAR)
        if args.torch:
            of_torch = [a / b for a, b in zip(found["ours"], found["torch"], strict=True)]
            at_most(f"{threads} threads: an update over PyTorch's", statistics.median(of_torch), 1.0)
    finish()


if __name__ == "__main__":
    main()
