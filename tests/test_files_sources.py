"""Sources: folders, lists of files, and containers of many images."""

import gzip
import io
import os
import random
import struct
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from featlearn.errors import DataError
from featlearn.files import sources as module
from featlearn.files.cifar import CIFAR_NAMES
from featlearn.files.folders import find_images
from featlearn.files.mat5 import read_mat5
from featlearn.files.sources import Notes, open_sources, read_paths

STACK = np.arange(5 * 4 * 6, dtype=np.uint8).reshape(5, 4, 6)
COLOUR = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)


def save_image(path, value=100, size=(4, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


def idx(array, magic=None):
    return (
        struct.pack(f">{1 + array.ndim}I", magic or 2048 + array.ndim, *array.shape)
        + array.astype("u1").tobytes()
    )


def refused(path, message, **options):
    with pytest.raises(DataError, match=message) as caught:
        open_sources([str(path)], **options)
    assert str(caught.value).isprintable()


def only(path, **options):
    (source,) = open_sources([str(path)], **options)
    return source


def assert_stack(source, stack=STACK):
    assert len(source) == len(stack) == len(source.names()) == len(set(source.names()))
    for i, image in enumerate(stack):
        read = source.read(i)
        assert read.flags.c_contiguous
        np.testing.assert_array_equal(read, image[..., None] if image.ndim == 2 else image)


def test_folder_recursive_sorted_by_bytes_images_only(tmp_path):
    names = ["b.png", "a/z.PNG", "a.png", "Z.jpg", "a/\u00e9.png", "sub/deep/x.tif"]
    for i, name in enumerate(names):
        save_image(tmp_path / name, 10 * i)
    for name in (".hidden.png", ".git/x.png", "sub/._mac.jpg"):
        save_image(tmp_path / name)
    for name in ("README.md", "labels.txt", "Thumbs.db"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "folder.png").mkdir()
    source = only(tmp_path)
    order = ["Z.jpg", "a.png", "a/z.PNG", "a/\u00e9.png", "b.png", "sub/deep/x.tif"]
    assert source.names() == [str(tmp_path / name) for name in order]
    assert source.read(1).shape == (4, 5, 1)
    assert source.read(1)[0, 0, 0] == 20
    assert not source.whole_by_default
    assert source.labels is None


def test_folder_without_images(tmp_path):
    (tmp_path / "x.txt").write_text("")
    save_image(tmp_path / ".hidden" / "x.png")
    refused(tmp_path, "no image in this folder")


def problems(source):
    """{name: what is wrong} of the images that cannot be read."""
    found = {}
    for i, name in enumerate(source.names()):
        try:
            source.read(i)
        except DataError as error:
            found[os.path.relpath(name, source.name)] = str(error).removeprefix(f"{name}: ")
    return found


def test_links_are_followed(tmp_path):
    """To files, as git-annex and DVC keep images, and to folders, also to one beside the link and to one
    outside."""
    save_image(tmp_path / "in/.git/annex/k1.png", 1)
    save_image(tmp_path / "out/deep/k2.png", 2)
    save_image(tmp_path / "in/real/k3.png", 3)
    (tmp_path / "in/annexed.png").symlink_to(".git/annex/k1.png")
    (tmp_path / "in/class").symlink_to(tmp_path / "out")
    (tmp_path / "in/beside").symlink_to("real")
    (tmp_path / "in/twice.png").symlink_to("annexed.png")
    (tmp_path / "link").symlink_to("in")
    for folder in (tmp_path / "in", tmp_path / "link"):
        source = only(folder)
        names = ["annexed.png", "beside/k3.png", "class/deep/k2.png", "real/k3.png", "twice.png"]
        assert source.names() == [str(folder / name) for name in names]
        assert [source.read(i)[0, 0, 0] for i in range(5)] == [1, 3, 2, 3, 1]


def test_links_that_lead_nowhere_or_back_are_named(tmp_path):
    save_image(tmp_path / "in/a/good.png")
    (tmp_path / "out/back").mkdir(parents=True)
    for name, target in (
        ("broken.png", "nothing.png"),
        ("no-class", "/nowhere/at/all"),
        ("notes.md", "nowhere"),
        ("self.png", "self.png"),
        ("loop", "."),
        ("a/up", ".."),
        ("a/above", "../.."),
        ("out", "../out"),
        ("../out/in", "../in/a"),
        ("../out/back/in", "../../in"),
        ("pipe.png", "fifo.png"),
        ("device.png", "/dev/zero"),
    ):
        (tmp_path / "in" / name).symlink_to(target)
    os.mkfifo(tmp_path / "in/fifo.png")
    source = only(tmp_path / "in")
    back = "is a symbolic link to a folder that holds it"
    odd = "is a device, pipe or socket, wanted a regular file"
    found = {name: text.removesuffix(", so it is not followed") for name, text in problems(source).items()}
    assert found == {
        "broken.png": "broken symbolic link",
        "no-class": "broken symbolic link",
        "self.png": "is a symbolic link that leads to itself",
        **dict.fromkeys(("loop", "a/up", "a/above", "out/back/in", "out/in/up", "out/in/above"), back),
        **dict.fromkeys(("pipe.png", "device.png", "fifo.png"), odd),
    }
    good = [name for name in source.names() if os.path.relpath(name, source.name) not in found]
    assert good == [str(tmp_path / "in" / name) for name in ("a/good.png", "out/in/good.png")]


def test_links_that_multiply_are_bounded(tmp_path):
    """Each of twenty folders with two links to the next: a million ways."""
    for i in range(20):
        (tmp_path / "in" / f"{i:02}").mkdir(parents=True)
        for name in "ab":
            (tmp_path / "in" / f"{i:02}" / name).symlink_to(f"../{i + 1:02}")
    save_image(tmp_path / "in/20/x.png")
    source = only(tmp_path / "in")
    assert len(source) < 10_000
    assert {"its folder is reached by more than 100 links, so this is not followed"} == set(
        problems(source).values()
    )


def test_labels_by_folders_that_are_links(tmp_path):
    for name in ("store/1/a.png", "store/2/b.png"):
        save_image(tmp_path / name)
    (tmp_path / "in").mkdir()
    for name, target in (("dog", "../store/1"), ("cat", "../store/2"), ("loop", "."), ("gone", "nowhere")):
        (tmp_path / "in" / name).symlink_to(target)
    source = only(tmp_path / "in", labels="folders")
    assert [os.path.relpath(name, source.name) for name in source.names()] == [
        "cat/b.png",
        "dog/a.png",
        "gone",
        "loop",
    ]
    assert source.label_names == ["cat", "dog"]
    assert source.labels.tolist() == [0, 1, -1, -1]
    assert set(problems(source)) == {"gone", "loop"}


def test_all_missing_inputs_are_named_at_once(tmp_path):
    save_image(tmp_path / "a.png")
    (tmp_path / "broken.png").symlink_to("nothing")
    inputs = [str(tmp_path / name) for name in ("a.png", "b.png", "broken.png")]
    with pytest.raises(DataError, match=r"^2 of 3 inputs do not exist: \S+/b\.png, \S+/broken\.png$"):
        open_sources(inputs)
    with pytest.raises(DataError, match=r"20 of 20 inputs do not exist: (\S+, ){9}\S+ and 10 more$"):
        open_sources([str(tmp_path / f"{i}.png") for i in range(20)])
    refused(tmp_path / "broken.png", "broken symbolic link")


def test_oddities_are_told_once_and_few_by_name(tmp_path, monkeypatch):
    told = []
    odd = lambda path, color, limit, warn, lose, frame: warn(f"{path} is odd")  # noqa: E731
    monkeypatch.setattr(module, "read_image", odd)
    names = [str(tmp_path / f"{i}.png") for i in range(15)]
    for name in names:
        save_image(tmp_path / name)
    notes = Notes(told.append)
    (source,) = open_sources(names, notes=notes)
    for i in range(30):
        source.read(i // 2)
    assert told == []
    for text in notes.taken() * 2:
        notes.say(text)
    assert notes.taken() == []
    assert told == [
        *(f"{name} is odd" for name in names[:10]),
        "more images are like that; they are not named",
    ]


def test_unreadable_folder_is_no_empty_one(tmp_path, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        find_images(str(tmp_path), [".png"])


def test_files_are_gathered_and_opened_late(tmp_path):
    save_image(tmp_path / "a.png", 1)
    save_image(tmp_path / "folder" / "b.png", 2)
    (tmp_path / "broken.png").write_text("no image\n")
    np.save(tmp_path / "c.npy", STACK)
    names = [str(tmp_path / name) for name in ("a.png", "broken.png", "c.npy", "a.png", "folder")]
    sources = open_sources(names)
    assert [len(source) for source in sources] == [2, 5, 1, 1]
    with pytest.raises(DataError, match=r"broken\.png: is no image"):
        sources[0].read(1)
    refused(tmp_path / "missing.png", "no such file or folder")
    refused(tmp_path / "bad\x1b[31mname", "no such file or folder")


def test_colour_or_grey(tmp_path):
    np.save(tmp_path / "x.npy", COLOUR)
    assert_stack(only(tmp_path / "x.npy", color="rgb"), COLOUR)
    assert only(tmp_path / "x.npy").read(1).shape == (4, 6, 1)
    np.save(tmp_path / "x.npy", STACK)
    np.testing.assert_array_equal(only(tmp_path / "x.npy", color="rgb").read(3), np.dstack([STACK[3]] * 3))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx(tmp_path, pack):
    (tmp_path / "images").write_bytes(pack(idx(STACK)))
    (tmp_path / "labels").write_bytes(pack(idx(np.array([3, 1, 4, 1, 5]))))
    source = only(tmp_path / "images", labels=str(tmp_path / "labels"))
    assert_stack(source)
    assert source.whole_by_default
    assert source.labels.tolist() == [3, 1, 4, 1, 5]
    assert source.labels.dtype == np.int64
    assert source.label_names is None
    refused(tmp_path / "labels", r"starts with 00000801, wanted an IDX file of images \(magic 2051\)")
    refused(tmp_path / "images", "wanted an IDX file of labels", labels=str(tmp_path / "images"))
    (tmp_path / "labels").write_bytes(pack(idx(np.array([3, 1]))))
    refused(tmp_path / "images", "2 labels for 5 images", labels=str(tmp_path / "labels"))


def test_labels_are_shared_out_over_the_sources(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(idx(STACK))
    (tmp_path / "labels").write_bytes(idx(np.arange(10)))
    sources = open_sources([str(tmp_path / "a"), str(tmp_path / "b")], labels=str(tmp_path / "labels"))
    assert [source.labels.tolist() for source in sources] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_idx_bombs_and_damage(tmp_path):
    path = tmp_path / "x"
    bomb = struct.pack(">4I", 2051, 60_000, 2**15, 2**15)
    for data, message in (
        (bomb, "declares 64,424,509,440,000 bytes of data, the file has 0"),
        (gzip.compress(bomb), "its contents would take 64.4 TB of memory, 268 MB are allowed"),
        (idx(STACK)[:-1], "declares 120 bytes of data, "),
        (gzip.compress(idx(STACK)[:-1]), "119 are there"),
        (gzip.compress(idx(STACK) + bytes(10**7)), "more are there"),
        (gzip.compress(idx(STACK))[:-12], "is damaged or cut off"),
        (gzip.compress(idx(STACK))[:30] + bytes(60), "is damaged or cut off"),
        (gzip.compress(b"text"), "starts with 74657874"),
        (gzip.compress(b""), "starts with nothing"),
        (idx(STACK)[:7], "wanted an IDX file"),
        (struct.pack(">4I", 2051, 0, 28, 28), "is empty"),
        (struct.pack(">4I", 0x00000D03, 1, 1, 1) + bytes(4), "wanted an IDX file of images|is no image"),
    ):
        path.write_bytes(data)
        try:
            sources = open_sources([str(path)])
        except DataError as error:
            found = str(error)
        else:
            with pytest.raises(DataError) as caught:
                sources[0].read(0)
            found = str(caught.value)
        assert any(part in found for part in message.split("|")), found


def test_cifar(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 32, 32, 3), np.uint8)
    rows = np.hstack([np.array([[9], [0], [0]], np.uint8), images.transpose(0, 3, 1, 2).reshape(3, -1)])
    rows[1, 1:4] = 0, 8, 3  # a dark corner in row 1 is no IDX magic
    images[1, 0, :3, 0] = 0, 8, 3
    (tmp_path / "data_batch_1.bin").write_bytes(rows[[1, 0, 2]].tobytes())
    source = only(tmp_path / "data_batch_1.bin", color="rgb")
    assert_stack(source, images[[1, 0, 2]])
    assert source.labels.tolist() == [0, 9, 0]
    assert source.label_names == CIFAR_NAMES
    assert source.whole_by_default
    (tmp_path / "x.bin").write_bytes(rows.tobytes()[:-1])
    refused(tmp_path / "x.bin", "wanted a CIFAR-10 batch")
    (tmp_path / "x.bin").write_bytes(b"\x0a" + bytes(3072))
    refused(tmp_path / "x.bin", "label 10, wanted 0..9")


def test_cifar_100_and_names_beside(tmp_path):
    """The second label is the finer one; names come from the text beside, where there is one."""
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    pixels = images.transpose(0, 3, 1, 2).reshape(2, -1)
    rows = np.hstack([np.array([[4, 99], [19, 11]], np.uint8), pixels])
    (tmp_path / "train.bin").write_bytes(rows.tobytes())
    source = only(tmp_path / "train.bin", color="rgb")
    assert_stack(source, images)
    assert source.labels.tolist() == [99, 11]
    assert source.label_names is None
    names = [f"class {i}" for i in range(100)]
    (tmp_path / "fine_label_names.txt").write_text("\n".join(names) + "\n")
    assert only(tmp_path / "train.bin").label_names == names
    (tmp_path / "fine_label_names.txt").write_text("\n".join(names[:99]))
    refused(tmp_path / "train.bin", "label 99, wanted 0..98: no CIFAR-100 batch")
    (tmp_path / "batch.bin").write_bytes(np.hstack([rows[:, :1], pixels]).tobytes())
    refused(tmp_path / "batch.bin", "label 19, wanted 0..9: no CIFAR-10 batch")
    (tmp_path / "batches.meta.txt").write_text("\n".join(names[:20]) + "\n\n")
    assert only(tmp_path / "batch.bin").label_names == names[:20]
    for text in (b"", b"a\na\n", b"\xff\n", b"a\0\nb"):
        (tmp_path / "batches.meta.txt").write_bytes(text)
        refused(tmp_path / "batch.bin", "wanted the names of the labels of")


def test_npy_shapes_and_orders(tmp_path):
    path = tmp_path / "x.npy"
    for array, stack in ((STACK[:1], STACK[:1]), (STACK, STACK), (np.asfortranarray(STACK), STACK)):
        np.save(path, array)
        assert_stack(only(path), stack)
    np.save(path, STACK[:1])
    assert only(path).names() == [str(path)]
    np.save(path, STACK[..., None])
    assert_stack(only(path), STACK)
    np.save(path, STACK[:, :, :3])
    refused(path, r"may be one colour image or a stack of grey ones; save colour as \(1, h, w, 3\)")
    for array in (np.zeros(3), np.zeros((1, 3, 4, 4)), np.zeros((2, 0, 4)), np.zeros((1, 1, 1, 1, 1))):
        np.save(path, array)
        refused(path, r"wanted n rows \(n, d\) or n images|is no whole .npy")
    np.save(path, np.zeros((2, 3, 4, 4)))
    refused(path, r"put the colours last: X.transpose\(0, 2, 3, 1\)$")
    np.save(path, np.zeros((2, 3, 4, 4)).transpose(0, 2, 3, 1))
    assert only(path).read(0).shape == (4, 4, 1)


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        ("u1", "u1"),
        ("i8", "u1"),
        (">u2", "u2"),
        ("<u2", "u2"),
        ("f4", "f4"),
        (">f8", "f4"),
        ("f2", "f4"),
        ("i1", "u1"),
    ],
)
def test_number_types(tmp_path, dtype, stored):
    np.save(tmp_path / "x.npy", STACK.astype(dtype))
    source = only(tmp_path / "x.npy")
    assert source.read(0).dtype == stored
    assert_stack(source)


def test_integers_and_booleans(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([[0, 65_535]]))
    assert only(path).read(0).dtype == np.uint16
    np.save(path, np.array([[False, True]]))
    assert only(path).read(0).ravel().tolist() == [0, 255]
    for bad in (-1, 65_536):
        np.save(path, np.array([[0, bad]]))
        refused(path, "wanted 0..255 or 0..65535")
    np.save(path, np.array([[1j]]))
    refused(path, "complex128 values, wanted integers or floats")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_non_finite_images_are_named(tmp_path, bad):
    array = np.zeros((5, 4, 6))
    array[2, 1, 1] = array[4, 0, 0] = bad
    np.save(tmp_path / "x.npy", array)
    refused(tmp_path / "x.npy", r"x\.npy: image 2 holds NaN or infinity \(2 of 5 images do\)")


def npy_header(shape, descr="|u1"):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def test_npy_and_npz_that_lie(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.npy"
    objects = io.BytesIO()
    np.save(objects, np.array([[Bomb(), 1]], object), allow_pickle=True)
    lies = [
        npy_header((2**20, 2**20)) + bytes(10),
        npy_header((2**62, 2**62)),
        npy_header((-4, -4)) + bytes(16),
        objects.getvalue(),
        npy_header((4, 4))[:20],
        npy_header((4, 4), "O") + bytes(128),
        npy_header((4, 4), "S4") + bytes(64),
    ]
    for data in lies:
        path.write_bytes(data)
        refused(path, "x.npy: (is no whole|.* values, wanted)")
        with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", data)
        refused(tmp_path / "x.npz", "x.npz")
    path.write_bytes(b"text")
    refused(path, "is damaged or no .npy file")
    assert not (tmp_path / "unpickled").exists()


def test_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x_train=STACK, x_test=STACK[::-1], y_train=np.arange(5))
    sources = open_sources([str(path)])
    assert [source.name for source in sources] == [f"{path}:x_test", f"{path}:x_train"]
    assert_stack(sources[1])
    np.savez(path, y=np.arange(5))
    refused(path, "has no array of numbers of 2, 3 or 4 dimensions")
    np.savez_compressed(path, x=STACK)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused(path, "is no whole .npz file")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy_header((4, 4)) + bytes(16))
    refused(path, "packed otherwise than numpy does")


@pytest.mark.parametrize("compress", [True, False])
def test_mat_v5(tmp_path, compress):
    """(h, w, n) as in Olshausen's IMAGES.mat, (h, w, 3, n), a double array that was packed as bytes."""
    path = tmp_path / "x.mat"
    images = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)
    scipy.io.savemat(path, {"IMAGES": images, "note": "text", "y": np.arange(5)}, do_compression=compress)
    source = only(path)
    assert_stack(source, images.transpose(2, 0, 1))
    assert source.read(0).dtype == np.float32
    scipy.io.savemat(path, {"X": COLOUR.transpose(1, 2, 3, 0), "y": np.ones((2, 2))}, do_compression=compress)
    assert_stack(only(path, color="rgb"), COLOUR)
    scipy.io.savemat(path, {"b": STACK[0], "a": STACK[1].astype(float)}, do_compression=compress)
    sources = open_sources([str(path)])
    assert [source.name for source in sources] == [f"{path}:a", f"{path}:b"]
    assert sources[0].read(0).dtype == np.float32
    scipy.io.savemat(path, {"image": np.zeros((4, 6, 3))})
    refused(path, "may be one colour image or a stack of grey ones")
    scipy.io.savemat(path, {"x": "text"})
    refused(path, "has no array of numbers of 2, 3 or 4 dimensions")
    path.write_bytes(path.read_bytes()[:150])
    refused(path, "is no whole MATLAB 5 file")
    path.write_bytes(b"text " * 100)
    refused(path, "is no whole MATLAB 5 file")


