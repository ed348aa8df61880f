"""Where a command's output goes: messages and progress to stderr, results to stdout."""

import contextlib
import json
import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from types import TracebackType
from typing import Any, Self

import click

from featlearn import signals
from featlearn.errors import ConfigError, DataError, printable, reason, show
from featlearn.jobs.results import Next, Result, value_at

SAID = ("advice", "measured")  # what stands in JSON alone: a person reads it elsewhere
PLAIN_SECONDS = 30.0  # between two plain progress lines where stderr is not a terminal
Take = Callable[[Mapping[str, Any]], None]


@dataclass
class Session:
    """The settings of a command line beside its command: --debug, --json and --quiet; how many run it."""

    debug: bool = False
    json: bool = False
    quiet: bool = False
    argv: Sequence[str] = ()
    take: Take | None = None
    """Who gets the results of a command that another one runs; --json does not print them then."""
    ranks: int = 1
    ends_others: bool = False

    def limits(self, n: int | None) -> bool:
        """Whether a limit is to be set: a command that another one runs leaves what it does not say."""
        return n is not None or self.take is None


def tell(*lines: str) -> None:
    """Print lines on stderr, made printable; a stderr that fails is given up: words are no results."""
    with _giving_up_stderr():
        click.echo("\n".join(map(printable, lines)), err=True)


@contextlib.contextmanager
def _giving_up_stderr() -> Iterator[None]:
    try:
        yield
    except OSError:
        sys.stderr = (
            None  # as where it was closed from the start; what could not be written is not tried again
        )


@contextlib.contextmanager
def to_stdout() -> Iterator[None]:
    """Within, an OSError is about standard output: raises DataError for it, and BrokenPipeError as it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"standard output: {error.strerror}") from error


def _print(line: str) -> None:
    """Print a line on stdout. Raises DataError, BrokenPipeError."""
    with to_stdout():
        click.echo(line)


class Stdout:
    """Standard output as the place of a picture."""

    def write(self, data: bytes) -> None:
        """Write all of it. Raises DataError, BrokenPipeError."""
        if sys.stdout is None:
            raise DataError("standard output: is closed; name a file")
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DataError(f"standard output: cannot be written: {reason(error)}") from error


def shell_quoted(words: Sequence[str]) -> str:
    """A command line that can be pasted into bash, zsh or ksh, and holds printable characters alone."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    parts = (c if c.isprintable() and c not in "'\\" else _octal(c) for c in word)
    return f"$'{''.join(parts)}'"


def _octal(c: str) -> str:
    """Three digits a byte, so that what follows is none of them."""
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(c))


class Messages:
    """Messages for a person, on stderr; quiet: none."""

    def __init__(self, quiet: bool = False, hints: bool = True) -> None:
        self.quiet = quiet
        self.hints = hints

    def say(self, text: str) -> None:
        if not self.quiet:
            tell(text)

    def progress(self, total: int, unit: str) -> "Progress":
        """A progress report over `total` units, to be used with `with`."""
        return Progress(total, unit, self)

    def say_next(self, hint: Next | None) -> None:
        """Say which commands may follow, one a line, quoted for a shell."""
        if hint is None or not self.hints:
            return
        for label, command in zip(["next:", *["or:  "] * len(hint.commands)], hint.commands, strict=False):
            self.say(f"{label} {shell_quoted(['featlearn', *command])}")
        if hint.note:
            self.say(hint.note)


