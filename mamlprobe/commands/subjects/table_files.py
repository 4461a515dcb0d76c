"""Tables of probes that come back from a file: the columns of each, and whether it is whole."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.borders.csv_tables import Schema, read_table
from mamlprobe.borders.table_columns import TEXT, WHOLE, Column
from mamlprobe.commands.subjects.probed_run import KEYS

_NUMBER = Column(kind="real", least=-1e100, most=1e100, gaps=True)  # its square is a number too
_COUNT, _ONE = Column(kind="whole", least=0), Column(kind="whole", least=1)

KINDS: dict[str, Column] = {
    **dict.fromkeys(("run", "method", "dataset", "split", "norm", "episodes", "inner_loop", "run_b", "method_b"), TEXT),
    **dict.fromkeys(("variant", "classifier", "measure", "quantity", "part", "term"), TEXT),
    **dict.fromkeys(("layer", "layer_a", "layer_b", "moment", "moment_a", "moment_b"), TEXT),
    **dict.fromkeys(("set", "note"), replace(TEXT, gaps=True)),
    **dict.fromkeys(("seed", "seed_b"), WHOLE),
    **dict.fromkeys(("update", "update_b", "task", "step"), _COUNT),
    **dict.fromkeys(("way", "shot", "tasks"), _ONE),
    **dict.fromkeys(("value", "floor", "x", "y"), _NUMBER),
    "label": replace(_COUNT, gaps=True),
}
"""Columns of these tables by name, wherever they are."""

PAIRED = ("run_b", "method_b", "seed_b", "update_b")
"""Columns that a table of two runs has too."""

ADVICE = "give the file that --out wrote"


@dataclass(frozen=True, kw_only=True)
class Form:
    """What the table of a probe holds beside `KEYS` and ``task``."""

    columns: str
    by: str
    """Columns in each group of which every task has a row."""
    places: str = ""
    """Columns of names or numbers that only rows with the `quantity` have; they must have all of them."""
    quantity: str = ""
    numbers: bool = False
    """Whether those are numbers."""


def read_probe(path: str, form: Form, pair: Form | None = None) -> pd.DataFrame:
    """Read the table of a probe that ``--out`` wrote: of this form, or, if it is of two runs, of the form `pair`.

    Raises:
        UserError: a file that does not exist, or is no whole table of the form.
    """
    place = replace(_COUNT, gaps=True) if form.numbers else replace(TEXT, gaps=True)
    kinds = dict.fromkeys(form.places.split(), place) | KINDS
    columns = {name: replace(each, optional=name not in (*KEYS, "task")) for name, each in kinds.items()}
    must = f"{path} must be the table of a probe"
    schema = Schema(columns=columns, others=True)
    table = read_table(Path(path), schema, where="probe", must=must, advice=ADVICE, absent=ADVICE)
    fault = _fault(table, pair if pair is not None and "run_b" in table else form)
    if fault:
        raise UserError("probe", must, fault, ADVICE)
    return table


def _fault(table: pd.DataFrame, form: Form) -> str:
    """Say what is missing; empty if the table is whole."""
    needed = [*form.columns.split(), *form.places.split(), *(PAIRED if "run_b" in table else ())]
    missing = [name for name in needed if name not in table]
    if table.empty or missing:
        return f"no column {missing[0]!r}" if missing else "no row"
    for name in KEYS:
        if (table[name] != table[name].iloc[0]).any():
            return f"several entries of {name!r}"
    tasks = int(table["tasks"].iloc[0])
    if table["task"].nunique() != tasks or (table.groupby(form.by.split())["task"].nunique() != tasks).any():
        return f"rows of fewer than its {tasks} tasks"
    if form.quantity:
        rows = table[table["quantity"] == form.quantity]
        if rows.empty or len(rows) == len(table):
            return f"no row of quantity {form.quantity!r}, or no other"
        lacking = [name for name in form.places.split() if rows[name].isna().any() or (rows[name] == "").any()]
        if lacking:
            return f"an empty entry of {lacking[0]!r}"
    return ""
