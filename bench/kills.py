"""SIGKILL at random moments of train, finetune and extract-patches: what bears a final name must be whole.

    python bench/kills.py [KILLS]

Every killed training and fine-tuning is gone on with by --resume; at last its parameters must equal those of
an undisturbed run.
"""

import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from cli import FEATLEARN, at_most, environment, featlearn, figure, finish

TUNED = (
    "two.h5 squares.h5 --epochs 40",
    "two.h5 squares.h5 --optimizer cg --epochs 100",
    "two.h5 squares.h5 --optimizer lbfgs --epochs 100",
    "two.h5 squares.h5 --unrolled --epochs 25",
    "labels.h5 squares.h5 --up-down --epochs 25",
)
"""What finetune is asked for."""


def write_squares(folder: str, n: int = 4000, side: int = 12) -> None:
    """Write images (IDX) with a square in one of four corners, which is the class, on noise."""
    rng = np.random.default_rng(0)
    y, half = rng.integers(0, 4, n), side // 2
    X = rng.integers(0, 120, (n, side, side))
    for image, corner in zip(X, y, strict=True):
        up, left = corner // 2 * half, corner % 2 * half
        image[up : up + half, left : left + half] += rng.integers(40, 130)
    for name, values in (("squares", X), ("classes", y)):
        head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
        Path(folder, f"{name}.idx").write_bytes(head + values.astype(np.uint8).tobytes())


def trainings_killed(line: list[str], folder: str, kills: int, chance: random.Random) -> None:
    """Kill a training again and again, going on with it, and print what came of it."""
    name = " ".join([line[0], *line[3:]]) if line[0] == "finetune" else line[0]
    line = [*line, "--checkpoint-every", "0.05"]
    whole = featlearn(*line, "-o", "whole.h5", "--force", cwd=folder)
    bad = hits = rounds = same = finished = 0
    while hits < kills or not finished:
        hits += killed([*line, "-o", "m.h5", "--resume"], folder, chance.uniform(0.2, 0.8) * whole["wall"])
        bad += unreadable(folder, "m.h5", "m.h5.ckpt")
        rounds += 1
        if os.path.exists(os.path.join(folder, "m.h5")):
            same += featlearn("info", "m.h5", cwd=folder)["content_hash"] == whole["content_hash"]
            finished += 1
            os.unlink(os.path.join(folder, "m.h5"))
    at_most(f"{name}: unreadable files after {hits} kills in {rounds} runs", bad, 0)
    figure(
        f"{name}: resumed runs that ended in the undisturbed bytes",
        same,
        f"all {finished}",
        same == finished > 0,
    )


def killed(args: list[str], folder: str, after: float) -> bool:
    """Start a command and kill it after so many seconds; False if it ended before."""
    process = subprocess.Popen([*FEATLEARN, *args], cwd=folder, env=environment(), stderr=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    time.sleep(after)
    ended = process.poll() is not None
    process.kill()
    process.wait()
    return not ended


def unreadable(folder: str, *names: str) -> int:
    """How many of these files exist and cannot be read to the last byte."""
    present = [name for name in names if os.path.exists(os.path.join(folder, name))]
    command = [*FEATLEARN, "info", "--verify"]
    return sum(
        subprocess.run([*command, n], cwd=folder, capture_output=True).returncode != 0 for n in present
    )


def main(kills: int) -> None:
    folder = tempfile.mkdtemp()
    chance = random.Random(0)
    extract = ["extract-patches", "dead-leaves", "--count", "40000", "--images", "8", "-o", "p.h5"]
    wall = featlearn(*extract, cwd=folder)["wall"]
    bad = hits = rounds = 0
    while hits < kills // 2:
        hits += killed([*extract, "--force"], folder, chance.uniform(0.2, 1.1) * wall)
        bad += unreadable(folder, "p.h5")
        rounds += 1
    at_most(f"extract-patches: unreadable files after {hits} kills in {rounds} runs", bad, 0)

    train = "train p.h5 --model rbm --hidden 200 --epochs 6"
    trainings_killed(train.split(), folder, kills - kills // 2, chance)

    write_squares(folder)
    squares = "squares.idx --labels classes.idx -o squares.h5"
    featlearn("extract-patches", *squares.split(), cwd=folder)
    for made in ("dbn --hidden 100,50 -o two.h5", "dbn --labels --hidden 100,100,150 -o labels.h5"):
        featlearn("train", "squares.h5", "--epochs", "3", "--model", *made.split(), cwd=folder)
    for line in TUNED:
        trainings_killed(["finetune", *line.split()], folder, max(1, kills // 8), chance)
    leftover = [n for n in os.listdir(folder) if ".tmp-" in n or n.endswith(".lock")]
    print("left by the last kills, removed by the next run:", leftover)
    finish()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
