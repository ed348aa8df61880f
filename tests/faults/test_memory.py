"""Too little memory at any size of it: one line, no file left, and no output that is not whole."""

import resource

SIZES = range(60, 820, 20)
"""Limits of the address space, in MB."""


def test_a_limited_address_space(lab, cases, thorough, report):
    """With --thorough for every command and size."""
    for name in cases if thorough else ("encode",):
        case, _ = lab.whole(cases[name])
        ends, bad = {}, []
        for size in SIZES if thorough else (200, 400):
            limit = (size << 20, size << 20)
            ended = lab.run_alone(
                case, preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_AS, limit)
            )
            wrong = ended.wrong()
            ends.setdefault(f"{ended.code}: {(ended.err.splitlines() or [''])[-1][:90]}", []).append(size)
            if wrong:
                bad.append((size, wrong))
        report(f"{name}: {ends}")
        assert not bad, "\n".join(map(str, bad))
