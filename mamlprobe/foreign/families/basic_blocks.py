"""Residual nets of basic blocks under torchvision's names, as easyfsl saves them: ``conv1``, ``layerI.J.conv1`` ..."""

import re

from mamlprobe.foreign.families.plain_families import unused
from mamlprobe.foreign.nest import State
from mamlprobe.foreign.recognised import COUNTS, Asked, Parts, Recognised, Usage

PLACES = {"conv1": "convs.0", "conv2": "convs.1", "bn1": "norms.0", "bn2": "norms.1"}
PLACES |= {f"downsample.{n}": f"shortcut.{n}" for n in (0, 1)}

NAME = re.compile(r"(?:.*\.)?layer(\d+)\.(\d+)\.(conv[12]|bn[12]|downsample\.[01])\.(\w+)")
STEM = re.compile(r"(?:.*\.)?(conv1|bn1)\.(\w+)")
HEAD = re.compile(r"(?:.*\.)?fc\.(weight|bias)")


def basic_blocks(state: State, asked: Asked) -> Recognised | None:
    """Return the net of a 3x3 convolution and basic blocks, whose stride is 2 from the second layer on.

    Deeper kinds of blocks, and the 7x7 convolution of torchvision's own nets, are no net of this family: a pool stands
    behind that one or not, and no file tells.
    """
    groups = [(int(match[1]), int(match[2])) for name in state.tensors if (match := NAME.fullmatch(name))]
    order = {group: number for number, group in enumerate(sorted(set(groups)), 2)}
    places: dict[str, str] = {}
    for name in state.tensors:
        if name.endswith(COUNTS):
            continue
        if match := NAME.fullmatch(name):
            places[f"conv{order[int(match[1]), int(match[2])]}.basic.{PLACES[match[3]]}.{match[4]}"] = name
        elif match := STEM.fullmatch(name):
            places[f"conv1.{'conv' if match[1] == 'conv1' else 'norm'}.{match[2]}"] = name
        elif match := HEAD.fullmatch(name):
            places[f"head.{match[1]}"] = name
    tensors: Parts = {ours: state.tensors[theirs] for ours, theirs in places.items()}
    stem = tensors.get("conv1.conv.weight")
    widths = [tensors.get(f"conv{number}.basic.convs.1.weight") for number in order.values()]
    if not order or stem is None or stem.ndim != 4 or tuple(stem.shape[2:]) != (3, 3) or None in widths:
        return None
    rest = unused(state.tensors, list(places.values()), "(?!)")
    if any(NAME.fullmatch(name.replace("conv3", "conv2")) for name in rest):
        return None  # bottlenecks
    blocks = [f"conv {stem.shape[0]} 3 1 1 nobias, norm, relu"]
    for (layer, block), width in zip(sorted(order), widths, strict=True):
        assert width is not None
        blocks.append(f"basic {width.shape[0]} {2 if layer > 1 and block == 0 else 1}")
    blocks[-1] += ", mean"
    names = sorted(tensors, key=lambda name: int(name[4:].partition(".")[0]) if name.startswith("conv") else 1000)
    return Recognised(
        family="ResNet of basic blocks (easyfsl)",
        blocks=tuple(blocks),
        tensors={name: tensors[name] for name in names},
        usage=Usage(norm="running", levels="imagenet"),
        assumed=("features are the mean over the last map",),
        left_out=tuple(rest),
    )
