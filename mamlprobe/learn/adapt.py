"""The one inner loop."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from mamlprobe.learn.foreach import less
from mamlprobe.learn.inner_optimizers import Rule
from mamlprobe.learn.losses import gradients_of
from mamlprobe.nets.net import Params

Track = Literal["second", "first", "none"]


@torch.enable_grad()
def adapt(
    loss_at: Callable[[Params, int], Tensor],
    params: Params,
    names: Sequence[str],
    *,
    steps: int,
    rule: Rule,
    track: Track,
) -> list[Params]:
    """Run gradient descent: S+1 dicts of parameters, element 0 the start (Finn et al. 2017, algorithm 1).

    ``loss_at(params, step)`` gives one loss a task [B]; the `names` adapt, moved as the `rule` says. `track`: "second"
    keeps the graph through the inner gradients, "first" takes them as constants, "none" cuts the path loose from its
    start. A loss that depends on nothing that adapts is refused (`losses.gradients_of`).
    """
    path = [params]
    for step in range(steps if names else 0):
        at = path[-1] if track != "none" else {n: v.detach().requires_grad_(n in names) for n, v in path[-1].items()}
        gradients = gradients_of(loss_at(at, step).sum(), [at[n] for n in names], create_graph=track == "second")
        after = less(at, rule({n: g for n, g in zip(names, gradients, strict=True) if g is not None}, step))
        path.append(after if track != "none" else {n: v.detach() for n, v in after.items()})
    return path + [path[0]] * (0 if names else steps)
