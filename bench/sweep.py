"""A sweep of 12 runs: killed twice it ends in the same table, and two runs at a time cost little beside them.

    python bench/sweep.py [FOLDER] [--rounds N]

Dead leaves, a k-sparse autoencoder of 150 units, three k, two rates, two seeds. The whole sweep is made once;
then again in another folder, where it is killed (-9) at two random moments and begun again: tables and
content hashes are to be the same.

For the time, rounds of the sweep with --jobs 2 take turns with rounds of the same 12 trainings without it,
two plain `featlearn train --threads 1` at once. Two figures, medians over rounds: the sweep's whole wall time
by half the sum of the seconds that its own runs say their learning has taken (the same load for both: what
starting, reading, the table and an idle worker at the end cost), and its processor time by that of the
12 plain ones (whether learning costs more within it). Beside them the wall time by half the seconds of the
plain runs, which on a machine with other work says as much of that work. About five minutes on two cores.
"""

import argparse
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cli import FEATLEARN, at_most, attempt, environment, featlearn, figure, finish

GRID = {"k": (5, 10, 20), "lr": (0.05, 0.2)}
SEEDS = 2
LEARN = ("--model", "k-sparse", "--hidden", 150)
SETS = [word for name, values in GRID.items() for word in ("--set", f"{name}={','.join(map(str, values))}")]


def swept(runs: str, epochs: int) -> list[str]:
    """The words of the sweep's command line."""
    words = [
        "sweep",
        "patches.h5",
        *LEARN,
        "--epochs",
        epochs,
        *SETS,
        "--seeds",
        SEEDS,
        "--jobs",
        2,
        "-o",
        runs,
    ]
    return [*map(str, words)]


def killed(folder: Path, epochs: int) -> None:
    """Make the sweep, killed twice on the way."""
    rnd = random.Random(1)
    shutil.rmtree(folder / "killed", ignore_errors=True)
    for part, (least, most) in ((1, (1, 5)), (2, (6, 10))):
        words = [*FEATLEARN, *swept("killed", epochs), "--checkpoint-every", "1", "-q"]
        process = subprocess.Popen(words, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
        finished = rnd.randint(least, most)
        while process.poll() is None and len(list((folder / "killed").glob("*.h5"))) < finished:
            time.sleep(0.05)
        time.sleep(rnd.uniform(0, 2))
        process.kill()
        there = process.wait() == -9
        done = len(list((folder / "killed").glob("*.h5")))
        begun = len(list((folder / "killed").glob("*.ckpt")))
        print(f"        kill {part}: {done} of 12 runs were finished, {begun} begun", flush=True)
        figure(f"kill {part} struck while it ran", there, "1", there)
    featlearn(*swept("killed", epochs), cwd=str(folder))
    for name in ("table.json", "table.csv"):
        same = (folder / "whole" / name).read_bytes() == (folder / "killed" / name).read_bytes()
        figure(f"{name} is the same", same, "1", same)
    same = sorted(os.listdir(folder / "whole")) == sorted(os.listdir(folder / "killed"))
    figure("so are the names of all files", same, "1", same)


def processor_time() -> float:
    """Seconds that processes which have ended have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(folder: Path, epochs: int) -> tuple[float, float]:
    """Make the sweep. -> its wall time, and half the sum of the seconds of its runs"""
    shutil.rmtree(folder / "whole", ignore_errors=True)
    done, code, said = attempt(*swept("whole", epochs), cwd=str(folder))
    if code:
        sys.exit(said)
    seconds = [float(found) for found in re.findall(r"^\d+ of 12: .*, ([0-9.]+) s$", said, re.MULTILINE)]
    assert len(seconds) == 12
    return float(done["wall"]), sum(seconds) / 2


def plain(folder: Path, epochs: int) -> float:
    """Make the 12 trainings, two at once. -> half the sum of their seconds"""
    shutil.rmtree(folder / "plain", ignore_errors=True)
    (folder / "plain").mkdir()

    def train(one: tuple[int, float, int]) -> float:
        k, lr, seed = one
        words = ("train", "patches.h5", *LEARN, "--epochs", epochs, "--k", k, "--lr", lr, "--seed", seed)
        done = featlearn(*words, "--threads", 1, "-o", f"plain/{k}-{lr}-{seed}.h5", cwd=str(folder))
        return float(done["seconds"])

    runs = [(k, lr, seed) for k in GRID["k"] for lr in GRID["lr"] for seed in range(SEEDS)]
    with ThreadPoolExecutor(2) as two:
        return sum(two.map(train, runs)) / 2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    folder.mkdir(exist_ok=True)
    make = ("extract-patches", "dead-leaves", "--count", 20_000, "--size", 12, "-o", "patches.h5", "--force")
    featlearn(*make, cwd=str(folder))
    walls, costs = [], []
    for i in range(given.rounds):
        before = processor_time()
        took, own = timed(folder, given.epochs)
        between = processor_time()
        ideal = plain(folder, given.epochs)
        walls.append(took / own)
        costs.append((between - before) / (processor_time() - between))
        print(
            f"        round {i + 1}: {took:.1f} s, {walls[-1]:.3f} of its own runs two at a time, "
            f"{took / ideal:.3f} of plain ones; processor time {costs[-1]:.3f} of theirs",
            flush=True,
        )
    at_most("--jobs 2: time by that of its runs, two at a time", statistics.median(walls), 1.15)
    at_most("--jobs 2: processor time by that of plain runs", statistics.median(costs), 1.15)
    killed(folder, given.epochs)
    finish()


if __name__ == "__main__":
    main()
