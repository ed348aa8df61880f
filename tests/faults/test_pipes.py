"""Standard streams that are full, closed or read by nobody: words are no results; results that are lost are
told."""

from dataclasses import replace

import pytest

FULL = "/dev/full"
NO_ROOM = "featlearn: error: standard output: No space left on device\n"
ENDS = [  # a command line, its standard streams, exit code, stderr
    ("info p.h5", {"stdout": FULL}, 1, NO_ROOM),
    ("info p.h5 --json", {"stdout": FULL}, 1, NO_ROOM),
    ("info p.h5", {"stdout": "pipe"}, 141, ""),
    ("info p.h5", {"stdout": None}, 0, ""),
    ("info p.h5", {"stdout": FULL, "stderr": FULL}, 1, ""),
    ("info p.h5", {"stdout": None, "stderr": None, "stdin": None}, 0, ""),
    ("--help", {"stdout": "pipe"}, 141, ""),
    ("info missing.h5", {"stderr": FULL}, 1, ""),
    ("info missing.h5", {"stderr": "pipe"}, 1, ""),
    ("info missing.h5", {"stderr": None}, 1, ""),
    ("info missing.h5 --json", {"stdout": FULL}, 1, "featlearn: error: missing.h5: no such file or folder\n"),
    ("info --nonsense", {"stderr": FULL}, 2, ""),
    ("visualize m.h5 -o - -q", {"stdout": "pipe"}, 141, ""),
    ("visualize m.h5 -o - -q", {"stdout": None}, 1,
     "featlearn: error: standard output: is closed; name a file\n"),
    ("visualize m.h5 -o - -q", {"stdout": FULL}, 1, NO_ROOM.replace("No", "cannot be written: No")),
    ("extract-patches --files-from - -o x.h5", {"stdin": None}, 1,
     "featlearn: error: --files-from -: standard input is closed; name a file\n"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "streams", "code", "words"), ENDS)
def test_a_broken_stream(line, streams, code, words, lab, cases):
    ended = lab.run(replace(cases["info"], args=line.split()), **streams)
    assert (ended.code, ended.err) == (code, words)
    assert not ended.wrong((code,), told=False)


@pytest.mark.parametrize("stderr", [FULL, "pipe", None])
def test_words_that_are_lost_do_not_end_a_command(lab, cases, command, stderr):
    case, _ = lab.whole(cases[command])
    ended = lab.run(case, stderr=stderr)
    assert not ended.wrong((0,))
    assert ended.out


def test_an_error_is_told_as_json_where_stderr_fails(lab, cases):
    ended = lab.run(replace(cases["info"], args=["info", "missing.h5", "--json"]), stderr=FULL)
    assert ended.out == '{"error": "missing.h5: no such file or folder", "exit_code": 1}\n'


def test_only_results_that_are_lost_end_a_command_that_has_written_its_output(lab, cases):
    case, _ = lab.whole(cases["encode"])
    for stdout, code in ((FULL, 1), ("pipe", 141), (None, 0)):
        assert not lab.run(case, stdout=stdout).wrong((code,))
