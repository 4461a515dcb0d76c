"""Two runs, or two updates of one, on the same tasks."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.commands.subjects.probed_run import ProbedRun
from mamlprobe.commands.subjects.probes import PROBES, Probe
from mamlprobe.commands.subjects.representations import grid_means
from mamlprobe.commands.subjects.summaries import readable
from mamlprobe.commands.subjects.table_files import Form
from mamlprobe.data.episodes import Episodes
from mamlprobe.draw.probes import grid_figure, pair_figure, pair_means
from mamlprobe.probe.representation.cka_grid import pair_grid
from mamlprobe.probe.representation.model_similarity import Model, pair_similarity

OTHER = ("run", "method", "seed", "update")
"""Columns that the second model has too, as ``run_b`` and so on."""


Look = Callable[[Model, Model, Episodes, int], pd.DataFrame]
"""A probe of two models on some tasks; the last argument is the number of the first of these tasks."""


def pair_table(a: ProbedRun, b: ProbedRun, look: Look) -> pd.DataFrame:
    """Return the table of `look` for `a` and `b` on the tasks of `a`, with the columns that say which `b` is.

    Raises:
        UserError: the nets differ in inputs or in the number of classes, or as `look`.
    """
    shapes = [(each.pool.image_shape, each.run.config.way) for each in (a, b)]
    if shapes[0] != shapes[1]:
        got = " and ".join(f"{way}-way of images {list(image)}" for image, way in shapes)
        raise UserError("probe", "both runs must see images of one shape and classify as many ways", got, "choose runs")
    one, other = (Model(net=each.net, theta=each.theta, method=each.method) for each in (a, b))
    table = a.table(lambda part, first: look(one, other, part, first))
    columns: dict[str, Any] = {"run": b.name, "method": b.method.name, "seed": b.run.config.seed, "update": b.update}
    return table.assign(**{f"{name}_b": columns[name] for name in OTHER})


PAIRS: dict[str, Probe] = {
    "layers": Probe(
        table=lambda a, b: pair_table(
            a, b, lambda one, other, part, first: pair_similarity(one, other, part, seed=first, chunk=a.chunk(part))
        ),
        summary=lambda table: readable(pair_means(table)),
        figure=pair_figure,
        form=Form(columns="measure layer moment value floor", by="measure layer moment"),
    ),
    "grid": Probe(
        table=lambda a, b: pair_table(
            a, b, lambda one, other, part, first: pair_grid(one, other, part, chunk=a.chunk(part))
        ),
        summary=grid_means,
        figure=grid_figure,
        form=PROBES["grid"].form,
    ),
}
"""Probes of two runs, by name."""
