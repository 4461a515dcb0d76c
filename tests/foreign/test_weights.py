"""The tensors of a file become weights: in float32, whole, with a head if it is asked for."""

import pytest
import torch

from mamlprobe.base.errors import UserError
from tests.foreign.recipes import ENCODERS, RECIPES, imported


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
    assert imported(tmp_path / "a.pt", recipe, recipe.made().saved, way=3).experiment.way == 3


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
