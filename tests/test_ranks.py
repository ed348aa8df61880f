"""Ranks under mpiexec: the bytes of one process, one voice, one end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ENVIRONMENT
from featlearn import ends, panels, ranks
from featlearn.files.dataset import read_dataset
from featlearn.files.model import read_model
from featlearn.ops.reduce import column_sum, group_sums, outer_means, outer_sum
from helpers import same
from launched import HERE, MPIEXEC, TIMEOUT, YIELDING, ended, found_by, parents, ranks_of, together

LARGE = ("--batch-size", "1024", "--threads", "1")


@pytest.fixture(scope="module")
def rows(tmp_path_factory, run_here):
    """A data set of 1500 rows of 25 values."""
    folder = tmp_path_factory.mktemp("ranks")
    generator = np.random.default_rng(0)
    X = generator.normal(size=(1500, 4)) @ generator.normal(size=(4, 25))
    X = (255 * (X - X.min()) / np.ptp(X)).astype(np.uint8)
    np.save(folder / "rows.npy", X.reshape(-1, 5, 5))
    ran = run_here("extract-patches", folder / "rows.npy", "-o", folder / "rows.h5")
    assert ran.code == 0, ran.err
    return folder / "rows.h5"


@given(n=st.integers(1, 100_000), size=st.integers(1, 70))
def test_ranks_share_rows_by_whole_panels(n, size):
    shares = [panels.share_of(n, rank, size) for rank in range(size)]
    assert [one.start for one in shares[1:]] == [one.stop for one in shares[:-1]]
    assert (shares[0].start, shares[-1].stop) == (0, n)
    assert [i for one in shares for i in one.panels] == list(range(-(-n // panels.panel(n))))
    for one in shares:
        assert one.panel % panels.BLOCK == 0
        assert one.start % one.panel == 0 or one.start == n
    numbers = [len(one.panels) for one in shares]
    assert sum(numbers) <= panels.PANELS
    assert max(numbers) - min(numbers) <= 1
    assert numbers[0] > 0


def test_a_context_leaves_the_shares_as_they_were(monkeypatch):
    monkeypatch.setattr(ranks, "size", 2)
    with ranks.sharing(1000):
        outside = ranks._share
        with ranks.sharing(10, 1):
            assert ranks._share != outside
        assert ranks._share is outside
        with ranks.alike():
            assert ranks._share is None
        assert ranks._share is outside
    assert ranks._share is None


def test_the_first_rank_makes_nothing_before_all_have_begun(monkeypatch):
    """Else it writes an output that a late one then refuses, where that one has nothing to make."""
    done = []

    class Comm:
        def Ibarrier(self):
            return self

        def Test(self):
            done.append("barrier")
            return True

    monkeypatch.setattr(ranks, "size", 2)
    monkeypatch.setattr(ranks, "_comm", Comm())
    monkeypatch.setattr(ends, "look", lambda: None)
    assert len(list(ranks.to_first(lambda i: done.append("made") or np.ones(1), np.ones, 1))) == 1
    monkeypatch.setattr(ranks, "rank", 1)
    assert not list(ranks.to_first(lambda i: done.append("made"), np.ones, 1))
    assert done == ["barrier", "made", "barrier"]


def test_up_to_64_blocks_a_panel_is_a_block():
    assert panels.panel(64 * 256) == 256
    assert panels.panel(64 * 256 + 1) == 512


def test_a_sum_of_many_rows_goes_panel_by_panel(monkeypatch):
    """Of six blocks and two panels: three blocks, plus three blocks."""
    generator = np.random.default_rng(1)
    X, H = (generator.normal(size=(1400, d)).astype("f4") for d in (7, 5))
    group = generator.integers(0, 9, 1400).astype(np.int32)
    parts = [slice(0, 768), slice(768, 1400)]
    monkeypatch.setattr(panels, "PANELS", 2)
    begun = np.ones((7, 5), "f4")
    assert np.array_equal(
        outer_sum(X, H), outer_sum(X[parts[0]], H[parts[0]]) + outer_sum(X[parts[1]], H[parts[1]])
    )
    assert np.array_equal(outer_sum(X, H, 0.3, out=begun), np.float32(0.3) * outer_sum(X, H) + 1)
    assert np.array_equal(column_sum(X), column_sum(X[parts[0]]) + column_sum(X[parts[1]]))
    first, second = (group_sums(X[part], group[part], 9) for part in parts)
    assert np.array_equal(group_sums(X, group, 9), first + second)
    means = [outer_means((X[part], H[part], len(X[part]) / 1400)) for part in parts]
    np.testing.assert_allclose(outer_means((X, H, 1)), means[0] + means[1], rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def bytes_alone(tmp_path_factory):
    return digests(tmp_path_factory.mktemp("alone"), [sys.executable], 2, 1)


def digests(folder, program, threads, *args, of="rank_bytes.py"):
    """What a program of the tests has found."""
    return found_by([*program, HERE / of, "found.json", threads, *args], folder)


@pytest.mark.parametrize(("size", "step"), [(2, 1), (3, 2)])
def test_every_model_has_the_bytes_of_one_process(size, step, bytes_alone, tmp_path):
    found = digests(tmp_path, [str(MPIEXEC), "-n", str(size), sys.executable], 1, step)
    assert len(found) >= len(bytes_alone) // step
    assert [name for name in found if found[name] != bytes_alone[name]] == []


def test_a_stack_has_the_bytes_of_one_process(rows, run_here, tmp_path):
    layers = ("--layer", "rbm:hidden=12,lr=0.05", "--layer", "k-sparse:hidden=9,k=3")
    line = ("train", rows, "--model", "stack", *layers, "--epochs", "2", *LARGE, "-o")
    code, _, err = ended(together((2, [*line, "two.h5"]), cwd=tmp_path))
    assert code == 0, err
    assert run_here(*line, tmp_path / "one.h5").code == 0
    one, two = read_model(str(tmp_path / "one.h5")), read_model(str(tmp_path / "two.h5"))
    for a, b in zip(one.layers, two.layers, strict=True):
        assert same(a.params, b.params)
        assert same(a.history, b.history)
    assert one.content_hash == two.content_hash


def test_codes_have_the_bytes_of_one_process(rows, run_here, tmp_path):
    """Of more rows than two blocks of 4096: the whole data set, but for where it came from."""
    many = tmp_path / "many.npy"
    np.save(many, np.random.default_rng(2).integers(0, 256, (9000, 5, 5), np.uint8))
    assert run_here("extract-patches", many, "-o", tmp_path / "many.h5").code == 0
    model = tmp_path / "model.h5"
    assert run_here("train", rows, "--model", "rbm", "--hidden", "9", "--epochs", "1", "-o", model).code == 0
    line = ("encode", model, tmp_path / "many.h5", "-o")
    code, out, err = ended(together((2, [*line, "two.h5"]), cwd=tmp_path))
    assert code == 0, err
    assert run_here(*line, tmp_path / "one.h5").code == 0
    one, two = (read_dataset(str(tmp_path / name)) for name in ("one.h5", "two.h5"))
    assert np.array_equal(one.patches[:], two.patches[:])
    assert np.array_equal(one.origin[:], two.origin[:])
    assert str(one.preprocess) == str(two.preprocess)
    assert "codes" in out


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, run_here):
    """A folder of data sets of 1300 labelled rows of 25 values, and models of them."""
    folder, rng = tmp_path_factory.mktemp("labelled"), np.random.default_rng(3)
    for name in ("learn", "test"):
        y = rng.integers(0, 3, 1300)
        X = rng.integers(0, 150, (1300, 5, 5))
        X[np.arange(1300), y] += 80
        for what, values in (("images", X), ("labels", y)):
            head = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
            (folder / f"{name}-{what}").write_bytes(head + values.astype(np.uint8).tobytes())
        files = (folder / f"{name}-images", "--labels", folder / f"{name}-labels")
        assert run_here("extract-patches", *files, "-o", folder / f"{name}.h5").code == 0
    for name, model in (
        ("rbm", "rbm --hidden 9"),
        ("gaussian", "rbm --hidden 7 --visible gaussian"),
        ("dbn", "dbn --hidden 9,6"),
        ("net", "network --hidden 8"),
    ):
        line = ("train", folder / "learn.h5", "--model", *model.split(), "--epochs", "1")
        ran = run_here(*line, "-o", folder / f"{name}.h5")
        assert ran.code == 0, ran.err
    return folder


@pytest.fixture(scope="module")
def measured_alone(labelled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    return digests(folder, [sys.executable], 2, labelled, of="rank_measures.py")


@pytest.mark.parametrize("size", [2, 3])
def test_measures_pictures_and_pages_are_those_of_one_process(size, labelled, measured_alone, tmp_path):
    """To the last digit and byte: likelihoods, classifiers, few labels, errors, what is written."""
    program = [str(MPIEXEC), "-n", str(size), sys.executable]
    found = digests(tmp_path, program, 1, labelled, of="rank_measures.py")
    assert [name for name in measured_alone if found.get(name) != measured_alone[name]] == []
    assert found.keys() == measured_alone.keys()
    assert {"plot.png", "page.html", "predictions.npz", "error"} <= found.keys()
    assert found["turns"] == [[i, 1000, 1, [[0, 1]]] for i in range(5)] + ["item 5"]


def test_the_first_rank_prints_the_table(labelled, run_here, tmp_path):
    line = ("evaluate", labelled / "rbm.h5", labelled / "test.h5", "--json")
    code, out, err = ended(together((2, line), cwd=tmp_path))
    alone = run_here(*line)
    assert (code, out, err) == (0, alone.out, alone.err.splitlines())


def test_a_killed_run_goes_on_with_another_number_of_ranks(rows, run_here, tmp_path):
    """To the bytes of a run that nothing happened to, in one process."""
    line = ("train", rows, "--model", "rbm", "--hidden", "60", "--epochs", "150", *LARGE, "-o")
    running = together((2, [*line, "run.h5", "--checkpoint-every", "0.05"]), cwd=tmp_path)
    ckpt = tmp_path / "run.h5.ckpt"
    until = time.monotonic() + TIMEOUT
    while not ckpt.exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(ranks_of(running)[1], signal.SIGKILL)
    killed = time.monotonic()
    assert ended(running)[0] != 0
    assert time.monotonic() - killed < 10
    assert not (tmp_path / "run.h5").exists()
    running = together((3, [*line, "run.h5", "--resume"]), cwd=tmp_path)
    code, _, err = ended(running)
    assert code == 0, err
    assert any(text.startswith("going on with run.h5.ckpt at update ") for text in err)
    assert run_here(*line, tmp_path / "alone.h5").code == 0
    assert (
        read_model(str(tmp_path / "run.h5")).content_hash
        == read_model(str(tmp_path / "alone.h5")).content_hash
    )


def test_a_signal_to_one_rank_ends_all_with_a_checkpoint(rows, tmp_path):
    line = ("train", rows, "--model", "rbm", "--epochs", "100000", *LARGE, "-o", "run.h5")
    running = together((2, [*line, "--checkpoint-every", "0.05"]), cwd=tmp_path)
    until = time.monotonic() + TIMEOUT
    while not (tmp_path / "run.h5.ckpt").exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(ranks_of(running)[1], signal.SIGTERM)
    code, out, err = ended(running)
    assert (code, out) == (128 + signal.SIGTERM, "")
    assert err[-1] == "featlearn: error: stopped by SIGTERM"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.h5.ckpt"]


def test_the_script_for_slurm_goes_on_where_it_was_stopped(run_here, tmp_path):
    """As docs/clusters.md has it; srun is mpiexec here, which gets Slurm's signal before the time is over."""
    text = (HERE.parent / "docs" / "clusters.md").read_text("utf-8")
    script = next(one for one in text.split("```bash\n") if one.startswith("#!/bin/bash")).partition("```")[0]
    assert " --hidden 16384 " in script
    script = script.replace(" --hidden 16384 ", " --hidden 40 ")
    (tmp_path / "job.sh").write_text(script)
    assert subprocess.run(["bash", "-n", "job.sh"], cwd=tmp_path).returncode == 0
    settings = [line for line in script.splitlines() if line.startswith("#SBATCH")]
    assert "--signal=TERM@120" in settings[0].split()
    np.save(tmp_path / "rows.npy", np.random.default_rng(4).integers(0, 256, (4500, 4, 4), np.uint8))
    assert run_here("extract-patches", tmp_path / "rows.npy", "-o", tmp_path / "patches.h5").code == 0
    more = {"FEATLEARN_TRAIN_EPOCHS": "80", "FEATLEARN_TRAIN_THREADS": "1"}

    def submitted(ranks, **options):
        stub = tmp_path / "srun"
        stub.write_text(f'#!/bin/bash\ntest "$1" = --mpi=pmix && shift && exec {MPIEXEC} -n {ranks} "$@"\n')
        stub.chmod(0o755)
        path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            ["bash", "job.sh"], cwd=tmp_path, env=ENVIRONMENT | YIELDING | more | options | {"PATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    running = submitted(2, FEATLEARN_TRAIN_CHECKPOINT_EVERY="0.01")
    ckpt = tmp_path / "k32.h5.ckpt"
    until = time.monotonic() + TIMEOUT
    while not ckpt.exists() and running.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(parents(ranks_of(running)[0])[1], signal.SIGTERM)  # to mpiexec, as to srun
    code, _, err = ended(running)
    assert code == 128 + signal.SIGTERM, err
    assert "featlearn: error: stopped by SIGTERM" in err
    assert ckpt.exists()
    assert not (tmp_path / "k32.h5").exists()
    code, _, err = ended(submitted(3))
    assert code == 0, err
    assert any(text.startswith("going on with k32.h5.ckpt at update ") for text in err)
    line = script.splitlines()[-1].split()[3:]
    line[1] = tmp_path / "patches.h5"
    line[line.index("k32.h5")] = tmp_path / "alone.h5"
    assert run_here(*line, "--epochs", "80").code == 0
    found = [read_model(str(tmp_path / name)).content_hash for name in ("k32.h5", "alone.h5")]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("size", "args", "code", "words"),
    [
        (2, "train nothing.h5 --model rbm -o out.h5", 1, "nothing.h5: no such file or folder"),
        (2, "sample model.h5 -o out.png", 2, "sample: shares no work out over processes yet"),
        (2, "evaluate nothing.h5 {rows}", 1, "nothing.h5: no such file or folder"),
        (3, "train {rows} --model rbm --lr 1e30 --batch-size 1024 -o out.h5", 3, "diverged at epoch 1"),
    ],
)  # fmt: skip
def test_all_ranks_fail_in_one_line_with_the_code_of_one_process(size, args, code, words, rows, tmp_path):
    got, out, err = ended(together((size, args.format(rows=rows).split()), cwd=tmp_path))
    assert (got, out, len(err)) == (code, "", 1), err
    assert words in err[0]


