"""Tables of means, paired differences and claims, against numbers worked by hand."""

import shutil
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.recipes.presets import lasting
from mamlprobe.reproduce import study as module
from mamlprobe.reproduce.study import Study
from mamlprobe.runs.settings_files import write_json


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    grid = pd.MultiIndex.from_product([["a", "b"], [0, 1], range(30)], names=["method", "seed", "task"]).to_frame(False)
    hard = rng.normal(size=60)
    return grid.assign(value=np.where(grid["method"] == "a", 2.0, 1.0) + np.tile(hard, 2), run=grid["method"] + "-run")


def test_finished_runs_alone_of_each_recipe_as_many_as_there_are(tmp_path):
    stage = Study(preset="smoke", folder=tmp_path / "runs", out=tmp_path / "figures", finished=True)
    assert replace(stage, finished=False).jobs("anil") == [("anil", 0), ("anil", 1)]
    assert stage.jobs("anil") == []
    run = stage.run("anil", 1)
    assert (stage.jobs("anil"), stage.jobs("maml")) == ([("anil", 1)], [])
    assert [(name, found.path) for name, found in stage.runs("anil", "maml")] == [("anil", run.path)]
    (run.path / "done").unlink()
    assert stage.jobs("anil") == []
    for name in ("checkpoints", "config.json", ".lock"):  # as a kill at the very start leaves it
        path = run.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
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


def test_a_size_of_each_preset_and_quick_for_long_without_its_own():
    assert Study(preset="long").sized({"smoke": 1, "quick": 2, "paper": 3}) == 2
    assert Study(preset="long").sized({"smoke": 1, "quick": 2, "long": 5, "paper": 3}) == 5
    assert Study(preset="smoke").sized({"smoke": 1, "quick": 2, "paper": 3}) == 1
