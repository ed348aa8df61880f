"""Options made from settings, shared options, and where words, progress and results go."""

import io
import json
import math
from dataclasses import dataclass

import click
import pytest
from click.testing import CliRunner

from featlearn.cli import output as report
from featlearn.cli.options import collect, command_named, quiet, settings_options
from featlearn.cli.output import Messages, Results
from featlearn.errors import ConfigError
from featlearn.settings import check, from_dict, setting, to_dict


@dataclass(frozen=True)
class Config:
    hidden: int = setting(100, "number of hidden units", low=1)
    lr: float = setting(0.1, "learning rate", above=0)
    momentum: float = setting(0.9, "momentum", low=0, below=1)
    kind: str = setting("a", "which kind", choices=("a", "b"))
    target: float | None = setting(None, "wanted mean", above=0, below=1)
    keep_decay: bool = setting(True, "decay goes on")
    to: tuple[float, float] | None = setting(None, "range")
    sizes: tuple[int, ...] = setting((3, 5), "sizes", low=1, high=100)

    def __post_init__(self):
        check(self)


@command_named("fake")
@settings_options(Config, "Things")
def fake(**values):
    """Fake."""
    click.echo(repr(collect(Config, values)))
    assert not values


def invoke(*args, command=fake):
    return CliRunner().invoke(command, list(args))


def test_defaults_are_those_of_the_settings():
    assert invoke().output == f"{Config()!r}\n"


def test_values_arrive_with_their_types():
    args = ("--hidden", "7", "--lr", "1", "--kind", "b", "--target", ".5", "--no-keep-decay", "--to", "-1,1")
    args += ("--sizes", "9,2,9")
    wanted = Config(7, 1.0, 0.9, "b", 0.5, False, (-1.0, 1.0), (9, 2, 9))
    assert invoke(*args).output == f"{wanted!r}\n"


@pytest.mark.parametrize(
    "args",
    [
        ("--hidden", "0"),
        ("--hidden", "1.5"),
        ("--lr", "0"),
        ("--momentum", "1"),
        ("--target", "1"),
        ("--kind", "c"),
        ("--to", "1"),
        ("--to", "1,2,3"),
        ("--to", "a,b"),
        ("--sizes", ""),
        ("--sizes", "1,x"),
        ("--sizes", "1.5"),
    ],
)
def test_values_out_of_range_are_wrong_usage(args):
    result = invoke(*args)
    assert result.exit_code == 2
    assert args[0] in result.output


@pytest.mark.parametrize("value", ["0", "5,101", "-1,5"])
def test_each_number_of_a_list_has_the_range(value):
    result = invoke("--sizes", value)
    assert isinstance(result.exception, ConfigError)
    assert "--sizes: got" in str(result.exception)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_numbers_must_be_finite(value):
    result = invoke("--lr", value)
    assert isinstance(result.exception, ConfigError | SystemExit)


def test_help_shows_default_range_and_choices():
    text = invoke("--help").output
    assert "Things:" in text
    for words in (
        "Number of hidden units.",
        "default: 100",
        "x>=1",
        "x>0",
        "0<=x<1",
        "[a|b]",
        "--no-keep-decay",
        "LOW,HIGH",
        "N,N,...",
        "default: 3,5",
    ):
        assert words in text


def test_a_default_that_depends_is_said_in_words():
    @dataclass(frozen=True)
    class Open:
        kind: str | None = setting(None, "which kind  [default: a, or b at night]")
        most: int | None = setting(None, "how many", off="no limit")

    @command_named("fake")
    @settings_options(Open)
    def depends(**values):
        """Fake."""
        click.echo(repr(values))

    assert invoke(command=depends).output == "{'kind': None, 'most': None}\n"
    help = invoke("--help", command=depends).output
    assert "a, or b at night" in help
    assert "no limit" in help


def test_lists_of_numbers_come_back_from_files_as_they_were():
    """A file knows lists alone, and whole numbers where they are whole."""
    config = Config(sizes=(50, 50, 100), to=(0.0, 1.0))
    from_a_file = from_dict(Config, json.loads(json.dumps(to_dict(config))) | {"to": [0, 1]})
    assert repr(from_a_file) == repr(config)


def test_quiet_silences_words():
    @command_named("fake")
    @quiet
    def talks(messages):
        """Fake."""
        messages.say("hello")

    assert CliRunner().invoke(talks).stderr == "hello\n"
    assert CliRunner().invoke(talks, ["--quiet"]).stderr == ""


def test_progress_off_a_terminal_is_a_plain_line_now_and_then(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(report.time, "monotonic", lambda: now)
    with Messages().progress(100, "patches") as progress:
        for second in range(1, 101):
            now = float(second)
            progress.advance(1, "note")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "30 of 100 patches (30 %), 30 s, note",
        "60 of 100 patches (60 %), 60 s, note",
        "90 of 100 patches (90 %), 90 s, note",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("silent", [False, True])
def test_progress_on_a_terminal_is_a_bar(silent, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(report.sys, "stderr", terminal)
    with Messages(silent).progress(4, "patches") as progress:
        progress.advance(4, "note")
    assert ("\r" in terminal.getvalue()) is not silent
    assert "\n" not in terminal.getvalue()


def test_results_as_lines_and_as_json(capsys):
    values = {
        "n": 3,
        "shape": [16, 16],
        "config": {"lr": 0.1, "target": None},
        "inputs": [{"name": "x"}],
        "rmse": 1 / 3,
    }
    Results().show(values)
    assert capsys.readouterr().out.splitlines() == [
        "n              3",
        "shape          16 16",
        "config.lr      0.1",
        "config.target  -",
        "inputs.0.name  x",
        "rmse           0.3333",
    ]
    Results(True).show(values)
    assert json.loads(capsys.readouterr().out) == values


def test_json_has_no_nan(capsys):
    Results(True).show({"a": math.nan, "b": [math.inf, 1.0]})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.0]}


def test_table_is_a_row_each(capsys):
    rows = [{"model": "a.h5", "rmse": 0.25}, {"model": "longer.h5", "rmse": 0.5}]
    Results().table("models", rows)
    assert capsys.readouterr().out.splitlines() == ["model      rmse", "a.h5       0.25", "longer.h5  0.5"]
    Results().table("models", rows[:1])
    assert capsys.readouterr().out.splitlines() == ["model  a.h5", "rmse   0.25"]
    Results(True).table("models", rows)
    assert json.loads(capsys.readouterr().out) == {"models": rows}