@pytest.mark.parametrize("compress", [True, False])
def test_mat_v5_agrees_with_scipy(tmp_path, compress):
    path, rng = str(tmp_path / "x.mat"), np.random.default_rng(0)
    arrays = {f"x{i}": (rng.normal(size=(3, 4, 2)) * 100).astype(dtype) for i, dtype in enumerate(
        ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "bool"])}  # fmt: skip
    arrays |= {
        "scalar": np.array([[7.0]]),
        "a_name_longer_than_four": np.zeros((0, 3)),
        "row": np.arange(5.0)[None],
    }
    others = {"text": "abc", "cell": np.array([1, "x"], object), "z": np.array([[1j]]), "s": {"field": 1}}
    scipy.io.savemat(path, arrays | others, do_compression=compress)
    found, wanted = read_mat5(path), scipy.io.loadmat(path, mat_dtype=True, variable_names=list(arrays))
    assert sorted(found) == sorted(arrays)
    for name, array in found.items():
        np.testing.assert_array_equal(array, wanted[name])
        assert array.dtype == (bool if name == "x10" else wanted[name].dtype), name


def test_damaged_containers_are_read_or_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=STACK)
    np.save(tmp_path / "a.npy", STACK.astype(float))
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(STACK)))
    for compress in (True, False):
        scipy.io.savemat(tmp_path / f"{compress}.mat", {"x": STACK, "text": "t"}, do_compression=compress)
    seeds, rng = sorted((path.suffix, path.read_bytes()) for path in tmp_path.iterdir()), random.Random(0)
    for _ in range(1000):
        suffix, data = rng.choice(seeds)
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 2, 6))):
            damaged[rng.randrange(len(data))] = rng.choice((0, 127, 255, rng.randrange(256)))
        (tmp_path / f"x{suffix}").write_bytes(damaged)
        try:
            for source in open_sources([str(tmp_path / f"x{suffix}")]):
                assert all(source.read(i).ndim == 3 for i in range(len(source)))
        except DataError as error:
            message = str(error)
            assert message.isprintable()


