"""Nets of TensorFlow: Finn et al.'s MAML, Reptile, prototypical networks in Keras.

Kernels are [H, W, in, out], maps are flattened as H, W, C, and what is padded as SAME is padded more behind than
before. Batch norms have eps 1e-3.
"""

import math
import re

from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.families.plain_families import unused, worded
from mamlprobe.foreign.nest import State
from mamlprobe.foreign.recognised import Asked, Parts, Recognised, Usage

STRIDED = "conv 3 2 same, norm 0.001, relu"
POOLED = "conv 3 1 same, norm 0.001, relu, pool 2 2"
POOLED_SAME = "conv 3 1 same, norm 0.001, pool 2 2 same, relu"

LAYER = re.compile(
    r"(?:.*/)?(conv2d|batch_normalization|dense)(?:_v\d+)?(?:_(\d+))?/"
    r"(kernel|bias|gamma|beta|moving_mean|moving_variance)(?::0)?"
)
"""Names of the layers that TensorFlow numbers itself: kind, number, part."""

SLOTS = re.compile(r"(?:.*/)?beta[12]_power|.*/(?:Adam|Momentum|RMSProp)(?:_\d+)?")
"""Names of an optimizer's variables."""

PARTS = {
    ("conv2d", "kernel"): "conv.weight",
    ("conv2d", "bias"): "conv.bias",
    ("batch_normalization", "gamma"): "norm.weight",
    ("batch_normalization", "beta"): "norm.bias",
    ("batch_normalization", "moving_mean"): "norm.running_mean",
    ("batch_normalization", "moving_variance"): "norm.running_var",
}
"""Kind and part of such a layer -> our name."""


def finn(state: State, asked: Asked) -> Recognised | None:
    """Return the net of ``model/conv1``, ``model/Variable``, ``model/0/beta`` ... and ``model/w5``.

    Its norms have no scale and stand outside the inner loop; their moments are not saved. Its inner loss is a sum over
    N K rows divided by K, so that the authors' rate times N is ours.
    """
    places = {}
    biases = 0
    for name in sorted(state.tensors, key=_natural):
        match = re.fullmatch(r"(?:.*/)?model/(conv(\d+)|Variable(?:_\d+)?|(\d+)/beta|w5|b5)", name)
        if match is None:
            continue
        if match[2]:
            places[f"conv{int(match[2])}.conv.weight"] = name
        elif match[3]:
            places[f"conv{int(match[3]) + 1}.norm.bias"] = name
        elif match[1].startswith("Variable"):
            biases += 1
            places[f"conv{biases}.conv.bias"] = name
        else:
            places[{"w5": "head.weight", "b5": "head.bias"}[match[1]]] = name
    tensors = _ours(places, state.tensors)
    if tensors is None or "head.weight" not in tensors:
        return None
    first = tensors["conv1.conv.weight"]
    rows, width = tensors["head.weight"].shape
    mean, rgb = width == first.shape[0], first.shape[1] == 3
    theirs, steps = (0.01, 5) if rgb else (0.4, 1) if rows < 20 else (0.1, 5)
    why = f"inner lr {theirs * rows:g} is the authors' {theirs:g}, on a loss summed over classes, times {rows} classes"
    usage = Usage(lr=theirs * rows, lr_from=why, steps=steps, test_steps=10, adapts=("*", "!*.norm.*"))
    return Recognised(
        family="Finn et al., TensorFlow 1",
        blocks=worded((STRIDED if mean else POOLED,), tensors, _count(tensors), "mean" if mean else "", asked),
        tensors=tensors,
        usage=usage,
        assumed=("convolutions of stride 2 and no pools (say --blocks)",) if mean and not asked.blocks else (),
        left_out=_left(state, places),
    )


def reptile(state: State, asked: Asked) -> Recognised | None:
    """Return the net of ``conv2d/kernel``, ``batch_normalization/gamma``, ``dense/kernel`` ..., without Adam's slots.

    The inner loop is Adam's, as in the authors' commands for transductive evaluation.
    """
    places = _numbered(state, dense=True)
    tensors = None if places is None else _ours(places, state.tensors)
    if places is None or tensors is None or "head.weight" not in tensors:
        return None
    rgb = tensors["conv1.conv.weight"].shape[1] == 3
    steps, test_steps = (15, 10) if rgb else (3, 5)
    return Recognised(
        family="Reptile, TensorFlow 1",
        blocks=worded((POOLED_SAME if rgb else STRIDED,), tensors, _count(tensors), "", asked),
        tensors=tensors,
        usage=Usage(lr=0.001, method="reptile", steps=steps, test_steps=test_steps, ink=0),
        assumed=("inner steps by Adam with beta1 = 0, as for transductive 1-shot tasks",),
        left_out=_left(state, places),
    )


