"""Arrays in all containers by one rule: (n, d) is n rows, (n, h, w) and (n, h, w, 3) are n images."""

import gzip
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

import featlearn
from featlearn.errors import DataError, ReadError
from featlearn.files.sources import open_sources

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(9, 7)).astype(np.float32)
STACK = RNG.integers(0, 256, (5, 4, 6), np.uint8)
COLOUR = RNG.integers(0, 256, (3, 4, 6, 3), np.uint8)


def matlab(array):
    """As MATLAB would hold it: the last axis counts images, rows are rows."""
    return array if array.ndim == 2 else np.moveaxis(array, 0, -1)


def save_mat73(path, arrays):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = matlab(array).T
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")


def save_hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def save_fortran(path, arrays):
    (array,) = arrays.values()
    np.save(path, np.asfortranarray(array))


def save_npy(path, arrays):
    (array,) = arrays.values()
    np.save(path, array)


def save_csv(path, arrays):
    (array,) = arrays.values()
    np.savetxt(path, array, delimiter=",")


NAMED = {
    "stored.npz": lambda path, arrays: np.savez(path, **arrays),
    "packed.npz": lambda path, arrays: np.savez_compressed(path, **arrays),
    "v5.mat": lambda path, arrays: scipy.io.savemat(path, {name: matlab(a) for name, a in arrays.items()}),
    "packed.mat": lambda path, arrays: scipy.io.savemat(
        path, {name: matlab(a) for name, a in arrays.items()}, do_compression=True
    ),
    "v73.mat": save_mat73,
    "x.h5": save_hdf5,
}
CONTAINERS = NAMED | {"c.npy": save_npy, "fortran.npy": save_fortran}


def read_all(path):
    return [[source.read(i) for i in range(len(source))] for source in open_sources([str(path)])]


@pytest.mark.parametrize("name", [*CONTAINERS, "x.csv"])
def test_a_matrix_is_rows_in_every_container(tmp_path, name):
    save = (CONTAINERS | {"x.csv": save_csv})[name]
    save(tmp_path / name, {"x": MATRIX})
    (source,) = open_sources([str(tmp_path / name)])
    assert (len(source), source.whole_by_default) == (9, True)
    (rows,) = read_all(tmp_path / name)
    assert all(row.shape == (1, 7, 1) for row in rows)
    np.testing.assert_array_equal(np.stack(rows).reshape(9, 7), MATRIX)


