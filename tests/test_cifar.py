"""CIFAR in both published forms: the same pictures, labels and names; and pickles that are none of it."""

import contextlib
import io
import json
import os
import pickle
import struct

import numpy as np
import pytest

from featlearn.errors import DataError
from featlearn.files import pickles
from featlearn.files.cifar import CIFAR_NAMES
from featlearn.files.dataset import read_dataset
from featlearn.files.pickles import read_pickle
from featlearn.files.sources import open_sources
from helpers import ok, refused

RNG = np.random.default_rng(0)
ROWS = RNG.integers(0, 256, (5, 3072)).astype(np.uint8)
LABELS = [3, 9, 0, 9, 1]
FINE, COARSE = [3, 99, 0, 42, 1], [4, 19, 0, 7, 1]
NAMES = [f"class {i}" for i in range(100)]


def short(text):
    return b"U" + bytes([len(text)]) + text


def python2(held):
    """Write a dictionary as the published files are: protocol 2, by Python 2, texts as bytes."""

    def value(one):
        if isinstance(one, bytes):
            return short(one) + b"q\x01"
        if isinstance(one, int):
            return b"K" + bytes([one])
        if isinstance(one, list):
            return b"]q\x02(" + b"".join(map(value, one)) + b"e"
        raw = one.tobytes("F") if one.flags.f_contiguous else one.tobytes()
        shape = b"".join(b"M" + struct.pack("<H", size) for size in one.shape)
        made = (
            b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85"
            + short(b"b")
            + b"\x87R"
        )
        kind = b"cnumpy\ndtype\n" + short(b"u1") + b"K\x00K\x01\x87R(K\x03" + short(b"|")
        kind += b"NNNJ" + struct.pack("<i", -1) + b"J" + struct.pack("<i", -1) + b"K\x00tb"
        fortran = b"\x88" if one.flags.f_contiguous else b"\x89"
        return (
            made
            + b"(K\x01"
            + shape
            + b"\x86"
            + kind
            + fortran
            + b"T"
            + struct.pack("<i", len(raw))
            + raw
            + b"tb"
        )

    return b"\x80\x02}q\x00(" + b"".join(value(key) + value(one) for key, one in held.items()) + b"u."


def published(held, how):
    if how == "python 2":
        return python2(held)
    if how == "python 2, Fortran":  # cPickle wrote CIFAR-100 so
        return python2({key: np.asfortranarray(one) if key == b"data" else one for key, one in held.items()})
    protocol, kind = how
    keys = {key.decode() if kind is str else key: one for key, one in held.items()}
    return pickle.dumps(keys, protocol)


FORMS = [
    "python 2",
    "python 2, Fortran",
    *((protocol, kind) for protocol in (2, 3, 4, 5) for kind in (str, bytes)),
]
BATCH = {
    b"batch_label": b"training batch 1 of 5",
    b"labels": LABELS,
    b"data": ROWS,
    b"filenames": [b"a.png", b"b.png", b"c.png", b"d.png", b"e.png"],
}
HUNDRED = {b"filenames": BATCH[b"filenames"], b"fine_labels": FINE, b"coarse_labels": COARSE, b"data": ROWS}


def binary(path, *columns):
    path.write_bytes(np.hstack([*(np.array(one, np.uint8)[:, None] for one in columns), ROWS]).tobytes())


def extract(run_here, *args):
    return json.loads(ok(run_here("extract-patches", *args, "--json")).out)


@pytest.mark.parametrize("how", FORMS, ids=str)
def test_both_forms_hold_the_same(how, run_here, tmp_path):
    (tmp_path / "data_batch_1").write_bytes(published(BATCH, how))
    binary(tmp_path / "data_batch_1.bin", LABELS)
    (tmp_path / "train").write_bytes(published(HUNDRED, how))
    binary(tmp_path / "train.bin", COARSE, FINE)
    for name in ("data_batch_1", "train"):
        ours, theirs = (open_sources([str(tmp_path / one)], "rgb")[0] for one in (name, f"{name}.bin"))
        assert len(ours) == len(theirs) == 5
        assert all(np.array_equal(ours.read(i), theirs.read(i)) for i in range(5))
        assert ours.labels.tobytes() == theirs.labels.tobytes()
        assert ours.label_names == theirs.label_names
        assert ours.whole_by_default
    assert ours.label_names is None


