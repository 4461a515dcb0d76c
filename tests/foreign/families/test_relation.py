"""A relation network alone is refused in one line that asks for the encoder."""

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.load_foreign import load_foreign
from tests.foreign.recipes import ENCODERS, imported


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_relation_network_asks_for_its_encoder(prefix, tmp_path):
    state = {"fc1.weight": torch.ones(8, 64), "fc1.bias": torch.ones(8)}
    state |= {"fc2.weight": torch.ones(1, 8), "fc2.bias": torch.ones(1)}
    for number, wide in ((1, 128), (2, 64)):
        state[f"layer{number}.0.weight"] = torch.ones(64, wide, 3, 3)
        state |= {f"layer{number}.{at}": torch.ones(64) for at in ("0.bias", "1.weight", "1.bias")}
        state |= {f"layer{number}.1.{at}": torch.ones(64) for at in ("running_mean", "running_var")}
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "relation.pkl")
    with pytest.raises(UserError) as info:
        load_foreign(tmp_path / "relation.pkl")
    must = "import: a relation network needs its encoder, got layer1, layer2, fc1 and fc2 alone; "
    assert str(info.value) == must + "name the file of the feature encoder: it is read out by prototypes"


def test_the_encoder_is_none(tmp_path):
    recipe = ENCODERS["Learning to Compare, feature encoder"]
    assert imported(tmp_path / "a.pkl", recipe, recipe.made().saved).experiment.net.headless
