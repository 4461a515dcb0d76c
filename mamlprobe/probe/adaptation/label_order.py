"""Accuracy of the same tasks under other orders of the label slots (Ye and Chao 2022)."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from math import factorial

import pandas as pd
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import generator
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.batching import map_tasks
from mamlprobe.learn.losses import task_accuracies
from mamlprobe.learn.outer.contrast_terms import linear_head
from mamlprobe.learn.task_batch import PrefixCache, adaptation_path
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net

Order = tuple[int, ...]
"""The class in slot j goes to slot ``order[j]``."""

ORDERS = 24
"""Number of orders by default."""


def orders(way: int, count: int = ORDERS, *, seed: int = 0) -> list[Order]:
    """List every order of N slots, or draw `count` distinct ones if there are more; the identity is the first.

    Raises:
        UserError: a way or a count below 1.
    """
    if min(way, count) < 1:
        raise UserError("permutation", "way and count must be at least 1", f"{way} and {count}", "raise them")
    if factorial(way) <= count:
        return list(permutations(range(way)))
    draws, distinct = generator(seed, "label slots"), {tuple(range(way)): None}
    while len(distinct) < count:
        distinct[tuple(torch.randperm(way, generator=draws, device="cpu").tolist())] = None
    return list(distinct)


def relabelled(episodes: Episodes, order: Order) -> Episodes:
    """Return the same tasks with their classes in other slots.

    Raises:
        UserError: an order that is not a permutation of the tasks' N slots.
    """
    _check(order, episodes.way)
    to = torch.tensor(order, device=episodes.support_y.device)
    ids = episodes.class_ids
    moved = None if ids is None else ids[:, to.argsort()]
    return replace(episodes, support_y=to[episodes.support_y], query_y=to[episodes.query_y], class_ids=moved)


def permuted_head(net: Net, theta: Theta, method: Method, order: Order) -> Theta:
    """Permute the rows of the start's head: row j of the result is row ``order[j]``.

    On the original tasks the new start does what the old one does on the relabelled ones. Learned per-weight rates move
    with their rows.

    Raises:
        UserError: an order that is not a permutation of the head's rows; a head that is not one linear layer.
    """
    names = linear_head(net, "permutation")
    _check(order, len(theta.net[names[0]]))
    rows = list(order)
    rates = theta.rates
    if method.inner.rates == "parameter":
        rates = {**rates, **{name: rates[name][rows] for name in names if name in rates}}
    return replace(theta, net={**theta.net, **{name: theta.net[name][rows] for name in names}}, rates=rates)


def permutation_table(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    variants: Mapping[str, Method],
    *,
    orders: Sequence[Order],
    chunk: int | None = None,
) -> pd.DataFrame:
    """Evaluate query accuracy (a fraction) after the last test step, a row for every task, variant and order.

    Columns ``variant order task value norm episodes``; `order` reads "0 2 1", `episodes` is the manifest of the
    original tasks. Computed in float64, so that rounding does not look like an effect of the order. `chunk` tasks are
    in memory at a time; None picks a number that suits the device.

    Raises:
        UserError: an order that is not a permutation of the tasks' N slots; no order; a chunk below 1.
    """
    if not orders:
        raise UserError("permutation", "there must be at least one order", 0, "take those of permutation.orders")
    for order in orders:
        _check(order, episodes.way)
    theta = theta.to(dtype=torch.float64)

    def work(part: Episodes, first: int) -> pd.DataFrame:
        cache: PrefixCache = {}
        tables = []
        for label, method in variants.items():
            last = method.inner.test_steps
            for order in orders:
                tasks, path = adaptation_path(
                    net, theta, relabelled(part, order).to(dtype=torch.float64), method, prefix_cache=cache
                )
                params = deque(path, maxlen=1).pop()
                with torch.no_grad():
                    logits = tasks.query_logits(params, step=last)
                accuracies = task_accuracies(logits, tasks.episodes.query_y).cpu().numpy()
                keys = {"variant": label, "order": " ".join(map(str, order)), "task": range(first, first + part.tasks)}
                tables.append(pd.DataFrame(keys).assign(value=accuracies, norm=method.norm.statistics))
        return pd.concat(tables, ignore_index=True)

    parts = list(map_tasks(work, episodes, chunk, net=net, name="permutation"))
    return pd.concat(parts, ignore_index=True).assign(episodes=manifest(episodes))


def _check(order: Order, way: int) -> None:
    if sorted(order) != list(range(way)):
        must = f"an order must hold each of the slots 0..{way - 1} once"
        raise UserError("permutation", must, list(order), "take one of permutation.orders")
