"""Cosine similarity of features within and between classes, over a hundred outer updates on one task.

Kao et al. 2022, figure 2 (K2), their toy protocol: a single task drawn from the test classes, first order, five inner
steps of 0.01, Adam, labels permuted anew before every update; three treatments of the head. As many support as query
items a class, 20 as published where the data have them. Cost: a minute.
"""

from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import mamlprobe as mp
from mamlprobe.draw.charts.heatmaps import grid
from mamlprobe.draw.layout import caption
from mamlprobe.reproduce.analysis import Analysis, Claim, Study

ARMS = {"random init": "keep", "zero-init": "zero_once", "zeroing": "zero_each_update"}
UPDATES = {"smoke": (1, 2, 3), "quick": (1, 11, 101), "paper": (1, 11, 101)}
REPEATS = {"smoke": 2, "quick": 3, "paper": 10}
PAIRS = (("zero-init", "random init"), ("zeroing", "zero-init"))
PUBLISHED = {"random init": 0.146, "zero-init": 0.095, "zeroing": 0.056}


def table(study: Study) -> pd.DataFrame:
    """Compute the mean cosine by arm, update, query class and block; and the means over same and different classes."""
    from mamlprobe.statistics.tables import means
    from mamlprobe.training.learner import Learner

    base = study.experiment("fomaml")
    items = min(20, study.pool.smallest["test"][0] // 2)
    net = mp.conv4(image=study.pool.image_shape, filters=base.net.filters, down=base.net.down, order="conv-relu-bn")
    inner = mp.Inner(steps=5, lr=0.01, order=1)
    maps, classes = [], []
    for seed in range(study.sized(REPEATS)):
        episodes = study.episodes(1, shot=items, query=items, index=seed)
        for arm, head in ARMS.items():
            method = mp.Method(name="fomaml", inner=inner, head=head)
            learner = Learner(net, mp.init(net, seed=seed, method=method), method)
            for update in range(1, study.sized(UPDATES)[-1] + 1):
                gradients, readings = mp.meta_gradient(net, learner.theta, permuted(episodes, seed, update), method)
                learner.step(gradients, readings.moments)
                if update in study.sized(UPDATES):
                    keys: dict[str, Any] = {"arm": arm, "update": update, "seed": seed}
                    maps.append(mp.cosine_maps(net, learner.theta, episodes, method).assign(**keys))
                    classes.append(mp.cosine_classes(net, learner.theta, episodes, method).assign(**keys))
    entries = pd.concat(maps, ignore_index=True)
    entries = entries[entries["row"].str.startswith("q")]
    rows = pd.concat(classes, ignore_index=True)
    parts = [means(entries, ["arm", "update", "row", "column"]).assign(quantity="map")]
    parts.append(means(rows, ["arm", "update", "quantity"]))
    last = rows[(rows["update"] == rows["update"].max()) & (rows["quantity"] == "query-support different")]
    drops = pd.concat([means_of(last, a, b) for a, b in PAIRS])
    return pd.concat([*parts, means(drops, ["arm"]).assign(quantity="difference")], ignore_index=True)


def means_of(rows: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Return the paired difference of two arms, seed by seed."""
    from mamlprobe.statistics.tables import difference

    return difference(rows, "arm", a, b, on=("seed", "task"))


def permuted(episodes: "mp.Episodes", seed: int, update: int) -> "mp.Episodes":
    """Return the task under another labelling, the same for support and query."""
    from mamlprobe.base.streams import random_keys

    order = random_keys(seed, "labels", update, shape=(episodes.way,)).argsort()
    return replace(episodes, support_y=order[episodes.support_y], query_y=order[episodes.query_y])


def figure(table: pd.DataFrame) -> Figure:
    """Draw arms by updates; each map has query classes against support classes, then against query classes."""
    maps = table[table["quantity"] == "map"]
    block = maps["column"].str[0].map({"s": "support class", "q": "query class"})
    shown = maps.assign(
        block=block, class_=maps["column"].str[1:].astype(int) + 1, row=maps["row"].str[1:].astype(int) + 1
    )
    shown = shown.assign(after="update " + shown["update"].astype(int).astype(str))
    drawn = grid(shown, row="arm", col="after", i="row", j="class_", split="block", centre=0, ilabel="query class",
                 label="cosine similarity of features")  # fmt: skip
    tasks = int(maps["seeds"].max())
    caption(drawn, f"Cells: mean over pairs of items of two classes, and over {tasks} seeds with a task each.")
    return drawn


CLAIMS = tuple(
    Claim(
        id="K2",
        text=f"cosine of query and support of different classes at the end: {a} below {b}",
        where={"quantity": "difference", "arm": f"{a} - {b}"},
        below=0.0,
        unit="cosine",
        published=round(PUBLISHED[a] - PUBLISHED[b], 3),
        source="result files",
    )
    for a, b in PAIRS
)
"""Features of different classes become less similar, most with zeroing."""

ANALYSIS = Analysis(
    paper="Kao et al. 2022, figure 2",
    title="Cosine similarity between classes during training",
    uncertainty="Cells are means over seeds with a task each; the claims have intervals.",
    order=6,
    table=table,
    figure=figure,
    claims=CLAIMS,
)
