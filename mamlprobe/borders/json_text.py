"""JSON that others wrote: of a limited size and depth, with plain numbers, every field once."""

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mamlprobe.base.errors import UserError
from mamlprobe.borders.regular_files import ABSENT, amount, read_file

SETTINGS = 2**20
"""Bytes of a file of settings or of a header."""

DEEPEST = 32
"""Lists and tables that lie in one another."""

LARGEST = 2**64
"""Whole numbers are smaller than this, and larger than its negative."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_HALF = re.compile(rb"\\u[dD][89abcdefABCDEF]")


def parse_json(data: bytes, *, most: int = SETTINGS, gaps: bool = False) -> Any:
    """Parse JSON in UTF-8; with `gaps`, NaN and Infinity are numbers too.

    Raises:
        ValueError: more than `most` bytes, more than `DEEPEST` levels, no JSON, a field given twice, a number that is
            not finite or too large, half a character. The message is a few words.
    """
    if len(data) > most:
        raise ValueError(f"{amount(len(data))}, where {amount(most)} are the most")
    depth = _depth(data)
    if depth > DEEPEST:
        raise ValueError(f"{depth} levels of nesting, where {DEEPEST} are the most")
    hooks: dict[str, Any] = {"object_pairs_hook": _fields, "parse_int": _whole, "parse_float": _real}
    value = json.loads(data.decode("utf-8"), **hooks, parse_constant=float if gaps else _constant)
    if _HALF.search(data):
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # raises for half of a pair alone
    return value


def read_json(
    path: Path,
    *,
    where: str,
    must: str | None = None,
    advice: str,
    absent: str = ABSENT,
    most: int = SETTINGS,
    gaps: bool = False,
    follow: bool = True,
) -> dict[str, Any]:
    """Read the table of fields in this file; `must` is what the message says about the file.

    Raises:
        UserError: no such file; not a regular one; too large or deep; no JSON, or JSON that is no table of fields.
    """
    data = read_file(where, path, most=most, advice=advice, absent=absent, follow=follow)
    try:
        values = parse_json(data, most=most, gaps=gaps)
    except ValueError as error:
        got = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise UserError(where, must or "the file must be whole JSON", got, advice) from None
    if not isinstance(values, dict):
        raise UserError(where, must or "the file must hold a table of fields", type(values).__name__, advice)
    return values


def _depth(data: bytes) -> int:
    """Count the levels of lists and tables, whatever stands in strings."""
    signs = np.frombuffer(_STRING.sub(b"", data), dtype=np.uint8)
    steps = np.isin(signs, tuple(b"[{")).astype(np.int8) - np.isin(signs, tuple(b"]}")).astype(np.int8)
    return int(steps[steps != 0].cumsum(dtype=np.int64).max(initial=0))


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the field {name[:40]!r} twice")
    return values


def _whole(digits: str) -> int:
    value = int(digits) if len(digits) <= len(str(LARGEST)) + 1 else LARGEST
    if abs(value) >= LARGEST:
        raise ValueError(f"a number of {len(digits)} digits")
    return value


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]}, which is no finite number")
    return value


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word}, which is no finite number")
