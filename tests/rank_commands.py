"""Command lines, one after the other in one start of several ranks; what came of them as JSON."""

import contextlib
import io
import json
import sys
from pathlib import Path

from featlearn import ends, ranks
from featlearn.cli.output import Session
from featlearn.cli.process import run


class Bytes:
    """A standard stream of these bytes."""

    def __init__(self, data=b""):
        self.buffer = io.BytesIO(data)


def ran(line, listed):
    """[exit code, stdout, stderr] of a command, which reads `listed` from standard input."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    sys.stdin = Bytes(listed.encode())
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(line, Session(ranks=ranks.size))
    return [code, *(stream.flush() or stream.buffer.getvalue().decode() for stream in (out, err))]


if __name__ == "__main__":
    ranks.start()
    lines, listed = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    found = [ran(line, "" if ranks.rank else listed) for line in lines]  # mpiexec gives it to the first one
    if ranks.rank == 0:
        Path("found.json").write_text(json.dumps(found), "utf-8")
    ends.agreed(0)
