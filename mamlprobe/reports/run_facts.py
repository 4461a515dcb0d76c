"""Tables on runs that need no weights: settings, origin, log, and what an import understood."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mamlprobe.base.nested import flatten
from mamlprobe.base.spec import to_dict
from mamlprobe.reports.seeds import OVER_TASKS
from mamlprobe.reports.subject import Entry
from mamlprobe.runs.inner import NAMES, in_words, values_of

Group = Mapping[str, Sequence[Entry]]
"""Runs by learner."""

LISTED = ("understood", "stated", "assumed", "trained_on", "classes", "earlier", "format")
"""Fields of env.json that are lists, or shown elsewhere."""


def run_table(groups: Group) -> pd.DataFrame:
    """Return a row for every run of the report."""
    rows = []
    for learner, each in of_groups(groups):
        run, config = each.run, each.config
        update = each.update if run is None or each.update is not None else run.updates()[-1]
        rows.append(
            {"learner": learner, "run": each.name, "seed": each.seed, "update": update or 0}
            | {"recipe": "" if config is None else config.recipe, "method": each.method.name}
            | {"imported": run is not None and run.imported, "folder": "" if run is None else str(run.path)}
        )
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def of_groups(groups: Group) -> list[tuple[str, Entry]]:
    """Return every run with its learner."""
    return [(learner, each) for learner, group in groups.items() for each in group]


def settings_table(groups: Group) -> pd.DataFrame:
    """Return every setting of every learner as text, and whether it differs from another's; of seeds all."""
    rows = []
    for learner, group in groups.items():
        first = group[0]
        values = as_text(to_dict(first.config) if first.config is not None else {"method": to_dict(first.method)})
        if first.config is not None:
            values["seed"] = ", ".join(str(each.seed) for each in group)
        rows += [{"learner": learner, "setting": name, "value": value} for name, value in values.items()]
    table = pd.DataFrame(rows)
    same = table.groupby("setting")["value"].agg(lambda values: len(values) == len(groups) and len(set(values)) == 1)
    several = ~same.astype(bool)
    return table.assign(differs=several.reindex(table["setting"]).to_numpy())


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Flatten nested fields to dotted names, every value as text."""
    flat = flatten(values).items()
    return {name: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in flat}


def origin_table(groups: Group) -> pd.DataFrame:
    """Return the facts of every run's env.json, without lists of classes."""
    rows = []
    for learner, each in of_groups(groups):
        for name, value in ({} if each.run is None else origin_of(each)).items():
            rows.append({"learner": learner, "run": each.name, "fact": name, "value": value})
    return pd.DataFrame(rows, columns=["learner", "run", "fact", "value"])


def origin_of(entry: Entry) -> dict[str, str]:
    """Return the facts of a run's env.json as text, and how far its training is."""
    run = entry.run
    assert run is not None
    env = run.env
    classes = env.get("trained_on", (env.get("data") or {}).get("classes", ()))
    short = {name: value for name, value in env.items() if name not in LISTED}
    if isinstance(env.get("data"), dict):
        short["data"] = {name: value for name, value in env["data"].items() if name not in LISTED}
    facts = as_text(short) | ({"training classes": str(len(classes))} if classes else {})
    return facts | {"updates kept": ", ".join(map(str, run.updates())), "finished": str(run.done)}


def understood_table(groups: Group) -> pd.DataFrame:
    """Return what the import of each run saw, assumed and left out, and what was stated by an option."""
    rows = []
    for learner, each in of_groups(groups):
        if each.run is not None and each.run.imported:
            rows += [{"learner": learner, "run": each.name} | row for row in _understood(each)]
    return pd.DataFrame(rows, columns=["learner", "run", "kind", "fact"])


def _understood(entry: Entry) -> list[dict[str, str]]:
    run = entry.run
    assert run is not None
    env = run.env
    lines = [line.partition(": ") for line in env.get("understood", ())]
    rows = [{"kind": kind, "fact": fact} for kind, _, fact in lines]
    known = values_of(run.config.method)
    if not lines:
        assumed = [in_words(name, known[name]) + f" (say {_option(name)})" for name in run.assumed]
        rows += [{"kind": "assumed", "fact": fact} for fact in assumed]
    stated = list(env.get("stated", ()))
    if "stated" not in env:  # an import of an earlier version
        stated = [f"{in_words(name, known[name])} ({_option(name)})" for name in NAMES if name not in run.assumed]
    return [*rows, *({"kind": "stated", "fact": fact} for fact in stated)]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def log_rows(entry: Entry) -> pd.DataFrame:
    """Return the log of a run with the interval of each validation: ``update split quantity value low high`` and so on.

    No row for weights that were made elsewhere.
    """
    assert entry.run is not None
    log = entry.run.log
    widths = log["quantity"].str.endswith("_half_width")
    halves = log[widths].assign(quantity=log["quantity"].str.removesuffix("_half_width"))
    keys = ["update", "split", "quantity"]
    half = halves.set_index(keys)["value"].rename("half")
    rows = log[~widths].join(half, on=keys)
    train = rows["split"] == "train"
    estimator = train.map({True: "mean over training tasks since the row before", False: "mean over tasks"})
    value, half_width = rows["value"].astype(float), rows.pop("half").astype(float)
    rows = rows.assign(value=value, low=value - half_width, high=value + half_width, estimator=estimator)
    interval = rows["low"].notna().map({True: OVER_TASKS, False: ""})
    return rows.assign(interval=interval, seeds=1, norm=entry.method.norm.statistics)
