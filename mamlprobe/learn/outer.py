"""The outer gradient: of the mean query loss after adaptation, with respect to everything meta-learned."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.adapt import Track
from mamlprobe.learn.evaluate import chunks, tasks_at_a_time
from mamlprobe.learn.losses import task_accuracies, task_losses
from mamlprobe.learn.methods import Method
from mamlprobe.learn.recompute import pulled, recomputed
from mamlprobe.learn.tasks import Tasks, paths
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.params import Moments, Net, Params, adapting, head_names


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What an outer gradient saw on its way; tensors without graph, read when needed."""

    losses: Tensor
    """Query loss of each task after adaptation [B]."""
    accuracies: Tensor
    """Query accuracy of each task after adaptation [B]."""
    moments: Moments = field(default_factory=dict)
    """Batch-norm moments of the query pass, averaged over tasks [C]; filled in the norm regime "running"."""

    @property
    def loss(self) -> Tensor:
        """Mean query loss, a scalar tensor."""
        return self.losses.mean()

    @property
    def accuracy(self) -> Tensor:
        """Mean query accuracy, a scalar tensor."""
        return self.accuracies.mean()


def meta_gradient(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    chunk: int | None = None,
    recompute: bool = False,
) -> tuple[Params, Readings]:
    """Gradients by name of the mean over tasks of the query loss at the end of the inner path, and the readings.

    Exact through the inner loop (order 2, Finn et al. 2017 eq. 1), or with the inner gradients as constants (order 1,
    FOMAML). Every parameter of the net has an entry; learned rates stand under ``rates.<name>``. With the head zeroed
    at each update, the gradient is taken at the zeroed head.

    `chunk` tasks are held in memory at a time, None for what suits the device: all on a GPU, and on a CPU no more than
    make it faster (`tasks_at_a_time`); `recompute` computes every inner step a second time
    instead of keeping its graph: memory does not grow with the number of steps. Both change the last digits only.

    Raises:
        UserError: a chunk below 1.
    """
    gradients, told = summed(net, theta, episodes, method, mean_over=episodes.tasks, chunk=chunk, recompute=recompute)
    return gradients, readings(told, theta)


def readings(told: Params, theta: Theta) -> Readings:
    """What the tasks [B] told, for a person and for the running moments that theta has."""
    moments = {name: told[name].mean(0) for name in theta.moments if name in told}
    return Readings(losses=told["losses"], accuracies=told["accuracies"], moments=moments)


def summed(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    mean_over: int,
    chunk: int | None,
    recompute: bool,
    owner: Tensor | None = None,
) -> tuple[Params, Params]:
    """Gradients by name of the sum over tasks of the query losses / `mean_over`, and what each task told [B, ...].

    With `owner` [B], theta's tensors have a leading axis of runs, and each task is one of its own run's.
    """
    size = chunk_size(chunk, episodes.tasks, episodes, light=only_head(net, method))
    live = Theta(net=_leaves(theta.net), rates=_leaves(theta.rates), moments=theta.moments)
    route = ROUTES["recomputed" if recompute else "unrolled"]
    gradients: Params = {}
    told: list[Params] = []
    owners: Sequence[Tensor | None] = [None] * episodes.tasks if owner is None else torch.split(owner, size)
    for part, own in zip(chunks(episodes, size), owners, strict=False):
        found, seen = _told(*route(net, live, part, method, mean_over=mean_over, owner=own))
        for name in list(found):
            gradients[name] = gradients[name] + found.pop(name) if name in gradients else found.pop(name)
        told.append(seen)
    return gradients, {name: torch.cat([each[name] for each in told]) for name in told[0]}


def _leaves(params: Params) -> Params:
    return {name: value.detach().requires_grad_() for name, value in params.items()}


def chunk_size(chunk: int | None, tasks: int, episodes: Episodes | None = None, *, light: bool = False) -> int:
    """The number of tasks held at a time; where it is not given, what suits the device of tasks like these.

    Light tasks are held four times as many: those whose inner loop does not reach into the body.

    Raises:
        UserError: a chunk below 1.
    """
    if chunk is not None and chunk < 1:
        raise UserError("chunk", "at least 1 task must be held at a time", chunk, "leave it out")
    if chunk is None and episodes is not None and episodes.support_x.device.type == "cpu":
        chunk = tasks_at_a_time(episodes) * (4 if light else 1)
    return min(chunk or tasks, tasks)


def only_head(net: Net, method: Method) -> bool:
    """Whether nothing but the head adapts."""
    return set(adapting(net, method.inner.adapts)) <= set(head_names(net))


def unrolled(
    net: Net, live: Theta, episodes: Episodes, method: Method, *, mean_over: int, owner: Tensor | None
) -> tuple[Tasks, Params, Tensor, Params]:
    """Tasks, parameters at the end of the path, query logits [B, N*Q, N], gradients of the sum of losses / `mean_over`.

    `live` holds leaves; the gradients are of those by name, rates under ``rates.<name>``. The whole path is in memory.
    """
    track: Track = "second" if method.inner.order == 2 else "first"
    tasks, path = paths(net, live, episodes, method, stage="train", track=track, owner=owner)
    logits = tasks.query_logits(path[-1])
    loss = task_losses(logits, episodes.query_y, method.loss).sum() / mean_over
    wanted = {**live.net, **{f"rates.{name}": value for name, value in live.rates.items()}}
    return tasks, path[-1], logits.detach(), pulled({"loss": loss}, {"loss": torch.ones_like(loss)}, wanted)


@torch.no_grad()
def _told(tasks: Tasks, end: Params, logits: Tensor, gradients: Params) -> tuple[Params, Params]:
    """The gradients, and by task: losses and accuracies [B], in the norm regime "running" the query pass's moments."""
    labels, method = tasks.episodes.query_y, tasks.method
    told = {"losses": task_losses(logits, labels, method.loss), "accuracies": task_accuracies(logits, labels)}
    if method.norm.statistics == "running":
        told |= tasks.query(end, collect=True).moments
    return gradients, told


ROUTES = {"unrolled": unrolled, "recomputed": recomputed}
"""The two ways to one outer gradient."""