@pytest.mark.parametrize("how", FORMS[:4], ids=str)
def test_names_of_classes(how, run_here, tmp_path):
    (tmp_path / "test").write_bytes(published(HUNDRED, how))
    (tmp_path / "test_batch").write_bytes(published(BATCH, how))
    (tmp_path / "meta").write_bytes(published({b"fine_label_names": [one.encode() for one in NAMES]}, how))
    (tmp_path / "batches.meta").write_bytes(
        published({b"label_names": [one.encode() for one in NAMES[:10]]}, how)
    )
    (report,) = (extract(run_here, tmp_path / "test", "-o", tmp_path / "p.h5"),)
    assert (report["patches"], report["shape"], report["visible"]) == (5, [32, 32, 1], "bernoulli")
    data = read_dataset(str(tmp_path / "p.h5"))
    assert (data.label_names, data.labels.tolist()) == (NAMES, FINE)
    assert open_sources([str(tmp_path / "test_batch")])[0].label_names == NAMES[:10]
    with pytest.raises(DataError, match=r"meta: holds the names of labels, wanted a batch of CIFAR"):
        open_sources([str(tmp_path / "meta")])
    (tmp_path / "batches.meta").write_bytes(published({b"label_names": [b"cat", b"cat"]}, how))
    with pytest.raises(DataError, match=r"batches\.meta: wanted the names of the labels of"):
        open_sources([str(tmp_path / "test_batch")])


def test_names_beside_as_text_and_none(tmp_path):
    (tmp_path / "test_batch").write_bytes(pickle.dumps(BATCH))
    assert open_sources([str(tmp_path / "test_batch")])[0].label_names == CIFAR_NAMES
    (tmp_path / "batches.meta.txt").write_text("\n".join(NAMES[:10]))
    assert open_sources([str(tmp_path / "test_batch")])[0].label_names == NAMES[:10]


class Runs:
    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


