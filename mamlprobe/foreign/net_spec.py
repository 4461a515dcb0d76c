"""The net of a file as a spec: on the fast path where its blocks allow, else in words, with the image that fits."""

import math
import re
from collections.abc import Sequence
from typing import Any

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.recognised import Recognised
from mamlprobe.nets.by_layers.layer_words import Block, map_after, read_blocks, write_block
from mamlprobe.nets.spec import Down, NetSpec, Order

SIDES = {3: (84, 32, 64, 80, 96, 28), 1: (28, 84, 32, 64, 105)}
"""Sides of images to try, the most usual first, by channels."""

PLAIN: dict[tuple[str, ...], tuple[Order, Down]] = {
    ("conv 3 1 1, norm 1e-05, relu, pool 2 2",): ("conv-bn-relu", "pool"),
    ("conv 3 1 1, relu, norm 1e-05, pool 2 2",): ("conv-relu-bn", "pool"),
    ("conv 3 2 1, norm 1e-05, relu",): ("conv-bn-relu", "stride"),
    ("conv 3 2 1, relu, norm 1e-05",): ("conv-relu-bn", "stride"),
    ("conv 3 2 0, norm 1e-05, relu", "conv 2 1 0, norm 1e-05, relu"): ("conv-bn-relu", "unpadded"),
    ("conv 3 2 0, relu, norm 1e-05", "conv 2 1 0, relu, norm 1e-05"): ("conv-relu-bn", "unpadded"),
}
"""Blocks without their filters -> order and down of the net on the fast path; a second text is the last block's."""


def spec_of(recognised: Recognised, image: tuple[int, int, int]) -> NetSpec:
    """Return the spec of the net: of kind conv4 if that is the same net, else of kind layers."""
    head_bias = "head.bias" in recognised.tensors or "head.weight" not in recognised.tensors
    headless = "head.weight" not in recognised.tensors
    moments = any(name.endswith("running_mean") for name in recognised.tensors)
    shared: dict[str, Any] = {"image": image, "head_bias": head_bias, "headless": headless, "moments": moments}
    blocks = read_blocks(recognised.blocks)
    widths = {block[0].whole("filters") for block in blocks if block[0].kind == "conv"}
    bare = [re.sub(r"^conv \d+", "conv", text) for text in recognised.blocks]
    kinds = tuple(dict.fromkeys(bare))
    regular = len(kinds) == 1 or (len(kinds) == 2 and bare.count(kinds[1]) == 1 and bare[-1] == kinds[1])
    if kinds in PLAIN and regular and len(widths) == 1:
        order, down = PLAIN[kinds]
        return NetSpec(kind="conv4", filters=widths.pop(), blocks=len(blocks), order=order, down=down, **shared)
    return NetSpec(kind="layers", stack=recognised.blocks, **shared)


def name_in(spec: NetSpec, name: str) -> str:
    """Return the name of a tensor in the spec's net, of one in words."""
    return re.sub(r"^conv(\d+)\.", r"body.\1.", name) if spec.kind == "conv4" else name


def blocks_of(spec: NetSpec) -> tuple[str, ...] | None:
    """Return the blocks of a spec's net in words; None if it is a module, or has activations that no words are for."""
    if spec.kind == "layers":
        return tuple(map(write_block, read_blocks(spec.stack)))
    if spec.kind == "mlp" and spec.activation == "relu" and spec.hidden:
        norm = ", norm 1e-05" if spec.norm == "batch" else ""
        return tuple(f"linear {width}{norm}, relu" for width in spec.hidden)
    if spec.kind != "conv4":
        return None
    bare = next(texts for texts, of_net in PLAIN.items() if of_net == (spec.order, spec.down))
    texts = (*[bare[0]] * (spec.blocks - 1), bare[-1])
    return tuple(re.sub(r"^conv", f"conv {spec.filters}", text) for text in texts)


def name_in_words(spec: NetSpec, name: str) -> str:
    """Return the name in words of a tensor of the spec's net: what `name_in` undoes."""
    return name if spec.kind == "module" else re.sub(r"^body\.(\d+)\.", r"conv\1.", name)


def image_of(recognised: Recognised, image: tuple[int, int, int] | None) -> tuple[tuple[int, int, int], str]:
    """Return C, H, W of the inputs, and what is assumed of it; H and W follow from the head's width where they can.

    Raises:
        UserError: no image gives the head its width; a stated one of other channels.
    """
    blocks, first = read_blocks(recognised.blocks), recognised.channels
    rows = blocks[0][0].kind == "linear"
    channels = 1 if rows else first
    if image is not None:
        numbers = math.prod(image) if rows else image[0]
        if numbers != first:
            must = f"the image must have {first} {'numbers' if rows else 'channels'}"
            raise UserError("import", must, list(image), "leave --image out, or name another file")
        return image, ""
    if rows:
        side = math.isqrt(first)
        return ((1, side, side), "") if side * side == first else ((1, 1, first), f"image 1,1,{first}")
    sides = SIDES.get(channels, SIDES[3])
    head = recognised.tensors.get("head.weight")
    fits = [side for side in sides if features(blocks, channels, side) == (None if head is None else head.shape[1])]
    if head is None:
        return (channels, sides[0], sides[0]), f"image {sides[0]} x {sides[0]} (say --image)"
    fits = fits or [side for side in range(8, 257) if features(blocks, channels, side) == head.shape[1]]
    if not fits:
        tried = features(blocks, channels, sides[0])
        got = f"a head of {head.shape[1]} inputs, where images of {sides[0]} pixels give {tried}"
        raise UserError("import", "the blocks must lead to the head", got, "state them with --blocks, or --padding")
    loose = "mean" in recognised.blocks[-1]
    return (channels, fits[0], fits[0]), f"image {fits[0]} x {fits[0]} (say --image)" if loose else ""


def features(blocks: Sequence[Block], channels: int, side: int) -> int:
    """Return the width of the head's inputs, of square images of this side."""
    height, width = side, side
    for block in blocks:
        joined = channels * height * width if block[0].kind == "join" else 0
        for layer in block:
            channels = int(layer.numbers[0]) if layer.kind in ("conv", "residual", "basic", "linear") else channels
        height, width = map_after(block, height, width)
        if joined:
            channels, height, width = joined + channels * height * width, 1, 1
    return channels * height * width
