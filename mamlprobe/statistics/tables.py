"""Means of tidy tables with their intervals, and differences: the same for figures, reports and the command line."""

from collections.abc import Sequence

import pandas as pd

from mamlprobe.statistics.analysis_of_variance import nested_interval, two_way_interval
from mamlprobe.statistics.intervals import t_interval


def means(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Compute the mean, its interval and the counts behind it, for every group of `rows` by the columns `by`.

    Adds ``value low high interval seeds tasks``, and ``episodes norm dataset run`` if `rows` has them. The interval,
    of 95 %, is Student's over tasks for one seed, else over seeds and tasks by `two_way_interval`, or by
    `nested_interval` if each seed was tested on tasks of its own.
    """
    records = []
    extra = [name for name in ("norm", "dataset", "episodes") if name in rows and name not in by]
    for group, part in rows.groupby(list(by), sort=False, observed=True):
        seeds = part["seed"].nunique() if "seed" in part else 1
        word, (low, high) = _interval(part, seeds)
        row = dict(zip(by, group, strict=True))
        row |= {"value": part["value"].mean(), "low": low, "high": high}
        row |= {"interval": word}
        row |= {"seeds": seeds, "tasks": part["task"].nunique() if "task" in part else len(part)}
        row |= {name: ";".join(sorted({str(v) for v in part[name]})) for name in extra}
        if "run" in part:
            row["run"] = ";".join(sorted(part["run"].unique()))
        records.append(row)
    return pd.DataFrame(records)


def _interval(part: pd.DataFrame, seeds: int) -> tuple[str, tuple[float, float]]:
    """Compute the name and ends of the interval of the mean of column ``value``."""
    values = part["value"].to_numpy(float)
    if seeds == 1:
        return "t over tasks", t_interval(values)
    labels = part["seed"].to_numpy()
    if "task" in part and ("episodes" not in part or len(set(part["episodes"])) == 1):
        return "t over seeds and tasks", two_way_interval(values, rows=labels, columns=part["task"].to_numpy())
    return "t over seeds and their tasks", nested_interval(values, clusters=labels)


def task_means(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the columns `by`, ``value low high tasks`` of `means`; tasks without a value are not counted."""
    counts = table.groupby(list(by), sort=False, observed=True)["value"].count()
    return means(table, by)[[*by, "value", "low", "high"]].assign(tasks=counts.to_numpy())


def difference(
    rows: pd.DataFrame, column: str, a: str, b: str, *, on: Sequence[str] = ("seed", "task")
) -> pd.DataFrame:
    """Subtract b from a, with rows paired by the columns `on` (the same episodes); `column` then is ``a - b``."""
    keys = list(on)
    extra = [name for name in ("norm", "dataset", "episodes") if name in rows]
    left = rows[rows[column] == a].set_index(keys)
    right = rows[rows[column] == b].set_index(keys)
    both = left[["value", *extra]].join(right["value"].rename("other"), how="inner").reset_index()
    paired = [side[side.index.isin(left.index.intersection(right.index))] for side in (left, right)]
    runs = ";".join(sorted({run for side in paired for run in side.get("run", [])}))
    both["value"] = both["value"] - both.pop("other")
    both[column] = f"{a} - {b}"
    return both.assign(run=runs) if runs else both


def last_step(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the rows after the last inner step of each variant."""
    return rows[rows["step"] == rows.groupby("variant")["step"].transform("max")]