class Progress:
    """A bar on a terminal; elsewhere one plain line every 30 seconds."""

    def __init__(self, total: int, unit: str, messages: Messages) -> None:
        self.total = total
        self.unit = unit
        self.messages = messages
        self.done = 0
        self.started = self.last = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> Self:
        signals.check()
        if not self.messages.quiet and sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            with _giving_up_stderr():
                self.bar = tqdm(
                    total=self.total, unit=" " + self.unit, leave=False, dynamic_ncols=True, file=sys.stderr
                )
        return self

    def advance(self, n: int = 1, note: str = "") -> None:
        """`n` more units are done; `note` is shown beside the count. Raises Interrupted after a signal."""
        signals.check()
        self.done += n
        if self.bar is not None and sys.stderr is not None:
            if note:
                self.bar.set_postfix_str(note, refresh=False)
            with _giving_up_stderr():
                self.bar.update(n)
        elif time.monotonic() - self.last >= PLAIN_SECONDS:
            self.last = time.monotonic()
            counts = (
                f"{self.done:,} of {self.total:,} {self.unit} ({100 * self.done // max(self.total, 1)} %)"
            )
            self.messages.say(f"{counts}, {self.last - self.started:.0f} s{', ' + note if note else ''}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None and sys.stderr is not None:
            with _giving_up_stderr():
                self.bar.close()


class Results:
    """What a command found out, on stdout: lines to read, or with --json one object."""

    def __init__(self, as_json: bool = False, take: Take | None = None) -> None:
        self.as_json = as_json
        self.take = take

    def show(self, values: Mapping[str, Any]) -> None:
        """One thing: a line for each value."""
        if not self._given(values):
            _lines(values)

    def value(self, value: Any) -> None:
        """A single value: a text as it is, all else as JSON."""
        _print(printable(value) if isinstance(value, str) else json.dumps(value))

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Alike things: a row each under the keys of all, a single one as lines; in JSON the list `name`."""
        if self._given({name: list(rows)}):
            return
        if len(rows) == 1:
            return _lines(rows[0])
        self.rows(rows)

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print a row each under the keys of all."""
        keys = _keys(rows)
        _columns([keys, *([text_of(row.get(key)) for key in keys] for row in rows)])

    def blocks(
        self, name: str, things: Sequence[Mapping[str, Any]], blocks: Sequence[Sequence[Sequence[str]]]
    ) -> None:
        """Alike things as blocks of cells, columns aligned within each; in JSON the list `name`."""
        if not self._given({name: list(things)}):
            for cells in blocks:
                _columns(cells)

    def _given(self, values: Mapping[str, Any]) -> bool:
        """Give values to who takes them; whether no lines are wanted besides."""
        if self.take is not None:
            self.take(_finite(values))
        elif self.as_json:
            _print(json.dumps(_finite(values), allow_nan=False))
        return self.as_json


def _lines(values: Mapping[str, Any]) -> None:
    _columns([[key, text_of(value)] for key, value in flat(values).items() if _shown(key)])


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings, and lists of them, by dotted keys: {'a': {'b': 5}} -> {'a.b': 5}."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            value = dict(enumerate(value))
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row if _shown(key)))


def _shown(key: str) -> bool:
    return key.partition(".")[0] not in SAID


def _columns(cells: Sequence[Sequence[str]]) -> None:
    """Print rows of cells, each column as wide as its widest; names in files may hold anything.

    A row may end early.
    """
    cells = [list(map(printable, row)) for row in cells]
    widths = [max(map(len, column)) for column in zip_longest(*cells, fillvalue="")]
    for row in cells:
        _print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())


def text_of(value: Any) -> str:
    """Return a value as people read it: numbers in four digits, several one after another."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " ".join(map(text_of, value))
    return str(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: they become null."""
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def picture_output(path: str, results: Results) -> str | Stdout:
    """Return the place of a picture: - is standard output. Raises ConfigError where JSON wants that, too."""
    if path != "-":
        return path
    if results.as_json:
        raise ConfigError("-o - and --json both write to stdout: name a file for the picture")
    return Stdout()


def show_picture(done: Result, messages: Messages, results: Results) -> None:
    """Show what a picture shows; beside a picture on stdout on stderr."""
    report = done.report()
    if "output" in report:
        return results.show(report)
    for key, value in report.items():
        messages.say(f"{key}  {value}")


def show_history(format: str, model: str, results: Results) -> None:
    """Print a model's learning curve as "csv" or "json". Raises DataError, ConfigError."""
    from featlearn.jobs.history import as_csv, as_rows, read_history

    if format == "csv" and results.as_json:
        raise ConfigError("--history csv and --json contradict each other; take --history json")
    columns = read_history(model)
    if results.as_json:
        return results.show({"history": as_rows(columns)})
    if format == "json":
        return results.value(as_rows(columns))
    for line in as_csv(columns).splitlines():
        results.value(line)


def show_methods(model: str, get: str | None, results: Results) -> None:
    """Print a model's paragraph for a methods section. Raises DataError, ConfigError."""
    from featlearn.jobs.methods import methods
    from featlearn.jobs.store import load_model

    if get is not None:
        raise ConfigError("--get: does nothing with --methods; leave one of them out")
    text = methods(load_model(model))
    results.show({"methods": text}) if results.as_json else results.value(text)


def pick(values: dict[str, Any], key: str) -> Any:
    """Return the value at a dotted key. Raises ConfigError."""
    try:
        return value_at(values, key)
    except KeyError:
        near = ", ".join(map(show, _nearest(key, list(flat(values)))))
        raise ConfigError(
            f"--get {show(key)}: not there; the nearest are {near}; without --get all are printed"
        ) from None


def _nearest(key: str, known: list[str]) -> list[str]:
    """The three known keys that are most alike, as a whole or in their last part."""

    def likeness(other: str) -> float:
        return max(SequenceMatcher(None, key, part).ratio() for part in (other, other.rpartition(".")[2]))

    return sorted(known, key=likeness, reverse=True)[:3]
