"""The net of a file as a spec: which kind, which image."""

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.load_foreign import load_foreign
from mamlprobe.foreign.net_spec import features
from mamlprobe.nets.by_layers.layer_words import read_blocks
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
