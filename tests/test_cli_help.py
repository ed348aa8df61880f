"""Help pages: what stands first, what follows by group, and what a model's page names."""

import re

import click
import pytest

from featlearn.cli import help_page
from featlearn.cli.main import COMMANDS, cli
from featlearn.models import model_class

SHOWN = {name: cli.get_command(None, name) for name in COMMANDS}


def sections(page):
    """The titles of the groups of options, with the options of each."""
    found = {}
    for title, body in re.findall(r"^(\S.*):\n((?:  .*\n|\n)+)", page, re.MULTILINE):
        found[title] = re.findall(r"^  (?:-\w, )?(--?[\w-]+)", body, re.MULTILINE)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_begins_with_examples_and_the_options_most_used(name, run_here):
    command = SHOWN[name]
    page = run_here(name, "--help").out
    shown = sections(page)
    assert page.index("Examples:\n") < page.index(f"\n{next(iter(shown))}:\n")
    offered = {param.name: max(param.opts, key=len) for param in command.params}
    known = [offered[each] for each in command.most_used if each in offered]
    assert [each for each in shown.get(help_page.MOST_USED, ()) if each in known] == known
    assert not known or next(iter(shown)) == help_page.MOST_USED
    listed = [option for options in shown.values() for option in options]
    assert len(listed) == len(set(listed))


def test_the_page_of_a_model_has_its_options_before_those_of_the_training(run_here):
    shown = sections(run_here("train", "--model", "k-sparse", "--help").out)
    assert list(shown) == ["Most used", "Model k-sparse", "Training", "Output", "Other options", "Papers"]
    wanted = ["--model", "--hidden", "--epochs", "--lr", "--decay", "--output", "--seed"]
    assert shown["Most used"] == wanted
    assert "--k" in shown["Model k-sparse"]
    assert "--momentum" in shown["Training"]
    assert shown["Other options"][-1] == "--help"


@pytest.mark.parametrize("model", ["rbm", "k-sparse", "sesm"])
def test_the_page_of_a_model_names_its_papers(model, run_here):
    words = " ".join(run_here("train", "--model", model, "--help").out.split())
    assert all(paper.full in words for paper in model_class(model).papers)
    assert "Papers:" not in run_here("train", "--help").out


@pytest.mark.parametrize(("columns", "widest"), [(60, 58), (100, 98), (300, help_page.WIDEST - 2)])
def test_a_page_is_as_wide_as_the_terminal(columns, widest, run_here, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = run_here("train", "--model", "rbm", "--help").out.splitlines()
    prose = [line for line in lines if not line.startswith("    featlearn ") and " / " not in line]
    assert widest - 12 <= max(map(len, prose)) <= widest


def test_long_lists_of_choices_stand_in_the_help():
    ctx = click.Context(SHOWN["train"], info_name="train")
    (model,) = (param for param in SHOWN["train"].params if param.name == "model")
    head, words = model.get_help_record(ctx)
    assert head == "--model NAME"
    assert "One of autoencoder, dbn," in words
    assert words.endswith("[required]")
