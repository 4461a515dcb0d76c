"""Relation networks of Learning to Compare (Sung et al. 2018), which are no net without their encoder."""

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.nest import State
from mamlprobe.foreign.recognised import COUNTS, Asked, Parts, Recognised

PARTS = ("layer1.0", "layer2.0", "fc1", "fc2")
"""What a relation network has; an encoder of the same project has ``layer3`` too, and no ``fc1``."""


def relation(state: State, asked: Asked) -> Recognised | None:
    """Refuse a relation network; any other file is none of it.

    Raises:
        UserError: it is one.
    """
    if asked.blocks is None and network_of(state):
        advice = "name the file of the feature encoder, and this one with --relation"
        raise UserError("import", "a relation network needs its encoder", "layer1, layer2, fc1 and fc2 alone", advice)
    return None


def network_of(state: State) -> Parts:
    """Return the tensors of a relation network, without a common prefix; none if the file is no relation network."""
    named = {name.removeprefix("module."): value for name, value in state.tensors.items() if COUNTS not in name}
    if not all(f"{part}.weight" in named for part in PARTS) or "layer3.0.weight" in named:
        return {}
    return named
