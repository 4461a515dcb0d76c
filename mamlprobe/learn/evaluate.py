"""Accuracy of a start under several methods, on the same episodes."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.losses import task_accuracies, task_losses
from mamlprobe.learn.methods import Method
from mamlprobe.learn.tasks import paths
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.params import Net

CHUNK = 25
QUANTITIES = ("accuracy", "loss")


def chunks(episodes: Episodes, size: int) -> list[Episodes]:
    """The same tasks in batches of at most `size`."""
    if size < 1:
        raise UserError("evaluate", "chunk must be at least 1 task", size, "25 is the default")
    parts = {name: value for name, value in vars(episodes).items() if isinstance(value, torch.Tensor)}
    return [
        Episodes(**{name: value[at : at + size] for name, value in parts.items()})
        for at in range(0, episodes.tasks, size)
    ]


def evaluate(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    variants: Mapping[str, Method],
    *,
    chunk: int = CHUNK,
    advance: Callable[[int], object] = lambda tasks: None,
) -> pd.DataFrame:
    """Query accuracy (a fraction) of every task after every test step under every variant: one row each.

    Columns ``variant task step quantity value norm episodes``; `norm` is the regime, `episodes` the manifest. Variants
    see the same episodes, so their rows pair by task. `chunk` tasks are held in memory at a time; `advance` is called
    with the number of tasks done since its last call.

    Raises:
        UserError: no variants, a chunk below 1.
    """
    return query_table(net, theta, episodes, variants, quantity="accuracy", chunk=chunk, advance=advance)


def query_table(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    variants: Mapping[str, Method],
    *,
    quantity: str,
    chunk: int = CHUNK,
    advance: Callable[[int], object] = lambda tasks: None,
) -> pd.DataFrame:
    """As `evaluate`, for the quantity "accuracy" or "loss".

    Raises:
        UserError: another quantity, no variants, a chunk below 1.
    """
    if quantity not in QUANTITIES:
        raise unknown("evaluate", "quantity", quantity, QUANTITIES)
    tables = []
    digest = manifest(episodes)
    for label, method in variants.items():
        columns = []
        for batch in chunks(episodes, chunk):
            tasks, path = paths(net, theta, batch, method, stage="test", track="none")
            with torch.no_grad():
                values = []
                for params in path:
                    logits = tasks.query_logits(params)
                    if quantity == "accuracy":
                        values.append(task_accuracies(logits, batch.query_y))
                    else:
                        values.append(task_losses(logits, batch.query_y, method.loss))
            columns.append(torch.stack(values, dim=1).cpu().double().numpy())
            advance(batch.tasks)
        grid = np.concatenate(columns)
        task, step = np.indices(grid.shape)
        tables.append(
            pd.DataFrame({"variant": label, "task": task.ravel(), "step": step.ravel(), "value": grid.ravel()}).assign(
                quantity=quantity, norm=method.norm.statistics, episodes=digest
            )
        )
    if not tables:
        raise UserError("evaluate", "there must be at least one variant", 0, 'give {"keep": method}')
    table = pd.concat(tables, ignore_index=True)
    return table[["variant", "task", "step", "quantity", "value", "norm", "episodes"]]
