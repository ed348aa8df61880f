"""Files made to harm: each is refused in one line, quickly, without reading another file, code or memory on
its word.

The SHA-256 is made to fit each time (`reseal`): it finds accidents, not authors.
"""

import hashlib
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

import featlearn
from featlearn.errors import DataError
from featlearn.files import header
from featlearn.files.dataset import DatasetWriter, read_dataset
from featlearn.files.hdf5 import Reader
from featlearn.files.model import ModelFile, read_model, write_model

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(featlearn.__file__).parents[1])}
W = np.arange(12, dtype=np.float32).reshape(4, 3)
ROWS = np.arange(80, dtype=np.uint8).reshape(20, 4)


def make_model(path):
    params = {"W": W, "b": np.zeros(4, np.float32)}
    history = {"epoch": np.arange(3)}
    write_model(
        str(path), ModelFile("rbm", {"a": 1}, {}, 1, (2, 2, 1), params, {"mean": np.zeros(4)}, history)
    )


def make_dataset(path):
    with DatasetWriter(str(path), 20, (2, 2, 1), "uint8", True) as writer:
        writer.append(ROWS, np.zeros((20, 3), np.int64), np.arange(20) % 2)
        writer.finish({"normalize": "none"}, ["a.png"], ["x", "y"], {"argv": []})


def reseal(path):
    data = path.read_bytes()
    kind = data.split(b" ")[0].decode()
    path.write_bytes(header.make(kind, hashlib.sha256(data[header.SIZE :]).hexdigest()) + data[header.SIZE :])


def secret(folder):
    """Another file, whose contents must not come out."""
    with h5py.File(folder / "secret.h5", "w") as file:
        file["x"] = W
        file["g/W"] = W
    (folder / "secret.raw").write_bytes(W.tobytes())
    return str(folder / "secret.h5")


def low_level(file, key, kind, shape, layout=None, filters=(), fill=False):
    """A data set that h5py's own interface would not make."""
    dcpl = h5p.create(h5p.DATASET_CREATE)
    if layout:
        dcpl.set_chunk(layout)
    for code in filters:
        dcpl.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (9,))
    if fill:
        dcpl.set_fill_value(np.array(7, "f4"))
    h5d.create(file.id, key.encode(), kind, h5s.create_simple(shape), dcpl)


def virtual(file, folder):
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(secret(folder), "x", (4, 3))
    file.create_virtual_dataset("params/W", layout)


def external(file, folder):
    secret(folder)
    file.create_dataset("params/W", (4, 3), "f4", external=[(str(folder / "secret.raw"), 0, 48)])


def aliases(file, folder):
    file["params/W"] = np.zeros(100_000, np.float32)
    for i in range(500):
        file[f"params/w{i}"] = file["params/W"]


def many_names(file, folder):
    for i in range(1100):
        file[f"params/w{i}"] = np.float32(1)


def longdouble(file, folder):
    file["params/W"] = np.zeros((4, 3), np.longdouble)


