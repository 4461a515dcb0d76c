"""What every outer rule returns."""

from dataclasses import dataclass

from torch import Tensor

from mamlprobe.learn.task_batch import TaskBatch
from mamlprobe.nets.net import Params


@dataclass(frozen=True)
class OuterResult:
    """The inner path of some tasks, and the outer gradient that a rule makes of it."""

    tasks: TaskBatch
    path: list[Params]
    """Parameters at the points of the path, at least its end."""
    logits: Tensor
    """Query logits at the end of the path [B, N*Q, N], without graph."""
    gradients: Params
    """By name, of the sum of query losses over the number of tasks that they are averaged over."""
