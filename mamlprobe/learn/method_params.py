"""What methods learn in addition to the net's parameters and their rates.

``steps.<parameter>`` [S+1, C]: a batch norm's weights or biases for every point of the inner path (MAML++).
``siamese.weight`` [F]: the weights of the siamese readout.
"""

import torch

from mamlprobe.base.errors import UserError
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Moments, Net, Params
from mamlprobe.nets.params import adapting, head_names, map_tensors

STEPS = "steps."
SIAMESE = "siamese.weight"


def initial_extra(net: Net, params: Params, moments: Moments, method: Method) -> Params:
    """Make the tensors before training; norm weights are equal for all steps, siamese weights are 1 / sqrt(F).

    Raises:
        UserError: norms by step in a net that has none, or whose weights adapt.
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
    if method.readout == "siamese":
        weight = params[head_names(net)[0]]
        extra[SIAMESE] = torch.full_like(weight[0], weight.shape[1] ** -0.5)
    return extra


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
