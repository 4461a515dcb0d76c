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
    """Return the points of every task before and after the inner loop, and how far apart its classes are."""

    def look(part: Episodes, first: int) -> pd.DataFrame:
        of_case = (case.net, case.theta, part, case.method)
        points = embed(*of_case, kind=kind, chunk=case.chunk(part)).assign(quantity=POINT)
        return pd.concat([class_geometry(*of_case, chunk=case.chunk(part)), points], ignore_index=True)

    return case.table(look)


def embed_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return how far apart classes are, as text: means over tasks by quantity and moment."""
    return readable(task_means(table[table["quantity"] != POINT], ["quantity", "moment"]))


def grid_table(case: ProbedRun) -> pd.DataFrame:
    """Return the similarity of every layer with every layer: before, across the inner loop, and after."""
    return case.table(lambda part, first: cka_grid(case.net, case.theta, part, case.method, chunk=case.chunk(part)))


def _entries(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over tasks for every pair of moments and of layers, with the pair of moments as text."""
    means = task_means(table, ["moment_a", "moment_b", "layer_a", "layer_b"])
    return means.assign(moments=means["moment_a"] + " x " + means["moment_b"])


def grid_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return the maps as text: one row per pair of moments and layer, one column per layer."""
    means = readable(_entries(table), digits=2)
    layout: dict[str, Any] = {"index": ["moments", "layer_a"], "columns": "layer_b", "values": "value"}
    wide = means.pivot_table(**layout, aggfunc="first", sort=False).reset_index()
    return wide.rename(columns={"layer_a": "layer"}).rename_axis(columns=None)
