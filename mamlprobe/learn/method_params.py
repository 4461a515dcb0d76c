"""What methods learn in addition to the net's parameters and their rates.

``steps.<parameter>`` [S+1, C]: a batch norm's weights or biases for every point of the inner path (MAML++).
``siamese.weight`` [F]: the weights of the siamese readout.
``relation.<tensor>``: the network of the relation readout, its running moments too.
"""

import math

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import generator
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Moments, Net, Params
from mamlprobe.nets.params import adapting, head_names, map_tensors

STEPS = "steps."
SIAMESE = "siamese.weight"
RELATION = "relation."


def initial_extra(net: Net, params: Params, moments: Moments, method: Method) -> Params:
    """Make the tensors before training; norm weights are equal for all steps, siamese weights are 1 / sqrt(F).

    Raises:
        UserError: norms by step in a net that has none, or whose weights adapt; a relation network for features that
            are no square maps of the last convolution.
    """
    extra: Params = {}
    if method.norm.by_step and not moments:
        raise UserError("norm", "norms by step need a net with batch norms", "none", "use shared norms")
    if method.norm.affine == "per_step":
        norms = {name.rpartition(".")[0] for name in moments}
        names = [name for name in params if name.rpartition(".")[0] in norms]
        adapt = sorted(set(names) & set(adapting(net, method.inner.adapts)))
        if adapt:
            must = "norm weights that are learned for every step must not adapt"
            raise UserError("norm", must, f"{adapt[0]} in inner.adapts", "add '!*.norm.*' to inner.adapts")
        points = method.inner.steps + 1
        extra |= {STEPS + name: params[name].expand(points, *params[name].shape).clone() for name in names}
    if method.readout == "relation":
        extra |= relation_network(params, head_names(net)[0])
    if method.readout == "siamese":
        weight = params[head_names(net)[0]]
        extra[SIAMESE] = torch.full_like(weight[0], weight.shape[1] ** -0.5)
    return extra


def relation_network(params: Params, head: str) -> Params:
    """Make the relation network of Sung et al. 2018 (figure 2, section 4) for maps that this net's head stands on.

    Two blocks of as many filters as the last convolution has, padded where the maps are small, then 8 hidden numbers.
    Convolutions are drawn as in the authors' code, by a seed of their own.

    Raises:
        UserError: features that are no such square maps.
    """
    convs = [value for name, value in params.items() if value.ndim == 4 and name != head]
    features = params[head].shape[1]
    filters = convs[-1].shape[0] if convs else 1
    side = math.isqrt(features // filters)
    small = side < SMALL
    out = side // 4 if small else (side - 6) // 4
    if not convs or side * side * filters != features or not out:
        must = "a relation network needs features that are square maps of the last convolution, 4 pixels or more"
        raise UserError("method", must, f"{features} features, {filters} filters", "use another readout")
    like, random = convs[-1], generator(0, "relation")
    network: dict[str, Tensor] = {}
    for layer, channels in (("layer1", 2 * filters), ("layer2", filters)):
        shape = (filters, channels, 3, 3)
        network[f"{layer}.0.weight"] = torch.randn(shape, generator=random) * math.sqrt(2 / (9 * filters))
        network |= {f"{layer}.{at}": torch.zeros(filters) for at in ("0.bias", "1.bias", "1.running_mean")}
        network |= {f"{layer}.{at}": torch.ones(filters) for at in ("1.weight", "1.running_var")}
    for layer, wide, rows in (("fc1", filters * out * out, HIDDEN), ("fc2", HIDDEN, 1)):
        network[f"{layer}.weight"] = torch.randn((rows, wide), generator=random) * 0.01
        network[f"{layer}.bias"] = torch.ones(rows)
    return {RELATION + name: value.to(like) for name, value in network.items()}


SMALL, HIDDEN = 10, 8
"""Side of the maps from which a relation network does not pad; its hidden numbers."""


def initial_moments(moments: Moments, method: Method) -> Moments:
    """Return running moments before training, one for every point of the inner path if the method has them by step."""
    if not method.norm.statistics.startswith("per_step"):
        return moments
    return map_tensors(lambda value: value.expand(method.inner.steps + 1, *value.shape).clone(), moments)


def by_step(extra: Params) -> list[str]:
    """List the net's parameters that have a value of their own at every point of the inner path."""
    return [name.removeprefix(STEPS) for name in extra if name.startswith(STEPS)]


def at_step(params: Params, extra: Params, step: int) -> Params:
    """Insert the norm weights of that point of the inner path; `params` are [.., C], `extra` [.., S+1, C]."""
    by_name = {name.removeprefix(STEPS): value[..., step, :] for name, value in extra.items() if name.startswith(STEPS)}
    return {**params, **by_name} if by_name else params
