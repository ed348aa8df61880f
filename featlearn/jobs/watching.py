"""The filters of a run while it learns: a picture every few epochs, and all of them as one that moves."""

import os
import re
from collections.abc import Callable, Sequence

from featlearn.errors import ConfigError, DataError, reason, show
from featlearn.files.atomic import discard, write_bytes
from featlearn.jobs.callbacks import Say
from featlearn.jobs.picture_settings import Watching
from featlearn.jobs.pictures import PictureFile, png_text
from featlearn.pictures.mosaic import MOVIES, mosaic, movie_bytes, picture_bytes
from featlearn.rows import Array

STILL = re.compile(r"epoch-(\d{5})\.png")
LAST = 99_999  # epochs that names have room for


class Stills:
    """Pictures in the folder OUTPUT.watch (without the suffix of OUTPUT), named by the epoch.

    A run that goes on keeps the pictures of the epochs it has behind it, and drops those of an attempt that
    was given up. A run that cannot write them any more says so, and goes on.
    """

    def __init__(
        self, settings: Watching, output: str, resume: bool, force: bool, inputs: Sequence[str], say: Say
    ) -> None:
        """Refuse what must not be written. Raises DataError, ConfigError."""
        self.folder = os.path.splitext(output)[0] + ".watch"
        self.every, self._say = settings.watch, say
        self._movie: PictureFile | None = None
        if self.every is None:
            return
        if os.path.lexists(self.folder) and not os.path.isdir(self.folder):
            raise DataError(f"--watch: {show(self.folder)} is no folder; move it, or choose another output")
        if self._epochs() and not (resume or force):
            raise DataError(
                f"--watch: {show(self.folder)} holds pictures of a run; use --force to replace them"
            )
        if settings.movie is not None:
            names = [*inputs, output]
            self._movie = PictureFile("--movie", settings.movie, resume or force, names, MOVIES)

    def begin(self, epochs: int) -> None:
        """Keep the pictures of so many epochs, and no other. Raises DataError."""
        if self.every is None:
            return
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise DataError(f"--watch: {show(self.folder)}: cannot be made: {reason(error)}") from error
        for epoch in self._epochs():
            if epoch > epochs:
                discard(self._path(epoch))

    def see(self, epoch: int, filters: Callable[[], Array], last: bool = False) -> None:
        """Draw the filters (k, h, w, c) that an epoch ends with, if it is one to be drawn or the last."""
        if self.every is None or not (last or epoch % self.every == 0) or epoch > LAST:
            return
        text = png_text({"Description": f"filters after epoch {epoch}; mid-grey is zero"})
        self._write(
            lambda: write_bytes(self._path(epoch), picture_bytes(mosaic(filters()), "PNG", text), True)
        )

    def end(self) -> None:
        """Write all pictures as one that moves, where that was asked for."""
        movie = self._movie
        if self.every is None or movie is None or not self._epochs():
            return
        stills = [self._path(epoch) for epoch in self._epochs()]
        self._write(lambda: movie.write(movie_bytes(stills, movie.format)))

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except (DataError, OSError) as error:
            words = error if isinstance(error, DataError) else reason(error)
            self._say(f"warning: --watch: {words}; no more pictures are written")
            self.every = None

    def _path(self, epoch: int) -> str:
        return os.path.join(self.folder, f"epoch-{epoch:05}.png")

    def _epochs(self) -> list[int]:
        """Return the epochs of which there is a picture, in their order."""
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return sorted(int(found[1]) for found in map(STILL.fullmatch, names) if found)


def refuse_layers(settings: Watching, model: str, layered: bool) -> None:
    """Raise ConfigError for a stack, whose upper layers are learned of codes."""
    if settings.watch is not None and layered:
        raise ConfigError(
            f"--watch: does nothing with --model {model}, which learns one layer after another; leave it out"
        )
