"""Images in a folder, links followed."""

import fnmatch
import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from featlearn.errors import DataError, reason, show

MAX_LINKS = 100
"""Links that lead to one folder: beyond it, links to folders of links could multiply without end."""


class Excluded:
    """Patterns of names to leave out, as the shell has them: *, ? and [...].

    One with a slash is held against a path below the folder that is searched, where * also stands for
    slashes; any other against the name of each file and folder. Of what is named itself, the path as it is
    named is held against both.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = patterns
        self._used: set[str] = set()
        self.left_out: list[str] = []

    def leaves_out(self, path: str, below: str = "") -> bool:
        """Whether a pattern matches a path, or what of it lies below a folder; it is noted then."""
        shown = os.path.relpath(path, below) if below else path
        for pattern in self._patterns:
            if fnmatch.fnmatchcase(shown if "/" in pattern else os.path.basename(path), pattern):
                self._used.add(pattern)
                self.left_out.append(path)
                return True
        return False

    def idle(self) -> Iterator[str]:
        """Yield the patterns that have left nothing out."""
        return (pattern for pattern in self._patterns if pattern not in self._used)


def find_images(
    folder: str, suffixes: Collection[str], excluded: Excluded | None = None
) -> tuple[list[str], dict[str, str]]:
    """(paths, problems): the files below a folder, recursively, by their suffix, sorted by bytes.

    Symbolic links are followed, to files and to folders. Among the paths are those of links that lead nowhere
    and of what is no regular file, which no one can read, and links to folders that are not followed, with
    the reason in `problems`. Hidden files and folders are passed over, and what is `excluded`. Raises
    DataError when there is no path.
    """
    found: list[str] = []
    problems: dict[str, str] = {}
    links: Counter[str] = Counter()
    real = os.path.realpath(folder)
    # Each folder with its real path and the real places from which links led to it.
    waiting: list[tuple[str, str, tuple[str, ...]]] = [(folder, real, ())]
    while waiting:
        shown, real, origins = waiting.pop()
        for entry in _visible(shown):
            path = os.path.join(shown, entry.name)
            suffix = os.path.splitext(entry.name)[1].lower()
            # What has no suffix and leads nowhere may have been a folder.
            mode = _mode(entry)
            wanted = stat.S_ISDIR(mode) or suffix in suffixes or (mode == 0 and not suffix)
            if not wanted or (excluded and excluded.leaves_out(path, folder)):
                continue
            if not stat.S_ISDIR(mode):
                found.append(path)
            elif not entry.is_symlink():
                waiting.append((path, os.path.join(real, entry.name), origins))
            else:
                target = os.path.realpath(path)
                links[target] += 1
                if any(_holds(target, place) for place in (real, *origins)):
                    problems[path] = "is a symbolic link to a folder that holds it, so it is not followed"
                elif links[target] > MAX_LINKS:
                    problems[path] = (
                        f"its folder is reached by more than {MAX_LINKS} links, so this is not followed"
                    )
                else:
                    waiting.append((path, target, (*origins, real)))
    found += problems
    if not found:
        left_out = (
            f"; {len(excluded.left_out)} left out by --exclude" if excluded and excluded.left_out else ""
        )
        raise DataError(f"{show(folder)}: no image in this folder ({' '.join(sorted(suffixes))}){left_out}")
    return sorted(found, key=os.fsencode), problems


def _visible(folder: str) -> list["os.DirEntry[str]"]:
    """What is in a folder, in the order of bytes. Raises DataError."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (e for e in entries if not e.name.startswith(".")), key=lambda e: os.fsencode(e.name)
            )
    except OSError as error:
        raise DataError(f"{show(folder)}: cannot be read: {error.strerror}") from error


def _mode(entry: "os.DirEntry[str]") -> int:
    """The type of what an entry is or leads to; 0 where it leads nowhere."""
    if not entry.is_symlink():
        return stat.S_IFDIR if entry.is_dir() else stat.S_IFREG
    try:
        return stat.S_IFMT(entry.stat().st_mode)
    except OSError:
        return 0


def _holds(folder: str, path: str) -> bool:
    """Whether a folder is `path` or above it; both real."""
    return os.path.commonpath((folder, path)) == folder


def make_folder(path: str, what: str) -> None:
    """Make a folder for `what`, unless it is there. Raises DataError."""
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError as error:
        raise DataError(f"{show(path)}: is a file, wanted a folder for {what}") from error
    except OSError as error:
        raise DataError(f"{show(path)}: cannot be made: {reason(error)}") from error
