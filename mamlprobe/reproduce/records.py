"""What an analysis script leaves: its table, and the record of its claims and of where its numbers come from."""

import io
from pathlib import Path
from typing import Any

import pandas as pd

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.spec import typed
from mamlprobe.borders.csv_tables import LARGEST_TABLE, Schema, read_table
from mamlprobe.borders.json_text import read_json
from mamlprobe.borders.regular_files import read_file
from mamlprobe.runs.writing import write

CLAIM_COLUMNS = [
    *("id", "paper", "claim", "published", "published_source", "ours", "low", "high", "unit", "seeds", "tasks"),
    *("dataset", "preset", "device", "verdict", "runs"),
]
"""The fields of a claim, and the columns of the table of all claims."""

_TEXTS = ("id", "paper", "claim", "published_source", "unit", "dataset", "preset", "device", "verdict")
CLAIM: dict[str, Any] = {name: str if name in _TEXTS else float | str | None for name in CLAIM_COLUMNS}
CLAIM |= {"ours": float, "low": float | None, "high": float | None}

PROVENANCE = {"key": str, "seconds": float}
"""Fields that the record must have; it has others."""

ADVICE = "delete it and run the script again"


def read_record(path: Path) -> dict[str, Any]:
    """Read the record of a script: ``provenance``, and ``claims``, a list.

    Raises:
        UserError: no such file, or no whole one.
    """
    where = str(path)
    record = read_json(path, where=where, advice=ADVICE, gaps=True)
    lacking = [name for name in ("provenance", "claims") if name not in record]
    if lacking:
        raise UserError(where, "the record must be whole", f"none with {lacking[0]}", ADVICE)
    facts = typed(dict[str, Any], record["provenance"], f"{where}.provenance")
    for name, kind in PROVENANCE.items():
        typed(kind, facts.get(name), f"{where}.provenance.{name}")
    for claim in typed(list[dict[str, Any]], record["claims"], f"{where}.claims"):
        for name, kind in CLAIM.items():
            typed(kind, claim.get(name), f"{where}.claims.{name}")
        if odd := [name for name in claim if name not in CLAIM]:
            raise unknown(f"{where}.claims", "field", odd[0], CLAIM)
    return record


def read_rows(path: Path) -> pd.DataFrame:
    """Read the table of a script as pandas reads it, after checking that it is whole.

    Raises:
        UserError: no such file, or no whole one.
    """
    where = str(path)
    read_table(path, Schema(others=True), where=where, advice=ADVICE)
    return pd.read_csv(io.BytesIO(read_file(where, path, most=LARGEST_TABLE, advice=ADVICE)))


def write_rows(table: pd.DataFrame, path: Path) -> None:
    """Write a table with six digits, the same bytes for the same numbers."""
    write(path, table.to_csv(index=False, lineterminator="\n", float_format="%.6g").encode())
