"""Commands that print words: help, completion, cite, and info --methods."""

import json
import shutil
import subprocess

import pytest

from featlearn.models import model_class


@pytest.mark.parametrize("args", [(), ("train",), ("train", "--model", "rbm"), ("extract-patches",)])
def test_help_shows_what_the_option_does(args, run_here):
    ran = run_here("help", *args)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == run_here(*args, "--help").out


def test_help_of_no_command_is_refused(run_here):
    ran = run_here("help", "trian")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "featlearn: error: trian: no such command; did you mean train?\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_of_the_shell(shell, run_here):
    ran = run_here("completion", shell)
    assert (ran.code, ran.err) == (0, "")
    assert f"_FEATLEARN_COMPLETE={shell}_complete" in ran.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=ran.out.encode(), check=True)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("featlearn tr", {"train"}),
        ("featlearn train --model k-", {"k-means", "k-sparse"}),
        ("featlearn train --model k-sparse --k-", {"--k-start", "--k-ramp"}),
        ("featlearn train --model nonsense --lr", {"--lr", "--lr-schedule"}),
        ("featlearn completion ", {"bash", "zsh", "fish"}),
    ],
)
def test_a_shell_is_told_what_may_follow(words, wanted, start, tmp_path):
    """As bash asks for it."""
    env = {
        "_FEATLEARN_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    process = start(cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate()
    assert err == b""
    assert {line.partition(",")[2] for line in out.decode().split()} == wanted


def test_cite_names_each_paper_of_the_models_once(work, run_here):
    ran = run_here("cite", work.model, work.model)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "\n\n".join(paper.bibtex for paper in model_class("rbm").papers) + "\n"
    papers = json.loads(run_here("cite", work.model, "--json").out)["papers"]
    assert [paper["key"] for paper in papers] == [paper.key for paper in model_class("rbm").papers]


def test_cite_wants_a_model(work, run_here):
    ran = run_here("cite", work.patches)
    assert (ran.code, ran.out) == (1, "")
    assert "is a featlearn data set, wanted a model" in ran.err


def test_info_prints_the_paragraph_of_a_methods_section_alone(work, run_here):
    ran = run_here("info", work.model, "--methods")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Features were learned with featlearn ")
    assert len(ran.out.splitlines()) == 1
    assert json.loads(run_here("info", work.model, "--methods", "--json").out) == {
        "methods": ran.out.rstrip("\n")
    }


@pytest.mark.parametrize("other", [("--get", "config.hidden"), ("--history", "csv")])
def test_methods_stand_alone(other, work, run_here):
    ran = run_here("info", work.model, "--methods", *other)
    assert (ran.code, ran.out) == (2, "")
    assert f"does nothing with {'--methods' if other[0] == '--get' else '--history'}" in ran.err
