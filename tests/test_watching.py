"""Pictures of a run's filters while it learns: which there are, and that the model is the same."""

import json

import numpy as np
import pytest
from PIL import Image

from featlearn.jobs.store import load_model
from featlearn.pictures.mosaic import mosaic


def train(work, run_here, folder, *args, name="m.h5", epochs=5):
    """Fixed seed and rate, one thread: a run to be compared."""
    more = ("--epochs", epochs, "--hidden", 9, "--lr", 0.05, "-o", folder / name)
    return run_here("train", work.patches, "--model", "rbm", *more, *args)


def stills(folder, name="m.watch"):
    return sorted(path.name for path in (folder / name).iterdir())


def test_filters_are_drawn_every_so_many_epochs_and_at_the_end(work, run_here, tmp_path):
    for name in ("m.h5", "plain.h5"):
        more = ("--watch", 2, "--movie", tmp_path / "m.gif") if name == "m.h5" else ()
        assert train(work, run_here, tmp_path, *more, name=name).code == 0
    assert stills(tmp_path) == ["epoch-00002.png", "epoch-00004.png", "epoch-00005.png"]
    learned, plain = (load_model(str(tmp_path / name)) for name in ("m.h5", "plain.h5"))
    assert learned.file.content_hash == plain.file.content_hash, "to be watched changes nothing"
    F = learned.preprocess.to_pixels(learned.model.filters()).reshape(-1, *learned.shape)
    with Image.open(tmp_path / "m.watch" / "epoch-00005.png") as last:
        assert np.array_equal(np.asarray(last), mosaic(F))
    with Image.open(tmp_path / "m.gif") as movie:
        assert (movie.format, movie.n_frames) == ("GIF", 3)
        for i, name in enumerate(stills(tmp_path)):
            movie.seek(i)
            with Image.open(tmp_path / "m.watch" / name) as still:
                assert np.array_equal(np.asarray(movie.convert("L")), np.asarray(still))


def test_a_movie_can_be_a_png(work, run_here, tmp_path):
    args = ("--watch", 1, "--movie", tmp_path / "m.png")
    assert train(work, run_here, tmp_path, *args, epochs=3).code == 0
    first = (tmp_path / "m.png").read_bytes()
    with Image.open(tmp_path / "m.png") as movie:
        assert (movie.format, movie.n_frames, movie.text) == ("PNG", 3, {})
    assert train(work, run_here, tmp_path, *args, "--force", epochs=3).code == 0
    assert (tmp_path / "m.png").read_bytes() == first


def test_pictures_of_another_run_are_not_mixed_in(work, run_here, tmp_path):
    assert train(work, run_here, tmp_path, "--watch", 1, epochs=4).code == 0
    (tmp_path / "m.watch" / "mine.png").write_bytes(b"")
    (tmp_path / "m.h5").unlink()
    ran = train(work, run_here, tmp_path, "--watch", 1, epochs=2)
    assert (ran.code, len(ran.error_lines)) == (1, 1)
    assert "--force" in ran.error_lines[0]
    assert not (tmp_path / "m.h5").exists()
    assert train(work, run_here, tmp_path, "--watch", 1, "--force", epochs=2).code == 0
    assert stills(tmp_path) == ["epoch-00001.png", "epoch-00002.png", "mine.png"]


def test_a_run_that_is_begun_again_drops_the_pictures_of_its_attempt(work, run_here, tmp_path, monkeypatch):
    """One that diverged, and one that was stopped and goes on."""
    from featlearn.jobs import training_run
    from featlearn.jobs.picture_settings import Watching
    from featlearn.jobs.watching import Stills

    made = Stills(Watching(watch=1), str(tmp_path / "m.h5"), False, False, [], print)
    made.begin(0)
    for epochs, kept in ((0, []), (3, [1, 2, 3]), (2, [1, 2]), (0, [])):
        for epoch in range(1, 5):
            made.see(epoch, lambda: np.ones((1, 2, 2, 1)))
        made.begin(epochs)
        assert stills(tmp_path) == [f"epoch-{epoch:05}.png" for epoch in kept]
    seen = []
    monkeypatch.setattr(training_run.Stills, "begin", lambda self, epochs: seen.append(epochs))
    assert train(work, run_here, tmp_path, "--watch", 1, epochs=1).code == 0
    assert seen == [0]


def test_a_run_that_cannot_draw_any_more_goes_on(work, run_here, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("featlearn.jobs.watching.write_bytes", full)
    ran = train(work, run_here, tmp_path, "--watch", 1, "--movie", tmp_path / "m.gif")
    assert ran.code == 0
    assert sum("no more pictures are written" in line for line in ran.err.splitlines()) == 1
    assert (tmp_path / "m.h5").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--movie", "m.gif"), "--movie: does nothing without --watch"),
        (("--watch", 0), "--watch"),
        (("--watch", 1, "--movie", "m.mp4"), "end it in .gif or .png"),
        (("--watch", 1, "--model", "dbn", "--hidden", "4,3"), "--watch: does nothing with --model dbn"),
    ],
)
def test_what_makes_no_sense_is_refused(args, words, work, run_here, tmp_path):
    ran = run_here("train", work.patches, "--model", "rbm", "-o", tmp_path / "m.h5", *args, "--json")
    assert ran.code == 2
    assert words in json.loads(ran.out)["error"]
    assert list(tmp_path.iterdir()) == []
