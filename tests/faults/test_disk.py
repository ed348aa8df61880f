"""A disk that fails at any operation: nothing lost, nothing left, one line, and an exit code that tells the
truth."""

import errno
import itertools
import re

import pytest

WRITING = "write,fsync,rename,create,opendir,close,lock,unlink"
READING = "open,read"
SHORT = -1  # half of what is to be written or read is
FAULTS = tuple(itertools.product((errno.ENOSPC, errno.EIO, SHORT), (False, True)))
"""(errno, whether all further operations of that kind fail too)"""


def chosen(struck, thorough, deal):
    """(operation, errno, sticky): each with every fault; or the last ones of some kinds, dealt out to the
    commands."""
    if thorough:
        return [(at, *fault) for at in range(len(struck)) for fault in FAULTS]
    last = sorted({kind: at for at, kind in enumerate(struck)}.items())
    return [(at, *FAULTS[(deal + at) % 4]) for _, at in last[deal % 4 :: 4] or last[:1]]


@pytest.mark.parametrize("kinds", [WRITING, READING])
def test_operations_fail(lab, cases, command, kinds, thorough, report):
    case, undisturbed = lab.whole(cases[command])
    struck = [kind for kind, _ in undisturbed.operations if kind in kinds.split(",")]
    assert struck
    bad, tried, failed = [], 0, 0
    for at, number, sticky in chosen(struck, thorough, list(cases).index(command)):
        ended = lab.run(case, kinds, at, number, sticky)
        tried, failed = tried + 1, failed + bool(ended.code)
        # A removal that fails leaves what it was to remove, for the next run.
        if wrong := ended.wrong(removed=struck[at] != "unlink"):
            bad.append((at, struck[at], number, sticky, wrong))
        elif "standard output" in ended.err:
            bad.append((at, struck[at], number, sticky, ended.err))
        elif ended.code and (wrong := lab.run(case, folder=ended.folder).wrong((0,))):
            bad.append((at, struck[at], number, sticky, "the run after it", wrong))
    report(f"{command}, {kinds}: {tried} faults, {failed} failed runs, {len(bad)} bad")
    assert not bad, "\n".join(map(str, bad))


def test_an_output_is_written_synced_renamed_and_its_folder_synced(lab, cases, command):
    """In this order: what a power cut leaves under the final name is then the old file or the new one."""
    case, ended = lab.whole(cases[command])
    target, folder = f"{ended.folder}/{case.output}", str(ended.folder)
    pattern = re.escape(target) + r"\.tmp-[0-9a-f]{8}"
    seen = [(kind, "temporary" if re.fullmatch(pattern, path) else path) for kind, path in ended.operations]
    kinds, places = ("write", "fsync", "rename", "opendir"), ("temporary", target, folder)
    steps = [(kind, path) for kind, path in seen if kind in kinds and path in places]
    at = steps.index(("rename", target))
    assert set(steps[: at - 1]) - {("fsync", folder), ("opendir", folder)} == {("write", "temporary")}
    assert steps[at - 1] == ("fsync", "temporary")
    assert steps[at + 1 : at + 3] == [("opendir", folder), ("fsync", folder)]
    assert ("write", "temporary") not in steps[at:]
