"""Commands but training under mpiexec: the files and words of one process, and one end."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import ok
from launched import HERE, MPIEXEC, TIMEOUT, ended, found_by, ranks_of, together
from rank_commands import Bytes

COUNT = 14  # photographs, each of which has damaged EXIF data


def photograph(seed, h, w, channels=3):
    """Noise that is smooth enough for patches to differ in variance."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (h // 4, w // 4, channels), np.uint8)
    return np.kron(small, np.ones((4, 4, 1), np.uint8))


@pytest.fixture(scope="module")
def images(tmp_path_factory, run_here):
    """A folder of photographs of two classes, odd and damaged ones among them; arrays; models."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "photos" / "a").mkdir(parents=True)
    (folder / "photos" / "b").mkdir()
    for i in range(COUNT):
        pixels = photograph(i, 24 + 4 * (i // 6), 32)
        path = folder / "photos" / "ab"[i % 2] / f"{i:02}.png"
        Image.fromarray(pixels).save(path, exif=b"Exif\0\0MM")
    for name in ("a/05-damaged.png", "b/09-damaged.png"):
        (folder / "photos" / name).write_bytes(b"no image")
    Image.fromarray(photograph(0, 4, 8)).save(folder / "photos" / "b" / "small.png")
    (folder / "list").write_text("".join(f"{folder}/photos/{one}\n" for one in "ab"))
    np.save(folder / "digits.npy", np.stack([photograph(i, 12, 12, 1)[:, :, 0] for i in range(300)]))
    cut = ("extract-patches", folder / "photos", "--size", "6", "--count", "900")
    ok(run_here(*cut, "-o", folder / "grey.h5", "-q"))
    ok(run_here("extract-patches", folder / "digits.npy", "-o", folder / "digits.h5", "-q"))
    learn = ("--model", "k-means", "--hidden", "7", "--iterations", "2", "-q")
    ok(run_here("train", folder / "grey.h5", *learn, "-o", folder / "model.h5"))
    return folder


LINES = [
    "extract-patches {0}/photos --size 6 --count 1000 -o random.h5",
    "extract-patches {0}/photos --size 6 --count 999 --drop-flat 0.5 --whiten pca --color rgb -o flat.h5",
    "extract-patches {0}/photos --size 8 --stride 3 --normalize standardize --labels folders -o grid.h5",
    "extract-patches {0}/photos --exclude *damaged* --pairs --size 5 --count 500 -o pairs.h5",
    "extract-patches {0}/photos --resize 0.5 --linear --size 6 --count 700 --normalize global -o light.h5",
    "extract-patches {0}/photos --like {0}/model.h5 --count 300 --seed 3 -o like.h5",
    "extract-patches {0}/digits.npy --shuffle --first 200 -o some.h5 --rest others.h5",
    "extract-patches {0}/digits.h5 --size 5 --count 2000 --clip 3 --to 0.1,0.9 -o again.h5",
    "extract-patches dead-leaves --images 3 --size 4 --count 500 --dry-run -o nothing.h5",
    "extract-patches shifted-dots --size 5 --count 300 -o dots.h5",
    "extract-patches --files-from - --size 7 --count 200 --normalize contrast -o listed.h5",
    "encode {0}/model.h5 {0}/photos --pool 2x3 --pooling mean --labels folders -o pooled.h5",
    "encode {0}/model.h5 {0}/photos --exclude *damaged* --first 11 --stride 2 -o codes.npz",
    "encode {0}/model.h5 {0}/digits.h5 --pool none -o maps.h5",
    "encode {0}/model.h5 random.h5 -o rows.csv",
]


@pytest.fixture(scope="module")
def alone(images, run_here, tmp_path_factory):
    """(Folder of what one process has written, what it has said)."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = []
        for line in lines_of(images):
            patch.setattr(sys, "stdin", Bytes((images / "list").read_bytes()))
            ran = run_here(*line)
            found.append([ran.code, ran.out, ran.err])
    return folder, found


def lines_of(images):
    return [line.format(images).split() for line in LINES]


