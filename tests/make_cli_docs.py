"""Writes docs/cli.md from the commands' own help: python tests/make_cli_docs.py"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = """# The command line

Made from `featlearn --help` and its kin by `python tests/make_cli_docs.py`; the tests hold it to that.

Exit codes: 0 done, 1 the data or the run failed, 2 wrong usage or settings, 3 diverged, 129, 130 and 143
stopped by SIGHUP (the terminal was closed), SIGINT (Ctrl-C) and SIGTERM, 141 closed pipe (SIGPIPE). Results
go to stdout, words and progress to stderr. Words that cannot be printed change nothing; results that cannot
be printed end a command with 1 or 141, even where its output is complete.

Signals: the first SIGHUP, SIGINT or SIGTERM lets a command remove its temporary files, and `train` write its
checkpoint, before it ends by that signal; the second kills at once. A training that has done its last update
writes its output first. SIGUSR1 makes `train` write its checkpoint now and go on; at other times, and for the
other commands, it does nothing.

Every option can be set by an environment variable too: `--lr` of `train` by `FEATLEARN_TRAIN_LR`.
`FEATLEARN_ISA` forces an instruction set (avx512, avx2, plain).

Completion in bash: `eval "$(_FEATLEARN_COMPLETE=bash_source featlearn)"`, likewise for zsh and fish.
"""


def page() -> str:
    """The whole page, in the widths of an 80-column terminal."""
    from featlearn.cli.main import COMMANDS
    from featlearn.models import model_ids

    calls = [[], *([name] for name in COMMANDS)]
    calls += [["train", "--model", id] for id in model_ids()]
    return HEAD + "".join(section(call) for call in calls)


def section(call: list[str]) -> str:
    from click.testing import CliRunner

    from featlearn.cli.main import cli

    result = CliRunner().invoke(cli, [*call, "--help"], prog_name="featlearn", terminal_width=80)
    assert result.exit_code == 0, result.output
    title = " ".join(["featlearn", *call])
    return f"\n## {title}\n\n```\n{result.output.rstrip()}\n```\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    (ROOT / "docs" / "cli.md").write_text(page(), "utf-8")
