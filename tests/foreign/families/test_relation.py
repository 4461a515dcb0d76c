"""A relation network alone is refused in one line that asks for the encoder."""

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.families.relation import network_of
from mamlprobe.foreign.load_foreign import load_foreign
from mamlprobe.foreign.nest import State
from tests.foreign.recipes import ENCODERS, imported, relation_state


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_relation_network_asks_for_its_encoder(prefix, tmp_path):
    state = {prefix + name: value for name, value in relation_state(4).items()}
    torch.save(state, tmp_path / "relation.pkl")
    with pytest.raises(UserError) as info:
        load_foreign(tmp_path / "relation.pkl")
    must = "import: a relation network needs its encoder, got layer1, layer2, fc1 and fc2 alone; "
    assert str(info.value) == must + "name the file of the feature encoder, and this one with --relation"
    assert set(network_of(State(tensors=state))) == set(relation_state(4))


def test_the_encoder_is_none(tmp_path):
    recipe = ENCODERS["Learning to Compare, feature encoder"]
    made = recipe.made()
    assert imported(tmp_path / "a.pkl", recipe, made.saved).experiment.net.headless
    assert network_of(State(tensors=made.saved)) == {}
