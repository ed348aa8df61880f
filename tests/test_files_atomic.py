"""Outputs: refusals before any work, one writer at a time, whole files under final names, nothing left
behind."""

import errno
import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import featlearn
from featlearn.errors import DataError
from featlearn.files import atomic
from featlearn.files.atomic import Output, check_output, discard, free_space_check, write_bytes

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(featlearn.__file__).parents[1])}


def save(path, data, **options):
    with Output(str(path), **options) as out:
        out.write(data, 0)
        out.commit()


def test_commit_makes_the_file_and_nothing_else(tmp_path):
    save(tmp_path / "a", b"one")
    assert (tmp_path / "a").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a"]


def test_leaving_without_commit_undoes_all(tmp_path):
    save(tmp_path / "a", b"old")
    with Output(str(tmp_path / "a"), force=True) as out:
        out.write(b"new", 0)
        assert os.path.dirname(out.temp) == str(tmp_path)
    with pytest.raises(KeyboardInterrupt), Output(str(tmp_path / "a"), force=True):
        raise KeyboardInterrupt
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_existing_file_needs_force_and_keeps_its_mode(tmp_path):
    save(tmp_path / "a", b"old")
    os.chmod(tmp_path / "a", 0o640)
    with pytest.raises(DataError, match=r"a: exists; use --force"):
        save(tmp_path / "a", b"new")
    save(tmp_path / "a", b"new", force=True)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o640


def test_new_file_has_the_modes_that_umask_leaves(tmp_path):
    old = os.umask(0o027)
    try:
        save(tmp_path / "a", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o640


def test_symbolic_link_is_followed_and_kept(tmp_path):
    (tmp_path / "real").mkdir()
    save(tmp_path / "real" / "a", b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    save(tmp_path / "link", b"new", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"new"


def test_input_is_never_overwritten(tmp_path):
    save(tmp_path / "a", b"x")
    os.link(tmp_path / "a", tmp_path / "same")
    for name in ("a", "same"):
        with pytest.raises(DataError, match="also an input"):
            check_output(str(tmp_path / name), force=True, inputs=["missing", str(tmp_path / "a")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: os.mkfifo(p), "device, pipe or socket"),
        (lambda p: p.symlink_to(p), "circle"),
    ],
)
def test_targets_that_are_no_files(tmp_path, make, message):
    make(tmp_path / "a")
    with pytest.raises(DataError, match=message):
        check_output(str(tmp_path / "a"), force=True)


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    for path, message in (
        (tmp_path / "none" / "a", "does not exist; make it first"),
        (tmp_path / "file" / "a", "Not a directory|is not a folder"),
        ("", "not a file name"),
        ("a\0b", "not a file name"),
        (f"{tmp_path}/", "not a file name"),
        ("-", "standard output"),
    ):
        with pytest.raises(DataError, match=message):
            check_output(str(path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DataError, match="is not writable"):
        check_output(str(tmp_path / "a"))


def test_messages_stay_on_one_line_and_printable(tmp_path):
    with pytest.raises(DataError) as caught:
        check_output(str(tmp_path / "no\nsuch\x1b[31m" / "a"))
    assert str(caught.value).isprintable()


def test_second_writer_in_this_process(tmp_path):
    with Output(str(tmp_path / "a")) as out:
        with pytest.raises(DataError, match="another run is writing it"), Output(str(tmp_path / "a")):
            pass
        out.write(b"first", 0)
        out.commit()
    assert (tmp_path / "a").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


def test_second_writer_in_another_process(tmp_path):
    program = (
        "import sys\nfrom featlearn.errors import DataError\nfrom featlearn.files.atomic import write_bytes\n"
        "try:\n    write_bytes(sys.argv[1], b'second')\nexcept DataError as error:\n    print(error)"
    )
    with Output(str(tmp_path / "a")) as out:
        ran = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "a")],
            env=ENVIRONMENT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        out.write(b"first", 0)
        out.commit()
    assert "another run is writing it" in ran.stdout
    assert (tmp_path / "a").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


def test_a_dead_writers_remains_are_cleaned(tmp_path):
    for name in ("a.lock", "a.tmp-0123abcd"):
        (tmp_path / name).write_bytes(b"")
    for name in ("a.tmp-notmine", "b.tmp-0123abcd", "aa.tmp-0123abcd"):
        (tmp_path / name).write_bytes(b"kept")
    save(tmp_path / "a", b"x")
    assert sorted(os.listdir(tmp_path)) == ["a", "a.tmp-notmine", "aa.tmp-0123abcd", "b.tmp-0123abcd"]


def test_discard_removes_the_file_and_what_dead_writers_left(tmp_path):
    path = tmp_path / "m.ckpt"
    for name in ("m.ckpt", "m.ckpt.lock", "m.ckpt.tmp-01234567", "m.ckpt.notes"):
        (tmp_path / name).write_bytes(b"" if name.endswith("lock") else b"x")
    for _ in range(2):  # also when there is nothing
        discard(str(path))
        assert os.listdir(tmp_path) == ["m.ckpt.notes"]


def test_a_lock_file_with_contents_is_somebodys_own(tmp_path):
    (tmp_path / "a.lock").write_bytes(b"precious")
    save(tmp_path / "a", b"x")
    assert (tmp_path / "a.lock").read_bytes() == b"precious"


def refusing(number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, 524])
def test_file_systems_without_locks(tmp_path, monkeypatch, number):
    """The folder is warned of once; 524 is ENOTSUPP, which some network file systems let through."""
    monkeypatch.setattr(atomic.fcntl, "lockf", refusing(number))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        save(tmp_path / "a", b"x")
        save(tmp_path / "b", b"x")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert [str(one.message) for one in warned] == [
        f"{tmp_path}: files cannot be locked there; let no two runs write the same file"
    ]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("held", [False, True])