def keras(state: State, asked: Asked) -> Recognised | None:
    """Return the encoder of ``conv2d/kernel``, ``batch_normalization_v2/gamma`` ... without a head.

    The authors call it outside of training, so that its norms go by their moments.
    """
    places = _numbered(state, dense=False)
    tensors = None if places is None else _ours(places, state.tensors)
    if places is None or tensors is None:
        return None
    return Recognised(
        family="Keras prototypical networks (schatty)",
        blocks=worded((POOLED,), tensors, _count(tensors), "", asked),
        tensors=tensors,
        usage=Usage(norm="running"),
        left_out=_left(state, places),
    )


def _left(state: State, places: dict[str, str]) -> tuple[str, ...]:
    """Return the names of the tensors that are not used; those of an optimizer as one."""
    names = unused(state.tensors, list(places.values()), "(?!)")
    rest = [name for name in names if not SLOTS.fullmatch(name)]
    return (*rest, *(["an optimizer's"] if len(rest) < len(names) else []))


def _numbered(state: State, *, dense: bool) -> dict[str, str] | None:
    """Return our names of the layers that TensorFlow numbers; None unless there is a dense one just if it is wanted."""
    layers: dict[str, dict[int, dict[str, str]]] = {"conv2d": {}, "batch_normalization": {}, "dense": {}}
    for name in state.tensors:
        match = LAYER.fullmatch(name)
        if match is not None:
            layers[match[1]].setdefault(int(match[2] or 0), {})[match[3]] = name
    convs, norms, heads = (layers[kind] for kind in layers)
    if not convs or len(convs) != len(norms) or len(heads) != int(dense):
        return None
    places: dict[str, str] = {}
    for kind in ("conv2d", "batch_normalization"):
        for number, at in enumerate(sorted(layers[kind]), 1):
            parts = layers[kind][at].items()
            places |= {f"conv{number}.{PARTS[kind, part]}": name for part, name in parts if (kind, part) in PARTS}
    last = {"kernel": "head.weight", "bias": "head.bias"}
    return places | {last[part]: name for head in heads.values() for part, name in head.items() if part in last}


def _ours(places: dict[str, str], theirs: Parts) -> Parts | None:
    """Return the tensors by our names, in torch's layout; None if they are no blocks of conv and norm.

    Raises:
        UserError: a head that stands on no square map.
    """
    tensors = {ours: theirs[name] for ours, name in places.items()}
    blocks = _count(tensors)
    weights = [tensors.get(f"conv{number}.conv.weight") for number in range(1, blocks + 1)]
    if not blocks or any(weight is None or weight.ndim != 4 for weight in weights):
        return None
    if any(f"conv{number}.norm.bias" not in tensors for number in range(1, blocks + 1)):
        return None
    tensors |= {name: value.permute(3, 2, 0, 1) for name, value in tensors.items() if name.endswith("conv.weight")}
    head = tensors.get("head.weight")
    if head is not None:
        tensors["head.weight"] = _head(places["head.weight"], head, tensors[f"conv{blocks}.conv.weight"].shape[0])
    return {name: tensors[name] for name in sorted(tensors, key=_natural)}


def _head(name: str, weight: Tensor, filters: int) -> Tensor:
    """Return the weight [in, out] of a head as [out, in], its inputs in the order C, H, W instead of H, W, C."""
    side = math.isqrt(weight.shape[0] // filters) if weight.ndim == 2 and filters else 0
    if not side or side * side * filters != weight.shape[0]:
        must = f"{name} must stand on a square map of {filters} channels"
        raise UserError("import", must, list(weight.shape), "name another file, or --family")
    return weight.reshape(side, side, filters, -1).permute(3, 2, 0, 1).flatten(1)


def _count(tensors: Parts) -> int:
    return sum(name.endswith(".conv.weight") for name in tensors)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts names by the numbers in them."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