def test_mat_v73(tmp_path):
    path = tmp_path / "x.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        # MATLAB's (4, 6, 5), reversed
        file.create_dataset("IMAGES", data=STACK.transpose(0, 2, 1), compression=3)
        file["#refs#/x"] = 1
        file["text"] = np.array([[104], [105]], np.uint16)
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    assert_stack(only(path))


def test_labels_by_folders(tmp_path):
    for name in (
        "train/dog/1.png",
        "train/cat/2.png",
        "train/cat/deep/3.png",
        "more/bird/4.png",
        "more/cat/5.png",
    ):
        save_image(tmp_path / name)
    sources = open_sources([str(tmp_path / "train"), f"{tmp_path}/more/"], labels="folders")
    assert [source.label_names for source in sources] == [["bird", "cat", "dog"]] * 2
    assert sources[0].labels.tolist() == [1, 1, 2]
    assert sources[1].labels.tolist() == [0, 1]
    save_image(tmp_path / "train" / "loose.png")
    refused(tmp_path / "train", r"loose\.png: lies in no class folder", labels="folders")
    refused(tmp_path / "train" / "loose.png", "need folders of images", labels="folders")


@pytest.mark.parametrize("chunks", [None, (100, 37)])
def test_rows_of_any_hdf5_file_are_examples(tmp_path, chunks):
    X = np.random.default_rng(0).normal(size=(300, 37)).astype(np.float32)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("activations", data=X, chunks=chunks, compression=chunks and "gzip")
        file["note"] = "not numbers"
        file.create_group("more")["deeper"] = X
    (source,) = open_sources([str(tmp_path / "x.h5")])
    assert (len(source), source.whole_by_default) == (300, True)
    np.testing.assert_array_equal(source.read(7), X[7, None, :, None])
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["images"], file["rows"] = np.zeros((4, 6, 5), np.uint8), X
    images = only(tmp_path / "y.h5")
    assert (images.read(0).shape, images.whole_by_default) == ((6, 5, 1), False)
    rows = only(f"{tmp_path}/y.h5:rows")
    assert (rows.name, len(rows), rows.whole_by_default) == (f"{tmp_path}/y.h5:rows", 300, True)
    X[3, 3] = np.nan
    with h5py.File(tmp_path / "z.h5", "w") as file:
        file["x"] = X
    refused(tmp_path / "z.h5", "row 3 holds NaN or infinity")


def test_other_files_are_no_images(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = 1
    refused(tmp_path / "x.h5", "has no array of numbers of 2, 3 or 4 dimensions")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "x.h5").read_bytes()[:100])
    refused(tmp_path / "cut.h5", "damaged or cut off")
    os.mkfifo(tmp_path / "fifo")
    refused(tmp_path / "fifo", "is a device, pipe or socket")


def test_read_paths():
    assert read_paths(io.BytesIO(b"a.png\nb c.png\n\n\xff.png\n")) == ["a.png", "b c.png", "\udcff.png"]
    assert read_paths(io.BytesIO(b"a\nb.png\0c.png\0"), null=True) == ["a\nb.png", "c.png"]
    with pytest.raises(DataError, match="add -0"):
        read_paths(io.BytesIO(b"a\0b\0"))
    with pytest.raises(DataError, match="is empty"):
        read_paths(io.BytesIO(b"\n\n"))