# Each puts something else in the place of /params/W.
TRICKS = {
    "external link": lambda f, d: f.__setitem__("params/W", h5py.ExternalLink(secret(d), "x")),
    "soft link": lambda f, d: f.__setitem__("params/W", h5py.SoftLink("/params/b")),
    "soft link to itself": lambda f, d: f.__setitem__("params/W", h5py.SoftLink("/params/W")),
    "external storage": external,
    "virtual layout": virtual,
    "group": lambda f, d: f.create_group("params/W"),
    "cycle": lambda f, d: f.__setitem__("params/W", f["params"]),
    "named type": lambda f, d: f.__setitem__("params/W", np.dtype("f4")),
    "vlen string": lambda f, d: f.__setitem__("params/W", "variable"),
    "vlen array": lambda f, d: f.create_dataset("params/W", (3,), h5py.vlen_dtype("i4")),
    "fixed string": lambda f, d: f.__setitem__("params/W", np.bytes_("fixed")),
    "reference": lambda f, d: f.create_dataset("params/W", data=f.ref, dtype=h5py.ref_dtype),
    "compound": lambda f, d: f.__setitem__("params/W", np.zeros(2, [("a", "f4")])),
    "boolean": lambda f, d: f.__setitem__("params/W", np.zeros(2, bool)),
    "complex": lambda f, d: f.__setitem__("params/W", np.zeros(2, complex)),
    "opaque": lambda f, d: f.__setitem__("params/W", np.void(b"1234")),
    "array type": lambda f, d: f.create_dataset("params/W", (2,), np.dtype("(3,)f4")),
    "long double": longdouble,
    "no extent": lambda f, d: f.__setitem__("params/W", h5py.Empty("f4")),
    "32 dimensions": lambda f, d: f.__setitem__("params/W", np.zeros((1,) * 32, "f4")),
    "5 dimensions": lambda f, d: f.__setitem__("params/W", np.zeros((1,) * 5, "f4")),
    "fletcher32": lambda f, d: f.create_dataset("params/W", data=W, fletcher32=True),
    "scale-offset": lambda f, d: f.create_dataset("params/W", data=W.astype("i4"), scaleoffset=0),
    "lzf": lambda f, d: f.create_dataset("params/W", data=W, compression="lzf"),
    "deflate twice": lambda f, d: low_level(f, "params/W", h5t.IEEE_F32LE, (4, 3), (4, 3), (1, 1)),
    "contiguous bomb": lambda f, d: low_level(f, "params/W", h5t.IEEE_F32LE, (1 << 38,)),
    "chunked bomb": lambda f, d: low_level(f, "params/W", h5t.IEEE_F32LE, (1 << 38,), (1 << 20,), (1,)),
    "fill value bomb": lambda f, d: low_level(
        f, "params/W", h5t.IEEE_F32LE, (1 << 30,), (1 << 24,), (), True
    ),
    "overflowing shape": lambda f, d: low_level(f, "params/W", h5t.IEEE_F64LE, (1 << 31, 1 << 31), (1, 1024)),
    "huge chunks": lambda f, d: f.create_dataset(
        "params/W", (1 << 25,), "f4", chunks=(1 << 25,), compression=9
    ),
    "tiny chunks": lambda f, d: f.create_dataset("params/W", (60_000,), "u1", chunks=(1,), maxshape=(None,)),
    "aliases": aliases,
    "NaN": lambda f, d: f.__setitem__("params/W", np.full((4, 3), np.nan, "f4")),
    "infinity": lambda f, d: f.__setitem__("params/W", np.full((4, 3), np.inf, ">f8")),
    "1100 names": many_names,
}


@pytest.mark.parametrize("trick", TRICKS)
def test_trick_in_place_of_a_parameter(tmp_path, trick):
    path = tmp_path / "m.h5"
    make_model(path)
    with h5py.File(path, "r+") as file:
        del file["params/W"]
        TRICKS[trick](file, tmp_path)
    reseal(path)
    assert_refused(read_model, path)


def test_more_chunks_than_a_file_can_hold_are_refused_before_they_are_read(tmp_path):
    """HDF5 looks for each of them, which takes minutes for millions; the few that are stored deflate to all
    bytes."""
    path = tmp_path / "m.h5"
    make_model(path)
    with h5py.File(path, "r+") as file:
        del file["params/W"]
        values = file.create_dataset("params/W", (200_000,), "u1", chunks=(1,), compression=9)
        values[:600] = 1
    reseal(path)
    assert path.stat().st_size < 200_000
    with pytest.raises(DataError, match="has 200,000 chunks, more than the file has room for"):
        read_model(str(path))


OF_DATA = (
    *("external link", "soft link", "external storage", "virtual layout", "fletcher32"),
    *("chunked bomb", "vlen string", "5 dimensions", "compound"),
)


@pytest.mark.parametrize("trick", OF_DATA)
@pytest.mark.parametrize("key", ["patches", "labels", "origin"])
def test_trick_in_place_of_the_data(tmp_path, trick, key):
    path = tmp_path / "d.h5"
    make_dataset(path)
    with h5py.File(path, "r+") as file:
        file.create_group("params")
        TRICKS[trick](file, tmp_path)
        del file[key]
        file.move("params/W", key)
    reseal(path)
    assert_refused(read_dataset, path)


def soft_group(file, folder):
    file.move("params", "elsewhere")
    file["params"] = h5py.SoftLink("/elsewhere")


def external_group(file, folder):
    del file["params"]
    file["params"] = h5py.ExternalLink(secret(folder), "g")


def root_as_group(file, folder):
    del file["params"]
    file["params"] = file["/"]


