"""Arms scored after several steps, on few tasks and many shots; a figure that needs more items than there are."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from analyses import kao_fig10_shots
from mamlprobe.data.episodes import manifest
from mamlprobe.reproduce.arms import arm_rows
from mamlprobe.reproduce.study import Study
from tests.training.conftest import blobs


def staged(folder, items=9):
    """A stage at smoke on blobs."""
    pool = blobs(classes=19, items=items)
    stage = Study(preset="smoke", folder=folder, device="cpu")
    stage.__dict__["pool"] = replace(
        pool, splits=dict(zip(("train", "val", "test"), torch.arange(19).split((9, 5, 5))))
    )
    return stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return staged(tmp_path_factory.mktemp("runs"))


def test_after_several_steps_is_after_each_of_them(stage):
    words = {"updates": lambda run: run.updates()[-1:], "tasks": 3, "shot": 2}
    both = arm_rows(stage, {"fomaml": "random init"}, steps=(1, 3), **words)
    each = [arm_rows(stage, {"fomaml": "random init"}, steps=steps, **words) for steps in (1, 3)]
    keys = ["seed", "task", "head", "step"]
    found, wanted = (rows.sort_values(keys).reset_index(drop=True) for rows in (both, pd.concat(each)))
    pd.testing.assert_frame_equal(found, wanted)
    assert set(found["episodes"]) == {manifest(stage.episodes(3, shot=2))}
    assert set(found["update"]) == {4}
    assert len(found) == len(stage.seeds) * 3 * 2 * 2


def test_many_shots_need_many_items(stage, tmp_path):
    wanted = "classes must have 17 items, blobs has one of 9"
    assert kao_fig10_shots.missing(stage) == wanted
    assert kao_fig10_shots.missing(staged(tmp_path, items=17)) == ""
