"""The lecture's sparse autoencoder beside numpy and scipy, and what it is worth to other classes.

    python bench/sparse_autoencoder.py NATURAL-IMAGES-FOLDER PHOTOS MNIST-FOLDER [FOLDER]

10,000 patches 8x8 of Olshausen's whitened images (IMAGES.mat), two seeds, beside the same in plain numpy
float64 with scipy.optimize: cost and seconds. The control keeps each patch's mean, on those and on PHOTOS,
which are not whitened. Self-taught learning: features of the digits 5 to 9, classes 0 to 4 (the lecture's
exercise: 98.3 %). `featlearn recipe run lecture` makes the rest. Pictures stay in FOLDER: look at them.
"""

import gzip
import os
import sys
import tempfile
import time

import h5py
import numpy as np
import scipy.optimize
from cli import at_least, at_most, environment, evaluate, featlearn, finish
from threadpoolctl import threadpool_limits

SPARSE = (
    "--model",
    "sparse-autoencoder",
    "--loss-scale",
    1,
    "--hidden",
    25,
    "--sparsity-target",
    0.01,
    "--sparsity-weight",
    3,
)
STROKES = ("--sparsity-target", 0.1, "--decay-weight", 3e-3)


def cost(theta: np.ndarray, X: np.ndarray, hidden: int, rho: float, decay: float, beta: float):
    """J and its gradient as the lecture's exercise has them, in numpy."""
    n, d = X.shape
    W1, W2 = (part.reshape(hidden, d) for part in np.split(theta[: 2 * hidden * d], 2))
    b1, b2 = theta[2 * hidden * d : -d], theta[-d:]
    H = 1 / (1 + np.exp(-(X @ W1.T + b1)))
    Y = 1 / (1 + np.exp(-(H @ W2 + b2)))
    q = H.mean(axis=0)
    kl = (rho * np.log(rho / q) + (1 - rho) * np.log((1 - rho) / (1 - q))).sum()
    J = ((Y - X) ** 2).sum() / (2 * n) + decay / 2 * ((W1**2).sum() + (W2**2).sum()) + beta * kl
    D2 = (Y - X) * Y * (1 - Y)
    D1 = (D2 @ W2.T + beta * (-rho / q + (1 - rho) / (1 - q))) * H * (1 - H)
    parts = D1.T @ X / n + decay * W1, H.T @ D2 / n + decay * W2, D1.mean(axis=0), D2.mean(axis=0)
    return J, np.concatenate([part.ravel() for part in parts])


def in_numpy(folder: str, data: str, hidden: int, seed: int) -> tuple[float, float]:
    """(J, seconds) of 400 iterations of scipy's L-BFGS-B on it."""
    from featlearn.jobs.store import load_rows

    rows, *_ = load_rows(os.path.join(folder, data), "float64", say=print)
    X = rows.block(0, len(rows))
    bound = np.sqrt(6 / (X.shape[1] + hidden + 1))
    weights = np.random.default_rng(seed).uniform(-bound, bound, 2 * hidden * X.shape[1])
    theta = np.concatenate([weights, np.zeros(hidden + X.shape[1])])
    started = time.perf_counter()
    options = {"maxiter": 400, "maxfun": 10_000, "maxcor": 20}
    # numpy's and scipy's threads starve each other: faster so
    with threadpool_limits(limits=1, user_api="blas"):
        found = scipy.optimize.minimize(
            cost, theta, (X, hidden, 0.01, 1e-4, 3.0), jac=True, method="L-BFGS-B", options=options
        )
    return float(found.fun), time.perf_counter() - started


def last(folder: str, model: str, key: str) -> float:
    """The end of a column of the history."""
    with h5py.File(os.path.join(folder, model)) as file:
        return float(file["history"][key][-1])


