"""SIGKILL at random moments of train and extract-patches: what bears a final name must be whole.

    python bench/kills.py [KILLS]

Every killed training is gone on with by --resume; at last its parameters must equal those of an undisturbed
run.
"""

import os
import random
import subprocess
import sys
import tempfile
import time

from cli import FEATLEARN, at_most, environment, featlearn, figure, finish


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

    train = [
        "train",
        "p.h5",
        "--model",
        "rbm",
        "--hidden",
        "200",
        "--epochs",
        "6",
        "--checkpoint-every",
        "0.05",
    ]
    whole = featlearn(*train, "-o", "whole.h5", cwd=folder)
    bad = hits = rounds = same = finished = 0
    while hits < kills - kills // 2:
        hits += killed([*train, "-o", "m.h5", "--resume"], folder, chance.uniform(0.2, 0.8) * whole["wall"])
        bad += unreadable(folder, "m.h5", "m.h5.ckpt")
        rounds += 1
        if os.path.exists(os.path.join(folder, "m.h5")):
            same += featlearn("info", "m.h5", cwd=folder)["content_hash"] == whole["content_hash"]
            finished += 1
            os.unlink(os.path.join(folder, "m.h5"))
    at_most(f"train: unreadable files after {hits} kills in {rounds} runs", bad, 0)
    figure(
        "train: resumed runs that ended in the undisturbed bytes",
        same,
        f"all {finished}",
        same == finished > 0,
    )
    leftover = [n for n in os.listdir(folder) if ".tmp-" in n or n.endswith(".lock")]
    print("left by the last kills, removed by the next run:", leftover)
    finish()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