@pytest.mark.parametrize("stack", [STACK, STACK[:1], COLOUR], ids=["grey", "one", "colour"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_stacks_are_images_in_every_container(tmp_path, name, stack):
    CONTAINERS[name](tmp_path / name, {"x": stack})
    (source,) = open_sources([str(tmp_path / name)], color="rgb" if stack.ndim == 4 else "gray")
    assert not source.whole_by_default
    images = np.stack([source.read(i) for i in range(len(source))])
    np.testing.assert_array_equal(images, stack if stack.ndim == 4 else stack[..., None])


@pytest.mark.parametrize("name", NAMED)
def test_which_arrays_of_several_are_read(tmp_path, name):
    """Images before matrices before vectors; any by its name."""
    path = tmp_path / name
    NAMED[name](
        path, {"test": STACK[::-1].copy(), "train": STACK, "labels": np.ones((5, 10)), "y": np.ones((5, 1))}
    )
    assert [source.name for source in open_sources([str(path)])] == [f"{path}:test", f"{path}:train"]
    (source,) = open_sources([f"{path}:labels"])
    assert (source.name, len(source), source.read(0).shape) == (f"{path}:labels", 5, (1, 10, 1))
    with pytest.raises(DataError, match=r"has no array 'label' of numbers; there are labels, test, train, y"):
        open_sources([f"{path}:label"])
    NAMED[name](path, {"a": MATRIX, "b": MATRIX[:4], "y": np.ones((9, 1))})
    assert [len(source) for source in open_sources([str(path)])] == [9, 4]
    NAMED[name](path, {"a": MATRIX, "onehot": np.ones((9, 3))})
    with pytest.raises(
        DataError, match=r"rows of several lengths \(a 9x7, onehot 9x3\); name the array .*:a"
    ):
        open_sources([str(path)])


def test_a_member_of_a_file_without_names(tmp_path):
    np.save(tmp_path / "x.npy", MATRIX)
    with pytest.raises(DataError, match=r"x\.npy: holds no named arrays, leave out ':y'"):
        open_sources([f"{tmp_path}/x.npy:y"])
    with pytest.raises(DataError, match=r"none\.npz:y: no such file"):
        open_sources([f"{tmp_path}/none.npz:y"])
    (tmp_path / "d.h5").write_bytes(b"featlearn-dataset 1\n")
    with pytest.raises(DataError, match=r"d\.h5: holds no named arrays, leave out ':patches'"):
        open_sources([f"{tmp_path}/d.h5:patches"])
    np.save(tmp_path / "a:b.npy", MATRIX)  # a file of that very name comes first
    assert len(open_sources([f"{tmp_path}/a:b.npy"])[0]) == 9


def test_a_flipped_bit_of_an_unpacked_member_is_found(tmp_path):
    path = tmp_path / "x.npz"
    big = RNG.integers(0, 256, (50, 64, 64), np.uint8)
    np.savez(path, x=big)
    data = bytearray(path.read_bytes())
    data[data.index(big.tobytes()) + 150_000] ^= 4
    path.write_bytes(data)
    with pytest.raises(DataError, match="CRC-32"):
        open_sources([str(path)])


@pytest.mark.parametrize("name", ["c.npy", "stored.npz", "x.h5", "v73.mat"])
def test_a_file_cut_while_it_is_used_ends_the_run_in_words(tmp_path, name):
    big = RNG.integers(0, 256, (300, 64, 64), np.uint8)
    CONTAINERS[name](tmp_path / name, {"x": big})
    (source,) = open_sources([str(tmp_path / name)])
    with open(tmp_path / name, "r+b") as file:
        file.truncate(100_000)
    with pytest.raises(
        ReadError, match=r"has become shorter while it was read; use a copy that stays as it is"
    ):
        [source.read(i) for i in range(300)]


def test_arrays_larger_than_the_memory_limit_are_read_in_place(tmp_path, monkeypatch):
    monkeypatch.setattr("featlearn.files.budget._chosen", 100_000)
    big = RNG.integers(0, 256, (300, 64, 64), np.uint8)
    for name in ("c.npy", "stored.npz", "x.h5", "v73.mat"):
        CONTAINERS[name](tmp_path / name, {"x": big})
        (source,) = open_sources([str(tmp_path / name)])
        np.testing.assert_array_equal(source.read(299)[..., 0], big[299])
    for name in ("packed.npz", "packed.mat", "fortran.npy"):
        CONTAINERS[name](tmp_path / name, {"x": big})
        with pytest.raises(DataError, match=r"would take 1.23 MB of memory, 100 kB are .* --max-memory 2MB"):
            open_sources([str(tmp_path / name)])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("a,b\n1,2\n3,4", [[1, 2], [3, 4]]),
        ('"x","y"\r\n"1", 2\r\n3,4\r\n\r\n\n', [[1, 2], [3, 4]]),
        ("\ufeff1.5,-2e3\n", [[1.5, -2000]]),
        ("7\n8\n", [[7], [8]]),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_csv(tmp_path, text, rows, pack):
    path = tmp_path / ("x.csv.gz" if pack is gzip.compress else "x.CSV")
    path.write_bytes(pack(text.encode()))
    (found,) = read_all(path)
    np.testing.assert_array_equal(np.stack(found)[:, 0, :, 0], rows)


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("0,255\n", "u1"),
        ("0,256\n", "u2"),
        ("0.0,255\n", "f4"),
        ("-1,255\n", "f4"),
        ("0,65536\n", "f4"),
        ("1e2,3", "f4"),
    ],
)
def test_whole_numbers_of_a_csv_are_integers(tmp_path, text, dtype):
    (tmp_path / "x.csv").write_text(text)
    assert read_all(tmp_path / "x.csv")[0][0].dtype == dtype


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,x4\n", r"line 3, column 2: found 'x4', wanted a number"),
        ("1,2\n3,\n", r"line 2, column 2: found nothing, wanted a number"),
        ("1,2\n3,nan\n", r"line 2, column 2: nan is not finite"),
        ("1,2\n3,1e39\n", r"line 2, column 2: 1e39 is not finite"),
        ("1,2\n3\n", r"line 2: has 1 columns, line 1 has 2; wanted commas between the numbers"),
        ("1,2\n3,4,5\n", r"line 2: has 3 columns, line 1 has 2"),
        ("1,2\n\n3,4\n", r"line 2: is empty"),
        ("a,b\n", r"holds no row of numbers"),
        ("", r"holds no row of numbers"),
        (",0,1\n0,5,6\n", r"line 1, column 1: has no name, as where pandas writes .* index=False"),
        ("0,1,2\n5,6,7\n", r"line 1: counts the columns, as where pandas writes .* header=False"),
        (
            "1,NA,3\n4,5,6\n",
            r"line 1, column 2: found 'NA' beside numbers, wanted numbers alone, or names alone",
        ),
        ("1,,3\n4,5,6\n", r"line 1, column 2: found nothing beside numbers"),
        ("1;2\n3;4\n", r"line 2, column 1: found '3;4', wanted a number"),
        ("1,2\n1_0,2\n", r"line 2, column 1: found '1_0', wanted a number"),
        ("1,2\n3,\x1b[31m\n", r"line 2, column 2: found '\\x1b\[31m', wanted a number"),
        ('1,2\n3,"4\n', r"line 2: has a quote that is not closed"),
        ('1,2\n"3,4\n5",6\n', r"line 2: has a quote that is not closed"),
    ],
)
def test_csv_that_is_no_table_of_numbers(tmp_path, text, message):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        open_sources([str(path)])
    assert str(caught.value).isprintable()


