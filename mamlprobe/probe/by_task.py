"""Building a table of many tasks from a few tasks at a time."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.batching import map_tasks
from mamlprobe.nets.net import Net


def tabled(
    look: Callable[[Episodes, int], pd.DataFrame],
    episodes: Episodes,
    chunk: int | None,
    *,
    net: Net,
    name: str,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Build the table of all tasks by calling `look` on `chunk` tasks at a time, with a progress bar called `name`.

    `look` gets the tasks and the number of the first one, and counts its tasks from 0. The order of rows does not
    depend on `chunk`: by the columns `by`, values in order of first appearance, then by task, else as they come. The
    column ``episodes`` is the manifest of all tasks.

    Raises:
        UserError: a chunk below 1.
    """

    def counted(part: Episodes, first: int) -> pd.DataFrame:
        rows = look(part, first)
        return rows.assign(task=rows["task"] + first)

    table = pd.concat(list(map_tasks(counted, episodes, chunk, net=net, name=name)), ignore_index=True)
    group = table.groupby(list(by), sort=False).ngroup() if by else np.zeros(len(table))
    order = np.lexsort((table["task"], group))
    return table.iloc[order].reset_index(drop=True).assign(episodes=manifest(episodes))
