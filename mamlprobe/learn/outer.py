"""The outer gradient: of the mean query loss after adaptation, with respect to everything meta-learned."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.adapt import Track
from mamlprobe.learn.losses import task_accuracies, task_losses
from mamlprobe.learn.methods import Method
from mamlprobe.learn.tasks import paths
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.params import Moments, Net, Params


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


def meta_gradient(net: Net, theta: Theta, episodes: Episodes, method: Method) -> tuple[Params, Readings]:
    """Gradients by name of the mean over tasks of the query loss at the end of the inner path, and the readings.

    Exact through the inner loop (order 2, Finn et al. 2017 eq. 1), or with the inner gradients as constants (order 1,
    FOMAML). Every parameter of the net has an entry; learned rates stand under ``rates.<name>``. With the head zeroed
    at each update, the gradient is taken at the zeroed head.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in theta.net.items()}
    rates = {name: value.detach().requires_grad_() for name, value in theta.rates.items()}
    live = Theta(net=leaves, rates=rates, moments=theta.moments)
    track: Track = "second" if method.inner.order == 2 else "first"
    tasks, path = paths(net, live, episodes, method, stage="train", track=track)
    logits = tasks.query_logits(path[-1])
    losses = task_losses(logits, episodes.query_y, method.loss)
    wanted = {**leaves, **{f"rates.{name}": value for name, value in rates.items()}}
    found = torch.autograd.grad(losses.mean(), list(wanted.values()), allow_unused=True)
    gradients = {
        name: torch.zeros_like(value) if gradient is None else gradient
        for (name, value), gradient in zip(wanted.items(), found, strict=True)
    }
    moments: Moments = {}
    if method.norm.statistics == "running":
        with torch.no_grad():
            seen = tasks.query(path[-1], collect=True).moments
            moments = {name: seen[name].mean(0) for name in theta.moments}
    accuracies = task_accuracies(logits.detach(), episodes.query_y)
    return gradients, Readings(losses=losses.detach(), accuracies=accuracies, moments=moments)
