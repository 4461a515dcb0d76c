"""Nets that no family knows."""

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.base.errors import UserError
from tests.foreign.recipes import NORM, RECIPES, Recipe, imported, passed, rows, two_names


def test_layers_that_are_guessed_are_said_aloud(tmp_path):
    recipe = RECIPES["unknown"]
    found = imported(tmp_path / "a.pt", recipe, recipe.made().saved)
    assert "no known family: the layers are a guess (say --blocks)" in found.assumed
    x = rows(recipe)
    torch.testing.assert_close(passed(found, x).logits[0], recipe.made().logits(x), rtol=1e-6, atol=1e-6)


def test_layers_that_no_family_has_are_stated(tmp_path):
    layers = [("conv", 1, 0), NORM, ("relu", 0.2), ("pool", 1)]
    recipe = Recipe(two_names("a{}", "b{}"), lambda n: layers, blocks=2, image=(1, 20, 20), head="h")
    made = recipe.made()
    words = {"blocks": "conv 3 1 0, norm, leaky 0.2, pool 2 1", "image": (1, 20, 20)}
    found = imported(tmp_path / "net.pt", recipe, made.saved, **words)
    x = rows(recipe)
    torch.testing.assert_close(passed(found, x).logits[0], made.logits(x), rtol=1e-6, atol=1e-6)
    assert found.experiment.net.kind == "layers"


def test_two_matrices_are_no_net_that_can_be_guessed(tmp_path):
    """As of a relation network: its second linear layer is no head of the first."""
    recipe = RECIPES["unknown"]
    state = recipe.made().saved | {"fc2.weight": torch.ones(1, 5)}
    with pytest.raises(UserError, match="a family that is known"):
        imported(tmp_path / "a.pt", recipe, state)


def test_parameters_without_names_are_taken_in_their_order(tmp_path):
    made = RECIPES["unknown"].made()
    values = [value for name, value in made.saved.items() if "running" not in name]
    state = {f"params.{number}": value for number, value in enumerate(values)}
    found = imported(tmp_path / "a.pt", RECIPES["unknown"], {"hyper_net_state_dict": state})
    x = rows(RECIPES["unknown"])
    torch.testing.assert_close(passed(found, x).logits[0], made.logits(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("stated", [False, True])
def test_nets_without_norms(stated, tmp_path):
    """Guessed as conv, ReLU, pool; or stated."""
    recipe = RECIPES["unknown"]
    made = recipe.made()
    state = {name: value for name, value in made.saved.items() if ".n." not in name}
    words = {"blocks": "conv 3 1 1, relu, pool 2 2"} if stated else {}
    found = imported(tmp_path / "a.pt", recipe, state, **words)
    assert any("guess" in line for line in found.assumed) is not stated
    z = rows(recipe)
    for number in range(4):
        weight, bias = (state[f"part{number}.c.{word}"].double() for word in ("weight", "bias"))
        z = F.max_pool2d(F.conv2d(z, weight, bias, padding=1).relu(), 2)
    wanted = F.linear(z.flatten(1), state["out.weight"].double(), state["out.bias"].double())
    torch.testing.assert_close(passed(found, rows(recipe)).logits[0], wanted, rtol=1e-6, atol=1e-6)
