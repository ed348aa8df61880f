"""The ends of a run: exit codes, one-line errors, signals, closed pipes; other ranks, where there are any.

Exit codes:
    0 done   1 the data or the run failed   2 usage error or wrong settings   3 diverged
    129, 130, 143 stopped by SIGHUP, SIGINT, SIGTERM (by the signal itself, so that a shell sees it)
    141 closed pipe
"""

import io
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from featlearn import signals
from featlearn.cli.output import Session, tell, to_stdout
from featlearn.errors import FeatlearnError, show
from featlearn.signals import Interrupted

CLOSED_PIPE = 128 + 13
NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""`featlearn` alone shows its help page; Click before 8.2 has no error for it."""
LAUNCHERS = {
    "PMI_RANK": "PMI_SIZE",
    "OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE",
    "PMIX_RANK": "SLURM_STEP_NUM_TASKS",
}
"""What mpiexec and srun put into the environment of each process: its rank, and how many there are."""
NO_MEMORY = ("failed to map segment", "annot allocate memory", "out of memory", "bad_alloc")
"""What libraries and the loader say where memory ends, in exceptions of other types than MemoryError."""


def run_and_exit(argv: Sequence[str]) -> NoReturn:
    """`run` as a process: with the handlers of `signals.install`, and an end that the shell understands."""
    session = Session()
    try:
        signals.release()
        _open_standard_streams()
        code = _meet_ranks(session) or run(argv, session)
        signals.uninstall()
    except Interrupted as error:  # so early or late that `run` was not there to see it
        code = _report(error, session, "--json" in argv)
    if not code:
        _may_speak(0, session)
    if code and session.ranks > 1:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI tells there of messages that nobody has taken
    stopped_by = signals.noted()
    if stopped_by is not None and session.ranks == 1:
        signal.signal(stopped_by, signal.SIG_DFL)
        os.kill(os.getpid(), stopped_by)
    sys.exit(code)


def _meet_ranks(session: Session) -> int:
    """Meet the other ranks, where a launcher has started several; the first one speaks. -> exit code"""
    name = next((name for name in LAUNCHERS if name in os.environ), None)
    if name is None or os.environ.get(LAUNCHERS[name]) == "1":
        return 0
    try:
        from featlearn import ranks

        ranks.start()
    except Exception as error:
        return _report(error, session, False) if os.environ[name] == "0" else _explain(error)[0]
    session.ranks = ranks.size
    if ranks.rank:
        sys.stdout = sys.stderr = None  # as where they are closed: nothing is said
    return 0


def _may_speak(code: int, session: Session) -> str | None:
    """Come to the end with the other ranks. -> words before an error of this one; None: another speaks

    Where the others are at work, and would wait for this one for ever, it ends them when it has spoken.
    """
    if session.ranks == 1:
        return ""
    from featlearn import ends, ranks

    speaks, session.ends_others = ends.agreed(code)
    if not speaks:
        return None
    if code:
        sys.stderr = sys.__stderr__
    return f"rank {ranks.rank} of {ranks.size}: " if ranks.rank else ""


def _open_standard_streams() -> None:
    """Let no file of ours get the number of one that was closed: libraries write their messages to 2."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be valid text


def run(argv: Sequence[str], session: Session | None = None) -> int:
    """Run a command line. -> exit code

    Errors become one line on stderr, and with --json one object on stdout.
    """
    session = session or Session()
    session.argv = list(argv)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: (
            None if session.quiet else tell(f"warning: {message}")
        )
        return _run(argv, session)


def _run(argv: Sequence[str], session: Session) -> int:
    try:
        from featlearn.cli.main import cli

        if "_FEATLEARN_COMPLETE" in os.environ:  # a shell asks for completions
            cli.main(list(argv), prog_name="featlearn", obj=session)
        # not cli.main: it takes a closed pipe for a failure
        with to_stdout():  # help pages
            context = cli.make_context("featlearn", list(argv), obj=session)
        with context as ctx:
            cli.invoke(ctx)
        if sys.stdout is not None:
            with to_stdout():
                sys.stdout.flush()
        signals.check()
        return 0
    except BaseException as error:
        return _report(error, session, session.json or "--json" in argv)


def _report(error: BaseException, session: Session, as_json: bool) -> int:
    """Say what went wrong. -> exit code"""
    noted = signals.noted()
    if noted is not None:  # whatever came of it
        error = Interrupted(noted).with_traceback(error.__traceback__)
    code, message = _explain(error)
    place = _may_speak(code, session)
    if place is None:
        return code
    if session.debug and message:
        tell(*"".join(traceback.format_exception(error)).splitlines())
    if isinstance(error, NO_ARGUMENTS):
        tell(*error.format_message().splitlines())
    elif message:
        tell(f"featlearn: error: {place}{message}")
    try:
        if as_json and message:
            click.echo(json.dumps({"error": message, "exit_code": code}))
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        sys.stdout = None  # so that the interpreter's own flush at the end does not fail once more
    if session.ends_others:
        from featlearn import ends

        ends.abort(code)
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
    if isinstance(error, click.UsageError) and not isinstance(error, NO_ARGUMENTS):
        from featlearn.cli.usage import usage_words

        return error.exit_code, " ".join(usage_words(error).split())
    if isinstance(error, click.ClickException):
        return error.exit_code, " ".join(error.format_message().split())
    if isinstance(error, Interrupted):
        return 128 + error.signum, words
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT, "stopped by SIGINT"
    if isinstance(error, MemoryError) or any(found in words for found in NO_MEMORY):
        what = f": {words}" if isinstance(error, MemoryError) and words else ""
        return 1, f"out of memory{what}; take less data (--count) or smaller batches"
    if isinstance(error, OSError) and error.strerror:
        return 1, f"{'a file' if error.filename is None else show(str(error.filename))}: {error.strerror}"
    return 1, f"internal error: {type(error).__name__}: {words}; run with --debug"
