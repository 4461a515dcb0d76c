import json
from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.theta import init
from mamlprobe.runs.checkpoint import checkpoint_path
from mamlprobe.runs.folder import load_run, make_run


def test_a_run_opens_with_everything_it_was_made_with(run, experiment):
    found = load_run(str(run.path))
    assert found.config == experiment
    assert found.image == (1, 8, 8)
    assert found.updates() == [0, 3, 6]
    assert not found.done
    assert found.env == {}
    assert list(found.log.columns) == ["update", "split", "quantity", "value", "tasks"]
    for update, wanted in ((0, 0), (3, 3), (None, 6)):
        weight = init(found.net(), seed=wanted, method=experiment.method).net["head.weight"]
        assert torch.equal(found.theta(update).net["head.weight"], weight)
    assert json.loads((run.path / "config.json").read_text())["format"] == 1


def test_paths_that_are_no_run(run, tmp_path):
    with pytest.raises(UserError, match=r"load_run: the run folder must exist, got .*rum; beside it there is run$"):
        load_run(tmp_path / "rum")
    with pytest.raises(UserError, match=r"the run folder must exist, got .*; train it first, or check the path"):
        load_run(tmp_path / "deep" / "rum")
    with pytest.raises(UserError, match=r"load_run: .* must hold config.json, got none; the runs in it are run$"):
        load_run(tmp_path)
    with pytest.raises(UserError, match=r"must hold config.json, got none; name a folder that training made"):
        load_run(run.path / "checkpoints")


def test_no_checkpoint_and_not_that_one(run, experiment, tmp_path):
    make_run(tmp_path / "empty", experiment, (1, 8, 8))
    with pytest.raises(UserError, match=r"load_run: .*empty must hold a checkpoint, got none; train it again"):
        load_run(tmp_path / "empty")
    with pytest.raises(UserError, match=r"must have a checkpoint of the update, got 5; the nearest are 6, 3, 0"):
        run.theta(5)


def test_a_damaged_checkpoint_names_the_last_good_one(run):
    for update, good in ((6, 3), (3, 0)):
        path = checkpoint_path(run.path, update)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(UserError) as caught:
            run.theta(update)
        line = str(caught.value)
        assert line.startswith(
            f"run: the checkpoint of update {update} must be good, got checkpoint: {path} must be whole"
        )
        assert line.endswith(f"; the last good one is run.theta(update={good})")
    checkpoint_path(run.path, 0).write_bytes(b"")
    with pytest.raises(UserError, match="no earlier one is good"):
        run.theta(0)
    assert run.last_good() is None


def test_a_checkpoint_of_another_net_says_so(run, experiment, tmp_path):
    wider = replace(experiment, net=replace(experiment.net, filters=4))
    other = make_run(tmp_path / "other", wider, (1, 8, 8))
    (run.path / "checkpoints").rename(other.path / "checkpoints")
    line = r"of another architecture, with net.body.1.conv.weight \[3, 1, 3, 3\] instead of \[4, 1, 3, 3\]"
    with pytest.raises(UserError, match=line):
        load_run(other.path).theta()


def test_a_folder_is_of_one_experiment(run, experiment):
    assert make_run(run.path, experiment, (1, 8, 8)).config == experiment
    with pytest.raises(
        UserError, match=r"must hold a run of the same settings, got seed 0 instead of 1; choose another"
    ):
        make_run(run.path, replace(experiment, seed=1), (1, 8, 8))
    with pytest.raises(UserError, match=r"got image \(1, 8, 8\) instead of \(1, 9, 9\); choose another folder"):
        make_run(run.path, experiment, (1, 9, 9))
