"""Tidy CSV files that grow by whole blocks of rows and can be cut back to an earlier update."""

import os
from pathlib import Path

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.base.files import access
from mamlprobe.borders.csv_tables import Schema, read_table
from mamlprobe.borders.table_columns import REAL, TEXT, Column
from mamlprobe.runs.writing import write

_COUNT = Column(kind="whole", least=0)

LOG = Schema(
    columns={"update": _COUNT, "split": TEXT, "quantity": TEXT, "value": REAL, "tasks": _COUNT},
    keys=("update", "split", "quantity"),
)
"""The log of a training."""

TABLE = Schema(columns={"update": _COUNT}, others=True)
"""The table of a hook."""


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


def cut(path: Path, update: int, schema: Schema = TABLE) -> None:
    """Remove the rows of updates later than `update` from the file; the text of the others does not change.

    Raises:
        UserError: it is no whole table of the schema.
    """
    if not os.path.lexists(path):
        return
    remains = read(path, schema)["update"] <= update
    if not remains.any():
        path.unlink()
    elif not remains.all():
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        write(path, rows[remains].to_csv(index=False, lineterminator="\n").encode())


def set_aside(path: Path) -> Path:
    """Rename a file that is no whole table, whatever it is, so that a new one can begin; return its new place.

    Raises:
        UserError: the folder is not one we may write to.
    """
    places = [path.with_name(f"{path.name}.damaged{end}") for end in ("", *(f"-{number}" for number in range(2, 100)))]
    place = next((each for each in places if not os.path.lexists(each)), places[-1])
    with access(path):
        os.rename(path, place)
    return place


def read(path: Path, schema: Schema = TABLE) -> pd.DataFrame:
    """Read the file's rows; columns that the schema does not name are of integers, floats, booleans or strings.

    Raises:
        UserError: it is no whole table of the schema.
    """
    return read_table(path, schema, where="run", advice=_ADVICE, follow=False)


_ADVICE = "restore it or delete it: the training goes on without it"
