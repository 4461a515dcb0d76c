"""What numpy writes into pickles: arrays, their types and single numbers, built from their parts after checks."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DEEPEST = 8
"""Axes of an array, and levels of lists and dicts in one another."""

_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
NAMES = {
    **{(module, name): name for module in _MULTIARRAY for name in ("_reconstruct", "scalar")},
    **{(module, "_frombuffer"): "_frombuffer" for module in ("numpy.core.numeric", "numpy._core.numeric")},
    **{("numpy", name): name for name in ("ndarray", "dtype")},
    **{(module, "bytes"): "bytes" for module in ("builtins", "__builtin__")},
    ("_codecs", "encode"): "encode",
    ("collections", "OrderedDict"): "OrderedDict",
}
"""What a pickle may name -> the step that it stands for."""

TYPES = {"b1", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)), "f2", "f4", "f8", "O8", "O4", "O"}
"""Types of the entries of arrays; text of a fixed width, S and U, may be too. Entries O are a list."""

WIDEST = 2**10
"""Characters of text of a fixed width."""


class PickledName(NamedTuple):
    """A name that stands for a step."""

    step: str


class PickledType:
    """A numpy type under construction."""

    def __init__(self, code: str) -> None:
        wide = code[:1] in ("S", "U") and code[1:].isdigit() and len(code) < 6 and 0 < int(code[1:]) <= WIDEST
        if code not in TYPES and not wide:
            raise ValueError(f"entries of type {code[:20]!r}")
        self.code, self.order = code, "="

    def update(self, state: Any) -> None:
        """Take the byte order from the state.

        Raises:
            ValueError: it is a type with parts.
        """
        order = text_of(state[1])
        if order not in ("<", ">", "|", "=") or any(each is not None for each in state[2:5]):
            raise ValueError("entries with parts")
        self.order = "=" if order == "|" else order

    def numpy(self) -> np.dtype[Any]:
        """Return the finished type."""
        return np.dtype(self.order + self.code if self.code[0] in "iufU" else self.code)


class PickledArray:
    """An array under construction."""

    value: NDArray[Any] | list[Any] | None = None

    def update(self, state: Any) -> None:
        """Take shape, type and bytes from the state.

        Raises:
            ValueError: they do not fit together.
        """
        _, shape, kind, columns, raw = state
        self.value = _filled(raw, kind, shape, bool(columns))


def text_of(value: object) -> str:
    """Return text, also that of Python 2, which is bytes.

    Raises:
        ValueError: it is no text.
    """
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} where text must stand")
    return str(value)


def finished(value: Any) -> Any:
    """Return the value with arrays in place of what they were built in, tuples as lists, and keys as text.

    Raises:
        ValueError: an array without content, or too many levels.
    """
    done: dict[int, Any] = {}  # what is referred to many times is gone through once

    def walk(value: Any, level: int) -> Any:
        if isinstance(value, PickledArray):
            value = value.value
            if value is None:
                raise ValueError("an array without content")
        if isinstance(value, (PickledName, PickledType)):
            raise ValueError("a type where a value must stand")
        if not isinstance(value, (dict, list, tuple)):
            return value
        if level > DEEPEST:
            raise ValueError(f"more than {DEEPEST} levels of nesting")
        if id(value) not in done:
            if isinstance(value, dict):
                new: Any = {text_of(k) if isinstance(k, bytes) else k: walk(v, level + 1) for k, v in value.items()}
            else:
                new = [walk(each, level + 1) if isinstance(each, _NESTED) else each for each in value]
            done[id(value)] = new
        return done[id(value)]

    return walk(value, 0)


_NESTED = (dict, list, tuple, PickledArray, PickledType)


def _filled(raw: Any, kind: Any, shape: Any, columns: bool) -> NDArray[Any] | list[Any]:
    """Return the array of these bytes, after comparing their number with what the shape needs."""
    if not isinstance(kind, PickledType) or type(shape) is not tuple or len(shape) > DEEPEST:
        raise ValueError("an array without a shape or type")
    if any(type(each) is not int or each < 0 for each in shape):
        raise ValueError(f"an array of shape {str(shape)[:60]}")
    if kind.code[0] == "O":
        if type(raw) is not list or shape != (len(raw),):
            raise ValueError("an array of objects that is no list")
        return raw
    if isinstance(raw, str):
        raw = raw.encode("latin1")
    entries = kind.numpy()
    if type(raw) is not bytes or len(raw) != math.prod(shape) * entries.itemsize:
        got = f"{len(raw):,} bytes" if isinstance(raw, bytes) else type(raw).__name__
        raise ValueError(f"an array of shape {shape} of {entries} in {got}")
    return np.frombuffer(raw, entries).reshape(shape, order="F" if columns else "C")


def _reconstruct(kind: Any, shape: Any, code: Any) -> PickledArray:
    if kind != PickledName("ndarray"):
        raise ValueError("an array of another kind")
    return PickledArray()


def _frombuffer(raw: Any, kind: Any, shape: Any, order: Any) -> PickledArray:
    array = PickledArray()
    array.value = _filled(raw, kind, shape, text_of(order) == "F")
    return array


def _scalar(kind: Any, raw: Any) -> Any:
    value = _filled(raw, kind, (), False)
    return value.item() if isinstance(value, np.ndarray) else value


def _encode(text: Any, encoding: Any) -> bytes:
    if type(text) is not str or text_of(encoding).replace("-", "") not in ("latin1", "iso88591"):
        raise ValueError("text of another encoding")
    return text.encode("latin1")


BUILDERS: dict[str, Callable[..., Any]] = {
    "_reconstruct": _reconstruct,
    "_frombuffer": _frombuffer,
    "scalar": _scalar,
    "dtype": lambda code, *_: PickledType(text_of(code)),
    "encode": _encode,
    "bytes": lambda: b"",
}
"""Step -> the function that does it."""
