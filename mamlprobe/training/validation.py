"""The tasks every training is judged by on its way."""

import math
from collections.abc import Iterator

import torch
from scipy.special import stdtrit

from mamlprobe.base.streams import key
from mamlprobe.data.episodes import Episodes, sample
from mamlprobe.data.pool import Pool
from mamlprobe.learn.losses import task_accuracies, task_losses
from mamlprobe.learn.tasks import paths
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.params import Net
from mamlprobe.runs.experiment import Experiment

SPLIT = "val"

PIXELS = 3_000_000
"""Positions of the images adapted at once; it bounds the memory."""


def validation_episodes(pool: Pool, experiment: Experiment) -> Iterator[Episodes]:
    """The validation tasks in batches of a fixed size; the same for every seed, method and net."""
    _, height, width = pool.image_shape
    way, shot, query = experiment.way, experiment.shot, experiment.query
    most = max(1, PIXELS // (way * (shot + query) * height * width))
    for index, first in enumerate(range(0, experiment.validation_tasks, most)):
        tasks = min(most, experiment.validation_tasks - first)
        words = {"way": way, "shot": shot, "query": query, "tasks": tasks}
        yield sample(pool, split=SPLIT, seed=key("validation"), index=index, **words)


def validate(net: Net, theta: Theta, pool: Pool, experiment: Experiment) -> dict[str, float]:
    """Query loss and accuracy after the test-time steps, means over tasks, and the accuracy's 95 % half-width.

    The half-width is that of the t interval over tasks; absent for a single task.
    """
    losses, accuracies = [], []
    for episodes in validation_episodes(pool, experiment):
        tasks, path = paths(net, theta, episodes, experiment.method, stage="test", track="none")
        with torch.no_grad():
            logits = tasks.query_logits(path[-1])
            losses.append(task_losses(logits, episodes.query_y, experiment.method.loss))
            accuracies.append(task_accuracies(logits, episodes.query_y))
    loss, accuracy = (torch.cat(parts).double() for parts in (losses, accuracies))
    found = {"loss": loss.mean().item(), "accuracy": accuracy.mean().item()}
    count = len(accuracy)
    if count < 2:
        return found
    return found | {"accuracy_half_width": float(stdtrit(count - 1, 0.975)) * accuracy.std().item() / math.sqrt(count)}
