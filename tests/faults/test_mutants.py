"""Damaged files with right checksums: the command line refuses them in one line or takes them."""

import subprocess
import sys
from pathlib import Path

from conftest import ENVIRONMENT

MUTANTS = Path(__file__).parent / "mutants.py"


def test_commands_take_or_refuse_mutants(tmp_path, thorough):
    count = 10_000 if thorough else 25
    ran = subprocess.run(
        [sys.executable, str(MUTANTS), str(tmp_path / "mutants"), str(count)],
        env={key: value for key, value in ENVIRONMENT.items() if key != "PYTHONWARNINGS"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{count} mutants" in ran.stdout
