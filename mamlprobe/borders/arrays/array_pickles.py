"""Pickles of data sets: arrays, numbers, text and plain containers, read by a machine of our own that calls nothing.

The names that numpy writes into pickles stand for steps of this machine; any other name ends the reading. Text of
Python 2 stays bytes, so that large arrays are not copied; `text_of` reads it as latin1.
"""

import codecs
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from mamlprobe.base.errors import UserError
from mamlprobe.borders.arrays.pickled_values import (
    BUILDERS,
    NAMES,
    PickledArray,
    PickledName,
    PickledType,
    finished,
    text_of,
)
from mamlprobe.borders.pickles import Foreign
from mamlprobe.borders.regular_files import ABSENT, check_file

OPERATIONS, STACK, CONTAINERS, ENTRIES, LEVELS = 2**24, 2**20, 2**16, 2**12, 32
"""The most operations of a pickle, values on its stack, lists and dicts, entries of all dicts, and open marks."""

DIGITS = 24
"""Digits of a whole number, as text or as bytes."""


def read_pickle(path: Path, *, where: str, must: str, advice: str, most: int, absent: str = ABSENT) -> Any:
    """Read a pickle of arrays, numbers, text, lists, tuples and dicts; keys are text, Python 2's text is bytes.

    Arrays are read-only views of the bytes that were read.

    Raises:
        UserError: no such file, not a regular one, larger than `most`; no whole pickle, or one of something else.
    """
    size = check_file(where, path, most=most, advice=advice, absent=absent)
    try:
        with open(path, "rb") as file:
            return parse_pickle(file, size)
    except OSError as error:
        raise UserError(where, f"{path} must be readable", error.strerror or error, advice) from None
    except Foreign as error:
        raise UserError(where, must, error, "do not trust this file, which wants code to be run") from None
    except (ValueError, MemoryError) as error:
        raise UserError(where, must, str(error) or type(error).__name__, advice) from None


def parse_pickle(file: IO[bytes], size: int) -> Any:
    """Parse a pickle of at most `size` bytes as `read_pickle` does.

    Raises:
        Foreign: it names something else than arrays do.
        ValueError: it is damaged, or beyond a limit; the message is a few words.
    """
    try:
        return finished(_Machine(file, size).run())
    except (IndexError, KeyError, TypeError, AttributeError, struct.error, OverflowError, EOFError) as error:
        raise ValueError(f"a damaged pickle ({type(error).__name__})") from None


