"""Files of MAML++ (Antoniou et al. 2019): ``layer_dict`` nets with learned rates and norms for every step."""

import re

import torch

from mamlprobe.foreign.families.plain_families import worded
from mamlprobe.foreign.nest import State
from mamlprobe.foreign.recognised import COUNTS, Asked, Parts, Recognised, Usage

POOLED, STRIDED = "conv 3 1 1, norm, leaky 0.01, pool 2 2", "conv 3 2 1, norm, leaky 0.01"


def mamlpp(state: State, asked: Asked) -> Recognised | None:
    """Return the net of ``layer_dict.conv0`` ..., with its rates [S] by parameter and norm weights [S+1, F] by step.

    Rates in the file are [S + 1], of which the last is never used. Norms always take the statistics of the set; of
    norm weights by step, the last acts on the query set too.
    """
    tensors: Parts = {}
    steps: Parts = {}
    rates: Parts = {}
    left = []
    for name, value in state.tensors.items():
        if (rate := re.fullmatch(r".*names_learning_rates_dict\.layer_dict-(.+)", name)) is not None:
            rates[_ours(rate[1].replace("-", "."))] = value
            continue
        match = re.fullmatch(r"(?:.*\.)?layer_dict\.(.+)", name)
        if match is None or match[1].endswith(COUNTS):
            left += [] if match else [name]
            continue
        ours = _ours(match[1])
        if ".norm." in ours and value.ndim == 2:
            if "running" in ours:
                left.append(name)
            else:
                steps[ours] = torch.cat([value, value[-1:]])
                tensors[ours] = value[0]
        else:
            tensors[ours] = value
    blocks = sum(name.endswith(".conv.weight") for name in tensors)
    if not blocks or not all(f"conv{number}.conv.weight" in tensors for number in range(1, blocks + 1)):
        return None
    head = tensors.get("head.weight")
    mean = head is not None and head.shape[1] == tensors[f"conv{blocks}.conv.weight"].shape[0]
    strided = mean and tensors["conv1.conv.weight"].shape[1] == 1
    count = max((len(each) for each in rates.values() if each.ndim), default=1) - 1
    stated = count >= 1
    rgb = tensors["conv1.conv.weight"].shape[1] == 3
    lr = 0.01 if rgb else 0.1
    adapts = ("*",) if any(".norm." in name for name in rates) else ("*", "!*.norm.*")
    usage = Usage(
        lr=lr,
        steps=count if stated else 5,
        test_steps=count if stated else 5,
        adapts=adapts,
        ink=0,
        levels="imagenet" if rgb else "none",
    )
    return Recognised(
        family="MAML++",
        blocks=worded((STRIDED if strided else POOLED,), tensors, blocks, "mean" if strided else "", asked),
        tensors=tensors,
        usage=usage,
        rates={name: value[:count] for name, value in rates.items()} if stated else {},
        steps_affine={} if asked.blocks else steps,
        left_out=tuple(left),
    )


def _ours(name: str) -> str:
    """Return our name of ``conv0.norm_layer.weight`` or ``linear.weights``."""
    name = re.sub(r"^conv(\d+)", lambda match: f"conv{int(match[1]) + 1}", name)
    return re.sub(r"^linear\.(weight|bias)s?$", r"head.\1", name.replace("norm_layer", "norm"))
