"""Means over tasks, which a figure of a table with a row a task shows."""

import pandas as pd

from mamlprobe.base.resampling import mean_interval


def means(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Columns `by`, ``value low high tasks``: the mean over tasks and its 95 % bootstrap interval, a row a group.

    Tasks whose value is not defined are left out and not counted.
    """
    rows = []
    for names, group in table.groupby(by, sort=False):
        low, high = mean_interval(group["value"].to_numpy(float))
        words = dict(zip(by, names, strict=True))
        rows.append(
            {**words, "value": group["value"].mean(), "low": low, "high": high, "tasks": group["value"].count()}
        )
    return pd.DataFrame(rows)


def last_steps(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of each variant's last inner step."""
    return table[table["step"] == table.groupby("variant")["step"].transform("max")]