class _Machine:
    """The stack on which a pickle builds its value."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.left = file, size
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.containers = self.entries = 0

    def run(self) -> Any:
        for _ in range(OPERATIONS):
            code = self.take(1)
            if code == b".":
                return self.stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise (Foreign if code in _CALLS else ValueError)(f"a pickle with the operation {code!r}")
            step(self)
            if len(self.stack) > STACK:
                raise ValueError(f"more than {STACK:,} values at once")
        raise ValueError(f"more than {OPERATIONS:,} operations")

    def take(self, count: int) -> bytes:
        """Read so many bytes."""
        data = self.file.read(count) if 0 <= count <= self.left else b""
        if len(data) < count or count < 0:
            raise ValueError("a pickle that was cut")
        self.left -= count
        return data

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        data = self.file.readline(self.left)
        self.left -= len(data)
        if not data.endswith(b"\n"):
            raise ValueError("a pickle that was cut")
        return data[:-1].removesuffix(b"\r")

    def mark(self) -> None:
        if len(self.marks) >= LEVELS:
            raise ValueError(f"more than {LEVELS} levels of nesting")
        self.marks.append(len(self.stack))

    def above(self) -> list[Any]:
        """Take off what lies above the newest mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise ValueError("a damaged pickle (an empty stack)")
        return self.stack.pop()

    def container(self, value: Any) -> None:
        self.containers += 1
        if self.containers > CONTAINERS:
            raise ValueError(f"more than {CONTAINERS:,} lists and dicts")
        self.stack.append(value)

    def extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("a damaged pickle (entries without a list)")
        self.stack[-1].extend(values)

    def fill(self, target: Any, values: list[Any]) -> None:
        if type(target) is not dict or len(values) % 2:
            raise ValueError("a damaged pickle (entries without a dict)")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in (str, bytes, int):
                raise ValueError(f"a key of type {type(key).__name__}")
            target[key] = value
        self.entries += len(values) // 2
        if self.entries > ENTRIES:
            raise ValueError(f"more than {ENTRIES:,} entries of dicts")

    def set_one(self) -> None:
        value, key = self.pop(), self.pop()
        self.fill(self.stack[-1], [key, value])

    def set_many(self) -> None:
        values = self.above()
        self.fill(self.stack[-1], values)

    def new_dict(self) -> None:
        values = self.above()
        self.container({})
        self.fill(self.stack[-1], values)

    def put(self, place: int) -> None:
        if not 0 <= place < OPERATIONS:
            raise ValueError("a damaged pickle (a place out of reach)")
        self.memo[place] = self.stack[-1]

    def name(self, module: object, name: object) -> None:
        step = NAMES.get((text_of(module), text_of(name)))
        if step is None:
            raise Foreign(f"a pickle that calls {f'{text_of(module)}.{text_of(name)}'[:80]}")
        self.stack.append(PickledName(step))

    def name_of_stack(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def reduce(self) -> None:
        given, name = self.pop(), self.pop()
        if not isinstance(name, PickledName) or name.step == "ndarray" or type(given) is not tuple:
            raise ValueError("a damaged pickle (a call of no name)")
        if name.step == "OrderedDict":
            self.container({})
            if given:
                self.fill(self.stack[-1], [each for pair in given[0] for each in pair])
            return
        self.stack.append(BUILDERS[name.step](*given))

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if not isinstance(target, (PickledType, PickledArray)):
            raise ValueError("a damaged pickle (a state without an array)")
        target.update(state)

    def int_line(self) -> Any:
        text = self.line()
        return text == b"01" if text in (b"00", b"01") else _whole(text)


def _whole(text: bytes) -> int:
    if len(text) > DIGITS:
        raise ValueError("a number of many digits")
    return int(text.removesuffix(b"L"))


def _quoted(text: bytes) -> bytes:
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise ValueError("a damaged pickle (text without quotes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of backslashes that escape nothing
        return bytes(codecs.escape_decode(text[1:-1])[0])


def _push(value: Callable[[_Machine], Any]) -> Callable[[_Machine], object]:
    return lambda machine: machine.stack.append(value(machine))


def _long(machine: _Machine, count: int) -> int:
    if count > DIGITS:
        raise ValueError("a number of many digits")
    return int.from_bytes(machine.take(count), "little", signed=True)


def _tuple(count: int) -> Callable[[_Machine], object]:
    return _push(lambda machine: tuple([machine.pop() for _ in range(count)][::-1]))


def _string(form: str) -> Callable[[_Machine], object]:
    return _push(lambda machine: machine.take(machine.number(form)))


def _unicode(form: str) -> Callable[[_Machine], object]:
    return _push(lambda machine: machine.take(machine.number(form)).decode("utf-8", "surrogatepass"))


_STEPS: dict[bytes, Callable[[_Machine], object]] = {
    b"\x80": lambda m: None if m.take(1)[0] <= 5 else m.take(-1),
    b"\x95": lambda m: m.take(8),  # frames only say how much to read at once
    b"(": _Machine.mark,
    b"0": lambda m: m.pop(),
    b"1": lambda m: m.above(),
    b"2": _push(lambda m: m.stack[-1]),
    b"N": _push(lambda m: None),
    b"\x88": _push(lambda m: True),
    b"\x89": _push(lambda m: False),
    b"I": _push(_Machine.int_line),
    b"L": _push(lambda m: _whole(m.line())),
    b"J": _push(lambda m: m.number("<i")),
    b"K": _push(lambda m: m.take(1)[0]),
    b"M": _push(lambda m: m.number("<H")),
    b"\x8a": _push(lambda m: _long(m, m.take(1)[0])),
    b"\x8b": _push(lambda m: _long(m, m.number("<i"))),
    b"F": _push(lambda m: float(m.line())),
    b"G": _push(lambda m: m.number(">d")),
    b"S": _push(lambda m: _quoted(m.line())),
    b"T": _string("<i"),
    b"U": _string("<B"),
    b"V": _push(lambda m: m.line().decode("raw-unicode-escape")),
    b"X": _unicode("<I"),
    b"\x8c": _unicode("<B"),
    b"\x8d": _unicode("<Q"),
    b"B": _string("<I"),
    b"C": _string("<B"),
    b"\x8e": _string("<Q"),
    b"\x96": _string("<Q"),
    b"]": lambda m: m.container([]),
    b"l": lambda m: m.container(m.above()),
    b"a": lambda m: m.extend([m.pop()]),
    b"e": lambda m: m.extend(m.above()),
    b")": _push(lambda m: ()),
    b"t": _push(lambda m: tuple(m.above())),
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"}": lambda m: m.container({}),
    b"d": _Machine.new_dict,
    b"s": _Machine.set_one,
    b"u": _Machine.set_many,
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": _Machine.name_of_stack,
    b"R": _Machine.reduce,
    b"b": _Machine.build,
    b"g": _push(lambda m: m.memo[_whole(m.line())]),
    b"h": _push(lambda m: m.memo[m.take(1)[0]]),
    b"j": _push(lambda m: m.memo[m.number("<I")]),
    b"p": lambda m: m.put(_whole(m.line())),
    b"q": lambda m: m.put(m.take(1)[0]),
    b"r": lambda m: m.put(m.number("<I")),
    b"\x94": lambda m: m.put(len(m.memo)),
}
_CALLS = {b"i", b"o", b"\x81", b"\x92", b"P", b"Q", b"\x82", b"\x83", b"\x84"}
"""Operations that would call, make or look up an object."""
