"""Tidy CSV files that grow by whole blocks of rows and can be cut back to an earlier update."""

import math
from contextlib import suppress
from pathlib import Path

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.runs.writing import write


def append(path: Path, rows: pd.DataFrame) -> None:
    """The file with these rows at its end, all or nothing; floats keep every digit.

    Raises:
        UserError: the columns are not those of the rows before.
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
    """Takes the rows of later updates than `update` out of the file; the others stay to the letter."""
    if not path.exists():
        return
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    kept = rows[rows["update"].astype(int) <= update]
    if kept.empty:
        path.unlink()
    elif len(kept) < len(rows):
        write(path, kept.to_csv(index=False, lineterminator="\n").encode())


def read(path: Path) -> pd.DataFrame:
    """The file's rows; columns of whole numbers, of numbers (to the last bit) and of words."""
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    return pd.DataFrame({name: _typed(list(rows[name])) for name in rows})


def _typed(cells: list[str]) -> list[int] | list[float] | list[bool] | list[str]:
    """The cells of a column as the narrowest kind that holds them all; an empty one among numbers is NaN."""
    with suppress(ValueError):
        return [int(cell) for cell in cells]
    with suppress(ValueError):
        return [float(cell) if cell else math.nan for cell in cells]
    if set(cells) <= {"True", "False"}:
        return [cell == "True" for cell in cells]
    return cells
