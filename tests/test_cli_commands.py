"""The table of commands, walked: what every command must have."""

import ast
import re
from pathlib import Path

import click
import pytest

from featlearn import cli as package
from featlearn.cli import options
from featlearn.cli.main import COMMANDS, cli

PRINTING = {"help", "completion"}  # what they print is fixed: they read no file and compute nothing
SHOWN = {name: cli.get_command(None, name) for name in COMMANDS}
commands = pytest.mark.parametrize("command", SHOWN.values(), ids=SHOWN.keys())


def option_names(command):
    return {name for param in command.params if isinstance(param, click.Option) for name in param.opts}


@commands
def test_help_says_what_it_does_and_gives_an_example(command, run_here):
    text = run_here(command.name, "--help")
    assert text.code == 0
    assert text.out == run_here(command.name, "-h").out
    example = re.search(r"Examples?:\n((?:    .*\n)+)", text.out)
    assert example
    assert all(line.startswith(f"    featlearn {command.name} ") for line in example[1].splitlines())


@commands
def test_every_option_has_help(command):
    assert [
        param.name for param in command.params if isinstance(param, click.Option) and not param.help
    ] == []


@commands
def test_who_writes_can_be_forced(command):
    names = option_names(command)
    assert bool({"--output", "--plot"} & names) == ("--force" in names)


@pytest.mark.parametrize("command", [SHOWN[name] for name in COMMANDS if name not in PRINTING])
def test_every_command_has_json_quiet_and_threads(command):
    assert {"--json", "--quiet", "--threads"} <= option_names(command)


@commands
def test_a_shared_option_is_the_shared_one(command):
    """Two commands never spell or explain the same option in two ways."""
    shared = {}
    own = (options.force, options.seed, options.threads, options.max_memory, options.quiet, options.as_json)
    for decorate in own:
        param = click.command()(decorate(lambda **kwargs: None)).params[0]
        shared[param.opts[0]] = param
    for param in command.params:
        if param.opts[0] in shared:
            assert param.help == shared[param.opts[0]].help
            assert param.default == shared[param.opts[0]].default


@commands
def test_the_group_lists_its_first_sentence_or_a_shorter_one(command, run_here):
    assert COMMANDS[command.name].endswith(".")
    assert len(COMMANDS[command.name]) <= 60
    assert COMMANDS[command.name] in run_here("--help").out


def test_the_registry_of_shared_options_is_true():
    """options.py says which command uses which option."""
    uses = {}
    for line in options.__doc__.splitlines():
        found = re.fullmatch(r"    (\w+) +.*?(?:str|bool|int|Messages|Results|kernels'\)) +(.*)", line)
        if found:
            uses[found[1]] = found[2]
    assert set(uses) == {"output", "force", "seed", "threads", "quiet", "as_json"}
    for name, words in uses.items():
        opts = {"as_json": "--json"}.get(name, "--" + name.replace("_", "-"))
        if words == "wherever random numbers are drawn":  # jobs know that, not options
            continue
        found = {command for command in SHOWN if opts in option_names(SHOWN[command])}
        said = set(SHOWN) - PRINTING if words == "all" else set(words.split()) & set(SHOWN)
        if words in ("wherever there is an output", "wherever a file is written"):
            outputs = {"--output"} if name == "output" else {"--output", "--plot"}
            said = {command for command in SHOWN if outputs & option_names(SHOWN[command])}
        assert found == said, name


def test_every_command_is_a_module_of_its_own():
    folder = Path(package.__file__).parent
    for name in COMMANDS:
        tree = ast.parse((folder / f"{name.replace('-', '_')}.py").read_text("utf-8"))
        assert "command" in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