def natural(images: str, photos: str, folder: str) -> None:
    images = os.path.join(images, "IMAGES.mat")
    for name, source, normalize in (
        ("patches.h5", images, "center"),
        ("kept.h5", images, "none"),
        ("photos.h5", photos, "none"),
    ):
        cut = ("--size", 8, "--count", 10_000, "--normalize", normalize, "--clip", 3, "--to", "0.1,0.9")
        featlearn("extract-patches", source, *cut, "-o", name, "--force", cwd=folder)
    seconds, theirs = [], []
    for seed in (0, 1):
        name = f"edges-{seed}.h5"
        run = featlearn("train", "patches.h5", *SPARSE, "--seed", seed, "-o", name, "--force", cwd=folder)
        featlearn("visualize", name, "-o", f"edges-{seed}.png", "--force", cwd=folder)
        J, elapsed = in_numpy(folder, "patches.h5", 25, seed)
        seconds.append(run["seconds"])
        theirs.append(elapsed)
        print(
            f"        seed {seed}: {run['seconds']:.1f} s; numpy and scipy: J {J:.4f}, {elapsed:.1f} s",
            flush=True,
        )
        at_most(f"8x8 patches, seed {seed}: J", last(folder, name, "loss"), 0.455)
        at_most("largest deviation of a mean activation", last(folder, name, "deviation"), 0.005)
        at_least("edge share", evaluate(name, "patches.h5", folder)["edge_share"], 0.85)
    at_most("seconds, of those of numpy float64 and scipy", sum(seconds) / sum(theirs), 1 / 3)
    for what in ("kept", "photos"):
        featlearn("train", f"{what}.h5", *SPARSE, "-o", f"{what}-sae.h5", "--force", cwd=folder)
        featlearn("visualize", f"{what}-sae.h5", "-o", f"{what}.png", "--force", cwd=folder)
        row = evaluate(f"{what}-sae.h5", f"{what}.h5", folder)
        at_most(f"control, patch means kept ({what}): orientation", row["orientation"], 0.3)
        print(
            f"        its J {last(folder, f'{what}-sae.h5', 'loss'):.4f}, edge share {row['edge_share']:.2f}"
        )


def digits(mnist: str, folder: str) -> None:
    X, y = pixels(mnist)
    first, rest = np.flatnonzero(y < 5), np.flatnonzero(y >= 5)
    for name, chosen in (
        ("unlabelled", rest),
        ("learn", first[::2]),
        ("known", first[1::2]),
    ):
        write_idx(os.path.join(folder, f"{name}-images"), X[chosen])
        write_idx(os.path.join(folder, f"{name}-labels"), y[chosen])
        labels = ("--labels", f"{name}-labels", "--force")
        featlearn("extract-patches", f"{name}-images", *labels, "-o", f"{name}.h5", cwd=folder)

    featlearn(
        "train", "unlabelled.h5", *SPARSE, *STROKES, "--hidden", 200, "-o", "taught.h5", "--force", cwd=folder
    )
    row = classified("taught.h5", "known.h5", "learn.h5", folder)
    print(f"        softmax on pixels: {100 * (1 - row['raw_error']):.2f} % right")
    at_least("self-taught learning: % right", 100 * (1 - row["classifier_error"]), 97.8)


def classified(model: str, test: str, train: str, folder: str) -> dict:
    return dict(featlearn("evaluate", model, test, "--train", train, cwd=folder)["models"][0])


def pixels(mnist: str) -> tuple[np.ndarray, np.ndarray]:
    """The 60,000 training digits (n, 28, 28) and their classes."""
    with gzip.open(os.path.join(mnist, "train-images-idx3-ubyte.gz")) as stream:
        images = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(os.path.join(mnist, "train-labels-idx1-ubyte.gz")) as stream:
        return images, np.frombuffer(stream.read(), np.uint8, offset=8)


def write_idx(path: str, array: np.ndarray) -> None:
    """In the format that MNIST is distributed in."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    with open(path, "wb") as stream:
        stream.write(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    if "OPENBLAS_CORETYPE" in os.environ:  # it would slow numpy down
        os.execve(sys.executable, [sys.executable, *sys.argv], environment())
    folder = sys.argv[4] if len(sys.argv) > 4 else tempfile.mkdtemp()
    natural(sys.argv[1], sys.argv[2], folder)
    digits(sys.argv[3], folder)
    finish()
