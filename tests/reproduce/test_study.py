"""Tables of means, paired differences and claims, against numbers worked by hand."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.recipes.presets import lasting
from mamlprobe.reproduce import study as module
from mamlprobe.reproduce.analysis import claim, only
from mamlprobe.reproduce.gallery import _jobs
from mamlprobe.reproduce.study import Study
from mamlprobe.runs.folder import write_json
from mamlprobe.statistics.analysis_of_variance import nested_interval, two_way_interval
from mamlprobe.statistics.tables import difference, last_step, means


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


def test_finished_runs_alone_of_each_recipe_as_many_as_there_are(tmp_path):
    stage = Study(preset="smoke", folder=tmp_path / "runs", out=tmp_path / "figures", finished=True)
    assert replace(stage, finished=False).jobs("anil") == [("anil", 0), ("anil", 1)]
    assert stage.jobs("anil") == []
    run = stage.run("anil", 1)
    assert (stage.jobs("anil"), stage.jobs("maml")) == ([("anil", 1)], [])
    assert [(name, found.path) for name, found in stage.runs("anil", "maml")] == [("anil", run.path)]
    (run.path / "done").unlink()
    assert stage.jobs("anil") == []


def test_fewer_updates_take_schedules_and_checkpoints_along():
    usual, few = (Study(preset="paper", updates=updates).experiment("mamlpp") for updates in (None, 300))
    assert (usual.updates, few.updates) == (30_000, 300)
    assert (few.checkpoint_every, few.validate_every) == (usual.checkpoint_every / 100, usual.validate_every)
    assert few.method.multi_step_updates == usual.method.multi_step_updates / 100 > 0
    assert lasting(usual, 300).checkpoint_every == usual.checkpoint_every
    assert lasting(usual, 1, marks=True).checkpoint_every == 1


def test_a_finished_run_is_taken_whatever_its_precision(tmp_path):
    stage = Study(preset="smoke", folder=tmp_path / "runs", device="cpu")
    run = stage.run("anil", 0)
    write_json(run.path / "env.json", {**run.env, "precision": "tf32"})
    with pytest.raises(UserError, match="precision"):
        stage.run("anil", 0)
    assert replace(stage, finished=True).run("anil", 0).path == run.path


def test_scores_are_taken_on_the_device(tmp_path, monkeypatch):
    stage = Study(preset="smoke", folder=tmp_path / "runs", device="cpu")
    stage.run("anil", 0)
    seen = []

    def evaluate(net, theta, episodes, variants, *, steps):
        seen.extend([theta.net["head.weight"].device.type, episodes.support_x.device.type])
        return pd.DataFrame({"value": [0.5], "task": [0]})

    monkeypatch.setattr(module, "evaluate", evaluate)
    monkeypatch.setattr(module, "pick_device", lambda device: torch.device("meta"))
    monkeypatch.setattr(module, "precision", lambda name, device: nullcontext())
    found = replace(stage, repeats=1, finished=True).score(["anil"], lambda net, method: {"keep": method})
    assert (seen, list(found["value"])) == (["meta", "meta"], [50])


def test_a_script_may_ask_for_more_seeds_at_quick_alone():
    more, usual = SimpleNamespace(MODELS=("maml",), QUICK_SEEDS=5), SimpleNamespace(MODELS=("maml",))
    assert len(_jobs(Study(), more)) == 5
    assert len(_jobs(Study(), usual)) == 3
    assert len(_jobs(Study(repeats=4), more)) == 4
    assert len(_jobs(Study(preset="smoke"), more)) == 2


@pytest.mark.parametrize(
    ("low", "high", "side", "verdict"),
    [(1, 3, "above", "holds"), (-1, 3, "above", "undecided"), (-3, -1, "above", "fails"), (-3, -1, "below", "holds")],
)
def test_a_claim_goes_by_its_whole_interval(low, high, side, verdict):
    row = pd.Series({"value": (low + high) / 2, "low": low, "high": high, "run": "r-s0-1", "seeds": 2, "tasks": 30})
    found = claim("X", "text", row, side=side, bound=0.0, unit="points")
    assert found["verdict"] == verdict
    assert (found["runs"], found["seeds"], found["tasks"]) == ("r-s0-1", 2, 30)


def test_an_exact_number_needs_no_interval():
    row = pd.Series({"value": 1e-15, "low": np.nan, "high": np.nan, "interval": "exact"})
    assert claim("D1", "text", row, side="below", bound=1e-10, unit="error")["verdict"] == "holds"


def test_last_step_of_each_variant():
    table = pd.DataFrame({"variant": ["k", "k", "nil"], "step": [0, 5, 0], "value": [1.0, 2.0, 3.0]})
    assert last_step(table)["value"].tolist() == [2.0, 3.0]


def test_only_refuses_none_and_many(rows):
    with pytest.raises(LookupError, match="60 rows"):
        only(rows, method="a")


def test_a_size_of_each_preset_and_quick_for_long_without_its_own():
    assert Study(preset="long").sized({"smoke": 1, "quick": 2, "paper": 3}) == 2
    assert Study(preset="long").sized({"smoke": 1, "quick": 2, "long": 5, "paper": 3}) == 5
    assert Study(preset="smoke").sized({"smoke": 1, "quick": 2, "paper": 3}) == 1
