"""How hard tasks are without any learning: the label of the nearest support item, in pixels."""

import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes


def nearest_pixels(episodes: Episodes) -> Tensor:
    """The share of each task's query items whose nearest support item (Euclidean, in pixels) is of their class [B]."""
    support, query = (x.flatten(2).double() for x in (episodes.support_x, episodes.query_x))
    nearest = torch.cdist(query, support).argmin(2)
    return (episodes.support_y.gather(1, nearest) == episodes.query_y).double().mean(1)
