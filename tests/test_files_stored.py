"""Arrays left in a file: read as numpy reads them, held against the sums of a verified file; the memory
limit."""

import hashlib
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from featlearn.errors import DataError, ReadError
from featlearn.files import budget, stored
from featlearn.files.budget import FLOOR, RATIO, Budget, process_memory, set_max_memory
from featlearn.files.stored import Descriptor, Stored, pieces, verify

HEAD, GAP = 512, 77


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(stored, "BLOCK", 1000)
    monkeypatch.setattr(stored, "_PIECE", 3000)


def make(path, arrays):
    """A file of a head, arrays with gaps before them, and a tail; the arrays in it, its size and digest."""
    rng = np.random.default_rng(0)
    data, offsets = rng.bytes(HEAD), []
    for array in arrays:
        data += rng.bytes(GAP)
        offsets.append(len(data))
        data += array.tobytes()
    data += rng.bytes(5000)
    path.write_bytes(data)
    file = Descriptor(str(path), os.open(path, os.O_RDONLY))
    found = [Stored(file, at, a.shape, a.dtype, 4000) for at, a in zip(offsets, arrays, strict=True)]
    return file, found, len(data), hashlib.sha256(data[HEAD:]).hexdigest()


def rows(dtype, n=301, d=13):
    return np.random.default_rng(1).integers(0, 99, (n, d)).astype(dtype)


@pytest.mark.parametrize("verified", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">f4", "f8"])
def test_it_reads_as_numpy_does(tmp_path, dtype, verified):
    wanted = rows(dtype)
    file, (array,), size, digest = make(tmp_path / "x", [wanted])
    if verified:
        assert verify(file, HEAD, size, digest, [array])
    assert (len(array), array.ndim, array.shape, array.nbytes) == (301, 2, (301, 13), wanted.nbytes)
    assert array.dtype.isnative
    for key in (
        slice(0, 301),
        slice(5, 5),
        slice(7, 8),
        slice(70, 290),
        slice(None),
        slice(-3, None),
        0,
        -1,
        300,
    ):
        np.testing.assert_array_equal(array[key], wanted[key])
        assert array[key].dtype == wanted.dtype.newbyteorder("=")
    for index in (
        np.array([3, 300, 3, 0]),
        np.array([], np.int64),
        np.random.default_rng(2).permutation(301),
    ):
        np.testing.assert_array_equal(array[index], wanted[index])
    np.testing.assert_array_equal(np.asarray(array), wanted)
    np.testing.assert_array_equal(np.concatenate([part for _, part in pieces(array, 500)]), wanted)
    array[:3][:] = 0  # the caller's own
    np.testing.assert_array_equal(array[:3], wanted[:3])
    for key in (301, -302):
        with pytest.raises(IndexError):
            array[key]


def test_any_flipped_bit_of_the_file_is_found(tmp_path):
    path = tmp_path / "x"
    file, arrays, size, digest = make(path, [rows("u1", 50), rows("f4", 40)])
    assert verify(file, HEAD, size, digest, arrays)
    whole = path.read_bytes()
    for bit in np.random.default_rng(0).integers(HEAD * 8, size * 8, 300).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert not verify(file, HEAD, size, digest, arrays)


def test_what_changes_after_it_was_verified_is_found(tmp_path):
    """Through every way of reading: whole blocks, parts of blocks, single rows."""
    path, wanted = tmp_path / "x", rows("u1", 3000)
    file, (array,), size, digest = make(path, [wanted])
    assert verify(file, HEAD, size, digest, [array])
    damaged = bytearray(path.read_bytes())
    damaged[array.offset + 2000 * 13 + 5] ^= 1
    path.write_bytes(damaged)
    np.testing.assert_array_equal(array[:1900], wanted[:1900])
    for key in (slice(None), slice(1999, 2001), 2000, np.array([4, 2000])):
        with pytest.raises(
            ReadError, match=r"x: has changed while it was read; use a copy that stays as it is"
        ):
            array[key]
    with open(path, "r+b") as raw:
        raw.truncate(array.offset + 100)
    with pytest.raises(ReadError, match="has become shorter while it was read"):
        array[2500:]


def test_arrays_in_the_same_place_are_refused(tmp_path):
    file, (array,), size, digest = make(tmp_path / "x", [rows("u1")])
    other = Stored(file, array.offset + 10, (5, 5), "u1")
    with pytest.raises(DataError, match="two of its arrays lie in the same place"):
        verify(file, HEAD, size, digest, [array, other])


def test_blocks_that_are_kept_are_bounded(tmp_path, monkeypatch):
    wanted = rows("u1", 5000)
    file, (array,), size, digest = make(tmp_path / "x", [wanted])
    assert verify(file, HEAD, size, digest, [array])
    index = np.random.default_rng(3).permutation(5000)
    np.testing.assert_array_equal(array[index], wanted[index])
    assert sum(block.nbytes for block in array._kept.values()) <= 4000
    reads = []
    read = Descriptor.read_into
    monkeypatch.setattr(Descriptor, "read_into", lambda *args: (reads.append(1), read(*args)))
    first = array[np.array([1, 40, 2, 45, 3])]
    assert len(reads) == 1  # one block holds them all
    np.testing.assert_array_equal(first, wanted[[1, 40, 2, 45, 3]])


def test_the_descriptor_is_closed_with_the_last_array(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    file, arrays, *_ = make(tmp_path / "x", [rows("u1")])
    del file
    assert len(os.listdir("/proc/self/fd")) == before + 1
    arrays.clear()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def _default_limit():
    yield
    set_max_memory(None)


@pytest.mark.usefixtures("_default_limit")
def test_the_limit_follows_the_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(range(256)) * 1000)
    Budget(str(path)).claim(FLOOR)
    shared = Budget(str(path))
    shared.claim(FLOOR // 2)
    with pytest.raises(
        DataError, match=r"x: the rest would take 268 MB of memory, 268 MB are allowed; .* 269MB"
    ):
        shared.claim(FLOOR // 2 + 1, "the rest")
    set_max_memory(1000)
    with pytest.raises(DataError, match="--max-memory 1MB"):
        Budget(str(path)).claim(1001)
    set_max_memory(10 * FLOOR)
    Budget(str(path)).claim(10 * FLOOR)


@pytest.mark.parametrize(
    ("data", "hole", "counted"), [(0, 1 << 40, 0), (6 << 20, 1 << 40, 6 << 20), (6 << 20, 0, 6 << 20)]
)
def test_holes_do_not_count(tmp_path, data, hole, counted):
    with open(tmp_path / "x", "wb") as file:
        file.truncate(hole + data)
        file.seek(hole)
        file.write(os.urandom(data))
    assert Budget(str(tmp_path / "x")).limit == min(process_memory() // 2, max(FLOOR, RATIO * counted))


def test_the_memory_of_a_process_is_what_ulimit_leaves(monkeypatch):
    program = "from featlearn.files.budget import process_memory; print(process_memory())"
    limit = 4 << 30
    ran = subprocess.run(
        [sys.executable, "-c", program],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(ran.stdout) <= limit
    monkeypatch.setattr(
        budget.cgroup, "settings", lambda name: ["max", "12345"] if name == "memory.max" else []
    )
    assert process_memory() == 12345
