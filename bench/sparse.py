"""How fast top-k and a whole k-sparse step are, beside numpy and PyTorch.

    python bench/sparse.py [--seconds S] [--rounds N] [--threads 1 2] [--block ROWS]

top-k: `featlearn._core.top_k` against numpy.argpartition and torch.topk, one thread, and against one read of
the matrix (numpy.max). Step: a k-sparse autoencoder with tied weights (Makhzani & Frey 2014), SGD with
momentum, in float32: our kernels (see `own_step`) against PyTorch as it is usually written (topk, scatter,
dense decoder, autograd), at equal threads. Ratios are the other's median time / ours, more is better; they
depend on how fast the BLAS of PyTorch is on this CPU, so the step is also given in times of its one dense
product (by our gemm), which does not.

Each library and number of threads has a process of its own, because two thread pools in one process disturb
each other; the processes take turns, a burst each. Every call gets other rows: selection looks faster than it
is when the branch predictor knows the data. OPENBLAS_CORETYPE is removed from the environment of all. PyTorch
is needed: run it with the Python of an environment that has torch and featlearn.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time

from cli import at_least, at_most, environment, finish

SELECT = {(1000, 1000, 25): {"numpy": 3.5, "torch": 10}, (1024, 16384, 32): {"read": 2.6}}
# n, d, h, k: ratio wanted
STEPS = {(100, 784, 1000, 25): 5, (256, 784, 1000, 25): 5, (1024, 512, 16384, 32): 8}
ENCODES = {(256, 784, 1000, 25): 1.6, (1024, 512, 16384, 32): 1.4}  # the step in times of its encode product
MOMENTUM, LR = 0.9, 1e-4


def select(library, n, h, k):
    """Top-k of n x h as a callable without arguments."""
    import numpy as np

    rng = np.random.default_rng(0)
    matrices = [rng.standard_normal((n, h), dtype=np.float32) for _ in range(4 if h < 4096 else 2)]
    if library == "torch":
        import torch

        tensors = itertools.cycle([torch.from_numpy(a) for a in matrices])
        return lambda: torch.topk(next(tensors), k, dim=1, sorted=False)
    turn = itertools.cycle(matrices)
    if library == "numpy":
        return lambda: np.argpartition(next(turn), -k, axis=1)
    if library == "read":
        return lambda: np.max(next(turn), axis=1)
    from featlearn import _core

    index, value = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    return lambda: _core.top_k(index, value, next(turn))


def batches(n, d, h):
    import numpy as np

    rng = np.random.default_rng(0)
    F = rng.standard_normal((h, d), dtype=np.float32) / np.float32(d**0.5)
    return [rng.standard_normal((n, d), dtype=np.float32) for _ in range(4)], F


def own_step(n, d, h, k, block):
    """Encode by blocks of rows, so that what top_k reads is still in the cache; all arrays allocated once."""
    import numpy as np

    from featlearn import _core

    data, F = batches(n, d, h)
    turn = itertools.cycle(data)
    block = min(block or n, n)
    start = k * np.arange(n + 1)
    a = np.empty((block, h), np.float32)
    index = np.empty((n, k), np.int32)
    value = np.empty((n, k), np.float32)
    flat, few = index.ravel(), value.ravel()
    R = np.empty((n, d), np.float32)
    delta = np.empty(n * k, np.float32)
    G = np.empty_like(F)
    dF = np.zeros_like(F)
    b, c, db, dc, vb, vc = (np.zeros(size, np.float32) for size in (d, h, d, h, d, h))

    def step():
        X = next(turn)
        for i in range(0, n, block):
            rows = slice(i, min(i + block, n))
            pre = a[: rows.stop - i]
            _core.gemm(pre, X[rows], F, trans_b=True)
            _core.top_k(index[rows], value[rows], pre, c)
        _core.sparse_decode(R, start, flat, few, F, b)
        np.subtract(R, X, out=R)
        _core.sparse_dot(delta, start, flat, R, F)
        _core.sparse_gradient(G, start, flat, few, R, delta, X, alpha=1 / n)
        _core.scatter_sum(dc, start, flat, delta, alpha=1 / n)
        _core.colsum(db, R, alpha=1 / n)
        for w, v, g in ((F, dF, G), (b, vb, db), (c, vc, dc)):
            _core.update(w, v, g, LR, MOMENTUM, 0, 0, False)
        return F, b, c

    return step


def encode(n, d, h, block):
    """The one dense product that the step cannot do without."""
    import numpy as np

    from featlearn import _core

    data, F = batches(n, d, h)
    turn = itertools.cycle(data)
    a = np.empty((block, h), np.float32)

    def product():
        X = next(turn)
        for i in range(0, n, block):
            rows = slice(i, min(i + block, n))
            _core.gemm(a[: rows.stop - i], X[rows], F, trans_b=True)

    return product


def torch_step(n, d, h, k):
    import torch

    data, F = batches(n, d, h)
    turn = itertools.cycle([torch.from_numpy(X) for X in data])
    F, b, c = (torch.nn.Parameter(x) for x in (torch.from_numpy(F), torch.zeros(d), torch.zeros(h)))
    optimizer = torch.optim.SGD([F, b, c], lr=LR, momentum=MOMENTUM)

    def step():
        X = next(turn)
        a = X @ F.T + c
        value, index = torch.topk(a, k, dim=1, sorted=False)
        loss = ((torch.zeros_like(a).scatter(1, index, value) @ F + b - X) ** 2).sum() / (2 * n)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return F.detach().numpy(), b.detach().numpy(), c.detach().numpy()

    return step


def serve(library, threads):
    """Child: for each line [what, shape, block, seconds] runs a burst; answers with its times, or what a step
    made."""
    if library in ("own", "encode"):
        from featlearn import _core

        _core.set_threads(threads)
    elif library == "torch":
        import torch

        torch.set_num_threads(threads)
    made, call = None, None
    for line in sys.stdin:
        what, shape, block, seconds = json.loads(line)
        if made != (what, shape, block):
            if what == "select":
                call = select(library, *shape)
            elif what == "encode":
                n, d, h, _ = shape
                call = encode(n, d, h, block)
            else:
                call = own_step(*shape, block) if library == "own" else torch_step(*shape)
            made = (what, shape, block)
            checksums = [float((x.astype("f8") ** 2).sum()) for x in call()] if what == "step" else []
        for _ in range(2):
            call()
        times, end = [], time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            begun = time.perf_counter()
            call()
            times.append(time.perf_counter() - begun)
        print(json.dumps([times, checksums]), flush=True)


class Child:
    def __init__(self, library, threads):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", library, str(threads)],
            env=environment(OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def burst(self, *order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        times, checksums = json.loads(self.process.stdout.readline())
        # pools spin for a while after their last call, on a processor that the other one needs
        time.sleep(0.05)
        return times, checksums

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def compare(children, what, shape, block, options):
    """Milliseconds, the median over all bursts of each library, and the checksums of a first step."""
    times, checksums = {name: [] for name in children}, {}
    for _ in range(options.rounds):
        for name, child in children.items():
            burst, checksums[name] = child.burst(
                "encode" if name == "encode" else what, shape, block, options.seconds
            )
            times[name] += burst
    return {name: statistics.median(times[name]) * 1e3 for name in children}, checksums


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.2, help="length of a burst")
    parser.add_argument("--rounds", type=int, default=7, help="bursts of each candidate")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--block", type=int, default=0, help="rows encoded at a time; 0: all at batches up to 256, else 128"
    )
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], int(options.serve[1]))
        return

    children = {name: Child(name, 1) for name in ("own", "numpy", "torch", "read")}
    for shape, bars in SELECT.items():
        ms, _ = compare(children, "select", shape, 0, options)
        print(
            "top-k {}x{}, k={}: ".format(*shape) + ", ".join(f"{name} {t:.3f} ms" for name, t in ms.items())
        )
        for name, bar in bars.items():
            if name == "read":
                at_most("top-k {}x{}: times one read".format(*shape), ms["own"] / ms["read"], bar)
            else:
                at_least("top-k {}x{}: {} / own".format(*shape[:2], name), ms[name] / ms["own"], bar)
    for child in children.values():
        child.end()

    for threads in options.threads:
        children = {name: Child(name, threads) for name in ("own", "torch", "encode")}
        for shape, bar in STEPS.items():
            block = options.block or (shape[0] if shape[0] <= 256 else 128)
            ms, checksums = compare(children, "step", shape, block, options)
            name = "{}x{}-{}, k={}".format(*shape) + f", threads {threads}"
            for own, peer in zip(checksums["own"], checksums["torch"], strict=True):
                if abs(own - peer) > 1e-4 * abs(peer):
                    sys.exit(f"{name}: a step of torch gives other weights: {own} and {peer}")
            print(
                f"step {name}: own {ms['own']:.2f} ms, torch {ms['torch']:.2f} ms, "
                f"encode {ms['encode']:.2f} ms"
            )
            at_least(f"step {name}: torch / own", ms["torch"] / ms["own"], bar)
            if shape in ENCODES:
                at_most(f"step {name}: times its encode product", ms["own"] / ms["encode"], ENCODES[shape])
        for child in children.values():
            child.end()
    finish()


if __name__ == "__main__":
    main()
