"""Outer gradients for small inner steps as AvgGrad and AvgGradInner (Nichol et al. 2018, section 5.1)."""

from dataclasses import replace
from itertools import permutations

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import start_tasks
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Inner, Loss, Outer
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import add_task_axis, flatten

RULES = ("maml", "fomaml", "reptile")


def predicted(batches: int) -> dict[str, tuple[float, float]]:
    """Return, by rule, the coefficients of AvgGrad and (in units of the inner rate) AvgGradInner for k mini-batches."""
    k = batches
    return {"maml": (1, -2 * (k - 1)), "fomaml": (1, -(k - 1)), "reptile": (k, -k * (k - 1) / 2)}


def expansion(
    net: Net, theta: Theta, episodes: Episodes, *, batches: int, rates: list[float], loss: Loss = "cross_entropy"
) -> pd.DataFrame:
    """Fit the coefficients of the outer gradients, and the residual of the predicted ones, by rule and inner rate.

    The support set of each task is cut into k = `batches` mini-batches; expectations are exact, over all k! orders of
    them. MAML and FOMAML take k - 1 steps and have the last mini-batch as their query set, Reptile takes k. Columns
    ``rule batches rate quantity value predicted``: "AvgGrad" and "AvgGradInner" are least-squares coefficients, the
    latter in units of the rate; "residual" is the norm of the outer gradient minus the predicted sum, relative to that
    of AvgGrad.

    Raises:
        UserError: fewer than two mini-batches, or a support set that cannot be cut into them.
    """
    size = _size(episodes, batches)
    both = averages(net, theta, episodes, batches=batches, loss=loss)
    mean, inner = (flatten(add_task_axis(part))[0] for part in both)
    rows: list[dict[str, object]] = []
    for rule in RULES:
        tasks = in_every_order(episodes, batches=batches, held_out=rule != "reptile")
        for rate in rates:
            gradients, _ = meta_gradient(net, theta, tasks, _method(rule, batches, rate, size, loss))
            gradient = flatten(add_task_axis(gradients), both[0])[0] / (rate if rule == "reptile" else 1)
            fit = torch.linalg.lstsq(torch.stack([mean, inner], 1), gradient.unsqueeze(1)).solution.flatten()
            first, second = predicted(batches)[rule]
            residual = gradient - first * mean - second * rate * inner
            for quantity, value, wanted in (
                ("AvgGrad", fit[0], first),
                ("AvgGradInner", fit[1] / rate, second),
                ("residual", residual.norm() / mean.norm(), 0.0),
            ):
                row = {"rule": rule, "batches": batches, "rate": rate}
                rows.append({**row, "quantity": quantity, "value": float(value), "predicted": wanted})
    return pd.DataFrame(rows)


def averages(
    net: Net, theta: Theta, episodes: Episodes, *, batches: int, loss: Loss = "cross_entropy"
) -> tuple[Params, Params]:
    """Compute AvgGrad = E[g_i] and AvgGradInner = E[H_i g_j], i other than j, over tasks and mini-batches, at theta.

    g_i and H_i are gradient and Hessian of the loss on mini-batch i of a task.

    Raises:
        UserError: as `expansion`.
    """
    method = _method("maml", batches, 0.0, _size(episodes, batches), loss)
    tasks, start, names = start_tasks(net, theta, episodes, method, stage="train")
    leaves = {name: start[name].detach().clone().requires_grad_() for name in names}
    places = list(leaves.values())
    slopes = [
        torch.autograd.grad(tasks.fit_losses(leaves, step).sum(), places, create_graph=True) for step in range(batches)
    ]
    total = [torch.stack([slope[n].detach() for slope in slopes]).sum(0) for n in range(len(places))]
    bent = [torch.zeros_like(place) for place in places]
    for slope in slopes:
        others = [whole - part.detach() for whole, part in zip(total, slope, strict=True)]
        products = torch.autograd.grad(slope, places, others)
        bent = [so_far + more for so_far, more in zip(bent, products, strict=True)]
    pairs = batches * (batches - 1)
    mean = {name: part.mean(0) / batches for name, part in zip(names, total, strict=True)}
    return mean, {name: part.mean(0) / pairs for name, part in zip(names, bent, strict=True)}


def in_every_order(episodes: Episodes, *, batches: int, held_out: bool) -> Episodes:
    """Repeat each task with its k mini-batches in all orders: B k! tasks, one task's orders next to one another.

    `held_out`: the last mini-batch of each order is the query set and no longer in the support set.

    Raises:
        UserError: as `expansion`.
    """
    _size(episodes, batches)
    orders = torch.tensor(list(permutations(range(batches))), device=episodes.support_y.device)
    training = orders[:, :-1] if held_out else orders
    parts: dict[str, Tensor] = {}
    for word, value in (("x", episodes.support_x), ("y", episodes.support_y)):
        cut = value.reshape(episodes.tasks, _classes(episodes), batches, -1, *value.shape[2:])
        for side, chosen in (("support", training), ("query", orders[:, -1:])):
            arranged = cut[:, :, chosen].transpose(1, 2)  # tasks, orders, classes, mini-batches, rows, ...
            parts[f"{side}_{word}"] = arranged.flatten(0, 1).flatten(1, 3)
    return Episodes(**parts)


def _classes(episodes: Episodes) -> int:
    """Count the blocks of rows of which every mini-batch has a part: the classes, or one for real targets."""
    return 1 if episodes.support_y.is_floating_point() else episodes.way


def _size(episodes: Episodes, batches: int) -> int:
    """Count the rows of a mini-batch, and refuse a support set that cannot be cut into such."""
    if batches < 2:
        raise UserError("expansion", "there must be at least 2 mini-batches", batches, "give 2 or more")
    rows, classes = episodes.support_x.shape[1], _classes(episodes)
    if rows % (classes * batches):
        must = f"the support rows must fall into {batches} mini-batches, each with equally many of {classes} classes"
        raise UserError("expansion", must, f"{rows} rows", "draw more or fewer")
    return rows // batches


def _method(rule: str, batches: int, rate: float, size: int, loss: Loss) -> Method:
    steps = batches if rule == "reptile" else batches - 1
    inner = Inner(steps=steps, test_steps=steps, lr=rate, order=2 if rule == "maml" else 1, batch=size)
    plain = Method(name=rule, inner=inner, loss=loss)
    return replace(plain, outer=Outer(rule="reptile")) if rule == "reptile" else plain
