"""The survey of images: each is read once, and what patches there will be is planned."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from featlearn import ranks
from featlearn.errors import DataError
from featlearn.patches.extract import DTYPES, Images, Int64, Plan, Source, are_small
from featlearn.patches.settings import Extraction

NAMED = 10  # skipped images that are named; the others are only counted
MANY = 100  # images from which on there is something to learn from small ones taken whole


class Notes(Protocol):
    """What sources note of images while they read them."""

    def taken(self) -> list[str]: ...
    def say(self, text: str) -> None: ...


class _Seen(NamedTuple):
    """An image as it was read: its shape and dtype, or what is wrong with it, and what was noted of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    problem: str
    notes: list[str]


class _Skipped:
    """Images that are left out: the first ones named, all counted; with strict the first is an error."""

    def __init__(self, warn: Callable[[str], None], strict: bool) -> None:
        self.count = 0
        self._warn = warn
        self.strict = strict

    def add(self, problem: str) -> None:
        if self.strict:
            raise DataError(f"{problem}; leave out --strict to skip such images")
        self.count += 1
        if self.count <= NAMED:
            self._warn(f"skipped: {problem}")


def survey(
    sources: Sequence[Source],
    extraction: Extraction,
    warn: Callable[[str], None] = lambda text: None,
    strict: bool = False,
    tick: Callable[[], object] = lambda: None,
    known: Sequence[str] | None = None,
    like: tuple[int, int] | None = None,
    order: Int64 | None = None,
    notes: Notes | None = None,
    shared: bool = False,
) -> Plan:
    """Reads every image once, calling `tick` for each, and plans the patches.

    What `extraction` leaves open is decided, but for the share of flat patches to drop: by the images, and by
    the size (height, width) of the patches that theirs shall be `like`, if that is given. `order` has
    the numbers of the images to take, in that order; None: all. Unreadable images
    and those of unfit size are told to `warn` and skipped, with `strict` they are errors. Labels that have
    names are numbered as in `known`, if that is given. What sources hold in `notes` is said in the order of
    the images. With `shared` each image is read by one rank, here and when patches are cut. Raises DataError
    when no image is left, when grey and colour images are mixed, or for a label that is not known.
    """
    images, skipped = Images(sources, shared), _Skipped(warn, strict)
    if not images.names:
        raise DataError("no images found; give image files, folders or arrays of images")
    labels, label_names = _labels(sources, known)
    order = np.arange(len(images.names)) if order is None else order
    if images.shared:
        sizes = [os.path.getsize(name) if os.path.isfile(name) else -1 for name in images.names]
        classes = None if labels is None else labels.tolist()
        said = repr((images.names, sizes, order.tolist(), classes, extraction, like, strict)).encode()
        ranks.refuse_difference(lambda: hashlib.sha256(said).digest(), "other images or settings")
    numbers, shapes, dtypes = _read_all(images, order, skipped, tick, notes)
    table = np.array(shapes, np.int64)
    if (table[:, 2] != table[0, 2]).any():
        odd = images.names[numbers[int((table[:, 2] != table[0, 2]).argmax())]]
        raise DataError(f"{odd}: grey and colour images are mixed; give --color gray or --color rgb")
    extraction = extraction.resolve(_come_whole(sources, table, like), like=like)
    size, fits = _fitting(extraction, table)
    wanted = (
        f"of {size[0]}x{size[1]} as most images are" if extraction.whole else f"at least {size[0]}x{size[1]}"
    )
    for k in np.flatnonzero(~fits).tolist():
        skipped.add(f"{images.names[numbers[k]]}: {shapes[k][0]}x{shapes[k][1]} pixels, wanted {wanted}")
    if skipped.count > NAMED:
        warn(f"skipped {skipped.count} of {len(order)} images in all")
    index = np.array(numbers, np.int64)[fits]
    shape = (size[0], size[1], int(table[0, 2]))
    dtype = max((dtypes[k] for k in np.flatnonzero(fits).tolist()), key=DTYPES.index)
    return Plan(images, extraction, index, table[fits], shape, dtype, labels, label_names, skipped.count)


def _read_all(
    images: Images, order: Int64, skipped: _Skipped, tick: Callable[[], object], notes: Notes | None
) -> tuple[list[int], list[tuple[int, ...]], list[np.dtype[Any]]]:
    """Return numbers, shapes and dtypes of the images that can be read. Raises DataError where none can."""
    numbers: list[int] = []
    shapes: list[tuple[int, ...]] = []
    dtypes: list[np.dtype[Any]] = []
    first_problem = ""
    for number, seen in zip(order.tolist(), _seen(images, order, skipped, tick, notes), strict=False):
        for text in seen.notes:
            assert notes is not None
            notes.say(text)
        if seen.dtype is None:
            first_problem = first_problem or seen.problem
            skipped.add(seen.problem)
        else:
            numbers.append(number)
            shapes.append(seen.shape)
            dtypes.append(seen.dtype)
    if not numbers:
        raise DataError(f"none of {len(order)} images can be read: {first_problem}")
    return numbers, shapes, dtypes


