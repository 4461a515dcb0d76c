"""The outer gradient with the graph of one inner step in memory at a time."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.adapt import Track, adapt
from mamlprobe.learn.inner_optimizers import Rates, sgd
from mamlprobe.learn.losses import task_losses
from mamlprobe.learn.run_index import RunIndex
from mamlprobe.learn.task_batch import Found, TaskBatch, rates_at, start_tasks
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.params import Net, Params, map_tensors


def recomputed(
    net: Net, live: Theta, episodes: Episodes, method: Method, *, mean_over: int, run_index: RunIndex | None
) -> Found:
    """What `outer.unrolled` returns, by walking the path twice: forth without graph, then back a step at a time.

    With theta_{k+1} = theta_k - a_k g_k(theta_k) and v_S the slope of the query loss at theta_S, each step back
    computes g_k again and takes v_k = v_{k+1} - (d g_k / d theta_k)^T a_k v_{k+1}; a rate's slope is minus the product
    of v_{k+1} and g_k. Memory does not grow with the number of steps, but for the parameters on the path.
    """
    tasks, start, names = start_tasks(net, live, episodes, method, stage="train", run_index=run_index)
    learned = {name: value for name, value in live.learned.items() if name not in live.net}
    prefix = _held(tasks)
    leaves = map_tensors(leaf, prefix)
    alone = _holding(tasks, leaves)
    rates = rates_at(live, method, run_index=run_index)
    steps = method.inner.steps
    path = adapt(alone.support_losses, start, names, steps=steps, rule=sgd(rates), track="none")

    beside: Params = {**leaves, **learned}
    slopes = map_tensors(torch.zeros_like, {**path[-1], **beside})
    weights = (0.0, *(method.step_weights or (*[0.0] * (method.inner.steps - 1), 1.0)))
    slopes, logits = _query_slopes(alone, path[-1], len(path) - 1, slopes, beside, weights[-1] / mean_over)

    track: Track = "second" if method.inner.order == 2 else "first"
    bent = bool(names) and (track == "second" or bool(learned))  # else a step leaves slopes as they are
    for step in reversed(range(steps)):
        if bent:
            slopes = _step_back(alone, path[step], step, slopes, beside, names=names, rates=rates, track=track)
        if weights[step]:
            slopes, _ = _query_slopes(alone, path[step], step, slopes, beside, weights[step] / mean_over)
    slopes = vjp({**start, **prefix, **learned}, slopes, {**live.net, **learned})
    points = [alone.at(map_tensors(torch.Tensor.detach, each), step) for step, each in enumerate(path)]
    return alone, points, logits, slopes


def vjp(outputs: Params, slopes: Params, inputs: Params) -> Params:
    """Slopes of the sum of products of outputs and their slopes with respect to the inputs; 0 where not reached."""
    reached = [name for name, value in outputs.items() if value.requires_grad]
    live = [name for name, value in inputs.items() if value.requires_grad]
    found = torch.autograd.grad(
        [outputs[name] for name in reached],
        [inputs[name] for name in live],
        [slopes[name] for name in reached],
        allow_unused=True,
    )
    there = {name: slope for name, slope in zip(live, found, strict=True) if slope is not None}
    return {name: there[name] if name in there else torch.zeros_like(value) for name, value in inputs.items()}


def _query_slopes(
    tasks: TaskBatch, params: Params, step: int, slopes: Params, beside: Params, weight: float
) -> tuple[Params, Tensor]:
    """The slopes with those of the weighted query loss at these parameters added, and its logits."""
    at = map_tensors(leaf, params)
    logits = tasks.query_logits(tasks.at(at, step), step=step)
    loss = task_losses(logits, tasks.episodes.query_y, tasks.method.loss).sum() * weight
    outputs = {**at, **beside, "loss": loss}
    return vjp(outputs, {**slopes, "loss": torch.ones_like(loss)}, {**at, **beside}), logits.detach()


def _step_back(
    tasks: TaskBatch,
    params: Params,
    step: int,
    slopes: Params,
    beside: Params,
    *,
    names: Sequence[str],
    rates: Rates,
    track: Track,
) -> Params:
    """Slopes with respect to the parameters before the step and to what stands beside them, from those after it."""
    at = map_tensors(leaf, params)
    [_, after] = adapt(
        lambda here, _: tasks.support_losses(here, step),
        at,
        names,
        steps=1,
        rule=sgd(lambda name, _: rates(name, step)),
        track=track,
    )
    return vjp({**after, **beside}, slopes, {**at, **beside})


def held_inputs(tasks: TaskBatch) -> Params:
    """What the first layers make of the episodes, where that was computed once for all steps."""
    if tasks.prefix is None or tasks.prefix.query is None:
        return {}
    return {"prefix.support": tasks.prefix.support, "prefix.query": tasks.prefix.query}


def with_inputs(tasks: TaskBatch, prefix: Params) -> TaskBatch:
    """The tasks with these instead of what `held_inputs` names."""
    if tasks.prefix is None:
        return tasks
    return replace(tasks, prefix=replace(tasks.prefix, support=prefix["prefix.support"], query=prefix["prefix.query"]))


def _held(tasks: TaskBatch) -> Params:
    """What was computed once for all steps and hangs on the start."""
    return held_inputs(tasks) | {f"anchor.{name}": value for name, value in tasks.anchor.items()}


def _holding(tasks: TaskBatch, prefix: Params) -> TaskBatch:
    """The tasks with these instead of what `_held` names."""
    return replace(with_inputs(tasks, prefix), anchor={name: prefix[f"anchor.{name}"] for name in tasks.anchor})


def leaf(value: Tensor) -> Tensor:
    """The value, cut loose, as what slopes are taken with respect to."""
    return value.detach().requires_grad_(value.is_floating_point() or value.is_complex())
