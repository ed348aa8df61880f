"""Data sets as inputs: fewer of their rows, in another order, in two files, cut or preprocessed again."""

import json

import numpy as np
import pytest
from PIL import Image

from featlearn import _core
from featlearn.files.dataset import read_dataset
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows
from helpers import ok, refused


def extract(run_here, *args):
    return json.loads(ok(run_here("extract-patches", *args, "--json")).out)


def raw(path):
    return np.asarray(read_dataset(str(path)).patches[:])


def rows(path):
    data = read_dataset(str(path))
    return Rows(data.patches, Preprocess.from_dict(data.preprocess)).block(0, len(data.patches))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_here):
    """Pictures of 9x8 pixels in two classes; whole, in colour, and patches cut out of them."""
    folder, rng = tmp_path_factory.mktemp("again"), np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / "in" / name).mkdir(parents=True)
        for i in range(20):
            picture = rng.integers(0, 256, (8, 9, 3)).astype(np.uint8)
            Image.fromarray(picture).save(folder / "in" / name / f"{i:02}.png")
    whole = (folder / "in", "--labels", "folders", "--size", "whole", "--normalize", "standardize")
    extract(run_here, *whole, "-o", folder / "whole.h5")
    extract(run_here, *whole, "--color", "rgb", "-o", folder / "rgb.h5")
    cut = ("--size", 6, "--count", 300, "--normalize", "center", "--whiten", "zca")
    extract(run_here, folder / "in", *cut, "-o", folder / "cut.h5")
    return folder


@pytest.mark.parametrize("name", ["whole.h5", "rgb.h5", "cut.h5"])
def test_the_first_rows_keep_their_preprocessing(name, folder, run_here, tmp_path):
    ran = run_here("extract-patches", folder / name, "--first", 9, "-o", tmp_path / "p.h5")
    assert "rows of a data set: its preprocessing is kept; --normalize" in ok(ran).err
    assert np.array_equal(raw(tmp_path / "p.h5"), raw(folder / name)[:9])
    assert rows(tmp_path / "p.h5").tobytes() == rows(folder / name)[:9].tobytes()
    ours, theirs = read_dataset(str(tmp_path / "p.h5")), read_dataset(str(folder / name))
    assert (ours.shape, ours.label_names) == (theirs.shape, theirs.label_names)
    assert ours.provenance["inputs"][0]["digest"] == theirs.digest
    if theirs.labels is not None:
        assert ours.labels.tolist() == theirs.labels[:9].tolist()


def test_two_files_share_out_all_rows_in_random_order(folder, run_here, tmp_path):
    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    made = []
    for seed, threads in ((0, 1), (0, 2), (1, 1)):
        args = ("--shuffle", "--first", 30, "--rest", b, "--seed", seed, "--force", "--threads", threads)
        report = extract(run_here, folder / "whole.h5", *args, "-o", a)
        assert (report["patches"], report["rest_patches"], report["rest"]) == (30, 10, str(b))
        data = [read_dataset(str(path)) for path in (a, b)]
        made.append(np.concatenate([np.asarray(one.patches[:]) for one in data]))
        labels = np.concatenate([one.labels for one in data])
        whole = read_dataset(str(folder / "whole.h5"))
        by_row = {row.tobytes(): label for row, label in zip(whole.patches[:], whole.labels, strict=True)}
        assert len(by_row) == 40
        assert [by_row.pop(row.tobytes()) for row in made[-1]] == labels.tolist()
        assert not by_row
        assert {0, 1} == set(data[0].labels.tolist())
        assert rows(b).tobytes() == Preprocess.from_dict(data[0].preprocess).apply(raw(b)).tobytes()
    _core.set_threads(2)
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_images_are_shuffled_and_shared_out_too(folder, run_here, tmp_path):
    """The rest has the preprocessing that the first ones alone have fitted."""
    args = ("--shuffle", "--first", 25, "--size", "whole", "--normalize", "standardize", "--rest")
    extract(run_here, folder / "in", *args, tmp_path / "b.h5", "-o", tmp_path / "a.h5")
    a, b = read_dataset(str(tmp_path / "a.h5")), read_dataset(str(tmp_path / "b.h5"))
    assert sorted(a.images + b.images) == sorted(map(str, (folder / "in").glob("*/*.png")))
    mean = (raw(tmp_path / "a.h5") / 255).mean(axis=0)
    for data in (a, b):
        assert np.allclose(data.preprocess["mean"], mean)
    args = ("--first", 30, "--size", 4, "--count", 50, "--rest", tmp_path / "d.h5")
    extract(run_here, folder / "in", *args, "-o", tmp_path / "c.h5")
    c, d = read_dataset(str(tmp_path / "c.h5")), read_dataset(str(tmp_path / "d.h5"))
    assert (len(c.patches), len(d.patches)) == (50, 50)
    assert not set(c.images) & set(d.images)


