"""Features of whole images: the pipeline of Coates, Lee and Ng, its errors and its speed.

    python bench/coates.py MNIST-FOLDER [FOLDER]

400,000 patches of 6x6 pixels, contrast-normalized and whitened; 400 centroids; triangle codes of all places,
summed over quadrants; softmax regression on these. Then colour pictures in the binary format of CIFAR-10,
50,000 of them, made here: gratings of ten orientations in random colours under noise. Everything on one
thread: processor time is what counts, for a machine has other work. Half an hour; files stay in FOLDER.

A. Coates, H. Lee, A. Ng, An analysis of single-layer networks in unsupervised feature learning, AISTATS 2011.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from cli import FEATLEARN, at_least, at_most, environment, featlearn, finish

from featlearn import _core
from featlearn.jobs.store import load_model
from featlearn.patches.sliding import Slide, codes_of_images, stacks_of

CENTROIDS = 400
CUT = ("--size", 6, "--count", 400_000, "--normalize", "contrast", "--whiten", "zca", "--drop-flat", 0)
TRAIN = ("--model", "k-means", "--hidden", CENTROIDS)
ONE = ("--threads", 1, "--force")
SCALED = ("--normalize", "standardize")
PICTURES, TEST_PICTURES = 50_000, 10_000


def error(train: str, test: str, folder: str) -> float:
    """The share of the test rows that softmax regression puts into a wrong class."""
    featlearn("train", train, "--model", "softmax", *ONE, "-o", "softmax.h5", cwd=folder)
    found = featlearn("classify", "softmax.h5", test, *ONE, "-o", "predicted.csv", cwd=folder)
    return float(found["error_rate"])


MEASURE = """
import json, resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([status, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
"""A small process between, for a child begins with the memory of its parent."""


def encode(*args: Any, cwd: str) -> tuple[float, float]:
    """Encode images in a process of its own. -> processor seconds, and the most memory in MB"""
    command = [*FEATLEARN, "encode", *map(str, args), *map(str, ONE), "-q"]
    words = [sys.executable, "-c", MEASURE, *command]
    ran = subprocess.run(words, cwd=cwd, env=environment(), stdout=subprocess.PIPE, check=True)
    status, seconds, memory = json.loads(ran.stdout)
    if status:
        sys.exit(f"{' '.join(command)}: exit {status}")
    return seconds, memory


def share_of_products(model: str, side: int) -> float:
    """Processor time of the matrix products alone, over that of encoding; both in turn."""
    learned = load_model(model)
    slide = Slide(learned.shape)
    channels, rng = learned.shape[2], np.random.default_rng(0)
    images = rng.integers(0, 256, (200, side, side, channels), dtype=np.uint8)
    places = int(np.prod(slide.places(side, side)))
    n, d = slide.together(side, side) * places, learned.preprocess.n_visible
    X, V = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(d, d)).astype(np.float32)
    Y, H = np.empty_like(X), np.empty((n, CENTROIDS), np.float32)
    W = np.ascontiguousarray(learned.model.params["W"])
    _core.set_threads(1)
    ratios = []
    for _ in range(15):
        begun = time.process_time()
        for _ in range(len(images) * places // n):
            _core.gemm(Y, X, V)
            _core.gemm(H, Y, W)
        middle = time.process_time()
        stacks = stacks_of(images, slide)
        for _ in codes_of_images(stacks, slide, learned.model, learned.preprocess, np.dtype(np.float32), "x"):
            pass
        ratios.append((middle - begun) / (time.process_time() - middle))
    return statistics.median(ratios)


def gratings(n: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pictures (n, 32, 32, 3) uint8 of gratings, and their classes: ten orientations."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    y, x = np.mgrid[:32, :32] - 15.5
    pictures = np.empty((n, 32, 32, 3), np.uint8)
    for i, k in enumerate(labels):
        angle = np.pi * (k + rng.uniform(-0.3, 0.3)) / 10
        wave = np.sin(rng.uniform(0.5, 1.2) * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6.3))
        colour = rng.normal(0, 30, 3) * wave[..., None] + rng.uniform(90, 160, 3)
        pictures[i] = np.clip(colour + rng.normal(0, 15, (32, 32, 3)), 0, 255)
    return pictures, labels


def write_batches(folder: str, name: str, n: int, seed: int) -> list[str]:
    """Write pictures in files of 10,000, as CIFAR-10 comes."""
    names = []
    for i in range(n // 10_000):
        pictures, labels = gratings(10_000, seed + i)
        rows = np.hstack(
            [labels[:, None].astype(np.uint8), pictures.transpose(0, 3, 1, 2).reshape(10_000, -1)]
        )
        names.append(f"{name}_{i + 1}.bin")
        rows.tofile(os.path.join(folder, names[-1]))
    return names


def digits(mnist: str, folder: str) -> None:
    train, test, *labels = (
        os.path.join(mnist, f"{part}-{kind}-ubyte.gz")
        for kind in ("images-idx3", "labels-idx1")
        for part in ("train", "t10k")
    )
    featlearn("extract-patches", train, *CUT, *ONE, "-o", "digit-patches.h5", cwd=folder)
    featlearn("train", "digit-patches.h5", *TRAIN, *ONE, "-o", "strokes.h5", cwd=folder)
    seconds, _ = encode("strokes.h5", train, "--labels", labels[0], *SCALED, "-o", "digits.h5", cwd=folder)
    encode("strokes.h5", test, "--labels", labels[1], "-o", "test-digits.h5", cwd=folder)
    at_most("ms of processor time a digit of 28x28", 1000 * seconds / 60_000, 1.3)
    wrong = error("digits.h5", "test-digits.h5", folder)
    at_most("% of the test digits wrong, of 60,000 learned", 100 * wrong, 1.7)
    share = share_of_products(f"{folder}/strokes.h5", 28)
    print(f"        the products are {share:.2f} of the time of a digit")


def pictures(folder: str) -> None:
    train = write_batches(folder, "data_batch", PICTURES, 0)
    test = write_batches(folder, "test_batch", TEST_PICTURES, 100)
    featlearn("extract-patches", *train, "--color", "rgb", *CUT, *ONE, "-o", "colour-patches.h5", cwd=folder)
    featlearn("train", "colour-patches.h5", *TRAIN, "--iterations", 10, *ONE, "-o", "colours.h5", cwd=folder)
    seconds, memory = encode("colours.h5", *train, *SCALED, "-o", "pictures.h5", cwd=folder)
    encode("colours.h5", *test, "-o", "test-pictures.h5", cwd=folder)
    print(f"        {1000 * seconds / PICTURES:.2f} ms of processor time a colour picture of 32x32")
    at_most("MB for 50,000 colour pictures", memory, 1000)
    at_least("speed of encoding / that of its products", share_of_products(f"{folder}/colours.h5", 32), 0.6)
    wrong = error("pictures.h5", "test-pictures.h5", folder)
    at_most("% of the test gratings wrong", 100 * wrong, 5)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    place = sys.argv[2] if len(sys.argv) == 3 else tempfile.mkdtemp(prefix="coates-")
    print(f"files in {place}")
    digits(sys.argv[1], place)
    pictures(place)
    finish()
