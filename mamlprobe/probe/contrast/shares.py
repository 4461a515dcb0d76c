"""Shares of the contrastive terms in the outer gradient, as a table (Kao et al. 2022)."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.task_checks import of_its_net, on_one_device
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import flatten
from mamlprobe.probe.by_task import tabled
from mamlprobe.probe.contrast.decomposition import decomposed

ROUNDING = 16.0
"""A coefficient, of size 1, is negative below minus this many units in its last place."""


@door(of_its_net, on_one_device)
def contrast_table(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, chunk: int | None = None
) -> pd.DataFrame:
    """Compute what the outer gradient consists of, one row a task, quantity and part.

    Columns ``task quantity part value order loss steps norm episodes``. Quantities: ``share``, the fraction of the
    squared norm of the body's gradient that a term accounts for, <g_term, g> / |g|^2 (signed; the shares sum to 1);
    ``norm`` of each term's gradient; ``coefficient``, the mean over pairs of the same or of different labels;
    ``attracted``, the fraction of different-label pairs whose coefficient is negative by more than rounding (the noise
    of the paper's title). `chunk` tasks are in memory at a time; None picks a number that suits the device.

    The terms are those of Kao et al. 2022, sections 3 and 4.

    Raises:
        UserError: as `decompose`; a chunk below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["anil"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> table = mp.contrast_table(net, theta, tasks, method)
        >>> shares = table[table["quantity"] == "share"]
        >>> list(shares["part"].unique())
        ['interference', 'noise', 'contrastive', 'curvature']
        >>> shares.groupby("task")["value"].sum().round(3).tolist()
        [1.0, 1.0, 1.0]
    """
    table = tabled(
        lambda part, _: _shares(net, theta, part, method),
        episodes,
        chunk,
        net=net,
        name="contrast",
        by=("quantity", "part"),
    )
    inner = method.inner
    columns: dict[str, Any] = {"order": inner.order, "loss": method.loss, "steps": inner.steps}
    return table.assign(**columns, norm=method.norm.statistics, episodes=table.pop("episodes"))


def _shares(net: Net, theta: Theta, episodes: Episodes, method: Method) -> pd.DataFrame:
    """Compute the columns ``task quantity part value``."""
    decomposition = decomposed(net, theta, episodes, method)
    total = flatten(decomposition.total).double()
    size = total.square().sum(1)
    rows: list[tuple[str, str, Tensor]] = []
    for term, gradient in decomposition.terms.items():
        flat = flatten(gradient).double()
        rows.append(("share", term, (flat * total).sum(1) / size))
        rows.append(("norm", term, flat.norm(dim=1)))
    rows.append(("norm", "total", size.sqrt()))
    rounding = ROUNDING * torch.finfo(decomposition.clean.dtype).eps
    pairs = (decomposition.clean + decomposition.noise).double()
    for label, mask in (("same", decomposition.same), ("different", ~decomposition.same)):
        mean = (pairs * mask).flatten(1).sum(1) / mask.flatten(1).sum(1)
        rows.append(("coefficient", label, mean))
    negative = (pairs < -rounding) & ~decomposition.same
    attracted = negative.flatten(1).double().sum(1) / (~decomposition.same).flatten(1).sum(1)
    rows.append(("attracted", "different", attracted))
    tables = [
        pd.DataFrame({"task": range(episodes.tasks), "quantity": q, "part": part, "value": value.cpu().numpy()})
        for q, part, value in rows
    ]
    return pd.concat(tables, ignore_index=True)
