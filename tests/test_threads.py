"""How many threads: OMP_NUM_THREADS, the affinity mask, the quota of a container."""

import os

import pytest

from featlearn import _core, threads
from featlearn.threads import cgroup_quota, default_threads, use_threads


@pytest.fixture
def machine(monkeypatch):
    """Sets what the machine allows."""

    def install(cores, quota, wanted=None):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if wanted is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", wanted)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
        monkeypatch.setattr(threads, "cgroup_quota", lambda: quota)

    return install


@pytest.mark.parametrize(
    ("cores", "quota", "wanted", "found"),
    [
        (8, None, None, 8),
        (8, 2.0, None, 2),
        (8, 1.5, None, 2),
        (8, 0.1, None, 1),
        (2, 16.0, None, 2),
        (8, 2.0, "3", 3),
        (8, None, "4,2", 4),
        (8, None, "0", 8),
        (8, None, "many", 8),
    ],
)
def test_default(cores, quota, wanted, found, machine):
    machine(cores, quota, wanted)
    assert default_threads() == found


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_quota_of_version_2_is_the_smallest_on_the_way_up(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    write(membership, "0::/a/b\n")
    assert cgroup_quota(root, membership) is None
    write(root / "a/b/cpu.max", "max 100000\n")
    assert cgroup_quota(root, membership) is None
    write(root / "a/cpu.max", "250000 100000\n")
    assert cgroup_quota(root, membership) == 2.5
    write(root / "cpu.max", "100000 100000\n")
    assert cgroup_quota(root, membership) == 1.0


@pytest.mark.parametrize(("quota", "found"), [("-1", None), ("300000", 3.0), ("", None)])
def test_quota_of_version_1(quota, found, tmp_path):
    write(tmp_path / "cpu/cpu.cfs_quota_us", quota)
    write(tmp_path / "cpu/cpu.cfs_period_us", "100000\n")
    assert cgroup_quota(tmp_path, tmp_path / "none") == found


def test_use_threads_tells_the_kernels():
    before = _core.get_threads()
    try:
        use_threads(1)
        assert _core.get_threads() == 1
        use_threads(None)
        assert _core.get_threads() == (default_threads() if _core.has_threads() else 1)
    finally:
        _core.set_threads(before)
