"""What is printed: nothing that a terminal obeys, nothing that ends a run when it cannot be printed."""

import json
import subprocess
import sys

import pytest

from featlearn.cli import output as report
from featlearn.cli.output import Messages, Results, Stdout, shell_quoted
from featlearn.errors import printable
from featlearn.jobs.hints import as_argument
from featlearn.jobs.results import Next

HOSTILE = "a\x1b[31m\nb\r\u202egnp\x9b\udcff\u200b\x00é"
SHOWN = r"a\x1b[31m\nb\r\u202egnp\x9b\udcff\u200b\x00é"


def test_all_that_a_terminal_would_obey_is_escaped():
    assert printable(HOSTILE) == SHOWN
    assert printable("Größe 3 µm, 画像") == "Größe 3 µm, 画像"
    assert all(printable(chr(code)).isprintable() for code in range(0x11000))


def test_words_are_printable(capsys):
    Messages().say(f"warning: {HOSTILE}")
    assert capsys.readouterr().err == f"warning: {SHOWN}\n"


def test_results_are_printable(capsys):
    results = Results()
    values = {"name": HOSTILE, HOSTILE: [HOSTILE], "inner": {HOSTILE: 1}}
    results.show(values)
    results.table("rows", [values, values])
    results.blocks("rows", [values, values], [[[HOSTILE, "1"], ["2", HOSTILE]]])
    results.value(HOSTILE)
    out = capsys.readouterr().out
    assert out.count(SHOWN) == 4 + 7 + 2 + 1
    assert out.replace("\n", "").isprintable()


def test_json_stays_json(capsys):
    Results(as_json=True).show({"name": HOSTILE})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": HOSTILE}
    assert out.isascii()


NAMES = ["a b.h5", "it's.h5", "$(date).h5", "a\\b.h5", "a\nb\x1b1'.h5", "é\udcff1.h5", "\u202ex.h5"]


@pytest.mark.parametrize("name", NAMES)
def test_the_next_command_can_be_pasted(name, capsys):
    Messages().say_next(Next([["train", as_argument(name), "--model", "rbm"]]))
    line = capsys.readouterr().err
    assert line.isascii() or line.rstrip("\n").isprintable()
    command = line.removeprefix("next: featlearn ")
    program = "import os, sys; sys.stdout.buffer.write(os.fsencode(sys.argv[2]))"
    shell = f'featlearn() {{ {shell_quoted([sys.executable, "-c", program])} "$@"; }}; featlearn {command}'
    found = subprocess.run(["bash", "-c", shell], capture_output=True, check=True).stdout
    assert found == name.encode("utf-8", "surrogateescape")


def test_a_file_named_like_an_option_can_be_pasted(capsys):
    Messages().say_next(Next([["visualize", as_argument("-x.h5")]]))
    assert capsys.readouterr().err == "next: featlearn visualize ./-x.h5\n"


def test_a_picture_goes_to_standard_output(capfdbinary):
    Stdout().write(b"data\0")
    assert capfdbinary.readouterr().out == b"data\0"


class Broken:
    """A stream on a full disk; counts the attempts."""

    tries = 0

    def __init__(self, terminal):
        self.isatty = lambda: terminal

    def write(self, text):
        if text:  # click tries streams with nothing
            Broken.tries += 1
            raise OSError(28, "No space left on device")

    def flush(self):
        pass


@pytest.mark.parametrize("terminal", [False, True])
def test_a_stderr_that_fails_is_given_up_for_good(terminal, monkeypatch):
    """The bar of a terminal, and the plain lines elsewhere: both are words."""
    monkeypatch.setattr(report, "PLAIN_SECONDS", 0)
    monkeypatch.setattr(sys, "stderr", Broken(terminal))
    Broken.tries = 0
    words = Messages()
    with words.progress(3, "rows") as progress:
        for _ in range(3):
            progress.advance(1, "note")
            words.say("still here")
    assert sys.stderr is None
    assert Broken.tries == 1
    assert progress.done == 3
