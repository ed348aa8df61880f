"""Commands that mpiexec starts as several ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import ENVIRONMENT

MPIEXEC = Path(sys.executable).with_name("mpiexec")  # of the package mpich, beside python
YIELDING = {"MPIR_CVAR_POLLS_BEFORE_YIELD": "0"}  # ranks that wait leave the core to others, here too few
TIMEOUT = 300
HERE = Path(__file__).parent
PROGRAM = """
import sys
from featlearn import ranks
from featlearn.errors import DataError
start, program = ranks.start, sys.argv.pop(1)
def started():
    start()
    exec(program, globals())
ranks.start = started
from featlearn.__main__ import main
main()
"""


def together(*parts, cwd, program=None):
    """Run commands under mpiexec, each by so many ranks: (n, arguments of featlearn). -> the process

    A program is run when ranks have met.
    """
    line = [str(MPIEXEC)]
    started = ["-m", "featlearn"] if program is None else ["-c", PROGRAM, program]
    for i, (n, args) in enumerate(parts):
        line += [":"] * (i > 0) + ["-n", str(n), sys.executable, *started, *map(str, args)]
    environment = ENVIRONMENT | YIELDING
    return subprocess.Popen(
        line, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def found_by(words, cwd):
    """What a program of the tests, started by these words, has written to found.json."""
    environment = os.environ | YIELDING | {"PYTHONPATH": f"{os.environ['PYTHONPATH']}:{HERE}"}
    ran = subprocess.run(
        list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads((cwd / "found.json").read_text("utf-8"))


def ended(process, seconds=TIMEOUT):
    """(exit code, stdout, lines of stderr) of what has to end within so many seconds."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.communicate(timeout=TIMEOUT)
        raise
    return process.returncode, out, err.splitlines()


def ranks_of(process):
    """The ids of the ranks that an mpiexec has started, in their order."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "environ").read_bytes().split(b"\0")
            if process.pid in parents(int(path.name)):
                found |= {int(path.name): int(word[9:]) for word in words if word.startswith(b"PMI_RANK=")}
        except OSError:
            continue  # it has ended
    own = [pid for pid in found if not found.keys() & set(parents(pid))]  # others are workers of a rank
    return sorted(own, key=found.get)


def parents(pid):
    """The ids of the processes that a process descends from."""
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(pid)
    return found
