"""Tables as a page shows them: without what is the same in all rows, and beside one another."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mamlprobe.draw.table_text import folded
from mamlprobe.reports.asked import KEEP
from mamlprobe.reports.schema import NUMBERS, ORIGIN
from mamlprobe.reports.seeds import OVER_SEEDS

ALIKE = ("method", "dataset", "split", "way", "shot", "estimator", "norm", "episodes", "update", "learner", "interval",
         "seeds", "tasks", "inner_loop", "trained_classes")  # fmt: skip
"""Columns that are said once, not in each row of the page, where they are the same."""


def of_one_quantity(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the rows of accuracy, or of loss if there is none, and which these are."""
    quantity = "accuracy" if (table["quantity"] == "accuracy").any() else str(table["quantity"].iloc[0])
    return table[table["quantity"] == quantity], quantity


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a learner and one column a variant, as text: mean and interval."""
    text = folded(table[["learner", "variant", "value", "low", "high"]], digits=3)
    wide = text.pivot_table(index="learner", columns="variant", values="value", aggfunc="first", sort=False)
    return wide.reset_index().rename_axis(columns=None)


def with_differences(of_one: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Put the paired differences beside the levels, one row a variant."""
    if not len(of_one.get("differences", ())):
        return of_one["accuracy"]
    columns = {"value": f"minus {KEEP}", "low": f"minus {KEEP}, low", "high": f"minus {KEEP}, high"}
    others = of_one["differences"][["variant", *columns]].rename(columns=columns)
    return of_one["accuracy"].merge(others, on="variant", how="left")


def is_constant(column: "pd.Series[Any]") -> bool:
    """Tell whether all entries of a column are the same."""
    return len(column.drop_duplicates()) == 1


def short(table: pd.DataFrame) -> pd.DataFrame:
    """Drop columns that are the same in all rows and said once below."""
    same = [name for name in ALIKE if name in table and len(table) > 1 and is_constant(table[name])]
    return table.drop(columns=same)


def facts_of(table: pd.DataFrame) -> dict[str, object]:
    """Return what is the same in all rows, for below the table."""
    columns = {**ORIGIN, **NUMBERS}
    same = [name for name in columns if name in ALIKE and name in table and is_constant(table[name])]
    facts: dict[str, object] = {name: table[name].iloc[0] for name in same if name != "learner"}
    if facts.get("interval") == OVER_SEEDS:
        facts["interval"] = f"{OVER_SEEDS} ({facts.get('seeds')})"
    return {name: value for name, value in facts.items() if value not in ("", None)}
