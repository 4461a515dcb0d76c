"""The probes whose answer is a picture: points of tasks in a plane, and maps of every layer with every layer."""

from typing import Any

import pandas as pd

from mamlprobe.commands.subjects.probed_run import ProbedRun
from mamlprobe.commands.subjects.summaries import readable
from mamlprobe.data.episodes import Episodes
from mamlprobe.draw.probes import POINT
from mamlprobe.probe.representation.cka_grid import cka_grid
from mamlprobe.probe.representation.embedding import class_geometry, embed
from mamlprobe.statistics.tables import task_means


def embed_table(case: ProbedRun, kind: str) -> pd.DataFrame:
    """The points of every task before and after the inner loop, and how its classes stand apart."""

    def look(part: Episodes, first: int) -> pd.DataFrame:
        of_case = (case.net, case.theta, part, case.method)
        points = embed(*of_case, kind=kind, chunk=case.held(part)).assign(quantity=POINT)
        return pd.concat([class_geometry(*of_case, chunk=case.held(part)), points], ignore_index=True)

    return case.table(look)


def embed_means(table: pd.DataFrame) -> pd.DataFrame:
    """How classes stand apart, as text: means over tasks by quantity and moment."""
    return readable(task_means(table[table["quantity"] != POINT], ["quantity", "moment"]))


def grid_table(case: ProbedRun) -> pd.DataFrame:
    """Similarity of every layer with every layer: before, across the inner loop, and after."""
    return case.table(lambda part, first: cka_grid(case.net, case.theta, part, case.method, chunk=case.held(part)))


def _entries(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over tasks for every pair of moments and of layers, the pair of moments in words."""
    found = task_means(table, ["moment_a", "moment_b", "layer_a", "layer_b"])
    return found.assign(moments=found["moment_a"] + " x " + found["moment_b"])


def grid_means(table: pd.DataFrame) -> pd.DataFrame:
    """The maps as text: a row a pair of moments and layer, a column a layer."""
    found = readable(_entries(table), digits=2)
    words: dict[str, Any] = {"index": ["moments", "layer_a"], "columns": "layer_b", "values": "value"}
    wide = found.pivot_table(**words, aggfunc="first", sort=False).reset_index()
    return wide.rename(columns={"layer_a": "layer"}).rename_axis(columns=None)
