"""Relation networks of Learning to Compare (Sung et al. 2018), which are no net without their encoder."""

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.nest import State
from mamlprobe.foreign.recognised import Asked, Recognised

PARTS = ("layer1.0", "layer2.0", "fc1", "fc2")
"""What a relation network has; an encoder of the same project has ``layer3`` too, and no ``fc1``."""


def relation(state: State, asked: Asked) -> Recognised | None:
    """Refuse a relation network; any other file is none of it.

    Raises:
        UserError: it is one.
    """
    names = {name.removeprefix("module.") for name in state.tensors}
    if asked.blocks is None and all(f"{part}.weight" in names for part in PARTS) and "layer3.0.weight" not in names:
        advice = "name the file of the feature encoder: it is read out by prototypes"
        raise UserError("import", "a relation network needs its encoder", "layer1, layer2, fc1 and fc2 alone", advice)
    return None
