"""How fast the matrix product and a whole CD-1 step are, beside numpy's OpenBLAS.

    python bench/gemm.py [--seconds S] [--rounds N] [--threads 1 2] [--busy N]

Products: GFLOP/s (2 m n k flops) of X W (NN), H W^T (NT) and X^T H (TN) in float32 at the shapes of an RBM
layer, `featlearn._core.gemm` against `numpy.matmul`; the ratio is own rate / OpenBLAS's, more is better.
Step: milliseconds of a whole CD-1 step with our kernels (Gaussian visibles, momentum and L2; see `cd1`)
against numpy's five matrix products alone, which such a step cannot do without; the ratio is own time /
OpenBLAS's, less is better.

Each library and number of threads has a process of its own, because two thread pools in one process disturb
each other; the processes take turns, a burst each, so that a busy machine slows all alike. Medians over all
bursts. OPENBLAS_CORETYPE is removed from their environment: OpenBLAS picks its kernels for this CPU, as it
would for a user. --busy N keeps N processors busy meanwhile, as other programs would.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

SHAPES = [(100, 784, 500), (256, 784, 1000), (1000, 784, 1000)]
PRODUCTS = ["NN", "NT", "TN"]


def products(library, n, d, h):
    """The three products of a layer as callables without arguments, and what a step needs."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), dtype=np.float32)
    W = rng.standard_normal((d, h), dtype=np.float32) * np.float32(0.01)
    H = rng.random((n, h), dtype=np.float32)
    XW, HW, XH = np.empty((n, h), np.float32), np.empty((n, d), np.float32), np.empty((d, h), np.float32)
    if library == "openblas":
        calls = {
            "NN": lambda: np.matmul(X, W, out=XW),
            "NT": lambda: np.matmul(H, W.T, out=HW),
            "TN": lambda: np.matmul(X.T, H, out=XH),
        }
        calls["step"] = lambda: [calls[name]() for name in ("NN", "NT", "NN", "TN", "TN")]
    else:
        from featlearn import _core

        calls = {
            "NN": lambda: _core.gemm(XW, X, W),
            "NT": lambda: _core.gemm(HW, H, W, trans_b=True),
            "TN": lambda: _core.gemm(XH, X, H, trans_a=True),
            "step": cd1(X, W, H),
        }
    return calls


def cd1(X, W, H):
    """One step of contrastive divergence, all arrays allocated once."""
    import numpy as np

    from featlearn import _core

    (n, d), h = X.shape, H.shape[1]
    b, c, db, dc = (np.zeros(size, np.float32) for size in (d, h, d, h))
    vb = np.zeros(d, np.float32)
    vc = np.zeros(h, np.float32)
    velocity = np.zeros_like(W)
    grad = np.zeros_like(W)
    a, h0, s0, v1 = np.empty_like(H), np.empty_like(H), np.empty_like(H), np.empty_like(X)
    draw = iter(range(1 << 62))

    def step():
        _core.gemm(a, X, W)
        _core.sigmoid_sample(h0, s0, a, c, 1, next(draw))
        _core.gemm(v1, s0, W, trans_b=True)
        _core.add_bias(v1, v1, b)
        _core.gemm(a, v1, W)
        _core.sigmoid(a, a, c)
        _core.gemm(grad, X, h0, trans_a=True, alpha=-1 / n)
        _core.gemm(grad, v1, a, trans_a=True, alpha=1 / n, beta=1)
        _core.colsum(db, X, alpha=-1 / n)
        _core.colsum(db, v1, alpha=1 / n, beta=1)
        _core.colsum(dc, h0, alpha=-1 / n)
        _core.colsum(dc, a, alpha=1 / n, beta=1)
        for w, v, g, l2 in ((W, velocity, grad, 1e-4), (b, vb, db, 0), (c, vc, dc, 0)):
            _core.update(w, v, g, 1e-6, 0.9, 0, l2, False)

    return step


def serve(library, threads):
    """Child: for each line [shape, product, seconds] runs one burst and answers with the seconds of each
    call."""
    if library == "own":
        from featlearn import _core

        _core.set_threads(threads)
    cache = {}
    for line in sys.stdin:
        shape, product, seconds = json.loads(line)
        if str(shape) not in cache:
            cache[str(shape)] = products(library, *shape)
        call = cache[str(shape)][product]
        for _ in range(3):
            call()
        times, end = [], time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


def start(library, threads):
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
    environment |= {
        "OPENBLAS_NUM_THREADS": str(threads if library == "openblas" else 1),
        "OMP_NUM_THREADS": str(threads),
    }
    return subprocess.Popen(
        [sys.executable, __file__, "--serve", library, str(threads)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def burst(child, shape, product, seconds):
    child.stdin.write(json.dumps([shape, product, seconds]) + "\n")
    child.stdin.flush()
    times = json.loads(child.stdout.readline())
    # OpenBLAS threads spin for some 25 ms after their last call, on a processor that the other one needs
    time.sleep(0.1)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a burst")
    parser.add_argument("--rounds", type=int, default=10, help="bursts of each candidate")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--busy", type=int, default=0, help="processors that something else keeps busy")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], int(options.serve[1]))
        return
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.busy)]
    try:
        compare(options)
    finally:
        for other in others:
            other.kill()
            other.wait()


def compare(options):
    print(f"{'n x d x h':>14} {'product':>8} {'threads':>8} {'own':>9} {'OpenBLAS':>9} {'ratio':>6}")
    for threads in options.threads:
        children = {library: start(library, threads) for library in ("own", "openblas")}
        for shape in SHAPES:
            for product in [*PRODUCTS, "step"]:
                times = {library: [] for library in children}
                for _ in range(options.rounds):
                    for library, child in children.items():
                        times[library] += burst(child, shape, product, options.seconds)
                own, blas = (statistics.median(times[library]) for library in ("own", "openblas"))
                n, d, h = shape
                if product == "step":
                    figures = (
                        f"{own * 1e3:8.3f}  {blas * 1e3:8.3f}  {own / blas:6.2f}  ms; CD-1 / five products"
                    )
                else:
                    flops = 2e-9 * n * d * h
                    figures = f"{flops / own:8.1f}  {flops / blas:8.1f}  {blas / own:6.2f}  GFLOP/s"
                print(f"{n:>5}x{d}x{h:<5} {product:>7} {threads:>8}  {figures}", flush=True)
        for child in children.values():
            child.stdin.close()
            child.wait()


if __name__ == "__main__":
    main()
