"""Extreme values for every option: none is an internal error, a crash, or a wrong exit code."""

import random
import signal
from dataclasses import replace

import click

from featlearn.cli.main import cli
from featlearn.models import model_class
from helpers import SINGLE

POWERS = (31, 53, 63, 99)
NUMBERS = [
    *(str(sign * 2**n) for n in POWERS for sign in (1, -1)),
    *["-1", "0", "1", "1e-320", "1e300", "-1e308", "inf", "nan"],
]
TEXTS = [
    "",
    " ",
    "x",
    "9" * 5000,
    "\udcff\x1b",
    *["-", ".", "1,,2", "0,0", "1,0", "/dev/null", "photos", "p.h5", "m.h5", "none/x"],
]
DATA = {False: "p.h5", True: "labelled.h5"}  # by whether a model learns classes
CALLS = {  # a command line that works, to which the option is added
    "extract-patches": ["photos -o new.h5", "photos -o new.h5 --whiten zca", "dead-leaves -o new.h5"],
    "train": [f"{DATA[model_class(id).labelled]} --epochs 1 -o new.h5 --model {id}" for id in SINGLE],
    "check-gradients": [f"--model {id}" for id in SINGLE],
    "evaluate": ["m.h5 p.h5", "m.h5 p.h5 --likelihood ais --ais-betas 20"],
    "visualize": ["m.h5 -o new.png", "m.h5 -o new.png --data p.h5 --sort use"],
    "reconstruct": ["m.h5 p.h5 -o new.png", "m.h5 photos/0.png -o new.png"],
    "sample": ["m.h5 -o new.png"],
    "encode": ["m.h5 p.h5 -o new.h5"],
    "info": ["p.h5"],
}
ENDS = (0, 1, 2, 3, -signal.SIGALRM)


def options(args):
    """The options with values that a command line can have."""
    command = cli.get_command(click.Context(cli), args[0])
    with command.make_context(args[0], args[1:], resilient_parsing=True, **cli.context_settings) as ctx:
        return [p for p in command.get_params(ctx) if isinstance(p, click.Option) and not p.is_flag]


def trials():
    """All command lines with one extreme value, each once."""
    for name, calls in CALLS.items():
        for call in calls:
            args = [name, *call.split()]
            for option in options(args):
                values = NUMBERS if option.type.name.startswith(("integer", "float")) else TEXTS
                yield from ([*args, max(option.opts, key=len) + "=" + value] for value in values)


def test_no_value_of_an_option_is_an_internal_error(lab, cases, thorough, report):
    lines = list(trials())
    assert len(lines) > 1000
    bad, ends = [], {}
    for args in lines if thorough else random.Random(0).sample(lines, 12):
        ended = lab.run(replace(cases["info"], args=args), seconds=5, memory=4 << 30)
        ends[ended.code] = ends.get(ended.code, 0) + 1
        wrong = [word for word in ("Traceback", "internal error", "Exception ignored") if word in ended.err]
        if wrong or ended.code not in ENDS:
            bad.append((args, ended.code, ended.err))
            report(f"bad: {bad[-1]}")
    report(f"{len(lines)} command lines: {ends}, {len(bad)} bad")
    assert not bad, "\n".join(map(str, bad))
