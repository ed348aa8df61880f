"""What the benches share: running featlearn as a user would, and printing a figure beside the figure asked
for."""

import json
import math
import os
import subprocess
import sys
import time
from typing import Any

FEATLEARN = [sys.executable, "-m", "featlearn"]
failures: list[str] = []


def environment(**extra: str) -> dict[str, str]:
    """Ours without what would slow the BLAS of a peer down."""
    return {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"} | extra


def attempt(*args: object, cwd: str, **env: str) -> tuple[dict[str, Any], int, str]:
    """Run a command with --json. -> its object, with the seconds as "wall"; exit code; stderr"""
    started = time.perf_counter()
    done = subprocess.run(
        [*FEATLEARN, *map(str, args), "--json"],
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
    )
    wall = time.perf_counter() - started
    return dict(json.loads(done.stdout or "{}")) | {"wall": wall}, done.returncode, done.stderr


def featlearn(*args: object, cwd: str, **env: str) -> dict[str, Any]:
    """Run a command that must succeed, with --json; its object and, as "wall", its seconds."""
    found, code, said = attempt(*args, cwd=cwd, **env)
    if code:
        sys.exit(f"featlearn {' '.join(map(str, args))}: exit {code}: {said}")
    return found


def evaluate(model: str, data: str, cwd: str) -> dict[str, Any]:
    """The row that `featlearn evaluate` prints for one model."""
    return dict(featlearn("evaluate", model, data, cwd=cwd)["models"][0])


def estimate(row: dict[str, Any], key: str) -> float:
    """An estimate of a row, also where its name says that it is unreliable; then that is printed."""
    if key in row:
        return float(row[key])
    chains = (row[f"{way}effective_chains"] for way in ("", "reverse_"))
    print(
        f"        {key} is unreliable: {' and '.join(f'{n:.1f}' for n in chains)} "
        "effective chains there and back"
    )
    value = row[f"unreliable_{key}"]
    return math.nan if value is None else float(value)


def figure(what: str, value: float, wanted: str, good: bool) -> None:
    """One line: what was measured, the figure, the figure asked for."""
    print(f"{'ok    ' if good else 'MISSED'}  {what:<58} {value:>10.4g}   wanted {wanted}", flush=True)
    if not good:
        failures.append(what)


def at_least(what: str, value: float, bar: float) -> None:
    figure(what, value, f">= {bar:g}", value >= bar)


def at_most(what: str, value: float, bar: float) -> None:
    figure(what, value, f"<= {bar:g}", value <= bar)


def finish() -> None:
    """Exit 1 if anything was missed."""
    sys.exit(f"missed: {'; '.join(failures)}" if failures else 0)
