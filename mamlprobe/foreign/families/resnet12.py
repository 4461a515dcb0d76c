"""ResNet-12 files of MetaOptNet, FEAT, UNICORN-MAML, RFS, BOIL: ``layerI.0``, blocks of three convolutions."""

import re

from mamlprobe.foreign.families.plain_families import unused
from mamlprobe.foreign.nest import State
from mamlprobe.foreign.recognised import COUNTS, Asked, Parts, Recognised, Usage

PLACES = {"downsample.0": "shortcut.0", "downsample.1": "shortcut.1"}
PLACES |= {f"conv{n}": f"convs.{n - 1}" for n in (1, 2, 3)} | {f"bn{n}": f"norms.{n - 1}" for n in (1, 2, 3)}

UNICORN = "norms by running moments in the inner loop too, where the authors take the support set's (say --norm)"


def resnet12(state: State, asked: Asked) -> Recognised | None:
    """Return the net of ``layer1.0.conv1`` ...: residual blocks with max-pool, then the mean over the last map.

    A head of more inputs than the last block has filters stands on the flattened map. Where there is ``fcone``, a row
    that UNICORN-MAML copies for every class before each inner loop, other heads are leftovers.
    """
    tensors: Parts = {}
    used = []
    for name, value in state.tensors.items():
        part, _, last = name.rpartition(".")
        match = re.fullmatch(r"(?:.*\.)?layer(\d+)\.0\.(conv[123]|bn[123]|downsample\.[01])", part)
        if match is not None and last != COUNTS:
            tensors[f"conv{match[1]}.residual.{PLACES[match[2]]}.{last}"] = value
            used.append(name)
    weights = [tensors.get(f"conv{number}.residual.convs.2.weight") for number in range(1, 5)]
    if any(weight is None for weight in weights) or "conv1.residual.shortcut.0.weight" not in tensors:
        return None
    filters = [weight.shape[0] for weight in weights if weight is not None]
    heads = [
        name for name in state.tensors if re.fullmatch(r"(?:.*\.)?(classifier|fc|linear|fcone)\.(weight|bias)", name)
    ]
    one_row = any("fcone" in name for name in heads)
    for name in heads:
        last = name.rpartition(".")[2]
        if f"head.{last}" not in tensors and ("fcone" in name) is one_row:
            tensors[f"head.{last}"] = state.tensors[name]
            used.append(name)
    wide = "head.weight" in tensors and tensors["head.weight"].shape[1] > filters[-1]
    blocks = [f"residual {width} 0.1, pool 2 2" for width in filters]
    if not wide:
        blocks[-1] += ", mean"
    rest = unused(state.tensors, used, "(?!)")
    if any(re.search(r"\blayer\d+\.[1-9]", name) for name in rest):
        return None  # a deeper net, such as a ResNet-50
    return Recognised(
        family="ResNet-12",
        blocks=tuple(blocks),
        tensors=tensors,
        usage=Usage(norm="running", levels="imagenet"),
        one_row=one_row,
        assumed=(UNICORN,) if one_row else (),
        left_out=tuple(rest),
    )