HOSTILE = {
    "os.system": pickle.dumps(Runs(os.system, "touch was_here"), 2),
    "os.system, protocol 5": pickle.dumps({"data": Runs(os.system, "touch was_here")}, 5),
    "builtins.eval": pickle.dumps(Runs(eval, "open('was_here', 'w')"), 4),
    "getattr of numpy": b"\x80\x02cnumpy\nload\nU\x01x\x85R.",
    "the instance operation": b"\x80\x02(U\x0ewas_here >file\x69os\nsystem\n.",
    "build of a state with code": b"\x80\x02cnumpy\nndarray\n}U\x08__init__K\x01sb.",
    "codecs": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.",
    "an array of objects": pickle.dumps(np.array([Runs(os.system, "touch was_here")], object), 2),
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".",
    "a huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    "a huge text": b"\x80\x02X" + struct.pack("<I", 0xFFFFFFFF) + b".",
    "a huge memo": b"\x80\x02Nr" + struct.pack("<I", 0xFFFFFFFF) + b".",
    "a huge shape": python2(BATCH).replace(b"M\x05\x00M\x00\x0c", b"M\xff\xffM\xff\xff"),
    "a deep tuple as a key": b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"Ns.",
    "deep lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "a list of itself": b"\x80\x02}U\x04data]q\x01h\x01asU\x06labels]s.",
    "a persistent name": b"\x80\x02Pname\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "no end": b"\x80\x02}",
    "nothing": b"\x80\x02.",
    "an unknown operation": b"\x80\x02\xff.",
    "a text with odd escapes": b"\x80\x02S'\\z'\n.",
    "a number of many digits": b"\x80\x02I" + b"9" * 10_000 + b"\n.",
    "a mark too much": b"\x80\x02(e.",
    "tuple of nothing": b"\x80\x02\x87.",
    "cut": python2(BATCH)[:-2000],
    "cut early": python2(BATCH)[:40],
    "a number": pickle.dumps(7),
    "no data": pickle.dumps({"labels": LABELS}),
    "no labels": pickle.dumps({"data": ROWS}),
    "grey data": pickle.dumps({"labels": LABELS, "data": ROWS[:, :1024]}),
    "floats": pickle.dumps({"labels": LABELS, "data": ROWS / 255}),
    "too few labels": pickle.dumps({"labels": LABELS[:4], "data": ROWS}),
    "labels that are no numbers": pickle.dumps({"labels": ["a"] * 5, "data": ROWS}),
    "labels beyond": pickle.dumps({"labels": [*LABELS[:4], 10], "data": ROWS}),
    "negative labels": pickle.dumps({"labels": [*LABELS[:4], -1], "data": ROWS}),
    "no rows": pickle.dumps({"labels": [], "data": ROWS[:0]}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_batch_is_one_line_and_runs_nothing(name, run_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(HOSTILE[name])
    refused(run_here("extract-patches", "data_batch_1", "-o", "p.h5"), "data_batch_1: ")
    assert [one.name for one in tmp_path.iterdir()] == ["data_batch_1"]


def test_what_a_pickle_would_run_is_named(tmp_path):
    (tmp_path / "x").write_bytes(HOSTILE["os.system"])
    with pytest.raises(
        DataError, match=r"is a pickle that holds posix\.system; only arrays, .* nothing is run"
    ):
        read_pickle(str(tmp_path / "x"))


def test_damaged_bytes_are_read_or_refused(tmp_path):
    """Whatever byte is changed, nothing but a DataError is raised."""
    small, path = python2(BATCH).replace(ROWS.tobytes(), b""), tmp_path / "x"
    for at in range(2, len(small), 2):
        for value in (0, small[at] ^ 1):
            path.write_bytes(small[:at] + bytes([value]) + small[at + 1 :])
            with contextlib.suppress(DataError):
                read_pickle(str(path))


def test_there_is_an_end_to_the_operations(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_OPERATIONS", 100)
    (tmp_path / "x").write_bytes(b"\x80\x02" + b"N" * 120 + b".")
    with pytest.raises(DataError, match="more than 100 operations"):
        read_pickle(str(tmp_path / "x"))


def test_plain_data_are_as_python_reads_them(tmp_path):
    arrays = [RNG.random((2, 3)), np.arange(4, dtype=">i2"), np.asfortranarray(RNG.random((3, 2)))]
    held = {"a": [1, -5, 2**70, 1.5, None, True, ("x", b"y", ()), {}], 3: {"b": [[]]}}
    for protocol in (2, 3, 4, 5):
        (tmp_path / "x").write_bytes(pickle.dumps(held, protocol))
        assert read_pickle(str(tmp_path / "x")) == held
        (tmp_path / "x").write_bytes(pickle.dumps(dict(enumerate(arrays)), protocol))
        for i, found in read_pickle(str(tmp_path / "x")).items():
            assert found.dtype == arrays[i].dtype
            assert np.array_equal(found, arrays[i])


def test_python_s_own_reader_agrees_about_what_python_2_wrote(tmp_path):
    (tmp_path / "x").write_bytes(python2(BATCH))
    theirs = pickle.load(io.BytesIO(python2(BATCH)), encoding="bytes")
    ours = read_pickle(str(tmp_path / "x"))
    assert ours.keys() == theirs.keys()
    assert ours[b"labels"] == theirs[b"labels"]
    assert np.array_equal(ours[b"data"], theirs[b"data"])


def test_an_archive_is_named(run_here, tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"\x1f\x8b" + bytes(50))
    ran = run_here("extract-patches", tmp_path / "cifar-10-python.tar.gz", "-o", tmp_path / "p.h5")
    refused(ran, "is an archive; unpack it")
