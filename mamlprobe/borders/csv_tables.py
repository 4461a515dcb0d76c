"""Tables that others wrote, or that lay on a disk for a while: CSV files read by a schema, within limits."""

import codecs
import csv
import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.borders.regular_files import ABSENT, amount, read_file
from mamlprobe.borders.table_columns import Column, entries_of

LARGEST_TABLE = 2**27
"""Bytes of a table."""

ENTRIES = 2**23
"""Entries of a table, those of all columns together."""

COLUMNS, HEADER = 1000, 2**16
"""Columns of a table, and bytes of their names."""

_EXACT: dict[str, Any] = (
    {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
)
"""What makes pandas read numbers to the last bit: newer versions do by themselves."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The columns of a table by name, and whether it may have others, of which the entries tell the kind."""

    columns: Mapping[str, Column] = field(default_factory=dict)
    others: bool = False
    keys: tuple[str, ...] = ()
    """Columns in which no two rows are alike."""


def read_table(
    path: Path,
    schema: Schema,
    *,
    where: str,
    must: str = "",
    advice: str,
    absent: str = ABSENT,
    follow: bool = True,
) -> pd.DataFrame:
    """Read a CSV file: whole numbers as int64, real ones to the last bit, empty entries as NaN, or as "" among text.

    Raises:
        UserError: no such file; not a regular one; more than the limits; another encoding than UTF-8, a NUL byte, an
            end without a line end; a column that is missing, twice, or not of the schema; an entry that is none of its
            column. `must` is what the message says about the table.
    """
    data = read_file(where, path, most=LARGEST_TABLE, advice=advice, absent=absent, follow=follow)
    try:
        return parse_table(data, schema)
    except ValueError as error:
        raise UserError(where, must or f"{path} must be a whole table", str(error), advice) from None


def parse_table(data: bytes, schema: Schema) -> pd.DataFrame:
    """Parse the text of a table as `read_table` does.

    Raises:
        ValueError: it is none of the schema; the message is a few words.
    """
    _whole_text(data)
    names = _names(data, schema)
    kinds = {name: schema.columns[name].kind for name in names if name in schema.columns}
    text = {name: str for name, kind in kinds.items() if kind == "text"}
    missing = {name: ["", "nan"] if kinds.get(name) == "real" else [""] for name in names}
    how: dict[str, Any] = {"index_col": False, "keep_default_na": False, "na_values": missing, "low_memory": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table: pd.DataFrame = pd.read_csv(io.BytesIO(data), dtype=text, encoding="utf-8", **how, **_EXACT)
    except pd.errors.ParserWarning:
        raise ValueError("rows with more entries than there are columns") from None
    except Exception as error:  # whatever the parser makes of bytes that are no table
        message = str(error).removeprefix("Error tokenizing data. C error: ").strip() or "no table"
        raise ValueError(message.splitlines()[0][:200]) from None
    if list(table.columns) != names:
        raise ValueError("a first line that is no list of columns")
    columns = {name: table[name] for name in names}
    read = {name: entries_of(name, column, schema.columns.get(name)) for name, column in columns.items()}
    changed = {name: entries for name, entries in read.items() if entries is not columns[name]}
    table = table.assign(**changed) if changed else table
    twice = table.duplicated(list(schema.keys)) if schema.keys else None
    if twice is not None and bool(twice.any()):
        row = ", ".join(str(table[name][twice].iloc[0]) for name in schema.keys)
        raise ValueError(f"two rows of {' '.join(schema.keys)} {row[:80]}")
    return table


def _whole_text(data: bytes) -> None:
    if b"\0" in data:
        raise ValueError("a NUL byte")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {data[error.start]:#04x}, which is no UTF-8 text, in place {error.start}") from None
    if not data.strip():
        raise ValueError("nothing")
    if not data.endswith((b"\n", b"\r")):
        raise ValueError("a last line without its end, as of a file that was cut")
    entries = data.count(b",") + data.count(b"\n")
    if entries > ENTRIES:
        raise ValueError(f"about {entries:,} entries, where {ENTRIES:,} are the most")


def _names(data: bytes, schema: Schema) -> list[str]:
    """Read the names of the columns."""
    head = re.split(rb"[\r\n]", data[:HEADER].removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n"), maxsplit=1)[0]
    if len(head) > HEADER - 8:
        raise ValueError(f"a first line of more than {amount(HEADER)}")
    heads = next(csv.reader([head.decode("utf-8")]), [])
    names = [name or f"Unnamed: {place}" for place, name in enumerate(heads)]  # as pandas calls them
    if len(names) > COLUMNS:
        raise ValueError(f"{len(names)} columns, where {COLUMNS} are the most")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"the column {twice!r} twice")
    missing = [name for name, each in schema.columns.items() if name not in names and not each.optional]
    if missing:
        raise ValueError(f"no column {missing[0]!r}; the columns are {', '.join(names[:20])}")
    odd = [name for name in names if name not in schema.columns]
    if odd and not schema.others:
        raise ValueError(f"an unknown column {odd[0][:40]!r}")
    return names
