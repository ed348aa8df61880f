"""How a run ends: exit codes, one-line errors, signals, closed pipes.

Exit codes:
    0 done   1 the data or the run failed   2 wrong usage or settings   3 diverged
    130, 143, 129 stopped by SIGINT, SIGTERM, SIGHUP (by the signal itself, so that a shell sees it)   141 closed pipe
"""

import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

import click

from featlearn.errors import FeatlearnError
from featlearn.files.regular import show

CLOSED_PIPE = 128 + 13
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@dataclass
class Session:
    """What has to be known about a command line, for its output's provenance and for its failure."""

    debug: bool = False
    json: bool = False
    argv: Sequence[str] = ()
    stopped_by: int | None = None


class Interrupted(BaseException):
    """A signal asked for the end; on its way up, context managers remove temporary files."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(f"stopped by {signal.Signals(signum).name}")


def run_and_exit(argv: Sequence[str]) -> NoReturn:
    """`run` as a process: with signal handlers, and an end that the shell understands."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be valid text
    session = Session()
    try:
        install_signal_handlers()
        code = run(argv, session)
    except Interrupted as error:  # so early or late that `run` was not there to see it
        code = _report(error, session, "--json" in argv)
    if session.stopped_by is not None:
        signal.signal(session.stopped_by, signal.SIG_DFL)
        os.kill(os.getpid(), session.stopped_by)
    sys.exit(code)


def install_signal_handlers() -> None:
    """Turn the first signal into Interrupted; a second one kills at once. What nohup or a shell ignores stays so."""
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, raise_interrupted)


def raise_interrupted(signum: int, frame: FrameType | None) -> NoReturn:
    """The signal handler of every command."""
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is raise_interrupted:
            signal.signal(number, signal.SIG_DFL)
    raise Interrupted(signum)


def run(argv: Sequence[str], session: Session | None = None) -> int:
    """Run a command line; errors become one line on stderr, and with --json one object on stdout. -> exit code."""
    session = session or Session()
    session.argv = list(argv)
    try:
        from featlearn.cli.main import cli

        if "_FEATLEARN_COMPLETE" in os.environ:  # a shell asks for completions
            cli.main(list(argv), prog_name="featlearn", obj=session)
        # not cli.main: it takes a closed pipe for a failure
        with cli.make_context("featlearn", list(argv), obj=session) as ctx:
            cli.invoke(ctx)
        if sys.stdout is not None:
            sys.stdout.flush()
        return 0
    except BaseException as error:
        return _report(error, session, session.json or "--json" in argv)


def _report(error: BaseException, session: Session, as_json: bool) -> int:
    """Say what went wrong. -> exit code"""
    code, message = _explain(error)
    if session.debug and message:
        traceback.print_exception(error)
    if isinstance(error, Interrupted):
        session.stopped_by = error.signum
    try:
        if isinstance(error, click.UsageError):
            error.show()
        elif message:
            click.echo(f"featlearn: error: {message}", err=True)
        if as_json and message:
            click.echo(json.dumps({"error": message, "exit_code": code}))
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _drop_stdout()
    return code


def _explain(error: BaseException) -> tuple[int, str]:
    """(exit code, one line)"""
    words = " ".join(str(error).split())
    if isinstance(error, BrokenPipeError):
        return CLOSED_PIPE, ""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1, ""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code, ""
    if isinstance(error, FeatlearnError):
        return error.exit_code, words
    if isinstance(error, click.ClickException):
        return error.exit_code, " ".join(error.format_message().split())
    if isinstance(error, Interrupted):
        return 128 + error.signum, words
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT, "stopped by SIGINT"
    if isinstance(error, MemoryError):
        return 1, f"out of memory{': ' + words if words else ''}; take less data (--count) or smaller batches"
    if isinstance(error, OSError) and error.strerror:
        return 1, f"{'standard output' if error.filename is None else show(str(error.filename))}: {error.strerror}"
    return 1, f"internal error: {type(error).__name__}: {words}; run with --debug"


def _drop_stdout() -> None:
    """What stdout could not take goes nowhere, so that the interpreter's own flush at the end stays quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