def test_long_csv_is_read_by_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("featlearn.files.table._BLOCK", 1000)
    rows = RNG.normal(size=(2000, 5)).astype(np.float32)
    np.savetxt(tmp_path / "x.csv", rows, delimiter=",", header="a,b,c,d,e", comments="")
    (found,) = read_all(tmp_path / "x.csv")
    np.testing.assert_array_equal(np.stack(found)[:, 0, :, 0], rows)
    lines = (tmp_path / "x.csv").read_text().split("\n")
    lines[1500] = lines[1500].replace(",", ";")
    (tmp_path / "x.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 1501, column 1: found"):
        open_sources([str(tmp_path / "x.csv")])
    monkeypatch.setattr("featlearn.files.table.LONGEST", 60)
    with pytest.raises(DataError, match="line 2: is longer than"):
        open_sources([str(tmp_path / "x.csv")])


def test_csv_is_held_against_the_memory_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("featlearn.files.budget._chosen", 1000)
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"1,2\n" * 200))
    with pytest.raises(
        DataError, match=r"200 rows or more of 2 numbers would take 1.60 kB .* give --max-memory"
    ):
        open_sources([str(tmp_path / "x.csv.gz")])


@pytest.mark.parametrize("dtype", ["|S0", "<U0", "|V0"])
def test_an_array_of_nothing_is_not_filled_with_what_lies_in_memory(tmp_path, dtype):
    """200,000 x 200,000 texts of no length fit into a file of any size."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (200000, 200000), }}".encode().ljust(
        117
    )
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\1\0\x76\0" + header + b"\n")
    with pytest.raises(DataError, match=r"is no whole \.npy file of numbers"):
        open_sources([str(tmp_path / "x.npy")])


def test_no_array_is_mapped():
    """A mapped file that is cut kills the process."""
    for path in Path(featlearn.__file__).parent.rglob("*.py"):
        assert "mmap" not in path.read_text("utf-8").replace("memmap", "mmap"), path


def test_encrypted_members_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=STACK)
    with zipfile.ZipFile(path) as archive:
        at = archive.infolist()[0].header_offset
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[at + 6] |= 1
    data[directory + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="packed otherwise than numpy does"):
        open_sources([str(path)])


def test_rows_have_no_colour(tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((3, 12)))
    with pytest.raises(DataError, match=r"rows\.npy: rows of numbers have no colour; .* leave out --color"):
        open_sources([str(tmp_path / "rows.npy")], "rgb")
