"""Which runs are one learner, and intervals over them."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mamlprobe as mp
from mamlprobe.reports.seeds import distinct, learners, over_seeds, run_rows
from mamlprobe.reports.subject import Entry


def entry(folder, update=None, **changes):
    run = mp.load_run(folder)
    return Entry(name=run.path.name, run=replace(run, config=replace(run.config, **changes)), update=update)


def test_runs_that_differ_in_their_seed_alone_are_one(seeds, anil):
    entries = [entry(each) for each in (*seeds, anil)]
    groups = learners(entries)
    assert list(groups) == ["maml-smoke", anil.name]
    assert [each.seed for each in groups["maml-smoke"]] == [0, 1, 2]
    other = entry(seeds[0], query=3)
    assert [len(group) for group in learners([*entries[:3], other]).values()] == [3, 1]
    assert [len(group) for group in learners([entries[0], entry(seeds[1], update=1)]).values()] == [1, 1]
    two = learners([entry(seeds[0]), entry(seeds[1]), entry(seeds[0], query=3), entry(seeds[1], query=3)])
    assert [len(group) for group in two.values()] == [2, 2]
    assert all(name.startswith("maml-smoke-") for name in two)


def test_two_runs_of_one_seed_stay_apart(seeds, tmp_path):
    again = shutil.copytree(seeds[0], tmp_path / "again")
    groups = learners([entry(each) for each in (*seeds, again)])
    assert [len(group) for group in groups.values()] == [1, 1, 1, 1]


def test_names_are_made_distinct():
    assert distinct(["a", "b", "a", "a (2)", "a"]) == ["a", "b", "a (2)", "a (2) (2)", "a (3)"]


@pytest.mark.parametrize("runs", [2, 5])
def test_intervals_over_seeds_by_scipy(runs):
    draws = np.random.default_rng(0)
    table = pd.DataFrame(
        [
            {"run": f"r{run}", "variant": v, "task": task, "norm": "batch", "value": draws.normal(run, 1), "floor": run}
            for run in range(runs)
            for v in "ab"
            for task in range(4)
        ]
    )
    rows = [run_rows(each, ["variant"], ["floor"]).assign(run=run) for run, each in table.groupby("run")]
    seen = over_seeds(pd.concat(rows), ["variant"], ["floor"]).set_index("variant")
    for variant in "ab":
        centres = table[table["variant"] == variant].groupby("run")["value"].mean()
        low, high = stats.t.interval(0.95, runs - 1, loc=centres.mean(), scale=stats.sem(centres))
        assert tuple(seen.loc[variant, ["value", "low", "high"]]) == pytest.approx((centres.mean(), low, high))
        assert tuple(seen.loc[variant, ["interval", "seeds", "tasks", "floor"]]) == (
            "t over seeds", runs, 4, (runs - 1) / 2,
        )  # fmt: skip


def test_values_that_are_not_there_are_not_counted():
    rows = pd.DataFrame(
        {"run": [0, 1, 2], "k": "a", "value": [1.0, np.nan, 3.0], "low": 0.0, "high": 9.0, "tasks": [4, 0, 4]}
    )
    seen = over_seeds(rows.assign(norm="batch", note=["", "few", ""]), ["k"]).iloc[0]
    assert (seen["value"], seen["seeds"], seen["tasks"], seen["note"]) == (2.0, 2, 0, "few")
    none = over_seeds(rows.assign(norm="batch", value=np.nan), ["k"]).iloc[0]
    assert np.isnan(none["value"])
    assert none["seeds"] == 0


def test_a_single_run_stays_as_it_is():
    table = pd.DataFrame({"variant": "a", "task": [0, 1, 2], "norm": "batch", "value": [0.0, 1.0, 2.0]})
    rows = run_rows(table, ["variant"])
    seen = over_seeds(rows.assign(run="x"), ["variant"])
    pd.testing.assert_frame_equal(seen, rows)
    low, high = stats.t.interval(0.95, 2, loc=1, scale=stats.sem([0, 1, 2]))
    assert tuple(seen.iloc[0][["low", "high", "interval"]]) == (pytest.approx(low), pytest.approx(high), "t over tasks")
