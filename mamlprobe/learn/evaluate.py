"""Accuracy of a start under several methods, on the same episodes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.losses import task_accuracies, task_losses
from mamlprobe.learn.progress_bar import bar
from mamlprobe.learn.task_batch import PrefixCache, adaptation_path, start_tasks
from mamlprobe.learn.task_checks import of_its_net, on_one_device
from mamlprobe.learn.theta import Theta
from mamlprobe.learn.threads import Result, map_threads, one_thread
from mamlprobe.methods.method import Method
from mamlprobe.nets.differentiated import derived_once
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import adapting, unchanged_entries

NUMBERS = 2**18
"""Input numbers of the tasks in memory at a time; more of them do not make a CPU faster."""

LEAST = 25
"""At least so many tasks are in memory at a time on any other device."""

Quantity = Literal["accuracy", "loss"]
QUANTITIES = get_args(Quantity)

Steps = Literal["every", "last"]
"""After which test steps a task is scored."""


def tasks_at_a_time(episodes: Episodes, net: Net | None = None) -> int:
    """Choose how many of the tasks to hold in memory at a time on their device, by their size.

    One, if the net computes tasks one after the other.
    """
    x = episodes.support_x
    if net is not None and not net.together(x):
        return 1
    most = max(1, NUMBERS // (x[0].numel() + episodes.query_x[0].numel()))
    return most if x.device.type == "cpu" else max(most, LEAST)


def split_tasks(episodes: Episodes, size: int) -> list[Episodes]:
    """Split the tasks into batches of at most `size`."""
    if size < 1:
        raise UserError("evaluate", "chunk must be at least 1 task", size, "leave it out")
    return [episodes.part(at, at + size) for at in range(0, episodes.tasks, size)]


def map_chunks(
    work: Callable[[Episodes], Result], episodes: Episodes, chunk: int | None, *, net: Net
) -> Iterator[Result]:
    """Apply `work` to `chunk` tasks at a time, or as many as suits the device, and yield the results in order.

    Without `chunk`, each of torch's threads computes one of these batches (`map_threads`). A net that computes tasks
    one after the other has batches of one, at most `chunk` at the same time. Nothing depends on the number of threads;
    `chunk` can change the last digits of nets that compute tasks together.

    Raises:
        UserError: a chunk below 1.
    """
    return numbered(lambda part, first: work(part), episodes, chunk, net=net)


def numbered(
    work: Callable[[Episodes, int], Result], episodes: Episodes, chunk: int | None, *, net: Net
) -> Iterator[Result]:
    """Do as `map_chunks`, but call `work` also with the number of the first of its tasks.

    Each batch has the number of classes of all tasks, even if its own labels do not show it.
    """
    size = tasks_at_a_time(episodes, net) if chunk is None else chunk
    apart = not net.together(episodes.support_x)
    size = min(size, 1) if apart else size
    parts = [(part, number * size) for number, part in enumerate(split_tasks(episodes, size))]
    if not episodes.support_y.is_floating_point():
        for part, _ in parts:
            vars(part)["way"] = episodes.way  # sets the cached property

    def run_part(part: tuple[Episodes, int]) -> Result:
        with one_thread(device) if part[0].tasks == 1 else nullcontext():
            return work(*part)

    most, device = chunk if chunk is None or apart else 1, episodes.support_x.device
    return map_threads(run_part, parts, device, most=most, alone=apart or parts[0][0].tasks == 1)


@door(of_its_net, on_one_device)
def evaluate(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    variants: Mapping[str, Method],
    *,
    quantity: Quantity | None = None,
    steps: Steps = "last",
    chunk: int | None = None,
    advance: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Score every task after the last test step of every variant by query accuracy (a fraction): one row each.

    Columns ``variant task step quantity value norm episodes``; `norm` is the regime, `episodes` the manifest. Variants
    see the same episodes, so their rows pair by task. With `steps` "every" each test step is scored, the start too: to
    score a step often costs more than to take it. `chunk` tasks are held in memory at a time, None for what suits the
    device; what variants share is computed once for them. `advance` is called with the number of tasks done since its
    last call, for every variant; without it a progress bar is shown if it takes long.

    `quantity` "loss" scores the query loss of each method instead (of real targets half the mean squared error);
    real targets have no other.

    Raises:
        UserError: no variants, a chunk below 1, other steps or quantities; the accuracy of real targets.

    Examples:
        >>> import mamlprobe as mp
        >>> from torch import nn
        >>> layers = nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
        >>> net, method = mp.wrap(nn.Sequential(*layers), head="3"), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> variants = mp.variants(net, method, "keep,head,nil")
        >>> table = mp.evaluate(net, theta, tasks, variants)
        >>> wide = table.pivot(index="task", columns="variant", values="value")  # paired
        >>> wide.shape, list(wide.columns)
        ((3, 3), ['head', 'keep', 'nil'])
    """
    real = episodes.query_y.is_floating_point()
    if real and quantity == "accuracy":
        raise UserError("evaluate", "real targets must be scored by loss", "quantity 'accuracy'", "leave quantity out")
    scored = quantity or ("loss" if real else "accuracy")
    return query_table(net, theta, episodes, variants, quantity=scored, steps=steps, chunk=chunk, advance=advance)


