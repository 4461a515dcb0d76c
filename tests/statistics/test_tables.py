"""Means, paired differences and last steps of tidy tables, against numbers worked by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mamlprobe.reproduce.analysis import only
from mamlprobe.statistics.analysis_of_variance import nested_interval, two_way_interval
from mamlprobe.statistics.tables import difference, last_step, means, task_means


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    grid = pd.MultiIndex.from_product([["a", "b"], [0, 1], range(30)], names=["method", "seed", "task"]).to_frame(False)
    hard = rng.normal(size=60)
    return grid.assign(value=np.where(grid["method"] == "a", 2.0, 1.0) + np.tile(hard, 2), run=grid["method"] + "-run")


def test_means_and_what_they_rest_on(rows):
    row = only(means(rows, ["method"]), method="a")
    assert row["value"] == pytest.approx(rows[rows["method"] == "a"]["value"].mean())
    assert row["low"] < row["value"] < row["high"]
    assert (row["seeds"], row["tasks"], row["run"]) == (2, 30, "a-run")
    assert row["interval"] == "t over seeds and tasks"
    assert only(means(rows[rows["seed"] == 0], ["method"]), method="a")["interval"] == "t over tasks"


def test_seeds_with_tasks_of_their_own_are_nested(rows):
    mine = rows[rows["method"] == "a"]
    shared, own = mine.assign(episodes="m"), mine.assign(episodes="m" + mine["seed"].astype(str))
    words = {"rows": mine["seed"], "columns": mine["task"]}
    nested = ("t over seeds and their tasks", nested_interval(mine["value"], clusters=mine["seed"]))
    for table, (name, expected) in (
        (shared, ("t over seeds and tasks", two_way_interval(mine["value"], **words))),
        (own, nested),
        (mine.drop(columns="task"), nested),
    ):
        row = means(table, ["method"]).iloc[0]
        assert row["interval"] == name
        assert (row["low"], row["high"]) == pytest.approx(expected)


def test_differences_are_paired_by_seed_and_task(rows):
    shuffled = rows.sample(frac=1.0, random_state=1)
    row = only(means(difference(shuffled, "method", "a", "b"), ["method"]), method="a - b")
    assert [row["value"], row["low"], row["high"]] == pytest.approx([1.0, 1.0, 1.0])
    assert row["run"] == "a-run;b-run"


def test_a_difference_rests_on_the_runs_of_seeds_that_both_have(rows):
    rows = rows.assign(run=rows["run"] + rows["seed"].astype(str))
    rows = rows[(rows["method"] == "a") | (rows["seed"] == 0)]
    row = only(means(difference(rows, "method", "a", "b"), ["method"]))
    assert (row["seeds"], row["run"]) == (1, "a-run0;b-run0")


def test_last_step_of_each_variant():
    table = pd.DataFrame({"variant": ["k", "k", "nil"], "step": [0, 5, 0], "value": [1.0, 2.0, 3.0]})
    assert last_step(table)["value"].tolist() == [2.0, 3.0]


def test_a_figure_and_the_command_line_have_one_interval():
    """Student's over the tasks of one run, by scipy; tasks without a value are neither counted nor meant."""
    values = [0.2, 0.5, math.nan, 0.9, 0.4]
    table = pd.DataFrame({"variant": "keep", "task": range(5), "value": values})
    row = task_means(table, ["variant"]).iloc[0]
    known = np.array([0.2, 0.5, 0.9, 0.4])
    low, high = stats.t.interval(0.95, 3, known.mean(), stats.sem(known))
    assert (row["value"], row["low"], row["high"]) == pytest.approx((known.mean(), low, high), abs=1e-12)
    assert row["tasks"] == 4
    whole = means(table, ["variant"]).iloc[0]
    assert (whole["low"], whole["high"]) == (row["low"], row["high"])


def test_groups_keep_their_order_and_their_columns():
    table = pd.DataFrame(
        {"layer": ["b", "a", "b", "a"], "step": [1, 1, 1, 1], "value": [1.0, 2.0, 3.0, 6.0], "task": [0, 0, 1, 1]}
    )
    found = task_means(table, ["layer", "step"])
    assert found.columns.tolist() == ["layer", "step", "value", "low", "high", "tasks"]
    assert found["layer"].tolist() == ["b", "a"]
    assert found["value"].tolist() == [2.0, 4.0]
