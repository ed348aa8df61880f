"""How many threads to use: no more than this process may run on."""

import math
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from featlearn import cgroup, ranks


def default_threads() -> int:
    """Return OMP_NUM_THREADS, or else the cores of the affinity mask within the cgroup's quota (>= 1).

    Ranks of a run that may use the same cores share them out.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdecimal() and int(wanted) >= 1:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cgroup_quota()
    allowed = cores if quota is None else min(cores, math.ceil(quota))
    return max(1, allowed // ranks.neighbours)


def cgroup_quota(root: Path = cgroup.ROOT, membership: Path = cgroup.MEMBERSHIP) -> float | None:
    """Return the cores that a container's cgroup (version 2, else 1) allows; None without a limit."""
    quotas = [_cpu_max(text) for text in cgroup.settings("cpu.max", root, membership)]
    quotas.append(_cfs(root / "cpu"))
    known = [quota for quota in quotas if quota is not None]
    return min(known) if known else None


def _cpu_max(text: str) -> float | None:
    """'200000 100000' is two cores, 'max 100000' is no limit."""
    words = text.split()
    return _ratio(words[0], words[1]) if len(words) == 2 else None


def _cfs(folder: Path) -> float | None:
    quota, period = (cgroup.read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    return _ratio(quota, period)


def _ratio(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0):
        return None
    return int(quota) / int(period)


def one_blas_thread() -> AbstractContextManager[Any]:
    """A context in which numpy's BLAS and LAPACK use one thread.

    Their sums then do not depend on cores, and they starve no kernel.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits


def use_threads(n: int | None) -> None:
    """Let the kernels use `n` threads, or as many as this process has."""
    from featlearn import _core

    _core.set_threads(default_threads() if n is None else n)
