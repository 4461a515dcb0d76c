"""The net of a file as a spec: which kind, which image."""

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.load_foreign import load_foreign
from mamlprobe.foreign.net_spec import blocks_of, features, name_in, name_in_words, spec_of
from mamlprobe.foreign.recognised import Recognised
from mamlprobe.nets.by_layers.layer_words import read_blocks
from mamlprobe.nets.conv4 import DOWNS, ORDERS
from mamlprobe.nets.spec import NetSpec
from tests.foreign.recipes import RECIPES, imported


def test_the_fast_path_is_taken_where_the_blocks_allow(tmp_path):
    kinds = {
        name: imported(tmp_path / "n.pt", RECIPES[name], RECIPES[name].made().saved).experiment.net.kind
        for name in RECIPES
    }
    assert kinds["learn2learn CNN4"] == kinds["pytorch-maml (Deleu)"] == "conv4"
    assert kinds["MAML++"] == kinds["learn2learn OmniglotFC"] == "layers"


def test_a_head_of_another_width_names_the_option(tmp_path):
    state = RECIPES["learn2learn CNN4"].made().saved
    state["classifier.weight"] = torch.ones(5, 7)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(UserError, match="the blocks must lead to the head, got a head of 7 inputs"):
        load_foreign(tmp_path / "x.pt")


@pytest.mark.parametrize(("side", "width"), [(84, 25), (32, 4), (64, 16), (100, 36)])
def test_the_side_of_an_image_follows_from_the_head(side, width, tmp_path):
    recipe = RECIPES["learn2learn CNN4"]
    state = recipe.made().saved | {"classifier.weight": torch.ones(5, 4 * width)}
    found = imported(tmp_path / "a.pt", recipe, state)
    assert found.experiment.net.image[1] in (side, side - 4)  # 96 pixels give what 100 do
    assert (found.experiment.net.image[1] // 16) ** 2 == width


def test_a_stated_image_must_have_the_channels(tmp_path):
    recipe = RECIPES["learn2learn CNN4"]
    with pytest.raises(UserError, match=r"the image must have 3 channels, got \[1, 84, 84\]"):
        imported(tmp_path / "a.pt", recipe, recipe.made().saved, image=(1, 84, 84))


def test_features_of_a_block_that_joins():
    assert features(read_blocks(["conv 4 3 1 1, pool 2 2", "join, conv 3 3 1 1, pool 2 2"]), 1, 8) == 4 * 16 + 3 * 4


@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.parametrize("down", DOWNS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_net_in_words_is_that_net(order, down, blocks):
    spec = NetSpec(filters=6, blocks=blocks, order=order, down=down, image=(1, 28, 28), moments=False)
    words = blocks_of(spec)
    tensors = {"conv1.conv.weight": torch.ones(6, 1, 3, 3), "head.weight": torch.ones(5, 6), "head.bias": torch.ones(5)}
    again = spec_of(Recognised(family="", blocks=words, tensors=tensors), (1, 28, 28))
    assert again == spec or (blocks == 1 and down == "unpadded")  # one block of that is no rule
    assert len(words) == blocks
    for name in ("body.1.conv.weight", "body.12.norm.mean", "head.bias"):
        assert name_in(spec, name_in_words(spec, name)) == name


def test_other_nets_in_words():
    words = ("conv 4 3 1 1, norm 1e-05, relu, mean",)
    assert blocks_of(NetSpec(kind="layers", stack=("conv 4 3 1 1,norm,relu , mean",))) == words
    mlp = NetSpec(kind="mlp", hidden=(7, 6), norm="batch")
    assert blocks_of(mlp) == ("linear 7, norm 1e-05, relu", "linear 6, norm 1e-05, relu")
    assert blocks_of(NetSpec(kind="mlp", hidden=(7,))) == ("linear 7, relu",)
    module = NetSpec(kind="module", module="a:B", head="fc")
    assert name_in_words(module, "body.1.conv.weight") == "body.1.conv.weight"
    for spec in (module, NetSpec(kind="mlp", activation="tanh"), NetSpec(kind="mlp", hidden=())):
        assert blocks_of(spec) is None
