"""The tensors of a file become weights: in float32, whole, with a head if it is asked for."""

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.write import write_foreign
from mamlprobe.nets.params import add_task_axis
from mamlprobe.runs.folder import load_run
from tests.foreign.recipes import ENCODERS, RECIPES, imported, rows


@pytest.mark.parametrize("head", ["zero", "random"])
def test_an_encoder_gets_a_head_on_request(head, tmp_path):
    recipe = ENCODERS["MetaOptNet, ProtoNet's encoder"]
    found = imported(tmp_path / "a.pt", recipe, recipe.made().saved, head=head, way=3)
    weight = found.theta.net["head.weight"]
    assert weight.shape[0] == found.experiment.way == 3
    assert (weight == 0).all() == (head == "zero")
    assert found.method.readout == "head"


def test_a_head_that_is_there_stays(tmp_path):
    recipe = RECIPES["learn2learn CNN4"]
    with pytest.raises(UserError, match="a head is for encoders without one"):
        imported(tmp_path / "a.pt", recipe, recipe.made().saved, head="zero")
    with pytest.raises(UserError, match="way must be at most the head's 5 rows"):
        imported(tmp_path / "a.pt", recipe, recipe.made().saved, way=6)


def test_tasks_of_fewer_classes_than_the_head_has_rows(tmp_path):
    """The head keeps its rows, here and in the run."""
    recipe = RECIPES["learn2learn CNN4"]
    found = imported(tmp_path / "a.pt", recipe, recipe.made().saved, way=3)
    assert found.experiment.way == 3
    run = write_foreign(found, tmp_path / "run")
    for net, theta in ((found.net, found.theta), (load_run(run.path).net(), load_run(run.path).theta())):
        assert theta.net["head.weight"].shape[0] == 5
        assert net(add_task_axis(theta.net), rows(recipe).float()[None]).logits.shape[-1] == 5


def test_a_head_of_training_classes_is_left_out_unless_the_way_is_stated(tmp_path):
    recipe = RECIPES["SimpleShot Conv4"]
    state = recipe.made().saved | {"logits.weight": torch.ones(64, 100), "logits.bias": torch.ones(64)}
    found = imported(tmp_path / "a.pt", recipe, state)
    assert found.experiment.net.headless
    assert found.experiment.way == 5
    assert "a head of 64 training classes (say --way to keep it)" in found.left_out
    kept = imported(tmp_path / "a.pt", recipe, state, way=5)
    assert not kept.experiment.net.headless
    assert kept.theta.net["head.weight"].shape[0] == 64


@pytest.mark.parametrize("lacking", ["features.1.normalize.weight", "features.2.conv.weight", "features.3.conv.bias"])
def test_what_is_missing(lacking, tmp_path):
    """A norm without a scale has ones; a conv without a bias, or without a weight, is another net."""
    recipe = RECIPES["learn2learn CNN4"]
    state = {name: value for name, value in recipe.made().saved.items() if name != lacking}
    if lacking.endswith("conv.weight"):
        with pytest.raises(UserError, match="must hold a net of a family that is known"):
            imported(tmp_path / "a.pt", recipe, state)
        return
    found = imported(tmp_path / "a.pt", recipe, state)
    if "normalize" in lacking:
        assert torch.equal(found.theta.net["body.2.norm.weight"], torch.ones(4))
    else:
        assert found.experiment.net.stack[3] == "conv 4 3 1 1 nobias, norm 1e-05, relu, pool 2 2"
