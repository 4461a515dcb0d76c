"""Arms of Kao et al. 2022 on Omniglot, with the authors' curves at the same updates (K11-K14)."""

from collections.abc import Mapping, Sequence
from math import inf, nan, sqrt
from typing import Any

import pandas as pd
from scipy import stats

from mamlprobe.reproduce.analysis import Row, claim, only
from mamlprobe.reproduce.arms import KEPT, ZEROED, arm_rows, arm_table
from mamlprobe.reproduce.omniglot_names import SHOTS, recipe_of
from mamlprobe.reproduce.published_curves import OMNIGLOT, published_beside, published_curves
from mamlprobe.reproduce.study import Study
from mamlprobe.runs.folder import Run


def omniglot_table(
    stage: Study,
    arms: Mapping[str, str],
    pairs: Sequence[tuple[str, str]],
    *,
    experiment: str = "basic",
    shots: Sequence[int] = SHOTS,
    slots: str = "drawn",
) -> pd.DataFrame:
    """Tabulate accuracy in percent after one step by shot, arm, head at test and update, ours and published.

    `arms` maps the arm in a recipe's name to the arm's name in the table, where published arms of second order say so.
    In addition to our rows from `arm_table` for these pairs there are rows of quantity ``ours - published``
    (`agreement`). `slots` are those of test tasks. The authors test after the update whose number they write, so that
    theirs is one ahead of ours: what they write at 0 is left out.
    """
    tables: list[pd.DataFrame] = []
    for shot in shots:
        theirs = _theirs(experiment, shot, list(arms.values()))
        shared = {0, *theirs["update"]}

        def updates(run: Run, shared: set[int] = shared) -> list[int]:
            known = run.updates()
            return [update for update in known if update in shared or update == known[-1]]

        recipes = {recipe_of(arm, shot): called for arm, called in arms.items()}
        rows = arm_rows(stage, recipes, updates=updates, shot=shot, slots=slots)
        ours = arm_table(rows, pairs)
        both = published_beside(
            pd.concat([ours, agreement(ours, theirs)]), theirs[theirs["update"] <= rows["update"].max()]
        )
        both["panel"] = both["head"] + f", {shot} shot" + "s" * (shot > 1)
        tables.append(both.assign(shot=shot, last=int(rows["update"].max())))
    return pd.concat(tables, ignore_index=True)


def _theirs(experiment: str, shot: int, arms: Sequence[str]) -> pd.DataFrame:
    """Return the authors' curves of these arms with both heads, after their first update."""
    options: dict[str, Any] = {"dataset": OMNIGLOT, "shot": shot, "k": 1}
    curves = pd.concat([published_curves(experiment, test_zeroing=each, **options) for each in (False, True)])
    curves["arm"] = curves["arm"].where(curves["order"] == "FO", curves["arm"] + ", second order")
    return curves[curves["arm"].isin(arms) & (curves["update"] > 0)]


def gap(table: pd.DataFrame, name: str, text: str, *, side: str = "above", bound: float = 0.0, **where: object) -> Row:
    """Return the claim on the difference or lift that `where` selects, at the last update, with any published value."""
    ours, theirs = (table[table["whose"] == whose] for whose in ("ours", "published"))
    last = ours["last"].max()
    row = only(ours[ours["update"] == last], **where)
    text = f"{text}, after {last:,} updates"
    options: dict[str, Any] = {"side": side, "bound": bound, "unit": "points"}
    if theirs.empty:
        return claim(name, text, row, **options)
    known = theirs[theirs["shot"] == row["shot"]]
    known = known[known["update"] == known["update"].max()].set_index(["arm", "head"])["value"]
    if row["quantity"] == "lift":
        published = known[row["arm"], ZEROED] - known[row["arm"], KEPT]
    else:
        a, b = row["arm"].split(" - ")
        published = known[a, row["head"]] - known[b, row["head"]]
    source = f"{theirs['source'].iloc[0]}, update {theirs['update'].max():,}"
    return claim(name, text, row, published=round(float(published), 2), source=source, **options)


def agreement(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Compute ours - published by arm, head and update, in points, with a 95 % interval.

    Its variance is that of our mean (from its interval) plus s^2 / m, s^2 the published variance over m seeds. With one
    seed of ours, whose interval is over tasks alone, s^2 stands in for our variance over seeds and is added once more.
    The interval is Student's with degrees of freedom by Satterthwaite 1946: m - 1 if all variance is s^2, more if
    less of it is; no interval if one seed was published.
    """
    keys = ["arm", "head", "update"]
    both = ours[ours["quantity"] == "accuracy"].merge(theirs, on=keys, suffixes=("", "_theirs"))
    rows = []
    for row in both.to_dict("records"):
        half, seeds = nan, int(row["seeds_theirs"])
        if seeds > 1:
            standard_error = (row["high"] - row["low"]) / 2 / stats.norm.ppf(0.975)
            variance = ((row["high_theirs"] - row["low_theirs"]) / 2) ** 2 * seeds / (seeds - 1)
            variance *= 1 / seeds + (row["seeds"] == 1)
            freedom = (seeds - 1) * ((standard_error**2 + variance) / variance) ** 2 if variance else inf
            half = float(stats.t.ppf(0.975, freedom)) * sqrt(standard_error**2 + variance)
        value = row["value"] - row["value_theirs"]
        cells = {
            word: row[word] for word in (*keys, "seeds", "tasks", "norm", "dataset", "episodes", "run") if word in row
        }
        cells |= {"value": value, "low": value - half, "high": value + half, "quantity": "ours - published"}
        rows.append(cells | {"interval": "t over seeds and tasks", "source": row["source"]})
    return pd.DataFrame(rows)
