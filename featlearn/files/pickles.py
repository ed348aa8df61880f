"""Pickles of plain data, read by an interpreter of our own that can run nothing.

Python's own would call what a pickle names. This one knows arrays of numbers, bytes, text, numbers, None,
lists, tuples and dictionaries; what names or asks for anything else is refused. Those that Python 2 wrote are
read, too: their texts come as bytes.
"""

import math
import pickletools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.errors import DataError, reason, show
from featlearn.files.budget import Budget
from featlearn.files.paths import check_regular, open_regular

MAX_OPERATIONS = 2_000_000
"""Steps of one pickle; the largest batch of CIFAR has a tenth of them."""
COPIES = 6  # of its bytes that may be in memory while a pickle is read

_NUMBERS = frozenset(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"))
_STRINGS = frozenset(("BINSTRING", "SHORT_BINSTRING"))  # of Python 2
_AS_THEY_ARE = _NUMBERS | {
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))


class _Refused(Exception):
    """What a pickle asks for, and does not get."""


@dataclass(frozen=True)
class _Name:
    """Something that a pickle may name; it is never imported."""

    name: str


@dataclass
class _Type:
    """A dtype, made by REDUCE and BUILD."""

    code: str
    order: str = "|"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype((self.order if self.order in "<>" else "=") + self.code)


@dataclass
class _Array:
    """An array, made by REDUCE and filled by BUILD; `values` None is one that is not filled yet."""

    values: Any = None


_NUMPY = ("numpy.core", "numpy._core")
_NAMES = {
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
    **{f"{core}.multiarray _reconstruct": "reconstruct" for core in _NUMPY},
    **{f"{core}.numeric _frombuffer": "frombuffer" for core in _NUMPY},
}


def read_pickle(path: str) -> Any:
    """Return what a pickle holds. Raises DataError for what is damaged, or holds more than plain data."""
    size = check_regular(path).st_size
    Budget(path).claim(COPIES * size)
    with open_regular(path) as file:
        data = file.read()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of texts that are no texts; they are refused
            return _plain(_Machine().run(data))
    except _Refused as error:
        raise DataError(
            f"{show(path)}: is a pickle that holds {error}; only arrays, bytes, text, numbers, lists and "
            "dictionaries are read, nothing is run"
        ) from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(f"{show(path)}: is a damaged or cut off pickle ({reason(error)[:80]})") from error


def _plain(value: Any) -> Any:
    """Return what is on the stack in the end: an array for its placeholder, and so in a dictionary."""
    if isinstance(value, dict):
        return {key: _plain_array(one) for key, one in value.items()}
    return _plain_array(value)


def _plain_array(value: Any) -> Any:
    return value.values if isinstance(value, _Array) else value


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        """Return what stands on the stack at the end."""
        for number, (operation, argument, _) in enumerate(pickletools.genops(data)):
            if number >= MAX_OPERATIONS:
                raise _Refused(f"more than {MAX_OPERATIONS:,} operations")
            if operation.name == "STOP":
                return self._stack[-1]
            self._do(operation.name, argument)
        raise ValueError("it has no end")

    def _do(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _AS_THEY_ARE:
            stack.append(argument)
        elif name in _STRINGS:
            stack.append(argument.encode("latin-1"))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in _PUTS or name == "MEMOIZE":
            self._memo[len(self._memo) if argument is None else argument] = stack[-1]
        elif name in _GETS:
            stack.append(self._memo[argument])
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name in _TUPLES:
            many = _TUPLES[name]
            if len(stack) < many:
                raise ValueError("too little on its stack")
            stack[-many:] = [tuple(stack[-many:])]
        elif name in ("LIST", "TUPLE", "DICT"):
            items = self._since_mark()
            stack.append(items if name == "LIST" else tuple(items) if name == "TUPLE" else {})
            if name == "DICT":
                self._set(items)
        elif name in ("APPEND", "APPENDS"):
            items = self._since_mark() if name == "APPENDS" else [stack.pop()]
            _of(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            self._set(self._since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            named = argument or " ".join(reversed([_of(stack.pop(), str) for _ in range(2)]))
            if named not in _NAMES:
                raise _Refused(named.replace(" ", ".")[:80])
            stack.append(_Name(_NAMES[named]))
        elif name == "REDUCE":
            arguments = _of(stack.pop(), tuple)
            stack.append(_made(_of(stack.pop(), _Name).name, arguments))
        elif name == "BUILD":
            state = _of(stack.pop(), tuple)
            _fill(stack[-1], state)
        elif name not in ("PROTO", "FRAME"):
            raise _Refused(f"the operation {name}")

    def _since_mark(self) -> list[Any]:
        """Take what was put on the stack since the last mark."""
        at = self._marks.pop()
        if at > len(self._stack):
            raise ValueError("a mark beyond its stack")
        items = self._stack[at:]
        del self._stack[at:]
        return items

    def _set(self, items: list[Any]) -> None:
        """Fill the dictionary on the stack with keys and values in turn."""
        for key in items[::2]:
            if type(key) not in (str, bytes, int):  # tuples could be nested without end
                raise _Refused("a dictionary whose keys are no texts or numbers")
        _of(self._stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))


def _of(value: Any, *kinds: type[Any]) -> Any:
    """Return a value of these kinds. Raises _Refused for another."""
    if not isinstance(value, kinds):
        raise _Refused("objects")
    return value


def _made(name: str, arguments: tuple[Any, ...]) -> Any:
    """Return what a call of a name that is known would give."""
    if name == "dtype":
        code = _text(arguments[0])
        if not re.fullmatch("[|<>=]?[biuf][1248]", code):
            raise _Refused(f"an array of {code[:40]}")
        return _Type(code.lstrip("|<>="), code[0] if code[0] in "<>" else "|")
    if name == "reconstruct":
        return _Array()
    if name == "frombuffer":
        raw, kind, shape, order = arguments
        return _Array(_array(shape, kind, order == "F", raw))
    if name == "encode" and _text(arguments[1]) in ("latin1", "latin-1"):
        return _of(arguments[0], str).encode("latin-1")
    raise _Refused(f"a call of {name}")


def _fill(thing: Any, state: tuple[Any, ...]) -> None:
    """Give a dtype its order of bytes, or an array its values."""
    if isinstance(thing, _Type):
        thing.order = _text(state[1])
    else:
        _, shape, kind, fortran, raw = state
        _of(thing, _Array).values = _array(shape, kind, fortran, raw)


def _array(shape: Any, kind: Any, fortran: Any, raw: Any) -> Any:
    shape, dtype, raw = _of(shape, tuple), _of(kind, _Type).dtype, _of(raw, bytes, bytearray)
    if not all(type(size) is int and size >= 0 for size in shape) or len(shape) > 4:
        raise ValueError("an array of no shape")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"an array {shape} of {len(raw):,} bytes")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(_of(value, str))
