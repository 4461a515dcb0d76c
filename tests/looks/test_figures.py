"""Every figure looked over by numbers: the papers' from their committed tables, the package's from made ones.

The faults of one figure: ``pytest tests/looks/test_figures.py -k NAME``.
"""

import importlib
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import grouped
from mamlprobe.draw.charts.curves import curves
from mamlprobe.draw.models import survey_figure
from mamlprobe.draw.tables import draw
from mamlprobe.reproduce.records import read_rows
from mamlprobe.statistics.tables import task_means
from tests.looks.checks import faults
from tests.looks.tables import NETS, made

FIGURES = Path(__file__).parents[2] / "figures"
COMMITTED = {
    str(path.relative_to(FIGURES).with_suffix("")): path
    for path in sorted(FIGURES.rglob("*.csv"))
    if path.stem != "claims"
}
TABLES = {f"{name}, {net}": table for net in NETS for name, table in made(net)}


@pytest.mark.parametrize("name", COMMITTED)
def test_a_figure_of_the_papers(name):
    script = importlib.import_module(f"analyses.{COMMITTED[name].stem}")
    assert faults(script.ANALYSIS.figure(read_rows(COMMITTED[name]))) == []


@pytest.mark.parametrize("name", TABLES)
def test_a_figure_of_the_package(name):
    assert faults((survey_figure if name.startswith("survey") else draw)(TABLES[name])) == []


def accuracies(net: str) -> Figure:
    """Accuracy of one run by variant."""
    means = task_means(TABLES[f"variants, {net}"], ["variant"])
    return grouped(means, group="variant", hue=None, chance=0.2, label="accuracy", orientation="horizontal")


def compared(net: str) -> Figure:
    """Accuracy of two runs."""
    rows = task_means(TABLES[f"variants, {net}"], ["variant"])
    both = [rows.assign(run=run, value=rows["value"] - 0.1 * k) for k, run in enumerate(("one", "another"))]
    return grouped(pd.concat(both), group="variant", hue="run", label="accuracy", orientation="horizontal")


def course(net: str) -> Figure:
    """Accuracy by update."""
    log = TABLES[f"log, {net}"].query("quantity == 'accuracy'")
    log = log.assign(low=log["value"] - 0.05, high=log["value"] + 0.05)
    return curves(log, x="update", hue="split", chance=0.2, ylabel="accuracy", ylim=(0.0, 1.0), ratio=0.45)


CHARTS = {f"{chart.__name__}, {net}": partial(chart, net) for net in NETS for chart in (accuracies, compared, course)}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart(name):
    assert faults(CHARTS[name]()) == []


def test_all_committed_figures_are_looked_over():
    pictures = {str(path.relative_to(FIGURES).with_suffix("")) for path in FIGURES.rglob("*.png")}
    assert pictures == COMMITTED.keys()
    assert len(COMMITTED) >= 49
