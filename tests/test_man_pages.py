"""Man pages: one for each command, with all that its help page says, as plain roff."""

import re
import runpy
from pathlib import Path

import click
import pytest

from featlearn.cli.main import COMMANDS, cli
from featlearn.models import model_class

ROOT = Path(__file__).parents[1]
MACROS = {"TH", "SH", "SS", "PP", "TP", "B", "BR", "nf", "fi"}


@pytest.fixture(scope="module")
def pages():
    """Those of the help pages as they are now, by the names of their files."""
    text = runpy.run_path(str(ROOT / "tests" / "make_cli_docs.py"))["page"]()
    return runpy.run_path(str(ROOT / "man_pages.py"))["pages"](text, "1.2.3", "2001-02-03")


def read(page):
    """A page as one reads it: its words without roff's, on one line."""
    text = re.sub(r"^\.\w+ ?", "", page, flags=re.MULTILINE).replace("\\&", "").replace("\\-", "-")
    return " ".join(text.replace("\\(aq", "'").replace("\\(ga", "`").replace("\\e", "\\").split())


def test_every_command_has_a_page(pages):
    assert set(pages) == {"featlearn.1", *(f"featlearn-{name}.1" for name in COMMANDS)}
    assert pages["featlearn-train.1"].startswith('.TH FEATLEARN\\-TRAIN 1 "2001-02-03" "featlearn 1.2.3"')


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_holds_examples_and_all_options_with_their_help(name, pages):
    command = cli.get_command(click.Context(cli), name)
    page = pages[f"featlearn-{name}.1"]
    said = read(page)
    assert f"featlearn-{name} - " in said
    assert re.search(r"^\.SH EXAMPLES\n\.nf\nfeatlearn ", page, re.MULTILINE)
    heads = re.findall(r"^\.TP\n\.B (.*)$", page.replace("\\-", "-"), re.MULTILINE)
    for param in command.params:
        if isinstance(param, click.Option):
            assert [head for head in heads if max(param.opts, key=len) in head.split()], param.name
            assert " ".join(param.help.split()) in said, param.name


def test_the_page_of_train_has_the_options_and_papers_of_each_model(pages):
    said = read(pages["featlearn-train.1"])
    for id in ("rbm", "k-sparse", "sesm"):
        assert f"Options of --model {id}" in said
        assert all(paper.full in said for paper in model_class(id).papers)
    assert "--k-start N" in said


def test_pages_are_plain_roff(pages):
    """A line that begins with a full stop is a request, and a bare hyphen is not that of the keyboard."""
    for page in pages.values():
        for line in page.splitlines()[1:]:
            if line.startswith("."):
                assert line[1:].split()[0] in MACROS
            assert not re.search(r"(?<!\\)-", line), line


def test_words_that_were_parted_at_the_end_of_a_line_are_whole(pages):
    for page in pages.values():
        assert not re.search(r"\w- \w", read(page))


def test_the_folder_gets_them_dated(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "981173106")
    written = runpy.run_path(str(ROOT / "man_pages.py"))["write"](str(tmp_path / "man"))
    first = Path(written[0]).read_text("utf-8")
    assert first.startswith('.TH FEATLEARN 1 "2001-02-03" "featlearn ')
