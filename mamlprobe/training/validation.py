"""The tasks by which every training is judged while it runs."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import torch
from scipy.special import stdtrit

from mamlprobe.base.keys import key
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.sources import TaskSource
from mamlprobe.learn.losses import task_accuracies, task_losses
from mamlprobe.learn.outer.many_runs import side_by_side
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.net import Net
from mamlprobe.runs.experiment import Experiment

SPLIT = "val"

PIXELS = 3_000_000
"""Pixels of the images drawn at once; on a CPU their tasks adapt at once, so it bounds the memory."""

TOGETHER = 5
"""Such batches that adapt at once on a GPU."""


def validation_episodes(pool: TaskSource, experiment: Experiment) -> Iterator[Episodes]:
    """Draw the validation tasks in batches of a fixed size; the same for every seed, method and net."""
    way, shot, query = experiment.way, experiment.shot, experiment.query
    most = max(1, PIXELS // (way * (shot + query) * math.prod(pool.input_shape[1:])))
    for index, first in enumerate(range(0, experiment.validation_tasks, most)):
        tasks = min(most, experiment.validation_tasks - first)
        yield pool.sample(
            split=SPLIT, way=way, shot=shot, query=query, tasks=tasks, seed=key("validation"), index=index
        )


def joined(batches: Iterable[Episodes], device: torch.device) -> Iterator[Episodes]:
    """Yield the same tasks, on a GPU some batches side by side: there the number of launches takes the time."""
    if device.type == "cpu":
        yield from batches
        return
    left = iter(batches)
    while some := list(islice(left, TOGETHER)):
        yield side_by_side(some)


def validate(net: Net, theta: Theta, pool: TaskSource, experiment: Experiment) -> dict[str, float]:
    """Compute query loss and accuracy after the test-time steps, means over tasks, and the accuracy's 95 % half-width.

    With real targets there is no accuracy, and the half-width is the loss's. It is that of the t interval over tasks;
    absent for a single task. What was trained with labels by class is read without steps and head, by the cosine
    attention of Raghu et al. 2020 (NIL).
    """
    method = experiment.method
    if experiment.labels == "class":
        method = replace(method, readout="cosine", loss="cross_entropy", inner=replace(method.inner, test_steps=0))
    per_task: dict[str, list[torch.Tensor]] = {"loss": [], "accuracy": []}
    for episodes in joined(validation_episodes(pool, experiment), next(iter(theta.net.values())).device):
        tasks, path = inner_paths(net, theta, episodes, method, stage="test", track="none")
        with torch.no_grad():
            logits = tasks.query_logits(path[-1], step=len(path) - 1)
            per_task["loss"].append(task_losses(logits, episodes.query_y, method.loss))
            if not episodes.query_y.is_floating_point():
                per_task["accuracy"].append(task_accuracies(logits, episodes.query_y))
    values = {name: torch.cat(parts).double() for name, parts in per_task.items() if parts}
    means = {name: each.mean().item() for name, each in values.items()}
    judged, each = list(values.items())[-1]
    if len(each) < 2:
        return means
    half = float(stdtrit(len(each) - 1, 0.975)) * each.std().item() / math.sqrt(len(each))
    return means | {f"{judged}_half_width": half}
