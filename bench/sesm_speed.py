"""The speed of SESM, side by side: plain numpy (float32, its BLAS on all cores), and CD-1 of an RBM of the
same size.

    python bench/sesm_speed.py [--rows N] [--repeat N]

An epoch over rows of 784 values, 200 hidden units, minibatches of 1, 10 and 100, 5 steps of relaxation;
medians of interleaved repetitions. Plain numpy is the paper's equations as they stand, with the same
backtracking and L1 step; and once more with ten steps of .1, which it takes to get codes as good without
steps that are tried and taken back.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from cli import at_least, at_most, finish

from featlearn.models.base import DataSummary
from featlearn.models.rbm import RBM
from featlearn.models.sesm import SESM
from featlearn.random import Random
from featlearn.training.config import TrainConfig
from featlearn.training.train import Training

HIDDEN, G, A_S, A_R, LR = 200, 7.0, 0.5, 4e-4, 0.02


class Rows:
    """Data in memory."""

    def __init__(self, X: np.ndarray) -> None:
        self.X = X

    def __len__(self) -> int:
        return len(self.X)

    def take(self, index: np.ndarray) -> np.ndarray:
        return np.take(self.X, index, axis=0)


def data(n: int) -> np.ndarray:
    """Rows about as dark and as smooth as digits."""
    rng = np.random.default_rng(0)
    basis = np.maximum(rng.normal(size=(30, 28, 28)).cumsum(axis=1).cumsum(axis=2) / 30, 0).reshape(30, 784)
    on = rng.random((n, 30)) < 0.1
    return np.clip(on @ basis, 0, 1).astype(np.float32)


def ours(model: type, X: np.ndarray, batch: int, **settings: object) -> Callable[[], None]:
    """One epoch of a model from its beginning."""

    def run() -> None:
        learner = model(model.resolve(model.Config(hidden=HIDDEN), DataSummary(X.shape[1], 0.0, 1.0)))
        learner.init(X.shape[1], Random(0), X.mean(axis=0))
        Training(learner, Rows(X), TrainConfig(epochs=1, batch_size=batch, **settings)).run()

    return run


def plain(X: np.ndarray, batch: int, steps: int = 5, step: float = 0.2) -> Callable[[], None]:
    """The same epoch of SESM by the equations."""

    def l_of(Z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(np.minimum(-G * Z, 80)))

    def run() -> None:
        rng = np.random.default_rng(0)
        W = 0.01 * rng.normal(size=(X.shape[1], HIDDEN)).astype(np.float32)
        b, c = X.mean(axis=0), np.full(HIDDEN, -0.3, np.float32)

        def look(Z: np.ndarray, F: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            L = l_of(Z)
            R = L @ W.T + b - Y
            loss = ((Z - F) ** 2).sum(1) + (R**2).sum(1) + A_S * np.log1p(L * L).sum(1)
            return loss, 2 * (Z - F) + G * L * (1 - L) * (2 * R @ W + A_S * 2 * L / (1 + L * L))

        for index in np.array_split(rng.permutation(len(X)), len(X) // batch):
            Y = X[index]
            F = Y @ W + c
            Z, sizes = F, np.full((len(Y), 1), step, np.float32)
            loss, slope = look(Z, F, Y)
            for _ in range(steps):
                tried = Z - sizes * slope
                found, there = look(tried, F, Y)
                better = (found <= loss)[:, None]
                Z, slope = np.where(better, tried, Z), np.where(better, there, slope)
                loss, sizes = np.minimum(found, loss), np.where(better, sizes, sizes / 2)
            L = l_of(Z)
            R, E = L @ W.T + b - Y, Z - F
            W -= LR * 2 / len(Y) * (R.T @ L - Y.T @ E)
            W = np.sign(W) * np.maximum(np.abs(W) - LR * A_R, 0)
            b, c = b - LR * 2 * R.mean(0), c + LR * 2 * E.mean(0)

    return run


def medians(runs: dict[str, Callable[[], None]], repeat: int) -> dict[str, float]:
    """Seconds, the runs taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeat + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if turn:  # the first warms up
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    X = data(options.rows)
    for batch in (1, 10, 100):
        found = medians(
            {
                "sesm": ours(SESM, X, batch, momentum=0.0, decay="l1", lr=LR),
                "numpy": plain(X, batch),
                "numpy, ten steps": plain(X, batch, 10, 0.1),
                "rbm": ours(RBM, X, batch, lr=0.001),
            },
            options.repeat,
        )
        print(
            f"batch {batch}: "
            + ", ".join(f"{name} {1e6 * s / len(X):.1f} us a row" for name, s in found.items())
        )
        at_least(f"batch {batch}: times as fast as plain numpy", found["numpy"] / found["sesm"], 5)
        print(f"        as fast as ten steps of it: {found['numpy, ten steps'] / found['sesm']:.1f} times")
        at_most(f"batch {batch}: time of an epoch over CD-1's", found["sesm"] / found["rbm"], 4)
    finish()


if __name__ == "__main__":
    main()