def test_a_failing_lock_leaves_the_lock_files_as_they_were(tmp_path, monkeypatch, number, held):
    """Its own empty one goes; one that was there may be another run's."""
    if held:
        (tmp_path / "a.lock").write_bytes(b"")
    monkeypatch.setattr(atomic.fcntl, "lockf", refusing(number))
    with pytest.raises(DataError):
        save(tmp_path / "a", b"x")
    assert os.listdir(tmp_path) == ["a.lock"] * held


def test_lock_removed_between_opening_and_locking_is_taken_anew(tmp_path, monkeypatch):
    true_lockf, calls = atomic.fcntl.lockf, []

    def lockf(fd, how):
        if not calls:
            os.unlink(tmp_path / "a.lock")  # what the finishing holder does
        calls.append(fd)
        true_lockf(fd, how)

    monkeypatch.setattr(atomic.fcntl, "lockf", lockf)
    save(tmp_path / "a", b"x")
    assert len(calls) == 2
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["open", "pwrite", "fsync", "replace", "close"])
def test_every_failing_system_call_is_one_line(tmp_path, monkeypatch, call, number):
    """Each call in turn fails from its n-th use on, or once; the old file stays, or stands complete."""
    save(tmp_path / "a", b"old")
    for sticky in (True, False):
        for n in range(20):
            count, true_call = iter(range(10_000)), getattr(os, call)

            def fail(*args, count=count, true_call=true_call, n=n, sticky=sticky, **options):
                at = next(count)
                if call == "close":
                    true_call(*args)
                if at >= n and (sticky or at == n):
                    raise OSError(number, os.strerror(number))
                return None if call == "close" else true_call(*args, **options)

            with monkeypatch.context() as patch:
                patch.setattr(os, call, fail)
                message = ""
                try:
                    with Output(str(tmp_path / "a"), force=True) as out:
                        out.needs = 7_000_000
                        out.write(b"n", 0)
                        out.write(b"ew", 1)
                        out.commit()
                except DataError as error:
                    message = str(error)
            assert "\n" not in message
            if message and number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and call != "open":
                assert "needs about 7.00 MB" in message
            assert (tmp_path / "a").read_bytes() in (b"old", b"new")
            assert os.listdir(tmp_path) == ["a"]
            if not message and next(count) <= n:
                break
            save(tmp_path / "a", b"old", force=True)
        else:
            pytest.fail("never came through")


def test_errors_without_errno_are_told_by_what_they_came_from(tmp_path):
    def broken_library():
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("cannot decrement id ref count")  # noqa: B904

    with pytest.raises(DataError, match="disk full; free"), Output(str(tmp_path / "a")):
        broken_library()
    with pytest.raises(ZeroDivisionError), Output(str(tmp_path / "a")):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_short_writes_are_continued(tmp_path, monkeypatch):
    true_pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: true_pwrite(fd, bytes(data[:3]), at))
    save(tmp_path / "a", bytes(range(100)))
    assert (tmp_path / "a").read_bytes() == bytes(range(100))


def test_free_space(tmp_path):
    free_space_check(str(tmp_path / "a"), 1000)
    with pytest.raises(DataError, match=r"disk full, the file needs about 1\.15 EB"):
        free_space_check(str(tmp_path / "a"), 1 << 60)


def test_write_bytes(tmp_path):
    write_bytes(str(tmp_path / "a.png"), b"png")
    assert (tmp_path / "a.png").read_bytes() == b"png"
