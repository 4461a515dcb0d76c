"""The outer gradient with the graph of one inner step in memory at a time."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.adapt import Track, adapt
from mamlprobe.learn.losses import task_losses
from mamlprobe.learn.methods import Method
from mamlprobe.learn.rates import Rates
from mamlprobe.learn.tasks import Inputs, Tasks, rates_at, tasks_at
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.params import Net, Params, mapped


def recomputed(
    net: Net, live: Theta, episodes: Episodes, method: Method, *, mean_over: int, owner: Tensor | None
) -> tuple[Tasks, Params, Tensor, Params]:
    """What `outer.unrolled` returns, by walking the path twice: forth without graph, then back a step at a time.

    With theta_{k+1} = theta_k - a_k g_k(theta_k) and v_S the slope of the query loss at theta_S, each step back
    computes g_k again and takes v_k = v_{k+1} - (d g_k / d theta_k)^T a_k v_{k+1}; a rate's slope is minus the product
    of v_{k+1} and g_k. Memory does not grow with the number of steps, but for the parameters on the path.
    """
    tasks, start, names = tasks_at(net, live, episodes, method, stage="train", owner=owner)
    learned = {f"rates.{name}": value for name, value in live.rates.items()}
    held = _held(tasks)
    leaves = mapped(_leaf, held)
    alone = _holding(tasks, leaves)
    rates = rates_at(live, method, owner=owner)
    steps = method.inner.steps if names else 0
    path = adapt(alone.support_losses, start, names, steps=steps, rates=rates, track="none")

    end = mapped(_leaf, path[-1])
    logits = alone.query_logits(end)
    loss = task_losses(logits, episodes.query_y, method.loss).sum() / mean_over
    beside: Params = {**leaves, **learned}
    zeros = mapped(torch.zeros_like, beside)
    slopes = pulled({**beside, "loss": loss}, {**zeros, "loss": torch.ones_like(loss)}, {**end, **beside})

    track: Track = "second" if method.inner.order == 2 else "first"
    for step in reversed(range(steps if track == "second" or learned else 0)):
        slopes = _step_back(alone, path[step], step, slopes, beside, names=names, rates=rates, track=track)
    slopes = pulled({**start, **held, **learned}, slopes, {**live.net, **learned})
    return alone, path[-1], logits.detach(), slopes


def pulled(outputs: Params, slopes: Params, inputs: Params) -> Params:
    """Slopes of the sum of products of outputs and their slopes with respect to the inputs; 0 where not reached."""
    reached = [name for name, value in outputs.items() if value.requires_grad]
    found = torch.autograd.grad(
        [outputs[name] for name in reached],
        list(inputs.values()),
        [slopes[name] for name in reached],
        allow_unused=True,
    )
    return {
        name: torch.zeros_like(value) if slope is None else slope
        for (name, value), slope in zip(inputs.items(), found, strict=True)
    }


def _step_back(
    tasks: Tasks,
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
    at = mapped(_leaf, params)
    [_, after] = adapt(
        lambda here, _: tasks.support_losses(here, step),
        at,
        names,
        steps=1,
        rates=lambda name, _: rates(name, step),
        track=track,
    )
    return pulled({**after, **beside}, slopes, {**at, **beside})


def _held(tasks: Tasks) -> Params:
    """What was computed once for all steps and hangs on parameters that do not adapt."""
    return {} if tasks.held is None else {"held.support": tasks.held.support, "held.query": tasks.held.query}


def _holding(tasks: Tasks, held: Params) -> Tasks:
    """The tasks with these instead of what `_held` names."""
    if tasks.held is None:
        return tasks
    inputs = Inputs(layer=tasks.held.layer, support=held["held.support"], query=held["held.query"])
    return replace(tasks, held=inputs)


def _leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_()