def change_attribute(name, value):
    def change(file, folder):
        del file.attrs[name]
        file.attrs[name] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        soft_group,
        external_group,
        root_as_group,
        lambda f, d: f.__delitem__("params"),
        lambda f, d: f["params"].clear(),
        lambda f, d: f.__delitem__("provenance"),
        lambda f, d: f["history"].create_dataset("short", data=np.zeros(2)),
        lambda f, d: f["preprocess"].attrs.__setitem__("vlen", "text of variable length"),
        lambda f, d: f["preprocess"].attrs.__setitem__("nan", np.nan),
        lambda f, d: f["preprocess"].attrs.__setitem__("names", np.array([b"a", b"b"])),
        lambda f, d: f["preprocess"].attrs.__setitem__("empty", h5py.Empty("f8")),
        lambda f, d: f["preprocess"].attrs.__setitem__("../x", 1),
        change_attribute("format", np.bytes_("featlearn-dataset")),
        change_attribute("format", "featlearn-model"),
        change_attribute("format_version", 2),
        change_attribute("format_version", np.array([1, 1])),
        change_attribute("format_version", 1.0),
        change_attribute("format", np.array([1, 1])),
        lambda f, d: f["history"].move("epoch", "step"),
        lambda f, d: f["history"].create_dataset("phase", data=np.zeros(3)),
        change_attribute("seed", 1.5),
        change_attribute("shape", np.array([2, 2])),
        change_attribute("shape", np.array([2, 0, 1])),
        change_attribute("shape", np.array([2.0, 2.0, 1.0])),
        change_attribute("config", np.bytes_('{"a": NaN}')),
        change_attribute("config", np.bytes_("[1]")),
        change_attribute("config", np.bytes_("[" * 60_000)),
        change_attribute("config", np.bytes_('{"a": ' + "9" * 60_000 + "}")),
        change_attribute("config", np.bytes_("{")),
        change_attribute("config", 3),
        change_attribute("model", np.array([b"rbm", b"rbm"])),
    ],
)  # fmt: skip
def test_trick_elsewhere_in_a_model(tmp_path, change):
    path = tmp_path / "m.h5"
    make_model(path)
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    reseal(path)
    assert_refused(read_model, path)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.__setitem__("patches", ROWS.astype("i2")),
        lambda f: f.__setitem__("patches", ROWS[:, :3]),
        lambda f: f.__setitem__("patches", ROWS[:0]),
        lambda f: f.__setitem__("patches", ROWS[0]),
        lambda f: f.__setitem__("labels", np.zeros(19, np.int64)),
        lambda f: f.__setitem__("labels", np.zeros(20, np.int32)),
        lambda f: f.__setitem__("labels", np.full(20, -1)),
        lambda f: f.__setitem__("origin", np.full((20, 3), 1)),
        lambda f: f.__setitem__("origin", np.zeros((3, 20), np.int64)),
        lambda f: f.__setitem__("images", np.array([["a.png"]], "S5")),
        lambda f: f.__setitem__("images", np.array(["a.png"], object)),
    ],
)
def test_data_that_do_not_fit_together(tmp_path, change):
    path = tmp_path / "d.h5"
    make_dataset(path)
    with h5py.File(path, "r+") as file:
        if (key := probe(change)) in file:
            del file[key]
        change(file)
    reseal(path)
    assert_refused(read_dataset, path)


def probe(change):
    """The key that a change sets."""
    seen = {}
    change(seen)
    return next(iter(seen))


def assert_refused(read, path):
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(DataError) as caught:
        read(str(path))
    message = str(caught.value)
    assert str(path) in message
    assert message.isprintable()
    assert len(message) < 500
    assert time.perf_counter() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB


def test_what_is_allowed_is_read(tmp_path):
    """Deflate, shuffle, chunks, compact layout, big-endian numbers, other HDF5 formats, unknown extra
    members."""
    path = tmp_path / "m.h5"
    make_model(path)
    with h5py.File(path, "r+") as file:
        del file["params/W"]
        file.create_dataset("params/W", data=W.astype(">f8"), compression=9, shuffle=True, chunks=(2, 2))
        file["extra/unknown"] = "skipped"
        file["params"].attrs["note"] = "skipped"
        dcpl = h5p.create(h5p.DATASET_CREATE)
        dcpl.set_layout(h5d.COMPACT)
        compact = h5d.create(file.id, b"params/compact", h5t.STD_I16BE, h5s.create_simple((3,)), dcpl)
        compact.write(h5s.ALL, h5s.ALL, np.arange(3))
    reseal(path)
    model = read_model(str(path))
    np.testing.assert_array_equal(model.params["W"], W)
    np.testing.assert_array_equal(model.params["compact"], [0, 1, 2])
    assert model.params["W"].dtype == np.float64


