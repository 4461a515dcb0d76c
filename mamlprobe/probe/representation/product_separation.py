"""How inner products of support and query features separate classes, before and after the inner loop."""

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.batching import map_tasks
from mamlprobe.learn.task_batch import adaptation_path
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.probe.representation.model_similarity import MOMENTS, both_ends


def products(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, chunk: int | None = None
) -> dict[str, Tensor]:
    """Compute inner products <f(q_m), f(s_i)> of head inputs [B, n_q, n_s], in float64, by moment ("before", "after").

    Both features of a product belong to one point of the test-time path, each normalised as the method normalises the
    pass it comes from. `chunk` tasks are in memory at a time; None picks a number that suits the device.

    Raises:
        UserError: a chunk below 1.
    """

    @torch.no_grad()
    def work(part: Episodes, _: int) -> dict[str, Tensor]:
        tasks, path = adaptation_path(net, theta, part, method)
        by_moment = {}
        for moment, step, params in both_ends(path, method):
            support, query = (run(params, step=step).features.double() for run in (tasks.support, tasks.query))
            by_moment[moment] = query @ support.mT
        return by_moment

    parts = list(map_tasks(work, episodes, chunk, net=net, name="products"))
    return {moment: torch.cat([part[moment] for part in parts]) for moment in MOMENTS}


def product_maps(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, chunk: int | None = None
) -> pd.DataFrame:
    """List the products of every task as a map, a row an entry.

    Columns ``task moment row column query_label support_label value z norm episodes``. Rows are query items and columns
    support items, each sorted by label; `z` is the value minus the mean of its map, over the map's standard deviation.
    `chunk` as in `products`.
    """
    tables = []
    for moment, each in products(net, theta, episodes, method, chunk=chunk).items():
        for task, value in enumerate(each):
            labels = [side[task].sort(stable=True) for side in (episodes.query_y, episodes.support_y)]
            value = value[labels[0].indices][:, labels[1].indices]
            rows, columns = (part.flatten().tolist() for part in torch.meshgrid(
                *(torch.arange(size, device="cpu") for size in value.shape), indexing="ij"))  # fmt: skip
            keys = {"task": task, "moment": moment, "row": rows, "column": columns}
            keys |= {"query_label": labels[0].values[rows].cpu(), "support_label": labels[1].values[columns].cpu()}
            z = (value - value.mean()) / value.std(correction=0)
            tables.append(pd.DataFrame({**keys, "value": value.flatten().cpu(), "z": z.flatten().cpu()}))
    return pd.concat(tables, ignore_index=True).assign(norm=method.norm.statistics, episodes=manifest(episodes))


def separation_table(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, chunk: int | None = None
) -> pd.DataFrame:
    """Measure how far products of one class exceed those of different classes, a row a task, moment and quantity.

    Columns ``task moment quantity value norm episodes``. Quantities: ``separation``, the difference of the two means
    over the pooled standard deviation; ``auc``, how often a product of one class exceeds one of different classes, ties
    counting half. NaN where features are not finite or do not vary. `chunk` as in `products`.

    Raises:
        UserError: a task in which no pair is of one class, or none of different classes; a chunk below 1.
    """
    by_moment, rows = products(net, theta, episodes, method, chunk=chunk), []
    same = episodes.query_y.unsqueeze(2) == episodes.support_y.unsqueeze(1)
    for task, mask in enumerate(same):
        if mask.all() or not mask.any():
            got = f"task {task} has only {'the former' if mask.all() else 'the latter'}"
            must = "there must be pairs of one class and of different classes"
            raise UserError("separation", must, got, "choose other tasks")
        for moment, each in by_moment.items():
            parts = each[task][mask], each[task][~mask]
            for quantity, measure in (("separation", separation), ("auc", auc)):
                keys = {"task": task, "moment": moment, "quantity": quantity}
                rows.append({**keys, "value": measure(*parts) if each[task].isfinite().all() else float("nan")})
    return pd.DataFrame(rows).assign(norm=method.norm.statistics, episodes=manifest(episodes))


def separation(above: Tensor, below: Tensor) -> float:
    """Compute the difference of the means of above [R] and below [S] over their pooled deviation; NaN where it is 0."""
    squares = sum(float((each - each.mean()).square().sum()) for each in (above, below))
    spread = (squares / (len(above) + len(below) - 2)) ** 0.5 if squares > 0 else float("nan")
    return float(above.mean() - below.mean()) / spread


def auc(above: Tensor, below: Tensor) -> float:
    """Compute the share of pairs of above [R] and below [S] in which the former is larger, ties counted half."""
    ordered = below.sort().values
    less, most = (torch.searchsorted(ordered, above, right=side) for side in (False, True))
    return float((less + most).double().mean()) / (2 * len(below))
