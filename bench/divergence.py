"""Learning rates that are far too high, of every model: is it noticed, and is no good run taken for one?

    python bench/divergence.py [DATASET...]  (by default dead leaves, standardized, and mapped to 0.1..0.9)

Each model at its default rate, twice at most halved, and without restarts at 10, 100 and 1000 times it. A
line each: how the run ended, and its error in units of that of the mean row. Such a run that ends as usual
should be below 1.1.
"""

import argparse
import json
import subprocess
import tempfile
import tomllib

import numpy as np
from cli import FEATLEARN, at_most, environment, featlearn, finish

from featlearn.jobs.store import load_rows

EPOCHS = 4
RUNS: dict[str, tuple[object, ...]] = {
    "autoencoder": ("--model", "autoencoder"),
    "autoencoder by sgd": ("--model", "autoencoder", "--optimizer", "sgd"),
    "denoising": ("--model", "denoising"),
    "denoising .5": ("--model", "denoising", "--noise", 0.5),
    "denoising by sgd": ("--model", "denoising", "--optimizer", "sgd"),
    "sesm": ("--model", "sesm"),
    "sparse autoencoder by sgd": ("--model", "sparse-autoencoder", "--optimizer", "sgd"),
    "sparse autoencoder by adam": ("--model", "sparse-autoencoder", "--optimizer", "adam"),
    "k-sparse": ("--model", "k-sparse"),
    "rbm": ("--model", "rbm"),
    "rbm to a target": ("--model", "rbm", "--sparsity-target", 0.02),
    "rbm by pcd": ("--model", "rbm", "--persistent"),
    "rbm of rectified units": ("--model", "rbm", "--units", "rectified"),
    "mcrbm": ("--model", "mcrbm", "--hidden-cov", 64, "--factors", 64),
}
GENERATED = {"patches.h5": ("--normalize", "standardize"), "mapped.h5": ("--clip", 3, "--to", "0.1,0.9")}


def train(*args: object, cwd: str) -> tuple[int, dict]:
    """Exit code and object of a training."""
    command = [
        *FEATLEARN,
        "train",
        *map(str, args),
        "--epochs",
        str(EPOCHS),
        "-o",
        "m.h5",
        "--force",
        "--json",
    ]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def deviation(path: str) -> float:
    """The error of the mean row as a reconstruction of all."""
    rows, *_ = load_rows(path, say=print)
    return float(np.sqrt(rows.take(np.arange(len(rows))).var(axis=0, dtype=np.float64).mean()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", nargs="*")
    given = parser.parse_args().dataset
    lost, unnoticed = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for name, options in {} if given else GENERATED.items():
            size = ("--size", 12, "--count", 6000)
            featlearn("extract-patches", "dead-leaves", *size, *options, "-o", name, cwd=folder)
        for data in given or [f"{folder}/{name}" for name in GENERATED]:
            for name, options in RUNS.items():
                shown = [*FEATLEARN, "train", data, *map(str, options), "--show-config"]
                settings = subprocess.run(shown, capture_output=True, text=True)
                if settings.returncode:
                    continue  # a model that wants other data
                resolved = tomllib.loads(settings.stdout)
                rate, worst = resolved["lr"], deviation(data) / resolved["data_scale"]
                for factor in (1, 10, 100, 1000):
                    code, report = train(
                        data, *options, *(() if factor == 1 else ("--lr", rate * factor)), cwd=folder
                    )
                    error = report["rmse"] / worst if code == 0 else np.nan
                    lost += factor == 1 and code != 0
                    unnoticed += code == 0 and factor > 1 and error > 1.1
                    ended = report["error"].split(";")[0] if code else f"error {error:.3f}"
                    again = f", {report['restarts']} restarts" if "restarts" in report else ""
                    print(f"{data.rpartition('/')[2]:14} {name:27} x{factor:<5} {ended}{again}", flush=True)
    at_most("default rates that diverge, restarts included", lost, 0)
    at_most("rates too high that end above 1.1 of the mean row", unnoticed, 0)
    finish()


main()
