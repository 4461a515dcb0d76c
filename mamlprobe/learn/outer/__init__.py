"""The outer gradient: of the mean query loss after adaptation, with respect to everything meta-learned."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mamlprobe.base.described import described
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.evaluate import split_tasks, tasks_at_a_time
from mamlprobe.learn.losses import task_accuracies, task_losses
from mamlprobe.learn.outer.batch_moments import collected
from mamlprobe.learn.outer.contrastive import contrastive
from mamlprobe.learn.outer.implicit import implicit
from mamlprobe.learn.outer.rematerialised import recomputed
from mamlprobe.learn.outer.reptile import reptile
from mamlprobe.learn.outer.result import OuterResult
from mamlprobe.learn.outer.second_derivatives import derivable
from mamlprobe.learn.outer.unrolled import unrolled
from mamlprobe.learn.run_index import RunIndex
from mamlprobe.learn.task_checks import of_its_net, on_one_device
from mamlprobe.learn.theta import Theta
from mamlprobe.learn.threads import map_threads, one_thread, threads_for
from mamlprobe.methods.method import Method
from mamlprobe.nets.differentiated import derived_once
from mamlprobe.nets.net import Built, Moments, Net, Params
from mamlprobe.nets.params import adapting, head_names


@door()
@dataclass(frozen=True, kw_only=True)
class Readings:
    """Metrics and moments of the tasks of one outer gradient; tensors without graph.

    Raises:
        UserError: parts that are no tensors.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> _, readings = mp.meta_gradient(net, theta, tasks, method)
        >>> readings.losses.shape, readings.loss.shape
        (torch.Size([3]), torch.Size([]))
        >>> bool(readings.accuracy == readings.accuracies.mean())
        True
    """

    __repr__ = described

    losses: Tensor
    """Query loss of each task after adaptation [B]: nats a row, or half the squared error."""
    accuracies: Tensor
    """Query accuracy of each task after adaptation [B], a fraction."""
    moments: Moments = field(default_factory=dict)
    """Batch-norm moments of the query pass, averaged over tasks [C]; filled in the norm regime "running".

    In the regimes by step [S+1, C]: of the support set at every point of the path but the last, there of the query set.
    """

    @property
    def loss(self) -> Tensor:
        """Return the mean query loss, a scalar tensor."""
        return self.losses.mean()

    @property
    def accuracy(self) -> Tensor:
        """Return the mean query accuracy, a scalar tensor."""
        return self.accuracies.mean()


@door(of_its_net, on_one_device)
def meta_gradient(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    chunk: int | None = None,
    recompute: bool = False,
) -> tuple[Params, Readings]:
    """Compute gradients by name of the mean query loss over tasks at the end of the inner path, and the readings.

    Exact through the inner loop (order 2, Finn et al. 2017 eq. 1), or with the inner gradients as constants (order 1,
    FOMAML). Every parameter of the net has an entry of its shape, without task axis, such as [N, F] for the weight of a
    linear head; those of learned rates are ``rates.<name>``, of whatever else is learned ``extra.<name>``. With the
    head zeroed at each update, the gradient is taken at the zeroed head. The outer rule "implicit" takes the same loss
    at the inner optimum, "reptile" gives theta less the end of the path, "contrastive" the chosen terms of the gradient
    after one step of the head. What ``outer.trains`` does not select has a gradient of zero.

    `chunk` tasks are in memory at a time, None for what suits the device: all on a GPU, and on a CPU as many as make it
    faster (`tasks_at_a_time`) in each of torch's threads. `recompute` computes every inner step a second time
    instead of keeping its graph: memory does not grow with the number of steps. Both change the last digits only.

    Raises:
        UserError: a chunk below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> from torch import nn
        >>> layers = nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
        >>> net, method = mp.wrap(nn.Sequential(*layers), head="3"), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> gradient, readings = mp.meta_gradient(net, theta, tasks, method)
        >>> {name: list(value.shape) for name, value in gradient.items()}
        {'0.weight': [4, 1, 3, 3], '0.bias': [4], '3.weight': [5, 144], '3.bias': [5]}
        >>> readings.losses.shape
        torch.Size([3])
        >>> moved = {name: value - 0.001 * gradient[name] for name, value in theta.net.items()}
        >>> theta = mp.Theta(net=moved)  # one update of plain gradient descent
    """
    gradients, metrics = accumulate_gradients(
        net, theta, episodes, method, mean_over=episodes.tasks, chunk=chunk, recompute=recompute
    )
    return gradients, collect_metrics(metrics, theta)


def collect_metrics(metrics: Params, theta: Theta) -> Readings:
    """Collect per-task metrics [B], and the batch moments that update theta's running averages."""
    moments = {name: metrics[name].mean(0) for name in theta.moments if name in metrics}
    return Readings(losses=metrics["losses"], accuracies=metrics["accuracies"], moments=moments)


