"""One tidy table over many runs: what their settings differ in, how they ended, and answers to questions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.nested import flatten
from mamlprobe.base.spec import to_dict
from mamlprobe.reports.asked import QUESTIONS
from mamlprobe.reports.report import report
from mamlprobe.runs.folder import Run, load_run, open_run

FIRST = ("run", "recipe", "seed", "update", "done")
"""The first columns of the table."""


def runs_at(paths: Sequence[str | Path]) -> list[Run]:
    """Open the runs at these folders, or in them where one is a folder of runs; those not begun are left out.

    Raises:
        UserError: a folder that is no run and holds none, or a damaged run.
    """
    runs: list[Run] = []
    for path in map(Path, paths):
        inside = [] if (path / "config.json").exists() else sorted(path.glob("*/config.json"))
        if not inside:
            runs.append(load_run(path))
        for each in inside:
            run = open_run(each.parent)
            if run is not None and run.updates():
                runs.append(run)
    return runs


def runs_table(
    runs: Sequence[Run | str | Path], *, questions: str | Sequence[str] = (), episodes: int | None = None, **how: Any
) -> pd.DataFrame:
    """Return a row a run: settings that differ as columns, the last values of the log, and answers if any are asked.

    Settings have their dotted names, values of the log ``split.quantity``, answers ``question.key...``, such as
    ``accuracy.nil``. The questions are those of `mamlprobe.report` about one run's weights; what the runs keep of them
    is not computed again. `how` are more options of `report`.

    Raises:
        UserError: no run, an unknown question, or as `load_run` and `report`.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> from mamlprobe.sweeps.runs_table import runs_table
        >>> small = replace(mp.recipe("maml", "smoke"), data=mp.Data(size=14))
        >>> runs = [mp.train(replace(small, query=query), "runs", progress=False) for query in (1, 2)]
        >>> table = runs_table(runs, questions="accuracy", episodes=4)
        >>> table[["seed", "update", "query"]].to_dict("list")
        {'seed': [0, 0], 'update': [4, 4], 'query': [1, 2]}
        >>> {"val.accuracy", "accuracy.keep", "accuracy.nil"} <= set(table.columns)
        True
    """
    every = [each for one in runs for each in ([one] if isinstance(one, Run) else runs_at([one]))]
    opened = list({run.path.resolve(): run for run in every}.values())
    names = _questions(questions)
    if not opened:
        raise UserError("table", "at least one run must be named", "none", "name folders of runs")
    table = pd.DataFrame(
        {
            "run": [run.path.name for run in opened],
            "recipe": [run.config.recipe for run in opened],
            "seed": [run.config.seed for run in opened],
            "update": [max(run.updates()) for run in opened],
            "done": [run.done for run in opened],
        }
    )
    parts = [table, _settings(opened), _logs(opened)]
    if names:
        keys = {f"{place}": run for place, run in enumerate(opened)}
        answers = report(keys, questions=names, episodes=episodes, **how)
        parts += [_answers(answers.by_run[name], name, list(keys)) for name in names]
    return pd.concat(parts, axis=1)


def _questions(asked: str | Sequence[str]) -> list[str]:
    """Return the questions by name.

    Raises:
        UserError: an unknown one.
    """
    names = [each.strip() for each in (asked.split(",") if isinstance(asked, str) else asked)]
    for name in names:
        if name not in QUESTIONS:
            raise unknown("table", "question", name, QUESTIONS)
    return list(dict.fromkeys(names))


def _settings(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the settings that differ, beside those in the first columns."""
    rows = [flatten(to_dict(run.config)) for run in runs]
    names = dict.fromkeys(name for row in rows for name in row if name not in FIRST)
    differ = [name for name in names if any(row.get(name) != rows[0].get(name) for row in rows)]
    return pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in differ}, index=range(len(rows)))


def _column(values: Sequence[Any]) -> list[Any]:
    """Return values of one kind: as they are, or as text where there are several kinds of them, or lists."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds - {int, float}) == 0 or kinds in ({str}, {bool}):
        return list(values)
    lists = [", ".join(map(str, value)) if isinstance(value, list) else value for value in values]
    return [None if value is None else str(value) for value in lists]


def _logs(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the last values of each log."""
    rows = []
    for run in runs:
        last = run.log.drop_duplicates(["split", "quantity"], keep="last")
        rows.append({f"{row.split}.{row.quantity}": row.value for row in last.itertuples()})
    return pd.DataFrame(rows, index=range(len(rows)))


def _answers(rows: pd.DataFrame, name: str, keys: Sequence[str]) -> pd.DataFrame:
    """Return the values of one question, a row a run and a column a key; empty where it does not apply."""
    by = [each for each in QUESTIONS[name].by if each in rows]
    for each in reversed(by[1:]):  # a column that tells no rows of a run apart is no part of a name
        fewer = [other for other in by if other != each]
        by = by if rows.duplicated(["run", *fewer]).any() else fewer
    named = rows.assign(key=[".".join([name, *map(str, each)]) for each in rows[by].itertuples(index=False)])
    wide = named.pivot_table(index="run", columns="key", values="value", sort=False, aggfunc="first")
    return wide.reindex(list(keys)).reset_index(drop=True).rename_axis(columns=None)
