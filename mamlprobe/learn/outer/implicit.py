"""iMAML: the outer gradient by the implicit function theorem (Rajeswaran, Finn, Kakade, Levine 2019)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.adapt import adapt
from mamlprobe.learn.inner_optimizers import Rule
from mamlprobe.learn.losses import task_losses
from mamlprobe.learn.outer.rematerialised import leaf, prefix_inputs, vjp, with_inputs
from mamlprobe.learn.outer.result import OuterResult
from mamlprobe.learn.run_index import RunIndex, rule_at
from mamlprobe.learn.task_batch import TaskBatch, start_tasks
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import by_task, map_tensors


@torch.enable_grad()
def implicit(
    net: Net, live: Theta, episodes: Episodes, method: Method, *, mean_over: int, run_index: RunIndex | None
) -> OuterResult:
    """Compute gradients at phi, the end of the path, as if it were the optimum of L_S + (lambda / 2) |phi - theta|^2.

    With g the gradient of the query loss at phi and H the Hessian of the support loss, each task's is
    v = (I + H / lambda)^-1 g, by conjugate gradients (equation 6, algorithm 2). Parameters psi that do not adapt have
    the gradient of the query loss, less d/dpsi <dL_S / dphi, v> / lambda. Of the path only phi counts: memory does not
    grow with the number of steps.
    """
    tasks, start, names = start_tasks(net, live, episodes, method, stage="train", run_index=run_index)
    steps, weight = method.inner.steps, method.inner.proximal
    path = [start, _end(tasks, start, names, steps=steps, rule=rule_at(live, method))]
    prefix = prefix_inputs(tasks)
    leaves = map_tensors(leaf, prefix)  # the layers that do not adapt are differentiated through these, once at the end
    tasks = with_inputs(tasks, leaves)
    others = {name: value for name, value in live.learned.items() if name not in live.net}
    at = {name: value.detach().requires_grad_() for name, value in path[-1].items()}
    phi, psi = {name: at[name] for name in names}, {name: at[name] for name in at if name not in names}
    psi |= leaves
    logits = tasks.query_logits(at)
    loss = task_losses(logits, episodes.query_y, method.loss).sum() / mean_over
    slopes = vjp({"loss": loss}, {"loss": torch.ones_like(loss)}, {**at, **leaves, **others})

    inner = tasks.fit_losses(at, steps).sum()
    first = torch.autograd.grad(inner, list(phi.values()), create_graph=True, allow_unused=True) if phi else ()
    support = {name: slope for name, slope in zip(names, first, strict=True) if slope is not None}

    def hvp(v: Params, wanted: Params) -> Params:
        """Differentiate <dL_S / dphi, v> by `wanted`."""
        live = {name: slope for name, slope in support.items() if slope.requires_grad}
        products = torch.autograd.grad(
            list(live.values()), list(wanted.values()), [v[n] for n in live], retain_graph=True, allow_unused=True
        )
        pairs = zip(wanted.items(), products, strict=True)
        return {name: torch.zeros_like(value) if slope is None else slope for (name, value), slope in pairs}

    def regularised_hvp(v: Params) -> Params:
        """Compute (I + H / lambda) v."""
        bent = hvp(v, phi)
        return {name: v[name] + bent[name] / weight for name in v}

    v = conjugate_gradients(regularised_hvp, {name: slopes[name] for name in names}, method.outer.cg_steps)
    across = hvp(v, psi) if psi and v else {}
    slopes |= v | {name: slopes[name] - slope / weight for name, slope in across.items()}
    return OuterResult(tasks, path, logits.detach(), vjp({**start, **prefix, **others}, slopes, live.learned))


def _end(tasks: TaskBatch, params: Params, names: Sequence[str], *, steps: int, rule: Rule) -> Params:
    """Compute the last point of the inner path, without keeping the others."""
    for step in range(steps):
        here, after = partial(_at_step, tasks.support_losses, step), partial(_at_step, rule, step)
        params = adapt(here, params, names, steps=1, rule=after, track="none")[-1]
    return params


def _at_step(function: Callable[[Params, int], Any], step: int, params: Params, _: int) -> Any:
    return function(params, step)


def conjugate_gradients(product: Callable[[Params], Params], right: Params, steps: int) -> Params:
    """Solve A x = right approximately from x = 0, for each task [B] by itself; ``product(x)`` is A x.

    A is symmetric and positive definite (Hestenes and Stiefel 1952). A task whose residual is zero stays where it is.
    """

    def dot(x: Params, y: Params) -> Tensor:
        return torch.stack([by_task(x[name] * y[name]).sum(1) for name in x]).sum(0)

    def scaled(factor: Tensor, x: Params) -> Params:
        return map_tensors(lambda value: factor.reshape(-1, *[1] * (value.ndim - 1)) * value, x)

    def plus(x: Params, y: Params) -> Params:
        return {name: x[name] + y[name] for name in x}

    if not right:
        return right
    x, residual, direction = map_tensors(torch.zeros_like, right), right, right
    size = dot(residual, residual)
    for _ in range(steps):
        image = product(direction)
        curvature = dot(direction, image)
        step = torch.where(curvature != 0, size / curvature, 0)
        x, residual = plus(x, scaled(step, direction)), plus(residual, scaled(-step, image))
        new = dot(residual, residual)
        direction = plus(residual, scaled(torch.where(size != 0, new / size, 0), direction))
        size = new
    return x
