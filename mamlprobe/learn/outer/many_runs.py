"""Outer gradients of several runs at once: all tasks are in one batch, each uses the parameters of its own run."""

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import Readings, accumulate_gradients, collect_metrics, meta_gradient
from mamlprobe.learn.run_index import RunIndex, owners_of
from mamlprobe.learn.task_checks import each_of_its_net
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params


@door(each_of_its_net)
def meta_gradients(
    net: Net,
    thetas: Sequence[Theta],
    episodes: Sequence[Episodes],
    method: Method,
    *,
    chunk: int | None = None,
    recompute: bool = False,
) -> list[tuple[Params, Readings]]:
    """Return what `meta_gradient` does for each theta and its episodes, computed as one batch of tasks.

    One pair a theta: gradients by name, shaped as the parameters, and readings of its own tasks [B]. All runs have
    equally many tasks. Equal to one run after another up to rounding: no task uses another run's parameters, so the
    gradient of the stacked parameters separates by run. `chunk` counts the tasks of all runs; `recompute` as there.
    `thetas` are of one net.

    Raises:
        UserError: runs with other numbers of tasks; a chunk below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> other = mp.init(net, seed=1, method=method)
        >>> (first, _), (second, _) = mp.meta_gradients(net, [theta, other], [tasks, tasks], method)
        >>> alone, _ = mp.meta_gradient(net, other, tasks, method)
        >>> bool((second["head.weight"] - alone["head.weight"]).abs().max() < 1e-5)
        True
    """
    if len(thetas) == 1:
        return [meta_gradient(net, thetas[0], episodes[0], method, chunk=chunk, recompute=recompute)]
    counts = [each.tasks for each in episodes]
    if len(set(counts)) > 1 or len(counts) != len(thetas):
        got = f"{counts} for {len(thetas)} runs"
        raise UserError(
            "meta_gradients", "every run must have the same number of tasks", got, "sample as many for each"
        )
    everything = (0, sum(counts))
    gradients, metrics = gradients_of_part(
        net, thetas, episodes, method, part=everything, chunk=chunk, recompute=recompute
    )
    return by_run(gradients, metrics, thetas, method)


def gradients_of_part(
    net: Net,
    thetas: Sequence[Theta],
    episodes: Sequence[Episodes],
    method: Method,
    *,
    part: tuple[int, int],
    chunk: int | None,
    recompute: bool,
) -> tuple[Params, Params]:
    """Compute what these tasks, first to behind the last of those of all runs, add to the gradients of all tasks.

    The gradients are those of theta, or of the `stacked` thetas of several runs; with the metrics of the part by task.
    """
    runs, tasks, (start, stop) = len(thetas), episodes[0].tasks, part
    batch = episodes[0] if runs == 1 else side_by_side(episodes)
    run_index = None if runs == 1 else owners_of(runs, tasks, batch.support_x.device)
    if stop - start < batch.tasks:
        batch = batch.part(start, stop)
        run_index = None if run_index is None else RunIndex(index=run_index.index[start:stop])
    theta = thetas[0] if runs == 1 else stacked(thetas, method)
    return accumulate_gradients(
        net, theta, batch, method, mean_over=tasks, run_index=run_index, chunk=chunk, recompute=recompute
    )


def by_run(
    gradients: Params, metrics: Params, thetas: Sequence[Theta], method: Method
) -> list[tuple[Params, Readings]]:
    """Return gradients and readings of each run, from those of all tasks as `gradients_of_part` gives them."""
    if len(thetas) == 1:
        return [(gradients, collect_metrics(metrics, thetas[0]))]
    tasks = len(metrics["losses"]) // len(thetas)
    return [
        (
            {name: of_run(name, value, run, method) for name, value in gradients.items()},
            collect_metrics(
                {name: value[run * tasks : (run + 1) * tasks] for name, value in metrics.items()}, thetas[run]
            ),
        )
        for run in range(len(thetas))
    ]


def stacked(thetas: Sequence[Theta], method: Method) -> Theta:
    """Stack all runs to one theta with a leading axis of runs; rates by step are [S, runs, 1, ...]."""
    net = {name: torch.stack([each.net[name].detach() for each in thetas]) for name in thetas[0].net}
    rates = {name: torch.stack([each.rates[name].detach() for each in thetas]) for name in thetas[0].rates}
    if method.inner.rates == "layer_step":
        rates = {name: value.mT.reshape(*value.mT.shape, *[1] * (net[name].ndim - 1)) for name, value in rates.items()}
    moments = {name: torch.stack([each.moments[name] for each in thetas]) for name in thetas[0].moments}
    extra = {name: torch.stack([each.extra[name].detach() for each in thetas]) for name in thetas[0].extra}
    return Theta(net=net, rates=rates, moments=moments, extra=extra)


def of_run(name: str, gradient: Tensor, run: int, method: Method) -> Tensor:
    """Select one run's part of the gradient of a tensor of `stacked`."""
    by_step = name.startswith("rates.") and method.inner.rates == "layer_step"
    return gradient[:, run].flatten() if by_step else gradient[run]


def side_by_side(episodes: Sequence[Episodes]) -> Episodes:
    """Concatenate all tasks to one batch, run by run."""
    columns = {each.name: [getattr(batch, each.name) for batch in episodes] for each in fields(Episodes)}
    parts = {name: torch.cat(each) for name, each in columns.items() if each[0] is not None}
    return min(episodes, key=lambda batch: batch.even).like(parts)