@pytest.mark.parametrize("normalize", ["contrast", "global"])
def test_another_preprocessing_is_fitted_to_the_pixels(normalize, folder, run_here, tmp_path):
    """As if the images were extracted with it in the first place."""
    extract(run_here, folder / "cut.h5", "--normalize", normalize, "-o", tmp_path / "again.h5")
    cut = ("--size", 6, "--count", 300, "--drop-flat", 0.2, "--normalize", normalize)
    extract(run_here, folder / "in", *cut, "-o", tmp_path / "direct.h5")
    assert rows(tmp_path / "again.h5").tobytes() == rows(tmp_path / "direct.h5").tobytes()
    extract(
        run_here, folder / "whole.h5", "--like", tmp_path / "again.h5", "--stride", 9, "-o", tmp_path / "l.h5"
    )
    assert read_dataset(str(tmp_path / "l.h5")).preprocess["normalize"] == normalize


def test_patches_are_cut_out_of_rows(folder, run_here, tmp_path):
    extract(run_here, folder / "rgb.h5", "--size", 4, "--stride", 4, "-o", tmp_path / "p.h5")
    whole = raw(folder / "rgb.h5").reshape(-1, 8, 9, 3)
    found = raw(tmp_path / "p.h5").reshape(-1, 2, 2, 4, 4, 3)
    assert np.array_equal(found[:, 1, 0], whole[:, 4:8, :4])
    labels = read_dataset(str(tmp_path / "p.h5")).labels
    assert labels.tolist() == read_dataset(str(folder / "rgb.h5")).labels.repeat(4).tolist()
    assert extract(run_here, folder / "rgb.h5", "--color", "gray", "-o", tmp_path / "g.h5")["shape"] == [
        8,
        9,
        1,
    ]
    grey = np.asarray(Image.open(folder / "in" / "cat" / "00.png").convert("L"))
    assert np.array_equal(raw(tmp_path / "g.h5")[0].reshape(8, 9), grey)


def test_data_sets_of_one_preprocessing_are_put_together(folder, run_here, tmp_path):
    for i, more in enumerate((("--first", 15), ("--shuffle", "--first", 7))):
        extract(run_here, folder / "whole.h5", *more, "-o", tmp_path / f"{i}.h5")
    extract(run_here, tmp_path / "0.h5", tmp_path / "1.h5", "-o", tmp_path / "both.h5")
    assert np.array_equal(
        rows(tmp_path / "both.h5"), np.concatenate([rows(tmp_path / "0.h5"), rows(tmp_path / "1.h5")])
    )


