"""Layers of many trained models compared with one another on the same tasks (Raghu et al. 2020, table 3, B.4, D.2)."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import pandas as pd

from mamlprobe.data.episodes import Episodes
from mamlprobe.probe.representation.layer_similarity import Measure
from mamlprobe.probe.representation.model_similarity import Model, pair_similarity

BODY, HEAD = "body", "head"
KEYS = ["pair", "seeds", "measure", "moment", "layer", "task", "features", "norm", "episodes"]


def across(
    models: Mapping[tuple[str, int], Model],
    pairs: Mapping[str, Sequence[tuple[str, str]]],
    episodes: Episodes,
    *,
    measures: Sequence[Measure],
    chunk: int | None = None,
) -> pd.DataFrame:
    """Compare layers between the models of every two seeds: columns `KEYS`, ``value floor``.

    `models` are named by learner and seed. A pair of learners is one or more ways to take a left model from the first
    seed and a right one from the second; several, such as both ways round, are averaged. `seeds` reads ``0, 1``. The
    layer ``body`` is the mean over all layers but the head. `chunk` as in `pair_similarity`.
    """
    seeds = sorted({seed for _, seed in models})
    tables = []
    for s, t in combinations(seeds, 2):
        for pair, ways in pairs.items():
            for left, right in ways:
                table = pair_similarity(models[left, s], models[right, t], episodes, measures=measures, chunk=chunk)
                tables.append(table.assign(pair=pair, seeds=f"{s}, {t}"))
    rows = pd.concat(tables).groupby(KEYS, sort=False)[["value", "floor"]].mean().reset_index()
    body = rows[rows["layer"] != HEAD].assign(layer=BODY, features="of each layer")
    body = body.groupby(KEYS, sort=False)[["value", "floor"]].mean().reset_index()
    return pd.concat([rows, body], ignore_index=True)


def gap(rows: pd.DataFrame, a: str, *others: str) -> pd.DataFrame:
    """Subtract the mean of the other pairs from the pair `a`, in the body, by task; `pair` reads ``a - others``."""
    keys = [name for name in KEYS if name not in ("pair", "layer", "features")]
    wide = rows[rows["layer"] == BODY].pivot_table("value", keys, "pair")
    difference = (wide[a] - wide[list(others)].mean(axis=1)).reset_index(name="value")
    return difference.assign(pair=f"{a} - {' and '.join(others)}", layer=BODY)


def moved(rows: pd.DataFrame) -> pd.DataFrame:
    """Compute how adapting changes a similarity: ``|after - before|``, the mean over layers of the body, by task."""
    layers = rows[~rows["layer"].isin([HEAD, BODY])]
    wide = layers.pivot_table("value", [name for name in KEYS if name != "moment"], "moment")
    keys = [name for name in KEYS if name not in ("moment", "layer", "features")]
    change = (wide["after"] - wide["before"]).abs().groupby(keys, sort=False).mean()
    return change.reset_index(name="value").assign(layer=BODY, moment="after")
