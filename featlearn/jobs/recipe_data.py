"""The data of a recipe: which files and folders are meant, and what any file holds."""

import contextlib
import fnmatch
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence

from featlearn.errors import ConfigError, DataError, reason, show
from featlearn.files.header import MODEL, SIZE
from featlearn.files.paths import open_regular, read_start
from featlearn.jobs.recipe_file import WILD, Recipe
from featlearn.jobs.store import load_model

PACKED = ".gz"


def is_folder(pattern: str) -> bool:
    """Whether data so written are the folder of files that fit the pattern."""
    return WILD.search(pattern) is not None


def unfound(recipe: Recipe) -> dict[str, str]:
    """Return names for the data of a recipe where nobody has said where they are."""
    return {name: name if is_folder(pattern) else pattern for name, pattern in recipe.data.items()}


def find_data(recipe: Recipe, places: Sequence[str]) -> dict[str, str]:
    """Return the path of all data of a recipe, by their names.

    A place is a folder, in which or in whose folders they are, or NAME=PATH. Raises DataError, ConfigError.
    """
    said, folders = {}, []
    for place in places:
        name, equals, path = place.partition("=")
        if equals and name in recipe.data:
            said[name] = path
        else:
            folders.append(place)
    if not recipe.data and places:
        raise ConfigError(f"--data: does nothing, since {recipe.name} needs no data")
    for path in folders:
        if not os.path.isdir(path):
            found = "is a file, wanted a folder" if os.path.exists(path) else "no such folder"
            raise DataError(f"--data {show(path)}: {found}; take a folder, or NAME=PATH")
    paths = {
        name: said[name] if name in said else _find(recipe, name, folders or ["."]) for name in recipe.data
    }
    return {name: os.path.abspath(path) for name, path in paths.items()}


def _find(recipe: Recipe, name: str, folders: Sequence[str]) -> str:
    pattern = recipe.data[name]
    fits = _holds if is_folder(pattern) else _file
    for near in (_itself, _inside):
        found = [
            path for folder in folders for one in near(folder) if (path := fits(one, pattern)) is not None
        ]
        if len(found) > 1:
            raise DataError(
                f"{recipe.name}: {name} may be {show(found[0])} or {show(found[1])}; say --data {name}=PATH"
            )
        if found:
            return found[0]
    what = f"a folder of {pattern}" if is_folder(pattern) else pattern
    where = " or ".join(map(show, folders))
    raise DataError(
        f"{recipe.name}: needs {name}, {what}, which is not in {where} nor in a folder there; say "
        f"--data FOLDER or --data {name}=PATH"
    )


def _itself(folder: str) -> list[str]:
    return [folder]


def _inside(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(one.name for one in entries if one.is_dir() and not one.name.startswith("."))
    except OSError as error:
        raise DataError(f"{show(folder)}: cannot be read: {reason(error)}") from error
    return [name if folder == "." else os.path.join(folder, name) for name in names]


def _holds(folder: str, pattern: str) -> str | None:
    try:
        there = fnmatch.filter(os.listdir(folder), pattern)
    except OSError:
        return None
    return folder if there else None


def _file(folder: str, name: str) -> str | None:
    """The file, also where it is unpacked."""
    for one in (name, name.removesuffix(PACKED)):
        path = os.path.join(folder, one)
        if os.path.isfile(path):
            return path
    return None


def content_of(path: str) -> str | None:
    """Return a digest of what a file or folder holds, None where nothing is there.

    Of a model it is the content hash, which knows neither times nor threads. Raises DataError, ReadError.
    """
    if os.path.isdir(path):
        sha = hashlib.sha256()
        for name in _names(path):
            sha.update(f"{name}\0{_digest(os.path.join(path, name))}\n".encode("utf-8", "surrogateescape"))
        return sha.hexdigest()
    if not os.path.isfile(path):
        return None
    if read_start(path, SIZE).startswith(MODEL.encode()):
        with contextlib.suppress(DataError):  # damaged, or of another time: then it is bytes like any other
            return load_model(path).file.content_hash
    return _digest(path)


def _names(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(place, name)
            if os.path.isfile(path):
                yield os.path.relpath(path, folder)


def _digest(path: str) -> str:
    with open_regular(path) as stream:
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{show(path)}: {reason(error)}") from error


def with_paths(words: Sequence[str], paths: Mapping[str, str]) -> list[str]:
    """Return a command line with the paths of data in it."""
    found = []
    for word in words:
        for name, path in paths.items():
            word = word.replace(f"{{{name}}}", path)
        found.append(word)
    return found
