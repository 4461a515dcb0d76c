"""The outer gradient with the graph of one inner step in memory at a time."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.adapt import Track, adapt
from mamlprobe.learn.inner_optimizers import Rates, sgd
from mamlprobe.learn.losses import task_losses
from mamlprobe.learn.outer.result import OuterResult
from mamlprobe.learn.run_index import RunIndex, rates_at
from mamlprobe.learn.task_batch import TaskBatch, start_tasks
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import map_tensors


def recomputed(
    net: Net, live: Theta, episodes: Episodes, method: Method, *, mean_over: int, run_index: RunIndex | None
) -> OuterResult:
    """Return what `outer.unrolled` does, from two walks of the path: forth without graph, then back step by step.

    With theta_{k+1} = theta_k - a_k g_k(theta_k) and v_S the gradient of the query loss at theta_S, each step back
    computes g_k again and takes v_k = v_{k+1} - (d g_k / d theta_k)^T a_k v_{k+1}; a rate's gradient is minus the
    product of v_{k+1} and g_k. Apart from the parameters on the path, memory does not grow with the number of steps.
    """
    tasks, start, names = start_tasks(net, live, episodes, method, stage="train", run_index=run_index)
    learned = {name: value for name, value in live.learned.items() if name not in live.net}
    prefix = _fixed_inputs(tasks)
    leaves = map_tensors(leaf, prefix)
    alone = _with_fixed_inputs(tasks, leaves)
    rates = rates_at(live, method, run_index=run_index)
    steps = method.inner.steps
    path = adapt(alone.support_losses, start, names, steps=steps, rule=sgd(rates), track="none")

    others: Params = {**leaves, **learned}
    slopes = map_tensors(torch.zeros_like, {**path[-1], **others})
    weights = (0.0, *(method.step_weights or (*[0.0] * (method.inner.steps - 1), 1.0)))
    slopes, logits = _query_slopes(alone, path[-1], len(path) - 1, slopes, others, weights[-1] / mean_over)

    track: Track = "second" if method.inner.order == 2 else "first"
    bent = bool(names) and (track == "second" or bool(learned))  # else a step does not change the slopes
    for step in reversed(range(steps)):
        if bent:
            slopes = _step_back(alone, path[step], step, slopes, others, names=names, rates=rates, track=track)
        if weights[step]:
            slopes, _ = _query_slopes(alone, path[step], step, slopes, others, weights[step] / mean_over)
    slopes = vjp({**start, **prefix, **learned}, slopes, {**live.net, **learned})
    points = [alone.at(map_tensors(torch.Tensor.detach, each), step) for step, each in enumerate(path)]
    return OuterResult(alone, points, logits, slopes)


def vjp(outputs: Params, slopes: Params, inputs: Params) -> Params:
    """Differentiate the sum of products of outputs and their slopes by the inputs; 0 for inputs not reached."""
    reached = [name for name, value in outputs.items() if value.requires_grad]
    live = [name for name, value in inputs.items() if value.requires_grad]
    gradients = torch.autograd.grad(
        [outputs[name] for name in reached],
        [inputs[name] for name in live],
        [slopes[name] for name in reached],
        allow_unused=True,
    )
    by_name = {name: slope for name, slope in zip(live, gradients, strict=True) if slope is not None}
    return {name: by_name[name] if name in by_name else torch.zeros_like(value) for name, value in inputs.items()}


def _query_slopes(
    tasks: TaskBatch, params: Params, step: int, slopes: Params, others: Params, weight: float
) -> tuple[Params, Tensor]:
    """Add the gradient of the weighted query loss at these parameters to the slopes; also return its logits."""
    at = map_tensors(leaf, params)
    logits = tasks.query_logits(tasks.at(at, step), step=step)
    loss = task_losses(logits, tasks.episodes.query_y, tasks.method.loss).sum() * weight
    outputs = {**at, **others, "loss": loss}
    return vjp(outputs, {**slopes, "loss": torch.ones_like(loss)}, {**at, **others}), logits.detach()


def _step_back(
    tasks: TaskBatch,
    params: Params,
    step: int,
    slopes: Params,
    others: Params,
    *,
    names: Sequence[str],
    rates: Rates,
    track: Track,
) -> Params:
    """Compute the slopes of the parameters before the step, and of the `others`, from those after it."""
    at = map_tensors(leaf, params)
    [_, after] = adapt(
        lambda here, _: tasks.support_losses(here, step),
        at,
        names,
        steps=1,
        rule=sgd(lambda name, _: rates(name, step)),
        track=track,
    )
    return vjp({**after, **others}, slopes, {**at, **others})


def prefix_inputs(tasks: TaskBatch) -> Params:
    """Return the outputs of the first layers if they were computed once for all steps."""
    if tasks.prefix is None or tasks.prefix.query is None:
        return {}
    return {"prefix.support": tasks.prefix.support, "prefix.query": tasks.prefix.query}


def with_inputs(tasks: TaskBatch, prefix: Params) -> TaskBatch:
    """Replace the tensors of the tasks that `prefix_inputs` names."""
    if tasks.prefix is None:
        return tasks
    return replace(tasks, prefix=replace(tasks.prefix, support=prefix["prefix.support"], query=prefix["prefix.query"]))


def _fixed_inputs(tasks: TaskBatch) -> Params:
    """Return what was computed once for all steps and depends on the start."""
    return prefix_inputs(tasks) | {f"anchor.{name}": value for name, value in tasks.anchor.items()}


def _with_fixed_inputs(tasks: TaskBatch, prefix: Params) -> TaskBatch:
    """Replace the tensors of the tasks that `_fixed_inputs` names."""
    return replace(with_inputs(tasks, prefix), anchor={name: prefix[f"anchor.{name}"] for name in tasks.anchor})


def leaf(value: Tensor) -> Tensor:
    """Detach the value, as a leaf of a new graph."""
    return value.detach().requires_grad_(value.is_floating_point() or value.is_complex())
