"""How fast one evaluation of the sparse autoencoder's cost and gradient is, beside its five products and
PyTorch.

    python bench/objective.py [--rounds N] [--threads 1 2]

10,000 rows of 784 in float32, 196 hidden units. Ours: SparseAutoencoder.gradient. The products alone: numpy's
OpenBLAS, the five without which there is none (X W, H D', delta D, delta'H, X'delta). PyTorch: the same cost
and autograd. Each has a process of its own and they take turns; medians. OPENBLAS_CORETYPE is removed from
their environment.
"""

import argparse
import statistics
import subprocess
import sys
import time

from cli import at_least, at_most, environment, finish

N, D, H = 10_000, 784, 196
RHO, BETA = 0.1, 3.0


def ours():
    import numpy as np

    from featlearn.models.base import DataSummary, Step
    from featlearn.models.sparse_autoencoder import SparseAutoencoder
    from featlearn.random import Random

    config = SparseAutoencoder.resolve(
        SparseAutoencoder.Config(hidden=H, sparsity_target=RHO, sparsity_weight=BETA), DataSummary(D, 0, 1)
    )
    model = SparseAutoencoder(config)
    model.init(D, Random(0))
    X = np.random.default_rng(0).random((N, D), dtype=np.float32)
    return lambda: model.gradient(X, Step(0, 0))


def products():
    import numpy as np

    rng = np.random.default_rng(0)
    X, W, code = (rng.random(shape, dtype=np.float32) for shape in ((N, D), (D, H), (N, H)))
    XW, HD, G = np.empty((N, H), np.float32), np.empty((N, D), np.float32), np.empty((D, H), np.float32)

    def run():
        np.matmul(X, W, out=XW)
        np.matmul(code, W.T, out=HD)
        np.matmul(X, W, out=XW)
        np.matmul(X.T, code, out=G)
        np.matmul(X.T, code, out=G)

    return run


def torch():
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[sys.argv.index("--child") + 2]))
    X = torch.rand(N, D)
    W1, W2 = ((0.1 * torch.randn(D, H)).requires_grad_() for _ in range(2))
    b1, b2 = torch.zeros(H, requires_grad=True), torch.zeros(D, requires_grad=True)

    def run():
        code = torch.sigmoid(X @ W1 + b1)
        Y = torch.sigmoid(code @ W2.T + b2)
        q = code.mean(0)
        kl = (RHO * torch.log(RHO / q) + (1 - RHO) * torch.log((1 - RHO) / (1 - q))).sum()
        J = ((Y - X) ** 2).sum() / (2 * N) + BETA * kl
        for w in (W1, W2, b1, b2):
            w.grad = None
        J.backward()

    return run


WHAT = {"ours": ours, "products": products, "torch": torch}


def child(what: str, threads: int) -> None:
    """Answers each line on stdin with the seconds of a call."""
    if what == "ours":
        from featlearn import _core

        _core.set_threads(threads)
    call = WHAT[what]()
    call()
    for _ in sys.stdin:
        started = time.perf_counter()
        call()
        print(time.perf_counter() - started, flush=True)


def measure(threads: int, rounds: int) -> dict[str, float]:
    env = environment(
        OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads)
    )
    run = [sys.executable, __file__, "--child"]
    children = {
        what: subprocess.Popen(
            [*run, what, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        for what in WHAT
    }
    times: dict[str, list[float]] = {what: [] for what in WHAT}
    for _ in range(rounds):
        for what, process in children.items():
            for _ in range(3):  # the first after a pause is not counted
                print(file=process.stdin, flush=True)
                seconds = float(process.stdout.readline())
            times[what].append(seconds)
            time.sleep(0.05)  # threads that spin after a call go to sleep
    for process in children.values():
        process.stdin.close()
        process.wait()
    return {what: statistics.median(values) for what, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    for threads in given.threads:
        found = measure(threads, given.rounds)
        print(", ".join(f"{what} {1000 * seconds:.1f} ms" for what, seconds in found.items()))
        at_most(f"{threads} threads: time, of the five products'", found["ours"] / found["products"], 1.8)
        at_least("PyTorch's time, of ours", found["torch"] / found["ours"], 2.0)
    finish()


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(sys.argv[-2], int(sys.argv[-1]))
    else:
        main()
