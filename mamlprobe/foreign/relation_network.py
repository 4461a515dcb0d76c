"""The relation network that belongs to an encoder: a second file of Learning to Compare (Sung et al. 2018)."""

from pathlib import Path

import torch

from mamlprobe.base.errors import UserError
from mamlprobe.borders.checked_tensors import checked_tensors
from mamlprobe.foreign.contents import read_contents
from mamlprobe.foreign.families.relation import network_of
from mamlprobe.foreign.nest import find_state
from mamlprobe.foreign.recognised import Parts, Recognised
from mamlprobe.foreign.weights import as_real
from mamlprobe.learn.method_params import RELATION, relation_network
from mamlprobe.learn.theta import Theta

NAMES = (("feature_encoder", "relation_network"), ("encoder", "relation"))
"""What the names of the two files differ in."""

TOLD = "Learning to Compare, feature encoder"
"""The family whose encoders have a relation network."""


def partner(path: Path, *, encoder: bool) -> Path | None:
    """Return the other file of the pair: a relation network's `encoder`, or else the network of an encoder.

    Both lie in one folder, and their names differ as in `NAMES`; None if there is none.
    """
    for pair in NAMES:
        this, other = reversed(pair) if encoder else pair
        second = path.with_name(path.name.replace(this, other))
        if this in path.name and second.is_file():
            return second
    return None


def read_network(
    path: Path, stated: str | Path | None, recognised: Recognised, theta: Theta
) -> tuple[Parts, tuple[str, ...], tuple[str, ...]]:
    """Return the relation network of the encoder in `path` as theta's extra has it, lines on what was seen and assumed.

    stated: its file; else the one beside the encoder, where the family has one. theta: the encoder's weights.

    Raises:
        UserError: the stated file is no relation network, or not this encoder's.
    """
    ours = recognised.family == TOLD and "head.weight" not in recognised.tensors
    file = Path(stated) if stated is not None else partner(path, encoder=False) if ours else None
    if file is None:
        return {}, (), (("read out by prototypes, without its relation network (say --relation)",) if ours else ())
    if "head.weight" in recognised.tensors:
        must = "a relation network must be that of an encoder without a head"
        raise UserError("import", must, f"a head in {path.name}", "leave --relation out")
    state = find_state(read_contents(file).tree)
    network = {} if state is None else network_of(as_real(file.name, state)[0])
    if not network:
        must = f"{file.name} must hold a relation network: layer1, layer2, fc1 and fc2"
        raise UserError("import", must, "something else", "name another file with --relation, or leave it out")
    network = {RELATION + name: value.to(torch.float32).contiguous() for name, value in network.items()}
    must, advice = f"{file.name} must be the relation network of {path.name}", "name another file with --relation"
    network = checked_tensors(
        "import", network, relation_network(theta.net, "head.weight"), must=must, few=1, advice=advice
    )
    return network, (f"its relation network in {file.name}",), ()
