"""Signals at any moment: every command ends by them or finishes, its files whole, with no traceback."""

import random
import signal
import time

import pytest

MOMENTS = 200
FILES = "write,fsync,rename,create,open,opendir,close,lock,unlink,read"
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def test_a_signal_at_an_operation_on_files(lab, cases, command, thorough, report):
    case, undisturbed = lab.whole(cases[command])
    n, bad, stopped = len(undisturbed.operations), [], 0
    trials = [(at, number) for at in range(n) for number in STOPS]
    for at, number in trials if thorough else random.Random(command).sample(trials, 3):
        ended = lab.run(case, FILES, at, signum=number)
        stopped += ended.code != 0
        if wrong := ended.wrong((0, -number)):
            bad.append((at, undisturbed.operations[at], number.name, wrong))
    report(f"{command}: a signal at {len(trials)} operations, {stopped} stopped by it, {len(bad)} bad")
    assert not bad, "\n".join(map(str, bad))


@pytest.mark.parametrize("command", ["train", "encode", "info"])
def test_sigusr1_at_an_operation_on_files_kills_no_command(lab, cases, command, thorough):
    case, undisturbed = lab.whole(cases[command])
    n = len(undisturbed.operations)
    for at in range(n) if thorough else (0, n // 2, n - 1):
        ended = lab.run(case, FILES, at, signum=signal.SIGUSR1)
        assert not ended.wrong((0,))


def test_sigterm_at_moments_from_the_start_of_the_process(lab, cases, thorough, report):
    """With --thorough at 200 moments of each command."""
    for name in cases if thorough else ("train",):
        case, _ = lab.whole(cases[name])
        began = time.monotonic()
        ended = lab.run_alone(case)
        seconds = time.monotonic() - began
        assert not ended.wrong((0,))
        codes = []
        for i in range(MOMENTS if thorough else 2):
            ended = lab.run_alone(case, seconds * random.Random(i).random())
            assert not ended.wrong((0, -signal.SIGTERM)), (name, i)
            codes.append(ended.code)
        report(
            f"{name} ({seconds:.2f} s): {len(codes)} moments, {codes.count(0)} finished, the others stopped"
        )