def test_a_rank_that_fails_alone_speaks_for_all(rows, tmp_path):
    line = ("--model", "rbm", *LARGE, "-o", "out.h5")
    parts = (1, ("train", rows, *line)), (1, ("train", "nothing.h5", *line))
    code, out, err = ended(together(*parts, cwd=tmp_path), seconds=60)
    assert (code, out) == (1, "")
    assert err == ["featlearn: error: rank 1 of 2: nothing.h5: no such file or folder"]
    assert not list(tmp_path.iterdir())


FAILING = """
from featlearn.models.rbm import RBM
def fail(self, X, step):
    raise DataError("this rank alone")
if ranks.rank == 1:
    RBM.gradient = fail
"""


def test_a_rank_that_fails_amid_an_update_ends_those_that_wait_for_it(rows, tmp_path):
    line = ("train", rows, "--model", "rbm", *LARGE, "-o", "out.h5")
    code, out, err = ended(together((2, line), cwd=tmp_path, program=FAILING), seconds=60)
    assert (code, out) == (1, "")
    said = [text for text in err if text.startswith("featlearn")]
    assert said == ["featlearn: error: rank 1 of 2: this rank alone"]
    assert not (tmp_path / "out.h5").exists()


def test_ranks_that_learn_from_other_data_are_told(rows, run_here, tmp_path):
    other = tmp_path / "other.h5"
    assert run_here("extract-patches", rows, "-o", other, "--shuffle", "--first", "1200").code == 0
    line = ("--model", "rbm", *LARGE, "-o", "out.h5")
    code, _, err = ended(together((1, ("train", rows, *line)), (1, ("train", other, *line)), cwd=tmp_path))
    assert code == 1
    assert len(err) == 1
    assert "has other data, settings or version of featlearn than rank 0" in err[0]


