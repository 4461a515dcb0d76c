"""The state dict is the dict with most tensors, wherever it lies."""

import pytest
import torch

from mamlprobe.foreign.nest import find_state
from tests.foreign.recipes import RECIPES, imported, passed, rows


@pytest.mark.parametrize(
    "nest",
    [
        lambda s: {"state_dict": s, "epoch": 3, "arch": "conv"},
        lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": torch.ones(9, 9)}}}},
        lambda s: {"model": "conv", "model_sd": s},
        lambda s: {"params": s},
        lambda s: {"a": {"b": [{"network": s}]}},
        lambda s: {f"module.{name}": value for name, value in s.items()},
        lambda s: {name: value.double() for name, value in s.items()},
        lambda s: {**s, "again": s["classifier.weight"]},
        lambda s: {
            "embedding": {n: v for n, v in s.items() if "classifier" not in n},
            "head": {n: v for n, v in s.items() if "classifier" in n},
        },
        lambda s: {n: v for name, value in s.items() for n, v in ((name, value), (f"twin.{name}", value))},
    ],
)
def test_nests_prefixes_precisions_and_copies(nest, tmp_path):
    recipe = RECIPES["learn2learn CNN4"]
    made = recipe.made()
    found = imported(tmp_path / "net.pt", recipe, nest(made.saved))
    x = rows(recipe)
    torch.testing.assert_close(passed(found, x).logits[0], made.logits(x), rtol=1e-6, atol=1e-6)


def test_what_lies_around_is_told():
    state = {"a.weight": torch.ones(2, 2), "b.weight": torch.ones(3, 3)}
    tree = {"epoch": 3, "net": {"params": state, "note": "x"}, "ema": {"a.weight": torch.zeros(2, 2)}}
    tree["optimizer"] = {"state": {"0": {"exp_avg": torch.ones(2, 2)}}}
    found = find_state(tree)
    assert found.at == "net.params"
    assert found.tensors == state
    assert found.scalars == {"epoch": 3, "note": "x"}
    assert found.left_out == ("ema", "an optimizer")


def test_the_parts_of_a_net_are_joined_unless_their_names_are_alike():
    one, two = {"a": torch.ones(2, 2)}, {"b": torch.ones(3)}
    found = find_state({"encoder_state_dict": one, "classifier_state_dict": two})
    assert found.tensors == {**one, **two}
    assert found.at == "encoder_state_dict and classifier_state_dict"
    assert len(find_state({"encoder": one, "classifier": {"a": torch.ones(3)}}).tensors) == 1


def test_no_tensor_is_no_state():
    assert find_state({"a": 1, "b": [2, {"c": "x"}]}) is None
    assert find_state(torch.ones(2)).tensors.keys() == {"weight"}
