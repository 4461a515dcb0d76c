"""How well each block separates the classes before and after the inner loop (Oh et al. 2021)."""

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.batching import map_tasks
from mamlprobe.learn.losses import task_accuracies
from mamlprobe.learn.readout import cosine_attention
from mamlprobe.learn.task_batch import path_points
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.probe.representation.activations import record
from mamlprobe.probe.representation.model_similarity import MOMENTS

SAME, DIFFERENT, NIL = "same class", "different classes", "nil accuracy"


def class_blocks(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, chunk: int | None = None
) -> pd.DataFrame:
    """Measure class separation in every layer but the head, before and after the last test step: a row each.

    Columns ``task layer moment quantity value norm episodes``, the moments "before" and "after". The quantities are
    the mean cosine between two query items of the "same class" and of "different classes" (self pairs left out, NaN
    where there is no pair), and the "nil accuracy" of cosine attention from query to support features, a fraction.
    Maps are flattened, not centred; batch norms use each set's own statistics. `chunk` tasks are in memory at a time;
    None picks a number that suits the device.

    Raises:
        UserError: a chunk below 1.
    """
    parts = map_tasks(
        lambda part, first: _blocks(net, theta, part, method, first), episodes, chunk, net=net, name="blocks"
    )
    table = pd.concat(list(parts), ignore_index=True)
    return table.assign(norm=method.norm.statistics, episodes=manifest(episodes))


def _blocks(net: Net, theta: Theta, episodes: Episodes, method: Method, first: int) -> pd.DataFrame:
    path = path_points(net, theta, episodes, method, (0, method.inner.test_steps))
    layers, tables = net.layers[:-1], []
    numbers = range(first, first + episodes.tasks)
    for moment, params in zip(MOMENTS, path, strict=True):
        support = record(net, params, episodes.support_x, layers=layers)
        query = record(net, params, episodes.query_x, layers=layers)
        for layer in layers:
            same, different = class_cosines(query[layer], episodes.query_y)
            scores = cosine_attention(support[layer], episodes.support_y, query[layer], episodes.way)
            quantities = {SAME: same, DIFFERENT: different, NIL: task_accuracies(scores, episodes.query_y)}
            for quantity, value in quantities.items():
                part = {"task": numbers, "layer": layer, "moment": moment, "quantity": quantity}
                tables.append(pd.DataFrame(part).assign(value=value.cpu().numpy()))
    return pd.concat(tables, ignore_index=True)


def class_cosines(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Average cosines between two different rows of the same class, and of different classes [B], float64.

    features [B, R, F], labels [B, R]; a zero row has cosine 0.
    """
    units = F.normalize(features.double(), dim=-1)
    cosines, same = units @ units.mT, labels.unsqueeze(1) == labels.unsqueeze(2)
    alike = same & ~torch.eye(labels.shape[1], dtype=torch.bool, device=labels.device)
    means = [(cosines * mask).sum((1, 2)) / mask.sum((1, 2)) for mask in (alike, ~same)]
    return means[0], means[1]
