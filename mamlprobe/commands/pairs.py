"""Two runs, or two updates of one, on the same tasks."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.base.errors import UserError
from mamlprobe.commands.cases import Case
from mamlprobe.commands.probes import Probe
from mamlprobe.commands.tables import means, readable
from mamlprobe.draw.curves import curves
from mamlprobe.probe.pairs import Model, pair_similarity

OTHER = ("run", "method", "seed", "update")
"""Columns that the second model has too, as ``run_b`` and so on."""


def pair_table(a: Case, b: Case) -> pd.DataFrame:
    """Similarity of every layer of `a` to that of `b`, before and after each has adapted to the tasks of `a`.

    Raises:
        UserError: the nets differ in inputs or in the number of classes, or have no layer in common.
    """
    shapes = [(each.pool.image_shape, each.run.config.way) for each in (a, b)]
    if shapes[0] != shapes[1]:
        got = " and ".join(f"{way}-way of images {list(image)}" for image, way in shapes)
        raise UserError("probe", "both runs must see images of one shape and classify as many ways", got, "choose runs")
    one, other = (Model(net=each.net, theta=each.theta, method=each.method) for each in (a, b))
    table = a.table(lambda part, first: pair_similarity(one, other, part, seed=first))
    words: dict[str, Any] = {"run": b.name, "method": b.method.name, "seed": b.run.config.seed, "update": b.update}
    return table.assign(**{f"{name}_b": words[name] for name in OTHER})


def pair_means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean similarity and mean null floor of every measure, layer and moment."""
    by = ["measure", "layer", "moment"]
    floors = table.groupby(by, sort=False)["floor"].mean()
    found = means(table, by)
    return found.assign(floor=[floors[key] for key in zip(*(found[name] for name in by), strict=True)])


def pair_figure(table: pd.DataFrame) -> Figure:
    """Similarity by layer, before and after, a panel for each measure, with the null floor."""
    found = pair_means(table)
    found = found[found["value"].notna()]
    return curves(found, x="layer", hue="moment", panel="measure", floor="floor", ylabel="similarity")


PAIRS: dict[str, Probe] = {
    "layers": Probe(
        about="similarity of each layer of two models (Raghu et al. 2020, table 3)",
        table=pair_table,
        summary=lambda table: readable(pair_means(table)),
        figure=pair_figure,
    ),
}
"""Probes of two runs, by name."""
