"""One update on several processes: every rank computes gradients of its part of the tasks, rank 0 gets the sums."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import Readings, only_head, tasks_in_memory
from mamlprobe.learn.outer.many_runs import by_run, gradients_of_part
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params
from mamlprobe.training.memory_check import explain_out_of_memory
from mamlprobe.training.ranks.group import Ranks


def part_of(rank: int, size: int, tasks: int) -> tuple[int, int]:
    """Return the first task of a rank's part and the one behind its last; parts differ by one task at most."""
    ends = [tasks * each // size for each in range(size + 1)]
    return list(pairwise(ends))[rank]


def divided(
    ranks: Ranks,
    net: Net,
    thetas: Sequence[Theta],
    episodes: Sequence[Episodes],
    method: Method,
    *,
    chunk: int | None,
    recompute: bool,
) -> list[tuple[Params, Readings]]:
    """Return on rank 0 what `meta_gradients` does, each rank computing its part; what others return means nothing.

    All ranks call it at the same time, with the same tasks; theta is rank 0's, and is written into that of the others.

    Raises:
        UserError: as `meta_gradients`; no memory left in one of the processes. All ranks raise the same.
        Lost: another process has ended.
    """
    ranks.spread([value for theta in thetas for value in _tensors(theta)])
    tasks = sum(each.tasks for each in episodes)
    start, stop = part_of(ranks.rank, ranks.size, tasks)
    with ranks.agreeing():
        light = only_head(net, method)
        size = tasks_in_memory(chunk, stop - start, episodes[0], light=light, net=net)
        with explain_out_of_memory(size, recompute=recompute):
            gradients, metrics = gradients_of_part(
                net, thetas, episodes, method, part=(start, stop), chunk=chunk, recompute=recompute
            )
    names, quantities = sorted(gradients), sorted(metrics)
    placed = [_placed(metrics[name], start, tasks) for name in quantities]
    sums = ranks.total([*(gradients[name] for name in names), *placed])
    gradients = dict(zip(names, sums, strict=False))
    return by_run(gradients, dict(zip(quantities, sums[len(names) :], strict=True)), thetas, method)


def _placed(part: Tensor, start: int, tasks: int) -> Tensor:
    """Put the entries of a part of the tasks to their places among all, zeros elsewhere: sums are all entries."""
    every = part.new_zeros(tasks, *part.shape[1:])
    every[start : start + len(part)] = part
    return every


def _tensors(theta: Theta) -> list[Tensor]:
    """List the tensors of theta in an order that is the same on all ranks."""
    parts = (theta.net, theta.rates, theta.moments, theta.extra)
    return [values[name] for values in parts for name in sorted(values)]
