"""Writes docs/cli.md from the commands' own help: python tests/make_cli_docs.py"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = """# The command line

Made from `featlearn --help` and its kin by `python tests/make_cli_docs.py`; the tests hold it to that.

Exit codes: 0 done, 1 the data or the run failed, 2 usage error or wrong settings, 3 diverged, 129, 130
and 143 stopped by SIGHUP (the terminal was closed), SIGINT (Ctrl-C) and SIGTERM, 141 closed pipe (SIGPIPE).
Results go to stdout, words and progress to stderr. Words that cannot be printed change nothing; results that
cannot be printed end a command with 1 or 141, even where its output is complete.

Signals: the first SIGHUP, SIGINT or SIGTERM lets a command remove its temporary files, and `train` write its
checkpoint, before it ends by that signal; the second kills at once. A training that has done its last update
writes its output first. SIGUSR1 makes `train` write its checkpoint now and go on; at other times, and for the
other commands, it does nothing.

Every option can be set by an environment variable too: `--lr` of `train` by `FEATLEARN_TRAIN_LR`.
`FEATLEARN_ISA` forces an instruction set (avx512, avx2, plain).

In a Makefile, and wherever a command may be stopped and repeated, `--resume --force` is the safe pair: a
finished model of the same settings, seed and data is left as it is, an unfinished run of the same goes on,
and anything else is trained anew.

    model.h5: patches.h5
        featlearn train patches.h5 --model rbm --lr 0.05 -o model.h5 --resume --force

Where the default learning rate of `train` diverges in the first epoch, the first tenth of the run or the
first hundred updates, it is halved and the run begins again from the start, at most twice; the report says
how often (`restarts`) and the rate (`lr`). The model is that of `--lr` with the last rate. A rate that was
given is never changed, and `--no-retry` keeps the default.

Completion in bash: `eval "$(featlearn completion bash)"` in ~/.bashrc, likewise for zsh and fish.
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
