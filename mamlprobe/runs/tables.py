"""Tidy CSV files that grow by whole blocks of rows and can be cut back to an earlier update."""

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
    """The file's rows, floats to the last bit."""
    return pd.read_csv(path, float_precision="round_trip")