@pytest.mark.parametrize("libver", [("earliest", "v108"), ("v108", "v110"), "latest"])
def test_other_layouts_of_the_patches_are_read(tmp_path, libver):
    make_dataset(tmp_path / "d.h5")
    with (
        h5py.File(tmp_path / "d.h5") as source,
        h5py.File(tmp_path / "x.h5", "w", libver=libver, userblock_size=512) as file,
    ):
        file.attrs.update(source.attrs)
        for name in ("images", "label_names", "provenance", "labels", "preprocess"):
            source.copy(name, file)
        file.create_dataset("patches", data=ROWS, chunks=(3, 4), compression=4)
        file["origin"] = source["origin"][()].astype(">i8")
    with open(tmp_path / "x.h5", "r+b") as raw:
        raw.write(header.make(header.DATASET, "0" * 64))
    reseal(tmp_path / "x.h5")
    data = read_dataset(str(tmp_path / "x.h5"), verify=True)
    np.testing.assert_array_equal(data.patches, ROWS)
    assert not data.patches.flags.writeable  # chunked: in memory


def test_matlab_files_go_through_the_same_door(tmp_path):
    with h5py.File(tmp_path / "x.mat", "w", userblock_size=512) as file:
        file["#refs#/a"] = 1
        file["ok"] = W
        file["link"] = h5py.ExternalLink(secret(tmp_path), "x")
    with Reader(str(tmp_path / "x.mat")) as reader:
        assert reader.names("") == ["link", "ok"]
        np.testing.assert_array_equal(reader.stored("ok"), W)
        with pytest.raises(DataError, match="never followed"):
            reader.stored("link")


def test_plugins_are_off_whatever_the_environment_says():
    program = "import os, featlearn.files.hdf5; print(os.environ['HDF5_PLUGIN_PRELOAD'])"
    environment = ENVIRONMENT | {"HDF5_PLUGIN_PRELOAD": "/somewhere"}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "::\n"


MUTANTS = """
import hashlib, pathlib, random, signal, sys
from featlearn.errors import DataError
from featlearn.files import header
from featlearn.files.dataset import read_dataset
from featlearn.files.model import read_model

seeds = [pathlib.Path(name).read_bytes() for name in sys.argv[2:]]
rnd, counts = random.Random(int(sys.argv[1])), [0, 0]
for i in range(1200):
    data = bytearray(rnd.choice(seeds))
    for _ in range(rnd.choice((1, 1, 2, 8))):
        at, n = rnd.randrange(512, len(data)), rnd.choice((1, 1, 1, 2, 4, 8))
        data[at:at + n] = rnd.choice((b"\\0", b"\\xff", b"\\x7f", bytes([rnd.randrange(256)]))) * n
    if rnd.random() < .1:
        del data[rnd.randrange(512, len(data)):]
    kind = bytes(data).split(b" ")[0].decode()
    data[:512] = header.make(kind, hashlib.sha256(data[512:]).hexdigest())
    pathlib.Path("mutant.h5").write_bytes(data)
    signal.alarm(20)
    try:
        if kind == header.MODEL:
            read_model("mutant.h5").content_hash
        else:
            read_dataset("mutant.h5", verify=True).patches[:].sum()
        counts[0] += 1
    except DataError as error:
        assert "\\n" not in str(error)
        counts[1] += 1
print(*counts)
"""


def test_mutants_are_read_or_refused_but_nothing_else(tmp_path):
    """1200 damaged files in a process of their own, where a crash or a hang of HDF5 would be seen."""
    make_model(tmp_path / "m.h5")
    make_dataset(tmp_path / "d.h5")
    for name in ("m", "d"):  # the same with chunks, deflate and old structures
        with (
            h5py.File(tmp_path / f"{name}.h5") as source,
            h5py.File(tmp_path / f"{name}2.h5", "w", libver=("earliest", "v108"), userblock_size=512) as file,
        ):
            file.attrs.update(source.attrs)
            for key in source:
                source.copy(key, file)
            key, data = ("params/W", W) if name == "m" else ("patches", ROWS)
            del file[key]
            file.create_dataset(key, data=data, chunks=(2, 2), compression=4, shuffle=True)
        with open(tmp_path / f"{name}2.h5", "r+b") as raw:
            raw.write(header.make({"m": header.MODEL, "d": header.DATASET}[name], "0" * 64))
    seeds = ["m.h5", "d.h5", "m2.h5", "d2.h5"]
    ran = subprocess.run(
        [sys.executable, "-c", MUTANTS, "1", *seeds],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    read, refused = map(int, ran.stdout.split())
    assert read + refused == 1200
    assert min(read, refused) > 100
