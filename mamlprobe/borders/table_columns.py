"""The columns of a table that comes in: what their entries must be, and the entries in the type of their column."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_integer_dtype


@dataclass(frozen=True, kw_only=True)
class Column:
    """What the entries of a column are."""

    kind: Literal["whole", "real", "text"]
    choices: tuple[str, ...] = ()
    """All entries there may be; empty: any."""
    least: float = -np.inf
    most: float = np.inf
    """The smallest and the largest number there may be."""
    gaps: bool = False
    """Whether an entry may be missing."""
    optional: bool = False
    """Whether the column may be missing."""


WHOLE, REAL, TEXT = Column(kind="whole"), Column(kind="real", gaps=True), Column(kind="text")


def entries_of(name: str, entries: pd.Series, column: Column | None) -> pd.Series:
    """Return the entries in the type of their column; missing ones are NaN, or "" among text.

    Without a column, they are numbers or truth values if all are, else text.

    Raises:
        ValueError: an entry that is none of the column; the message is a few words.
    """
    if column is None:
        plain = is_bool_dtype(entries) or is_float_dtype(entries) or is_integer_dtype(entries)
        return entries if plain else entries.astype(str).where(entries.notna(), "")
    if not column.gaps and bool(entries.isna().any()):
        raise ValueError(f"an empty entry of {name!r} in row {int(entries.isna().argmax()) + 1}")
    return _text(name, entries, column) if column.kind == "text" else _numbers(name, entries, column)


def _text(name: str, entries: pd.Series, column: Column) -> pd.Series:
    entries = entries.fillna("")
    odd = entries[~entries.isin(column.choices)] if column.choices else entries[:0]
    if len(odd):
        raise ValueError(f"{odd.iloc[0][:40]!r} as {name!r}, which is one of {', '.join(column.choices)}")
    return entries


def _numbers(name: str, entries: pd.Series, column: Column) -> pd.Series:
    wanted = "a whole number" if column.kind == "whole" else "a number"
    if not len(entries):
        return entries.astype(np.int64 if column.kind == "whole" else np.float64)
    numbers = entries if is_float_dtype(entries) or is_integer_dtype(entries) else None
    if numbers is not None and column.kind == "whole" and numbers.dtype != np.int64:
        # gaps make a column one of floats
        numbers = numbers if column.gaps and bool((numbers.dropna() % 1 == 0).all()) else None
    if numbers is None:
        raise ValueError(_odd(name, wanted, entries, column))
    out = (numbers < column.least) | (numbers > column.most)
    if bool(out.any()):
        got = f"{numbers[out].iloc[0]:g} as {name!r} in row {int(out.argmax()) + 1}"
        raise ValueError(f"{got}, which must lie in {column.least:g} to {column.most:g}")
    return numbers.astype(np.float64) if column.kind == "real" and numbers.dtype != np.float64 else numbers


def _odd(name: str, wanted: str, entries: pd.Series, column: Column) -> str:
    """Say which entry of the column is not what is wanted."""
    texts = entries.astype(str).where(entries.notna(), "")
    for row, entry in enumerate(texts.tolist()):
        if not _is_number(entry, whole=column.kind == "whole") and not (column.gaps and entry == ""):
            return f"{entry[:40]!r} as {name!r} in row {row + 1}, where {wanted} must stand"
    return f"other entries than {wanted} as {name!r}"


def _is_number(text: str, *, whole: bool) -> bool:
    if not text.isascii() or "_" in text:
        return False
    try:
        value = float(text)
    except ValueError:
        return False
    return not whole or (value.is_integer() and abs(value) < 2**63 and "." not in text)
