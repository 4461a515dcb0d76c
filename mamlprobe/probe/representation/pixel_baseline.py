"""How hard tasks are without any learning: the label of the nearest support item, in pixels."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.data.pool import Pool
from mamlprobe.data.sampling import sample


def nearest_pixels(episodes: Episodes) -> Tensor:
    """Compute the share of query items whose nearest support item (Euclidean, pixels) is of their class [B]."""
    support, query = (x.flatten(2).double() for x in (episodes.support_x, episodes.query_x))
    nearest = torch.cdist(query, support).argmin(2)
    return (episodes.support_y.gather(1, nearest) == episodes.query_y).double().mean(1)


def other_orders(pool: Pool, *, orders: int, tasks: int) -> Tensor:
    """Average `nearest_pixels` on the last classes, as many as in the test split, with groups shuffled [orders].

    A group is the part of a class name before its last slash, as the alphabet of a character; within it the order
    stays. Tasks are 5-way 1-shot with 15 query items, of seed 0.
    """
    groups = np.unique([name.rpartition("/")[0] for name in pool.class_names], return_inverse=True)[1]
    accuracies = []
    for order in range(orders):
        place = np.random.default_rng(order).permutation(groups.max() + 1)
        last = np.argsort(place[groups], kind="stable")[-len(pool.splits["test"]) :]
        other = replace(pool, splits={"test": torch.from_numpy(last)})
        drawn = sample(other, split="test", way=5, shot=1, query=15, tasks=tasks, seed=0)
        accuracies.append(nearest_pixels(drawn).mean())
    return torch.stack(accuracies)
