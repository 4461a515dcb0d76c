"""Answers kept in the folder of a run, so that they are not computed again; whatever is wrong with one, it is anew."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pandas as pd
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.files import occupied
from mamlprobe.borders.csv_tables import LARGEST_TABLE, Schema, parse_table
from mamlprobe.borders.regular_files import read_file
from mamlprobe.borders.table_columns import REAL, TEXT, Column
from mamlprobe.runs.writing import write

FOLDER = "answers"

MOST = 200
"""Answers that a run's folder holds; the oldest make room."""

_COUNT, _WORD = Column(kind="whole", least=0), Column(kind="text", gaps=True)
_NAME = re.compile(r"(\w+)-([0-9a-f]{16})-([0-9a-f]{16})\.csv")

COLUMNS = {
    **dict.fromkeys(("task", "step", "seed", "update", "way", "shot", "tasks"), _COUNT),
    **dict.fromkeys(("run", "method", "dataset", "split", "episodes"), TEXT),
    **dict.fromkeys(("variant", "layer", "measure", "quantity", "part", "note"), _WORD),
    "norm": TEXT,
    "value": REAL,
    "floor": REAL,
}
"""What the columns of an answer hold."""


@cache
def package_digest() -> str:
    """Return hex digits that differ where the code of this package does, or the version of torch."""
    sha = hashlib.sha256(torch.__version__.encode())
    root = Path(__file__).parents[1]
    for path in sorted(each for each in root.rglob("*") if each.suffix in (".py", ".cpp", ".h")):
        sha.update(f"{path.relative_to(root)}".encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()


def key_of(*facts: object) -> str:
    """Return 16 hex digits that differ where one of the facts does, or this package's code."""
    return hashlib.sha256("\n".join([package_digest(), *map(str, facts)]).encode()).hexdigest()[:16]


def read_answer(run: Path, name: str, key: str, columns: str, tasks: int) -> tuple[pd.DataFrame, Path] | None:
    """Return the answer of that key and its file; None if there is none, or none with all columns and tasks."""
    schema = Schema(columns={each: COLUMNS[each] for each in columns.split()})
    for path, digest in _answers(run, name, key):
        try:
            data = read_file("report", path, most=LARGEST_TABLE, advice="", follow=False)
            if hashlib.sha256(data).hexdigest()[:16] == digest:
                table = parse_table(data, schema)
                if set(table["task"]) == set(range(tasks)):
                    return table, path
        except ValueError:  # of which a UserError is one
            continue
    return None


def write_answer(run: Path, name: str, key: str, table: pd.DataFrame) -> Path | None:
    """Keep the answer in the folder of the run, all or nothing; None where that folder takes none."""
    data = table.to_csv(index=False, lineterminator="\n").encode()
    path = run / FOLDER / f"{name}-{key}-{hashlib.sha256(data).hexdigest()[:16]}.csv"
    try:
        if os.path.lexists(path.parent) and occupied(path.parent, follow=False) != "a folder":
            return None
        write(path, data)
    except (UserError, OSError):
        return None
    for old, _ in _answers(run, name, key):
        if old != path:  # a damaged one
            with suppress(OSError):
                old.unlink()
    _make_room(path.parent)
    return path


def _answers(run: Path, name: str, key: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of this answer, with the digest that their content has if it is whole."""
    with suppress(OSError):
        if occupied(run / FOLDER, follow=False) == "a folder":
            for each in sorted(os.listdir(run / FOLDER)):
                part = _NAME.fullmatch(each)
                if part is not None and (part[1], part[2]) == (name, key):
                    yield run / FOLDER / each, part[3]


def _make_room(folder: Path) -> None:
    """Remove the oldest answers of more than `MOST`."""
    with suppress(OSError):
        names = [each for each in os.listdir(folder) if _NAME.fullmatch(each)]
        if len(names) > MOST:
            ages = sorted(names, key=lambda each: (os.lstat(folder / each).st_mtime, each))
            for each in ages[: len(names) - MOST]:
                (folder / each).unlink()
