"""What a head can achieve on a frozen body and on one that adapts: oracles of freezing (regression)."""

from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.planted import Planted, taught
from mamlprobe.learn.evaluate import query_table
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.net import Net, Params
from mamlprobe.probe.representation.activations import record

RIDGE, FLOOR, WHOLE = "ridge head, teacher's body", "floor, any fixed body", "whole teacher adapts"


def planted_oracles(
    source: Planted, episodes: Episodes, method: Method, *, steps: int = 100, sample: int = 500, draws: int = 5
) -> pd.DataFrame:
    """Compute mean squared errors of oracles that know the source: a row ``quantity task value`` a task and oracle.

    The best head of each support set on the mean teacher's body; the whole teacher, adapted from its mean by `steps`
    steps of the method; and the floor over all bodies with as many features as the teacher, on `sample` other tasks and
    inputs, drawn `draws` times: its "task" is the number of the draw.

    Raises:
        UserError: as `ridge_head`; a sample below 1.
    """
    first, last = source.mean_teacher
    net = mlp(inputs=source.inputs, way=1, hidden=(source.units,), activation="tanh", bias=False)
    params = {"body.1.linear.weight": first.float(), "head.weight": last.float().unsqueeze(0)}
    longer = replace(method, inner=replace(method.inner, test_steps=steps))
    fitted = query_table(net, Theta(net=params), episodes, {WHOLE: longer}, quantity="loss", steps="last")
    values: dict[str, list[float]] = {
        RIDGE: ridge_head(net, params, episodes).tolist(),
        WHOLE: (2 * fitted["value"]).tolist(),
        FLOOR: [fixed_body_floor(_together(source, sample, draw), source.units) for draw in range(draws)],
    }
    parts = [pd.DataFrame({"quantity": k, "task": range(len(each)), "value": each}) for k, each in values.items()]
    return pd.concat(parts, ignore_index=True)


def _together(source: Planted, sample: int, draw: int) -> Tensor:
    """Compute targets [T, R] of `sample` tasks at `sample` inputs, the same inputs for all tasks."""
    x = source.sample(split="test", shot=sample, query=1, tasks=1, seed=draw).support_x.double()
    return taught(x, *source.teachers(split="test", tasks=sample, seed=draw, index=1))[..., 0]


def ridge_head(net: Net, params: Params, episodes: Episodes, *, ridge: float = 1e-6) -> Tensor:
    """Compute the mean squared query error [B], float64, of the best head for each support set on this body.

    The head has a bias and minimises the squared support error plus `ridge` times its squared norm, in closed form.

    Raises:
        UserError: targets that are not real numbers; a ridge that is not positive.
    """
    if not episodes.support_y.is_floating_point():
        advice = "take tasks of regression"
        raise UserError("ridge_head", "targets must be real", str(episodes.support_y.dtype).split(".")[-1], advice)
    if not ridge > 0:
        raise UserError("ridge_head", "ridge must be positive", ridge, "use 1e-6")
    body = net.layers[-2]
    sides = (_biased(record(net, params, x, layers=[body])[body]) for x in (episodes.support_x, episodes.query_x))
    support, query = (side.expand(episodes.tasks, -1, -1) for side in sides)
    gram = support.mT @ support + ridge * torch.eye(support.shape[2], dtype=torch.float64, device=support.device)
    heads: Tensor = torch.linalg.solve(gram, support.mT @ episodes.support_y.double())
    return (query @ heads - episodes.query_y.double()).square().sum(2).mean(1)


def _biased(features: Tensor) -> Tensor:
    return torch.cat([features.double(), torch.ones_like(features[..., :1], dtype=torch.float64)], 2)


def fixed_body_floor(values: Tensor, width: int) -> float:
    """Compute the least mean square error of any fixed body of `width` features, with a head and bias per task.

    values: targets ``[T, R]`` of T tasks at the same R inputs. Heads span `width` + 1 functions, and no such span comes
    closer to the tasks than their first singular vectors (Eckart and Young 1936). A sample of tasks and inputs gives on
    average no more than all of them would: a lower bound for every learner that adapts only its head.

    Raises:
        UserError: a width below 0.
    """
    if width < 0:
        raise UserError("fixed_body_floor", "width must not be negative", width, "give the number of features")
    values = values.double()
    gram = values @ values.mT if values.shape[0] < values.shape[1] else values.mT @ values
    powers = torch.linalg.eigvalsh(gram).flip(0).clamp(min=0)
    return float(powers[width + 1 :].sum()) / values.numel()
