"""The moments of batch norms that a training step adds to the running ones."""

import torch

from mamlprobe.learn.task_batch import TaskBatch
from mamlprobe.nets.net import Moments, Params


def collected(tasks: TaskBatch, path: list[Params]) -> Moments:
    """Compute each task's moments for the running averages, by norm: at the path's end [B, C], or by step [B, S+1, C].

    By step they are those of the support set at every point but the last, there of the query set. The
    moments of norms in layers that do not move are computed once for all points.
    """
    regime = tasks.method.norm.statistics
    if regime == "running":
        return _moments(tasks, path, "query", path[-1:])[0]
    if not regime.startswith("per_step"):
        return {}
    seen = [*_moments(tasks, path, "support", path[:-1]), *_moments(tasks, path, "query", path[-1:])]
    return {name: torch.stack([each[name] for each in seen], dim=1) for name in seen[0]}


def _moments(tasks: TaskBatch, path: list[Params], which: str, points: list[Params]) -> list[Moments]:
    """Compute the moments of one set, "support" or "query", at these points of the path."""
    net, layer = tasks.net, tasks.inputs.layer
    fixed: Moments = {}
    if layer is not None and points:
        fixed = net.brief(path[0], getattr(tasks.episodes, f"{which}_x"), collect=True, end=layer).moments
    x = getattr(tasks.inputs, which)
    return [fixed | net.brief(params, x, collect=True, begin=layer).moments for params in points]
