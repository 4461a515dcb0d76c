"""How far does the inner loop move the weights of each layer? (Raghu et al. 2020, appendix B.3)."""

from collections.abc import Sequence

import pandas as pd
import torch

from mamlprobe.base.door import door
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.task_batch import path_points
from mamlprobe.learn.task_checks import chosen_steps, of_its_net, on_one_device
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import flatten
from mamlprobe.probe.by_task import tabled


@door(of_its_net, on_one_device)
def weight_distance(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    steps: Sequence[int] | None = None,
    chunk: int | None = None,
) -> pd.DataFrame:
    """Measure how far each layer's parameters move from the start: a row for every task, layer, step and quantity.

    Columns ``task layer step quantity value parameters norm episodes``. `quantity` is ``distance``, the Euclidean
    |w_t - w_0|_2 over all parameters of the layer; ``relative``, that over |w_0|_2 (NaN where the start is zero);
    ``per parameter``, the root mean square move. `steps` counts inner steps; None takes the last. `chunk` tasks are in
    memory at a time; None picks a number that suits the device.

    The distances of Raghu et al. 2020, appendix B.3.

    Raises:
        UserError: a step the method does not take, or none at all; a chunk below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> from torch import nn
        >>> layers = nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
        >>> net, method = mp.wrap(nn.Sequential(*layers), head="3"), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> table = mp.weight_distance(net, theta, tasks, method, steps=[1, 10])
        >>> sorted(table["quantity"].unique())
        ['distance', 'per parameter', 'relative']
        >>> moved = table[table["quantity"] == "distance"]
        >>> far = moved.pivot(index=["task", "layer"], columns="step", values="value")
        >>> far.shape, bool((far[10] > far[1]).all())
        ((6, 2), True)
    """
    steps = chosen_steps("distance", method, (method.inner.test_steps,) if steps is None else steps)
    owned: dict[str, list[str]] = {}
    for name, layer in net.parameters.items():
        owned.setdefault(layer, []).append(name)

    @torch.no_grad()
    def look(part: Episodes, _: int) -> pd.DataFrame:
        rows: list[dict[str, object]] = []
        begin, *path = path_points(net, theta, part, method, (0, *steps))
        for layer in (name for name in net.layers if name in owned):
            start = flatten(begin, owned[layer])
            size = start.norm(dim=1)
            for step, end in zip(steps, path, strict=True):
                moved = (flatten(end, owned[layer]) - start).norm(dim=1)
                quantities = {
                    "distance": moved,
                    "relative": torch.where(size > 0, moved / size, torch.nan),
                    "per parameter": moved / start.shape[1] ** 0.5,
                }
                for quantity, values in quantities.items():
                    row = {"layer": layer, "step": step, "quantity": quantity, "parameters": start.shape[1]}
                    rows += [{"task": task, **row, "value": value} for task, value in enumerate(values.tolist())]
        return pd.DataFrame(rows)

    table = tabled(look, episodes, chunk, net=net, name="distance", by=("layer", "step", "quantity"))
    table = table.assign(norm=method.norm.statistics)
    return table[["task", "layer", "step", "quantity", "value", "parameters", "norm", "episodes"]]
