"""Resident memory of extract-patches while it writes a million patches.

python bench/memory.py PHOTOS [COUNT]
"""

import os
import subprocess
import sys
import tempfile
import time

from cli import FEATLEARN, at_most, environment, finish


def main(photos: str, count: int) -> None:
    folder = tempfile.mkdtemp()
    for options in (["--normalize", "standardize"], ["--normalize", "center", "--whiten", "zca"]):
        command = [*FEATLEARN, "extract-patches", photos, "--size", "16", "--count", str(count), *options]
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, "-o", "p.h5", "--force", "--quiet"],
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit("extract-patches failed")
        seconds = time.perf_counter() - started
        at_most(
            f"MB resident, {count:,} patches 16x16, {options[-1]}, {seconds:.1f} s",
            usage.ru_maxrss / 1024,
            400,
        )
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
