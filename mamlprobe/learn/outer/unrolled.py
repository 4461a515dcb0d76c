"""The outer gradient through the whole inner path (Finn et al. 2017, equation 1)."""

import torch

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.adapt import Track
from mamlprobe.learn.losses import check_differentiable, task_losses
from mamlprobe.learn.outer.rematerialised import vjp
from mamlprobe.learn.outer.result import OuterResult
from mamlprobe.learn.run_index import RunIndex
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net


def unrolled(
    net: Net, live: Theta, episodes: Episodes, method: Method, *, mean_over: int, run_index: RunIndex | None
) -> OuterResult:
    """Return tasks, path, query logits at its end [B, N*Q, N], gradients of the sum of losses / `mean_over`.

    The tensors of `live` are leaves; the gradients are theirs, by name. The whole path is in memory.
    """
    track: Track = "second" if method.inner.order == 2 else "first"
    tasks, path = inner_paths(net, live, episodes, method, stage="train", track=track, run_index=run_index)
    steps = len(path) - 1
    logits = tasks.query_logits(path[-1], step=steps)
    losses = task_losses(logits, episodes.query_y, method.loss)
    if method.step_weights:
        losses = losses * method.step_weights[-1]
        for step, weight in enumerate(method.step_weights[:-1], start=1):
            losses = losses + weight * tasks.query_losses(path[step], step=step)
    loss = check_differentiable(losses.sum() / mean_over)
    gradients = vjp({"loss": loss}, {"loss": torch.ones_like(loss)}, live.learned)
    return OuterResult(tasks, path, logits.detach(), gradients)
