"""Reptile: the outer gradient is how far the inner loop moved (Nichol, Achiam, Schulman 2018)."""

import torch

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer.result import OuterResult
from mamlprobe.learn.run_index import RunIndex
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params


def reptile(
    net: Net, live: Theta, episodes: Episodes, method: Method, *, mean_over: int, run_index: RunIndex | None
) -> OuterResult:
    """Sum theta - theta_S over tasks, / `mean_over`, by name; 0 for what does not adapt.

    A step of gradient descent at rate epsilon along it is theta + epsilon mean (theta_S - theta) (algorithm 2). The
    query set is only scored; it has no part in the gradient.
    """
    tasks, path = inner_paths(net, live, episodes, method, stage="train", track="none", run_index=run_index)
    with torch.no_grad():
        logits = tasks.query_logits(path[-1])
        gradients: Params = {}
        for name, value in live.learned.items():
            gradients[name] = torch.zeros_like(value)
            if name in path[0] and path[-1][name] is not path[0][name]:
                moved = (path[0][name] - path[-1][name]) / mean_over
                gradients[name] += (
                    moved.sum(0) if run_index is None else gradients[name].index_add(0, run_index.index, moved)
                )
    return OuterResult(tasks, path, logits, gradients)
