"""Runs that differ only in their seed as one learner, and intervals over seeds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mamlprobe.base.spec import fingerprint
from mamlprobe.reports.subject import Entry
from mamlprobe.statistics.intervals import t_interval
from mamlprobe.statistics.tables import task_means

OVER_TASKS, OVER_SEEDS = "t over tasks", "t over seeds"
"""What an interval is over, as in the column ``interval``."""


def learners(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Group the runs by learner: several whose settings and updates are the same but for the seed are one.

    Imported weights, models of the user's, and two runs of one seed stay apart. A learner of one run has the name of
    its folder, one of several that of the recipe, with digits of its settings if that is not enough.
    """
    groups: dict[object, list[Entry]] = {}
    for place, each in enumerate(entries):
        groups.setdefault(_settings(each) or place, []).append(each)
    apart: list[list[Entry]] = []
    for group in groups.values():
        whole = len({each.seed for each in group}) == len(group)
        apart += [group] if whole else [[each] for each in group]
    names = [_name(group) for group in apart]
    full = [
        f"{name}-{_settings(group[0])}" if names.count(name) > 1 and len(group) > 1 else name
        for name, group in zip(names, apart, strict=True)
    ]
    return dict(zip(distinct(full), apart, strict=True))


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names, numbered from the second of the same on."""
    made: list[str] = []
    for name in names:
        new, number = name, 2
        while new in made:
            new, number = f"{name} ({number})", number + 1
        made.append(new)
    return made


def _settings(entry: Entry) -> str:
    """Return hex digits that two runs share if they differ only in their seed; empty where they are not compared."""
    run = entry.run
    if run is None:
        return ""
    update = entry.update if entry.update is not None else run.updates()[-1]
    return fingerprint((replace(run.config, seed=0), update, run.image, run.classes))


def _name(group: Sequence[Entry]) -> str:
    """Return the name of a learner."""
    first = group[0]
    if len(group) == 1 or first.config is None:
        return first.name
    return first.config.recipe if first.update is None else f"{first.config.recipe}@{first.update}"


def run_rows(table: pd.DataFrame, by: Sequence[str], also: Sequence[str] = ()) -> pd.DataFrame:
    """Compute means over tasks with Student's intervals: columns `by`, ``value low high tasks`` and so on.

    Adds means of the columns `also`, the norm regime, and the notes on values if there is such a column.
    """
    rows = task_means(table, by).assign(interval=OVER_TASKS, seeds=1)
    groups = table.groupby(list(by), sort=False, observed=True)
    for name in also:
        rows[name] = groups[name].mean().to_numpy()
    for name in ("norm", "note"):
        if name in table:
            rows[name] = groups[name].agg(_joined).to_numpy()
    return rows


def over_seeds(rows: pd.DataFrame, by: Sequence[str], also: Sequence[str] = ()) -> pd.DataFrame:
    """Compute means over runs with Student's intervals over them; rows of a single run stay as they are.

    rows: those of `run_rows` of all runs of a learner, with a column ``run``. The mean is over the runs' means, and
    `tasks` is the smallest number of tasks behind one of them.
    """
    if len(set(rows["run"])) == 1:
        return rows.drop(columns="run")
    made = []
    for keys, part in rows.groupby(list(by), sort=False, observed=True, dropna=False):
        values = part["value"].to_numpy(float)
        known = values[~np.isnan(values)]
        low, high = t_interval(known)
        row = dict(zip(by, keys, strict=True)) | {"value": known.mean() if len(known) else np.nan, "low": low}
        row |= {"high": high, "tasks": part["tasks"].min(), "interval": OVER_SEEDS, "seeds": len(known)}
        row |= {name: part[name].mean() for name in also}
        row |= {name: _joined(part[name]) for name in ("norm", "note", "estimator") if name in part}
        made.append(row)
    return pd.DataFrame(made)


def _joined(entries: "pd.Series[str]") -> str:
    """Return the different words, none of them empty, in one."""
    return "; ".join(sorted({str(word) for word in entries} - {""}))
