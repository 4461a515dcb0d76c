"""Files of dragen1860's MAML and of Kao et al. 2022: tensors ``vars.0``, ``vars.1`` ... and ``vars_bn.0`` ..."""

import math
import re
from dataclasses import replace

from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.families.plain_families import worded
from mamlprobe.foreign.nest import State
from mamlprobe.foreign.recognised import Asked, Parts, Recognised, Usage

PADDINGS = ("padded", "unpadded")
KAO, DRAGEN = "conv 3 1 1, relu, norm, pool 2 2", "conv 3 1 0, relu, norm, pool 2 2"
CHARACTERS, LAST = "conv 3 2 0, relu, norm", "conv 2 1 0, relu, norm"


def numbered(state: State, asked: Asked) -> Recognised | None:
    """Return the net of ``vars.*`` and ``vars_bn.*``: four tensors a block and one or two of the head.

    Kao's net for mini-ImageNet pads its convolutions, dragen1860's does not, and both have the same names and shapes.

    Raises:
        UserError: tensors of other numbers or shapes than such a net's.
    """
    short = {re.sub(r"^.*?(?=(vars|params_wb)(_bn)?\.\d+$)", "", name): name for name in state.tensors}
    numbers = {name: re.fullmatch(r"(vars|params_wb)(_bn)?\.(\d+)", name) for name in short}
    if not any(numbers.values()):
        return None
    lists: dict[bool, dict[int, Tensor]] = {False: {}, True: {}}
    left = []
    for name, match in numbers.items():
        if match is None:
            left.append(short[name])
        else:
            lists[match[2] is not None][int(match[3])] = state.tensors[short[name]]
    weights, moments = ([each[number] for number in sorted(each)] for each in (lists[False], lists[True]))
    blocks, rest = divmod(len(weights) - 1, 4)
    wide = [each.ndim for each in weights[: 4 * blocks : 4]]
    if (
        blocks < 1
        or rest > 1
        or len(moments) not in (0, 2 * blocks)
        or set(wide) != {4}
        or weights[4 * blocks].ndim != 2
    ):
        must = "vars.* must be 4 tensors a block and 1 or 2 of the head, vars_bn.* 2 a block"
        raise UserError("import", must, f"{len(weights)} and {len(moments)}", "state another family, or another file")
    tensors: Parts = {}
    for number in range(blocks):
        for place, value in zip(
            ("conv.weight", "conv.bias", "norm.weight", "norm.bias"), weights[4 * number :], strict=False
        ):
            tensors[f"conv{number + 1}.{place}"] = value
        for place, value in zip(("running_mean", "running_var"), moments[2 * number :], strict=False):
            tensors[f"conv{number + 1}.norm.{place}"] = value
    tensors["head.weight"] = weights[4 * blocks]
    if rest:
        tensors["head.bias"] = weights[4 * blocks + 1]
    recognised = Recognised(family="Kao et al. 2022", blocks=(), tensors=tensors, left_out=tuple(left))
    return (
        _characters(recognised, blocks, asked)
        if tensors["conv1.conv.weight"].shape[1] == 1
        else _pictures(recognised, blocks, state, asked)
    )


def _characters(recognised: Recognised, blocks: int, asked: Asked) -> Recognised:
    """Return the net for characters, whose last conv is 2 by 2."""
    texts = (*[CHARACTERS] * (blocks - 1), LAST)
    usage = Usage(lr=0.4, steps=5, test_steps=10, ink=0)
    text = worded(texts, recognised.tensors, blocks, "", asked)
    return replace(recognised, family="Kao et al. 2022 or dragen1860, characters", blocks=text, usage=usage)


def _pictures(recognised: Recognised, blocks: int, state: State, asked: Asked) -> Recognised:
    """Return the net for images of three channels, padded unless the head's width or a person says otherwise."""
    if asked.padding is not None and asked.padding not in PADDINGS:
        raise UserError("import", "padding must be padded or unpadded", asked.padding, "name one of them")
    unpadded = asked.padding == "unpadded"
    texts = (*[DRAGEN] * (blocks - 1), DRAGEN.replace("pool 2 2", "pool 2 1")) if unpadded else (KAO,)
    text = worded(texts, recognised.tensors, blocks, "", asked)
    early = {"epoch", "step"} <= state.scalars.keys()  # as the longer training of five steps saves itself
    lr, steps = (0.01, 5) if unpadded or early else (0.1, 1)
    side = math.isqrt(recognised.tensors["head.weight"].shape[1] // recognised.tensors["head.weight"].shape[0])
    assumed = () if asked.padding or asked.blocks or not side else ("padding padded, as Kao's (say --padding)",)
    name = "dragen1860, mini-ImageNet" if unpadded else "Kao et al. 2022, mini-ImageNet"
    usage = Usage(lr=lr, steps=steps, test_steps=10, levels="imagenet")
    return replace(recognised, family=name, blocks=text, usage=usage, assumed=assumed)
