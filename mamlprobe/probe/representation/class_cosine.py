"""Cosine similarity between the classes' features at the start (Kao et al. 2022, figure 2)."""

import pandas as pd
import torch

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.batching import map_tasks
from mamlprobe.learn.task_batch import start_tasks
from mamlprobe.learn.task_checks import of_its_net, on_one_device
from mamlprobe.learn.theta import Theta
from mamlprobe.measure import class_similarity, cosine_map
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net


def _maps(net: Net, theta: Theta, episodes: Episodes, method: Method, chunk: int | None) -> torch.Tensor:
    """Average the cosines of every two blocks [B, 2N, 2N]."""
    for labels in (episodes.support_y, episodes.query_y):
        rows = labels.shape[1]
        ordered = torch.arange(rows, device=labels.device) * episodes.way // rows
        if rows % episodes.way or (labels != ordered).any():
            raise UserError(
                "cosine", "rows must be class-major, equally many a class", labels[0].tolist(), "sort and balance them"
            )
    parts = map_tasks(lambda part, _: _maps_of(net, theta, part, method), episodes, chunk, net=net, name="cosine")
    return torch.cat(list(parts))


def _maps_of(net: Net, theta: Theta, episodes: Episodes, method: Method) -> torch.Tensor:
    tasks, params, _ = start_tasks(net, theta, episodes, method, stage="test")
    params = tasks.at(params, 0)
    with torch.no_grad():
        support, query = tasks.support(params).features, tasks.query(params).features
    return cosine_map(support, query, way=episodes.way)


@door(of_its_net, on_one_device)
def cosine_maps(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, chunk: int | None = None
) -> pd.DataFrame:
    """Average cosines between the unadapted features of every two blocks (support class, query class): a row an entry.

    Columns ``task row column value norm episodes``, blocks named ``s0`` ... ``q0`` ...; self pairs are included.
    `chunk` tasks are in memory at a time; None picks a number that suits the device.

    The maps of Kao et al. 2022, figure 2.

    Raises:
        UserError: rows that are not class-major, or not equally many a class; a chunk below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> from torch import nn
        >>> layers = nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
        >>> net, method = mp.wrap(nn.Sequential(*layers), head="3"), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> table = mp.cosine_maps(net, theta, tasks, method)
        >>> grid = table.groupby(["row", "column"], sort=False)["value"].mean().unstack(sort=False)
        >>> list(grid.index)
        ['s0', 's1', 's2', 's3', 's4', 'q0', 'q1', 'q2', 'q3', 'q4']
        >>> mp.draw(table).savefig("cosines.png")
    """
    maps = _maps(net, theta, episodes, method, chunk)
    names = [f"{side}{label}" for side in "sq" for label in range(episodes.way)]
    index = pd.MultiIndex.from_product([range(episodes.tasks), names, names], names=["task", "row", "column"])
    table = pd.Series(maps.cpu().numpy().ravel(), index=index, name="value").reset_index()
    return table.assign(norm=method.norm.statistics, episodes=manifest(episodes))


@door(of_its_net, on_one_device)
def cosine_classes(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, chunk: int | None = None
) -> pd.DataFrame:
    """Average cosines of query with support and query features, of same and different classes, for each task.

    Columns ``task quantity value norm episodes``; the quantities are "query-support same", "query-support different",
    "query-query same" and "query-query different". `chunk` tasks are in memory at a time; None picks a number that
    suits the device.

    Averages of the maps of Kao et al. 2022, figure 2.

    Raises:
        UserError: as `cosine_maps`.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> table = mp.cosine_classes(net, theta, tasks, method)
        >>> table.groupby("quantity")["value"].mean().round(2)
        quantity
        query-query different      0.76
        query-query same           0.86
        query-support different    0.76
        query-support same         0.82
        Name: value, dtype: float64
    """
    means = class_similarity(_maps(net, theta, episodes, method, chunk), episodes.way)
    tables = [
        pd.DataFrame({"task": range(episodes.tasks), "quantity": name, "value": value.cpu().numpy()})
        for name, value in means.items()
    ]
    return pd.concat(tables, ignore_index=True).assign(norm=method.norm.statistics, episodes=manifest(episodes))
