"""How long featlearn takes beside scikit-learn and PyTorch for the same work.

    python bench/peers.py MNIST-FOLDER [--rows N] [--rounds N] [--threads N] [--torch PYTHON]

Each job learns one model of the same float32 rows of MNIST, with the same units, minibatches and passes, from
an array in memory to the finished model: processor seconds and seconds of the wall clock, medians over the
rounds; the ratio is that of processor seconds, peer / featlearn. With one thread and on a busy machine
processor seconds are what to look at.

Each library has a process of its own, which gets the jobs in turn with the others, so that a busy machine
slows all alike. --torch names a Python that has PyTorch (`pip install torch==2.13.0`), if it is another one.
PyTorch has no RBM and no k-means: its models are written here as its users write them, k-means left out.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import time

JOBS = {
    "RBM, 500 units, CD-1": ("featlearn", "scikit-learn", "PyTorch"),
    "k-sparse, 1000 units, k 25": ("featlearn", "PyTorch"),
    "denoising, 500 units": ("featlearn", "PyTorch"),
    "PCA, 200 components": ("featlearn", "scikit-learn", "PyTorch"),
    "k-means, 200 centroids, 10 passes": ("featlearn", "scikit-learn"),
}
BATCH = 100


def digits(folder, rows):
    """The first rows of MNIST, (rows, 784) float32 within 0..1."""
    import numpy as np

    with gzip.open(os.path.join(folder, "train-images-idx3-ubyte.gz")) as file:
        file.read(16)
        return np.frombuffer(file.read(784 * rows), np.uint8).reshape(rows, 784).astype(np.float32) / 255


def with_featlearn(threads):
    """The jobs, by name."""
    import featlearn

    once = {"epochs": 1, "batch_size": BATCH, "threads": threads, "say": lambda words: None}
    return dict(
        zip(
            JOBS,
            [
                lambda X: featlearn.fit("rbm", X, hidden=500, lr=0.05, momentum=0.5, **once),
                lambda X: featlearn.fit("k-sparse", X, hidden=1000, k=25, k_start=25, **once),
                lambda X: featlearn.fit("denoising", X, hidden=500, **once),
                lambda X: featlearn.fit("pca", X, hidden=200, threads=threads),
                lambda X: featlearn.fit("k-means", X, hidden=200, iterations=10, threads=threads),
            ],
            strict=True,
        )
    )


def with_scikit_learn(threads):
    """The jobs that it can do, by name; its threads are those of BLAS and OpenMP."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.neural_network import BernoulliRBM

    rbm = {"n_components": 500, "learning_rate": 0.05, "batch_size": BATCH, "n_iter": 1}
    means = {"n_clusters": 200, "init": "random", "n_init": 1, "max_iter": 10, "tol": 0}
    names = [name for name, libraries in JOBS.items() if "scikit-learn" in libraries]
    models = [BernoulliRBM(**rbm), PCA(200, svd_solver="covariance_eigh"), KMeans(**means)]
    return {name: model.fit for name, model in zip(names, models, strict=True)}


def with_torch(threads):
    """The jobs that it can do, by name."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)

    def batches(X):
        X = torch.from_numpy(X)
        return (X[rows] for rows in torch.randperm(len(X)).split(BATCH))

    @torch.no_grad()
    def rbm(X):
        W, b, c = 0.01 * torch.randn(784, 500), torch.zeros(784), torch.zeros(500)
        velocity = [torch.zeros_like(p) for p in (W, b, c)]
        for v in batches(X):
            h = torch.sigmoid(v @ W + c)
            v1 = torch.sigmoid(torch.bernoulli(h) @ W.T + b)
            h1 = torch.sigmoid(v1 @ W + c)
            gradients = (v.T @ h - v1.T @ h1, (v - v1).sum(0), (h - h1).sum(0))
            for p, step, gradient in zip((W, b, c), velocity, gradients, strict=True):
                step.mul_(0.5).add_(gradient, alpha=0.05 / len(v))
                p.add_(step)

    def descend(X, parameters, lr, loss_of):
        optimizer = torch.optim.SGD(parameters, lr=lr, momentum=0.9)
        for v in batches(X):
            optimizer.zero_grad()
            loss_of(v).backward()
            optimizer.step()

    def weights(hidden):
        W = (0.03 * torch.randn(784, hidden)).requires_grad_()
        return W, torch.zeros(784, requires_grad=True), torch.zeros(hidden, requires_grad=True)

    def k_sparse(X):
        W, b, c = weights(1000)

        def loss_of(v):
            a = v @ W + c
            largest = a.topk(25, dim=1)
            h = torch.zeros_like(a).scatter(1, largest.indices, largest.values)
            return ((h @ W.T + b - v) ** 2).sum(1).mean() / 53

        descend(X, (W, b, c), 0.5, loss_of)

    def denoising(X):
        W, b, c = weights(500)

        def loss_of(v):
            h = torch.sigmoid((v * (torch.rand_like(v) > 0.25)) @ W + c)
            cross = torch.nn.functional.binary_cross_entropy_with_logits(h @ W.T + b, v, reduction="none")
            return cross.sum(1).mean() / 53

        descend(X, (W, b, c), 0.5, loss_of)

    @torch.no_grad()
    def pca(X):
        X = torch.from_numpy(X)
        centred = X - X.mean(0)
        return torch.linalg.eigh(centred.T @ centred)[1][:, -200:]

    names = [name for name, libraries in JOBS.items() if "PyTorch" in libraries]
    return dict(zip(names, (rbm, k_sparse, denoising, pca), strict=True))


LIBRARIES = {"featlearn": with_featlearn, "scikit-learn": with_scikit_learn, "PyTorch": with_torch}


def serve(library, folder, rows, threads):
    """Child: for each line with a job's name does it, and answers with processor and wall seconds."""
    X, jobs = digits(folder, rows), LIBRARIES[library](threads)
    for line in sys.stdin:
        job, wall, cpu = jobs[line.strip()], time.perf_counter(), time.process_time()
        job(X)
        print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall]), flush=True)


def start(library, options):
    python = options.torch if library == "PyTorch" else sys.executable
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = str(options.threads)
    words = [python, __file__, options.mnist, "--serve", library]
    words += ["--rows", str(options.rows), "--threads", str(options.threads)]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, env=environment, stdin=pipe, stdout=pipe, text=True)


def seconds(child, job):
    child.stdin.write(job + "\n")
    child.stdin.flush()
    return json.loads(child.stdout.readline())


def compare(options):
    children = {library: start(library, options) for library in LIBRARIES}
    taken = {(job, library): [] for job, libraries in JOBS.items() for library in libraries}
    for _ in range(options.rounds + 1):
        for job, library in taken:
            taken[job, library].append(seconds(children[library], job))
    for child in children.values():
        child.stdin.close()
        child.wait()
    print(f"{options.rows:,} rows of MNIST, {options.threads} thread(s), medians of {options.rounds} rounds")
    print(f"{'':34} {'library':<13} {'processor s':>11} {'wall s':>7} {'ratio':>6}")
    own = 1.0
    for (job, library), times in taken.items():
        cpu, wall = (statistics.median(column) for column in zip(*times[1:], strict=True))
        own = cpu if library == "featlearn" else own
        print(f"{job:<34} {library:<13} {cpu:>11.2f} {wall:>7.2f} {cpu / own:>6.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mnist")
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--serve", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.mnist, options.rows, options.threads)
    else:
        compare(options)


if __name__ == "__main__":
    main()