def query_table(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    variants: Mapping[str, Method],
    *,
    quantity: str,
    steps: Steps = "last",
    chunk: int | None = None,
    advance: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Do as `evaluate`, for the quantity "accuracy" or "loss".

    Raises:
        UserError: another quantity, no variants, a chunk below 1, other steps.
    """
    if quantity not in QUANTITIES:
        raise unknown("evaluate", "quantity", quantity, QUANTITIES)
    if steps not in get_args(Steps):
        raise unknown("evaluate", "choice of steps", steps, get_args(Steps))
    if not variants:
        raise UserError("evaluate", "there must be at least one variant", 0, 'give {"keep": method}')
    parts: dict[str, list[Tensor]] = {label: [] for label in variants}
    last = steps == "last"
    turn = sorted(variants, key=lambda label: len(unchanged_entries(net, adapting(net, variants[label].inner.adapts))))

    def values(batch: Episodes) -> list[Tensor]:
        prefix_cache: PrefixCache = {}  # variants with fewer fixed layers come first: others go on from there
        by_label = {
            label: _values(
                net, theta, batch, variants[label], quantity=quantity, last=last, prefix_cache=prefix_cache
            ).cpu()
            for label in turn
        }
        return [by_label[label] for label in variants]

    with nullcontext(advance) if advance else bar(episodes.tasks * len(variants), "evaluating") as done:
        for grids in map_chunks(values, episodes, chunk, net=net):
            for label, value in zip(variants, grids, strict=True):
                parts[label].append(value)
                done(len(value))
    tables, digest = [], manifest(episodes)
    for label, method in variants.items():
        grid = torch.cat(parts[label]).double().numpy()
        task, step = np.indices(grid.shape)
        step += method.inner.test_steps if steps == "last" else 0
        tables.append(
            pd.DataFrame({"variant": label, "task": task.ravel(), "step": step.ravel(), "value": grid.ravel()}).assign(
                quantity=quantity, norm=method.norm.statistics, episodes=digest
            )
        )
    table = pd.concat(tables, ignore_index=True)
    return table[["variant", "task", "step", "quantity", "value", "norm", "episodes"]]


@torch.no_grad()
@derived_once()
def _values(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, quantity: str, last: bool, prefix_cache: PrefixCache
) -> Tensor:
    """Compute the quantity of every task after every test step [B, S+1], or after the last one [B, 1]."""
    tasks, path = adaptation_path(net, theta, episodes, method, prefix_cache=prefix_cache)
    values = []
    for step, params in enumerate(path):
        if last and step < method.inner.test_steps:
            continue
        at = tasks
        if step == 0:  # nothing has moved: tasks share every layer, and variants the outputs of layers
            frozen = replace(method, inner=replace(method.inner, adapts=()))
            at, _, _ = start_tasks(net, theta, episodes, frozen, stage="test", prefix_cache=prefix_cache)
        logits = at.query_logits(params, step=step)
        if quantity == "accuracy":
            values.append(task_accuracies(logits, episodes.query_y))
        else:
            values.append(task_losses(logits, episodes.query_y, method.loss))
    return torch.stack(values, dim=1)
