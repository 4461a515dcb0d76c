"""Kinds of single values: each a function that returns the value, or `REFUSED`."""

import math
import numbers
import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mamlprobe.base.errors import as_text

REFUSED: Any = object()
"""What is returned for a value of another kind."""

BITS = 64
"""Longer whole numbers are refused: no seed, size or number of steps has more."""

NAME, PATH = 255, 4096
"""Bytes that the name of a file, and a whole path, can have."""

_SHOWN = 80


def shown(value: Any) -> str:
    """Return a short text for a value of the wrong kind: a word or number as it is, else its type."""
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, int) and value.bit_length() > BITS:
        return f"one of {value.bit_length()} bits"
    if isinstance(value, (str, bytes, numbers.Number)):
        text = as_text(value, plain=repr)
        return f"{text if len(text) <= _SHOWN else text[:_SHOWN] + ' ...'} ({kind})"
    if isinstance(value, (type, types.FunctionType)):
        return f"the {'class' if isinstance(value, type) else 'function'} {value.__name__}"
    return with_article(kind)


def with_article(name: str) -> str:
    """Return ``a <name>`` or ``an <name>``, and the names of several things as they are."""
    if name.endswith("s") and not name.endswith(("ss", "us")):
        return name
    return f"{'an' if name[:1] in 'AEIOaeio' else 'a'} {name}"


@dataclass(frozen=True)
class Kind:
    """A kind of values: an argument must be ``name``."""

    name: str
    take: Callable[[Any], Any]
    """Return the value, numbers of other libraries as Python's and arrays as lists; or `REFUSED`."""
    tell: Callable[[Any], str] = shown
    """Say of a value that is refused what it is."""

    @property
    def plural(self) -> str:
        """Return the name of several."""
        noun = self.name.partition(" ")[2] if self.name.startswith(("a ", "an ")) else self.name
        return noun if noun.endswith("s") else f"{noun}s"


def whole(value: Any) -> Any:
    """Return a whole number of at most `BITS` bits as an int; True and False are none."""
    if type(value) is not int:
        if not isinstance(value, numbers.Integral) or isinstance(value, bool):
            return REFUSED
        value = int(value)
    return value if value.bit_length() <= BITS else REFUSED


def real(value: Any) -> Any:
    """Return a finite real number as an int or float; True and False are none."""
    number: Any = value
    if type(number) not in (int, float) and (not isinstance(value, numbers.Real) or isinstance(value, bool)):
        return REFUSED
    try:
        number = number if type(number) is int else float(number)
        return number if math.isfinite(number) else REFUSED
    except OverflowError:
        return REFUSED


def truth(value: Any) -> Any:
    """Return True or False; those of numpy too."""
    if isinstance(value, bool):
        return value
    return bool(value) if (type(value).__module__, type(value).__name__[:4]) == ("numpy", "bool") else REFUSED


def path(value: Any) -> Any:
    """Return a string or path that can name a file."""
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    return value if isinstance(text, str) and path_fault(text) is None else REFUSED


def path_fault(text: str) -> str | None:
    """Say why no file can have this path, or why it is not what was meant; None if nothing speaks against it."""
    try:
        raw = os.fsencode(text)
    except UnicodeEncodeError:
        return "characters that no file's name can have"
    if not raw:
        return "an empty one"
    longest = max(map(len, raw.split(b"/")))
    if b"\0" in raw:
        return "a zero byte"
    if longest > NAME or len(raw) > PATH:
        return f"a name of {longest} bytes" if longest > NAME else f"a path of {len(raw)} bytes"
    return "~, which is not expanded here" if text.split("/")[0] == "~" else None


def tell_path(value: Any) -> str:
    """Say of a value that is no path what it is."""
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    return (isinstance(text, str) and path_fault(text)) or shown(value)


def dense(value: Any) -> Any:
    """Return a tensor that has an entry for each place: neither sparse, nested nor quantised."""
    return REFUSED if _odd(value) is not None else value


def tell_tensor(value: Any) -> str:
    """Say of a value that is no dense tensor what it is."""
    odd = _odd(value)
    return f"a {odd} {type(value).__name__}" if odd else shown(value)


def _odd(value: Any) -> str | None:
    """Return what keeps a value from being a dense tensor: a word if it is another tensor, else the empty word."""
    torch = sys.modules["torch"]
    if not isinstance(value, torch.Tensor):
        return ""
    if value.is_nested or value.is_quantized:
        return "nested" if value.is_nested else "quantised"
    return None if value.layout is torch.strided else str(value.layout).removeprefix("torch.")


def device(value: Any, kind: type) -> Any:
    """Return the device of this kind, or a string that names one."""
    if isinstance(value, str):
        try:
            kind(value)
        except Exception:
            return REFUSED
        return value
    return value if isinstance(value, kind) else REFUSED