def accumulate_gradients(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    mean_over: int,
    chunk: int | None,
    recompute: bool,
    run_index: RunIndex | None = None,
) -> tuple[Params, Params]:
    """Compute gradients by name of the sum of the tasks' query losses / `mean_over`, and metrics by task [B, ...].

    With `run_index`, theta's tensors have a leading axis of runs, and each task uses the tensors of its own run.
    """
    size, most = task_parts(chunk, episodes.tasks, episodes, net=net, light=only_head(net, method))
    live = replace(theta.map_tensors(_leaf), moments=theta.moments)
    route = ROUTES["recomputed" if recompute and method.outer.rule == "unrolled" else method.outer.rule]
    gradients: Params = {}
    metrics: list[Params] = []
    owners: Sequence[RunIndex | None] = [None] * episodes.tasks if run_index is None else run_index.split(size)
    parts = list(zip(split_tasks(episodes, size), owners, strict=False))

    def work(part: tuple[Episodes, RunIndex | None]) -> tuple[Params, Params]:
        # one thread for one task: else sums depend on the number of threads
        single = one_thread(device) if part[0].tasks == 1 else nullcontext()
        with single, derived_once(once), derivable():
            return _with_metrics(route(net, live, part[0], method, mean_over=mean_over, run_index=part[1]))

    device, once = episodes.support_x.device, _first_order(net, method)
    for addends, seen in map_threads(work, parts, device, most=most, alone=size == 1):
        _accumulate(gradients, addends, in_place=len(metrics) > 1)
        metrics.append(seen)
    for name in set(net.parameters) - set(adapting(net, method.outer.trains)):
        gradients[name] = torch.zeros_like(gradients[name])
    return gradients, {name: torch.cat([each[name] for each in metrics]) for name in metrics[0]}


def _accumulate(sums: Params, gradients: Params, *, in_place: bool) -> None:
    """Add the gradients to the sums, and free them; `in_place` once the sums are tensors that nobody else uses."""
    for name in list(gradients):
        each = gradients.pop(name)
        if name not in sums:
            sums[name] = each
        else:
            sums[name] = sums[name].add_(each) if in_place else sums[name] + each


def _leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_(value.is_floating_point() or value.is_complex())


def task_parts(
    chunk: int | None, tasks: int, episodes: Episodes | None = None, *, net: Net | None = None, light: bool = False
) -> tuple[int, int | None]:
    """Choose the tasks in one graph, and the graphs at the same time at most; `chunk` limits the tasks in memory.

    A net that computes tasks one after the other has one task in a graph. For other nets it is `chunk`, or what suits
    the device: on a CPU what suits tasks like these, four times as many if only the head adapts (`light`), and else all
    tasks.

    Raises:
        UserError: a chunk below 1.
    """
    if chunk is not None and chunk < 1:
        raise UserError("chunk", "at least 1 task must be held at a time", chunk, "leave it out")
    if net is not None and episodes is not None and not net.together(episodes.support_x):
        return 1, chunk
    if chunk is None and episodes is not None and episodes.support_x.device.type == "cpu":
        return min(tasks_at_a_time(episodes) * (4 if light else 1), tasks), None
    return min(chunk or tasks, tasks), 1


def tasks_in_memory(chunk: int | None, tasks: int, episodes: Episodes, *, light: bool, net: Net | None = None) -> int:
    """Count the tasks in memory at the same time, those of all threads together.

    Raises:
        UserError: a chunk below 1.
    """
    size, most = task_parts(chunk, tasks, episodes, net=net, light=light)
    threads = threads_for(-(-tasks // size), episodes.support_x.device)
    return min(size * min(threads, most or threads), tasks)


def only_head(net: Net, method: Method) -> bool:
    """Tell whether only the head adapts."""
    return set(adapting(net, method.inner.adapts)) <= set(head_names(net))


def _first_order(net: Net, method: Method) -> bool:
    """Tell whether no pass is differentiated twice; nor is the body's if only a linear head adapts."""
    if isinstance(net, Built) or method.outer.rule not in ("unrolled", "reptile"):
        return False
    return method.inner.order == 1 or method.outer.rule == "reptile" or (only_head(net, method) and net.linear)


@torch.no_grad()
def _with_metrics(result: OuterResult) -> tuple[Params, Params]:
    """Return the gradients, and by task: losses and accuracies [B], and the moments that the norm regime averages."""
    labels, loss, logits = result.tasks.episodes.query_y, result.tasks.method.loss, result.logits
    metrics = {"losses": task_losses(logits, labels, loss), "accuracies": task_accuracies(logits, labels)}
    metrics |= collected(result.tasks, result.path)
    return result.gradients, metrics


ROUTES: dict[str, Callable[..., OuterResult]] = {
    "unrolled": unrolled,
    "recomputed": recomputed,
    "reptile": reptile,
    "implicit": implicit,
    "contrastive": contrastive,
}
"""Outer rules; "recomputed" is the unrolled one in little memory."""