def test_rows_are_shrunk_where_they_are_images(folder, run_here, tmp_path):
    p, q = tmp_path / "p.h5", tmp_path / "q.h5"
    extract(run_here, folder / "whole.h5", "--resize", "3x4", "-o", p)
    direct = (folder / "in", "--resize", "3x4", "--size", "whole", "-o", q)
    extract(run_here, *direct)
    assert np.array_equal(raw(p), raw(q))
    assert read_dataset(str(p)).preprocess["resize"] == "3x4"
    extract(run_here, p, "--shuffle", "--normalize", "global", "-o", q, "--force")
    assert read_dataset(str(q)).preprocess["resize"] == "3x4"
    extract(run_here, folder / "in", "--like", p, "-o", q, "--force")
    assert np.array_equal(raw(p), raw(q))
    extract(run_here, folder / "whole.h5", "--like", p, "-o", q, "--force")
    assert np.array_equal(raw(p), raw(q))
    out = ("-o", tmp_path / "no.h5")
    ran = run_here("extract-patches", p, "--resize", 0.5, *out)
    refused(ran, "were read with --resize 3x4, and are not resized twice; extract the images themselves")
    again = tmp_path / "again.h5"
    extract(run_here, folder / "cut.h5", "--first", 40, "-o", again)
    for cut in (folder / "cut.h5", again):
        ran = run_here("extract-patches", cut, "--resize", "3x3", *out)
        refused(ran, "its rows are patches of larger images", "give a factor")
    assert extract(run_here, again, "--resize", 0.5, *out)["shape"] == [3, 3, 1]
    refused(run_here("extract-patches", p, folder / "in", *out, "--force"), "give them one by one")


def test_codes_are_rows(folder, work, run_here, tmp_path):
    ok(run_here("encode", work.model, work.patches, "-o", tmp_path / "codes.h5"))
    extract(run_here, tmp_path / "codes.h5", "--shuffle", "--first", 5, "-o", tmp_path / "five.h5")
    assert set(map(bytes, raw(tmp_path / "five.h5"))) < set(map(bytes, raw(tmp_path / "codes.h5")))
    out = ("-o", tmp_path / "no.h5")
    refused(
        run_here("extract-patches", tmp_path / "codes.h5", "--resize", 0.5, *out), "holds rows of numbers"
    )
    refused(run_here("extract-patches", tmp_path / "codes.h5", "--color", "rgb", *out), "have no colour")
    ok(run_here("encode", work.model, work.photos, "--pool", "2x3", "-o", tmp_path / "maps.h5"))
    extract(run_here, tmp_path / "maps.h5", "--first", 2, "-o", tmp_path / "two.h5")
    assert read_dataset(str(tmp_path / "two.h5")).shape == (2, 3, 12)
    assert np.array_equal(raw(tmp_path / "two.h5"), raw(tmp_path / "maps.h5")[:2])
    refused(run_here("extract-patches", tmp_path / "maps.h5", "--color", "gray", *out), "have no colour")


@pytest.mark.parametrize(
    ("args", "words", "code"),
    [
        (("whole.h5", "--count", 9), "are taken whole; --shuffle --first N draws so many", 2),
        (("whole.h5", "cut.h5"), "its preprocessing is not that of", 1),
        (("whole.h5", "--linear"), "its images were read as they are; extract the images themselves", 1),
        (("whole.h5", "--first", 41), "there are only 40 images", 1),
        (("whole.h5", "--first", 40, "--rest", "r.h5"), "takes all images", 1),
        (("whole.h5", "--first", 4, "--rest", "no.h5"), "is the output itself", 2),
        (("whole.h5", "--first", 4, "--rest", "r.png"), "would be HDF5 under a name of another format", 2),
        (("whole.h5", "--rest", "r.h5"), "--rest: does nothing without --first", 2),
        (("whole.h5", "--first", 4, "-o", "whole.h5", "--force"), "is also an input", 1),
        (("whole.h5", "--first", 4, "--rest", "whole.h5", "--force"), "is also an input", 1),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_one_line(args, words, code, folder, run_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = [folder / arg if str(arg) in ("whole.h5", "cut.h5") else arg for arg in args]
    refused(run_here("extract-patches", "-o", "no.h5", *named), words, code=code)
    assert not list(tmp_path.iterdir())


def test_a_model_is_no_input(work, run_here, tmp_path):
    ran = run_here("extract-patches", work.model, "-o", tmp_path / "no.h5")
    refused(ran, "is a model, wanted images or a data set")
