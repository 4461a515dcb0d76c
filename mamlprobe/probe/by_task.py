"""A table of many tasks, made of some at a time."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.batching import map_tasks
from mamlprobe.nets.params import Net


def tabled(
    look: Callable[[Episodes, int], pd.DataFrame],
    episodes: Episodes,
    chunk: int | None,
    *,
    net: Net,
    name: str,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """The rows of all tasks, from a look at some of them that is told the number of the first; a bar of that name.

    The look counts its own tasks from 0. Rows come in the order of a look at all tasks at once: sorted by the columns
    `by`, in which the values stand as they come first, then by task; beyond that as they come. The column ``episodes``
    is the manifest of all tasks.

    Raises:
        UserError: a chunk below 1.
    """

    def counted(part: Episodes, first: int) -> pd.DataFrame:
        found = look(part, first)
        return found.assign(task=found["task"] + first)

    table = pd.concat(list(map_tasks(counted, episodes, chunk, net=net, name=name)), ignore_index=True)
    group = table.groupby(list(by), sort=False).ngroup() if by else np.zeros(len(table))
    order = np.lexsort((table["task"], group))
    return table.iloc[order].reset_index(drop=True).assign(episodes=manifest(episodes))
