"""Small files that unpack to gigabytes, each given to the command that reads it: refused in little memory.

    python tests/faults/test_bombs.py       a table: bytes on disk, seconds, peak memory above the tool's own

Each is made here, sparse or by packing zeros. Seconds are printed and not tested.
"""

import gzip
import os
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from featlearn.files import header
from featlearn.files.model import ModelFile, write_model

BIG = 600 << 20
"""Bytes that most of them unpack to; more would only take longer to make."""
ALLOWED = 300 << 20
ZEROS = bytes(1 << 20)


def zeros(n: int = BIG) -> Iterator[bytes]:
    for _ in range(n >> 20):
        yield ZEROS


def npy_header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


def npz(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        member.write(npy_header((BIG >> 20, 1024, 1024)))
        for part in zeros():
            member.write(part)


def many_npz(path: Path) -> None:
    """Each member is within the limit, all together are not."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(6):
            with archive.open(f"x{i}.npy", "w") as member:
                member.write(npy_header((100, 1024, 1024)))
                for part in zeros(100 << 20):
                    member.write(part)


def idx_gz(path: Path) -> None:
    with gzip.open(path, "wb", 9) as file:
        file.write(struct.pack(">4I", 2051, BIG >> 20, 1024, 1024))
        for part in zeros():
            file.write(part)


def csv_gz(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        for _ in range(400):
            file.write(b"0," * (1 << 19) + b"0\n")


def csv_line(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        for _ in zeros():
            file.write(b"0," * (1 << 19))


def mat(path: Path, n: int, kind: int) -> None:
    """A matrix of n bytes, declared to be of a class."""

    def element(code: int, data: bytes) -> bytes:
        return struct.pack("<2I", code, len(data)) + data + bytes(-len(data) % 8)

    head = (
        element(6, struct.pack("<2I", kind, 0))
        + element(5, struct.pack("<2i", 1024, n >> 10))
        + element(1, b"x")
    )
    packed = zlib.compressobj(9)
    body = [packed.compress(struct.pack("<2I", 14, len(head) + 8 + n) + head + struct.pack("<2I", 2, n))]
    body += [packed.compress(part) for part in zeros(n)]
    body.append(packed.flush())
    data = b"".join(body)
    start = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    path.write_bytes(start + struct.pack("<2I", 15, len(data)) + data)


def chunked(file: h5py.File, key: str, shape: tuple[int, int], kind: h5t.TypeID) -> None:
    """A data set whose chunks are one and the same packed block of zeros."""
    dcpl = h5p.create(h5p.DATASET_CREATE)
    step = (1 << 24) // (shape[1] * kind.get_size())
    dcpl.set_chunk((step, shape[1]))
    dcpl.set_deflate(9)
    made = h5d.create(file.id, key.encode(), kind, h5s.create_simple(shape), dcpl)
    packed = zlib.compress(bytes(1 << 24), 9)
    for start in range(0, shape[0], step):
        made.write_direct_chunk((start, 0), packed)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        chunked(file, "x", (BIG >> 10, 1024), h5t.NATIVE_UINT8)


def data_set(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file.attrs.update(
            {"format": np.bytes_("featlearn-dataset"), "format_version": 1, "shape": [32, 32, 1]}
        )
        chunked(file, "patches", (BIG >> 10, 1024), h5t.STD_U8LE)
    with open(path, "r+b") as raw:
        raw.write(header.make(header.DATASET, "0" * 64))


def data_set_of_holes(path: Path, n: int, pixels: int) -> None:
    dcpl = h5p.create(h5p.DATASET_CREATE)
    dcpl.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    dcpl.set_fill_time(h5d.FILL_TIME_NEVER)
    with h5py.File(path, "w", userblock_size=512) as file:
        file.attrs.update(
            {"format": np.bytes_("featlearn-dataset"), "format_version": 1, "shape": [1, pixels, 1]}
        )
        h5d.create(file.id, b"patches", h5t.STD_U8LE, h5s.create_simple((n, pixels)), dcpl)
        h5d.create(file.id, b"labels", h5t.STD_I64LE, h5s.create_simple((n,)), dcpl)
    with open(path, "r+b") as raw:
        raw.write(header.make(header.DATASET, "0" * 64))


def model_with_a_hole(path: Path) -> None:
    params = {"W": np.zeros((4, 3), np.float32), "b": np.zeros(4, np.float32)}
    write_model(str(path), ModelFile("rbm", {}, {}, 1, (2, 2, 1), params))
    os.truncate(path, 3 << 30)


def one_image(path: Path) -> None:
    path.write_bytes(npy_header((1, 1 << 17, 1 << 17)))
    os.truncate(path, 128 + (1 << 34))


BOMBS: dict[str, Callable[[Path], None]] = {
    "x.npz": npz,
    "many.npz": many_npz,
    "x.gz": idx_gz,
    "x.csv.gz": csv_gz,
    "line.csv.gz": csv_line,
    "x.mat": lambda path: mat(path, BIG, 9),
    "wide.mat": lambda path: mat(path, 128 << 20, 6),
    "x.h5": hdf5,
    "dataset.h5": data_set,
    "labels.h5": lambda path: data_set_of_holes(path, BIG >> 3, 1),
    "patch.h5": lambda path: data_set_of_holes(path, 1, BIG),
    "model.h5": model_with_a_hole,
    "x.npy": one_image,
}


def run(path: Path, *more: str) -> tuple[int, str, float, int]:
    """(exit code, stderr, seconds, peak resident bytes) of the command that reads a file."""
    drawn = ("visualize", path, "-o", path.with_suffix(".png"), "--force")
    reads = {"model.h5": ("info", path), **dict.fromkeys(("dataset.h5", "labels.h5", "patch.h5"), drawn)}
    args = reads.get(
        path.name, ("extract-patches", path, "-o", path.with_name("out.h5"), "--force", "--color", "gray")
    )
    with tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        words = [sys.executable, "-m", "featlearn", *map(str, args), *more]
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        return child.returncode, err.read().decode(), time.perf_counter() - started, usage.ru_maxrss << 10


def tools_own(folder: Path) -> int:
    """Peak bytes of a small honest run of all that the bombs use."""
    np.save(folder / "small.npy", np.random.default_rng(0).integers(0, 256, (50, 8, 8), np.uint8))
    code, err, _, peak = run(folder / "small.npy", "--size", "whole", "-q")
    if code:
        raise RuntimeError(err)
    return peak


@pytest.fixture(scope="module", name="own")
def _own(tmp_path_factory):
    return tools_own(tmp_path_factory.mktemp("own"))


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_memory(tmp_path, own, name):
    BOMBS[name](tmp_path / name)
    code, err, _, peak = run(tmp_path / name)
    assert code == 1, err
    (line,) = err.splitlines()
    assert line.startswith(f"featlearn: error: {tmp_path / name}: ")
    assert "; if you trust it, give --max-memory" in line or "longer than 16 MiB" in line
    assert peak - own <= ALLOWED


def main() -> int:
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        own = tools_own(Path(folder))
        print(f"the tool's own peak: {own / 1e6:.0f} MB")
        for name, make in BOMBS.items():
            path = Path(folder, name)
            make(path)
            code, err, seconds, peak = run(path)
            size = os.stat(path).st_blocks * 512
            above = (peak - own) / 1e6
            print(
                f"{name:12} {size:10,} bytes on disk  exit {code}  {seconds:5.2f} s  "
                f"{above:+7.0f} MB  {err.strip()}"
            )
            bad += code != 1 or peak - own > ALLOWED
            path.unlink()
    return bad


if __name__ == "__main__":
    sys.exit(main())
