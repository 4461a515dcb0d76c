"""Tidy CSV files that grow by whole blocks of rows and can be cut back to an earlier update."""

import math
from contextlib import suppress
from pathlib import Path

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.runs.writing import write


def append(path: Path, rows: pd.DataFrame) -> None:
    """Append these rows to the file, all or nothing; floats keep every digit.

    Raises:
        UserError: the columns are not those of the earlier rows.
    """
    text = rows.to_csv(index=False, lineterminator="\n")
    if path.exists():
        old, columns = path.read_text(), text.partition("\n")
        if old.partition("\n")[0] != columns[0]:
            got = f"{columns[0]} after {old.partition(chr(10))[0]}"
            raise UserError(path.name, "the columns must be the same at every update", got, "return the same columns")
        text = old + columns[2]
    write(path, text.encode())


def cut(path: Path, update: int) -> None:
    """Remove the rows of updates later than `update` from the file; the text of the others does not change."""
    if not path.exists():
        return
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    remaining = rows[rows["update"].astype(int) <= update]
    if remaining.empty:
        path.unlink()
    elif len(remaining) < len(rows):
        write(path, remaining.to_csv(index=False, lineterminator="\n").encode())


def read(path: Path) -> pd.DataFrame:
    """Read the file's rows; columns are of integers, floats (to the last bit), booleans or strings."""
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    return pd.DataFrame({name: _typed(list(rows[name])) for name in rows})


def _typed(cells: list[str]) -> list[int] | list[float] | list[bool] | list[str]:
    """Convert the cells of a column to the narrowest type that fits them all; an empty cell among numbers is NaN."""
    with suppress(ValueError):
        return [int(cell) for cell in cells]
    with suppress(ValueError):
        return [float(cell) if cell else math.nan for cell in cells]
    if set(cells) <= {"True", "False"}:
        return [cell == "True" for cell in cells]
    return cells
