"""Arms of Kao et al. 2022 on Omniglot, beside the authors' own curves at the same updates (K11-K14)."""

from collections.abc import Mapping, Sequence
from math import inf, nan, sqrt
from typing import Any

import pandas as pd
from scipy import stats

from mamlprobe.reproduce.arms import KEPT, ZEROED, arm_rows, arm_table
from mamlprobe.reproduce.omniglot_names import SHOTS, recipe_of
from mamlprobe.reproduce.published_curves import OMNIGLOT, published_beside, published_curves
from mamlprobe.reproduce.study import Study, claim, only
from mamlprobe.runs.folder import Run

Claim = dict[str, object]


def omniglot_table(
    stage: Study,
    arms: Mapping[str, str],
    pairs: Sequence[tuple[str, str]],
    *,
    experiment: str = "basic",
    shots: Sequence[int] = SHOTS,
    slots: str = "drawn",
) -> pd.DataFrame:
    """Accuracy in percent after one step by shot, arm, head at test and update, ours and published.

    `arms` tells what the arm of a recipe is called; published ones are called by order too where it is second. Besides
    ours, as `arm_table` gives them for these pairs, there are rows of quantity ``ours - published`` (`agreement`).
    `slots` are those of test tasks. The authors test behind the update whose number they write, so that theirs is one
    ahead of ours: what they write at 0 is left out.
    """
    found: list[pd.DataFrame] = []
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
        found.append(both.assign(shot=shot, last=int(rows["update"].max())))
    return pd.concat(found, ignore_index=True)


def _theirs(experiment: str, shot: int, arms: Sequence[str]) -> pd.DataFrame:
    """The authors' curves of these arms with both heads, after their first update."""
    words: dict[str, Any] = {"dataset": OMNIGLOT, "shot": shot, "k": 1}
    found = pd.concat([published_curves(experiment, test_zeroing=each, **words) for each in (False, True)])
    found["arm"] = found["arm"].where(found["order"] == "FO", found["arm"] + ", second order")
    return found[found["arm"].isin(arms) & (found["update"] > 0)]


def gap(
    table: pd.DataFrame, name: str, text: str, *, side: str = "above", bound: float = 0.0, **where: object
) -> Claim:
    """A claim of the difference or lift that `where` names, at the last update, with what was published, if it was."""
    ours, theirs = (table[table["whose"] == whose] for whose in ("ours", "published"))
    last = ours["last"].max()
    row = only(ours[ours["update"] == last], **where)
    text = f"{text}, after {last:,} updates"
    words: dict[str, Any] = {"side": side, "bound": bound, "unit": "points"}
    if theirs.empty:
        return claim(name, text, row, **words)
    known = theirs[theirs["shot"] == row["shot"]]
    known = known[known["update"] == known["update"].max()].set_index(["arm", "head"])["value"]
    if row["quantity"] == "lift":
        published = known[row["arm"], ZEROED] - known[row["arm"], KEPT]
    else:
        a, b = row["arm"].split(" - ")
        published = known[a, row["head"]] - known[b, row["head"]]
    source = f"{theirs['source'].iloc[0]}, update {theirs['update'].max():,}"
    return claim(name, text, row, published=round(float(published), 2), source=source, **words)


def agreement(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Ours - published by arm, head and update, in points, with a 95 % interval.

    Its variance is that of our mean (from its interval) plus s^2 / m, the published variance over m seeds; where we
    have one seed, whose interval is over tasks alone, s^2 stands in for ours too and is added once more. Student's with
    degrees of freedom by Satterthwaite 1946: m - 1 where all is s^2, more where less is; no interval where one seed was
    published.
    """
    keys = ["arm", "head", "update"]
    both = ours[ours["quantity"] == "accuracy"].merge(theirs, on=keys, suffixes=("", "_theirs"))
    rows = []
    for row in both.to_dict("records"):
        half, seeds = nan, int(row["seeds_theirs"])
        if seeds > 1:
            own = (row["high"] - row["low"]) / 2 / stats.norm.ppf(0.975)
            variance = ((row["high_theirs"] - row["low_theirs"]) / 2) ** 2 * seeds / (seeds - 1)
            variance *= 1 / seeds + (row["seeds"] == 1)
            freedom = (seeds - 1) * ((own**2 + variance) / variance) ** 2 if variance else inf
            half = float(stats.t.ppf(0.975, freedom)) * sqrt(own**2 + variance)
        value = row["value"] - row["value_theirs"]
        kept = {
            word: row[word] for word in (*keys, "seeds", "tasks", "norm", "dataset", "episodes", "run") if word in row
        }
        kept |= {"value": value, "low": value - half, "high": value + half, "quantity": "ours - published"}
        rows.append(kept | {"interval": "t over seeds and tasks", "source": row["source"]})
    return pd.DataFrame(rows)