def test_what_is_said_before_the_start_and_by_info(rows, tmp_path):
    line = ("train", rows, "--model", "rbm", "--epochs", "1", "--batch-size", "100", "-o", "out.h5")
    code, _, err = ended(together((3, line), cwd=tmp_path))
    assert code == 0
    assert err[0] == (
        "--batch-size 100: ranks share blocks of 256 rows, so 1 of 3 have work; --batch-size 768 uses all"
    )
    code, out, _ = ended(together((2, ("info", "--json")), cwd=tmp_path))
    found = json.loads(out)
    assert (code, found["ranks"], found["hosts"]) == (0, 2, 1)
    assert found["mpi"].startswith("MPICH")


@pytest.mark.parametrize("rank", ["0", "1"])
def test_without_mpi4py_one_rank_says_what_to_install(rank):
    program = "import sys; sys.modules['mpi4py'] = None; from featlearn.__main__ import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", program, "info"],
        env=ENVIRONMENT | {"PMI_RANK": rank, "PMI_SIZE": "2"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ('pip install "featlearn[mpi]"' in ran.stderr) == (rank == "0")
    assert len(ran.stderr.splitlines()) == (rank == "0")


def test_a_launcher_of_one_process_changes_nothing(monkeypatch):
    ran = subprocess.run(
        [sys.executable, "-c", "from featlearn.__main__ import main; main()", "info", "--json"],
        env=ENVIRONMENT | {"PMI_RANK": "0", "PMI_SIZE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert ran.returncode == 0
    assert "ranks" not in json.loads(ran.stdout)