def _seen(
    images: Images, order: Int64, skipped: _Skipped, tick: Callable[[], object], notes: Notes | None
) -> Iterator[_Seen]:
    """Yield what each image is, in this order, which ranks find out together where they share the images.

    With strict what follows an image that cannot be read may be missing.
    """

    def look(number: int) -> _Seen:
        ranks.heed()
        try:
            image = images.read(number)
            found = _Seen(image.shape, image.dtype, "", [])
        except DataError as err:
            found = _Seen((), None, str(err), [])
        tick()
        return found._replace(notes=notes.taken() if notes else [])

    if not images.shared:
        return map(look, order.tolist())
    owner = images.owner(order)

    own: list[_Seen] = []
    for number in order[owner == ranks.rank].tolist():
        own.append(look(number))
        if own[-1].problem and skipped.strict:
            break
    return _in_turn([iter(found) for found in ranks.of_all(own)], owner, tick)


def _in_turn(
    by_rank: Sequence[Iterator[_Seen]], owner: Iterable[int], tick: Callable[[], object]
) -> Iterator[_Seen]:
    for rank in owner:
        yield next(by_rank[rank])
        if rank != ranks.rank:
            tick()


class NoneFits(DataError):
    """No image is as large as what is to be cut out; `found` says how large they are."""

    def __init__(self, found: str, text: str) -> None:
        super().__init__(text)
        self.found = found


def _fitting(extraction: Extraction, shapes: Int64) -> tuple[tuple[int, int], npt.NDArray[np.bool_]]:
    """Return height and width of a patch, and which images of `shapes` (n, 3) give patches.

    Raises NoneFits where none does.
    """
    if extraction.whole:
        size = Counter(map(tuple, shapes[:, :2].tolist())).most_common(1)[0][0]
        fits = (shapes[:, :2] == size).all(axis=1)
    else:
        assert isinstance(extraction.size, tuple)
        size = extraction.size
        fits = (shapes[:, :2] >= size).all(axis=1)
    if not fits.any():
        height, width = shapes[:, :2].max(axis=0)
        remedy = "take a smaller --size, or whole"
        if height == 1:
            remedy += (
                ", or leave it out for rows of numbers; an array that is one grey image is saved as (1, h, w)"
            )
        found = f"the highest of {height} and the widest of {width} pixels"
        raise NoneFits(
            found,
            f"--size {size[0]}x{size[1]}: larger than each of {len(shapes)} images, {found}; {remedy}",
        )
    return size, fits


def _come_whole(sources: Sequence[Source], shapes: Int64, like: tuple[int, int] | None) -> bool:
    """Whether images of `shapes` (n, 3) are taken whole where no cut is asked for.

    Each is an example then, as a digit is.

    So are those of containers of such images, those that have the size of the patches that they shall be
    `like`, and many small ones of one size.
    """
    if all(source.whole_by_default for source in sources):
        return True
    if like is not None and (shapes[:, :2] == like).all():
        return True
    return len(shapes) >= MANY and are_small(shapes)


def _labels(sources: Sequence[Source], known: Sequence[str] | None) -> tuple[Int64 | None, list[str] | None]:
    """Return labels of all images together, and their names.

    Names of several sources are united, `known` first, in the order in which they appear.
    """
    given = [source.labels for source in sources]
    labels = [np.asarray(one, np.int64) for one in given if one is not None]
    if not labels:
        return None, None
    names = [source.label_names for source in sources]
    if len(labels) < len(sources) or len({one is None for one in names}) > 1:
        raise DataError("only some of the inputs have labels; give them one by one, or leave out --labels")
    found = list(dict.fromkeys(name for one in names for name in one or ()))
    united = list(known) if known and found else found
    unknown = [name for name in found if name not in united]
    if unknown:
        raise DataError(
            f"label {unknown[0]!r} is not among those of --like: {' '.join(map(repr, united))}; "
            "leave its images out, or have it in the data that were learned from"
        )
    if united:
        labels = [
            np.array([united.index(name) for name in one or ()], np.int64)[numbers]
            for one, numbers in zip(names, labels, strict=True)
        ]
    return np.concatenate(labels), united or None