@pytest.mark.parametrize("size", [2, 3])
def test_commands_write_and_say_what_one_process_does(size, images, alone, tmp_path):
    (tmp_path / "lines").write_text(json.dumps([lines_of(images), (images / "list").read_text()]))
    found = found_by([MPIEXEC, "-n", size, sys.executable, HERE / "rank_commands.py", "lines"], tmp_path)
    for line, ours, theirs in zip(LINES, found, alone[1], strict=True):
        assert ours == theirs, line
        assert ours[0] == 0, ours
    written = {path.name: path.read_bytes() for path in alone[0].iterdir()}
    assert len(written) >= len(LINES)
    for name, data in written.items():
        assert (tmp_path / name).read_bytes() == data, name
    assert len(list(tmp_path.iterdir())) == len(written) + 2


def test_an_error_of_the_first_rank_alone_is_said_at_once(images, tmp_path):
    """It alone fits the preprocessing, while the others are at their end; the output is not there."""
    np.save(tmp_path / "flat.npy", np.full((4, 40, 40), 9, np.uint8))
    cut = ("--size", "5", "--count", "400", "--normalize", "contrast")
    line = ("extract-patches", "flat.npy", *cut, "-o", "out.h5")
    code, out, err = ended(together((3, line), cwd=tmp_path), seconds=60)
    assert (code, out) == (1, "")
    assert [text for text in err if text.startswith("featlearn")] == err[-1:]
    assert "each of the 400 patches is flat" in err[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["flat.npy"]


READING = """
from featlearn.patches.extract import Plan
def unread(self, origin):
    raise DataError("a disk fails")
if ranks.rank == 1:
    Plan._patches = unread
"""


def test_an_error_of_another_rank_leaves_nothing_behind(images, tmp_path):
    """It is said in one line, and the first rank takes its unfinished output away."""
    line = ("extract-patches", images / "photos", "--size", "6", "--stride", "1", "-o", "out.h5", "-q")
    code, out, err = ended(together((2, line), cwd=tmp_path, program=READING), seconds=60)
    assert (code, out, err) == (1, "", ["featlearn: error: rank 1 of 2: a disk fails"])
    assert not list(tmp_path.iterdir())


def test_ranks_that_read_other_images_are_told(images, tmp_path):
    parts = [(1, ("extract-patches", images / "photos" / one, "--size", "6", "-o", "out.h5")) for one in "ab"]
    code, _, err = ended(together(*parts, cwd=tmp_path), seconds=60)
    assert (code, len(err)) == (1, 1), err
    assert "has other images or settings than rank 0" in err[0]


ELSEWHERE = """
import os
os.chdir(str(ranks.rank))
"""


@pytest.mark.parametrize(
    "line",
    [
        ("evaluate", "model.h5", "data.h5", "--only", "rmse"),
        ("classify", "net.h5", "data.h5", "-o", "told.csv"),
        ("sweep", "data.h5", "--model", "pca", "--set", "hidden=2,3", "-o", "runs"),
        ("extract-patches", "data.npy", "--size", "4", "--count", "9", "-o", "out.h5"),
    ],
    ids=lambda line: line[0],
)
def test_other_files_of_the_same_names_are_told(line, images, run_here, tmp_path):
    for rank in "01":
        folder = tmp_path / rank
        folder.mkdir()
        np.save(folder / "data.npy", np.arange((9 + int(rank)) * 64, dtype=np.uint8).reshape(-1, 8, 8))
        cut = ("extract-patches", images / "photos", "--size", "6", "--seed", rank, "--labels", "folders")
        ok(run_here(*cut, "--count", "90", "-o", folder / "data.h5", "-q"))
        shutil.copy(images / "model.h5", folder)
    net = ("train", tmp_path / "0" / "data.h5", "--model", "softmax", "--epochs", "1", "-q", "-o")
    ok(run_here(*net, tmp_path / "0" / "net.h5"))
    shutil.copy(tmp_path / "0" / "net.h5", tmp_path / "1")
    code, out, err = ended(together((2, line), cwd=tmp_path, program=ELSEWHERE), seconds=60)
    assert (code, out, len(err)) == (1, "", 1), err
    assert " than rank 0 " in err[0]
    assert not list(tmp_path.glob("*/told.csv")) + list(tmp_path.glob("*/out.h5"))


SLOW = """
import time
from featlearn.patches.extract import Plan
before = Plan._patches
def slowly(self, origin):
    open("begun", "w").close()
    time.sleep(1)
    return before(self, origin)
if ranks.rank == 1:
    Plan._patches = slowly
"""


@pytest.mark.parametrize(
    ("who", "number"), [(None, signal.SIGTERM), (1, signal.SIGTERM), (1, signal.SIGKILL)]
)
def test_an_extraction_that_is_stopped_or_killed_is_begun_again(who, number, run_here, tmp_path, monkeypatch):
    """Nothing is half written; what a killed one leaves is no obstacle."""
    cut = ("--images", "4", "--size", "8", "--stride", "2", "--threads", "1")
    line = ("extract-patches", "dead-leaves", *cut, "-o", "out.h5")
    running = together((2, line), cwd=tmp_path, program=SLOW)
    until = time.monotonic() + TIMEOUT
    while not (tmp_path / "begun").exists() and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(running.pid if who is None else ranks_of(running)[who], number)
    ended_at = time.monotonic()
    code, out, err = ended(running, seconds=60)
    assert time.monotonic() - ended_at < 10
    (tmp_path / "begun").unlink()
    if number == signal.SIGTERM:
        assert (code, out) == (128 + number, "")
        said = [text for text in err if text.startswith("featlearn")]
        assert said in ([f"featlearn: error: {place}stopped by SIGTERM"] for place in ("", "rank 1 of 2: "))
        assert not list(tmp_path.iterdir())
    else:
        assert code != 0
        assert not (tmp_path / "out.h5").exists()
    monkeypatch.chdir(tmp_path)
    ok(run_here(*line))
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


SWEEP = ("sweep", "--model", "k-means", "--iterations", "3", "-o", "runs", "--set", "hidden=4,5,2000")


UNLIKE = """
from featlearn.jobs import sweep
sweep.max_memory = lambda: (4 + ranks.rank) << 30
"""


def test_a_sweep_shares_out_its_runs(images, run_here, tmp_path, monkeypatch):
    """It has the files and the table of one process, and a run that fails ends no other; none is repeated."""
    line = (*SWEEP, images / "grey.h5")
    code, out, err = ended(together((3, (*line, "--jobs", "1")), cwd=tmp_path, program=UNLIKE))
    assert code == 1, err
    (failed,) = (text for text in err if text.startswith("failed: "))
    assert failed.startswith("failed: hidden=2000_seed=0: ")
    assert err[-1] == "1 of 3 runs failed"
    (tmp_path / "alone").mkdir()
    monkeypatch.chdir(tmp_path / "alone")
    ran = run_here(*line)
    assert (ran.code, ran.out) == (code, out)
    found, wanted = ({p.name: p.read_bytes() for p in f.iterdir()} for f in (tmp_path / "runs", Path("runs")))
    assert found == wanted
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.h5")}
    code, _, err = ended(together((2, line), cwd=tmp_path))
    assert code == 1
    assert sum(text.endswith("was there") for text in err) == len(times) == 2
    assert times == {path: path.stat().st_mtime_ns for path in times}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_goes_on_after_one_of_its_ranks_was_struck(number, images, run_here, tmp_path, monkeypatch):
    line = ["sweep", images / "grey.h5", "--model", "rbm", "--set", "hidden=9,10", "-o", "runs"]
    line += ["--epochs", "600", "--jobs", "1", "--threads", "1", "--checkpoint-every", "0.1"]
    running = together((2, line), cwd=tmp_path)
    until = time.monotonic() + TIMEOUT
    while len(list(tmp_path.glob("runs/*.ckpt"))) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(ranks_of(running)[1], number)
    struck = time.monotonic()
    code, out, err = ended(running, seconds=60)
    assert time.monotonic() - struck < 10
    assert code == (128 + number if number == signal.SIGTERM else number), err
    assert out == "" or number == signal.SIGKILL  # mpiexec tells of it there
    code, _, err = ended(together((2, line), cwd=tmp_path))
    assert code == 0, err
    assert any("going on with runs/" in text for text in err)
    assert not list(tmp_path.glob("runs/*.ckpt"))
    (tmp_path / "alone").mkdir()
    monkeypatch.chdir(tmp_path / "alone")
    ok(run_here(*line))
    for name in ("table.csv", "table.json"):
        assert (tmp_path / "runs" / name).read_bytes() == Path("runs", name).read_bytes()
